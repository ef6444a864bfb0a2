// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/base64.h"

#include <string.h>

/* RFC 4648, section 10. */
static void test_vectors(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xff\xfe\xfd", "//79" },
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(pairs); i++) {
        struct osa_buf out;
        osa_buf_init(&out, 64);
        assert_true(osa_buf_add(&out, "<", 1));
        assert_true(osa_base64_add(&out, pairs[i][0], strlen(pairs[i][0])));
        assert_string_equal(out.data + 1, pairs[i][1]);
        assert_int_equal(out.len, strlen(pairs[i][1]) + 1);
        osa_buf_done(&out);
    }
}

static void test_bound(void **state)
{
    (void)state;
    struct osa_buf out;
    osa_buf_init(&out, 3);
    assert_false(osa_base64_add(&out, "x", 1));
    assert_int_equal(out.len, 0);
    osa_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
