// SPDX-License-Identifier: Apache-2.0
/* Decisions allocate nothing: every allocator that src/policy links is counted (ld --wrap). */
#include "cmocka_all.h"

#include "policy/graphql.h"
#include "policy/guard.h"
#include "policy/live.h"
#include "policy/request.h"
#include "policy/rpc.h"

#include <stdio.h>
#include <string.h>

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

static const char yaml[] =
    "version: 1\n"
    "network_policies:\n"
    "  a: {endpoints: [{host: '**.acme.test', port: 443, allowed_ips: [8.0.0.0/8], protocol: rest, "
    "rules: [{allow: {method: GET, path: '/{a,b}/**', query: {q: 'x*'}}}], deny_rules: [{method: "
    "GET, path: /a/*, query: {q: '*z'}}]}], binaries: [{path: '/opt/*'}]}\n"
    "  g: {endpoints: [{host: g.test, port: 443, protocol: graphql, rules: [{allow: "
    "{operation_type: query, fields: ['v*']}}]}], binaries: [{path: /opt/app}]}\n"
    "  m: {endpoints: [{host: m.test, port: 443, protocol: mcp, rules: [{allow: {method: "
    "tools/call, tool: 'r*'}}]}], binaries: [{path: /opt/app}]}\n"
    "  w: {endpoints: [{host: w.test, port: 443, protocol: websocket, access: read-write}], "
    "binaries: [{path: /opt/app}]}\n";

static const struct policy_engine *compile(struct policy_live *live, const char *text)
{
    OSA_AUTO(policy_document_unrefp) const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(text, strlen(text), "test", &doc, &err) != OSA_OK ||
        policy_live_publish(live, doc, 1, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return policy_live_take(live);
}

static bool ask(const struct policy_engine *engine, const char *host, struct policy_request request,
                const char *target)
{
    static const char *const ancestors[] = { "/bin/sh", "/sbin/init" };
    struct policy_connection connection = {
        .host = host, .port = 443, .binary = "/opt/app", .ancestors = ancestors, .ancestor_count = 2
    };
    struct policy_address address;
    char room[POLICY_TARGET_ROOM];
    struct policy_grant grant;
    struct policy_guard guard;
    struct policy_target canonical;
    struct policy_route route;
    struct policy_answer answer;
    bool known = policy_host_known(engine, host, 0, POLICY_PROTOCOL_COUNT);
    if (policy_connect(engine, &connection, &grant) != known)
        return false;
    if (policy_address_parse("8.8.8.8", &address) != POLICY_SPELLING_PLAIN ||
        !policy_guard_plan(&connection, &grant, &address, &guard) ||
        policy_guard_check(&guard, &address) != POLICY_REASON_NONE ||
        policy_target_parse(target, strlen(target), room, &canonical, NULL) != OSA_OK)
        return false;
    request.path = canonical.path;
    request.query = canonical.query;
    return policy_route(engine, &connection, &grant, &canonical, true, &route) &&
           policy_request(engine, &connection, &grant, &route, &request, &answer) &&
           answer.verdict == POLICY_ALLOW;
}

static void test_decisions(void **state)
{
    (void)state;
    struct osa_arena arena = { 0 };
    struct policy_live *live = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    const struct policy_engine *engine = compile(live, yaml);
    struct policy_graphql graphql;
    struct policy_rpc rpc;
    struct policy_endpoint mcp = { .protocol = POLICY_PROTOCOL_MCP };
    policy_graphql_document(policy_text("{viewer{x}}"), "", &arena, &graphql);
    policy_rpc_parse(
        &mcp, policy_text("POST"), policy_text(""),
        policy_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":"
                    "{\"name\":\"read\"}}"),
        &arena, &rpc);
    assert_true(allocations > 0); /* they are counted */
    size_t before = allocations;
    for (int i = 0; i < 100; i++) {
        const struct policy_engine *taken = policy_live_take(live);
        struct policy_request get = { .method = policy_text("GET") };
        struct policy_request post = { .method = policy_text("POST") };
        assert_true(ask(taken, "a.b.acme.test", get, "/a/./b%20c;d?q=x1&q=x%32"));
        assert_false(ask(taken, "a.b.acme.test", get, "/a/b?q=xz"));
        assert_false(ask(taken, "nobody.test", get, "/"));
        post.graphql = &graphql;
        assert_true(ask(taken, "g.test", post, "/"));
        post.graphql = NULL;
        post.rpc = &rpc;
        assert_true(ask(taken, "m.test", post, "/"));
        get.method = policy_text(POLICY_WEBSOCKET_TEXT);
        assert_true(ask(taken, "w.test", get, "/"));
        policy_engine_unref(taken);
    }
    assert_int_equal(allocations, before);
    policy_engine_unref(engine);
    policy_live_free(live);
    osa_arena_done(&arena);
}

/* The slow ways too: more endpoints than a grant remembers, a pattern that is walked. */
static void test_slow_ways(void **state)
{
    (void)state;
    char text[8192] = "version: 1\nnetwork_policies:\n";
    size_t len = strlen(text);
    for (int i = 0; i < 20; i++)
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len,
                             "  r%02d: {endpoints: [{host: '*.acme.test', port: 443, protocol: "
                             "rest, path: /p%d/**, access: full}], binaries: [{path: "
                             "'*/???????????????????????????????????*/**'}, {path: /opt/app}]}\n",
                             i, i);
    struct policy_live *live = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    const struct policy_engine *engine = compile(live, text);
    size_t before = allocations;
    struct policy_request get = { .method = policy_text("GET") };
    assert_true(ask(engine, "a.acme.test", get, "/p19/x"));
    assert_int_equal(allocations, before);
    policy_engine_unref(engine);
    policy_live_free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_slow_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
