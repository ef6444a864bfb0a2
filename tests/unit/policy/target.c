// SPDX-License-Identifier: Apache-2.0
/* policy/target: canonical request targets. */
#include "cmocka_all.h"

#include "policy/query.h"

#include <string.h>

static void expect_path(const char *target, const char *path, const char *query)
{
    char room[POLICY_TARGET_ROOM];
    struct policy_target t;
    struct osa_error err = { 0 };
    if (policy_target_parse(target, strlen(target), room, &t, &err) != OSA_OK)
        fail_msg("%s: %s", target, err.text);
    assert_string_equal(t.path.data, path);
    assert_int_equal(t.path.len, strlen(path));
    assert_int_equal(t.has_query, query != NULL);
    if (query != NULL) {
        assert_int_equal(t.query.len, strlen(query));
        assert_memory_equal(t.query.data, query, t.query.len);
    }
    /* Canonical is canonical. */
    char again[POLICY_TARGET_ROOM];
    assert_int_equal(policy_target_parse(path, strlen(path), again, &t, &err), OSA_OK);
    assert_string_equal(again, path);
}

static void expect_refusal(const char *target, size_t len, const char *text)
{
    char room[POLICY_TARGET_ROOM];
    struct policy_target t;
    struct osa_error err = { 0 };
    assert_int_equal(policy_target_parse(target, len, room, &t, &err), OSA_INVALID_ARGUMENT);
    if (strstr(err.text, text) == NULL)
        fail_msg("%s: %s", target, err.text);
}

static void test_canonical(void **state)
{
    (void)state;
    expect_path("", "/", NULL);
    expect_path("/", "/", NULL);
    expect_path("//", "/", NULL);
    expect_path("/a/b", "/a/b", NULL);
    expect_path("/v1//items/./9", "/v1/items/9", NULL);
    expect_path("/a/b/..", "/a/", NULL);
    expect_path("/a/.", "/a/", NULL);
    expect_path("/a/..", "/", NULL);
    expect_path("/a//", "/a/", NULL);
    expect_path("/docs/..;x/v1/items/secret", "/v1/items/secret", NULL);
    expect_path("/docs/%2e%2E/v1", "/v1", NULL);
    expect_path("/docs/..%3Bx/v1", "/v1", NULL);
    expect_path("/a;p=1/b;q", "/a/b", NULL);
    expect_path("/a/;x", "/a/", NULL);
    expect_path("/a/;x/b", "/a/b", NULL);
    expect_path("/%61%7E%41", "/a~A", NULL);
    expect_path("/%252e%252e/x", "/%252e%252e/x", NULL); /* decoded once: %25 stays */
    expect_path("/a%20b/%c3%a9", "/a%20b/%C3%A9", NULL);
    expect_path("/a\"<b", "/a%22%3Cb", NULL);
    expect_path("/x?a=1&b=%2F", "/x", "a=1&b=%2F");
    expect_path("/x?", "/x", "");
    expect_path("/x?a?b", "/x", "a?b");
    expect_path("http://h.test/x/../y?q", "/y", "q");
    expect_path("http://h.test", "/", NULL);
    expect_path("http://h.test?q", "/", "q");
    expect_path("/http://x/y", "/http:/x/y", NULL);
    expect_path("/.../..a/.b", "/.../..a/.b", NULL);
}

static void test_encoded_slash(void **state)
{
    (void)state;
    char room[POLICY_TARGET_ROOM];
    struct policy_target t;
    assert_int_equal(policy_target_parse("/a%2fb/c", 8, room, &t, NULL), OSA_OK);
    assert_true(t.encoded_slash);
    assert_string_equal(room, "/a%2Fb/c");
    assert_int_equal(policy_target_parse("/a/c", 4, room, &t, NULL), OSA_OK);
    assert_false(t.encoded_slash);
    expect_refusal("/a/..%2fb", 9, "dot segments behind an encoded slash");
    expect_refusal("/a%2F..", 7, "dot segments behind an encoded slash");
    expect_refusal("/a%2F%2e%2Fb", 12, "dot segments behind an encoded slash");
    expect_refusal("/a%2F..;x/b", 11, "dot segments behind an encoded slash");
}

static void test_refused(void **state)
{
    (void)state;
    expect_refusal("*", 1, "does not start with /");
    expect_refusal("a/b", 3, "does not start with /");
    expect_refusal("/../x", 5, "a .. above the root");
    expect_refusal("/a/../../x", 10, "a .. above the root");
    expect_refusal("/a\tb", 4, "a control byte");
    expect_refusal("/a\0b", 4, "a control byte");
    expect_refusal("/a?b\x7f", 5, "a control byte");
    expect_refusal("/\xc3\xa9", 3, "not ASCII");
    expect_refusal("/a?\xc3\xa9", 5, "not ASCII");
    expect_refusal("/a#b", 4, "a fragment");
    expect_refusal("/a?b#c", 6, "a fragment");
    expect_refusal("/a%", 3, "in its path");
    expect_refusal("/a%2", 4, "in its path");
    expect_refusal("/a%zz", 5, "in its path");
    expect_refusal("/a%00", 5, "an encoded control byte");
    expect_refusal("/a%0d%0aX:y", 11, "an encoded control byte");
    expect_refusal("/a%7F", 5, "an encoded control byte");
    expect_refusal("/a?x=%zz", 8, "in its query");
    expect_refusal("/a?x=%ff", 8, "not UTF-8");
    expect_refusal("/a?x=%c0%af", 11, "not UTF-8");
    char target[POLICY_MAX_QUERY + 16];
    memset(target, 'a', sizeof(target));
    target[0] = '/';
    expect_refusal(target, POLICY_MAX_TARGET_PATH + 1, "more than 4096 bytes");
    target[1] = '?';
    expect_refusal(target, POLICY_MAX_QUERY + 3, "more than 16384 bytes");
}

/* Every byte of the longest path is encoded: the room is just enough. */
static void test_room(void **state)
{
    (void)state;
    char target[POLICY_MAX_TARGET_PATH];
    char room[POLICY_TARGET_ROOM];
    struct policy_target t;
    memset(target, '"', sizeof(target));
    target[0] = '/';
    assert_int_equal(policy_target_parse(target, sizeof(target), room, &t, NULL), OSA_OK);
    assert_int_equal(t.path.len, 3 * (POLICY_MAX_TARGET_PATH - 1) + 1);
}

static void test_query(void **state)
{
    (void)state;
    struct policy_text rest = policy_text("&a=1&&b&c=x=y&%61%2b=+%20");
    struct policy_text key;
    struct policy_text value;
    assert_true(policy_query_next(&rest, &key, &value));
    assert_true(policy_query_is(key, "a"));
    assert_int_equal(value.len, 1);
    assert_true(policy_query_next(&rest, &key, &value));
    assert_true(policy_query_is(key, "b"));
    assert_int_equal(value.len, 0);
    assert_true(policy_query_next(&rest, &key, &value));
    assert_false(policy_query_is(key, "cc"));
    assert_int_equal(value.len, 3);
    assert_true(policy_query_next(&rest, &key, &value));
    assert_true(policy_query_is(key, "a+"));
    assert_false(policy_query_is(key, "a"));
    char text[8];
    size_t len = 0;
    assert_true(policy_query_decode(value, text, &len));
    assert_int_equal(len, 2);
    assert_memory_equal(text, "  ", 2);
    assert_false(policy_query_next(&rest, &key, &value));
    assert_false(policy_query_decode(policy_text("a%2"), text, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical), cmocka_unit_test(test_encoded_slash),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_room),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
