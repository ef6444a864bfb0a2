// SPDX-License-Identifier: Apache-2.0
#include "policy/explain.h"

#include "policy/engine_internal.h"
#include "policy/graphql.h"
#include "policy/ranges.h"
#include "policy/rpc.h"

#include <string.h>

enum { SHOWN_BYTES = 256, SHOWN_RULES = 8 };

/* Text of clients and documents: cut, and with \xNN for what is no plain ASCII. */
static void add_text(struct osa_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < OSA_MIN(len, (size_t)SHOWN_BYTES); i++) {
        unsigned char c = (unsigned char)text[i];
        (void)(c < ' ' || c >= 0x7f ? osa_buf_addf(out, "\\x%02x", c)
                                    : osa_buf_add(out, text + i, 1));
    }
    if (len > SHOWN_BYTES)
        (void)osa_buf_addf(out, "...");
}

static void add_string(struct osa_buf *out, const char *text)
{
    add_text(out, text != NULL ? text : "?", text != NULL ? strlen(text) : 1);
}

static void add(struct osa_buf *out, const char *text)
{
    (void)osa_buf_add(out, text, strlen(text));
}

static void add_quoted(struct osa_buf *out, const char *text)
{
    add(out, "'");
    add_string(out, text);
    add(out, "'");
}

static void add_target(struct osa_buf *out, const struct policy_connection *connection)
{
    add_string(out, connection->host);
    (void)osa_buf_addf(out, ":%u", connection->port);
}

static void add_list(struct osa_buf *out, const char *name, const char *const *items, size_t count,
                     const char *between)
{
    (void)osa_buf_addf(out, "%s: [", name);
    for (size_t i = 0; i < count; i++) {
        add(out, i > 0 ? between : "");
        add_string(out, items[i]);
    }
    add(out, "]");
}

/* ---- connections ---- */

/* Calls @each for each rule that lists host and port, in order. */
static size_t
each_listing_rule(const struct policy_engine *engine, const struct policy_connection *connection,
                  void (*each)(const struct policy_rule *rule, size_t index,
                               const struct policy_connection *connection, struct osa_buf *out),
                  struct osa_buf *out)
{
    char host[POLICY_MAX_HOST + 1];
    size_t len = engine_host(connection->host, host);
    struct engine_walk walk;
    size_t count = 0;
    uint32_t rule = UINT32_MAX;
    engine_walk_begin(engine, host, len, connection->port, &walk);
    for (uint32_t id; (id = engine_walk_next(&walk)) != UINT32_MAX;) {
        if (engine->endpoints[id].rule == rule)
            continue;
        rule = engine->endpoints[id].rule;
        if (count < SHOWN_RULES)
            each(engine->rules[rule].source, count, connection, out);
        count++;
    }
    return count;
}

static void say_binary_miss(const struct policy_rule *rule, size_t index,
                            const struct policy_connection *connection, struct osa_buf *out)
{
    add(out, index > 0 ? "; rule " : "rule ");
    add_quoted(out, rule->key);
    add(out, " lists ");
    add_target(out, connection);
    add(out, ", but not for ");
    add_quoted(out, connection->binary);
    if (index > 0)
        return;
    add(out, " (");
    add_list(out, "ancestors", connection->ancestors, connection->ancestor_count, " -> ");
    add(out, ", ");
    add_list(out, "argv", connection->cmdline_paths, connection->cmdline_path_count, ", ");
    add(out, ")");
}

void policy_explain_connect(const struct policy_engine *engine,
                            const struct policy_connection *connection,
                            const struct policy_grant *grant, struct osa_buf *out)
{
    if (grant->allow) {
        add(out, "rule ");
        add_quoted(out, grant->rule->key);
        add(out, " lists ");
        add_target(out, connection);
        if (!engine->options.ignore_binaries) {
            add(out, " for ");
            add_quoted(out, connection->binary);
        }
        return;
    }
    switch (grant->reason) {
    case POLICY_REASON_ENDPOINT_MISS:
        add(out, "no rule lists ");
        add_target(out, connection);
        break;
    case POLICY_REASON_BINARY_MISS: {
        size_t count = each_listing_rule(engine, connection, say_binary_miss, out);
        if (count > SHOWN_RULES)
            (void)osa_buf_addf(out, "; and %zu more", count - SHOWN_RULES);
        break;
    }
    case POLICY_REASON_QUARANTINE:
        add(out, engine->why != NULL ? engine->why : policy_reason_text(grant->reason));
        break;
    case POLICY_REASON_INPUT_MISSING:
        add(out, connection->host == NULL || connection->host[0] == '\0' ? "the host"
                 : connection->port == 0                                 ? "the port"
                                                                         : "the executable");
        add(out, " is not known");
        break;
    default:
        add(out, policy_reason_text(grant->reason));
    }
}

static void advise_binary(const struct policy_rule *rule, size_t index,
                          const struct policy_connection *connection, struct osa_buf *out)
{
    if (index > 0)
        return;
    add(out, "add {path: ");
    add_string(out, connection->binary);
    add(out, "} to network_policies.");
    add_string(out, rule->key);
    add(out, ".binaries; the path is that of /proc/PID/exe, with symbolic links resolved");
}

void policy_advise_connect(const struct policy_engine *engine,
                           const struct policy_connection *connection,
                           const struct policy_grant *grant, struct osa_buf *out)
{
    if (grant->reason == POLICY_REASON_BINARY_MISS) {
        (void)each_listing_rule(engine, connection, advise_binary, out);
    } else if (grant->reason == POLICY_REASON_ENDPOINT_MISS ||
               grant->reason == POLICY_REASON_NO_POLICIES) {
        add(out, "add under network_policies: NAME: {endpoints: [{host: ");
        add_quoted(out, connection->host);
        (void)osa_buf_addf(out, ", port: %u}], binaries: [{path: ", connection->port);
        add_string(out, connection->binary);
        add(out, "}]}");
    } else if (grant->reason == POLICY_REASON_QUARANTINE) {
        add(out, "correct the policy, or use policy_validation_failure_mode retain_last_valid");
    }
}

/* ---- destinations ---- */

static const char *kind_text(const struct policy_address *address)
{
    switch (policy_address_class(address)) {
    case POLICY_ADDRESS_PUBLIC:
        return "public";
    case POLICY_ADDRESS_INTERNAL:
        return "not public";
    case POLICY_ADDRESS_METADATA:
        return "a cloud's metadata service";
    case POLICY_ADDRESS_BLOCKED:
        break;
    }
    return "loopback, link-local or unspecified";
}

void policy_explain_guard(const struct policy_connection *connection,
                          const struct policy_guard *guard, enum policy_reason reason,
                          const struct policy_address *address, struct osa_buf *out)
{
    char text[POLICY_ADDRESS_TEXT];
    add_target(out, connection);
    if (reason == POLICY_REASON_RESOLUTION) {
        add(out, " has no address");
    } else if (reason == POLICY_REASON_ALLOWED_IPS_BAD) {
        add(out, ": allowed_ips has ");
        add_quoted(out, guard->ranges->bad);
        add(out, ", which is no range, or covers addresses that are never allowed");
    } else if (guard->reason != POLICY_REASON_NONE && !guard->literal &&
               policy_address_parse(connection->host, &(struct policy_address){ 0 }) ==
                   POLICY_SPELLING_ODD) {
        add(out, " is an address in a spelling that programs read differently");
    } else if (guard->reason != POLICY_REASON_NONE) {
        add(out, " is a port of a control plane (2379, 2380, 6443, 10250, 10255)");
    } else if (address != NULL) {
        (void)osa_buf_addf(out, " leads to %s, which is %s", policy_address_text(address, text),
                           kind_text(address));
        if (guard->mode == POLICY_GUARD_ALLOWED_IPS)
            add(out, ", and outside allowed_ips or never allowed");
        if (guard->mode == POLICY_GUARD_GATEWAY)
            add(out, ", and not the host's address");
    } else {
        (void)osa_buf_addf(out, ": %s", policy_reason_text(reason));
    }
}

void policy_advise_guard(const struct policy_connection *connection,
                         const struct policy_guard *guard, enum policy_reason reason,
                         struct osa_buf *out)
{
    if (reason == POLICY_REASON_ALLOWED_IPS_BAD) {
        add(out, "write ranges such as 10.0.0.0/8, without loopback and link-local addresses");
    } else if (reason == POLICY_REASON_INTERNAL && guard->reason == POLICY_REASON_NONE) {
        add(out, "list the address in allowed_ips of the endpoint, or name the host ");
        add_quoted(out, connection->host);
        add(out, " without a * in its endpoint");
    } else if (reason == POLICY_REASON_ALLOWED_IPS && guard->reason == POLICY_REASON_NONE) {
        add(out, "add the address to allowed_ips, unless it is loopback or link-local");
    }
}

/* ---- requests ---- */

static void add_pattern(struct osa_buf *out, const struct policy_l7_rule *rule)
{
    const struct {
        const char *name;
        const char *value;
    } texts[] = { { "method", rule->method },
                  { "path", rule->path },
                  { "operation_type", rule->operation_type },
                  { "operation_name", rule->operation_name } };
    const char *between = "{";
    for (size_t i = 0; i < OSA_ARRAY_LEN(texts); i++) {
        if (texts[i].value[0] == '\0')
            continue;
        (void)osa_buf_addf(out, "%s%s: ", between, texts[i].name);
        add_string(out, texts[i].value);
        between = ", ";
    }
    if (rule->fields.count > 0) {
        add(out, between);
        add_list(out, "fields", rule->fields.items, rule->fields.count, ", ");
        between = ", ";
    }
    for (size_t i = 0; i < rule->query.count; i++) {
        const struct policy_matcher *matcher = &rule->query.items[i];
        (void)osa_buf_addf(out, "%squery.", between);
        add_list(out, matcher->name, matcher->globs.items, matcher->globs.count, ", ");
        between = ", ";
    }
    for (size_t i = 0; i < rule->params.count; i++) {
        const struct policy_matcher *matcher = &rule->params.items[i];
        add(out, between);
        add_list(out, "tool", matcher->globs.items, matcher->globs.count, ", ");
        between = ", ";
    }
    add(out, between[0] == '{' ? "{}" : "}");
}

static void add_operation(struct osa_buf *out, const struct policy_operation *operation)
{
    add_string(out, operation->type[0] != '\0' ? operation->type : "persisted query");
    if (operation->name[0] != '\0' || operation->key[0] != '\0') {
        add(out, " ");
        add_string(out, operation->name[0] != '\0' ? operation->name : operation->key);
    }
    if (operation->field_count > 0) {
        add(out, " ");
        add_list(out, "fields", operation->fields,
                 OSA_MIN(operation->field_count, (size_t)SHOWN_RULES), ", ");
    }
}

/* What is asked, in the words of its protocol. */
static void add_request(struct osa_buf *out, const struct policy_request *request, size_t item)
{
    if (request->rpc != NULL && item < request->rpc->call_count) {
        const struct policy_rpc_call *call = &request->rpc->calls[item];
        add_string(out, call->method);
        if (call->tool != NULL) {
            add(out, " of tool ");
            add_quoted(out, call->tool);
        }
        return;
    }
    if (request->graphql != NULL && item < request->graphql->operation_count) {
        add_operation(out, &request->graphql->operations[item]);
        return;
    }
    add_text(out, request->method.data, request->method.len);
    add(out, " ");
    add_text(out, request->path.data, request->path.len);
}

void policy_explain_request(const struct policy_request *request,
                            const struct policy_answer *answer, struct osa_buf *out)
{
    add_request(out, request, answer->item);
    if (answer->reason == POLICY_REASON_NONE && answer->pattern == NULL) {
        add(out, answer->endpoint != NULL ? " is allowed by an option of rule "
                                          : " passes: no request rules stand in rule ");
        add_quoted(out, answer->rule != NULL ? answer->rule->key : NULL);
        return;
    }
    if (answer->pattern != NULL) {
        add(out, answer->reason == POLICY_REASON_NONE ? " is allowed by " : " is denied by ");
        add_pattern(out, answer->pattern);
        add(out, answer->reason == POLICY_REASON_NONE ? " in rule " : " of deny_rules in rule ");
        add_quoted(out, answer->rule->key);
    } else if (request->graphql != NULL && request->graphql->error != NULL) {
        add(out, ": ");
        add_string(out, request->graphql->error);
    } else if (request->rpc != NULL && request->rpc->error != NULL) {
        add(out, ": ");
        add_string(out, request->rpc->error);
    } else {
        (void)osa_buf_addf(out, ": %s", policy_reason_text(answer->reason));
        if (answer->rule != NULL) {
            add(out, ", rule ");
            add_quoted(out, answer->rule->key);
        }
    }
    if (answer->verdict == POLICY_AUDIT)
        add(out, "; it passes, for enforcement is audit");
}

static void advise_rule(const struct policy_request *request, const struct policy_answer *answer,
                        struct osa_buf *out)
{
    add(out, "add to the endpoint's rules: {allow: {");
    if (request->rpc != NULL && answer->item < request->rpc->call_count) {
        const struct policy_rpc_call *call = &request->rpc->calls[answer->item];
        add(out, "method: ");
        add_string(out, call->method);
        if (call->tool != NULL) {
            add(out, ", tool: ");
            add_string(out, call->tool);
        }
    } else if (request->graphql != NULL && answer->item < request->graphql->operation_count) {
        const struct policy_operation *operation = &request->graphql->operations[answer->item];
        add(out, "operation_type: ");
        add_string(out, operation->type);
        if (operation->field_count > 0) {
            add(out, ", ");
            add_list(out, "fields", operation->fields, operation->field_count, ", ");
        }
    } else {
        add(out, "method: ");
        add_text(out, request->method.data, request->method.len);
        add(out, ", path: ");
        add_text(out, request->path.data, request->path.len);
    }
    add(out, "}}");
}

void policy_advise_request(const struct policy_request *request, const struct policy_answer *answer,
                           struct osa_buf *out)
{
    switch (answer->reason) {
    case POLICY_REASON_NOT_PERMITTED:
    case POLICY_REASON_GRAPHQL_NOT_PERMITTED:
        advise_rule(request, answer, out);
        break;
    case POLICY_REASON_GRAPHQL_BLOCKED:
        if (answer->pattern == NULL)
            advise_rule(request, answer, out);
        else
            add(out, "narrow the deny rule");
        break;
    case POLICY_REASON_DENY_RULE:
        add(out, "narrow the deny rule");
        break;
    case POLICY_REASON_GRAPHQL_UNREGISTERED:
        add(out, "write persisted_queries: allow_registered, and the query's hash or id under "
                 "graphql_persisted_queries");
        break;
    case POLICY_REASON_ROUTE_MISS:
        add(out, "add an endpoint whose path covers ");
        add_text(out, request->path.data, request->path.len);
        break;
    case POLICY_REASON_TARGET_INVALID:
        add(out, "write allow_encoded_slash: true, if the server tells %2F from /");
        break;
    default:
        break;
    }
}
