// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "egress/names.h"

#include <stdio.h>
#include <string.h>

#define NET 0xc6120000u
#define REST 1000

static void test_one_address_each(void **state)
{
    (void)state;
    struct names *names = names_new(NET, 15);
    assert_int_equal(names_fresh(names, "a.test", 0, 10), 0);
    assert_int_equal(names_confirm(names, "a.test", 0, REST), NET + 1);
    assert_int_equal(names_confirm(names, "b.test", 0, REST), NET + 2);
    assert_int_equal(names_confirm(names, "a.test", 5, REST), NET + 1);
    assert_int_equal(names_fresh(names, "a.test", 15, 10), NET + 1);
    assert_int_equal(names_fresh(names, "a.test", 16, 10), 0);
    assert_string_equal(names_of(names, NET + 2, 0), "b.test");
    assert_null(names_of(names, NET, 0));
    assert_null(names_of(names, NET + 3, 0));
    names_free(names);
    names_free(NULL);
}

static bool is_b(void *ctx, const char *name)
{
    return strcmp(name, ctx) == 0;
}

/* What an address has meant it never means for another name. */
static void test_sweep(void **state)
{
    (void)state;
    char kept[] = "b.test";
    struct names *names = names_new(NET, 15);
    (void)names_confirm(names, "a.test", 0, REST);
    (void)names_confirm(names, "b.test", 0, REST);
    names_sweep(names, is_b, kept);
    assert_null(names_of(names, NET + 1, 0));
    assert_string_equal(names_of(names, NET + 2, 0), "b.test");
    assert_int_equal(names_confirm(names, "a.test", 0, REST), NET + 3);
    names_free(names);
}

static void test_full(void **state)
{
    (void)state;
    char name[32];
    struct names *names = names_new(NET, 15);
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%u.test", i);
        assert_int_equal(names_confirm(names, name, i, REST * REST), NET + 1 + i);
    }
    assert_int_equal(names_confirm(names, "more.test", NAMES_MAX, REST * REST), 0);
    assert_non_null(names_of(names, NET + 1, NAMES_MAX)); /* used: n1 is the oldest now */
    assert_int_equal(names_confirm(names, "more.test", NAMES_MAX + 2, NAMES_MAX + 1),
                     NET + 1 + NAMES_MAX);
    assert_null(names_of(names, NET + 2, 0));
    names_free(names);
    names = names_new(NET, 30); /* two addresses */
    assert_int_equal(names_confirm(names, "a", 0, REST), NET + 1);
    assert_int_equal(names_confirm(names, "b", 0, REST), NET + 2);
    assert_int_equal(names_confirm(names, "c", 0, REST), 0);
    names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_address_each),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
