// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"
#include "base/clock.h"
#include "base/fd.h"

#include "cmocka_all.h"

#include <pthread.h>
#include <unistd.h>

struct fixture {
    struct osa_loop *loop;
    int order[64];
    int count;
};

struct probe_timer {
    struct osa_timer timer;
    struct fixture *fixture;
    int id;
};

struct probe_source {
    struct osa_source source;
    struct fixture *fixture;
    struct probe_source *victim; /* removed when this one is ready */
    unsigned seen;
};

struct probe_task {
    struct osa_task task;
    struct fixture *fixture;
    int id;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){ 0 };
    if (osa_loop_new(&fixture.loop, NULL) != OSA_OK)
        return -1;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    osa_loop_free(((struct fixture *)*state)->loop);
    return 0;
}

static void on_timer(struct osa_timer *timer)
{
    struct probe_timer *self = OSA_CONTAINER_OF(timer, struct probe_timer, timer);
    self->fixture->order[self->fixture->count++] = self->id;
}

static void test_timers_fire_in_order(void **state)
{
    struct fixture *f = *state;
    struct probe_timer timers[20];
    int64_t now = osa_now_ns();
    for (int i = 0; i < 20; i++) {
        timers[i] =
            (struct probe_timer){ .timer.fire = on_timer, .fixture = f, .id = (i * 7) % 20 };
        osa_timer_arm(f->loop, &timers[i].timer, now + timers[i].id * OSA_NS_PER_US);
    }
    osa_timer_disarm(&timers[0].timer); /* id 0 */
    osa_timer_disarm(&timers[0].timer);
    while (f->count < 19)
        (void)osa_loop_run_once(f->loop, osa_deadline_after(OSA_NS_PER_SEC));
    for (int i = 0; i < 19; i++)
        assert_int_equal(f->order[i], i + 1);
}

static void on_source(struct osa_source *source, unsigned events)
{
    struct probe_source *self = OSA_CONTAINER_OF(source, struct probe_source, source);
    self->seen = events;
    self->fixture->count++;
    if (self->victim != NULL)
        osa_source_remove(&self->victim->source);
}

static void test_source_removed_in_the_same_batch(void **state)
{
    struct fixture *f = *state;
    int a[2];
    int b[2];
    assert_int_equal(osa_pipe(a, NULL), OSA_OK);
    assert_int_equal(osa_pipe(b, NULL), OSA_OK);
    struct probe_source first = { .source = { .fd = a[0], .ready = on_source }, .fixture = f };
    struct probe_source second = { .source = { .fd = b[0], .ready = on_source }, .fixture = f };
    first.victim = &second;
    second.victim = &first;
    assert_int_equal(osa_source_add(f->loop, &first.source, OSA_READ, NULL), OSA_OK);
    assert_int_equal(osa_source_add(f->loop, &second.source, OSA_READ, NULL), OSA_OK);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    assert_true(osa_loop_run_once(f->loop, osa_deadline_after(OSA_NS_PER_SEC)));
    assert_int_equal(f->count, 1); /* whichever came first took the other away */
    osa_source_remove(&first.source);
    osa_source_remove(&second.source);
    for (int i = 0; i < 2; i++) {
        (void)close(a[i]);
        (void)close(b[i]);
    }
}

/* A library may close first and tell then; the slot is free again, and others are not disturbed. */
static void test_source_forgotten_after_its_close(void **state)
{
    struct fixture *f = *state;
    int a[2];
    int b[2];
    assert_int_equal(osa_pipe(a, NULL), OSA_OK);
    assert_int_equal(osa_pipe(b, NULL), OSA_OK);
    struct probe_source gone = { .source = { .fd = a[0], .ready = on_source }, .fixture = f };
    struct probe_source stays = { .source = { .fd = b[0], .ready = on_source }, .fixture = f };
    assert_int_equal(osa_source_add(f->loop, &gone.source, OSA_READ, NULL), OSA_OK);
    (void)close(a[0]);
    osa_source_forget(&gone.source);
    osa_source_forget(&gone.source); /* twice is fine */
    assert_int_equal(osa_source_add(f->loop, &stays.source, OSA_READ, NULL), OSA_OK);
    assert_int_equal(write(b[1], "x", 1), 1);
    assert_true(osa_loop_run_once(f->loop, osa_deadline_after(OSA_NS_PER_SEC)));
    assert_int_equal(f->count, 1);
    osa_source_forget(&stays.source);
    (void)close(a[1]);
    (void)close(b[0]);
    (void)close(b[1]);
}

static void test_hup_is_told(void **state)
{
    struct fixture *f = *state;
    int a[2];
    assert_int_equal(osa_pipe(a, NULL), OSA_OK);
    struct probe_source source = { .source = { .fd = a[0], .ready = on_source }, .fixture = f };
    assert_int_equal(osa_source_add(f->loop, &source.source, 0, NULL), OSA_OK);
    (void)close(a[1]);
    assert_true(osa_loop_run_once(f->loop, osa_deadline_after(OSA_NS_PER_SEC)));
    assert_int_equal(source.seen, OSA_HUP);
    osa_source_remove(&source.source);
    (void)close(a[0]);
}

static void on_task(struct osa_task *task)
{
    struct probe_task *self = OSA_CONTAINER_OF(task, struct probe_task, task);
    if (self->id == 0)
        osa_loop_stop(self->fixture->loop);
    self->fixture->order[self->fixture->count++] = self->id;
}

static void *post_all(void *arg)
{
    struct probe_task *tasks = arg;
    for (int i = 50; i-- > 0;)
        osa_loop_post(tasks[i].fixture->loop, &tasks[i].task);
    return NULL;
}

static void test_posts_arrive_in_order(void **state)
{
    struct fixture *f = *state;
    struct probe_task tasks[50];
    for (int i = 0; i < 50; i++)
        tasks[i] = (struct probe_task){ .task.run = on_task, .fixture = f, .id = i };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_all, tasks), 0);
    osa_loop_run(f->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f->count, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(f->order[i], 49 - i);
    assert_true(osa_loop_is_current(f->loop));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers_fire_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_removed_in_the_same_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_forgotten_after_its_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hup_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_posts_arrive_in_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
