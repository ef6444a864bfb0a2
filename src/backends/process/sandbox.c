// SPDX-License-Identifier: Apache-2.0
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "backends/process/plan_build.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/mounts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct sandbox *sandbox_of(struct backend_sandbox *base)
{
    return OSA_CONTAINER_OF(base, struct sandbox, base);
}

void stage_error(const struct launcher_message *head, const char *detail, struct osa_error *ret)
{
    const char *stage = launch_stage_name(head->stage);
    const char *on = detail[0] != '\0' ? ": " : "";
    enum osa_code code = OSA_FAILED_PRECONDITION;
    if (head->code != OSA_OK && head->code < OSA_CODE_COUNT) {
        (void)osa_fail(ret, (enum osa_code)head->code, 0, "%s: %s", stage, detail);
        ret->sys_errno = head->sys_errno;
        ret->stage = stage;
        return;
    }
    switch (head->sys_errno) {
    case ENOMEM:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
        code = OSA_RESOURCE_EXHAUSTED;
        break;
    default:
        if (head->stage == LAUNCH_STAGE_PROTOCOL || head->stage == LAUNCH_STAGE_STDIO)
            code = OSA_INTERNAL;
        break;
    }
    (void)osa_fail(ret, code, head->sys_errno, "%s%s%s", stage, on, detail);
    ret->stage = stage;
}

/* ---- end ---- */

static void sandbox_free(struct sandbox *s)
{
    HASH_DEL(s->backend->sandboxes, s);
    struct process *p;
    struct process *next;
    HASH_ITER(hh, s->processes, p, next)
    {
        HASH_DEL(s->processes, p);
        cgroup_free(p->cgroup);
        p->cgroup = NULL;
        p->sandbox = NULL;
    }
    osa_timer_disarm(&s->patience);
    resources_abandon(s);
    channel_close(&s->init);
    sandbox_network_close(s);
    osa_close_fd(&s->init_pidfd);
    cgroup_free(s->cgroup);
    free(s);
}

static void kill_init(const struct sandbox *s)
{
    if (s->init_pidfd >= 0)
        (void)osa_sys_pidfd_send_signal(s->init_pidfd, SIGKILL, NULL, 0);
}

static void on_patience_over(struct osa_timer *timer)
{
    kill_init(OSA_CONTAINER_OF(timer, struct sandbox, patience));
}

/* An init that is alone ends by itself at the end of file, which spares the zygote a search. */
static void begin_end(struct sandbox *s, bool kill_now)
{
    s->state = SANDBOX_ENDING;
    channel_close(&s->init);
    resources_abandon(s);
    reach_abandon(s);
    copy_abandon(s);
    if (s->paused) /* frozen members of a v1 cgroup would not even die */
        (void)!cgroup_kill(s->cgroup, &(struct osa_error){ 0 });
    if (kill_now)
        kill_init(s);
    else
        osa_timer_arm(s->backend->loop, &s->patience, osa_deadline_after(INIT_PATIENCE_NS));
}

void sandbox_end(struct sandbox *s, const char *why)
{
    if (s->state == SANDBOX_ENDING || s->state == SANDBOX_ENDED)
        return;
    if (s->failure.code == OSA_OK)
        (void)osa_fail(&s->failure, s->state == SANDBOX_CREATING ? OSA_UNAVAILABLE : OSA_ABORTED, 0,
                       "sandbox ended: %s", why);
    begin_end(s, /* kill_now= */ true);
}

void sandbox_on_gone(struct sandbox *s)
{
    if (s->state == SANDBOX_ENDED)
        return;
    channel_drain(&s->init); /* its last words: why it failed, who has exited */
    if (s->state == SANDBOX_READY || s->state == SANDBOX_CREATING)
        sandbox_end(s, "its init was killed");
    s->state = SANDBOX_ENDED;
    osa_timer_disarm(&s->patience);
    network_drain(s->network);
    struct process *p;
    struct process *next;
    HASH_ITER(hh, s->processes, p, next)
    process_on_lost(p);
    if (s->created != NULL) {
        s->created(s->ctx, NULL, NULL, NULL, &s->failure);
        sandbox_free(s);
    } else if (s->destroyed != NULL) {
        done_fn done = s->destroyed;
        void *ctx = s->ctx;
        sandbox_free(s);
        done(ctx, NULL);
    } else {
        s->events->lost(s->events, s->failure.text);
    }
}

static void on_finish(struct osa_task *task)
{
    struct sandbox *s = OSA_CONTAINER_OF(task, struct sandbox, finish);
    done_fn done = s->destroyed;
    void *ctx = s->ctx;
    sandbox_free(s);
    done(ctx, NULL);
}

void sandbox_destroy_op(struct backend_sandbox *base, done_fn done, void *ctx)
{
    struct sandbox *s = sandbox_of(base);
    s->destroyed = done;
    s->ctx = ctx;
    switch (s->state) {
    case SANDBOX_CREATING:
    case SANDBOX_ENDING:
        break; /* GONE will come */
    case SANDBOX_READY: {
        bool alone = !s->tree_busy;
        struct process *p;
        struct process *next;
        HASH_ITER(hh, s->processes, p, next)
        alone = alone && p->tree_empty;
        (void)osa_fail(&s->failure, OSA_ABORTED, 0, "sandbox was deleted");
        begin_end(s, /* kill_now= */ !alone);
        break;
    }
    case SANDBOX_ENDED:
        s->finish.run = on_finish;
        osa_loop_post(s->backend->loop, &s->finish);
        break;
    }
}

/* ---- beginning ---- */

static void confirm(struct sandbox *s)
{
    if (!s->init_ready || s->init_pidfd < 0)
        return;
    s->state = SANDBOX_READY;
    sandbox_created_fn created = s->created;
    s->created = NULL;
    created(s->ctx, &s->base, &s->isolation, &s->limits, NULL);
}

void sandbox_on_created(struct sandbox *s, int pidfd)
{
    osa_replace_fd(&s->init_pidfd, pidfd);
    if (s->state == SANDBOX_CREATING)
        confirm(s);
}

void sandbox_on_refused(struct sandbox *s, const struct launcher_message *head)
{
    stage_error(head, "", &s->failure);
    begin_end(s, /* kill_now= */ false);
    sandbox_on_gone(s); /* there never was an init */
}

static void take_ready(struct sandbox *s, const struct launcher_ready *ready)
{
    s->init_ready = true;
    s->isolation.landlock_applied = ready->landlock_applied;
    s->isolation.landlock_skipped = ready->landlock_skipped;
    for (unsigned i = 0; i < MOUNTS_MISSING_COUNT; i++) {
        if ((ready->mounts_missing & 1u << i) != 0)
            isolation_add_degraded(&s->isolation, mounts_missing_text(1u << i));
    }
}

static void on_init_packet(struct channel *channel, struct wire_packet *packet)
{
    struct sandbox *s = OSA_CONTAINER_OF(channel, struct sandbox, init);
    if (s->state == SANDBOX_CREATING) {
        if (packet->head.type == LAUNCHER_READY &&
            packet->head.length == sizeof(struct launcher_ready)) {
            take_ready(s, packet->body);
            if (sandbox_network_attach(s, packet, &s->failure) == OSA_OK)
                confirm(s);
            else
                begin_end(s, /* kill_now= */ true);
        } else {
            const char *detail = packet->head.length > 0 ? packet->body : "";
            stage_error(&packet->head, detail, &s->failure);
            begin_end(s, /* kill_now= */ false);
        }
        return;
    }
    struct process *p;
    HASH_FIND(hh, s->processes, &packet->head.key, sizeof(packet->head.key), p);
    struct copy *copy = p == NULL ? copy_find(s, packet->head.key) : NULL;
    if (p != NULL)
        process_on_packet(p, packet);
    else if (copy != NULL)
        copy_on_packet(copy, packet);
    else if (packet->head.type == LAUNCHER_DONE)
        reach_on_done(s, packet);
}

static void on_init_lost(struct channel *channel, const char *reason)
{
    struct sandbox *s = OSA_CONTAINER_OF(channel, struct sandbox, init);
    char why[128];
    (void)snprintf(why, sizeof(why), "its init: %s", reason);
    sandbox_end(s, why);
}

static enum osa_code check_spec(const struct process_backend *b, const struct sandbox_spec *spec,
                                struct osa_error *err)
{
    if (!b->info.available)
        return osa_fail(err, OSA_UNAVAILABLE, 0, "%s", b->info.reason);
    if (spec->min_isolation > b->info.isolation.level)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.min_isolation is higher than what this host gives");
    if (spec->image[0] != '\0')
        return osa_fail(err, OSA_UNIMPLEMENTED, 0,
                        "spec.image: the process backend takes an unpacked image as spec.root");
    if (spec->root[0] != '\0' && (b->info.capabilities & BACKEND_CAP_ROOT) == 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.root: no mount namespace can be made here");
    return OSA_OK;
}

/* The filter of the wanted profile; a kernel without filters refuses, whatever the level. */
static enum osa_code choose_filter(struct sandbox *s, const struct sandbox_spec *spec,
                                   const struct osa_buf **ret, struct osa_error *err)
{
    struct process_backend *b = s->backend;
    enum seccomp_profile profile;
    if (!seccomp_profile_parse(spec->seccomp_profile, &profile))
        return osa_fail_field(err, "spec.seccomp_profile", "'%s' is not default, strict or gpu",
                              spec->seccomp_profile);
    enum osa_code code = OSA_OK;
    if (b->probe.seccomp == 0)
        code = osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)");
    struct osa_buf *filter = &b->filters[profile];
    s->seccomp = (struct seccomp_spec){ .profile = profile,
                                        .inet = (s->isolation.namespaces & NAMESPACE_NET) != 0,
                                        .notify = b->probe.seccomp_flags != 0 };
    if (code == OSA_OK && filter->len == 0)
        code = seccomp_compile(&s->seccomp, filter, err);
    if (code != OSA_OK) {
        err->stage = "seccomp";
        return code;
    }
    s->isolation.seccomp_profile = seccomp_profile_name(profile);
    *ret = filter;
    return OSA_OK;
}

static enum osa_code send_create(struct sandbox *s, const struct sandbox_spec *spec,
                                 struct osa_error *err)
{
    int socks[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
        return osa_fail_errno(err, errno, "init's socket");
    OSA_AUTO(osa_close_fd) int theirs = socks[1];
    enum osa_code code = channel_open(&s->init, socks[0], err);
    if (code != OSA_OK)
        return code;
    const struct osa_buf *filter = NULL;
    code = choose_filter(s, spec, &filter, err);
    if (code != OSA_OK)
        return code;
    const struct plan_host host = { .landlock_abi = s->backend->info.isolation.landlock_abi,
                                    .landlock_log = s->backend->landlock_log != NULL,
                                    .seccomp_flags = s->backend->probe.seccomp_flags,
                                    .veth = s->backend->network != NULL,
                                    .hidden = (const char *const *)s->backend->hidden,
                                    .secrets = (const char *const *)s->backend->secrets };
    struct plan_builder plan;
    code = plan_build_sandbox(&plan, spec, &host, filter, &s->isolation, err);
    if (code == OSA_OK) {
        struct launcher_message head = { .type = LAUNCHER_CREATE, .key = s->key };
        code =
            channel_send(&s->backend->zygote, &head, plan.buf.data, plan.buf.len, &theirs, 1, err);
    }
    plan_builder_done(&plan);
    return code;
}

void sandbox_create_op(struct backend *base, const struct sandbox_spec *spec,
                       struct sandbox_events *events, sandbox_created_fn done, void *ctx)
{
    struct process_backend *b = OSA_CONTAINER_OF(base, struct process_backend, base);
    struct osa_error error;
    if (check_spec(b, spec, &error) != OSA_OK) {
        defer_created(b->loop, done, ctx, &error);
        return;
    }
    struct sandbox *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)osa_fail_errno(&error, ENOMEM, "sandbox");
        defer_created(b->loop, done, ctx, &error);
        return;
    }
    s->base.ops = base->ops;
    s->backend = b;
    s->key = ++b->next_key;
    (void)snprintf(s->id, sizeof(s->id), "%s", spec->id);
    s->events = events;
    s->init_pidfd = -1;
    s->door_fds[0] = s->door_fds[1] = -1;
    s->names_fds[0] = s->names_fds[1] = s->names_fds[2] = -1;
    s->isolation = b->info.isolation;
    if (spec->proxy)
        sandbox_network_want_door(s);
    s->limits = spec->resources;
    s->created = done;
    s->ctx = ctx;
    s->patience.fire = on_patience_over;
    s->init = (struct channel){
        .loop = b->loop, .buffer = &b->packets, .packet = on_init_packet, .lost = on_init_lost
    };
    HASH_ADD(hh, b->sandboxes, key, sizeof(s->key), s);
    if (resources_open_sandbox(s, spec, &error) != OSA_OK ||
        send_create(s, spec, &error) != OSA_OK) {
        sandbox_free(s);
        defer_created(b->loop, done, ctx, &error);
    }
}
