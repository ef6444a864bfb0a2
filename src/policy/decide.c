// SPDX-License-Identifier: Apache-2.0
/*
 * May this request pass. Allowed is what the rules of some endpoint of the connection permit and
 * the deny rules of none hit; which endpoint the request was routed to says only how it is parsed
 * and whether a violation is refused or recorded.
 */
#include "policy/engine_internal.h"
#include "policy/graphql.h"
#include "policy/query.h"
#include "policy/rpc.h"

#include <string.h>
#include <strings.h>

static bool same_text(struct policy_text a, const char *b)
{
    return strlen(b) == a.len && memcmp(a.data, b, a.len) == 0;
}

static bool same_letters(struct policy_text a, const char *b)
{
    return strlen(b) == a.len && strncasecmp(a.data, b, a.len) == 0;
}

/**
 * struct judge - One request, or one call of a batch, before the endpoints
 * @call:   of JSON-RPC; NULL for none
 * @allow_response: a response frame is judged, not a call
 * @broken: a value cannot be compared, so the request is refused
 */
struct judge {
    const struct policy_engine *engine;
    const struct policy_request *request;
    const struct policy_rpc_call *call;
    bool response;
    bool broken;
    size_t item; /* of the operation that was refused */
};

/* ---- HTTP ---- */

/* RFC 9110, 9.3.2: HEAD is GET without the body. */
static bool method_matches(struct policy_text method, const char *expected)
{
    if (strcmp(expected, "*") == 0 || same_letters(method, expected))
        return true;
    return same_letters(method, "HEAD") && strcasecmp(expected, "GET") == 0;
}

static bool any_glob(const struct engine_globs *globs, const char *text, size_t len)
{
    for (size_t i = 0; i < globs->count; i++)
        if (policy_pattern_match(globs->items[i], text, len))
            return true;
    return false;
}

/* Allowing wants all values of the key to match, denying is content with one. */
static bool key_matches(struct judge *judge, const struct engine_matcher *matcher, bool deny)
{
    struct policy_text rest = judge->request->query;
    struct policy_text key;
    struct policy_text value;
    bool found = false;
    while (policy_query_next(&rest, &key, &value)) {
        if (!policy_query_is(key, matcher->name))
            continue;
        char text[POLICY_MAX_QUERY];
        size_t len = 0;
        if (value.len > sizeof(text) || !policy_query_decode(value, text, &len) ||
            memchr(text, '\0', len) != NULL) {
            judge->broken = true;
            return false;
        }
        bool hit = any_glob(&matcher->globs, text, len);
        if (hit == deny)
            return deny;
        found = true;
    }
    return found && !deny;
}

static bool http_matches(struct judge *judge, const struct engine_pattern *pattern, bool deny)
{
    const struct policy_request *request = judge->request;
    if (pattern->source->method[0] == '\0' ||
        !method_matches(request->method, pattern->source->method))
        return false;
    if (!pattern->any_path &&
        (pattern->path == NULL ||
         !policy_pattern_match(pattern->path, request->path.data, request->path.len)))
        return false;
    for (size_t i = 0; i < pattern->query_count; i++)
        if (!key_matches(judge, &pattern->query[i], deny))
            return false;
    return true;
}

/* ---- GraphQL ---- */

static const struct policy_graphql_operation *
find_registered(const struct policy_endpoint *endpoint, const char *id)
{
    size_t low = 0;
    size_t high = endpoint->persisted_queries_registered ? endpoint->graphql_operation_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(endpoint->graphql_operations[middle].id, id);
        if (order == 0)
            return &endpoint->graphql_operations[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* An operation as an endpoint sees it: what a registry knows stands for what was only named. */
struct seen_operation {
    const char *type;
    const char *name;
    const char *const *fields;
    size_t field_count;
};

static bool see_operation(const struct policy_endpoint *endpoint,
                          const struct policy_operation *operation, struct seen_operation *ret)
{
    *ret = (struct seen_operation){ operation->type, operation->name, operation->fields,
                                    operation->field_count };
    if (operation->type[0] != '\0')
        return true;
    const struct policy_graphql_operation *known = find_registered(endpoint, operation->key);
    if (known == NULL)
        return false;
    *ret = (struct seen_operation){ known->operation_type, known->operation_name,
                                    known->fields.items, known->fields.count };
    return true;
}

static bool operation_matches(const struct engine_pattern *pattern,
                              const struct seen_operation *seen, bool deny)
{
    const char *type = pattern->source->operation_type;
    if (type[0] == '\0' || (strcmp(type, "*") != 0 && strcasecmp(type, seen->type) != 0))
        return false;
    if (pattern->operation_name != NULL &&
        !policy_pattern_match(pattern->operation_name, seen->name, strlen(seen->name)))
        return false;
    if (pattern->fields.count == 0)
        return true;
    for (size_t i = 0; i < seen->field_count; i++)
        if (any_glob(&pattern->fields, seen->fields[i], strlen(seen->fields[i])) == deny)
            return deny;
    return !deny && seen->field_count > 0;
}

static const struct engine_pattern *find_operation_rule(const struct engine_patterns *patterns,
                                                        const struct seen_operation *seen,
                                                        bool deny)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (operation_matches(&patterns->items[i], seen, deny))
            return &patterns->items[i];
    return NULL;
}

/* Whether every operation has a rule; *ret_pattern is that of the last. */
static bool graphql_allowed(struct judge *judge, const struct engine_endpoint *endpoint,
                            const struct engine_pattern **ret_pattern)
{
    const struct policy_graphql *graphql = judge->request->graphql;
    if (graphql == NULL || graphql->error != NULL || graphql->operation_count == 0)
        return false;
    for (size_t i = 0; i < graphql->operation_count; i++) {
        struct seen_operation seen;
        if (see_operation(endpoint->source, &graphql->operations[i], &seen))
            *ret_pattern = find_operation_rule(&endpoint->rules, &seen, /* deny= */ false);
        else
            *ret_pattern = NULL;
        if (*ret_pattern == NULL) {
            judge->item = i;
            return false;
        }
    }
    return true;
}

static bool graphql_denied(struct judge *judge, const struct engine_endpoint *endpoint,
                           const struct engine_pattern **ret_pattern)
{
    const struct policy_graphql *graphql = judge->request->graphql;
    for (size_t i = 0; i < graphql->operation_count; i++) {
        struct seen_operation seen;
        if (!see_operation(endpoint->source, &graphql->operations[i], &seen))
            continue;
        *ret_pattern = find_operation_rule(&endpoint->deny, &seen, /* deny= */ true);
        if (*ret_pattern != NULL) {
            judge->item = i;
            return true;
        }
    }
    /* An endpoint for GraphQL is not overruled by plainer rules of others. */
    enum policy_protocol protocol = endpoint->source->protocol;
    return (protocol == POLICY_PROTOCOL_GRAPHQL || protocol == POLICY_PROTOCOL_WEBSOCKET) &&
           !graphql_allowed(judge, endpoint, ret_pattern);
}

/* ---- JSON-RPC and MCP ---- */

static bool is_rpc(const struct engine_endpoint *endpoint)
{
    return endpoint->source->protocol == POLICY_PROTOCOL_JSON_RPC ||
           endpoint->source->protocol == POLICY_PROTOCOL_MCP;
}

static bool call_matches(const struct policy_rpc_call *call, const struct engine_pattern *pattern)
{
    if (call->method[0] == '\0')
        return false;
    if (pattern->method == NULL)
        return strcmp(pattern->source->method, "*") == 0 ||
               strcmp(pattern->source->method, call->method) == 0;
    if (!policy_pattern_match(pattern->method, call->method, strlen(call->method)))
        return false;
    return !pattern->names_tool ||
           (call->tool != NULL && any_glob(&pattern->tool, call->tool, strlen(call->tool)));
}

static const struct engine_pattern *find_call_rule(const struct policy_rpc_call *call,
                                                   const struct engine_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (call_matches(call, &patterns->items[i]))
            return &patterns->items[i];
    return NULL;
}

/* Upstream's option means every method; a strict engine takes its name at its word. */
static bool is_known_method(const char *method)
{
    static const char *const known[] = {
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "tasks/list",
        "tasks/get",
        "tasks/update",
        "tasks/result",
        "tasks/cancel",
        "logging/setLevel",
        "completion/complete",
        "server/discover",
        "messages/listen",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(known); i++)
        if (strcmp(method, known[i]) == 0)
            return true;
    return false;
}

static bool all_methods_allowed(const struct judge *judge, const struct engine_endpoint *endpoint)
{
    if (endpoint->source->protocol != POLICY_PROTOCOL_MCP ||
        !endpoint->source->mcp_allow_all_known_methods || judge->call->method[0] == '\0')
        return false;
    if (judge->engine->options.strict && !is_known_method(judge->call->method))
        return false;
    if (strcmp(judge->call->method, "tools/call") != 0)
        return true;
    for (size_t i = 0; i < endpoint->rules.count; i++)
        if (endpoint->rules.items[i].names_tool)
            return false; /* tools are listed, so one of those rules must match */
    return true;
}

static bool rpc_allowed(const struct judge *judge, const struct engine_endpoint *endpoint,
                        const struct engine_pattern **ret_pattern)
{
    const struct policy_request *request = judge->request;
    bool is_mcp = endpoint->source->protocol == POLICY_PROTOCOL_MCP;
    if (request->rpc == NULL || request->rpc->error != NULL)
        return false;
    if (is_mcp && request->rpc->receive_stream)
        return same_letters(request->method, "GET");
    if (!same_text(request->method, "POST"))
        return false;
    if (judge->response)
        return is_mcp;
    if (judge->call == NULL)
        return false;
    *ret_pattern = find_call_rule(judge->call, &endpoint->rules);
    return *ret_pattern != NULL || all_methods_allowed(judge, endpoint);
}

static bool rpc_denied(const struct judge *judge, const struct engine_endpoint *endpoint,
                       const struct engine_pattern **ret_pattern)
{
    if (!same_text(judge->request->method, "POST"))
        return false;
    if (judge->response)
        return endpoint->source->protocol == POLICY_PROTOCOL_JSON_RPC;
    *ret_pattern = judge->call != NULL ? find_call_rule(judge->call, &endpoint->deny) : NULL;
    return *ret_pattern != NULL;
}

/* ---- all endpoints of the connection ---- */

static bool permits(struct judge *judge, const struct engine_endpoint *endpoint,
                    const struct engine_pattern **ret_pattern)
{
    if (is_rpc(endpoint)) {
        if (rpc_allowed(judge, endpoint, ret_pattern))
            return true;
    } else {
        for (size_t i = 0; i < endpoint->rules.count; i++) {
            *ret_pattern = &endpoint->rules.items[i];
            if (http_matches(judge, *ret_pattern, /* deny= */ false))
                return true;
        }
    }
    *ret_pattern = NULL;
    return graphql_allowed(judge, endpoint, ret_pattern);
}

static bool denies(struct judge *judge, const struct engine_endpoint *endpoint,
                   const struct engine_pattern **ret_pattern)
{
    *ret_pattern = NULL;
    if (is_rpc(endpoint)) {
        if (rpc_denied(judge, endpoint, ret_pattern))
            return true;
    } else {
        for (size_t i = 0; i < endpoint->deny.count; i++) {
            *ret_pattern = &endpoint->deny.items[i];
            if (http_matches(judge, *ret_pattern, /* deny= */ true))
                return true;
        }
    }
    *ret_pattern = NULL;
    return judge->request->graphql != NULL && graphql_denied(judge, endpoint, ret_pattern);
}

static bool path_matches(const struct engine_endpoint *endpoint, struct policy_text path)
{
    return endpoint->any_path ||
           (endpoint->path != NULL && policy_pattern_match(endpoint->path, path.data, path.len));
}

/**
 * struct outcome
 * @allowed, @denied: some endpoint permits, some denies
 * @endpoint, @pattern: which one
 */
struct outcome {
    bool allowed;
    bool denied;
    const struct engine_endpoint *endpoint;
    const struct engine_pattern *pattern;
};

static struct outcome look_at_endpoints(struct judge *judge,
                                        const struct policy_connection *connection,
                                        const struct policy_grant *grant)
{
    struct outcome outcome = { 0 };
    struct engine_matches matches;
    engine_matches_begin(judge->engine, connection, grant, &matches);
    for (uint32_t id; (id = engine_matches_next(&matches)) != UINT32_MAX;) {
        const struct engine_endpoint *endpoint = &judge->engine->endpoints[id];
        const struct engine_pattern *pattern = NULL;
        if (!path_matches(endpoint, judge->request->path))
            continue;
        if (denies(judge, endpoint, &pattern)) {
            outcome.denied = true;
            outcome.endpoint = endpoint;
            outcome.pattern = pattern;
            return outcome;
        }
        if (!outcome.allowed && permits(judge, endpoint, &pattern)) {
            outcome.allowed = true;
            outcome.endpoint = endpoint;
            outcome.pattern = pattern;
        }
    }
    return outcome;
}

static bool has_unregistered(const struct policy_request *request,
                             const struct policy_endpoint *endpoint)
{
    const struct policy_graphql *graphql = request->graphql;
    for (size_t i = 0; graphql != NULL && i < graphql->operation_count; i++)
        if (graphql->operations[i].type[0] == '\0' &&
            find_registered(endpoint, graphql->operations[i].key) == NULL)
            return true;
    return false;
}

static enum policy_reason refusal(const struct judge *judge, const struct outcome *outcome,
                                  const struct policy_route *route)
{
    const struct policy_request *request = judge->request;
    if (judge->broken)
        return POLICY_REASON_EVALUATION;
    if (outcome->allowed && !outcome->denied)
        return POLICY_REASON_NONE;
    if (has_unregistered(request, route->endpoint))
        return POLICY_REASON_GRAPHQL_UNREGISTERED;
    if (request->graphql != NULL && request->graphql->operation_count > 0)
        return outcome->denied ? POLICY_REASON_GRAPHQL_BLOCKED
                               : POLICY_REASON_GRAPHQL_NOT_PERMITTED;
    return outcome->denied ? POLICY_REASON_DENY_RULE : POLICY_REASON_NOT_PERMITTED;
}

/* What no endpoint's enforcement lets through. */
static enum policy_reason find_hard_reason(const struct policy_route *route,
                                           const struct policy_request *request)
{
    if (route->reason != POLICY_REASON_NONE)
        return route->reason;
    if (request->graphql != NULL && request->graphql->error != NULL)
        return POLICY_REASON_GRAPHQL_INVALID;
    if (request->rpc != NULL && request->rpc->error != NULL)
        return POLICY_REASON_RPC_INVALID;
    enum policy_protocol protocol =
        route->endpoint != NULL ? route->endpoint->protocol : POLICY_PROTOCOL_NONE;
    if (protocol == POLICY_PROTOCOL_JSON_RPC && request->rpc != NULL && request->rpc->response)
        return POLICY_REASON_RPC_RESPONSE;
    if (protocol == POLICY_PROTOCOL_WEBSOCKET && !request->upgrade &&
        !same_text(request->method, POLICY_WEBSOCKET_TEXT))
        return POLICY_REASON_UPGRADE_REQUIRED;
    if ((protocol == POLICY_PROTOCOL_JSON_RPC || protocol == POLICY_PROTOCOL_MCP) &&
        request->rpc == NULL)
        return POLICY_REASON_EVALUATION; /* the caller did not look into the body */
    return POLICY_REASON_NONE;
}

/* The verdict on one call, or on the whole request where there are no calls. */
static enum policy_reason judge_one(struct judge *judge, const struct policy_connection *connection,
                                    const struct policy_grant *grant,
                                    const struct policy_route *route, struct policy_answer *answer)
{
    struct outcome outcome = look_at_endpoints(judge, connection, grant);
    if (outcome.endpoint != NULL) {
        answer->endpoint = outcome.endpoint->source;
        answer->rule = judge->engine->rules[outcome.endpoint->rule].source;
    }
    answer->pattern = outcome.pattern != NULL ? outcome.pattern->source : NULL;
    return refusal(judge, &outcome, route);
}

static enum policy_reason
judge_all(const struct policy_engine *engine, const struct policy_connection *connection,
          const struct policy_grant *grant, const struct policy_route *route,
          const struct policy_request *request, struct policy_answer *answer)
{
    const struct policy_rpc *rpc = request->rpc;
    size_t calls = rpc != NULL ? rpc->call_count : 0;
    size_t rounds = calls + (rpc != NULL && rpc->response);
    enum policy_reason reason = POLICY_REASON_NONE;
    for (size_t i = 0; i < OSA_MAX(rounds, (size_t)1) && reason == POLICY_REASON_NONE; i++) {
        struct judge judge = { .engine = engine, .request = request };
        judge.call = i < calls ? &rpc->calls[i] : NULL;
        judge.response = rounds > 0 && i >= calls;
        reason = judge_one(&judge, connection, grant, route, answer);
        answer->item = rounds > 0 ? i : judge.item;
    }
    return reason;
}

bool policy_request(const struct policy_engine *engine, const struct policy_connection *connection,
                    const struct policy_grant *grant, const struct policy_route *route,
                    const struct policy_request *request, struct policy_answer *ret)
{
    *ret = (struct policy_answer){ .verdict = POLICY_ALLOW,
                                   .rule = route->rule != NULL ? route->rule : grant->rule,
                                   .endpoint = route->endpoint };
    if (!grant->allow) {
        ret->verdict = POLICY_DENY;
        ret->hard = true;
        ret->reason = grant->reason;
        return false;
    }
    ret->reason = find_hard_reason(route, request);
    ret->hard = ret->reason != POLICY_REASON_NONE;
    if (!ret->hard && route->endpoint != NULL) {
        ret->reason = judge_all(engine, connection, grant, route, request, ret);
        ret->hard = ret->reason == POLICY_REASON_EVALUATION;
    }
    if (ret->reason != POLICY_REASON_NONE) {
        bool enforce = ret->hard || engine->endpoints[route->index].enforce;
        ret->verdict = enforce ? POLICY_DENY : POLICY_AUDIT;
    }
    return ret->verdict != POLICY_DENY;
}

bool policy_wants_graphql(const struct policy_engine *engine, const struct policy_route *route)
{
    if (route->endpoint == NULL)
        return false;
    return route->endpoint->protocol == POLICY_PROTOCOL_GRAPHQL ||
           (route->endpoint->protocol == POLICY_PROTOCOL_WEBSOCKET &&
            engine->endpoints[route->index].has_operation_rules);
}
