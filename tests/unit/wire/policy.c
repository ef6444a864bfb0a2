// SPDX-License-Identifier: Apache-2.0
/* The policy message: nothing is lost on the way there and back, and bad ones are named. */
#include "wire/policy_wire.h"

#include "cmocka_all.h"
#include "unit/policy/full_document.h"

#include <stdlib.h>
#include <string.h>

typedef Openshell__Sandbox__V1__SandboxPolicy message;

/* The generated structs have no const text. */
static char *text(const char *constant)
{
    return (char *)constant;
}

static message *to_wire(const struct policy_document *doc)
{
    message *wire = NULL;
    struct osa_error err = { 0 };
    if (policy_to_wire(doc, &wire, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return wire;
}

static const struct policy_document *from_wire(const message *wire)
{
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    if (policy_from_wire(wire, "policy", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return doc;
}

static size_t pack(const message *wire, uint8_t **ret)
{
    size_t size = openshell__sandbox__v1__sandbox_policy__get_packed_size(wire);
    *ret = malloc(size + 1);
    assert_non_null(*ret);
    return openshell__sandbox__v1__sandbox_policy__pack(wire, *ret);
}

static void test_there_and_back(void **state)
{
    (void)state;
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(full, strlen(full), "p.yaml", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    message *first = to_wire(doc);
    const struct policy_document *copy = from_wire(first);
    message *second = to_wire(copy);

    uint8_t *a = NULL;
    uint8_t *b = NULL;
    size_t size = pack(first, &a);
    assert_true(size > 900);
    assert_int_equal(pack(second, &b), size);
    assert_memory_equal(a, b, size);
    free(a);
    free(b);

    /* What the first copy could have lost already. */
    const struct policy_endpoint *rest = &copy->rules[0].endpoints[0];
    assert_string_equal(rest->host, "rest.acme.test");
    assert_true(rest->enforce && rest->allow_encoded_slash && rest->credential_binding_given);
    assert_true(rest->request_body_credential_rewrite && rest->allow_uninspected_credentials);
    assert_string_equal(rest->rules.items[1].query.items[1].globs.items[1], "test");
    assert_string_equal(rest->deny_rules.items[0].path, "/v1/items/secret");
    const struct policy_endpoint *graphql = &copy->rules[0].endpoints[1];
    assert_string_equal(graphql->graphql_operations[0].operation_name, "Add");
    assert_int_equal(graphql->graphql_max_body_bytes, 1024);
    const struct policy_endpoint *mcp = &copy->rules[0].endpoints[2];
    assert_true(mcp->mcp_given && mcp->mcp_allow_all_known_methods && mcp->mcp_strict_tool_names);
    assert_int_equal(mcp->json_rpc_max_body_bytes, 2048);
    assert_int_equal(copy->rules[0].endpoints[3].signing, POLICY_SIGNING_SIGV4_NO_BODY);
    assert_int_equal(copy->rules[1].endpoints[0].ports[1], 6443);
    assert_string_equal(copy->middlewares[0].config.items[0].items[2].text, "q\"");
    assert_int_equal(copy->middlewares[0].order, -1);
    assert_true(copy->landlock.hard_requirement);
    assert_string_equal(copy->process.run_as_group, "4294967294");
    assert_string_equal(copy->filesystem.read_only.items[1], "/opt/..data");
    assert_int_equal(copy->warnings.count, doc->warnings.count);

    policy_document_unref(doc);
    policy_document_unref(copy);
    openshell__sandbox__v1__sandbox_policy__free_unpacked(first, NULL);
    openshell__sandbox__v1__sandbox_policy__free_unpacked(second, NULL);
}

static void test_empty_message(void **state)
{
    (void)state;
    message wire = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
    const struct policy_document *doc = from_wire(&wire);
    assert_int_equal(doc->version, 1);
    assert_true(doc->filesystem.include_workdir);
    assert_false(doc->landlock.given);
    policy_document_unref(doc);

    Openshell__Sandbox__V1__FilesystemPolicy files =
        OPENSHELL__SANDBOX__V1__FILESYSTEM_POLICY__INIT;
    wire.filesystem = &files;
    doc = from_wire(&wire);
    assert_false(doc->filesystem.include_workdir);
    policy_document_unref(doc);
}

static void expect_rejected(const message *wire, const char *words, const char *field)
{
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(policy_from_wire(wire, "policy", &doc, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, words);
    assert_string_equal(err.field, field);
    assert_null(doc);
}

static void test_rejected(void **state)
{
    (void)state;
    message wire = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
    wire.version = 7;
    expect_rejected(&wire, "policy.version: 7 is not known here; write 1", "policy.version");
    wire.version = 1;

    Openshell__Sandbox__V1__FilesystemPolicy files =
        OPENSHELL__SANDBOX__V1__FILESYSTEM_POLICY__INIT;
    char *paths[] = { text("tmp") };
    files.n_read_write = 1;
    files.read_write = paths;
    wire.filesystem = &files;
    expect_rejected(&wire,
                    "policy.filesystem.read_write[0]: 'tmp' is not absolute; start it with '/'",
                    "policy.filesystem.read_write[0]");
    wire.filesystem = NULL;

    Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry entry =
        OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__NETWORK_POLICIES_ENTRY__INIT;
    Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry *twice[] = { &entry, &entry };
    entry.key = text("a");
    wire.n_network_policies = 2;
    wire.network_policies = twice;
    expect_rejected(&wire, "policy.network_policies.a: appears twice; keep one",
                    "policy.network_policies.a");
}

/* Endpoints that only a message can express. */
static void test_endpoint_forms(void **state)
{
    (void)state;
    message wire = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
    Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry entry =
        OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__NETWORK_POLICIES_ENTRY__INIT;
    Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry *entries[] = { &entry };
    Openshell__Sandbox__V1__NetworkPolicyRule rule =
        OPENSHELL__SANDBOX__V1__NETWORK_POLICY_RULE__INIT;
    Openshell__Sandbox__V1__NetworkEndpoint endpoint =
        OPENSHELL__SANDBOX__V1__NETWORK_ENDPOINT__INIT;
    Openshell__Sandbox__V1__NetworkEndpoint *endpoints[] = { &endpoint };
    uint32_t ports[] = { 443, 8443 };
    entry.key = text("_provider_acme");
    entry.value = &rule;
    rule.endpoints = endpoints;
    rule.n_endpoints = 1;
    wire.network_policies = entries;
    wire.n_network_policies = 1;

    /* The gateway repeats the first of the ports. */
    endpoint.host = text("a.acme.test");
    endpoint.port = 443;
    endpoint.ports = ports;
    endpoint.n_ports = 2;
    const struct policy_document *doc = from_wire(&wire);
    assert_int_equal(doc->rules[0].endpoints[0].port_count, 2);
    assert_string_equal(doc->rules[0].key, "_provider_acme");
    policy_document_unref(doc);
    endpoint.port = 80;
    expect_rejected(&wire,
                    "policy.network_policies._provider_acme.endpoints[0].port: cannot be given "
                    "together with ports; keep one",
                    "policy.network_policies._provider_acme.endpoints[0].port");
    endpoint.port = 0;

    endpoint.protocol = text("rest");
    Openshell__Sandbox__V1__L7Allow allow = OPENSHELL__SANDBOX__V1__L7_ALLOW__INIT;
    Openshell__Sandbox__V1__L7Rule l7_rule = OPENSHELL__SANDBOX__V1__L7_RULE__INIT;
    Openshell__Sandbox__V1__L7Rule *l7_rules[] = { &l7_rule };
    Openshell__Sandbox__V1__L7Allow__QueryEntry query =
        OPENSHELL__SANDBOX__V1__L7_ALLOW__QUERY_ENTRY__INIT;
    Openshell__Sandbox__V1__L7Allow__QueryEntry *queries[] = { &query };
    Openshell__Sandbox__V1__L7QueryMatcher matcher = OPENSHELL__SANDBOX__V1__L7_QUERY_MATCHER__INIT;
    char *any[] = { text("b") };
    endpoint.rules = l7_rules;
    endpoint.n_rules = 1;
    l7_rule.allow = &allow;
    allow.method = text("GET");
    allow.path = text("/");
    allow.query = queries;
    allow.n_query = 1;
    query.key = text("q");
    static const char expect[] =
        "policy.network_policies._provider_acme.endpoints[0].rules[0].allow.query.q: needs exactly "
        "one of: a glob, or any with a list";
    struct osa_error err = { 0 };
    for (int form = 0; form < 3; form++) { /* no value, neither form, both forms */
        query.value = form > 0 ? &matcher : NULL;
        matcher.glob = text(form > 1 ? "a" : "");
        matcher.any = any;
        matcher.n_any = form > 1;
        assert_int_equal(policy_from_wire(&wire, "policy", &doc, &err), OSA_INVALID_ARGUMENT);
        assert_string_equal(err.text, expect);
    }
    matcher.n_any = 0;
    policy_document_unref(from_wire(&wire));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_empty_message),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_endpoint_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
