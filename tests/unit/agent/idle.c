// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "agent/idle.h"
#include "base/clock.h"

#define AFTER_NS (20 * OSA_NS_PER_MS)
#define PATIENCE_NS (60 * OSA_NS_PER_SEC)

static unsigned rests;

static void rest(void)
{
    rests++;
}

static void turn_until(struct osa_loop *loop, unsigned wanted)
{
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    while (rests < wanted && osa_now_ns() < deadline)
        (void)osa_loop_run_once(loop, deadline);
    assert_int_equal(rests, wanted);
}

static void rests_after_each_pause(void **state)
{
    (void)state;
    struct osa_loop *loop;
    struct osa_error err;
    struct idle idle = { 0 };
    rests = 0;
    idle_touch(&idle); /* before the start: nothing */
    assert_int_equal(osa_loop_new(&loop, &err), OSA_OK);
    int64_t began = osa_now_ns();
    idle_start(&idle, loop, AFTER_NS, rest);
    turn_until(loop, 1);
    assert_true(osa_now_ns() - began >= AFTER_NS);
    assert_false(osa_loop_run_once(loop, osa_deadline_after(3 * AFTER_NS))); /* asleep */
    assert_int_equal(rests, 1);

    idle_touch(&idle);
    turn_until(loop, 2);
    idle_stop(&idle);
    idle_touch(&idle);
    assert_false(osa_loop_run_once(loop, osa_deadline_after(3 * AFTER_NS)));
    assert_int_equal(rests, 2);
    osa_loop_free(loop);
}

/* A rest comes no sooner than the whole pause after the last touch, however many there were. */
static void touches_put_it_off(void **state)
{
    (void)state;
    struct osa_loop *loop;
    struct osa_error err;
    struct idle idle;
    int64_t last = 0;
    rests = 0;
    assert_int_equal(osa_loop_new(&loop, &err), OSA_OK);
    idle_start(&idle, loop, AFTER_NS, rest);
    for (int i = 0; i < 20 && rests == 0; i++) {
        last = osa_now_ns();
        idle_touch(&idle);
        (void)osa_loop_run_once(loop, osa_deadline_after(AFTER_NS / 4));
    }
    if (rests == 0) /* on a machine that stood still it may have come in between */
        turn_until(loop, 1);
    assert_true(osa_now_ns() - last >= AFTER_NS);
    idle_stop(&idle);
    osa_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rests_after_each_pause),
        cmocka_unit_test(touches_put_it_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
