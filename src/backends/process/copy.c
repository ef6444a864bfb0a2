// SPDX-License-Identifier: Apache-2.0
/*
 * Copies: the agent's side of launcher/copy.c.
 *
 * The caller gets one end of a stream, the copier the other. Of the copier's end a duplicate stays
 * here, which nobody reads or writes: it tells when the caller has closed, and the copier is killed
 * then, even one that the workload has stopped. And it keeps the stream from ending before the
 * copier's exit is known.
 */
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "base/fd.h"
#include "base/linux_sys.h"
#include "base/utf8.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct copy {
    UT_hash_handle hh; /* in its sandbox, by key */
    uint64_t key;
    struct sandbox *sandbox;  /* borrowed; outlives it */
    struct osa_source theirs; /* fd owned: duplicate of the copier's end */
    int ours;                 /* owned until the caller has it; -1 afterwards */
    int report_fd;            /* owned */
    int pidfd;                /* owned; -1 until SPAWNED */
    struct cgroup *cgroup;    /* owned; NULL: none */
    uint64_t sandbox_ooms;    /* of the sandbox when it began */
    stream_fn opened;
    done_fn done;
    void *ctx;
};

static void copy_free(struct copy *c)
{
    HASH_DEL(c->sandbox->copies, c);
    osa_source_remove(&c->theirs);
    osa_close_fd(&c->theirs.fd);
    osa_close_fd(&c->ours);
    osa_close_fd(&c->report_fd);
    osa_close_fd(&c->pidfd);
    cgroup_free(c->cgroup); /* kills what may be left */
    free(c);
}

static void kill_copier(const struct copy *c)
{
    if (c->pidfd >= 0)
        (void)osa_sys_pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
}

/* ---- the end ---- */

/* Text of a process that handles hostile data: made one line of UTF-8. */
static void clean_text(char *text, size_t size)
{
    text[size - 1] = '\0';
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t step = osa_utf8_length(text + at, len - at);
        if (step == 0 || (step == 1 && (text[at] < ' ' || text[at] == 0x7f)))
            text[at] = '?';
        at += step > 0 ? step : 1;
    }
}

static enum osa_code read_report(const struct copy *c, struct osa_error *err)
{
    struct copy_report report;
    ssize_t got = read(c->report_fd, &report, sizeof(report));
    if (got != (ssize_t)sizeof(report) || report.code == OSA_OK || report.code >= OSA_CODE_COUNT)
        return osa_fail(err, OSA_INTERNAL, 0, "the copier failed without telling why");
    clean_text(report.text, sizeof(report.text));
    (void)osa_fail(err, (enum osa_code)report.code, 0, "%s", report.text);
    err->sys_errno = report.sys_errno;
    if (report.at_path != 0)
        (void)snprintf(err->field, sizeof(err->field), "path");
    return err->code;
}

static enum osa_code judge(const struct copy *c, int status, struct osa_error *err)
{
    struct cgroup *cgroup = c->sandbox->cgroup;
    if (WIFEXITED(status))
        return WEXITSTATUS(status) == 0 ? OSA_OK : read_report(c, err);
    if (cgroup != NULL && WTERMSIG(status) == SIGKILL && cgroup_oom_kills(cgroup) > c->sandbox_ooms)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "the sandbox ran out of memory, and the copier was killed");
    return osa_fail(err, OSA_ABORTED, 0, "the copier was killed by signal %d", WTERMSIG(status));
}

static void on_exited(struct copy *c, int status)
{
    struct osa_error error;
    done_fn done = c->done;
    void *ctx = c->ctx;
    bool good = judge(c, status, &error) == OSA_OK;
    copy_free(c);
    done(ctx, good ? NULL : &error);
}

static void on_failed(struct copy *c, const struct osa_error *error)
{
    stream_fn opened = c->opened;
    void *ctx = c->ctx;
    copy_free(c);
    opened(ctx, -1, error);
}

/* Nothing is watched but the end: the caller has closed, so that nobody is served any more. */
static void on_theirs(struct osa_source *source, unsigned events)
{
    struct copy *c = OSA_CONTAINER_OF(source, struct copy, theirs);
    if ((events & OSA_HUP) == 0)
        return;
    osa_source_remove(source);
    kill_copier(c);
}

static void on_spawned(struct copy *c, struct wire_packet *packet)
{
    struct osa_error error;
    c->pidfd = wire_take_fd(packet, 0);
    if (c->cgroup != NULL)
        cgroup_process_started(c->cgroup);
    if (osa_source_add(c->sandbox->backend->loop, &c->theirs, 0, &error) != OSA_OK) {
        kill_copier(c);
        on_failed(c, &error);
        return;
    }
    c->opened(c->ctx, osa_take_fd(&c->ours), NULL);
}

struct copy *copy_find(const struct sandbox *s, uint64_t key)
{
    struct copy *c;
    HASH_FIND(hh, s->copies, &key, sizeof(key), c);
    return c;
}

void copy_on_packet(struct copy *c, struct wire_packet *packet)
{
    struct osa_error error;
    bool starting = c->pidfd < 0;
    if (packet->head.type == LAUNCHER_FAILED && starting && packet->head.length > 0) {
        stage_error(&packet->head, packet->body, &error);
        on_failed(c, &error);
    } else if (packet->head.type == LAUNCHER_SPAWNED && starting) {
        on_spawned(c, packet);
    } else if (packet->head.type == LAUNCHER_EXITED && !starting &&
               packet->head.length == sizeof(struct launcher_exited)) {
        on_exited(c, ((const struct launcher_exited *)packet->body)->status);
    }
}

void copy_abandon(struct sandbox *s)
{
    struct copy *c;
    struct copy *next;
    struct osa_error error;
    (void)osa_fail(&error, OSA_ABORTED, 0, "the sandbox has ended");
    HASH_ITER(hh, s->copies, c, next)
    {
        struct osa_loop *loop = s->backend->loop;
        if (c->pidfd < 0)
            defer_stream(loop, c->opened, c->ctx, &error);
        else
            defer_done(loop, c->done, c->ctx, &error);
        kill_copier(c);
        copy_free(c);
    }
}

size_t copy_count(const struct sandbox *s)
{
    return HASH_COUNT(s->copies);
}

size_t copy_pids(const struct sandbox *s, pid_t *ret)
{
    size_t count = 0;
    for (const struct copy *c = s->copies; c != NULL; c = c->hh.next) {
        pid_t pid = c->pidfd >= 0 ? pidfd_pid(c->pidfd) : -1;
        if (pid > 0)
            ret[count++] = pid;
    }
    return count;
}

/* ---- the beginning ---- */

static struct copy *copy_new(struct sandbox *s, stream_fn opened, done_fn done, void *ctx)
{
    struct copy *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->key = ++s->backend->next_key;
    c->sandbox = s;
    c->theirs = (struct osa_source){ .fd = -1, .ready = on_theirs };
    c->ours = -1;
    c->report_fd = -1;
    c->pidfd = -1;
    c->opened = opened;
    c->done = done;
    c->ctx = ctx;
    HASH_ADD(hh, s->copies, key, sizeof(c->key), c);
    return c;
}

/* @ret_report: the copier's end. */
static enum osa_code open_ends(struct copy *c, int *ret_report, struct osa_error *err)
{
    int pair[2];
    int report[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return osa_fail_errno(err, errno, "copy stream");
    c->ours = pair[0];
    c->theirs.fd = pair[1];
    enum osa_code code = osa_pipe(report, err);
    if (code != OSA_OK)
        return code;
    c->report_fd = report[0];
    *ret_report = report[1];
    code = osa_set_nonblocking(c->report_fd, true, err);
    return code == OSA_OK ? osa_set_nonblocking(c->ours, true, err) : code;
}

static enum osa_code begin(struct copy *c, bool in, const char *path, const char *user,
                           struct osa_error *err)
{
    struct sandbox *s = c->sandbox;
    struct plan_builder plan;
    int fds[2 + CGROUP_PROCS_MAX + 1];
    OSA_AUTO(osa_close_fd) int report = -1;
    enum osa_code code = resources_open_copy(s, &c->cgroup, err);
    if (code == OSA_OK)
        code = open_ends(c, &report, err);
    if (code != OSA_OK)
        return code;
    if (s->cgroup != NULL)
        c->sandbox_ooms = cgroup_oom_kills(s->cgroup);
    fds[0] = c->theirs.fd;
    fds[1] = report;
    unsigned cgroups = resources_entry_fds(c->cgroup, fds + 2);
    code = plan_build_copy(&plan, in, path, user, cgroups, err);
    if (code == OSA_OK) {
        struct launcher_message head = { .type = LAUNCHER_COPY, .key = c->key };
        code = channel_send(&s->init, &head, plan.buf.data, plan.buf.len, fds, 2 + cgroups, err);
    }
    if (c->cgroup != NULL)
        cgroup_process_entered(c->cgroup);
    plan_builder_done(&plan);
    return code;
}

void sandbox_copy_op(struct backend_sandbox *base, bool write, const char *path, const char *user,
                     stream_fn opened, done_fn done, void *ctx)
{
    struct sandbox *s = OSA_CONTAINER_OF(base, struct sandbox, base);
    struct osa_error error;
    enum osa_code code = OSA_OK;
    if (s->state != SANDBOX_READY)
        code = osa_fail(&error, OSA_ABORTED, 0, "the sandbox has ended");
    else if (s->paused)
        code =
            osa_fail(&error, OSA_FAILED_PRECONDITION, 0, "the sandbox is paused; resume it first");
    struct copy *c = code == OSA_OK ? copy_new(s, opened, done, ctx) : NULL;
    if (code == OSA_OK && c == NULL)
        code = osa_fail_errno(&error, ENOMEM, "copy");
    if (code == OSA_OK)
        code = begin(c, write, path, user, &error);
    if (code == OSA_OK)
        return;
    if (c != NULL)
        copy_free(c);
    defer_stream(s->backend->loop, opened, ctx, &error);
}
