// SPDX-License-Identifier: Apache-2.0
#include "rpc/worker.h"
#include "base/thread.h"

#ifdef __SANITIZE_THREAD__
/* libsanitizer, sanitizer/tsan_interface.h */
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif

#define HOLD_MAX 32 /* steps held back; more would only make the first of them wait */

static void run_on_loop(struct osa_task *task)
{
    struct rpc_step *step = OSA_CONTAINER_OF(task, struct rpc_step, task);
    bool first = step->on_loop_first;
    step->on_loop_first = false;
    if (!first || step->on_worker(step))
        step->on_loop(step);
}

void rpc_step_init(struct rpc_step *step, struct osa_loop *loop,
                   void (*on_loop)(struct rpc_step *self))
{
    *step = (struct rpc_step){ .task.run = run_on_loop, .on_loop = on_loop, .loop = loop };
}

void rpc_step_hand_over(struct rpc_step *step)
{
    __tsan_release(step);
}

void *rpc_step_tag(struct rpc_step *step)
{
    atomic_store_explicit(&step->tagged, true, memory_order_release);
    return step;
}

void rpc_step_post(struct rpc_step *step)
{
    osa_loop_post(step->loop, &step->task);
}

static void hand_over(struct rpc_step **held, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        rpc_step_post(held[i]);
    *count = 0;
}

/*
 * Steps for the loop are held while more events are ready, so that it is woken once for all of
 * them: a fifth less time for each call under load, against one look at the queue without one.
 */
static void *poll_queue(void *arg)
{
    grpc_completion_queue *queue = arg;
    struct rpc_step *held[HOLD_MAX];
    size_t count = 0;
    for (;;) {
        gpr_timespec until =
            count > 0 ? gpr_time_0(GPR_CLOCK_MONOTONIC) : gpr_inf_future(GPR_CLOCK_MONOTONIC);
        grpc_event event = grpc_completion_queue_next(queue, until, NULL);
        if (event.type == GRPC_OP_COMPLETE) {
            struct rpc_step *step = event.tag;
            (void)atomic_load_explicit(&step->tagged, memory_order_acquire);
            step->ok = event.success != 0;
            if (step->on_worker == NULL || step->on_worker(step))
                held[count++] = step;
        }
        if (event.type != GRPC_OP_COMPLETE || count == HOLD_MAX)
            hand_over(held, &count);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
    }
}

grpc_call_error rpc_start_batch(grpc_completion_queue *queue, grpc_call *call, const grpc_op *ops,
                                size_t count, struct rpc_step *step)
{
    bool on_loop = osa_loop_is_current(step->loop); /* @step is core's after the call */
    rpc_step_hand_over(step);
    if (on_loop)
        grpc_completion_queue_thread_local_cache_init(queue);
    grpc_call_error error = grpc_call_start_batch(call, ops, count, rpc_step_tag(step), NULL);
    void *tag;
    int ok;
    if (!on_loop || grpc_completion_queue_thread_local_cache_flush(queue, &tag, &ok) == 0)
        return error;
    struct rpc_step *ended = tag; /* this one, or another that core happened to see to */
    ended->ok = ok != 0;
    ended->on_loop_first = ended->on_worker != NULL;
    rpc_step_post(ended);
    return error;
}

void rpc_worker_init(struct rpc_worker *worker)
{
    *worker = (struct rpc_worker){ .queue = grpc_completion_queue_create_for_next(NULL) };
}

enum osa_code rpc_worker_start(struct rpc_worker *worker, const char *name, struct osa_error *err)
{
    enum osa_code code = osa_thread_start(&worker->thread, name, poll_queue, worker->queue, err);
    worker->started = code == OSA_OK;
    return code;
}

void rpc_worker_done(struct rpc_worker *worker)
{
    if (worker->queue == NULL)
        return;
    grpc_completion_queue_shutdown(worker->queue);
    if (worker->started)
        (void)pthread_join(worker->thread, NULL);
    else
        (void)poll_queue(worker->queue); /* takes what is left, which is the end mark */
    grpc_completion_queue_destroy(worker->queue);
    *worker = (struct rpc_worker){ 0 };
}
