// SPDX-License-Identifier: Apache-2.0
#include "driver/worker.h"

#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

struct worker {
    struct osa_loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct worker_job *jobs; /* guarded by lock */
    bool ending;             /* guarded by lock */
};

static void on_done(struct osa_task *task)
{
    struct worker_job *job = OSA_CONTAINER_OF(task, struct worker_job, task);
    job->done(job);
}

/* The next job; NULL at the end, once all have been taken. */
static struct worker_job *take(struct worker *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->jobs == NULL && !worker->ending)
        (void)pthread_cond_wait(&worker->more, &worker->lock);
    struct worker_job *job = worker->jobs;
    if (job != NULL) {
        LL_DELETE(worker->jobs, job);
        job->skipped = worker->ending;
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return job;
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    for (struct worker_job *job; (job = take(worker)) != NULL;) {
        if (!job->skipped)
            job->work(job);
        job->task.run = on_done;
        osa_loop_post(worker->loop, &job->task);
    }
    return NULL;
}

enum osa_code worker_new(struct osa_loop *loop, const char *name, struct worker **ret_worker,
                         struct osa_error *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return osa_fail_errno(err, ENOMEM, "thread %s", name);
    worker->loop = loop;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->more, NULL);
    enum osa_code code = osa_thread_start(&worker->thread, name, run, worker, err);
    if (code != OSA_OK) {
        (void)pthread_cond_destroy(&worker->more);
        (void)pthread_mutex_destroy(&worker->lock);
        free(worker);
        return code;
    }
    *ret_worker = worker;
    return OSA_OK;
}

void worker_do(struct worker *worker, struct worker_job *job)
{
    (void)pthread_mutex_lock(&worker->lock);
    LL_APPEND(worker->jobs, job);
    (void)pthread_cond_signal(&worker->more);
    (void)pthread_mutex_unlock(&worker->lock);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    worker->ending = true;
    (void)pthread_cond_signal(&worker->more);
    (void)pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    (void)pthread_cond_destroy(&worker->more);
    (void)pthread_mutex_destroy(&worker->lock);
    free(worker);
}
