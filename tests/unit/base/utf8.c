// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include "base/macros.h"

#include "cmocka_all.h"

/* Every code point, encoded by the definition, is read back; surrogates are none. */
static void test_all_code_points(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char text[4];
        size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        static const unsigned char heads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        uint32_t rest = point;
        for (size_t i = len - 1; i > 0; i--, rest >>= 6)
            text[i] = (char)(0x80 | (rest & 0x3f));
        text[0] = (char)(heads[len] | rest);
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        size_t got = osa_utf8_length(text, len);
        if (got != (surrogate ? 0 : len))
            fail_msg("U+%04X: %zu", point, got);
        if (!surrogate && osa_utf8_point(text, len) != point)
            fail_msg("U+%04X is read as U+%04X", point, osa_utf8_point(text, len));
        if (len > 1 && osa_utf8_length(text, len - 1) != 0)
            fail_msg("U+%04X without its last byte passes", point);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3(",
        "\xe2\x82(",
        "\xe2(\xac",
        "\xf0\x9f\x98(",
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(texts); i++)
        assert_int_equal(osa_utf8_length(texts[i], 4), 0);
    assert_int_equal(osa_utf8_length("", 0), 0);
}

static void test_what_a_terminal_obeys(void **state)
{
    (void)state;
    static const uint32_t obeyed[] = { 0,      0x1b,   0x1f,   0x7f,   0x80,   0x9b,  0x9f,
                                       0x200e, 0x200f, 0x202a, 0x202e, 0x2066, 0x2069 };
    static const uint32_t shown[] = { ' ',    'a',    0x7e,   0xa0,   0xe9,
                                      0x200d, 0x2029, 0x202f, 0x20ac, 0x1f600 };
    for (size_t i = 0; i < OSA_ARRAY_LEN(obeyed); i++)
        assert_true(osa_utf8_is_obeyed(obeyed[i]));
    for (size_t i = 0; i < OSA_ARRAY_LEN(shown); i++)
        assert_false(osa_utf8_is_obeyed(shown[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_code_points),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_what_a_terminal_obeys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
