// SPDX-License-Identifier: Apache-2.0
#include "base/rate.h"

#include "base/clock.h"

#include "cmocka_all.h"

static unsigned take_all(struct osa_rate *rate, int64_t now)
{
    unsigned taken = 0;
    while (taken < 1000 && osa_rate_take(rate, now, 10, OSA_NS_PER_MS))
        taken++;
    return taken;
}

static void test_burst_and_return(void **state)
{
    (void)state;
    struct osa_rate rate = { 0 };
    int64_t now = 1000 * OSA_NS_PER_SEC;
    assert_int_equal(take_all(&rate, now), 10);
    assert_int_equal(take_all(&rate, now), 0);
    now += OSA_NS_PER_MS - 1;
    assert_int_equal(take_all(&rate, now), 0);
    now += 1;
    assert_int_equal(take_all(&rate, now), 1);
    now += 3 * OSA_NS_PER_MS;
    assert_int_equal(take_all(&rate, now), 3);
    now += OSA_NS_PER_SEC; /* full again, and no fuller */
    assert_int_equal(take_all(&rate, now), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_burst_and_return) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
