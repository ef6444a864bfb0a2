// SPDX-License-Identifier: Apache-2.0
/* How often something may be told: some at once, then one each interval. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** struct osa_rate - All zero is a full allowance; embedded in its owner */
struct osa_rate {
    int64_t credit_ns; /* the allowance begins here; it may lie back by all of the burst */
};

/**
 * osa_rate_take() - May one more be told?
 * @now_ns: monotonic
 * @burst:  how many at once
 * Return: true, and the allowance is one less; false: it is used up.
 */
static inline bool osa_rate_take(struct osa_rate *rate, int64_t now_ns, unsigned burst,
                                 int64_t interval_ns)
{
    int64_t oldest = now_ns - (int64_t)burst * interval_ns;
    if (rate->credit_ns < oldest)
        rate->credit_ns = oldest;
    if (rate->credit_ns + interval_ns > now_ns)
        return false;
    rate->credit_ns += interval_ns;
    return true;
}
