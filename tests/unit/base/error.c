// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/id.h"

#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_text_and_errno(void **state)
{
    (void)state;
    struct osa_error err;
    assert_int_equal(osa_fail(&err, OSA_NOT_FOUND, ENOENT, "rootfs '%s'", "/x"), OSA_NOT_FOUND);
    assert_string_equal(err.text, "rootfs '/x': No such file or directory");
    assert_int_equal(err.sys_errno, ENOENT);
    assert_int_equal(osa_wrap(&err, "spawn %d", 7), OSA_NOT_FOUND);
    assert_string_equal(err.text, "spawn 7: rootfs '/x': No such file or directory");
}

static void test_field(void **state)
{
    (void)state;
    struct osa_error err;
    assert_int_equal(osa_fail_field(&err, "spec.argv", "is empty"), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.field, "spec.argv");
    assert_string_equal(err.text, "spec.argv: is empty");
}

static void test_errno_decides_code(void **state)
{
    (void)state;
    struct osa_error err;
    assert_int_equal(osa_fail_errno(&err, EMFILE, "open"), OSA_RESOURCE_EXHAUSTED);
    assert_int_equal(osa_fail_errno(&err, EINVAL, "open"), OSA_INTERNAL);
    assert_int_equal(osa_fail_errno(NULL, ENOSPC, "open"), OSA_RESOURCE_EXHAUSTED);
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    struct osa_error err;
    char long_name[2000];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    (void)osa_fail(&err, OSA_INTERNAL, ENOENT, "%s", long_name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    (void)osa_wrap(&err, "%s", long_name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void test_ids(void **state)
{
    (void)state;
    char a[OSA_ID_SIZE];
    char b[OSA_ID_SIZE];
    osa_id_new('p', a);
    osa_id_new('p', b);
    assert_int_equal(strlen(a), 28);
    assert_string_not_equal(a, b);
    assert_true(osa_id_is_valid(a));
    assert_false(osa_id_is_valid(""));
    assert_false(osa_id_is_valid("-a"));
    assert_false(osa_id_is_valid("a-"));
    assert_false(osa_id_is_valid("A"));
    assert_false(osa_id_is_valid("a/../b"));
    assert_true(osa_equal_secret("abc", "abc", 3));
    assert_false(osa_equal_secret("abc", "abd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_errno),
        cmocka_unit_test(test_field),
        cmocka_unit_test(test_errno_decides_code),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
