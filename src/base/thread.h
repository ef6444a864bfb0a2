// SPDX-License-Identifier: Apache-2.0
/* Threads that have a name and take no signals. Each is joined by the one who started it. */
#pragma once

#include "base/error.h"

#include <pthread.h>

/**
 * osa_thread_start() - pthread_create(3) with all signals blocked in the new thread
 * @name: at most 15 characters, shown by ps -L and in core dumps
 * Return: OSA_OK or RESOURCE_EXHAUSTED
 */
OSA_MUST_CHECK enum osa_code osa_thread_start(pthread_t *ret_thread, const char *name,
                                              void *(*run)(void *arg), void *arg,
                                              struct osa_error *err);
