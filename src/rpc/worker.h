// SPDX-License-Identifier: Apache-2.0
/*
 * A completion queue and the thread that polls it. The tag of each operation is a struct rpc_step
 * inside the object that started it, so an event needs no lookup and no memory.
 */
#pragma once

#include "base/loop.h"

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

/**
 * struct rpc_step - The tag of one operation in flight; embedded in its owner
 * @task:      private; carries the step to the loop
 * @on_loop:   called on the loop thread when the operation has ended
 * @on_worker: called on the worker before that, when not NULL. Return: the loop is to see the step, too
 * @tagged:    set by rpc_step_tag(); orders what its caller wrote before what the worker reads
 * @on_loop_first: on_worker is still to be called, on the loop
 * @ok:        success of the completion event, set before either is called
 */
struct rpc_step {
    struct osa_task task;
    void (*on_loop)(struct rpc_step *self);
    bool (*on_worker)(struct rpc_step *self);
    struct osa_loop *loop;
    atomic_bool tagged;
    bool on_loop_first;
    bool ok;
};

/** struct rpc_worker - In its owner's storage */
struct rpc_worker {
    grpc_completion_queue *queue; /* owned */
    pthread_t thread;
    bool started;
};

/** rpc_step_init() - A step whose completion runs @on_loop on @loop */
void rpc_step_init(struct rpc_step *step, struct osa_loop *loop,
                   void (*on_loop)(struct rpc_step *self));

/**
 * rpc_step_hand_over() - Call it right before core gets @step as a tag
 * Core's queue orders what was written before against the worker, but core is not instrumented, so
 * ThreadSanitizer has to be told. Does nothing in other builds.
 */
void rpc_step_hand_over(struct rpc_step *step);

/**
 * rpc_step_tag() - The step as the tag of an operation that starts now
 * C core orders its threads by itself, but neither the memory model nor TSan can see that from
 * here; one release and one acquire say it.
 */
void *rpc_step_tag(struct rpc_step *step);

/** rpc_step_post() - Run step->on_loop on the loop thread, as if its operation had ended. Thread: any */
void rpc_step_post(struct rpc_step *step);

/**
 * rpc_start_batch() - grpc_call_start_batch() that keeps what ends at once on this thread
 * Core often writes to the transport before it returns. On the loop thread such a step goes to the loop
 * straight away, without the worker: two wake-ups less for each message.
 * @queue: of the call
 */
grpc_call_error rpc_start_batch(grpc_completion_queue *queue, grpc_call *call, const grpc_op *ops,
                                size_t count, struct rpc_step *step);

/** rpc_worker_init() - A fresh completion queue; no thread yet */
void rpc_worker_init(struct rpc_worker *worker);

/** rpc_worker_start() - Start polling. Return: OSA_OK or RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code rpc_worker_start(struct rpc_worker *worker, const char *name,
                                              struct osa_error *err);

/**
 * rpc_worker_done() - Shut the queue down, let the thread drain it, join, free
 * Nothing may be started on the queue from now on, and no event may be left that needs the loop.
 */
void rpc_worker_done(struct rpc_worker *worker);
