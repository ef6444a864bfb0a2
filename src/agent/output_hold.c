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

static void hold(struct process *process, bool held)
{
    if (process->held == held)
        return;
    process->held = held;
    osa_timer_disarm(&process->hold);
    if (held)
        osa_timer_arm(process->agent->setup.loop, &process->hold,
                      osa_deadline_after(OUTPUT_HOLD_NS));
    process->handle->ops->hold_output(process->handle, held);
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

void output_hold_init(struct process *process)
{
    process->hold.fire = on_patience_over;
}

void output_hold_update(struct process *process)
{
    if (process->state != PROCESS_RUNNING || process->handle == NULL)
        return;
    uint64_t worst = 0;
    bool waited_for = false; /* by somebody who has not caught up yet */
    struct process_reader *reader;
    DL_FOREACH(process->readers, reader)
    {
        if (has_caught_up(process, reader)) {
            reader->stalled = false;
        } else if (!reader->stalled) {
            waited_for = true;
            worst = OSA_MAX(worst, lag_of(process, reader));
        }
    }
    if (process->held)
        hold(process, waited_for);
    else if (worst > process->log.max / 2)
        hold(process, true);
}

void output_hold_end(struct process *process)
{
    if (process->handle != NULL)
        hold(process, false);
}
