// SPDX-License-Identifier: Apache-2.0
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "backends/process/plan_build.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void process_destroy(struct process *p)
{
    if (p->sandbox != NULL) {
        HASH_DEL(p->sandbox->processes, p);
        if (p->sandbox->direct == p) {
            p->sandbox->direct = NULL;
            p->sandbox->tree_busy = !p->tree_empty;
        }
    }
    stdio_close(p);
    control_abandon(p);
    cgroup_free(p->cgroup);
    osa_timer_disarm(&p->late_end);
    osa_close_fd(&p->pidfd);
    osa_close_fd(&p->keeper_pidfd);
    free(p);
}

void process_free_op(struct backend_process *base)
{
    if (base != NULL)
        process_destroy(OSA_CONTAINER_OF(base, struct process, base));
}

/* ---- answers of init ---- */

static void fail_spawn(struct process *p, const struct osa_error *error)
{
    spawned_fn spawned = p->spawned;
    void *ctx = p->ctx;
    p->tree_empty = true;
    process_destroy(p);
    spawned(ctx, NULL, NULL, NULL, error);
}

static void on_spawned(struct process *p, struct wire_packet *packet)
{
    const struct launcher_spawned *body = packet->body;
    unsigned next = 0;
    p->pidfd = wire_take_fd(packet, next++);
    if (body->has_keeper != 0)
        p->keeper_pidfd = wire_take_fd(packet, next++);
    if (body->has_terminal != 0)
        p->out.source.fd = wire_take_fd(packet, next++);
    p->state = PROCESS_RUNNING;
    p->started_ns = osa_now_ns();
    if (p->cgroup != NULL)
        cgroup_process_started(p->cgroup);
    spawned_fn spawned = p->spawned;
    p->spawned = NULL;
    stdio_start(p);
    spawned(p->ctx, &p->base, &p->sandbox->isolation, &p->limits, NULL);
}

/* Must the sandbox's out-of-memory kills stand in for the process's? Its count reads every member's on v1. */
static bool counts_by_sandbox(const struct process *p)
{
    return p->sandbox->cgroup != NULL && (p->cgroup == NULL || !cgroup_counts_oom(p->cgroup));
}

/* Out-of-memory kills of the whole sandbox since the process began. */
static uint32_t sandbox_oom_since(struct process *p)
{
    uint64_t now = cgroup_oom_kills(p->sandbox->cgroup);
    return now > p->sandbox_ooms ? (uint32_t)(now - p->sandbox_ooms) : 0;
}

static void on_exited(struct process *p, const struct launcher_exited *body)
{
    struct process_exit exit = {
        .exited_wall_ns = osa_wall_ns(),
        .usage = { .wall_ns = osa_now_ns() - p->started_ns,
                   .user_ns = body->user_ns,
                   .system_ns = body->system_ns,
                   .peak_memory_bytes = body->peak_memory_bytes,
                   .read_bytes = body->read_bytes,
                   .write_bytes = body->write_bytes,
                   .voluntary_switches = body->voluntary_switches,
                   .involuntary_switches = body->involuntary_switches,
                   .minor_faults = body->minor_faults,
                   .major_faults = body->major_faults },
    };
    if (WIFSIGNALED(body->status)) {
        exit.reason = EXIT_REASON_SIGNALED;
        exit.signal = WTERMSIG(body->status);
        exit.core_dumped = WCOREDUMP(body->status);
    } else {
        exit.reason = EXIT_REASON_EXITED;
        exit.code = WEXITSTATUS(body->status);
    }
    uint64_t peak = p->cgroup == NULL ? 0 : cgroup_memory_peak(p->cgroup);
    if (peak > 0)
        exit.usage.peak_memory_bytes = peak;
    exit.oom_kills = p->cgroup == NULL ? 0 : (uint32_t)cgroup_oom_kills(p->cgroup);
    if (exit.signal == SIGKILL && counts_by_sandbox(p))
        exit.oom_kills = sandbox_oom_since(p);
    if (exit.signal == SIGKILL && exit.oom_kills > 0)
        exit.reason = EXIT_REASON_OOM_KILLED;
    p->state = PROCESS_EXITED;
    if (exit.signal == SIGSYS)
        denials_on_killed(p);
    if (body->last != 0)
        control_tree_empty(p);
    p->events->exited(p->events, &exit); /* may free the process */
}

void process_on_packet(struct process *p, struct wire_packet *packet)
{
    struct osa_error error;
    switch (packet->head.type) {
    case LAUNCHER_FAILED:
        if (p->state == PROCESS_STARTING && packet->head.length > 0) {
            stage_error(&packet->head, packet->body, &error);
            fail_spawn(p, &error);
        }
        break;
    case LAUNCHER_SPAWNED:
        if (p->state == PROCESS_STARTING && packet->head.length == sizeof(struct launcher_spawned))
            on_spawned(p, packet);
        break;
    case LAUNCHER_EXITED:
        if (p->state == PROCESS_RUNNING && packet->head.length == sizeof(struct launcher_exited))
            on_exited(p, packet->body);
        break;
    case LAUNCHER_DENIED:
        if (packet->head.length == sizeof(struct launcher_denied))
            denials_on_packet(p, packet->body);
        break;
    case LAUNCHER_DONE:
        control_on_done(p, packet->head.sys_errno);
        break;
    default:
        break;
    }
}

void process_on_lost(struct process *p)
{
    if (p->state == PROCESS_STARTING) {
        fail_spawn(p, &p->sandbox->failure);
        return;
    }
    bool exited = p->state == PROCESS_EXITED;
    p->state = PROCESS_EXITED;
    control_tree_empty(p);
    if (exited)
        return;
    struct process_exit exit = { .reason = EXIT_REASON_SANDBOX_LOST,
                                 .exited_wall_ns = osa_wall_ns(),
                                 .usage = { .wall_ns = osa_now_ns() - p->started_ns } };
    p->events->exited(p->events, &exit);
}

/* ---- spawn ---- */

/* The child's ends of its stdio: stdin, stdout, stderr; closed when they have been sent. */
struct child_ends {
    int fds[3];
};

static void child_ends_close(struct child_ends *ends)
{
    for (unsigned i = 0; i < 3; i++)
        osa_replace_fd(&ends->fds[i], -1);
}

/* @child_reads: the child's end is the reading one. */
static enum osa_code make_pipe(bool child_reads, int *ret_ours, int *ret_theirs,
                               struct osa_error *err)
{
    int fds[2];
    enum osa_code code = osa_pipe(fds, err);
    if (code != OSA_OK)
        return code;
    *ret_ours = fds[child_reads ? 1 : 0];
    *ret_theirs = fds[child_reads ? 0 : 1];
    return osa_set_nonblocking(*ret_ours, true, err);
}

/*
 * Where the sandbox has no devpts of its own, its init may not open the host's. The agent makes the
 * terminal, and nothing but that one reaches the sandbox.
 */
static bool gets_terminal(const struct process *p)
{
    return p->tty && (p->sandbox->isolation.namespaces & NAMESPACE_MNT) == 0;
}

static enum osa_code make_terminal(struct process *p, const struct process_spec *spec,
                                   int *ret_slave, struct osa_error *err)
{
    int unlock = 0;
    struct winsize size = { .ws_row = spec->tty_size.rows, .ws_col = spec->tty_size.columns };
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    p->out.source.fd = master;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        ioctl(master, TIOCSWINSZ, &size) < 0)
        return osa_fail_errno(err, errno, "/dev/ptmx");
    *ret_slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return *ret_slave < 0 ? osa_fail_errno(err, errno, "TIOCGPTPEER") : OSA_OK;
}

static enum osa_code make_stdio(struct process *p, const struct process_spec *spec,
                                struct child_ends *ends, struct osa_error *err)
{
    if (spec->tty)
        return gets_terminal(p) ? make_terminal(p, spec, &ends->fds[0], err) : OSA_OK;
    enum osa_code code = make_pipe(false, &p->out.source.fd, &ends->fds[1], err);
    if (code == OSA_OK)
        code = make_pipe(false, &p->err.source.fd, &ends->fds[2], err);
    if (code != OSA_OK)
        return code;
    if (spec->stdin_open)
        return make_pipe(true, &p->in.fd, &ends->fds[0], err);
    ends->fds[0] = fcntl(p->sandbox->backend->null_fd, F_DUPFD_CLOEXEC, 3);
    return ends->fds[0] < 0 ? osa_fail_errno(err, errno, "/dev/null") : OSA_OK;
}

static enum osa_code send_spawn(struct process *p, const struct process_spec *spec,
                                const struct child_ends *ends, struct osa_error *err)
{
    struct plan_builder plan;
    int fds[3 + CGROUP_PROCS_MAX + 1];
    unsigned stdio = !spec->tty ? 3 : gets_terminal(p) ? 1 : 0;
    memcpy(fds, ends->fds, sizeof(ends->fds));
    unsigned cgroups = resources_entry_fds(p->cgroup, fds + stdio);
    bool keeper = p != p->sandbox->direct && !resources_can_kill(p);
    enum osa_code code = plan_build_launch(&plan, spec, keeper, gets_terminal(p), cgroups, err);
    if (code == OSA_OK) {
        struct launcher_message head = { .type = LAUNCHER_SPAWN, .key = p->key };
        code = channel_send(&p->sandbox->init, &head, plan.buf.data, plan.buf.len, fds,
                            stdio + cgroups, err);
    }
    if (p->cgroup != NULL)
        cgroup_process_entered(p->cgroup);
    plan_builder_done(&plan);
    return code;
}

static struct process *process_new(struct sandbox *s, const struct process_spec *spec)
{
    struct process *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->base.ops = s->base.ops;
    p->loop = s->backend->loop;
    p->sandbox = s;
    p->key = ++s->backend->next_key;
    p->pidfd = -1;
    p->keeper_pidfd = -1;
    p->tty = spec->tty;
    p->out.source.fd = -1;
    p->err.source.fd = -1;
    p->in.fd = -1;
    HASH_ADD(hh, s->processes, key, sizeof(p->key), p);
    if (s->direct == NULL && !s->tree_busy)
        s->direct = p;
    return p;
}

void spawn_op(struct backend_sandbox *base, const struct process_spec *spec,
              struct process_events *events, spawned_fn done, void *ctx)
{
    struct sandbox *s = OSA_CONTAINER_OF(base, struct sandbox, base);
    struct osa_loop *loop = s->backend->loop;
    struct osa_error error;
    if (s->state != SANDBOX_READY) {
        (void)osa_fail(&error, OSA_ABORTED, 0, "the sandbox has ended");
        defer_spawned(loop, done, ctx, &error);
        return;
    }
    if (s->paused) { /* the child would freeze before its exec, and init with it */
        (void)osa_fail(&error, OSA_FAILED_PRECONDITION, 0,
                       "the sandbox is paused; resume it first");
        defer_spawned(loop, done, ctx, &error);
        return;
    }
    struct process *p = process_new(s, spec);
    if (p == NULL) {
        (void)osa_fail_errno(&error, ENOMEM, "process");
        defer_spawned(loop, done, ctx, &error);
        return;
    }
    p->events = events;
    p->spawned = done;
    p->ctx = ctx;
    OSA_AUTO(child_ends_close) struct child_ends ends = { { -1, -1, -1 } };
    bool opened = resources_open_process(p, spec, &error) == OSA_OK;
    if (opened && counts_by_sandbox(p))
        p->sandbox_ooms = cgroup_oom_kills(s->cgroup);
    if (!opened || make_stdio(p, spec, &ends, &error) != OSA_OK ||
        send_spawn(p, spec, &ends, &error) != OSA_OK) {
        p->tree_empty = true;
        process_destroy(p);
        defer_spawned(loop, done, ctx, &error);
    }
}
