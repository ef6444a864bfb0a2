// SPDX-License-Identifier: Apache-2.0
/*
 * The worker and its questions. The table of executables of a sandbox belongs to the worker's
 * thread while a question is with it, and questions are answered one at a time; everything else,
 * the counts of who needs a struct owners included, belongs to the loop thread.
 */
#include "backends/process/owner_internal.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/thread.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

struct question {
    struct osa_task task; /* the answer's way back */
    struct question *next_queued;
    struct question *prev, *next; /* of its owners, while somebody waits for the answer */
    struct owners *owners;
    pid_t init;
    struct door_visit visit;
    owner_fn done; /* NULL: nobody waits any more */
    void *ctx;
    enum osa_code code;
    struct osa_error error;
    struct owner_answer answer;
};

struct owner_worker {
    struct osa_loop *loop;
    bool started;
    pthread_t thread;
    unsigned open; /* struct owners that exist */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;              /* guarded by lock, as is the queue */
    struct question *queue; /* in order */
};

struct owners {
    struct owner_worker *worker;
    int diag_fd; /* owned */
    struct trusted *trusted;
    struct question *waiting;
    unsigned users; /* whoever made it, and each question under way */
};

/* ---- the thread ---- */

static struct question *take_question(struct owner_worker *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->queue == NULL && !worker->stop)
        (void)pthread_cond_wait(&worker->wake, &worker->lock);
    struct question *q = worker->queue;
    if (q != NULL)
        LL_DELETE2(worker->queue, q, next_queued);
    (void)pthread_mutex_unlock(&worker->lock);
    return q;
}

static void *work(void *arg)
{
    struct owner_worker *worker = arg;
    struct question *q;
    while ((q = take_question(worker)) != NULL) {
        struct owners *owners = q->owners;
        q->code = owner_search(owners->diag_fd, &owners->trusted, q->init, &q->visit, &q->answer,
                               &q->error);
        osa_loop_post(worker->loop, &q->task);
    }
    return NULL;
}

struct owner_worker *owner_worker_new(struct osa_loop *loop)
{
    struct owner_worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        abort();
    worker->loop = loop;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->wake, NULL);
    return worker;
}

void owner_worker_free(struct owner_worker *worker)
{
    if (worker == NULL)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    worker->stop = true; /* what is queued is answered first */
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
    if (worker->started)
        (void)pthread_join(worker->thread, NULL);
    while (worker->open > 0)
        (void)osa_loop_run_once(worker->loop, osa_now_ns());
    (void)pthread_cond_destroy(&worker->wake);
    (void)pthread_mutex_destroy(&worker->lock);
    free(worker);
}

/* ---- the loop's side ---- */

static void release(struct owners *owners)
{
    if (--owners->users > 0)
        return;
    owners->worker->open--;
    owner_trust_free(&owners->trusted);
    osa_close_fd(&owners->diag_fd);
    free(owners);
}

static void question_free(struct question *q)
{
    struct owners *owners = q->owners;
    osa_arena_done(&q->answer.arena);
    free(q);
    release(owners);
}

static void on_answer(struct osa_task *task)
{
    struct question *q = OSA_CONTAINER_OF(task, struct question, task);
    if (q->done != NULL) {
        DL_DELETE(q->owners->waiting, q);
        q->done(q->ctx, q->code == OSA_OK ? &q->answer.owner : NULL,
                q->code == OSA_OK ? NULL : &q->error);
    }
    question_free(q);
}

struct owners *owners_new(struct owner_worker *worker, int diag_fd)
{
    struct owners *owners = calloc(1, sizeof(*owners));
    if (owners == NULL)
        abort();
    *owners = (struct owners){ .worker = worker, .diag_fd = diag_fd, .users = 1 };
    worker->open++;
    return owners;
}

/* An answer that nobody else will give: the sandbox has ended. */
static void on_ended(struct osa_task *task)
{
    struct question *q = OSA_CONTAINER_OF(task, struct question, task);
    q->done(q->ctx, NULL, &q->error);
    free(q);
}

void owners_free(struct owners *owners)
{
    if (owners == NULL)
        return;
    struct question *q;
    struct question *next;
    DL_FOREACH_SAFE(owners->waiting, q, next)
    {
        struct question *ended = calloc(1, sizeof(*ended));
        if (ended == NULL)
            abort();
        ended->task.run = on_ended;
        ended->done = q->done;
        ended->ctx = q->ctx;
        (void)osa_fail(&ended->error, OSA_ABORTED, 0, "the sandbox has ended");
        DL_DELETE(owners->waiting, q);
        q->done = NULL;
        osa_loop_post(owners->worker->loop, &ended->task);
    }
    release(owners);
}

void owners_find(struct owners *owners, pid_t init, const struct door_visit *visit, owner_fn done,
                 void *ctx)
{
    struct owner_worker *worker = owners->worker;
    struct question *q = calloc(1, sizeof(*q));
    if (q == NULL)
        abort();
    q->task.run = on_answer;
    q->owners = owners;
    q->init = init;
    q->visit = *visit;
    q->done = done;
    q->ctx = ctx;
    owners->users++;
    DL_APPEND(owners->waiting, q);
    if (!worker->started)
        q->code = osa_thread_start(&worker->thread, "osa-owner", work, worker, &q->error);
    if (q->code != OSA_OK) {
        osa_loop_post(worker->loop, &q->task);
        return;
    }
    worker->started = true;
    (void)pthread_mutex_lock(&worker->lock);
    LL_APPEND2(worker->queue, q, next_queued);
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
}
