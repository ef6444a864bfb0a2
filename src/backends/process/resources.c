// SPDX-License-Identifier: Apache-2.0
/*
 * Limits, freezing and measures; all by cgroup, and refused where there is none. Processes have a
 * cgroup of their own where one can be killed whole: it also keeps their tree together.
 */
#include "backends/defer.h"
#include "backends/process/cgroup.h"
#include "backends/process/internal.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"

#include <stdio.h>

#define FREEZE_POLL_NS (1 * OSA_NS_PER_MS)
#define FREEZE_PATIENCE_NS (10 * OSA_NS_PER_SEC)

static const char no_cgroup[] = "this sandbox has no cgroup: the agent may not make one here";

static struct sandbox *sandbox_of(struct backend_sandbox *base)
{
    return OSA_CONTAINER_OF(base, struct sandbox, base);
}

static struct process *process_of(struct backend_process *base)
{
    return OSA_CONTAINER_OF(base, struct process, base);
}

static bool has_limits(const struct resources *r)
{
    return r->cpu_millis != 0 || r->memory_bytes != 0 || r->pids_max != 0;
}

unsigned resources_limit_bits(const struct resources *r)
{
    return (r->cpu_millis != 0 ? (unsigned)LIMIT_CPU : 0u) |
           (r->memory_bytes != 0 ? (unsigned)LIMIT_MEMORY : 0u) |
           (r->pids_max != 0 ? (unsigned)LIMIT_PIDS : 0u) |
           (r->disk_bytes != 0 ? (unsigned)LIMIT_DISK : 0u);
}

enum osa_code resources_probe(struct process_backend *b, const char *parent, const char *state_dir,
                              struct osa_error *err)
{
    const struct cgroup_config config = { .loop = b->loop,
                                          .parent = parent,
                                          .state_dir = state_dir };
    enum osa_code code = cgroup_tree_open(&config, &b->cgroups, err);
    if (code != OSA_OK && parent != NULL)
        return code;
    if (code != OSA_OK) {
        osa_log_error(OSA_LOG_WARN, "process", "no cgroups; limits are refused", err);
        return OSA_OK;
    }
    const struct cgroup_caps *caps = cgroup_tree_caps(b->cgroups);
    struct backend_info *info = &b->info;
    info->isolation.cgroup_version = caps->version;
    info->isolation.enforced_limits = caps->limits;
    const struct {
        bool have;
        uint32_t bits;
    } table[] = {
        { (caps->limits & LIMIT_CPU) != 0, BACKEND_CAP_CPU_LIMIT },
        { (caps->limits & LIMIT_MEMORY) != 0, BACKEND_CAP_MEMORY_LIMIT },
        { (caps->limits & LIMIT_PIDS) != 0, BACKEND_CAP_PIDS_LIMIT },
        { caps->limits != 0, BACKEND_CAP_UPDATE_RESOURCES | BACKEND_CAP_PROCESS_LIMITS },
        { caps->version != 0, BACKEND_CAP_STATS },
        { caps->freeze, BACKEND_CAP_PAUSE },
        { caps->oom, BACKEND_CAP_OOM },
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(table); i++)
        info->capabilities |= table[i].have ? table[i].bits : 0;
    if (caps->kill && info->isolation.tree_kill == TREE_KILL_SWEEP)
        info->isolation.tree_kill = TREE_KILL_CGROUP;
    if (caps->reason[0] != '\0')
        isolation_add_degraded(&info->isolation, caps->reason);
    return OSA_OK;
}

/* ---- a sandbox's and a process's cgroup ---- */

enum osa_code resources_open_sandbox(struct sandbox *s, const struct sandbox_spec *spec,
                                     struct osa_error *err)
{
    struct process_backend *b = s->backend;
    if (spec->resources.disk_bytes != 0 && (s->isolation.namespaces & NAMESPACE_MNT) == 0)
        return osa_fail_field(
            err, "spec.resources.disk_bytes",
            "without a mount namespace there is no private scratch space to bound");
    s->isolation.enforced_limits = resources_limit_bits(&spec->resources);
    if (b->cgroups == NULL && has_limits(&spec->resources))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "spec.resources: %s", no_cgroup);
    if (b->cgroups == NULL)
        return OSA_OK;
    return cgroup_sandbox_new(b->cgroups, spec->id, &spec->resources, NULL, &s->cgroup, err);
}

static void on_empty(struct cgroup_events *events)
{
    struct process *p = OSA_CONTAINER_OF(events, struct process, cgroup_events);
    if (p->state != PROCESS_STARTING)
        control_tree_empty(p);
}

static void on_oom(struct cgroup_events *events, uint64_t count)
{
    struct process *p = OSA_CONTAINER_OF(events, struct process, cgroup_events);
    (void)count;
    if (p->state != PROCESS_STARTING)
        p->events->oom_killed(p->events);
}

enum osa_code resources_open_process(struct process *p, const struct process_spec *spec,
                                     struct osa_error *err)
{
    struct sandbox *s = p->sandbox;
    if (spec->resources.disk_bytes != 0)
        return osa_fail_field(err, "spec.resources.disk_bytes",
                              "bounds a sandbox, not a process in it");
    bool wanted = has_limits(&spec->resources);
    if (s->cgroup == NULL)
        return wanted ? osa_fail(err, OSA_FAILED_PRECONDITION, 0, "spec.resources: %s", no_cgroup)
                      : OSA_OK;
    p->limits = spec->resources;
    p->cgroup_events = (struct cgroup_events){ .oom_killed = on_oom };
    return cgroup_process_new(s->cgroup, spec->id, &spec->resources, &p->cgroup_events, &p->cgroup,
                              err);
}

enum osa_code resources_open_copy(struct sandbox *s, struct cgroup **ret, struct osa_error *err)
{
    static const struct resources none = { 0 }; /* the sandbox's own hold for it as well */
    char id[OSA_ID_SIZE];
    if (s->cgroup == NULL)
        return OSA_OK;
    osa_id_new('c', id);
    return cgroup_process_new(s->cgroup, id, &none, NULL, ret, err);
}

void resources_await_end(struct process *p)
{
    struct osa_error late; /* the kill looks by itself, too */
    p->cgroup_events.empty = on_empty;
    (void)cgroup_watch_empty(p->cgroup, &late);
}

unsigned resources_entry_fds(struct cgroup *cgroup, int *ret_fds)
{
    struct cgroup_entry entry;
    unsigned count = 0;
    if (cgroup == NULL)
        return 0;
    cgroup_process_entry(cgroup, &entry);
    if (entry.v2_procs_fd >= 0)
        ret_fds[count++] = entry.v2_procs_fd;
    for (unsigned i = 0; i < entry.procs_count; i++)
        ret_fds[count++] = entry.procs_fds[i];
    return count;
}

bool resources_can_kill(const struct process *p)
{
    return p->cgroup != NULL && cgroup_tree_caps(p->sandbox->backend->cgroups)->kill;
}

/* ---- operations ---- */

static void refuse(struct osa_loop *loop, done_fn done, void *ctx)
{
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    defer_done(loop, done, ctx, &error);
}

/* Freezing takes effect when every member has stopped; thawing at once. */
static void on_freeze_poll(struct osa_timer *timer)
{
    struct sandbox *s = OSA_CONTAINER_OF(timer, struct sandbox, freeze_poll);
    bool frozen = cgroup_is_frozen(s->cgroup);
    if (!frozen && s->paused && osa_now_ns() < s->freeze_deadline_ns) {
        osa_timer_arm(s->backend->loop, timer, osa_deadline_after(FREEZE_POLL_NS));
        return;
    }
    done_fn done = s->pause_done;
    s->pause_done = NULL;
    struct osa_error error;
    if (frozen == s->paused) {
        done(s->pause_ctx, NULL);
        return;
    }
    (void)osa_fail(&error, OSA_DEADLINE_EXCEEDED, 0, "a process of the sandbox does not stop");
    s->paused = false;
    (void)!cgroup_freeze(s->cgroup, false, &(struct osa_error){ 0 });
    done(s->pause_ctx, &error);
}

void sandbox_pause_op(struct backend_sandbox *base, bool pause, done_fn done, void *ctx)
{
    struct sandbox *s = sandbox_of(base);
    struct osa_loop *loop = s->backend->loop;
    struct osa_error error;
    if (s->cgroup == NULL || (s->backend->info.capabilities & BACKEND_CAP_PAUSE) == 0) {
        refuse(loop, done, ctx);
        return;
    }
    enum osa_code code = OSA_OK;
    if (s->state != SANDBOX_READY || s->pause_done != NULL)
        code = osa_fail(&error, OSA_ABORTED, 0, "the sandbox is ending or changing already");
    else
        code = cgroup_freeze(s->cgroup, pause, &error);
    if (code != OSA_OK) {
        defer_done(loop, done, ctx, &error);
        return;
    }
    s->paused = pause;
    if (!pause) {
        defer_done(loop, done, ctx, NULL);
        return;
    }
    s->pause_done = done;
    s->pause_ctx = ctx;
    s->freeze_deadline_ns = osa_deadline_after(FREEZE_PATIENCE_NS);
    s->freeze_poll.fire = on_freeze_poll;
    osa_timer_arm(loop, &s->freeze_poll, osa_now_ns());
}

void resources_abandon(struct sandbox *s)
{
    osa_timer_disarm(&s->freeze_poll);
    if (s->pause_done == NULL)
        return;
    struct osa_error error;
    (void)osa_fail(&error, OSA_ABORTED, 0, "the sandbox has ended");
    defer_done(s->backend->loop, s->pause_done, s->pause_ctx, &error);
    s->pause_done = NULL;
}

void sandbox_update_op(struct backend_sandbox *base, const struct resources *limits, done_fn done,
                       void *ctx)
{
    struct sandbox *s = sandbox_of(base);
    struct osa_error error;
    enum osa_code code;
    if (s->cgroup == NULL) {
        refuse(s->backend->loop, done, ctx);
        return;
    }
    if (limits->disk_bytes != s->limits.disk_bytes)
        code = osa_fail(&error, OSA_FAILED_PRECONDITION, 0,
                        "resources.disk_bytes cannot change while the sandbox lives");
    else
        code = cgroup_set_limits(s->cgroup, limits, &error);
    if (code == OSA_OK) {
        s->limits = *limits;
        s->isolation.enforced_limits = resources_limit_bits(limits);
    }
    defer_done(s->backend->loop, done, ctx, code == OSA_OK ? NULL : &error);
}

void process_update_op(struct backend_process *base, const struct resources *limits, done_fn done,
                       void *ctx)
{
    struct process *p = process_of(base);
    struct osa_error error;
    if (p->cgroup == NULL) {
        refuse(p->loop, done, ctx);
        return;
    }
    enum osa_code code = cgroup_set_limits(p->cgroup, limits, &error);
    if (code == OSA_OK)
        p->limits = *limits;
    defer_done(p->loop, done, ctx, code == OSA_OK ? NULL : &error);
}

static void stats(struct osa_loop *loop, struct cgroup *cgroup, stats_fn done, void *ctx)
{
    struct osa_error error;
    struct usage_stats usage;
    enum osa_code code;
    if (cgroup == NULL)
        code = osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    else
        code = cgroup_stats(cgroup, &usage, &error);
    if (code == OSA_OK)
        defer_usage(loop, done, ctx, &usage);
    else
        defer_stats(loop, done, ctx, &error);
}

void sandbox_stats_op(struct backend_sandbox *base, stats_fn done, void *ctx)
{
    struct sandbox *s = sandbox_of(base);
    stats(s->backend->loop, s->cgroup, done, ctx);
}

void process_stats_op(struct backend_process *base, stats_fn done, void *ctx)
{
    struct process *p = process_of(base);
    stats(p->loop, p->cgroup, done, ctx);
}
