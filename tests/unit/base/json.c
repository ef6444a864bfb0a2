// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include "cmocka_all.h"

#include <math.h>
#include <string.h>

static void test_nesting_and_values(void **state)
{
    (void)state;
    struct osa_buf buf;
    struct osa_json json;
    osa_buf_init(&buf, 4096);
    osa_json_init(&json, &buf, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "list");
    osa_json_open(&json, '[');
    osa_json_i64(&json, INT64_MIN);
    osa_json_u64(&json, UINT64_MAX);
    osa_json_bool(&json, true);
    osa_json_null(&json);
    osa_json_close(&json, ']');
    osa_json_key(&json, "double");
    osa_json_double(&json, 0.25);
    osa_json_key(&json, "nan");
    osa_json_double(&json, (double)NAN);
    osa_json_close(&json, '}');
    assert_string_equal(buf.data, "{\"list\":[-9223372036854775808,18446744073709551615,true,null],"
                                  "\"double\":0.25,\"nan\":\"NaN\"}");
    osa_buf_done(&buf);
}

static void test_text_is_escaped(void **state)
{
    (void)state;
    struct osa_buf buf;
    struct osa_json json;
    osa_buf_init(&buf, 4096);
    osa_json_init(&json, &buf, /* pretty= */ false);
    osa_json_string(&json, "a\"\\\n\x1b\xff\xc3\xa9", 8);
    assert_string_equal(buf.data, "\"a\\\"\\\\\\n\\u001b\\ufffd\xc3\xa9\"");
    osa_buf_done(&buf);
}

/* What a terminal would obey is no text, whatever it is made of: CSI as U+009B, a turned direction. */
static void test_controls_are_escaped(void **state)
{
    (void)state;
    struct osa_buf buf;
    struct osa_json json;
    osa_buf_init(&buf, 4096);
    osa_json_init(&json, &buf, /* pretty= */ false);
    osa_json_text(&json, "\x7f\xc2\x9b"
                         "31m\xe2\x80\xae\xe2\x81\xa6\xe2\x82\xac");
    assert_string_equal(buf.data, "\"\\u007f\\u009b31m\\u202e\\u2066\xe2\x82\xac\"");
    osa_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nesting_and_values),
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_controls_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
