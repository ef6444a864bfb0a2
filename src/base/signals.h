// SPDX-License-Identifier: Apache-2.0
/* Signals as events of the loop. */
#pragma once

#include "base/loop.h"

#include <signal.h>

/**
 * struct osa_signals - Embedded in its owner
 * @received: called on the loop thread, once for each delivery that the kernel has not merged
 * @source: private
 */
struct osa_signals {
    void (*received)(struct osa_signals *self, int signo);
    struct osa_source source;
};

/**
 * osa_signals_open() - Block the signals of @set and watch them
 * Before the first thread, so that every thread inherits the mask; SIGPIPE is ignored from then on.
 * Return: OSA_OK; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code osa_signals_open(struct osa_loop *loop, struct osa_signals *self,
                                              const sigset_t *set, struct osa_error *err);

/** osa_signals_close() - Stop watching; the signals stay blocked. One never opened is fine when all zero */
void osa_signals_close(struct osa_signals *self);
