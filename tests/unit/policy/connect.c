// SPDX-License-Identifier: Apache-2.0
/* policy/engine: which connections are allowed, and by which rule. */
#include "cmocka_all.h"

#include "policy/engine.h"

#include <stdio.h>
#include <string.h>

static const struct policy_engine *compile(const char *yaml,
                                           const struct policy_engine_options *options)
{
    const struct policy_document *doc = NULL;
    const struct policy_engine *engine = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(yaml, strlen(yaml), "test", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    if (policy_engine_compile(doc, options, &engine, &err) != OSA_OK)
        fail_msg("%s", err.text);
    policy_document_unref(doc);
    return engine;
}

static struct policy_grant ask(const struct policy_engine *engine, const char *host, uint16_t port,
                               const char *binary)
{
    struct policy_connection connection = { .host = host, .port = port, .binary = binary };
    struct policy_grant grant;
    bool allow = policy_connect(engine, &connection, &grant);
    assert_int_equal(allow, grant.allow);
    assert_int_equal(grant.allow, grant.reason == POLICY_REASON_NONE);
    return grant;
}

static const char mixed[] =
    "version: 1\n"
    "network_policies:\n"
    "  b_exact: {endpoints: [{host: Api.Acme.test, port: 443}], binaries: [{path: /opt/cli}]}\n"
    "  c_star: {endpoints: [{host: '*.acme.test', ports: [443, 443, 8443]}], binaries: [{path: "
    "'/usr/lib/run-*/bin/*'}, {path: /opt/cli}]}\n"
    "  a_deep: {endpoints: [{host: '**.deep.acme.test', port: 443, tls: skip}], binaries: [{path: "
    "/opt/cli}]}\n"
    "  d_any: {endpoints: [{host: '', port: 5432, allowed_ips: [10.20.0.0/16]}], binaries: [{path: "
    "/opt/db}]}\n"
    "  e_none: {endpoints: [{host: none.test, port: 443}], binaries: []}\n"
    "  f_label: {endpoints: [{host: 'api.*.*', port: 443}], binaries: [{path: /opt/label}]}\n";

static void test_matching(void **state)
{
    (void)state;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(mixed, NULL);
    struct policy_grant grant = ask(engine, "API.acme.TEST", 443, "/opt/cli");
    assert_true(grant.allow);
    assert_string_equal(grant.rule->key, "b_exact");
    assert_int_equal(grant.endpoint_count, 2); /* c_star as well */
    assert_true(grant.declared);
    assert_null(grant.endpoint);
    grant = ask(engine, "x.acme.test", 8443, "/usr/lib/run-7/bin/node");
    assert_string_equal(grant.rule->key, "c_star");
    assert_false(grant.declared);
    assert_int_equal(ask(engine, "x.acme.test", 8443, "/usr/lib/run-7/x/bin/node").reason,
                     POLICY_REASON_BINARY_MISS);
    assert_int_equal(ask(engine, "api.acme.test.", 443, "/opt/cli").reason,
                     POLICY_REASON_ENDPOINT_MISS);
    grant = ask(engine, "a.b.deep.acme.test", 443, "/opt/cli");
    assert_string_equal(grant.rule->key, "a_deep");
    assert_true(grant.tls_skip);
    assert_string_equal(grant.endpoint->host, "**.deep.acme.test");
    assert_int_equal(ask(engine, "deep.acme.test", 444, "/opt/cli").reason,
                     POLICY_REASON_ENDPOINT_MISS);
    grant = ask(engine, "whatever", 5432, "/opt/db");
    assert_string_equal(grant.rule->key, "d_any");
    assert_non_null(grant.ranges);
    assert_int_equal(ask(engine, "none.test", 443, "/opt/cli").reason, POLICY_REASON_BINARY_MISS);
    assert_string_equal(ask(engine, "api.x.y", 443, "/opt/label").rule->key, "f_label");
    assert_int_equal(ask(engine, "xapi.x.y", 443, "/opt/label").reason,
                     POLICY_REASON_ENDPOINT_MISS);
}

static void test_ancestors(void **state)
{
    (void)state;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(mixed, NULL);
    const char *const paths[] = { "/bin/sh", "/opt/cli" };
    struct policy_connection connection = { .host = "api.acme.test",
                                            .port = 443,
                                            .binary = "/usr/bin/curl" };
    struct policy_grant grant;
    assert_false(policy_connect(engine, &connection, &grant));
    connection.cmdline_paths = paths;
    connection.cmdline_path_count = 2;
    assert_false(policy_connect(engine, &connection, &grant)); /* argv grants nothing */
    connection.ancestors = paths;
    connection.ancestor_count = 2;
    assert_true(policy_connect(engine, &connection, &grant));
    connection.identity = POLICY_REASON_INTEGRITY;
    assert_false(policy_connect(engine, &connection, &grant));
    assert_int_equal(grant.reason, POLICY_REASON_INTEGRITY);
}

/* A binary that must be known from the host, by itself and beside one that need not. */
static void test_host_identity(void **state)
{
    static const char text[] =
        "version: 1\nnetwork_policies:\n"
        "  a: { endpoints: [{ host: a.test, port: 1 }],\n"
        "       binaries: [{ path: \"host:/opt/cli\" }, { path: /opt/other }] }\n";
    (void)state;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(text, NULL);
    const char *const parent[] = { "/opt/cli" };
    struct policy_connection connection = { .host = "a.test", .port = 1, .binary = "/opt/cli" };
    struct policy_grant grant;
    assert_true(policy_connect(engine, &connection, &grant));
    connection.told_by_guest = true;
    assert_false(policy_connect(engine, &connection, &grant));
    assert_int_equal(grant.reason, POLICY_REASON_BINARY_MISS);
    connection.binary = "/bin/sh"; /* nor by an ancestor */
    connection.ancestors = parent;
    connection.ancestor_count = 1;
    assert_false(policy_connect(engine, &connection, &grant));
    connection.binary = "/opt/other";
    assert_true(policy_connect(engine, &connection, &grant));
}

static void test_bad_input(void **state)
{
    (void)state;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(mixed, NULL);
    assert_int_equal(ask(engine, "", 5432, "/opt/db").reason, POLICY_REASON_INPUT_MISSING);
    assert_int_equal(ask(engine, "a", 0, "/opt/db").reason, POLICY_REASON_INPUT_MISSING);
    assert_int_equal(ask(engine, "a", 5432, NULL).reason, POLICY_REASON_INPUT_MISSING);
    const char *const hosts[] = {
        "a b", "a\nb", "\xe2\x84\xaa.test", "a@b", "a/b", "[::1", "a\\b"
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(hosts); i++)
        assert_int_equal(ask(engine, hosts[i], 5432, "/opt/db").reason, POLICY_REASON_HOST_INVALID);
    char longest[POLICY_MAX_HOST + 2];
    memset(longest, 'a', sizeof(longest));
    longest[POLICY_MAX_HOST + 1] = '\0';
    assert_int_equal(ask(engine, longest, 5432, "/opt/db").reason, POLICY_REASON_HOST_INVALID);
    longest[POLICY_MAX_HOST] = '\0';
    assert_true(ask(engine, longest, 5432, "/opt/db").allow);
    memset(longest, '.', POLICY_MAX_HOST); /* as many labels as there can be */
    assert_true(ask(engine, longest, 5432, "/opt/db").allow);
}

static void test_relaxed(void **state)
{
    (void)state;
    struct policy_engine_options options = { .ignore_binaries = true, .generation = 7 };
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(mixed, &options);
    assert_true(ask(engine, "none.test", 443, NULL).allow);
    assert_int_equal(policy_engine_generation(engine), 7);
}

static void test_empty(void **state)
{
    (void)state;
    OSA_AUTO(policy_engine_unrefp)
    const struct policy_engine *engine = compile("version: 1\n", NULL);
    assert_int_equal(ask(engine, "a.test", 443, "/opt/cli").reason, POLICY_REASON_NO_POLICIES);
    const struct policy_engine *closed = policy_engine_quarantine("version 4 is bad", 9);
    assert_int_equal(ask(closed, "a.test", 443, "/opt/cli").reason, POLICY_REASON_QUARANTINE);
    assert_null(policy_engine_document(closed));
    policy_engine_unref(closed);
}

static void test_known_hosts(void **state)
{
    (void)state;
    OSA_AUTO(policy_engine_unrefp)
    const struct policy_engine *engine =
        compile("version: 1\nnetwork_policies:\n  r: {endpoints: [{host: db.test, port: 5432, "
                "protocol: tcp}, {host: '*.w.test', port: 443}], binaries: []}\n",
                NULL);
    assert_true(policy_host_known(engine, "DB.test", 0, POLICY_PROTOCOL_TCP));
    assert_true(policy_host_known(engine, "db.test", 5432, POLICY_PROTOCOL_TCP));
    assert_false(policy_host_known(engine, "db.test", 5433, POLICY_PROTOCOL_TCP));
    assert_false(policy_host_known(engine, "a.w.test", 0, POLICY_PROTOCOL_TCP));
    assert_true(policy_host_known(engine, "a.w.test", 0, POLICY_PROTOCOL_COUNT));
    assert_true(policy_host_known(engine, "a.w.test", 443, POLICY_PROTOCOL_NONE));
}

/* More matching endpoints than a grant remembers. */
static void test_many(void **state)
{
    (void)state;
    char yaml[8192] = "version: 1\nnetwork_policies:\n";
    size_t len = strlen(yaml);
    for (int i = 0; i < 40; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len,
                                "  r%02d: {endpoints: [{host: '%s', port: 443}], binaries: [{path: "
                                "/opt/%s}]}\n",
                                i, i % 2 == 0 ? "a.many.test" : "*.many.test",
                                i % 4 < 2 ? "cli" : "other");
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(yaml, NULL);
    struct policy_grant grant = ask(engine, "a.many.test", 443, "/opt/cli");
    assert_int_equal(grant.endpoint_count, 20);
    assert_string_equal(grant.rule->key, "r00");
    assert_string_equal(ask(engine, "a.many.test", 443, "/opt/other").rule->key, "r02");
    assert_string_equal(ask(engine, "b.many.test", 443, "/opt/other").rule->key, "r03");
}

static void test_credentials(void **state)
{
    (void)state;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(mixed, NULL);
    struct policy_grant grant = ask(engine, "api.acme.test", 443, "/opt/cli");
    assert_false(grant.credentialed);
    assert_false(grant.uninspected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),      cmocka_unit_test(test_ancestors),
        cmocka_unit_test(test_host_identity), cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_relaxed),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_known_hosts),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
