// SPDX-License-Identifier: Apache-2.0
/*
 * What a decision of src/policy costs, over a document of 1,000 rules: medians and 99th percentiles
 * in nanoseconds, from batches of calls, one line "NAME P50 P99" each. Needs no privileges.
 */
#include "base/arena.h"
#include "policy/engine.h"
#include "policy/graphql.h"
#include "policy/request.h"
#include "policy/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RULES = 1000, BATCH = 64, SAMPLES = 2000 };

static const struct policy_engine *engine;

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, bool (*call)(size_t round), bool expected)
{
    static double samples[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        double start = now_ns();
        for (size_t k = 0; k < BATCH; k++)
            if (call(i * BATCH + k) != expected) {
                fprintf(stderr, "%s was not as expected\n", name);
                exit(1);
            }
        samples[i] = (now_ns() - start) / BATCH;
    }
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    printf("%s %.0f %.0f\n", name, samples[SAMPLES / 2], samples[SAMPLES * 99 / 100]);
}

/* Rules by turns: a host, a host with a star, REST rules, and every hundredth GraphQL or MCP. */
static char *make_document(void)
{
    size_t size = (size_t)RULES * 900;
    char *text = malloc(size);
    if (text == NULL)
        abort();
    size_t len = (size_t)snprintf(text, size, "version: 1\nnetwork_policies:\n");
    for (int i = 0; i < RULES; i++) {
        len += (size_t)snprintf(text + len, size - len, "  r%04d: {endpoints: [{port: 443, ", i);
        if (i % 100 == 98)
            len +=
                (size_t)snprintf(text + len, size - len,
                                 "host: g%d.test, protocol: graphql, enforcement: enforce, rules: "
                                 "[{allow: {operation_type: query, fields: [viewer, 'repo*']}}]",
                                 i);
        else if (i % 100 == 99)
            len += (size_t)snprintf(text + len, size - len,
                                    "host: m%d.test, protocol: mcp, enforcement: enforce, rules: "
                                    "[{allow: {method: tools/call, tool: 'read_*'}}]",
                                    i);
        else if (i % 3 == 0)
            len += (size_t)snprintf(text + len, size - len, "host: h%d.acme.test", i);
        else if (i % 3 == 1)
            len += (size_t)snprintf(text + len, size - len, "host: '*.w%d.acme.test'", i);
        else
            len += (size_t)snprintf(
                text + len, size - len,
                "host: l%d.acme.test, protocol: rest, enforcement: enforce, rules: "
                "[{allow: {method: GET, path: /docs/**}}, {allow: {method: GET, path: "
                "/repos/*/issues/*}}], deny_rules: [{method: '*', path: /repos/*/keys}]",
                i);
        len += (size_t)snprintf(text + len, size - len,
                                "}], binaries: [{path: /usr/bin/app}, {path: '/opt/*/bin/*'}]}\n");
    }
    return text;
}

/* Hosts to ask for, of each kind of rule. */
enum { KIND_EXACT, KIND_STAR, KIND_REST, KINDS };
static char hosts[KINDS][RULES][32];
static size_t host_count[KINDS];

static const char *pick(int kind, size_t round)
{
    return hosts[kind][round % host_count[kind]];
}

static void collect_hosts(void)
{
    for (int i = 0; i < RULES; i++) {
        if (i % 100 >= 98)
            continue;
        char *host = hosts[i % KINDS][host_count[i % KINDS]++];
        snprintf(host, sizeof(hosts[0][0]), "%s%d.acme.test",
                 i % KINDS == KIND_EXACT  ? "h"
                 : i % KINDS == KIND_STAR ? "x.w"
                                          : "l",
                 i);
    }
}

static const char *const ancestors[] = { "/usr/bin/bash", "/usr/local/bin/agent" };

static bool connect_to(const char *host, const char *binary, struct policy_grant *grant)
{
    struct policy_connection connection = {
        .host = host, .port = 443, .binary = binary, .ancestors = ancestors, .ancestor_count = 2
    };
    return policy_connect(engine, &connection, grant);
}

static bool call_exact(size_t round)
{
    struct policy_grant grant;
    return connect_to(pick(KIND_EXACT, round), "/usr/bin/app", &grant);
}

static bool call_star(size_t round)
{
    struct policy_grant grant;
    return connect_to(pick(KIND_STAR, round), "/opt/tool-7/bin/node", &grant);
}

static bool call_miss(size_t round)
{
    struct policy_grant grant;
    (void)round;
    return connect_to("a.host.that.nobody.lists.test", "/usr/bin/app", &grant);
}

static bool ask(const char *host, struct policy_request *request, const char *target)
{
    static char room[POLICY_TARGET_ROOM];
    struct policy_connection connection = { .host = host, .port = 443, .binary = "/usr/bin/app" };
    struct policy_grant grant;
    struct policy_target canonical;
    struct policy_route route;
    struct policy_answer answer;
    if (!policy_connect(engine, &connection, &grant) ||
        policy_target_parse(target, strlen(target), room, &canonical, NULL) != OSA_OK)
        return false;
    request->path = canonical.path;
    request->query = canonical.query;
    return policy_route(engine, &connection, &grant, &canonical, false, &route) &&
           policy_request(engine, &connection, &grant, &route, request, &answer);
}

static bool call_rest(size_t round)
{
    struct policy_request request = { .method = policy_text("GET") };
    return ask(pick(KIND_REST, round % 32), &request, "/repos/agent/issues/1234?page=2");
}

static bool call_rest_denied(size_t round)
{
    struct policy_request request = { .method = policy_text("GET") };
    return ask(pick(KIND_REST, round % 32), &request, "/repos/agent/keys");
}

static struct policy_graphql graphql;
static struct policy_rpc rpc;

static bool call_graphql(size_t round)
{
    struct policy_request request = { .method = policy_text("POST"), .graphql = &graphql };
    (void)round;
    return ask("g98.test", &request, "/graphql");
}

static bool call_mcp(size_t round)
{
    struct policy_request request = { .method = policy_text("POST"), .rpc = &rpc };
    (void)round;
    return ask("m99.test", &request, "/mcp");
}

static void compile(const char *text)
{
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    double start = now_ns();
    double parsed = 0;
    if (policy_document_parse_yaml(text, strlen(text), "bench", &doc, &err) != OSA_OK ||
        (parsed = now_ns()) == 0 || policy_engine_compile(doc, NULL, &engine, &err) != OSA_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    policy_document_unref(doc);
    printf("load %.0f %.0f\ncompile %.0f %.0f\n", parsed - start, parsed - start, now_ns() - parsed,
           now_ns() - parsed);
}

int main(void)
{
    struct osa_arena arena = { 0 };
    char *text = make_document();
    compile(text);
    collect_hosts();
    policy_graphql_document(policy_text("{viewer{login} repository(name: \"x\"){id}}"), "", &arena,
                            &graphql);
    struct policy_endpoint mcp = { .protocol = POLICY_PROTOCOL_MCP };
    policy_rpc_parse(
        &mcp, policy_text("POST"), policy_text(""),
        policy_text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":"
                    "{\"name\":\"read_file\"}}"),
        &arena, &rpc);
    measure("connect-exact", call_exact, true);
    measure("connect-star", call_star, true);
    measure("connect-miss", call_miss, false);
    measure("request-rest", call_rest, true);
    measure("request-rest-denied", call_rest_denied, false);
    measure("request-graphql", call_graphql, true);
    measure("request-mcp", call_mcp, true);
    policy_engine_unref(engine);
    osa_arena_done(&arena);
    free(text);
    return 0;
}
