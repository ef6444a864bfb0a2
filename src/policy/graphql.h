// SPDX-License-Identifier: Apache-2.0
/*
 * What a GraphQL request asks for: operations, their names and root fields. JSON with a member
 * twice is refused: the server might take the other one.
 */
#pragma once

#include "base/arena.h"
#include "policy/request.h"

enum {
    POLICY_GRAPHQL_MAX_DEPTH = 128,    /* nesting of selections and values */
    POLICY_GRAPHQL_MAX_TOKENS = 20000, /* of one document */
    POLICY_GRAPHQL_MAX_FIELDS = 4096   /* root fields of one operation, fragments spread */
};

/**
 * struct policy_operation - One operation of a request
 * @type:      "query", "mutation", "subscription"; "" of a persisted one that only a registry knows
 * @name:      "" when it has none
 * @fields:    names of root fields, aliases undone, sorted, each once
 * @persisted: sent by hash or id, without a document
 * @key:       hash, else id, of a persisted one; "" else
 */
struct policy_operation {
    const char *type;
    const char *name;
    const char *const *fields;
    size_t field_count;
    bool persisted;
    const char *key;
};

/**
 * struct policy_graphql - A request, or one message
 * @error:      NULL, or why it was not understood; such a request is refused, also in audit
 * @operations: of a batch, one for each element
 */
struct policy_graphql {
    const char *error;
    struct policy_operation *operations;
    size_t operation_count;
};

/**
 * policy_graphql_http() - Read a request
 * @method: GET and POST carry GraphQL
 * @query:  of the target: the parameters of a GET, and nothing about GraphQL in a POST
 * @content_type, @content_encoding: header values, empty when missing
 * @body:   whole; the caller holds it to the endpoint's graphql_max_body_bytes
 * @arena:  takes what @ret points to; bounded by a small multiple of @body
 * Thread: any. The result is complete or has ret->error.
 */
void policy_graphql_http(struct policy_text method, struct policy_text query,
                         struct policy_text content_type, struct policy_text content_encoding,
                         struct policy_text body, struct osa_arena *arena,
                         struct policy_graphql *ret);

enum policy_graphql_message {
    POLICY_MESSAGE_OPERATION, /* decide on it */
    POLICY_MESSAGE_CONTROL,   /* of the protocol itself; passes */
    POLICY_MESSAGE_INVALID    /* refused; ret->error says why */
};

/**
 * policy_graphql_message() - Read a text message of GraphQL over WebSocket
 * Both subprotocols: graphql-transport-ws (subscribe) and graphql-ws (start).
 */
enum policy_graphql_message policy_graphql_message(struct policy_text text, struct osa_arena *arena,
                                                   struct policy_graphql *ret);

/** policy_graphql_document() - Read a document alone; @operation_name chooses among several, "" for the only one */
void policy_graphql_document(struct policy_text document, const char *operation_name,
                             struct osa_arena *arena, struct policy_graphql *ret);
