// SPDX-License-Identifier: Apache-2.0
#include "egress/call.h"

#include "egress/conn.h"
#include "policy/placeholder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void call_init(struct call *call, struct conn *conn,
               void (*answer)(struct call *self, unsigned status, const char *policy,
                              struct osa_buf *body))
{
    *call = (struct call){ .conn = conn, .answer = answer };
    osa_buf_init(&call->bytes, HEAD_MAX_BYTES);
}

void call_reset(struct call *call)
{
    osa_buf_reset(&call->bytes);
    osa_buf_done(&call->body);
    osa_buf_done(&call->tail);
    osa_arena_done(&call->memory);
    call->upgrade = call->watch_text = call->more = call->held = false;
    call->canonical = call->rewrite = call->guarded = call->caught = false;
    call->audit[0] = '\0';
}

void call_done(struct call *call)
{
    call_reset(call);
    osa_buf_done(&call->bytes);
    free(call->room);
}

void call_record(struct call *call, const char *reason, const char *detail)
{
    struct head_span path = call->path;
    if (call->canonical)
        path = (struct head_span){ call->shown.path.data, call->shown.path.len };
    conn_record(call->conn, call->conn->inside ? "http" : "forward", &call->head, path, reason,
                detail);
}

void call_refuse(struct call *call, unsigned status, const char *error, const char *fault)
{
    char detail[200];
    (void)snprintf(detail, sizeof(detail), "the request has %s", fault);
    call_record(call, "http-parser", detail);
    call_reply(call, status, error, detail, "http-parser");
}

/* The port that a Host of the tunnel may leave out. */
static uint16_t default_port(const struct conn *conn)
{
    return conn->client.tls != NULL ? 443 : 80;
}

bool call_check_tunnel(struct call *call)
{
    const struct conn *conn = call->conn;
    struct target named;
    char detail[TARGET_TEXT_SIZE + 100];
    char text[TARGET_TEXT_SIZE];
    call->path = call->head.target;
    if (call->path.at[0] != '/' && !(call->path.len == 1 && call->path.at[0] == '*')) {
        call_refuse(call, 400, "invalid_request_target", "a target that is no path, in a tunnel");
        return false;
    }
    if (call->head.host.at != NULL &&
        target_parse(call->head.host, default_port(conn), &named) == NULL &&
        target_same(&named, &conn->target))
        return true;
    (void)snprintf(detail, sizeof(detail), "the request's Host is not the tunnel's %s",
                   target_text(&conn->target, text));
    call_record(call, "request-authority", detail);
    call_reply(call, 403, "request_authority_mismatch", detail, "request-authority");
    return false;
}

/* ---- the target ---- */

static struct policy_text keep(struct call *call, struct osa_buf *text)
{
    struct policy_text kept = { osa_arena_copy(&call->memory, text->data, text->len + 1),
                                text->len };
    osa_buf_reset(text);
    return kept;
}

/* What rules and logs see has no placeholder in it. */
static enum osa_code hide(struct call *call, struct osa_error *err)
{
    OSA_AUTO(osa_buf_done) struct osa_buf text;
    osa_buf_init(&text, POLICY_TARGET_ROOM + POLICY_MAX_QUERY);
    (void)osa_buf_add(&text, "", 0);
    enum osa_code code = policy_credentials_path(call->target.path, NULL, &text, err);
    if (code != OSA_OK)
        return code;
    call->shown.path = keep(call, &text);
    if (!call->target.has_query)
        return OSA_OK;
    code = policy_credentials_form(call->target.query, NULL, &text, err);
    if (code == OSA_OK && text.len > 0)
        call->shown.query = keep(call, &text);
    return code;
}

bool call_make_canonical(struct call *call)
{
    struct osa_error err = { 0 };
    if (call->canonical)
        return true;
    if (call->room == NULL)
        call->room = malloc(POLICY_TARGET_ROOM);
    if (call->room == NULL) {
        call_reply(call, 503, "out_of_memory", "no memory for the request", "out-of-memory");
        return false;
    }
    struct head_span path =
        call->path.len > 0 && call->path.at[0] != '?' ? call->path : call->head.target;
    enum osa_code code = policy_target_parse(path.at, path.len, call->room, &call->target, &err);
    call->shown = call->target;
    const char *error = "invalid_request_target";
    if (code == OSA_OK && (policy_placeholder_seen(call->target.path) ||
                           policy_placeholder_seen(call->target.query))) {
        error = "invalid_credential_placeholder";
        code = hide(call, &err);
    }
    if (code != OSA_OK) {
        call->path = (struct head_span){ NULL, 0 };
        call_record(call, policy_reason_name(POLICY_REASON_TARGET_INVALID), err.text);
        call_reply(call, 400, error, err.text, policy_reason_name(POLICY_REASON_TARGET_INVALID));
        return false;
    }
    call->sent = call->target;
    call->canonical = true;
    return true;
}
