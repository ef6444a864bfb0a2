// SPDX-License-Identifier: Apache-2.0
/* tests/data/policy/decisions.yaml: what OpenShell's engine decides, and what its proxy does. */
#include "cmocka_all.h"

#include "base/fd.h"
#include "policy/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct policy_table *load(void)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    struct osa_error err = { 0 };
    struct policy_table *table = NULL;
    const char *path = OSA_TEST_DATA "/policy/decisions.yaml";
    if (osa_read_file(AT_FDCWD, path, 1u << 20, &text, &len, &err) != OSA_OK ||
        policy_table_parse(text, len, path, &table, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return table;
}

static void test_decisions(void **state)
{
    (void)state;
    struct policy_table *table = load();
    size_t counts[3] = { 0 };
    bool seen[83] = { false };
    for (size_t i = 0; i < policy_table_count(table); i++) {
        OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
        OSA_AUTO(osa_buf_done) struct osa_buf diff;
        struct policy_trial_result result;
        osa_buf_init(&diff, 4096);
        enum policy_case_result outcome = policy_table_run(table, i, &arena, &result, &diff);
        counts[outcome]++;
        if (outcome == POLICY_CASE_FAILED)
            print_error("%s: %s (%s)\n", policy_table_name(table, i), diff.data,
                        result.explanation);
        if (outcome == POLICY_CASE_PASSED) {
            assert_true(result.explanation[0] != '\0');
            assert_int_equal(result.verdict == POLICY_ALLOW, result.reason == POLICY_REASON_NONE);
        }
        long number = strtol(policy_table_name(table, i), NULL, 10);
        assert_in_range(number, 1, 82);
        seen[number] = true;
    }
    for (size_t n = 1; n <= 82; n++)
        assert_true(seen[n]);
    print_message("%zu decided as expected, %zu are the proxy's\n", counts[POLICY_CASE_PASSED],
                  counts[POLICY_CASE_ELSEWHERE]);
    assert_int_equal(counts[POLICY_CASE_FAILED], 0);
    assert_int_equal(counts[POLICY_CASE_ELSEWHERE], 11);
    policy_table_free(table);
}

static void expect_fault(const char *text, const char *expected)
{
    struct policy_table *table = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(policy_table_parse(text, strlen(text), "t", &table, &err),
                     OSA_INVALID_ARGUMENT);
    if (strstr(err.text, expected) == NULL)
        fail_msg("%s", err.text);
}

static void test_bad_tables(void **state)
{
    (void)state;
    expect_fault("", "t:1:1: the table is empty");
    expect_fault("cases: [{name: a}]", "t:1:9: needs policy and expect");
    expect_fault("cases: [{nam: a}]", "nam: is not known here");
    expect_fault("policies: {a: [b]}", "t:1:15");
    expect_fault("cases: [{policy: a, send: b, expect: {}}]", "has tunnel or send without proxy");
    expect_fault("cases: [{policy: a, port: 65536, expect: {}}]", "has port 65536");
}

/* Cases that do not hold must fail, or the table above says nothing. */
static void test_failing_cases(void **state)
{
    (void)state;
    static const char text[] = "policies:\n"
                               "  a: 'version: 1'\n"
                               "  bad: 'version: 2'\n"
                               "cases:\n"
                               "  - {policy: a, host: x, port: 1, binary: /b, expect: {verdict: "
                               "allow, rule: r, hard: true}}\n"
                               "  - {policy: none, expect: {}}\n"
                               "  - {policy: bad, expect: {}}\n";
    static const char *const expected[] = {
        "verdict is deny, not allow; rule is nothing, not r",
        "there is no policy 'none'",
        "t: policies.bad",
    };
    struct policy_table *table = NULL;
    struct osa_error err = { 0 };
    if (policy_table_parse(text, strlen(text), "t", &table, &err) != OSA_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < OSA_ARRAY_LEN(expected); i++) {
        OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
        OSA_AUTO(osa_buf_done) struct osa_buf diff;
        struct policy_trial_result result;
        osa_buf_init(&diff, 4096);
        assert_int_equal(policy_table_run(table, i, &arena, &result, &diff), POLICY_CASE_FAILED);
        if (strstr(diff.data, expected[i]) == NULL)
            fail_msg("%s", diff.data);
    }
    policy_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_failing_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
