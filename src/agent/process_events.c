// SPDX-License-Identifier: Apache-2.0
/* What the backend reports about a process, the timers that run beside it, and how its tree is killed. */
#include "agent/agent_internal.h"
#include "agent/output_hold.h"

#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <utlist.h>

void process_wake_readers(struct process *process)
{
    struct process_reader *reader, *after;
    (void)process_ref(process);
    DL_FOREACH_SAFE(process->readers, reader, after)
    reader->ready(reader);
    process_unref(process);
}

/* Calls and empties a list; a waiter may go away in its callback, others may not. */
static void wake_waiters(struct process *process, struct process_waiter **list)
{
    while (*list != NULL) {
        struct process_waiter *waiter = *list;
        DL_DELETE(*list, waiter);
        waiter->prev = NULL;
        waiter->exited(waiter, process);
    }
}

void process_settle(struct process *process)
{
    if (process->state != PROCESS_EXITED || process->streams != 0)
        return;
    if (!process->output_done) {
        process->output_done = true;
        output_log_trim(&process->log);
        if (process->listed)
            agent_retain_output(process->agent, process);
        process_wake_readers(process);
    }
    if (process->busy == 0 && process->handle != NULL) {
        process->handle->ops->process_free(process->handle);
        process->handle = NULL;
    }
}

/* ---- killing the tree ---- */

static void on_tree_killed(void *ctx, const struct osa_error *error)
{
    struct process *process = ctx;
    if (error != NULL)
        osa_log_error(OSA_LOG_WARN, "agent", "tree not killed; the sandbox's end will do it", error,
                      OSA_S("process", process->id));
    process->busy--;
    process->killing = false;
    if (process->state == PROCESS_EXITED)
        wake_waiters(process, &process->kill_waiters);
    if (process->sandbox != NULL)
        sandbox_settle(process->sandbox);
    process_settle(process);
    process_unref(process);
}

void process_kill_tree(struct process *process)
{
    if (process->handle == NULL || process->killing ||
        (process->sandbox != NULL && process->sandbox->destroying))
        return;
    process->killing = true;
    process->busy++;
    osa_timer_disarm(&process->grace);
    if (process->sandbox != NULL)
        sandbox_unsettle(process->sandbox);
    process->handle->ops->kill_tree(process->handle, on_tree_killed, process_ref(process));
}

static void on_timeout(struct osa_timer *timer)
{
    struct process *process = OSA_CONTAINER_OF(timer, struct process, timeout);
    process->timed_out = true;
    process->kill_wanted = true;
    process_kill_tree(process);
}

static void on_grace_over(struct osa_timer *timer)
{
    process_kill_tree(OSA_CONTAINER_OF(timer, struct process, grace));
}

/* ---- events ---- */

static void on_output(struct process_events *events, enum output_stream stream, const void *data,
                      size_t len)
{
    struct process *process = OSA_CONTAINER_OF(events, struct process, events);
    output_log_append(&process->log, stream, data, len);
    if (process->listed)
        agent_retain_output(process->agent, process);
    process_wake_readers(process);
    output_hold_update(process);
}

static void on_output_end(struct process_events *events, enum output_stream stream)
{
    struct process *process = OSA_CONTAINER_OF(events, struct process, events);
    process->streams &= ~(unsigned)stream;
    process_settle(process);
}

static void on_stdin_ready(struct process_events *events)
{
    process_wake_readers(OSA_CONTAINER_OF(events, struct process, events));
}

static void on_oom_killed(struct process_events *events)
{
    struct process *process = OSA_CONTAINER_OF(events, struct process, events);
    agent_emit(process->agent, EVENT_OOM_KILL, process->sandbox_id, process->id,
               "the kernel killed a process for want of memory");
}

static void on_denied(struct process_events *events, const char *control, const char *text)
{
    struct process *process = OSA_CONTAINER_OF(events, struct process, events);
    const struct event event = { .type = EVENT_DENIED,
                                 .sandbox_id = process->sandbox_id,
                                 .process_id = process->id,
                                 .control = control,
                                 .message = text };
    events_add(process->agent->events, &event);
}

/* The backend says how it ended; the agent knows why it was killed. */
static enum exit_reason reason_of(const struct process *process, const struct process_exit *exit)
{
    bool killed = exit->reason == EXIT_REASON_SIGNALED && exit->signal == SIGKILL;
    if (killed && process->timed_out)
        return EXIT_REASON_TIMEOUT;
    if (killed && process->sandbox != NULL && process->sandbox->destroying)
        return EXIT_REASON_SANDBOX_LOST;
    return exit->reason;
}

static void finish(struct process *process, const struct process_exit *exit)
{
    struct agent *agent = process->agent;
    process->exit = *exit;
    process->exit.reason = reason_of(process, exit);
    if (process->exit.reason == EXIT_REASON_SANDBOX_LOST && process->exit.signal == 0)
        process->exit.signal = SIGKILL; /* nothing else ends what loses its sandbox */
    process->state = PROCESS_EXITED;
    osa_timer_disarm(&process->timeout);
    osa_timer_disarm(&process->grace);
    output_hold_end(process);

    const struct event event = { .type = EVENT_PROCESS_EXITED,
                                 .sandbox_id = process->sandbox_id,
                                 .process_id = process->id,
                                 .exit = &process->exit };
    events_add(agent->events, &event);
    wake_waiters(process, &process->waiters);
    if (process->kill_wanted)
        process_kill_tree(process); /* what TERM has left of the tree */
    if (!process->killing)
        wake_waiters(process, &process->kill_waiters);
    process_wake_readers(process);
}

static void on_exited(struct process_events *events, const struct process_exit *exit)
{
    struct process *process = OSA_CONTAINER_OF(events, struct process, events);
    struct agent *agent = process->agent;
    if (process->state == PROCESS_EXITED)
        return;
    (void)process_ref(process);
    finish(process, exit);
    agent_process_ended(agent, process);
    if (process->sandbox != NULL)
        sandbox_process_ended(process->sandbox, process, /* gone= */ false);
    process_settle(process);
    agent_retain(agent, process);
    process_unref(process);
}

void process_sandbox_gone(struct process *process)
{
    const struct process_exit lost = { .reason = EXIT_REASON_SANDBOX_LOST,
                                       .signal = SIGKILL,
                                       .exited_wall_ns = osa_wall_ns() };
    (void)process_ref(process);
    if (process->state == PROCESS_RUNNING)
        on_exited(&process->events, &lost);
    if (process->sandbox != NULL)
        sandbox_forget_process(process->sandbox, process);
    process_settle(process); /* what is still in a pipe comes, and then its end */
    process_unref(process);
}

void process_events_init(struct process *process)
{
    process->events = (struct process_events){
        .output = on_output,
        .output_end = on_output_end,
        .stdin_ready = on_stdin_ready,
        .exited = on_exited,
        .oom_killed = on_oom_killed,
        .denied = on_denied,
    };
    process->timeout.fire = on_timeout;
    process->grace.fire = on_grace_over;
    output_hold_init(process);
}
