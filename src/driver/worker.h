// SPDX-License-Identifier: Apache-2.0
/*
 * A thread for what waits for a disk: trees that are removed, what is made durable.
 *
 * Jobs are done one after the other, in the order in which they were given. The loop never waits for
 * one, but at the end.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>

/**
 * struct worker_job - Embedded in its owner, which lives until @done
 * @work: called once on the worker's thread; touches nothing but its owner
 * @done: called once on the loop thread, afterwards; may free its owner
 * @skipped: the worker ended before its turn came; @work was not called
 * @task, @next: private
 */
struct worker_job {
    void (*work)(struct worker_job *self);
    void (*done)(struct worker_job *self);
    bool skipped;
    struct osa_task task;
    struct worker_job *next;
};

struct worker;

/** worker_new() - Start the thread; @name as for osa_thread_start(). Return: OSA_OK; RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code worker_new(struct osa_loop *loop, const char *name,
                                        struct worker **ret_worker, struct osa_error *err);

/** worker_do() - Queue a job. Thread: loop */
void worker_do(struct worker *worker, struct worker_job *job);

/**
 * worker_free() - Wait for the job under way and join the thread; NULL is fine
 * All jobs get their `done` still, from the loop, which must run on for that.
 */
void worker_free(struct worker *worker);
