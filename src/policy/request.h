// SPDX-License-Identifier: Apache-2.0
/*
 * Decisions about requests inside an allowed connection.
 *
 * The caller parses HTTP and frames; here come the target made canonical, what a body asks for
 * (policy/graphql.h, policy/rpc.h), and the verdict. Views borrow the caller's bytes and are not
 * NUL-terminated.
 */
#pragma once

#include "policy/engine.h"

/** struct policy_text - Bytes somewhere else; { NULL, 0 } is empty */
struct policy_text {
    const char *data;
    size_t len;
};

/** policy_text() - A view of a NUL-terminated string; NULL is empty */
struct policy_text policy_text(const char *text);

enum {
    POLICY_MAX_TARGET_PATH = 4096, /* bytes of a path as it was sent */
    POLICY_MAX_QUERY = 16384,      /* bytes of a query as it was sent */
    POLICY_TARGET_ROOM =
        3 * POLICY_MAX_TARGET_PATH + 1 /* for the canonical path, every byte encoded */
};

/**
 * struct policy_target - A request target, made canonical
 * @path:  in the caller's room, NUL-terminated; what rules see and what goes upstream
 * @query: in the caller's target, without '?', byte for byte; @has_query tells "/a?" from "/a"
 * @encoded_slash: the path was sent with a %2F, be it in parameters that are taken off; policy_route()
 *         must allow it
 */
struct policy_target {
    struct policy_text path;
    struct policy_text query;
    bool has_query;
    bool encoded_slash;
};

/**
 * policy_target_parse() - Make a request target canonical
 * @target, @len: origin-form or absolute-form, whose authority is dropped
 * @room:  POLICY_TARGET_ROOM bytes for the path; the result points into it and into @target
 *
 * Percent-encoding is decoded once where the byte is harmless and upper case elsewhere, ";…" is
 * taken off each segment, slashes are collapsed, dot segments resolved. Refused: control bytes,
 * non-ASCII, '#', bad or NUL or control escapes, dots above the root or behind %2F, a query whose
 * escapes are not UTF-8.
 * Return: OSA_OK; INVALID_ARGUMENT with what is wrong. Thread: any; allocates nothing.
 */
OSA_MUST_CHECK enum osa_code policy_target_parse(const char *target, size_t len,
                                                 char room[POLICY_TARGET_ROOM],
                                                 struct policy_target *ret, struct osa_error *err);

/**
 * struct policy_route - The endpoint that a request is for
 * @endpoint: NULL: none says anything about requests; the request passes as it is
 * @rule:     the rule of @endpoint
 * @reason:   NONE; ROUTE_MISS, TARGET_INVALID (%2F where it is not allowed): refused, also in audit
 * @index:    private to the engine
 */
struct policy_route {
    const struct policy_endpoint *endpoint;
    const struct policy_rule *rule;
    enum policy_reason reason;
    uint32_t index;
};

/**
 * policy_route() - Which endpoint of an allowed connection a request is for
 * @target:  only its path and encoded_slash are looked at
 * @compare: compare the path even when there is one endpoint only, as upstream does for
 *           absolute-form requests and not in tunnels; strict engines always do
 * @ret:     written always
 * Thread: any; allocates nothing. Return: ret->reason is NONE
 */
bool policy_route(const struct policy_engine *engine, const struct policy_connection *connection,
                  const struct policy_grant *grant, const struct policy_target *target,
                  bool compare, struct policy_route *ret);

struct policy_graphql; /* policy/graphql.h */
struct policy_rpc;     /* policy/rpc.h */

/**
 * struct policy_request - What is asked; all borrowed
 * @method:  of HTTP; POLICY_WEBSOCKET_TEXT for a message of an open websocket
 * @path, @query: canonical; of the upgrade for messages
 * @upgrade: a complete request to become a websocket
 * @graphql: for endpoints where policy_wants_graphql(); NULL else
 * @rpc:     for json-rpc and mcp endpoints; NULL else
 */
struct policy_request {
    struct policy_text method;
    struct policy_text path;
    struct policy_text query;
    bool upgrade;
    const struct policy_graphql *graphql;
    const struct policy_rpc *rpc;
};

#define POLICY_WEBSOCKET_TEXT "WEBSOCKET_TEXT"

/** policy_wants_graphql() - The endpoint has rules about operations, so its requests or messages are to be parsed as GraphQL */
bool policy_wants_graphql(const struct policy_engine *engine, const struct policy_route *route);

enum policy_verdict {
    POLICY_DENY,
    POLICY_AUDIT, /* would be denied; passes and is recorded, for the endpoint does not enforce */
    POLICY_ALLOW
};

/**
 * struct policy_answer - Verdict on a request; plain data, valid as long as the engine
 * @verdict:  DENY, AUDIT or ALLOW
 * @hard:     denied whatever the endpoint's enforcement is
 * @reason:   NONE when allowed
 * @rule, @endpoint: with @pattern: where it stands; else those of the route
 * @pattern:  the rule that allowed or denied it; NULL when none did
 * @item:     index of the operation or call that was denied, for batches
 */
struct policy_answer {
    enum policy_verdict verdict;
    bool hard;
    enum policy_reason reason;
    const struct policy_rule *rule;
    const struct policy_endpoint *endpoint;
    const struct policy_l7_rule *pattern;
    size_t item;
};

/**
 * policy_request() - Decide on a request
 * @route: from policy_route() on the same connection and path
 * @ret:   written always
 * Thread: any; allocates nothing. Return: the request may pass, allowed or audited
 */
bool policy_request(const struct policy_engine *engine, const struct policy_connection *connection,
                    const struct policy_grant *grant, const struct policy_route *route,
                    const struct policy_request *request, struct policy_answer *ret);
