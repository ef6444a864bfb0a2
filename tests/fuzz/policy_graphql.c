// SPDX-License-Identifier: Apache-2.0
/* policy/graphql and policy/rpc: any bytes are an error or complete operations and calls. */
#include "fuzz/target.h"

#include "policy/graphql.h"
#include "policy/rpc.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_complete(const struct policy_graphql *graphql)
{
    if (graphql->error != NULL) {
        require(graphql->error[0] != '\0' && graphql->operation_count == 0);
        return;
    }
    for (size_t i = 0; i < graphql->operation_count; i++) {
        const struct policy_operation *o = &graphql->operations[i];
        require(o->type != NULL && o->name != NULL && o->key != NULL);
        require(o->persisted == (o->key[0] != '\0') || o->persisted);
        require(o->type[0] == '\0' || o->field_count > 0);
        for (size_t k = 1; k < o->field_count; k++)
            require(strcmp(o->fields[k - 1], o->fields[k]) < 0);
    }
}

/* The first byte chooses the reader. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
    if (size == 0)
        return 0;
    struct policy_text body = { (const char *)data + 1, size - 1 };
    struct policy_text none = { NULL, 0 };
    struct policy_graphql graphql;
    struct policy_endpoint endpoint = { .mcp_strict_tool_names = true };
    struct policy_rpc rpc;
    switch (data[0] % 5) {
    case 0:
        policy_graphql_document(body, "", &arena, &graphql);
        require_complete(&graphql);
        break;
    case 1:
        policy_graphql_http(policy_text("POST"), none, none, none, body, &arena, &graphql);
        require_complete(&graphql);
        break;
    case 2:
        policy_graphql_http(policy_text("GET"), body, none, none, none, &arena, &graphql);
        require_complete(&graphql);
        break;
    case 3:
        if (policy_graphql_message(body, &arena, &graphql) == POLICY_MESSAGE_OPERATION)
            require(graphql.error == NULL && graphql.operation_count == 1);
        require_complete(&graphql);
        break;
    default:
        endpoint.protocol = data[0] & 0x80 ? POLICY_PROTOCOL_MCP : POLICY_PROTOCOL_JSON_RPC;
        policy_rpc_parse(&endpoint, policy_text("POST"), none, body, &arena, &rpc);
        require(rpc.error == NULL || rpc.error[0] != '\0');
        for (size_t i = 0; rpc.error == NULL && i < rpc.call_count; i++)
            require(rpc.calls[i].method != NULL);
    }
    return 0;
}
