// SPDX-License-Identifier: Apache-2.0
/* policy/graphql: documents, envelopes, messages, and what is refused. */
#include "cmocka_all.h"

#include "policy/graphql.h"

#include <stdio.h>
#include <string.h>

static struct osa_arena arena;

static int reset(void **state)
{
    (void)state;
    osa_arena_done(&arena);
    return 0;
}

/* "type name field,field", or "! error" */
static const char *shown(const struct policy_graphql *graphql)
{
    static char text[1024];
    if (graphql->error != NULL) {
        snprintf(text, sizeof(text), "! %s", graphql->error);
        return text;
    }
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < graphql->operation_count; i++) {
        const struct policy_operation *o = &graphql->operations[i];
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s ", i > 0 ? "; " : "",
                                o->type, o->name);
        for (size_t k = 0; k < o->field_count; k++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", k > 0 ? "," : "",
                                    o->fields[k]);
        if (o->persisted)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "@%s", o->key);
    }
    return text;
}

static const char *document(const char *text, const char *name)
{
    struct policy_graphql graphql;
    policy_graphql_document(policy_text(text), name, &arena, &graphql);
    return shown(&graphql);
}

static void test_documents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        const char *expected;
    } cases[] = {
        { "{a}", "", "query  a" },
        { "{b a b}", "", "query  a,b" },
        { "{x: a, y: a}", "", "query  a" },
        { "query Q($v: [Int!]! = [1, 2] @d, $w: T = {k: \"v\"}) @x(y: $v) {a(i: 1.5e3, s: "
          "\"\"\"x\"}\"\"\") "
          "@include(if: true) {secret}}",
          "", "query Q a" },
        { "mutation M{m}", "", "mutation M m" },
        { "subscription{s}", "", "subscription  s" },
        { "{... on T{a ...{b}} ...@d{c}}", "", "query  a,b,c" },
        { "{...F a} fragment F on T{b ...G} fragment G on T{c ...F}", "", "query  a,b,c" },
        { "query A{a} query B{b}", "B", "query B b" },
        { "\xef\xbb\xbf# c\n,{a,#x\r b}", "", "query  a,b" },
        { "{on type query fragment}", "", "query  fragment,on,query,type" },
        { "{a(o: {l: [[], $x, null, ENUM, -0.0]})}", "", "query  a" },
        { "{a(s: \"\\u00e9\\n\\\"\")}", "", "query  a" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++)
        assert_string_equal(document(cases[i].text, cases[i].name), cases[i].expected);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        const char *expected;
    } cases[] = {
        { "", "", "! GraphQL document has no operation" },
        { "fragment F on T{a}", "", "! GraphQL document has no operation" },
        { "{a", "", "! GraphQL document: a name is missing at byte 2" },
        { "{}", "", "! GraphQL document: a name is missing at byte 1" },
        { "{a(}", "", "! GraphQL document: a name is missing at byte 3" },
        { "{a}}", "", "! GraphQL document: neither an operation nor a fragment at byte 3" },
        { "type T{a: Int}", "",
          "! GraphQL document: neither an operation nor a fragment at byte 0" },
        { "{a(x: 01)}", "", "! GraphQL document: an unknown token at byte 6" },
        { "{a(x: 1a)}", "", "! GraphQL document: an unknown token at byte 6" },
        { "{a(x: \"\n\")}", "", "! GraphQL document: an unknown token at byte 6" },
        { "{a(x: \"\\q\")}", "", "! GraphQL document: an unknown token at byte 6" },
        { "{..a}", "", "! GraphQL document: an unknown token at byte 1" },
        { "{a;b}", "", "! GraphQL document: an unknown token at byte 2" },
        { "query A{a} query B{b}", "",
          "! GraphQL document has several operations, and the request no operationName" },
        { "query A{a} query A{b}", "A", "! GraphQL document has two operations of one name" },
        { "{a} fragment F on T{a} fragment F on T{b}", "",
          "! GraphQL document has two fragments of one name" },
        { "query A{a}", "B", "! GraphQL document has no operation of the name in operationName" },
        { "{...F}", "", "! GraphQL document uses a fragment that it does not define" },
        { "{a} fragment on on T{a}", "", "! GraphQL document: a name is missing at byte 13" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++)
        assert_string_equal(document(cases[i].text, cases[i].name), cases[i].expected);
}

static void test_bounds(void **state)
{
    (void)state;
    enum { SIZE = 60000 };
    char *text = calloc(1, SIZE + 1);
    assert_non_null(text);
    memset(text, '{', SIZE);
    assert_non_null(strstr(document(text, ""), "a name is missing at byte 1"));
    for (size_t i = 0; i + 2 <= SIZE; i += 2)
        memcpy(text + i, "{a", 2);
    assert_non_null(strstr(document(text, ""), "too deep at byte 256"));
    memcpy(text, "{a(x:", 5);
    memset(text + 5, '[', SIZE - 5);
    assert_non_null(strstr(document(text, ""), "too deep"));
    memset(text, ' ', SIZE);
    for (size_t i = 1; i < SIZE; i += 2)
        text[i] = 'a';
    text[0] = '{';
    text[SIZE - 1] = '}';
    assert_non_null(strstr(document(text, ""), "too many tokens"));
    text[10001] = '}';
    text[10002] = '\0';
    assert_string_equal(document(text, ""), "! GraphQL operation has too many root fields");
    free(text);
}

static const char *post(const char *body)
{
    struct policy_graphql graphql;
    policy_graphql_http(policy_text("POST"), policy_text(""), policy_text("application/json"),
                        policy_text(""), policy_text(body), &arena, &graphql);
    return shown(&graphql);
}

static const char *get(const char *query)
{
    struct policy_graphql graphql;
    policy_graphql_http(policy_text("get"), policy_text(query), policy_text(""), policy_text(""),
                        policy_text(""), &arena, &graphql);
    return shown(&graphql);
}

static void test_http(void **state)
{
    (void)state;
    assert_string_equal(post("{\"query\":\"{a}\"}"), "query  a");
    assert_string_equal(post("[{\"query\":\"{a}\"},{\"query\":\"mutation{b}\"}]"),
                        "query  a; mutation  b");
    assert_string_equal(post("{\"query\":\"query A{a} query B{b}\",\"operationName\":\"A\"}"),
                        "query A a");
    assert_string_equal(post("{\"id\":\"p1\",\"operationName\":\"N\"}"), " N @p1");
    assert_string_equal(post("{\"query\":\" \",\"documentId\":\"p1\"}"), "  @p1");
    assert_string_equal(post("{\"query\":\"{a}\",\"extensions\":{\"persistedQuery\":"
                             "{\"sha256Hash\":\"h\"}},\"id\":\"i\"}"),
                        "query  a@h");
    assert_string_equal(post(""), "! GraphQL request has no body");
    assert_string_equal(post("[]"), "! GraphQL batch is empty");
    assert_string_equal(post("[1]"), "! GraphQL request is not a JSON object");
    assert_string_equal(post("{}"),
                        "! GraphQL request has neither a document nor the name of a persisted one");
    assert_non_null(strstr(post("{\"query\":\"{a}\",\"query\":\"{b}\"}"),
                           "! GraphQL request is not "
                           "JSON: line 1"));
    assert_non_null(strstr(post("{\"query\":\"{a}\\u0000\"}"), "not JSON"));
    assert_string_equal(get("query=%7Ba%7D"), "query  a");
    assert_string_equal(get("query=%7Ba%7D&q%75ery=%7Bb%7D"),
                        "! GraphQL parameter query is given twice");
    assert_string_equal(get("id=a&queryId=b"), "! GraphQL request names a persisted query twice");
    assert_string_equal(
        get("extensions=%7B%22persistedQuery%22%3A%7B%22sha256Hash%22%3A%22h%22%7D%7D"), "  @h");
    assert_string_equal(get("query=%7Ba%7D&extensions=x"),
                        "! GraphQL parameter extensions is not JSON");
    assert_string_equal(get("query=%00"), "! GraphQL parameter query is not text");
}

static const char *post_to(const char *query, const char *body)
{
    struct policy_graphql graphql;
    policy_graphql_http(policy_text("POST"), policy_text(query), policy_text(""), policy_text(""),
                        policy_text(body), &arena, &graphql);
    return shown(&graphql);
}

/* What stands in the URL and in the body: servers differ in which they take. */
static void test_two_places(void **state)
{
    (void)state;
    const char *body = "{\"query\":\"query A{a}\"}";
    assert_string_equal(post_to("id=7&x=y&operationName=A", body), "query A a");
    assert_string_equal(post_to("operationName=", body), "query A a");
    assert_string_equal(post_to("operationName=B", body),
                        "! GraphQL operationName in the URL is not that of the body");
    assert_string_equal(post_to("operationName=A&operationName=B", body),
                        "! GraphQL parameter operationName is given twice");
    static const char *const second[] = { "query=%7Bb%7D", "a=b&q%75ery=x", "extensions=%7B%7D",
                                          "documentId=d",  "queryId=d",     "query=a&query=b" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(second); i++)
        assert_string_equal(post_to(second[i], body),
                            "! GraphQL request in the URL beside the one in the body");
    struct policy_graphql graphql;
    policy_graphql_http(policy_text("GET"), policy_text("query=%7Ba%7D"), policy_text(""),
                        policy_text(""), policy_text(body), &arena, &graphql);
    assert_string_equal(shown(&graphql), "! GraphQL request by GET has a body");
}

static void test_headers(void **state)
{
    (void)state;
    struct policy_graphql graphql;
    policy_graphql_http(policy_text("POST"), policy_text(""), policy_text("Multipart/form-data"),
                        policy_text("identity"), policy_text("{}"), &arena, &graphql);
    assert_string_equal(shown(&graphql), "! GraphQL request is multipart");
    policy_graphql_http(policy_text("POST"), policy_text(""), policy_text(""), policy_text("gzip"),
                        policy_text("{}"), &arena, &graphql);
    assert_string_equal(shown(&graphql), "! GraphQL request is compressed");
    policy_graphql_http(policy_text("PUT"), policy_text(""), policy_text(""), policy_text(""),
                        policy_text("{}"), &arena, &graphql);
    assert_string_equal(shown(&graphql), "! GraphQL request is neither GET nor POST");
}

static void test_messages(void **state)
{
    (void)state;
    struct policy_graphql graphql;
    static const struct {
        const char *text;
        enum policy_graphql_message kind;
        const char *expected;
    } cases[] = {
        { "{\"type\":\"connection_init\"}", POLICY_MESSAGE_CONTROL, "" },
        { "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{\"query\":\"{a}\"}}",
          POLICY_MESSAGE_OPERATION, "query  a" },
        { "{\"type\":\"start\",\"id\":\"1\",\"payload\":{\"query\":\"{a}\"}}",
          POLICY_MESSAGE_OPERATION, "query  a" },
        { "{\"type\":\"start\",\"id\":\"\",\"payload\":{\"query\":\"{a}\"}}",
          POLICY_MESSAGE_INVALID, "! GraphQL message has no id" },
        { "{\"type\":\"start\",\"id\":\"1\"}", POLICY_MESSAGE_INVALID,
          "! GraphQL request is not a JSON object" },
        { "{\"type\":\"data\"}", POLICY_MESSAGE_INVALID, "! GraphQL message has an unknown type" },
        { "[]", POLICY_MESSAGE_INVALID, "! GraphQL message has an unknown type" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        assert_int_equal(policy_graphql_message(policy_text(cases[i].text), &arena, &graphql),
                         cases[i].kind);
        assert_string_equal(shown(&graphql), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_documents, reset),
        cmocka_unit_test_teardown(test_refused, reset),
        cmocka_unit_test_teardown(test_bounds, reset),
        cmocka_unit_test_teardown(test_http, reset),
        cmocka_unit_test_teardown(test_two_places, reset),
        cmocka_unit_test_teardown(test_headers, reset),
        cmocka_unit_test_teardown(test_messages, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
