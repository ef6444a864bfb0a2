// SPDX-License-Identifier: Apache-2.0
/*
 * Placeholders in a request, exchanged for what they stand for: after the decision, as late as can
 * be, and only at the endpoints that each is bound to. What cannot be exchanged does not go out.
 */
#include "egress/call.h"
#include "egress/conn.h"

#include "policy/provider.h"

#include <stdio.h>
#include <string.h>

/* A body that is exchanged is read whole first; upstream's bound. */
#define BODY_MAX_BYTES (256u << 10)
/* Values make a head longer, but not without end. */
#define VALUE_MAX_BYTES 65536u

/* One request's exchange. */
struct redemption {
    struct call *call;
    struct provider_view view;
    struct policy_credentials *credentials;
    bool active; /* some can be exchanged */
    struct osa_buf text;
    struct osa_error err;
};

static enum judged refuse(struct redemption *r, enum osa_code code)
{
    bool bound = code == OSA_PERMISSION_DENIED;
    const char *other =
        r->call->conn->inside ? "credential_unavailable" : "credential_injection_failed";
    call_record(r->call, bound ? "credential-endpoint" : "credential-unavailable", r->err.text);
    call_reply(r->call, bound ? 403 : 500, bound ? "credential_endpoint_mismatch" : other,
               r->err.text, bound ? "credential-endpoint" : "credential-unavailable");
    return JUDGED_REFUSED;
}

static struct policy_text keep(struct redemption *r)
{
    struct policy_text kept = { osa_arena_copy(&r->call->memory, r->text.data, r->text.len),
                                r->text.len };
    osa_buf_reset(&r->text);
    return kept;
}

/* ---- the head ---- */

static enum osa_code redeem_target(struct redemption *r)
{
    struct call *call = r->call;
    if (!call->canonical)
        return OSA_OK;
    if (policy_placeholder_seen(call->target.path)) {
        enum osa_code code =
            policy_credentials_path(call->target.path, r->credentials, &r->text, &r->err);
        if (code != OSA_OK)
            return code;
        call->sent.path = keep(r);
    }
    if (policy_placeholder_seen(call->target.query)) {
        enum osa_code code =
            policy_credentials_form(call->target.query, r->credentials, &r->text, &r->err);
        if (code != OSA_OK)
            return code;
        call->sent.query = keep(r);
    }
    return OSA_OK;
}

static enum osa_code redeem_fields(struct redemption *r)
{
    struct head *head = &r->call->head;
    for (unsigned i = 0; i < head->count; i++) {
        struct head_span *value = &head->fields[i].value;
        const struct policy_text name = { head->fields[i].name.at, head->fields[i].name.len };
        if (policy_placeholder_seen(name))
            return osa_fail(&r->err, OSA_NOT_FOUND, 0,
                            "a credential placeholder stands in a header's name");
        if (!r->active && !policy_placeholder_seen((struct policy_text){ value->at, value->len }))
            continue;
        enum osa_code code = policy_credentials_header(
            (struct policy_text){ value->at, value->len }, r->credentials, &r->text, &r->err);
        if (code != OSA_OK)
            return code;
        bool same = r->text.len == value->len &&
                    (value->len == 0 || memcmp(r->text.data, value->at, value->len) == 0);
        if (same) {
            osa_buf_reset(&r->text);
            continue;
        }
        struct policy_text filled = keep(r);
        *value = (struct head_span){ filled.data, filled.len };
    }
    return OSA_OK;
}

/* ---- the body ---- */

enum body_kind { BODY_OTHER, BODY_JSON, BODY_FORM, BODY_TEXT };

/* By its type alone; parameters do not matter. */
static enum body_kind kind_of(const struct head *head)
{
    const struct head_field *type = head_find(head, "content-type");
    if (type == NULL || head_find(head, "content-encoding") != NULL)
        return BODY_OTHER;
    const char *end = memchr(type->value.at, ';', type->value.len);
    struct head_span name = { type->value.at,
                              end != NULL ? (size_t)(end - type->value.at) : type->value.len };
    while (name.len > 0 && (name.at[name.len - 1] == ' ' || name.at[name.len - 1] == '\t'))
        name.len--;
    if (span_is(name, "application/json") ||
        (name.len > 5 && span_is((struct head_span){ name.at + name.len - 5, 5 }, "+json")))
        return BODY_JSON;
    if (span_is(name, "application/x-www-form-urlencoded"))
        return BODY_FORM;
    return name.len > 5 && span_is((struct head_span){ name.at, 5 }, "text/") ? BODY_TEXT
                                                                              : BODY_OTHER;
}

static enum osa_code redeem_body(struct redemption *r)
{
    struct call *call = r->call;
    struct policy_text body = { call->body.data, call->body.len };
    struct osa_buf filled;
    enum osa_code code;
    osa_buf_init(&filled, 4 * BODY_MAX_BYTES);
    if (kind_of(&call->head) == BODY_FORM)
        code = policy_credentials_form(body, r->credentials, &filled, &r->err);
    else
        code = policy_credentials_text(
            body, kind_of(&call->head) == BODY_JSON ? POLICY_ESCAPE_JSON : POLICY_ESCAPE_NONE,
            r->credentials, &filled, &r->err);
    if (code != OSA_OK) {
        osa_buf_done(&filled);
        return code;
    }
    osa_buf_done(&call->body);
    call->body = filled;
    call->head.length = filled.len;
    return OSA_OK;
}

bool call_scan(struct call *call, const char *data, size_t len)
{
    if (!call->guarded || len == 0)
        return true;
    OSA_AUTO(osa_buf_done) struct osa_buf seam;
    osa_buf_init(&seam, len + POLICY_PLACEHOLDER_TAIL);
    bool ok = (call->tail.len == 0 || osa_buf_add(&seam, call->tail.data, call->tail.len)) &&
              osa_buf_add(&seam, data, len) &&
              !policy_placeholder_seen((struct policy_text){ seam.data, seam.len });
    if (!ok) {
        call->caught = true;
        call_record(call, "credential-unavailable",
                    "a credential placeholder in a body that none is exchanged in");
        return false;
    }
    size_t rest = OSA_MIN(seam.len, (size_t)POLICY_PLACEHOLDER_TAIL);
    osa_buf_done(&call->tail);
    osa_buf_init(&call->tail, POLICY_PLACEHOLDER_TAIL);
    return osa_buf_add(&call->tail, seam.data + seam.len - rest, rest);
}

/* ---- all of it ---- */

static enum judged redeem(struct redemption *r, const struct policy_endpoint *endpoint)
{
    struct call *call = r->call;
    call->rewrite = r->active && endpoint != NULL && endpoint->request_body_credential_rewrite &&
                    endpoint->protocol == POLICY_PROTOCOL_REST &&
                    kind_of(&call->head) != BODY_OTHER;
    call->guarded = provider_env_active(call->conn->gate->config.providers) && !call->rewrite &&
                    !(endpoint != NULL && endpoint->allow_uninspected_credentials);
    if (call->rewrite && call->more && !call->held) {
        call->hold = BODY_MAX_BYTES;
        return JUDGED_BODY;
    }
    enum osa_code code = redeem_target(r);
    if (code == OSA_OK)
        code = redeem_fields(r);
    if (code == OSA_OK && call->held && call->rewrite)
        code = redeem_body(r);
    if (code != OSA_OK)
        return refuse(r, code);
    if (call->held && !call_scan(call, call->body.data, call->body.len)) {
        call_reply(call, 403, "credential_unavailable",
                   "placeholders in this body are not exchanged", "credential-unavailable");
        return JUDGED_REFUSED;
    }
    return JUDGED_PASS;
}

/* Nobody knows any value. */
static enum osa_code find_nothing(struct policy_credentials *self,
                                  const struct policy_placeholder *what,
                                  struct policy_text *ret_value)
{
    (void)self;
    (void)what;
    (void)ret_value;
    return OSA_NOT_FOUND;
}

/*
 * The path that bindings are held against. What rules do not look at goes on as it came: unless
 * that is canonical, the server may read another path in it, and only bindings without one fit.
 */
static struct policy_text bound_path(struct call *call)
{
    struct policy_target target;
    struct osa_error err;
    if (call->canonical)
        return call->shown.path;
    char *room = osa_arena_alloc(&call->memory, POLICY_TARGET_ROOM);
    if (policy_target_parse(call->path.at, call->path.len, room, &target, &err) != OSA_OK)
        return (struct policy_text){ "", 0 };
    const char *query = memchr(call->path.at, '?', call->path.len);
    size_t len = query != NULL ? (size_t)(query - call->path.at) : call->path.len;
    if (len != target.path.len || memcmp(call->path.at, target.path.data, len) != 0)
        return (struct policy_text){ "", 0 };
    return target.path;
}

enum judged call_redeem(struct call *call, const struct policy_endpoint *endpoint)
{
    struct policy_credentials nobody = { .find = find_nothing };
    struct redemption r = { .call = call, .credentials = &nobody };
    const struct conn *conn = call->conn;
    const struct policy_text sent = { call->path.at, call->path.len };
    if (!call->canonical && policy_placeholder_seen(sent) && !call_make_canonical(call))
        return JUDGED_REFUSED;
    /* What is bound to 443 is meant for TLS. */
    r.active = provider_env_active(conn->gate->config.providers) &&
               (conn->client.tls != NULL || conn->target.port != 443);
    if (r.active) {
        provider_view_init(&r.view, conn->gate->config.providers, policy_text(conn->target.host),
                           conn->target.port, bound_path(call));
        r.credentials = &r.view.credentials;
    }
    osa_buf_init(&r.text, VALUE_MAX_BYTES);
    enum judged judged = redeem(&r, endpoint);
    osa_buf_done(&r.text);
    return judged;
}
