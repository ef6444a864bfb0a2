// SPDX-License-Identifier: Apache-2.0
#include "agent/output_hold.h"

#include "agent/agent_internal.h"

#include <utlist.h>

static uint64_t lag_of(const struct process *process, const struct process_reader *reader)
{
    return reader->follows ? process->log.end - reader->taken : 0;
}

static bool has_caught_up(const struct process *process, const struct process_reader *reader)
{
    return lag_of(process, reader) <= process->log.max / 4;
}

/* Those who are here have a second; for the first one the Spawn has set the time. */
static void arm_patience(struct process *process)
{
    osa_timer_disarm(&process->hold);
    if (process->held && !process->awaits_reader)
        osa_timer_arm(process->agent->setup.loop, &process->hold,
                      osa_deadline_after(OUTPUT_HOLD_NS));
}

static void apply(struct process *process)
{
    bool unread = process->held || process->paced;
    if (process->unread == unread)
        return;
    process->unread = unread;
    process->handle->ops->hold_output(process->handle, unread);
}

static void hold(struct process *process, bool held)
{
    if (process->held == held)
        return;
    process->held = held;
    arm_patience(process);
    apply(process);
}

static void pace(struct process *process, bool paced)
{
    if (process->paced == paced)
        return;
    process->paced = paced;
    osa_timer_disarm(&process->pace);
    if (paced)
        osa_timer_arm(process->agent->setup.loop, &process->pace,
                      osa_deadline_after(OUTPUT_PACE_NS));
    apply(process);
}

/* Who needs longer is not waited for again before that send has ended. */
static void on_pace_over(struct osa_timer *timer)
{
    struct process *process = OSA_CONTAINER_OF(timer, struct process, pace);
    struct process_reader *reader;
    DL_FOREACH(process->readers, reader)
    {
        reader->slow = reader->sending;
    }
    pace(process, false);
}

static void on_patience_over(struct osa_timer *timer)
{
    struct process *process = OSA_CONTAINER_OF(timer, struct process, hold);
    struct process_reader *reader;
    DL_FOREACH(process->readers, reader)
    {
        reader->stalled = !has_caught_up(process, reader);
    }
    hold(process, false);
}

static void stop_awaiting(struct process *process)
{
    process->awaits_reader = false;
    osa_timer_disarm(&process->await);
    arm_patience(process);
}

static void on_nobody_came(struct osa_timer *timer)
{
    struct process *process = OSA_CONTAINER_OF(timer, struct process, await);
    stop_awaiting(process);
    output_hold_update(process);
}

void output_hold_init(struct process *process)
{
    process->hold.fire = on_patience_over;
    process->await.fire = on_nobody_came;
    process->pace.fire = on_pace_over;
}

void output_hold_start(struct process *process)
{
    process->awaits_reader = process->request->hold_output_ns > 0;
    if (process->awaits_reader)
        osa_timer_arm(process->agent->setup.loop, &process->await,
                      osa_deadline_after(process->request->hold_output_ns));
}

void output_hold_reader_came(struct process *process, const struct process_reader *reader)
{
    if (!reader->follows || !process->awaits_reader)
        return;
    stop_awaiting(process);
    output_hold_update(process);
}

void output_hold_update(struct process *process)
{
    if (process->state != PROCESS_RUNNING || process->handle == NULL)
        return;
    uint64_t worst = process->awaits_reader ? process->log.end : 0;
    bool waited_for = process->awaits_reader; /* or by somebody who has not caught up yet */
    bool sending = false;
    struct process_reader *reader;
    DL_FOREACH(process->readers, reader)
    {
        reader->slow &= reader->sending;
        sending |= reader->follows && reader->sending && !reader->slow;
        if (has_caught_up(process, reader)) {
            reader->stalled = false;
        } else if (!reader->stalled) {
            waited_for = true;
            worst = OSA_MAX(worst, lag_of(process, reader));
        }
    }
    pace(process, sending);
    if (process->held)
        hold(process, waited_for);
    else if (worst > process->log.max / 2)
        hold(process, true);
}

void output_hold_end(struct process *process)
{
    stop_awaiting(process);
    if (process->handle == NULL)
        return;
    pace(process, false);
    hold(process, false);
}
