// SPDX-License-Identifier: Apache-2.0
/* policy/pattern: the language of globs, and that matching is linear. */
#include "cmocka_all.h"

#include "policy/pattern.h"

#include <stdio.h>
#include <string.h>

/* 1, 0, or 'e' when the pattern is refused. */
static char verdict(char separator, const char *glob, const char *text, size_t len)
{
    OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
    const struct policy_pattern *pattern = NULL;
    struct osa_error err = { 0 };
    enum osa_code code = separator == 'r'
                             ? policy_pattern_compile_route(&arena, glob, &pattern, &err)
                             : policy_pattern_compile(&arena, glob, separator, &pattern, &err);
    if (code != OSA_OK) {
        assert_int_equal(code, OSA_INVALID_ARGUMENT);
        return 'e';
    }
    return policy_pattern_match(pattern, text, len) ? '1' : '0';
}

static void expect(char separator, const char *glob, const char *text, char expected)
{
    char got = verdict(separator, glob, text, strlen(text));
    if (got != expected)
        fail_msg("'%s' with '%c' on '%s': %c, not %c", glob, separator, text, got, expected);
}

/* tests/data/policy/globs.tsv, verdicts of the matcher that upstream uses */
static void test_table(void **state)
{
    (void)state;
    FILE *file = fopen(OSA_TEST_DATA "/policy/globs.tsv", "re");
    assert_non_null(file);
    char line[1024];
    size_t count = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *glob = strchr(line, '\t');
        if (line[0] == '#' || glob == NULL)
            continue;
        *glob++ = '\0';
        char *text = strchr(glob, '\t');
        assert_non_null(text);
        *text++ = '\0';
        char *expected = strrchr(text, '\t');
        assert_non_null(expected);
        *expected++ = '\0';
        expect(line[0], glob, text, expected[0]);
        count++;
    }
    fclose(file);
    assert_true(count > 650);
}

static void test_hosts(void **state)
{
    (void)state;
    expect('.', "*.x.test", "a.x.test", '1');
    expect('.', "*.x.test", "a.b.x.test", '0');
    expect('.', "*.x.test", "x.test", '0');
    expect('.', "*.x.test", ".x.test", '1'); /* an empty label, as upstream has it */
    expect('.', "**.x.test", "a.b.x.test", '1');
    expect('.', "**.x.test", "x.test", '0');
    expect('.', "api-*.x.test", "api-7.x.test", '1');
    expect('.', "v1.*", "v1.2.3", '0');
    expect('.', "*", "1.0", '0');
    expect('.', "**", "1.0", '1');
    expect('.', "*", "a/b", '1'); /* '/' is nothing special here */
    expect('.', "x[!a][!a][!a]y", "x.y", '1');
    expect('.', "[.]", ".", '0');
}

static void test_paths(void **state)
{
    (void)state;
    expect('/', "/v1/**", "/v1/", '1');
    expect('/', "/v1/**", "/v1", '0');
    expect('/', "/repos/*", "/repos/a/b", '0');
    expect('/', "*", "/a", '0');
    expect('/', "/**", "/", '1');
    expect('/', "/a/**/b", "/a/b", '1');
    expect('/', "/a/**/b", "/a/x/y/b", '1');
    expect('/', "/a**b", "/axb", '1');
    expect('/', "/a**b", "/a/b", '0');
    expect('/', "/a[!x]b", "/a/b", '1');
    expect('/', "/{a,b/*}/c", "/b/z/c", '1');
    expect('/', "/opt/**/cli", "/opt/cli", '1');
    expect('/', "[a", "a", 'e');
    expect('/', "a{", "a", 'e');
    expect('/', "a}", "a", 'e');
    expect('/', "[z-a]", "a", 'e');
    expect('/', "a\\", "a", 'e');
    expect('/', "]", "]", '1');
}

static void test_routes(void **state)
{
    (void)state;
    expect('r', "/v1/*", "/v1/a/b", '1');
    expect('r', "/v1/?", "/v1/", '0');
    expect('r', "/**/b", "/a/c/b", '1');
    expect('r', "/a/**", "/a/b/c", '1');
    expect('r', "/a**", "/ab", 'e');
    expect('r', "***", "/ab", 'e');
    expect('r', "/{a,b}", "/{a,b}", '1');
    expect('r', "/[ab]", "/b", '1');
}

/* No separator: what a strict engine uses on values. */
static void test_without_separator(void **state)
{
    (void)state;
    expect('\0', "*", "fs.read", '1');
    expect('\0', "a*c", "a.b/c", '1');
    expect('\0', "a?c", "a.c", '1');
}

/* Would take a backtracking matcher longer than the universe has. */
static void test_linear(void **state)
{
    (void)state;
    enum { STARS = 200, TEXT = 5000 };
    char glob[2 * STARS + 3];
    char *text = malloc(TEXT);
    assert_non_null(text);
    memset(text, 'a', TEXT);
    for (size_t i = 0; i < STARS; i++)
        memcpy(glob + 2 * i, "*a", 2);
    memcpy(glob + (size_t)2 * STARS, "*b", 3);
    assert_int_equal(verdict('/', glob, text, TEXT), '0');
    text[TEXT - 1] = 'b';
    assert_int_equal(verdict('/', glob, text, TEXT), '1');
    /* Few stars, many states: the table has no room, sets are walked. */
    memset(glob, '?', sizeof(glob));
    memcpy(glob, "*a", 2);
    glob[40] = '\0';
    assert_int_equal(verdict('/', glob, text, TEXT), '1');
    free(text);
}

static void test_too_large(void **state)
{
    (void)state;
    char glob[POLICY_MAX_PATTERN_STEPS + 2];
    memset(glob, '?', sizeof(glob));
    glob[sizeof(glob) - 1] = '\0';
    OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
    const struct policy_pattern *pattern = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(policy_pattern_compile(&arena, glob, '/', &pattern, &err),
                     OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "has too many parts"));
    memset(glob, '{', 40);
    memset(glob + 40, '}', 40);
    glob[80] = '\0';
    assert_int_equal(policy_pattern_compile(&arena, glob, '/', &pattern, &err),
                     OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "too many { inside each other"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_without_separator),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
