// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/clock.h"
#include "driver/worker.h"

#include <pthread.h>

enum { JOBS = 200 };

struct counted {
    struct worker_job job;
    int *order;
    int *next; /* the worker's alone until the job is done */
    int done;
    pthread_t worked_by;
};

static void work(struct worker_job *job)
{
    struct counted *counted = OSA_CONTAINER_OF(job, struct counted, job);
    *counted->order = (*counted->next)++;
    counted->worked_by = pthread_self();
}

static void on_done(struct worker_job *job)
{
    OSA_CONTAINER_OF(job, struct counted, job)->done++;
}

static void test_in_order_and_told(void **state)
{
    (void)state;
    static struct counted jobs[JOBS];
    int order[JOBS];
    int next = 0;
    struct osa_error err = { 0 };
    struct osa_loop *loop = NULL;
    struct worker *worker = NULL;
    assert_int_equal(osa_loop_new(&loop, &err), OSA_OK);
    assert_int_equal(worker_new(loop, "osa-test", &worker, &err), OSA_OK);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted){ .job = { .work = work, .done = on_done },
                                    .order = &order[i],
                                    .next = &next };
        worker_do(worker, &jobs[i].job);
    }
    while (!jobs[JOBS - 1].done)
        (void)osa_loop_run_once(loop, OSA_NEVER);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(order[i], i);
        assert_int_equal(jobs[i].done, 1);
        assert_false(jobs[i].job.skipped);
        assert_false(pthread_equal(jobs[i].worked_by, pthread_self()));
    }
    worker_free(worker);
    osa_loop_free(loop);
}

/* A job that holds the worker until the test lets go. */
struct held {
    struct worker_job job;
    pthread_mutex_t *lock;
    int done;
};

static void wait_for_lock(struct worker_job *job)
{
    struct held *held = OSA_CONTAINER_OF(job, struct held, job);
    (void)pthread_mutex_lock(held->lock);
    (void)pthread_mutex_unlock(held->lock);
}

static void on_held(struct worker_job *job)
{
    OSA_CONTAINER_OF(job, struct held, job)->done++;
}

/* What did not get its turn is told so, exactly once; nothing is lost. */
static void test_end(void **state)
{
    (void)state;
    static struct counted jobs[JOBS];
    int order[JOBS];
    int next = 0;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct held held = { .job = { .work = wait_for_lock, .done = on_held }, .lock = &lock };
    struct osa_error err = { 0 };
    struct osa_loop *loop = NULL;
    struct worker *worker = NULL;
    assert_int_equal(osa_loop_new(&loop, &err), OSA_OK);
    assert_int_equal(worker_new(loop, "osa-test", &worker, &err), OSA_OK);
    (void)pthread_mutex_lock(&lock);
    worker_do(worker, &held.job);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted){ .job = { .work = work, .done = on_done },
                                    .order = &order[i],
                                    .next = &next };
        worker_do(worker, &jobs[i].job);
    }
    (void)pthread_mutex_unlock(&lock);
    worker_free(worker);
    while (!held.done || !jobs[JOBS - 1].done)
        (void)osa_loop_run_once(loop, OSA_NEVER);
    int worked = 0;
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].done, 1);
        worked += !jobs[i].job.skipped;
    }
    assert_int_equal(worked, next);
    worker_free(NULL);
    osa_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_and_told),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
