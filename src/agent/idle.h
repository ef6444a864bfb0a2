// SPDX-License-Identifier: Apache-2.0
/* Notices when nothing has been asked for a while; the loop is not woken again until something is. */
#pragma once

#include "base/loop.h"

#include <stdint.h>

/** struct idle - Embedded in its owner; its fields are private. All on the loop thread */
struct idle {
    struct osa_loop *loop;
    struct osa_timer timer;
    void (*rest)(void);
    int64_t after_ns;
    int64_t last_ns;
};

/** idle_start() - Call @rest when @after_ns have passed without idle_touch(), and so after each pause */
void idle_start(struct idle *idle, struct osa_loop *loop, int64_t after_ns, void (*rest)(void));

/** idle_touch() - Something was asked. Costs a look at the clock; before idle_start() nothing */
void idle_touch(struct idle *idle);

/** idle_stop() - No call afterwards; never started is fine */
void idle_stop(struct idle *idle);
