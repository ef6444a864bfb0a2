// SPDX-License-Identifier: Apache-2.0
/*
 * What a JSON-RPC 2.0 or MCP request asks for. JSON with a member twice is refused: the server might
 * take the other one.
 */
#pragma once

#include "base/arena.h"
#include "policy/request.h"

/**
 * struct policy_rpc_call - One request or notification
 * @method: as sent
 * @tool:   string member "name" of its params; NULL when there is none
 * @notification: has no id
 */
struct policy_rpc_call {
    const char *method;
    const char *tool;
    bool notification;
};

/**
 * struct policy_rpc - A body
 * @error:    NULL, or why it was not understood; refused, also in audit
 * @response: a response frame is among it
 * @receive_stream: a GET that only waits for the server's messages
 * @calls:    of a batch, each
 */
struct policy_rpc {
    const char *error;
    bool response;
    bool receive_stream;
    struct policy_rpc_call *calls;
    size_t call_count;
};

/**
 * policy_rpc_parse() - Read a request to a json-rpc or mcp endpoint
 * @endpoint: of the route; its protocol and strict_tool_names count
 * @accept:   value of the Accept header
 * @body:     whole; the caller holds it to the endpoint's json_rpc_max_body_bytes
 * @arena:    takes what @ret points to
 * Thread: any. The result is complete or has ret->error.
 */
void policy_rpc_parse(const struct policy_endpoint *endpoint, struct policy_text method,
                      struct policy_text accept, struct policy_text body, struct osa_arena *arena,
                      struct policy_rpc *ret);
