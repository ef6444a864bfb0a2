// SPDX-License-Identifier: Apache-2.0
/* One monotonic clock for timeouts, one wall clock for people. Nanoseconds in int64_t everywhere. */
#pragma once

#include <stdint.h>

#define OSA_NS_PER_SEC 1000000000LL
#define OSA_NS_PER_MS 1000000LL
#define OSA_NS_PER_US 1000LL
/* A deadline that never comes. */
#define OSA_NEVER INT64_MAX

/** osa_now_ns() - CLOCK_MONOTONIC in ns; the only clock that timeouts and deadlines use */
int64_t osa_now_ns(void);

/** osa_wall_ns() - CLOCK_REALTIME in ns since the epoch; for timestamps shown to people, never compared */
int64_t osa_wall_ns(void);

/** osa_deadline_after() - now + @delay_ns, saturating at OSA_NEVER; @delay_ns < 0 counts as 0 */
int64_t osa_deadline_after(int64_t delay_ns);
