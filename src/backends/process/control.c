// SPDX-License-Identifier: Apache-2.0
/*
 * Signals and the killing of trees.
 *
 * A tree is killed in the first way that reaches all of it: every process of a pid namespace at
 * once, by its init, when the tree is alone in there; else pass after pass over what descends from
 * the tree's keeper (or from init, less the other keepers), until nothing is left. Who escapes by
 * setsid or a double fork stays below the keeper, a subreaper.
 */
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2) /* Linux 6.9 */
#endif
#define SWEEP_FIRST_NS (1 * OSA_NS_PER_MS)
#define SWEEP_LAST_NS (50 * OSA_NS_PER_MS)

static struct process *process_of(struct backend_process *base)
{
    return OSA_CONTAINER_OF(base, struct process, base);
}

pid_t pidfd_pid(int pidfd)
{
    char path[64];
    struct osa_error ignored;
    OSA_AUTO(osa_free) char *text = NULL;
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    if (osa_read_file(AT_FDCWD, path, 4096, &text, NULL, &ignored) != OSA_OK)
        return -1;
    const char *at = strstr(text, "\nPid:");
    return at == NULL ? -1 : (pid_t)strtol(at + 5, NULL, 10);
}

/*
 * One pass over the tree of a process. Who hangs on init itself is told from others by their keepers and
 * copiers, so not while one of these starts, whose pid is not known yet.
 * Return: members seen; -1 when its root cannot be named any more; -EAGAIN: later.
 */
static int sweep_tree(const struct process *p, int signo)
{
    struct sandbox *s = p->sandbox;
    if (p->keeper_pidfd >= 0) {
        pid_t keeper = pidfd_pid(p->keeper_pidfd);
        return keeper <= 0 ? -1 : sweep_descendants(keeper, signo, NULL, 0);
    }
    pid_t init = pidfd_pid(s->init_pidfd);
    OSA_AUTO(osa_free)
    pid_t *others = calloc(HASH_COUNT(s->processes) + copy_count(s) + 1, sizeof(*others));
    if (init <= 0 || others == NULL)
        return -1;
    size_t count = copy_pids(s, others);
    if (count < copy_count(s))
        return -EAGAIN;
    for (struct process *other = s->processes; other != NULL; other = other->hh.next) {
        if (other->state == PROCESS_STARTING)
            return -EAGAIN;
        pid_t keeper = other->keeper_pidfd >= 0 ? pidfd_pid(other->keeper_pidfd) : -1;
        if (keeper > 0)
            others[count++] = keeper;
    }
    return sweep_descendants(init, signo, others, count);
}

/* ---- signals ---- */

static enum osa_code signal_result(int rc, struct osa_error *err)
{
    if (rc == 0)
        return OSA_OK;
    if (errno == ESRCH)
        return osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited");
    if (errno == EINVAL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "no such signal");
    return osa_fail_errno(err, errno, "pidfd_send_signal");
}

static enum osa_code signal_group(const struct process *p, int signo, struct osa_error *err)
{
    struct sandbox *s = p->sandbox;
    if (s->backend->probe.group_pidfd != 0)
        return signal_result(
            osa_sys_pidfd_send_signal(p->pidfd, signo, NULL, PIDFD_SIGNAL_PROCESS_GROUP), err);
    if (osa_sys_pidfd_send_signal(p->pidfd, 0, NULL, 0) < 0)
        return signal_result(-1, err);
    /* A keeper is busy waiting; but as its leader, the process cannot have left its group. */
    if (p->keeper_pidfd >= 0) {
        pid_t pid = pidfd_pid(p->pidfd);
        return pid <= 0 ? osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited")
                        : signal_result(kill(-pid, signo), err);
    }
    struct launcher_message head = { .type = LAUNCHER_GROUP_SIGNAL, .key = p->key };
    struct launcher_signal body = { .signo = signo };
    return channel_send(&s->init, &head, &body, sizeof(body), NULL, 0, err);
}

enum osa_code signal_op(struct backend_process *base, int signo, enum signal_scope scope,
                        struct osa_error *err)
{
    struct process *p = process_of(base);
    if (p->state != PROCESS_RUNNING || p->sandbox == NULL)
        return osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited");
    if (signo < 0 || signo > 64)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "signal %d: must be 0 to 64", signo);
    switch (scope) {
    case SIGNAL_PROCESS:
        return signal_result(osa_sys_pidfd_send_signal(p->pidfd, signo, NULL, 0), err);
    case SIGNAL_GROUP:
        return signal_group(p, signo, err);
    case SIGNAL_TREE: {
        if (p->cgroup != NULL && resources_can_kill(p))
            return cgroup_signal(p->cgroup, signo, err);
        int seen = sweep_tree(p, signo);
        if (seen > 0)
            return OSA_OK;
        if (seen == -1 || seen == 0)
            return osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited");
        if (seen == -EAGAIN)
            return osa_fail(err, OSA_UNAVAILABLE, 0,
                            "something else starts in the sandbox at this moment; try again");
        return osa_fail_errno(err, -seen, "/proc");
    }
    }
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "signal scope %d", (int)scope);
}

/* ---- kill ---- */

static void answer_killers(struct process *p)
{
    while (p->killers != NULL) {
        struct kill_waiter *waiter = p->killers;
        LL_DELETE(p->killers, waiter);
        defer_done(p->loop, waiter->done, waiter->ctx, NULL);
        free(waiter);
    }
}

void control_tree_empty(struct process *p)
{
    struct sandbox *s = p->sandbox;
    p->tree_empty = true;
    osa_timer_disarm(&p->sweep);
    if (s != NULL && s->direct == p) {
        s->direct = NULL;
        if (s->state == SANDBOX_READY)
            osa_timer_disarm(&s->patience);
    }
    answer_killers(p);
}

void control_abandon(struct process *p)
{
    osa_timer_disarm(&p->sweep);
    answer_killers(p);
}

static bool keeper_ended(const struct process *p)
{
    struct pollfd fd = { .fd = p->keeper_pidfd, .events = POLLIN };
    return poll(&fd, 1, 0) > 0;
}

/* Alone in a pid namespace: init kills all and says when nobody is left. */
static bool kill_by_init(struct process *p)
{
    struct sandbox *s = p->sandbox;
    if (p->keeper_pidfd >= 0 || (s->isolation.namespaces & NAMESPACE_PID) == 0 ||
        HASH_COUNT(s->processes) != 1 || copy_count(s) != 0)
        return false;
    struct osa_error ignored;
    struct launcher_message head = { .type = LAUNCHER_KILL_ALL, .key = p->key };
    if (channel_send(&s->init, &head, NULL, 0, NULL, 0, &ignored) != OSA_OK)
        return false;
    osa_timer_arm(p->loop, &s->patience, osa_deadline_after(INIT_PATIENCE_NS));
    return true;
}

static void on_sweep(struct osa_timer *timer);

static void begin_sweep(struct process *p)
{
    p->sweep.fire = on_sweep;
    p->sweep_delay_ns = SWEEP_FIRST_NS;
    osa_timer_arm(p->loop, &p->sweep, osa_now_ns());
}

void control_on_done(struct process *p, int sys_errno)
{
    if (p->killers == NULL)
        return;
    if (p->sandbox != NULL && p->sandbox->state == SANDBOX_READY)
        osa_timer_disarm(&p->sandbox->patience); /* init has answered */
    if (sys_errno == 0)
        control_tree_empty(p);
    else
        begin_sweep(p); /* other trees live in the namespace, too */
}

static void on_sweep(struct osa_timer *timer)
{
    struct process *p = OSA_CONTAINER_OF(timer, struct process, sweep);
    if (p->keeper_pidfd >= 0 && keeper_ended(p)) {
        control_tree_empty(p);
        return;
    }
    int seen = sweep_tree(p, SIGKILL);
    if (seen == 0 && p->keeper_pidfd < 0 && p->state == PROCESS_EXITED) {
        control_tree_empty(p);
        return;
    }
    osa_timer_arm(p->loop, &p->sweep, osa_deadline_after(p->sweep_delay_ns));
    p->sweep_delay_ns = OSA_MIN(p->sweep_delay_ns * 2, SWEEP_LAST_NS);
}

void kill_tree_op(struct backend_process *base, done_fn done, void *ctx)
{
    struct process *p = process_of(base);
    struct sandbox *s = p->sandbox;
    if (p->tree_empty || s == NULL) {
        defer_done(p->loop, done, ctx, NULL);
        return;
    }
    struct kill_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL)
        abort(); /* 24 bytes; without them nothing else works either */
    waiter->done = done;
    waiter->ctx = ctx;
    bool first = p->killers == NULL;
    LL_APPEND(p->killers, waiter);
    if (!first || s->state != SANDBOX_READY) /* an ending sandbox answers when it is gone */
        return;
    struct osa_error ignored;
    if (resources_can_kill(p)) {
        resources_await_end(p);
        if (cgroup_kill(p->cgroup, &ignored) == OSA_OK)
            return;
    }
    (void)osa_sys_pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
    if (kill_by_init(p))
        return;
    begin_sweep(p);
}
