// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"

#include "cmocka_all.h"

#include <inttypes.h>
#include <string.h>

struct good {
    const char *text;
    uint64_t value;
};

struct bad {
    const char *text;
    const char *message;
};

typedef enum osa_code (*parse_fn)(const char *text, uint64_t *ret_value, struct osa_error *err);

static void check_good(parse_fn parse, const struct good *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct osa_error err = { 0 };
        uint64_t value = 12345;
        enum osa_code code = parse(cases[i].text, &value, &err);
        if (code != OSA_OK || value != cases[i].value)
            fail_msg("'%s': code %d value %" PRIu64 " '%s'", cases[i].text, code, value, err.text);
    }
}

static void check_bad(parse_fn parse, const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct osa_error err = { 0 };
        uint64_t value = 12345;
        enum osa_code code = parse(cases[i].text, &value, &err);
        if (code != OSA_INVALID_ARGUMENT || strcmp(err.text, cases[i].message) != 0)
            fail_msg("'%s': code %d value %" PRIu64 " '%s'", cases[i].text, code, value, err.text);
        assert_int_equal(value, 12345);
    }
}

static void test_cpu(void **state)
{
    (void)state;
    static const struct good good[] = {
        { "500m", 500 },      { "1", 1000 },     { "1.5", 1500 },
        { "0", 0 },           { "0.001", 1 },    { "1e3", 1000000 },
        { "1E3", 1000000 },   { "1e-3", 1 },     { "1e+0", 1000 },
        { "+2", 2000 },       { ".5", 500 },     { "2.", 2000 },
        { "1000000u", 1000 }, { "1000000n", 1 }, { "1Ki", 1024000 },
        { "0.0010000", 1 },   { "0010", 10000 }, { "-0", 0 },
        { "0e100", 0 },       { "33m", 33 },     { "9223372036854775807m", INT64_MAX },
    };
    static const struct bad bad[] = {
        { "", "'' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { "NaN", "'NaN' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { "inf", "'inf' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { ".", "'.' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { "m", "'m' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { " 1", "' 1' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { "--1", "'--1' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { "-1", "'-1' is negative" },
        { "-500m", "'-500m' is negative" },
        { "0.5m", "'0.5m' is finer than 1m, a thousandth of a CPU" },
        { "0.0001", "'0.0001' is finer than 1m, a thousandth of a CPU" },
        { "1n", "'1n' is finer than 1m, a thousandth of a CPU" },
        { "1e-4", "'1e-4' is finer than 1m, a thousandth of a CPU" },
        { "1E", "'1E' is too large" },
        { "1e30", "'1e30' is too large" },
        { "1e999999999999", "'1e999999999999' is too large" },
        { "9223372036854775808m", "'9223372036854775808m' is too large" },
        { "1 ", "'1 ' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1x", "'1x' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1e", "'1e' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1e+", "'1e+' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1.2.3",
          "'1.2.3' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "0x10",
          "'0x10' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1,5", "'1,5' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
    };
    check_good(osa_cpu_parse, good, OSA_ARRAY_LEN(good));
    check_bad(osa_cpu_parse, bad, OSA_ARRAY_LEN(bad));
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct good good[] = {
        { "128Mi", 134217728 },
        { "0.5Gi", 536870912 },
        { "1e3", 1000 },
        { "1E", 1000000000000000000 },
        { "1k", 1000 },
        { "1M", 1000000 },
        { "1G", 1000000000 },
        { "1T", 1000000000000 },
        { "1P", 1000000000000000 },
        { "1Ki", 1024 },
        { "1Gi", 1073741824 },
        { "1Ti", 1099511627776 },
        { "1Pi", 1125899906842624 },
        { "7Ei", 8070450532247928832 },
        { "1000m", 1 },
        { "0.0009765625Ki", 1 },
        { "1.5Ki", 1536 },
        { "9223372036854775807", INT64_MAX },
        { "1.00", 1 },
        { "12.5e1", 125 },
    };
    static const struct bad bad[] = {
        { "8Ei", "'8Ei' is too large" },
        { "9223372036854775808", "'9223372036854775808' is too large" },
        { "1e30", "'1e30' is too large" },
        { "10E", "'10E' is too large" },
        { "340282366920938463463374607431768211456",
          "'340282366920938463463374607431768211456' has too many digits" },
        { "0.00000000000000000000000000000000000000000000000001",
          "'0.00000000000000000000000000000000000000000000000001' is not a whole number of bytes" },
        { "1.5", "'1.5' is not a whole number of bytes" },
        { "0.1Gi", "'0.1Gi' is not a whole number of bytes" },
        { "128m", "'128m' is not a whole number of bytes; m is a thousandth, M or Mi a million" },
        { "1K", "'1K' has an unknown suffix; write k for 1000 or Ki for 1024" },
        { "1kB", "'1kB' has an unknown suffix; write k for 1000 or Ki for 1024" },
        { "1mi", "'1mi' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1MB", "'1MB' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "1e3Mi",
          "'1e3Mi' has an unknown suffix; known are m k M G T P E, Ki Mi Gi Ti Pi Ei and e3" },
        { "-1Mi", "'-1Mi' is negative" },
        { "-1e30", "'-1e30' is negative" },
    };
    check_good(osa_bytes_parse, good, OSA_ARRAY_LEN(good));
    check_bad(osa_bytes_parse, bad, OSA_ARRAY_LEN(bad));
}

/* An exponent that undoes more zeros than we count must not come out as another number. */
static void test_extreme_exponents(void **state)
{
    (void)state;
    char text[1200] = "0.";
    struct osa_error err;
    uint64_t value = 7;
    memset(text + 2, '0', 500);
    strncpy(text + 502, "1e401", 16);
    assert_int_equal(osa_bytes_parse(text, &value, &err), OSA_INVALID_ARGUMENT);
    memset(text + 2, '0', 300);
    strncpy(text + 302, "1e301", 16);
    assert_int_equal(osa_bytes_parse(text, &value, &err), OSA_OK);
    assert_int_equal(value, 1);
}

static void test_count(void **state)
{
    (void)state;
    static const struct good good[] = { { "1k", 1000 }, { "4096", 4096 } };
    static const struct bad bad[] = { { "1.5", "'1.5' is not a whole number" } };
    check_good(osa_count_parse, good, OSA_ARRAY_LEN(good));
    check_bad(osa_count_parse, bad, OSA_ARRAY_LEN(bad));
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        { "0", 0 },
        { "0s", 0 },
        { "10s", 10000000000 },
        { "500ms", 500000000 },
        { "1.5s", 1500000000 },
        { "1h30m", 5400000000000 },
        { "2m0.5s", 120500000000 },
        { "250us", 250000 },
        { "7ns", 7 },
        { "0.000000001s", 1 },
        { "9223372036854775807ns", INT64_MAX },
    };
    static const struct bad bad[] = {
        { "", "'' is not a duration; write a number and a unit such as 10s" },
        { "s", "'s' is not a duration; write a number and a unit such as 10s" },
        { "10", "'10' lacks a unit; write h, m, s, ms, us or ns after the number" },
        { "1h30", "'1h30' lacks a unit; write h, m, s, ms, us or ns after the number" },
        { "10 s", "'10 s' has an unknown unit; known are h, m, s, ms, us and ns" },
        { "1d", "'1d' has an unknown unit; known are h, m, s, ms, us and ns" },
        { "1S", "'1S' has an unknown unit; known are h, m, s, ms, us and ns" },
        { "-1s", "'-1s' is negative" },
        { "1s1h", "'1s1h' has its units out of order; write the largest first" },
        { "1s1s", "'1s1s' has its units out of order; write the largest first" },
        { "0.5ns", "'0.5ns' is finer than 1ns" },
        { "9223372036854775808ns", "'9223372036854775808ns' is too large" },
        { "2562047h48m", "'2562047h48m' is too large" },
        { "99999999999999999999999999999999h", "'99999999999999999999999999999999h' is too large" },
        { "NaN", "'NaN' is not a duration; write a number and a unit such as 10s" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        struct osa_error err = { 0 };
        int64_t ns = -1;
        if (osa_duration_parse(good[i].text, &ns, &err) != OSA_OK || ns != good[i].ns)
            fail_msg("'%s': %" PRId64 " '%s'", good[i].text, ns, err.text);
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        struct osa_error err = { 0 };
        int64_t ns = -1;
        assert_int_equal(osa_duration_parse(bad[i].text, &ns, &err), OSA_INVALID_ARGUMENT);
        assert_string_equal(err.text, bad[i].message);
        assert_int_equal(ns, -1);
    }
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } bytes[] = {
        { 0, "0" },        { 1, "1" },
        { 1024, "1Ki" },   { 1000, "1k" },
        { 1025, "1025" },  { 134217728, "128Mi" },
        { 1000000, "1M" }, { INT64_MAX, "9223372036854775807" },
    };
    char text[OSA_QUANTITY_SIZE];
    uint64_t back = 0;
    struct osa_error err;
    for (size_t i = 0; i < OSA_ARRAY_LEN(bytes); i++) {
        osa_bytes_format(bytes[i].bytes, text);
        assert_string_equal(text, bytes[i].text);
        assert_int_equal(osa_bytes_parse(text, &back, &err), OSA_OK);
        assert_true(back == bytes[i].bytes);
    }
    osa_cpu_format(1500, text);
    assert_string_equal(text, "1500m");
    osa_cpu_format(2000, text);
    assert_string_equal(text, "2");
    osa_duration_format(0, text);
    assert_string_equal(text, "0s");
    osa_duration_format(90500000000, text);
    assert_string_equal(text, "1m30s500ms");
    osa_duration_format(INT64_MAX, text);
    assert_string_equal(text, "2562047h47m16s854ms775us807ns");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_extreme_exponents),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
