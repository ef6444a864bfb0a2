// SPDX-License-Identifier: Apache-2.0
#include "agent/idle.h"

#include "base/clock.h"

/* Touches only note the time: the timer finds out when it fires. */
static void on_timer(struct osa_timer *timer)
{
    struct idle *idle = OSA_CONTAINER_OF(timer, struct idle, timer);
    int64_t due_ns = idle->last_ns + idle->after_ns;
    if (osa_now_ns() < due_ns)
        osa_timer_arm(idle->loop, &idle->timer, due_ns);
    else
        idle->rest();
}

void idle_start(struct idle *idle, struct osa_loop *loop, int64_t after_ns, void (*rest)(void))
{
    *idle = (struct idle){
        .loop = loop, .timer = { .fire = on_timer }, .rest = rest, .after_ns = after_ns
    };
    idle_touch(idle);
}

void idle_touch(struct idle *idle)
{
    if (idle->loop == NULL)
        return;
    idle->last_ns = osa_now_ns();
    if (idle->timer.heap_index == 0)
        osa_timer_arm(idle->loop, &idle->timer, idle->last_ns + idle->after_ns);
}

void idle_stop(struct idle *idle)
{
    osa_timer_disarm(&idle->timer);
    idle->loop = NULL;
}
