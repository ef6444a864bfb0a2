// SPDX-License-Identifier: Apache-2.0
/* policy/placeholder: what is a placeholder, and where one is exchanged for a credential. */
#include "cmocka_all.h"

#include "policy/placeholder.h"

#include <string.h>

#define P "openshell:resolve:env:"
#define HANDLE "s0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef_"

/* Knows KEY; OTHER is bound elsewhere; BAD, SLASH, QUOTE and DOTS have values that make trouble. */
static enum osa_code find(struct policy_credentials *self, const struct policy_placeholder *what,
                          struct policy_text *ret_value)
{
    static const struct {
        const char *key;
        const char *value;
    } known[] = { { "KEY", "s3cret+/=" }, { "TOKEN", "tok.en~1" },
                  { "BAD", "a\r\nb" },    { "SLASH", "a/b" },
                  { "QUOTE", "a\"\\b" },  { "DOTS", "." },
                  { "SPACE", "a b" },     { "V", "v" } };
    (void)self;
    if (what->key.len == 5 && memcmp(what->key.data, "OTHER", 5) == 0)
        return OSA_PERMISSION_DENIED;
    for (size_t i = 0; i < OSA_ARRAY_LEN(known); i++) {
        if (strlen(known[i].key) == what->key.len &&
            memcmp(known[i].key, what->key.data, what->key.len) == 0) {
            *ret_value = policy_text(known[i].value);
            return OSA_OK;
        }
    }
    return OSA_NOT_FOUND;
}

static void test_finding(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum policy_placeholder_find found;
        enum policy_placeholder_kind kind;
        const char *token;
        const char *key;
        const char *mark;
    } cases[] = {
        { "nothing", POLICY_PLACEHOLDER_NONE, 0, "", "", "" },
        { "x " P "KEY_1-y", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_PLAIN, P "KEY_1", "KEY_1",
          "" },
        { P "v12_KEY", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_REVISION, P "v12_KEY", "KEY",
          "12" },
        { P "v_KEY", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_PLAIN, P "v_KEY", "v_KEY", "" },
        { P "v1_", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_PLAIN, P "v1_", "v1_", "" },
        { P HANDLE "KEY", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_HANDLE, P HANDLE "KEY",
          "KEY", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
        { "sk-ant~OPENSHELL-RESOLVE-ENV-KEY", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_ALIAS,
          "sk-ant~OPENSHELL-RESOLVE-ENV-KEY", "KEY", "" },
        { "a b-OPENSHELL-RESOLVE-ENV-KEY,c", POLICY_PLACEHOLDER_FOUND, POLICY_PLACEHOLDER_ALIAS,
          "b-OPENSHELL-RESOLVE-ENV-KEY", "KEY", "" },
        { "OPENSHELL-RESOLVE-ENV-KEY", POLICY_PLACEHOLDER_BROKEN, 0, "", "", "" },
        { "a-OPENSHELL-RESOLVE-ENV-", POLICY_PLACEHOLDER_BROKEN, 0, "", "", "" },
        { "a-OPENSHELL-RESOLVE-ENV-KEY-b", POLICY_PLACEHOLDER_BROKEN, 0, "", "", "" },
        { P, POLICY_PLACEHOLDER_BROKEN, 0, "", "", "" },
        { P "-", POLICY_PLACEHOLDER_BROKEN, 0, "", "", "" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct policy_placeholder what = { 0 };
        assert_int_equal(policy_placeholder_next(policy_text(cases[i].text), 0, &what),
                         cases[i].found);
        if (cases[i].found != POLICY_PLACEHOLDER_FOUND)
            continue;
        assert_int_equal(what.kind, cases[i].kind);
        assert_int_equal(what.token.len, strlen(cases[i].token));
        assert_memory_equal(what.token.data, cases[i].token, what.token.len);
        assert_int_equal(what.key.len, strlen(cases[i].key));
        assert_memory_equal(what.key.data, cases[i].key, what.key.len);
        assert_int_equal(what.mark.len, strlen(cases[i].mark));
    }
}

static void test_markers_and_keys(void **state)
{
    (void)state;
    assert_true(policy_placeholder_seen(policy_text("a" P)));
    assert_true(policy_placeholder_seen(policy_text("openshell%3Aresolve%3aenv%3AKEY")));
    assert_true(policy_placeholder_seen(policy_text("%6fpenshell:resolve:env:")));
    assert_true(policy_placeholder_seen(policy_text("OPENSHELL%2DRESOLVE-ENV-")));
    assert_false(policy_placeholder_seen(policy_text("openshell:resolve:env")));
    assert_false(policy_placeholder_seen(policy_text("openshell%3resolve")));
    assert_false(policy_placeholder_seen(policy_text("")));
    assert_true(policy_placeholder_key("API_KEY"));
    assert_false(policy_placeholder_key("v1_KEY"));
    assert_false(policy_placeholder_key(HANDLE "KEY"));
    assert_false(policy_placeholder_key("A-B"));
    assert_false(policy_placeholder_key(""));
}

enum place { TEXT, JSON, PATH, FORM, HEADER };

static enum osa_code fill(enum place place, const char *text,
                          struct policy_credentials *credentials, struct osa_buf *out,
                          struct osa_error *err)
{
    switch (place) {
    case TEXT:
        return policy_credentials_text(policy_text(text), POLICY_ESCAPE_NONE, credentials, out,
                                       err);
    case JSON:
        return policy_credentials_text(policy_text(text), POLICY_ESCAPE_JSON, credentials, out,
                                       err);
    case PATH:
        return policy_credentials_path(policy_text(text), credentials, out, err);
    case FORM:
        return policy_credentials_form(policy_text(text), credentials, out, err);
    case HEADER:
        break;
    }
    return policy_credentials_header(policy_text(text), credentials, out, err);
}

/* @expected: the result, or "! " and part of the error. */
static void expect(enum place place, const char *text, const char *expected)
{
    struct policy_credentials credentials = { find };
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    struct osa_error err = { 0 };
    osa_buf_init(&out, 4096);
    enum osa_code code = fill(place, text, &credentials, &out, &err);
    if (expected[0] == '!' ? code == OSA_OK || strstr(err.text, expected + 2) == NULL
                           : code != OSA_OK || strcmp(out.data ? out.data : "", expected) != 0)
        fail_msg("%s: %s / %s, not %s", text, out.data ? out.data : "", err.text, expected);
    assert_null(strstr(err.text, "s3cret"));
}

static void test_exchange(void **state)
{
    (void)state;
    expect(TEXT, "a " P "KEY " P "TOKEN.", "a s3cret+/= tok.en~1.");
    expect(TEXT, "", "");
    expect(TEXT, P "NOBODY", "! stands for nothing that is known");
    expect(TEXT, P "OTHER", "! is bound to another endpoint");
    expect(TEXT, P "BAD", "! a value that cannot be sent");
    expect(TEXT, "x " P, "! is not whole");
    expect(TEXT, "openshell:resolve:en" P "V:KEY", "! makes another one");
    expect(JSON, "{\"k\":\"" P "QUOTE\"}", "{\"k\":\"a\\\"\\\\b\"}");
    expect(PATH, "/v1/" P "TOKEN/x", "/v1/tok.en~1/x");
    expect(PATH, "/bot" P "TOKEN:" P "SPACE", "/bottok.en~1:a%20b");
    expect(PATH, "/v1/openshell%3Aresolve%3Aenv%3ATOKEN", "/v1/tok.en~1");
    expect(PATH, "/a+b%2f/c", "/a+b%2f/c");
    expect(PATH, "/" P "SLASH", "! would change its meaning");
    expect(PATH, "/." P "DOTS", "! ");
    expect(PATH, "/%2F" P "TOKEN", "! beside bytes that cannot be there");
    expect(FORM, "a=b&key=" P "KEY&c", "a=b&key=s3cret%2B%2F%3D&c");
    expect(FORM, "key=x+openshell%3Aresolve%3Aenv%3AKEY", "key=x%20s3cret%2B%2F%3D");
    expect(FORM, P "KEY=1", "! stands in a name");
    expect(FORM, "", "");
    expect(HEADER, " " P "KEY ", "s3cret+/=");
    expect(HEADER, "Bearer " P "v3_KEY", "Bearer s3cret+/=");
    expect(HEADER, "x-OPENSHELL-RESOLVE-ENV-TOKEN", "tok.en~1");
    expect(HEADER,
           "Basic dXNlcjpvcGVuc2hlbGw6cmVzb2x2ZTplbnY6VE9LRU4=", "Basic dXNlcjp0b2suZW5+MQ==");
    expect(HEADER, "Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNz");
    expect(HEADER, "text/html, a", "text/html, a");
    expect(HEADER, "a, " P "KEY, b", "! stands where none is exchanged");
    expect(HEADER, "openshell%3Aresolve%3Aenv%3AKEY", "! stands where none is exchanged");
    expect(HEADER, "", "");
}

static void test_redaction(void **state)
{
    (void)state;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 4096);
    assert_int_equal(fill(PATH, "/a/" P "NOBODY/b", NULL, &out, NULL), OSA_OK);
    assert_string_equal(out.data, "/a/[CREDENTIAL]/b");
    osa_buf_reset(&out);
    assert_int_equal(fill(FORM, "a=1&k=" P "X", NULL, &out, NULL), OSA_OK);
    assert_string_equal(out.data, "a=1&k=[CREDENTIAL]");
}

static void test_bounds(void **state)
{
    (void)state;
    struct policy_credentials credentials = { find };
    struct osa_error err = { 0 };
    for (size_t max = 0; max < 9; max++) {
        OSA_AUTO(osa_buf_done) struct osa_buf out;
        osa_buf_init(&out, max);
        assert_int_equal(fill(TEXT, P "KEY", &credentials, &out, &err), OSA_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(err.text, "too long with its credentials"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finding),  cmocka_unit_test(test_markers_and_keys),
        cmocka_unit_test(test_exchange), cmocka_unit_test(test_redaction),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
