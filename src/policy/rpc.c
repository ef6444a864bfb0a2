// SPDX-License-Identifier: Apache-2.0
/*
 * JSON-RPC 2.0 bodies, and what MCP (2025-06-18) asks of them beyond that: the shape of requests
 * that it knows. Methods that it does not know are kept as they are, for rules to name.
 */
#include "policy/rpc.h"

#include "io/json_value.h"

#include <string.h>
#include <strings.h>

static void free_json(struct json_t **value)
{
    io_json_free(*value);
}

/* ---- MCP ---- */

/* Members that the params of a method must have, with their kind. */
struct shape {
    const char *method;
    struct {
        const char *name;
        enum io_json_kind kind;
    } members[3];
};

/* Both strings and integers name a request, a task or a progress token. */
#define NAME_OR_NUMBER IO_JSON_NONE

static const struct shape request_shapes[] = {
    { "initialize",
      { { "protocolVersion", IO_JSON_STRING },
        { "capabilities", IO_JSON_OBJECT },
        { "clientInfo", IO_JSON_OBJECT } } },
    { "tools/call", { { "name", IO_JSON_STRING } } },
    { "resources/read", { { "uri", IO_JSON_STRING } } },
    { "resources/subscribe", { { "uri", IO_JSON_STRING } } },
    { "resources/unsubscribe", { { "uri", IO_JSON_STRING } } },
    { "prompts/get", { { "name", IO_JSON_STRING } } },
    { "tasks/get", { { "taskId", IO_JSON_STRING } } },
    { "tasks/result", { { "taskId", IO_JSON_STRING } } },
    { "tasks/cancel", { { "taskId", IO_JSON_STRING } } },
    { "logging/setLevel", { { "level", IO_JSON_STRING } } },
    { "completion/complete", { { "ref", IO_JSON_OBJECT }, { "argument", IO_JSON_OBJECT } } },
};

static const struct shape notification_shapes[] = {
    { "notifications/progress", { { "progressToken", NAME_OR_NUMBER } } },
};

static bool is_named(const struct json_t *value)
{
    enum io_json_kind kind = io_json_kind(value);
    return kind == IO_JSON_STRING || kind == IO_JSON_INTEGER;
}

static const char *check_shape(const struct shape *shapes, size_t count, const char *method,
                               const struct json_t *params, struct osa_arena *arena)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(shapes[i].method, method) != 0)
            continue;
        for (size_t k = 0; k < OSA_ARRAY_LEN(shapes[i].members); k++) {
            const char *name = shapes[i].members[k].name;
            if (name == NULL)
                break;
            const struct json_t *value = io_json_member(params, name);
            enum io_json_kind kind = shapes[i].members[k].kind;
            bool good = kind == NAME_OR_NUMBER ? is_named(value) : io_json_kind(value) == kind;
            if (!good)
                return osa_arena_printf(arena, "MCP %s without a proper params.%s", method, name);
        }
    }
    return NULL;
}

static bool is_strict_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 128 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

static const char *check_mcp(const struct policy_endpoint *endpoint, const struct json_t *message,
                             struct osa_arena *arena, struct policy_rpc_call *call)
{
    const struct json_t *params = io_json_member(message, "params");
    if (params != NULL && io_json_kind(params) != IO_JSON_OBJECT)
        return "MCP params that are not an object";
    if (call->notification && strcmp(call->method, "tools/call") == 0)
        return "MCP tools/call without an id"; /* would call a tool that no rule has seen */
    if (call->notification)
        return check_shape(notification_shapes, OSA_ARRAY_LEN(notification_shapes), call->method,
                           params, arena);
    if (!is_named(io_json_member(message, "id")))
        return "MCP id that is neither a string nor an integer";
    const char *fault =
        check_shape(request_shapes, OSA_ARRAY_LEN(request_shapes), call->method, params, arena);
    if (fault != NULL || strcmp(call->method, "tools/call") != 0)
        return fault;
    call->tool = osa_arena_strdup(arena, io_json_text(params, "name"));
    if (endpoint->mcp_strict_tool_names && !is_strict_name(call->tool))
        return "MCP tool name with other characters than A-Z a-z 0-9 _ . -, empty, or of more than "
               "128; strict_tool_names is on";
    return NULL;
}

/* ---- JSON-RPC ---- */

static const char *check_response(const struct json_t *message)
{
    const struct json_t *result = io_json_member(message, "result");
    const struct json_t *error = io_json_member(message, "error");
    if (result != NULL && error != NULL)
        return "JSON-RPC response with both result and error";
    switch (io_json_kind(io_json_member(message, "id"))) {
    case IO_JSON_STRING:
    case IO_JSON_INTEGER:
    case IO_JSON_REAL:
    case IO_JSON_NULL:
        break;
    case IO_JSON_NONE:
    case IO_JSON_BOOL:
    case IO_JSON_ARRAY:
    case IO_JSON_OBJECT:
        return "JSON-RPC response without a proper id";
    }
    if (error != NULL && io_json_kind(error) != IO_JSON_OBJECT)
        return "JSON-RPC response whose error is not an object";
    return NULL;
}

/* Return: NULL, or what is wrong. A call is added to @ret, a response noted there. */
static const char *read_message(const struct policy_endpoint *endpoint,
                                const struct json_t *message, struct osa_arena *arena,
                                struct policy_rpc *ret)
{
    if (io_json_kind(message) != IO_JSON_OBJECT)
        return "JSON-RPC message that is not an object";
    const char *version = io_json_text(message, "jsonrpc");
    if (version == NULL || strcmp(version, "2.0") != 0)
        return "JSON-RPC message that is not of version 2.0";
    bool answers =
        io_json_member(message, "result") != NULL || io_json_member(message, "error") != NULL;
    if (io_json_member(message, "method") == NULL) {
        ret->response = ret->response || answers;
        return answers ? check_response(message) : "JSON-RPC message without a method";
    }
    const char *method = io_json_text(message, "method");
    if (answers)
        return "JSON-RPC message with both a method and a result or error";
    if (method == NULL)
        return "JSON-RPC message whose method is not a string";
    struct policy_rpc_call *call = &ret->calls[ret->call_count++];
    *call = (struct policy_rpc_call){ .method = osa_arena_strdup(arena, method),
                                      .notification = io_json_member(message, "id") == NULL };
    if (endpoint->protocol == POLICY_PROTOCOL_MCP)
        return check_mcp(endpoint, message, arena, call);
    return NULL;
}

/* Whether a list of media types has text/event-stream, whatever its parameters. */
static bool accepts_events(struct policy_text accept)
{
    static const char wanted[] = "text/event-stream";
    const char *end = accept.data + accept.len;
    for (const char *p = accept.data; p != NULL && p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;
        const char *semicolon = memchr(p, ';', (size_t)(stop - p));
        const char *last = semicolon != NULL ? semicolon : stop;
        while (p < last && (*p == ' ' || *p == '\t'))
            p++;
        while (last > p && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if ((size_t)(last - p) == sizeof(wanted) - 1 &&
            strncasecmp(p, wanted, sizeof(wanted) - 1) == 0)
            return true;
        p = comma != NULL ? comma + 1 : end;
    }
    return false;
}

void policy_rpc_parse(const struct policy_endpoint *endpoint, struct policy_text method,
                      struct policy_text accept, struct policy_text body, struct osa_arena *arena,
                      struct policy_rpc *ret)
{
    *ret = (struct policy_rpc){ 0 };
    bool get = method.len == 3 && strncasecmp(method.data, "GET", 3) == 0;
    if (get && body.len == 0 && accepts_events(accept)) {
        ret->receive_stream = true;
        return;
    }
    struct osa_error err = { 0 };
    OSA_AUTO(free_json) struct json_t *value = NULL;
    if (io_json_parse(body.data != NULL ? body.data : "", body.len, &value, &err) != OSA_OK) {
        ret->error = osa_arena_printf(arena, "JSON-RPC request is %s", err.text);
        return;
    }
    bool batch = io_json_kind(value) == IO_JSON_ARRAY;
    size_t count = batch ? io_json_count(value) : 1;
    ret->calls = osa_arena_alloc(arena, sizeof(*ret->calls) * count);
    if (count == 0)
        ret->error = "JSON-RPC batch is empty";
    for (size_t i = 0; i < count && ret->error == NULL; i++)
        ret->error = read_message(endpoint, batch ? io_json_element(value, i) : value, arena, ret);
}
