// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts); /* cannot fail with these clocks and a valid pointer */
    return (int64_t)ts.tv_sec * OSA_NS_PER_SEC + ts.tv_nsec;
}

int64_t osa_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t osa_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t osa_deadline_after(int64_t delay_ns)
{
    int64_t now = osa_now_ns();
    if (delay_ns <= 0)
        return now;
    return delay_ns >= OSA_NEVER - now ? OSA_NEVER : now + delay_ns;
}
