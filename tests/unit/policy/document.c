// SPDX-License-Identifier: Apache-2.0
/* Documents that are accepted: every field arrives, defaults, order, sharing. */
#include "policy/document_build.h"

#include "cmocka_all.h"
#include "unit/policy/full_document.h"

#include <stdio.h>
#include <string.h>

static const struct policy_document *parse(const char *text)
{
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(text, strlen(text), "p.yaml", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return doc;
}

static void assert_list(const struct policy_strings *list, const char *joined)
{
    char text[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < list->count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "",
                                 list->items[i]);
    assert_string_equal(text, joined);
}

static void test_default(void **state)
{
    (void)state;
    const struct policy_document *doc = NULL;
    struct osa_error err;
    assert_int_equal(policy_document_default(&doc, &err), OSA_OK);
    assert_int_equal(doc->version, 1);
    assert_true(doc->filesystem.include_workdir);
    assert_list(&doc->filesystem.read_only, "/usr /lib /proc /dev/urandom /app /etc /var/log");
    assert_list(&doc->filesystem.read_write, "/tmp /dev/null");
    assert_string_equal(doc->landlock.compatibility, "best_effort");
    assert_false(doc->landlock.hard_requirement);
    assert_false(doc->process.given);
    assert_string_equal(doc->process.run_as_user, "");
    assert_int_equal(doc->rule_count, 0);
    assert_int_equal(doc->middleware_count, 0);
    assert_int_equal(doc->warnings.count, 0);
    policy_document_unref(doc);
    policy_document_unref(NULL);
}

static void test_minimal(void **state)
{
    (void)state;
    const struct policy_document *doc = parse("version: 1\n");
    assert_false(doc->filesystem.given);
    assert_true(doc->filesystem.include_workdir); /* no section: the sender's default */
    assert_list(&doc->filesystem.read_only, "");
    policy_document_unref(doc);

    doc = parse("version: 1\nfilesystem_policy: {}\n");
    assert_true(doc->filesystem.given);
    assert_false(doc->filesystem.include_workdir);
    policy_document_unref(doc);

    doc = parse("version: 1\nfilesystem_policy:\nlandlock: ~\nnetwork_policies: null\n");
    assert_false(doc->filesystem.given);
    assert_false(doc->landlock.given);
    policy_document_unref(doc);
}

static void check_first_rule(const struct policy_rule *rule)
{
    assert_string_equal(rule->key, "alpha");
    assert_string_equal(rule->name, "The first");
    assert_int_equal(rule->binary_count, 1);
    assert_string_equal(rule->binaries[0].path, "/usr/bin/app");
    assert_int_equal(rule->endpoint_count, 6);

    const struct policy_endpoint *e = &rule->endpoints[0];
    assert_string_equal(e->host, "rest.acme.test");
    assert_int_equal(e->port_count, 1);
    assert_int_equal(e->ports[0], 443);
    assert_int_equal(e->protocol, POLICY_PROTOCOL_REST);
    assert_true(e->enforce);
    assert_string_equal(e->path, "/v1/**");
    assert_list(&e->allowed_ips, "10.20.0.0/16");
    assert_true(e->allow_encoded_slash);
    assert_true(e->request_body_credential_rewrite);
    assert_true(e->allow_uninspected_credentials);
    assert_string_equal(e->credential_provider, "acme");
    assert_int_equal(e->rules.count, 2);
    assert_string_equal(e->rules.items[1].method, "POST");
    const struct policy_matchers *query = &e->rules.items[1].query;
    assert_int_equal(query->count, 2);
    assert_string_equal(query->items[0].name, "a");
    assert_false(query->items[0].any);
    assert_list(&query->items[0].globs, "x*");
    assert_true(query->items[1].any);
    assert_list(&query->items[1].globs, "dry test");
    assert_int_equal(e->deny_rules.count, 1);
    assert_string_equal(e->deny_rules.items[0].path, "/v1/items/secret");
    assert_int_equal(e->json_rpc_max_body_bytes, POLICY_DEFAULT_BODY_BYTES);
}

static void check_other_protocols(const struct policy_rule *rule)
{
    const struct policy_endpoint *e = &rule->endpoints[1];
    assert_int_equal(e->protocol, POLICY_PROTOCOL_GRAPHQL);
    assert_false(e->enforce);
    assert_true(e->persisted_queries_registered);
    assert_int_equal(e->graphql_max_body_bytes, 1024);
    assert_int_equal(e->graphql_operation_count, 2);
    assert_string_equal(e->graphql_operations[0].id, "q1");
    assert_string_equal(e->graphql_operations[0].operation_name, "Add");
    assert_list(&e->graphql_operations[1].fields, "viewer");
    assert_list(&e->rules.items[0].fields, "viewer repo*");

    e = &rule->endpoints[2];
    assert_int_equal(e->protocol, POLICY_PROTOCOL_MCP);
    assert_int_equal(e->json_rpc_max_body_bytes, 2048);
    assert_true(e->mcp_strict_tool_names);
    assert_true(e->mcp_allow_all_known_methods);
    assert_string_equal(e->rules.items[0].params.items[0].name, "name");
    assert_list(&e->rules.items[0].params.items[0].globs, "read_*");
    assert_list(&e->rules.items[1].params.items[0].globs, "a b");

    e = &rule->endpoints[3];
    assert_int_equal(e->access, POLICY_ACCESS_READ_WRITE);
    assert_int_equal(e->signing, POLICY_SIGNING_SIGV4_NO_BODY);
    assert_string_equal(e->signing_service, "s3");
    assert_string_equal(e->signing_region, "eu-1");
    assert_true(e->mcp_strict_tool_names);

    e = &rule->endpoints[4];
    assert_int_equal(e->protocol, POLICY_PROTOCOL_WEBSOCKET);
    assert_true(e->tls_skip);
    assert_true(e->websocket_credential_rewrite);
    assert_int_equal(rule->endpoints[5].protocol, POLICY_PROTOCOL_TCP);
}

static void check_config(const struct policy_value *config)
{
    static const struct policy_value expect[] = {
        { .key = "n", .kind = POLICY_VALUE_NUMBER, .number = 1 },
        { .key = "f", .kind = POLICY_VALUE_NUMBER, .number = 0.5 },
        { .key = "t", .kind = POLICY_VALUE_BOOL, .boolean = true },
        { .key = "z", .kind = POLICY_VALUE_NULL },
        { .key = "s", .kind = POLICY_VALUE_TEXT, .text = "yes" },
        { .key = "v", .kind = POLICY_VALUE_TEXT, .text = "1.2.3" },
    };
    assert_int_equal(config->kind, POLICY_VALUE_OBJECT);
    assert_int_equal(config->count, 7);
    const struct policy_value *words = &config->items[0];
    assert_string_equal(words->key, "words");
    assert_int_equal(words->kind, POLICY_VALUE_LIST);
    assert_int_equal(words->count, 3);
    assert_string_equal(words->items[1].text, "1");
    assert_string_equal(words->items[2].text, "q\"");
    for (size_t i = 0; i < OSA_ARRAY_LEN(expect); i++) {
        const struct policy_value *value = &config->items[i + 1];
        assert_string_equal(value->key, expect[i].key);
        assert_int_equal(value->kind, expect[i].kind);
        assert_int_equal(value->boolean, expect[i].boolean);
        assert_true(value->number >= expect[i].number && value->number <= expect[i].number);
        assert_string_equal(value->text, expect[i].text ? expect[i].text : "");
    }
}

static void test_every_field(void **state)
{
    (void)state;
    const struct policy_document *doc = parse(full);
    assert_true(doc->filesystem.include_workdir);
    assert_list(&doc->filesystem.read_only, "/usr /opt/..data");
    assert_list(&doc->filesystem.read_write, "/tmp");
    assert_true(doc->landlock.hard_requirement);
    assert_string_equal(doc->process.run_as_user, "sandbox");
    assert_string_equal(doc->process.run_as_group, "4294967294");
    assert_int_equal(doc->rule_count, 2);
    check_first_rule(&doc->rules[0]);
    check_other_protocols(&doc->rules[0]);

    const struct policy_rule *zulu = &doc->rules[1];
    assert_string_equal(zulu->name, "zulu");
    assert_int_equal(zulu->endpoints[0].port, 443);
    assert_int_equal(zulu->endpoints[0].ports[1], 6443);
    assert_false(zulu->binaries[0].advisor_proposed);

    assert_int_equal(doc->middleware_count, 2);
    const struct policy_middleware *filter = &doc->middlewares[0];
    assert_string_equal(filter->key, "first");
    assert_string_equal(filter->name, "Filter");
    assert_int_equal(filter->order, -1);
    assert_false(filter->fail_open);
    check_config(&filter->config);
    assert_list(&filter->include, "*.pkg.acme.test");
    assert_list(&filter->exclude, "x.pkg.acme.test");
    assert_true(doc->middlewares[1].fail_open);
    assert_int_equal(doc->middlewares[1].config.kind, POLICY_VALUE_OBJECT);
    assert_int_equal(doc->middlewares[1].config.count, 0);
    policy_document_unref(doc);
}

static void test_shared(void **state)
{
    (void)state;
    const struct policy_document *doc = parse("version: 1\n");
    assert_ptr_equal(policy_document_ref(doc), doc);
    policy_document_unref(doc);
    assert_int_equal(doc->version, 1);
    policy_document_unref(doc);
}

/* A builder that asks for too much may go on; only finishing fails. */
static void test_memory_bound(void **state)
{
    (void)state;
    struct policy_document *doc = policy_document_new();
    const struct policy_document *finished = NULL;
    struct osa_error err;
    assert_null(policy_alloc(doc, SIZE_MAX / 2, 16));
    assert_null(policy_alloc(doc, 0, 16));
    doc->version = 1;
    assert_int_equal(policy_document_finish(doc, NULL, &finished, &err), OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text,
                        "the policy takes more memory than a policy may; write fewer rules");
    assert_null(finished);

    size_t copies = 0;
    doc = policy_document_new();
    char text[1000];
    memset(text, 'a', sizeof(text));
    while (strlen(policy_copy(doc, text, sizeof(text))) > 0)
        copies++;
    assert_in_range(copies, 4000, 10000);
    policy_document_unref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),      cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_every_field),  cmocka_unit_test(test_shared),
        cmocka_unit_test(test_memory_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
