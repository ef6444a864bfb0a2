// SPDX-License-Identifier: Apache-2.0
/* policy/rpc: JSON-RPC and MCP bodies, and what is refused. */
#include "cmocka_all.h"

#include "policy/rpc.h"

#include <stdio.h>
#include <string.h>

static struct osa_arena arena;

static int reset(void **state)
{
    (void)state;
    osa_arena_done(&arena);
    return 0;
}

/* "method/tool method …" with "~" before a notification, "<" for responses; or "! error" */
static const char *parse(enum policy_protocol protocol, const char *body)
{
    static char text[1024];
    struct policy_endpoint endpoint = { .protocol = protocol, .mcp_strict_tool_names = true };
    struct policy_rpc rpc;
    policy_rpc_parse(&endpoint, policy_text("POST"), policy_text(""), policy_text(body), &arena,
                     &rpc);
    if (rpc.error != NULL) {
        snprintf(text, sizeof(text), "! %s", rpc.error);
        return text;
    }
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rpc.call_count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s%s%s", i > 0 ? " " : "",
                                rpc.calls[i].notification ? "~" : "", rpc.calls[i].method,
                                rpc.calls[i].tool ? "/" : "",
                                rpc.calls[i].tool ? rpc.calls[i].tool : "");
    if (rpc.response)
        snprintf(text + len, sizeof(text) - len, "<");
    return text;
}

#define V "\"jsonrpc\":\"2.0\","

static void test_json_rpc(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *expected;
    } cases[] = {
        { "{" V "\"method\":\"a\",\"id\":1}", "a" },
        { "{" V "\"method\":\"a\"}", "~a" },
        { "[{" V "\"method\":\"a\",\"id\":1},{" V "\"result\":1,\"id\":null}]", "a<" },
        { "{" V "\"error\":{},\"id\":1.5}", "<" },
        { "", "! JSON-RPC request is not JSON" },
        { "{} x", "! JSON-RPC request is not JSON" },
        { "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\"}", "! JSON-RPC request is not JSON" },
        { "[]", "! JSON-RPC batch is empty" },
        { "1", "! JSON-RPC message that is not an object" },
        { "{\"jsonrpc\":2.0,\"method\":\"a\"}", "! JSON-RPC message that is not of version 2.0" },
        { "{" V "\"id\":1}", "! JSON-RPC message without a method" },
        { "{" V "\"method\":1}", "! JSON-RPC message whose method is not a string" },
        { "{" V "\"method\":\"a\",\"result\":1}",
          "! JSON-RPC message with both a method and a result or error" },
        { "{" V "\"result\":1,\"error\":{},\"id\":1}", "! JSON-RPC response with both" },
        { "{" V "\"result\":1}", "! JSON-RPC response without a proper id" },
        { "{" V "\"error\":1,\"id\":1}", "! JSON-RPC response whose error is not an object" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        const char *got = parse(POLICY_PROTOCOL_JSON_RPC, cases[i].body);
        size_t len = strlen(cases[i].expected);
        bool prefix = cases[i].expected[0] == '!';
        if (prefix ? strncmp(got, cases[i].expected, len) != 0
                   : strcmp(got, cases[i].expected) != 0)
            fail_msg("%s: %s", cases[i].body, got);
    }
}

#define CALL(params) "{" V "\"id\":1,\"method\":\"tools/call\",\"params\":" params "}"

static void test_mcp(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *expected;
    } cases[] = {
        { CALL("{\"name\":\"a.b-c_9\"}"), "tools/call/a.b-c_9" },
        { CALL("{}"), "! MCP tools/call without a proper params.name" },
        { CALL("{\"name\":1}"), "! MCP tools/call without a proper params.name" },
        { CALL("{\"name\":\"\"}"), "! MCP tool name" },
        { CALL("{\"name\":\"a b\"}"), "! MCP tool name" },
        { CALL("{\"name\":\"\xc3\xa9\"}"), "! MCP tool name" },
        { CALL("[]"), "! MCP params that are not an object" },
        { "{" V "\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}",
          "! MCP tools/call without an id" },
        { "{" V "\"id\":null,\"method\":\"ping\"}", "! MCP id" },
        { "{" V "\"id\":1.5,\"method\":\"ping\"}", "! MCP id" },
        { "{" V "\"id\":\"x\",\"method\":\"ping\"}", "ping" },
        { "{" V "\"id\":1,\"method\":\"x/unknown\",\"params\":{\"name\":\"a\"}}", "x/unknown" },
        { "{" V "\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"1\","
          "\"capabilities\":{},\"clientInfo\":{}}}",
          "initialize" },
        { "{" V "\"id\":1,\"method\":\"initialize\",\"params\":{}}",
          "! MCP initialize without a proper params.protocolVersion" },
        { "{" V "\"method\":\"notifications/progress\",\"params\":{}}",
          "! MCP notifications/progress without a proper params.progressToken" },
        { "{" V "\"method\":\"notifications/progress\",\"params\":{\"progressToken\":7}}",
          "~notifications/progress" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        const char *got = parse(POLICY_PROTOCOL_MCP, cases[i].body);
        size_t len = strlen(cases[i].expected);
        bool prefix = cases[i].expected[0] == '!';
        if (prefix ? strncmp(got, cases[i].expected, len) != 0
                   : strcmp(got, cases[i].expected) != 0)
            fail_msg("%s: %s", cases[i].body, got);
    }
}

static bool streams(const char *method, const char *accept, const char *body)
{
    struct policy_endpoint endpoint = { .protocol = POLICY_PROTOCOL_MCP };
    struct policy_rpc rpc;
    policy_rpc_parse(&endpoint, policy_text(method), policy_text(accept), policy_text(body), &arena,
                     &rpc);
    assert_int_equal(rpc.receive_stream, rpc.error == NULL);
    return rpc.receive_stream;
}

static void test_receive_stream(void **state)
{
    (void)state;
    assert_true(streams("GET", "text/event-stream", ""));
    assert_true(streams("get", "application/json;q=1, Text/Event-Stream ; q=0.5", ""));
    assert_false(streams("GET", "text/event-streams", ""));
    assert_false(streams("GET", "", ""));
    assert_false(streams("GET", ",,", ""));
    assert_false(streams("POST", "text/event-stream", ""));
    assert_false(streams("GET", "text/event-stream", "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_json_rpc, reset),
        cmocka_unit_test_teardown(test_mcp, reset),
        cmocka_unit_test_teardown(test_receive_stream, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
