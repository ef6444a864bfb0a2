// SPDX-License-Identifier: Apache-2.0
/* Answers of the proxy's own: a status and a JSON body that a program can read. */
#include "egress/conn.h"

#include "base/clock.h"
#include "base/json.h"
#include "policy/request.h"

#include <stdio.h>
#include <string.h>

#define REPLY_NS (10 * OSA_NS_PER_SEC)
#define BODY_MAX_BYTES 65536u

static const char *phrase(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Error";
    }
}

static void member(struct osa_json *json, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    osa_json_key(json, key);
    osa_json_text(json, value);
}

/* Who asked for what: members that several answers share. */
static void add_connection(struct osa_json *json, const struct conn *conn)
{
    member(json, "host", conn->target.host);
    if (conn->target.host[0] != '\0') {
        osa_json_key(json, "port");
        osa_json_u64(json, conn->target.port);
    }
    member(json, "binary", conn->peer != NULL ? conn->peer->exe : NULL);
}

void conn_answer(struct conn *conn, unsigned status, const char *policy, struct osa_buf *body)
{
    bool named = policy != NULL && policy[0] != '\0';
    bool ok = !body->failed &&
              osa_buf_addf(&conn->client.out,
                           "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\n%s%s%sConnection: close\r\n\r\n",
                           status, phrase(status), body->len, named ? "X-OpenShell-Policy: " : "",
                           named ? policy : "", named ? "\r\n" : "") &&
              osa_buf_add(&conn->client.out, body->data, body->len);
    osa_buf_done(body);
    dns_cancel(OSA_TAKE(conn->query));
    stream_close(&conn->server);
    if (!ok || conn->redirected)
        osa_buf_reset(&conn->client.out); /* no answer but the end */
    conn->state = CONN_REPLY;
    conn_arm(conn, REPLY_NS);
}

static void build(const struct conn *conn, const char *error, const char *detail,
                  const char *reason, bool message, struct osa_buf *body)
{
    struct osa_json json;
    osa_buf_init(body, BODY_MAX_BYTES);
    osa_json_init(&json, body, /* pretty= */ false);
    osa_json_open(&json, '{');
    member(&json, "error", error);
    member(&json, message ? "message" : "detail", detail);
    member(&json, "reason", reason);
    add_connection(&json, conn);
    osa_json_close(&json, '}');
}

void conn_reply(struct conn *conn, unsigned status, const char *error, const char *detail,
                const char *reason)
{
    struct osa_buf body;
    build(conn, error, detail, reason, /* message= */ false, &body);
    conn_answer(conn, status, NULL, &body);
}

/* Upstream calls the sentence so in these answers, and only in tunnels. */
static bool has_message(const struct call *call, const char *error)
{
    return call->conn->inside && (strcmp(error, "request_authority_mismatch") == 0 ||
                                  strncmp(error, "credential_", 11) == 0);
}

void call_reply(struct call *call, unsigned status, const char *error, const char *detail,
                const char *reason)
{
    struct osa_buf body;
    build(call->conn, error, detail, reason, has_message(call, error), &body);
    call->answer(call, status, NULL, &body);
}

void conn_reply_local(struct conn *conn, unsigned status, const char *error, const char *hint)
{
    struct osa_buf body;
    struct osa_json json;
    osa_buf_init(&body, BODY_MAX_BYTES);
    osa_json_init(&json, &body, /* pretty= */ false);
    osa_json_open(&json, '{');
    member(&json, "error", error);
    member(&json, "hint", hint);
    osa_json_close(&json, '}');
    conn_answer(conn, status, NULL, &body);
}

/* What a rule would have to say to allow it. */
static void add_missing_rule(struct osa_json *json, const struct conn *conn, const char *method,
                             const char *path)
{
    osa_json_key(json, "rule_missing");
    osa_json_open(json, '{');
    member(json, "type", "rest_allow");
    member(json, "layer", "l7");
    member(json, "method", method);
    member(json, "path", path);
    add_connection(json, conn);
    osa_json_close(json, '}');
}

/* Keys in a header: a policy's keys may hold anything. */
static bool fits_header(const char *key)
{
    for (; *key != '\0'; key++) {
        if (*key < 0x20 || *key > 0x7e)
            return false;
    }
    return true;
}

void call_refuse_request(struct call *call, const struct policy_answer *answer, const char *detail)
{
    struct osa_buf body;
    struct osa_json json;
    char method[64];
    char rule[512];
    const struct conn *conn = call->conn;
    const char *path = call->shown.path.data;
    const char *policy = answer->rule != NULL ? answer->rule->key : "";
    call_record(call, policy_reason_name(answer->reason), detail);
    (void)snprintf(method, sizeof(method), "%.*s",
                   (int)OSA_MIN(call->head.method.len, sizeof(method) - 1), call->head.method.at);
    (void)snprintf(rule, sizeof(rule), "%s %s", method, path);
    osa_buf_init(&body, BODY_MAX_BYTES);
    osa_json_init(&json, &body, /* pretty= */ false);
    osa_json_open(&json, '{');
    member(&json, "error", "policy_denied");
    member(&json, "policy", policy);
    member(&json, "rule", rule);
    member(&json, "detail", detail);
    member(&json, "reason", policy_reason_name(answer->reason));
    member(&json, "layer", "l7");
    member(&json, "protocol", "rest");
    member(&json, "method", method);
    member(&json, "path", path);
    add_connection(&json, conn);
    add_missing_rule(&json, conn, method, path);
    osa_json_key(&json, "next_steps");
    osa_json_open(&json, '[');
    osa_json_close(&json, ']');
    osa_json_close(&json, '}');
    call->answer(call, 403, fits_header(policy) ? policy : NULL, &body);
}

void conn_refuse(struct conn *conn, unsigned status, const char *error, const char *reason,
                 const char *detail)
{
    conn_record(conn, conn->tunnel ? "connect" : "forward", exchange_head(conn),
                (struct head_span){ NULL, 0 }, reason, detail);
    conn_reply(conn, status, error, detail, reason);
}
