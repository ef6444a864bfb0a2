// SPDX-License-Identifier: Apache-2.0
/*
 * Requests against the rules of their endpoint: the target is made canonical, which is what rules
 * see and what goes on; the endpoint is found by it; a body that rules are about is read first.
 */
#include "egress/call.h"

#include "egress/conn.h"

#include "policy/explain.h"
#include "policy/graphql.h"
#include "policy/rpc.h"

#include <stdio.h>
#include <string.h>

/* What one decision is made of; all borrowed but @arena. */
struct matter {
    struct conn *conn;
    struct call *call;
    struct policy_connection connection;
    struct policy_route route;
    struct policy_request request;
    struct policy_graphql graphql;
    struct policy_rpc rpc;
    struct osa_arena arena;
};

static struct policy_text text_of(struct head_span span)
{
    return (struct policy_text){ .data = span.at, .len = span.len };
}

static struct policy_text field_text(const struct head *head, const char *name)
{
    const struct head_field *field = head_find(head, name);
    return field != NULL ? text_of(field->value) : (struct policy_text){ NULL, 0 };
}

/* ---- refusing ---- */

static enum judged refuse_plain(struct matter *m, unsigned status, const char *error,
                                const char *reason, const char *detail)
{
    call_record(m->call, reason, detail);
    call_reply(m->call, status, error, detail, reason);
    return JUDGED_REFUSED;
}

static enum judged refuse(struct matter *m, const struct policy_answer *answer)
{
    struct osa_buf detail;
    osa_buf_init(&detail, 4096);
    policy_explain_request(&m->request, answer, &detail);
    call_refuse_request(m->call, answer,
                        detail.len > 0 ? detail.data : policy_reason_text(answer->reason));
    osa_buf_done(&detail);
    return JUDGED_REFUSED;
}

/* ---- reading ---- */

/* A request to become a websocket that no reader could take for anything else (RFC 6455, 4.1). */
static bool is_websocket_upgrade(const struct call *call)
{
    const struct head *head = &call->head;
    const struct head_field *upgrade = head_find(head, "upgrade");
    const struct head_field *key = head_find(head, "sec-websocket-key");
    const struct head_field *version = head_find(head, "sec-websocket-version");
    unsigned keys = 0;
    for (unsigned i = 0; i < head->count; i++)
        keys += span_is(head->fields[i].name, "sec-websocket-key");
    return call->upgrade && span_is(head->method, "GET") && head->minor == 1 && !call->more &&
           upgrade != NULL && span_is(upgrade->value, "websocket") && keys == 1 &&
           key->value.len == 24 && version != NULL && span_is(version->value, "13");
}

static size_t body_limit(const struct matter *m, bool graphql)
{
    const struct policy_endpoint *endpoint = m->route.endpoint;
    return graphql ? endpoint->graphql_max_body_bytes : endpoint->json_rpc_max_body_bytes;
}

static bool speaks_rpc(const struct policy_endpoint *endpoint)
{
    return endpoint->protocol == POLICY_PROTOCOL_JSON_RPC ||
           endpoint->protocol == POLICY_PROTOCOL_MCP;
}

/* What the body asks for. Return: false when it has to be read first. */
static bool read_body(struct matter *m)
{
    struct call *call = m->call;
    bool graphql = policy_wants_graphql(m->conn->engine, &m->route) &&
                   m->route.endpoint->protocol != POLICY_PROTOCOL_WEBSOCKET;
    bool rpc = speaks_rpc(m->route.endpoint);
    if (!graphql && !rpc)
        return true;
    if (call->more && !call->held) {
        call->hold = body_limit(m, graphql);
        return false;
    }
    const struct policy_text body = { .data = call->body.data, .len = call->body.len };
    if (graphql) {
        policy_graphql_http(
            text_of(call->head.method), call->shown.query, field_text(&call->head, "content-type"),
            field_text(&call->head, "content-encoding"), body, &m->arena, &m->graphql);
        m->request.graphql = &m->graphql;
    } else {
        policy_rpc_parse(m->route.endpoint, text_of(call->head.method),
                         field_text(&call->head, "accept"), body, &m->arena, &m->rpc);
        m->request.rpc = &m->rpc;
    }
    return true;
}

/* Text messages share the upgrade's path, so that rules about paths decide for all of them now. */
static enum judged judge_messages(struct matter *m)
{
    struct policy_answer answer;
    struct policy_request text = m->request;
    if (m->route.endpoint->protocol != POLICY_PROTOCOL_WEBSOCKET)
        return JUDGED_PASS;
    if (policy_wants_graphql(m->conn->engine, &m->route))
        return refuse_plain(m, 403, "unsupported_l7_protocol", "unsupported-protocol",
                            "GraphQL over websockets cannot be looked at");
    text.method = policy_text(POLICY_WEBSOCKET_TEXT);
    text.upgrade = false;
    m->call->watch_text = !policy_request(m->conn->engine, &m->connection, &m->conn->grant,
                                          &m->route, &text, &answer);
    return JUDGED_PASS;
}

/* By the rules of its endpoint, where it has any. */
static enum judged judge(struct matter *m)
{
    struct call *call = m->call;
    struct policy_answer answer;
    if (!call_make_canonical(call))
        return JUDGED_REFUSED;
    m->request = (struct policy_request){ .method = text_of(call->head.method),
                                          .path = call->shown.path,
                                          .query = call->shown.query,
                                          .upgrade = is_websocket_upgrade(call) };
    if (!policy_route(m->conn->engine, &m->connection, &m->conn->grant, &call->shown,
                      /* compare= */ !m->conn->inside, &m->route))
        return refuse_plain(
            m, m->route.reason == POLICY_REASON_TARGET_INVALID ? 400 : 403,
            m->route.reason == POLICY_REASON_TARGET_INVALID ? "invalid_request_target"
                                                            : "policy_denied",
            policy_reason_name(m->route.reason), policy_reason_text(m->route.reason));
    if (m->route.endpoint == NULL)
        return JUDGED_PASS;
    if (call->upgrade && !m->request.upgrade)
        return refuse_plain(m, 403, "unsupported_l7_protocol", "unsupported-protocol",
                            "only upgrades to a websocket can be looked at");
    if (!read_body(m))
        return JUDGED_BODY;
    if (!policy_request(m->conn->engine, &m->connection, &m->conn->grant, &m->route, &m->request,
                        &answer))
        return refuse(m, &answer);
    if (answer.verdict == POLICY_AUDIT)
        (void)snprintf(call->audit, sizeof(call->audit), "passes for audit only: %s",
                       policy_reason_text(answer.reason));
    return call->upgrade ? judge_messages(m) : JUDGED_PASS;
}

enum judged call_judge(struct call *call)
{
    struct matter matter = { .conn = call->conn, .call = call };
    enum judged judged = JUDGED_PASS;
    call->watch_text = false;
    if (call->conn->grant.inspect) {
        conn_describe(call->conn, &matter.connection);
        judged = judge(&matter);
        osa_arena_done(&matter.arena);
    }
    return judged == JUDGED_PASS ? call_redeem(call, matter.route.endpoint) : judged;
}
