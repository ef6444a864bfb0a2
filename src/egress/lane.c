// SPDX-License-Identifier: Apache-2.0
/*
 * One stream of the client and the one of the server that it becomes. The request's head is put
 * into the form of HTTP/1 and read by the reader of that, so that both are held against the same
 * rules in the same way; what goes on is written anew from what was read.
 */
#include "egress/streams.h"

#include "egress/conn.h"
#include "policy/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* More than both windows of a stream hold. */
#define FLOW_MAX_BYTES (1u << 20)
/* Responses may have longer heads than requests: cookies, policies. */
#define RESPONSE_HEAD_MAX_BYTES 65536u
/* Of one sandbox at once: each may hold a head and what its windows let through. */
#define LANES_MAX 2048u
/* Interim responses of one request. */
#define INTERIMS_MAX 16u
/* Fields of ours beside those of a head. */
#define FIELDS_MAX (HEAD_MAX_FIELDS + 16)

static void lane_answer(struct call *call, unsigned status, const char *policy,
                        struct osa_buf *body);

/* ---- life ---- */

static void flow_init(struct flow *flow)
{
    osa_buf_init(&flow->bytes, FLOW_MAX_BYTES);
}

static size_t flow_left(const struct flow *flow)
{
    return flow->bytes.len - flow->at;
}

static size_t flow_take(struct flow *flow, void *room, size_t len)
{
    size_t n = OSA_MIN(len, flow_left(flow));
    if (n > 0)
        memcpy(room, flow->bytes.data + flow->at, n);
    flow->at += n;
    if (flow->at == flow->bytes.len || flow->at > FLOW_MAX_BYTES / 2) {
        osa_buf_consume(&flow->bytes, flow->at);
        flow->at = 0;
    }
    return n;
}

/* Return: what was dropped. */
static size_t flow_drop(struct flow *flow)
{
    size_t n = flow_left(flow);
    osa_buf_done(&flow->bytes);
    flow_init(flow);
    flow->at = 0;
    return n;
}

struct lane *lane_new(struct streams *streams, int32_t near)
{
    struct gate *gate = streams->conn->gate;
    if (gate->lanes >= LANES_MAX) /* they wait for the client's next try */
        return NULL;
    struct lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return NULL;
    gate->lanes++;
    call_init(&lane->call, streams->conn, lane_answer);
    lane->call.more = true;
    lane->owner = streams;
    lane->near = near;
    flow_init(&lane->up);
    flow_init(&lane->down);
    osa_buf_init(&lane->lines, HEAD_MAX_BYTES);
    osa_buf_init(&lane->fields, RESPONSE_HEAD_MAX_BYTES);
    osa_buf_init(&lane->up_trailers, HEAD_MAX_BYTES);
    osa_buf_init(&lane->down_trailers, RESPONSE_HEAD_MAX_BYTES);
    DL_APPEND(streams->lanes, lane);
    return lane;
}

void lane_free(struct lane *lane)
{
    lane->owner->conn->gate->lanes--;
    call_done(&lane->call);
    osa_buf_done(&lane->lines);
    osa_buf_done(&lane->up.bytes);
    osa_buf_done(&lane->down.bytes);
    osa_buf_done(&lane->fields);
    osa_buf_done(&lane->up_trailers);
    osa_buf_done(&lane->down_trailers);
    free(lane);
}

static void free_if_over(struct lane *lane)
{
    if (lane->near != 0 || lane->far != 0)
        return;
    DL_DELETE(lane->owner->lanes, lane);
    lane_free(lane);
}

/* ---- fields ---- */

static struct http2_field field_of(const char *name, const char *value, size_t value_len)
{
    return (struct http2_field){
        .name = name, .name_len = strlen(name), .value = value, .value_len = value_len
    };
}

static struct http2_field text_field(const char *name, const char *value)
{
    return field_of(name, value, strlen(value));
}

/* Names and values by turns: a value of HTTP/2 has no NUL in it. */
static bool keep_field(struct osa_buf *list, const struct http2_field *field)
{
    return osa_buf_add(list, field->name, field->name_len) && osa_buf_add(list, "", 1) &&
           (field->value_len == 0 || osa_buf_add(list, field->value, field->value_len)) &&
           osa_buf_add(list, "", 1);
}

/* Return: how many; 0 when there are more than @max. */
static size_t list_fields(const struct osa_buf *list, struct http2_field *ret, size_t max)
{
    size_t count = 0;
    for (size_t at = 0; at < list->len; count++) {
        if (count == max)
            return 0;
        const char *name = list->data + at;
        const char *value = name + strlen(name) + 1;
        ret[count] = text_field(name, value);
        at += (size_t)(value - name) + strlen(value) + 1;
    }
    return count;
}

static bool field_is(const struct http2_field *field, const char *name)
{
    return field->name_len == strlen(name) && memcmp(field->name, name, field->name_len) == 0;
}

/* ---- the client's request ---- */

static struct head_span *pseudo_of(struct lane *lane, const struct http2_field *field)
{
    if (field_is(field, ":method"))
        return &lane->method;
    if (field_is(field, ":path"))
        return &lane->path;
    if (field_is(field, ":scheme"))
        return &lane->scheme;
    if (field_is(field, ":authority"))
        return &lane->authority;
    return field_is(field, "host") ? &lane->host : NULL;
}

static bool on_request_field(void *ctx, void *stream, const struct http2_field *field)
{
    struct lane *lane = stream;
    (void)ctx;
    lane->size += field->name_len + field->value_len + 4;
    if (lane->size > HEAD_MAX_BYTES)
        return !lane->read; /* a head is refused when it is whole, trailers are at once */
    if (lane->read)
        return keep_field(&lane->up_trailers, field);
    struct head_span *pseudo = pseudo_of(lane, field);
    if (pseudo != NULL) {
        *pseudo =
            (struct head_span){ osa_arena_copy(&lane->call.memory, field->value, field->value_len),
                                field->value_len };
        return true;
    }
    if (field_is(field, "te")) { /* trailers, which nghttp2 has made sure of */
        lane->te = true;
        return true;
    }
    return osa_buf_add(&lane->lines, field->name, field->name_len) &&
           osa_buf_add(&lane->lines, ": ", 2) &&
           (field->value_len == 0 || osa_buf_add(&lane->lines, field->value, field->value_len)) &&
           osa_buf_add(&lane->lines, "\r\n", 2);
}

static bool same_span(struct head_span a, struct head_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void add_span(struct osa_buf *out, struct head_span span)
{
    if (span.len > 0)
        (void)osa_buf_add(out, span.at, span.len);
}

/* Return: NULL; else what is wrong with it. */
static const char *read_head(struct lane *lane)
{
    struct call *call = &lane->call;
    struct osa_buf *out = &call->bytes;
    bool secure = call->conn->client.tls != NULL;
    if (lane->authority.len == 0)
        lane->authority = lane->host;
    if (lane->host.at != NULL && !same_span(lane->host, lane->authority))
        return "a Host that is not its authority";
    if (!span_is(lane->scheme, secure ? "https" : "http"))
        return "a scheme that is not the tunnel's";
    add_span(out, lane->method);
    (void)osa_buf_add(out, " ", 1);
    add_span(out, lane->path);
    (void)osa_buf_addf(out, " HTTP/1.1\r\nHost: ");
    add_span(out, lane->authority);
    (void)osa_buf_add(out, "\r\n", 2);
    if (lane->lines.len > 0)
        (void)osa_buf_add(out, lane->lines.data, lane->lines.len);
    (void)osa_buf_add(out, "\r\n", 2);
    osa_buf_done(&lane->lines);
    if (out->failed)
        return "a head of more than 16384 bytes";
    return head_parse(out->data, out->len, /* response= */ false, &call->head);
}

/* ---- to the server ---- */

static size_t own_fields(const struct lane *lane, char host[TARGET_TEXT_SIZE],
                         struct http2_field *ret)
{
    const struct call *call = &lane->call;
    const struct conn *conn = call->conn;
    bool secure = conn->client.tls != NULL;
    ret[0] = field_of(":method", call->head.method.at, call->head.method.len);
    ret[1] = text_field(":scheme", secure ? "https" : "http");
    ret[2] = text_field(":authority", target_host_field(&conn->target, secure ? 443 : 80, host));
    ret[3] = field_of(":path", call->path.at, call->path.len);
    return 4;
}

/* The target as it was decided on; in @call's memory. */
static struct http2_field path_field(struct call *call)
{
    const struct policy_target *sent = &call->sent;
    if (!call->canonical)
        return field_of(":path", call->path.at, call->path.len);
    const char *text =
        osa_arena_printf(&call->memory, "%.*s%s%.*s", (int)sent->path.len, sent->path.data,
                         sent->has_query ? "?" : "", (int)sent->query.len,
                         sent->query.data != NULL ? sent->query.data : "");
    return text_field(":path", text);
}

static void forward(struct lane *lane)
{
    struct call *call = &lane->call;
    if (lane->owner->far == NULL) { /* gone while the body was read */
        http2_reset(lane->owner->near, lane->near, HTTP2_REFUSED_STREAM);
        return;
    }
    struct http2_field fields[FIELDS_MAX];
    char host[TARGET_TEXT_SIZE];
    char length[24];
    size_t count = own_fields(lane, host, fields);
    fields[count - 1] = path_field(call);
    for (unsigned i = 0; i < call->head.count; i++) {
        const struct head_field *field = &call->head.fields[i];
        if (!head_is_hop_field(&call->head, field) && !span_is(field->name, "host"))
            fields[count++] = (struct http2_field){ .name = field->name.at,
                                                    .name_len = field->name.len,
                                                    .value = field->value.at,
                                                    .value_len = field->value.len };
    }
    if (call->held) {
        call->head.has_length = true;
        call->head.length = call->body.len;
        lane->up.bytes = call->body;
        osa_buf_init(&call->body, 0);
        lane->up.end = true;
    }
    (void)snprintf(length, sizeof(length), "%llu", (unsigned long long)call->head.length);
    if (call->head.has_length)
        fields[count++] = text_field("content-length", length);
    if (lane->te)
        fields[count++] = text_field("te", "trailers");
    if (head_find(&call->head, "via") == NULL)
        fields[count++] = text_field("via", "2 openshell-sandbox");
    bool body = !lane->up.end || flow_left(&lane->up) > 0 || lane->up_trailers.len > 0;
    lane->far = http2_request(lane->owner->far, fields, count, body, lane);
    if (lane->far == 0)
        call_reply(call, 502, "upstream_unreachable", "the server takes no more requests",
                   "unreachable");
    else
        call_record(call, NULL, call->audit);
}

static void decide(struct lane *lane)
{
    switch (call_judge(&lane->call)) {
    case JUDGED_PASS:
        lane->holding = false;
        forward(lane);
        break;
    case JUDGED_BODY:
        lane->holding = true;
        osa_buf_init(&lane->call.body, lane->call.hold);
        break;
    case JUDGED_REFUSED:
        lane->holding = false;
        break;
    }
}

/* ---- what the client sends ---- */

static void *on_begin(void *ctx, int32_t id)
{
    return lane_new(ctx, id);
}

/* A body is whole that a decision waits for. */
static void held(struct lane *lane)
{
    lane->call.held = true;
    lane->call.more = false;
    decide(lane);
}

static void on_request_end(void *ctx, void *stream)
{
    struct lane *lane = stream;
    (void)ctx;
    lane->up.end = true;
    if (lane->holding)
        held(lane);
    else if (lane->far != 0)
        http2_resume(lane->owner->far, lane->far);
}

static void on_request_head(void *ctx, void *stream, bool end)
{
    struct lane *lane = stream;
    struct call *call = &lane->call;
    if (lane->read) {
        on_request_end(ctx, stream);
        return;
    }
    lane->read = true;
    if (end) {
        lane->up.end = true;
        call->more = false;
    }
    if (lane->size > HEAD_MAX_BYTES) {
        call_refuse(call, 431, "request_head_too_large", "a head of more than 16384 bytes");
        return;
    }
    lane->size = 0; /* of trailers from here on */
    const char *fault = read_head(lane);
    if (fault != NULL)
        call_refuse(call, 400, "bad_request", fault);
    else if (lane->owner->draining)
        http2_reset(lane->owner->near, lane->near, HTTP2_REFUSED_STREAM);
    else if (call_check_tunnel(call))
        decide(lane);
}

/* Both streams end here. */
static void cut(struct lane *lane)
{
    if (lane->near != 0)
        http2_reset(lane->owner->near, lane->near, HTTP2_CANCEL);
    if (lane->far != 0)
        http2_reset(lane->owner->far, lane->far, HTTP2_CANCEL);
}

static void on_request_data(void *ctx, void *stream, const void *data, size_t len)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    if (lane->holding) {
        bool fits = osa_buf_add(&lane->call.body, data, len);
        http2_consume(s->near, lane->near, len);
        if (!fits) {
            lane->holding = false;
            call_refuse(&lane->call, 400, "bad_request",
                        "a body that is longer than its endpoint allows");
        }
        return;
    }
    if (lane->far == 0) { /* nobody is there to have it */
        http2_consume(s->near, lane->near, len);
    } else if (!call_scan(&lane->call, data, len) || !osa_buf_add(&lane->up.bytes, data, len)) {
        http2_consume(s->near, lane->near, len);
        cut(lane);
    } else {
        http2_resume(s->far, lane->far);
    }
}

static size_t give(struct flow *flow, const struct osa_buf *trailers, void *room, size_t len,
                   enum http2_read *ret)
{
    size_t n = flow_take(flow, room, len);
    *ret = HTTP2_READ_MORE;
    if (flow->end && flow_left(flow) == 0)
        *ret = trailers->len > 0 ? HTTP2_READ_TRAILERS : HTTP2_READ_END;
    return n;
}

static void send_trailers(struct http2 *h, int32_t id, const struct osa_buf *trailers)
{
    struct http2_field fields[FIELDS_MAX];
    if (!http2_trailers(h, id, fields, list_fields(trailers, fields, FIELDS_MAX)))
        http2_reset(h, id, HTTP2_INTERNAL_ERROR);
}

/* The server takes of the request's body. */
static size_t on_request_read(void *ctx, void *stream, void *room, size_t len, enum http2_read *ret)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    size_t n = give(&lane->up, &lane->up_trailers, room, len, ret);
    if (n > 0 && !lane->call.held)
        http2_consume(s->near, lane->near, n);
    if (*ret != HTTP2_READ_TRAILERS)
        return n;
    const struct policy_text trailers = { lane->up_trailers.data, lane->up_trailers.len };
    if ((lane->call.guarded || lane->call.rewrite) && policy_placeholder_seen(trailers)) {
        call_record(&lane->call, "credential-unavailable",
                    "a credential placeholder in a request's trailers");
        cut(lane);
    } else {
        send_trailers(s->far, lane->far, &lane->up_trailers);
    }
    return n;
}

/* ---- the answer ---- */

/* Of our own. */
static void lane_answer(struct call *call, unsigned status, const char *policy,
                        struct osa_buf *body)
{
    struct lane *lane = OSA_CONTAINER_OF(call, struct lane, call);
    char code[12];
    char length[24];
    (void)snprintf(code, sizeof(code), "%u", status);
    (void)snprintf(length, sizeof(length), "%zu", body->len);
    struct http2_field fields[4] = {
        text_field(":status", code),
        text_field("content-type", "application/json"),
        text_field("content-length", length),
    };
    size_t count = 3;
    if (policy != NULL && policy[0] != '\0')
        fields[count++] = text_field("x-openshell-policy", policy);
    lane->own = true;
    lane->down.bytes = *body;
    lane->down.end = true;
    osa_buf_init(body, 0);
    if (lane->down.bytes.failed ||
        !http2_respond(lane->owner->near, lane->near, fields, count, true))
        http2_reset(lane->owner->near, lane->near, HTTP2_INTERNAL_ERROR);
}

static bool on_response_field(void *ctx, void *stream, const struct http2_field *field)
{
    struct lane *lane = stream;
    (void)ctx;
    if (field_is(field, ":status") && field->value_len == 3)
        lane->status = (unsigned)strtoul(field->value, NULL, 10);
    return keep_field(lane->final ? &lane->down_trailers : &lane->fields, field);
}

static void on_response_end(void *ctx, void *stream)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    lane->down.end = true;
    if (lane->near != 0)
        http2_resume(s->near, lane->near);
}

static void on_response_head(void *ctx, void *stream, bool end)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    struct http2_field fields[FIELDS_MAX];
    bool ok;
    if (lane->final) {
        on_response_end(ctx, stream);
        return;
    }
    size_t count = list_fields(&lane->fields, fields, FIELDS_MAX);
    lane->final = lane->status >= 200;
    lane->down.end = end;
    if (lane->near == 0)
        ok = true;
    else if (lane->final)
        ok = http2_respond(s->near, lane->near, fields, count, !end);
    else
        ok = lane->interims++ < INTERIMS_MAX && http2_interim(s->near, lane->near, fields, count);
    osa_buf_reset(&lane->fields);
    if (!ok)
        cut(lane);
}

static void on_response_data(void *ctx, void *stream, const void *data, size_t len)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    if (lane->near == 0) {
        http2_consume(s->far, lane->far, len);
    } else if (!osa_buf_add(&lane->down.bytes, data, len)) {
        http2_consume(s->far, lane->far, len);
        cut(lane);
    } else {
        http2_resume(s->near, lane->near);
    }
}

/* The client takes of the response's body. */
static size_t on_response_read(void *ctx, void *stream, void *room, size_t len,
                               enum http2_read *ret)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    size_t n = give(&lane->down, &lane->down_trailers, room, len, ret);
    if (n > 0 && !lane->own && s->far != NULL)
        http2_consume(s->far, lane->far, n);
    if (*ret == HTTP2_READ_TRAILERS)
        send_trailers(s->near, lane->near, &lane->down_trailers);
    return n;
}

/* ---- ends ---- */

static void on_client_closed(void *ctx, void *stream, uint32_t code)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    lane->near = 0;
    size_t left = flow_drop(&lane->down);
    /* Room that the connection has, whatever became of the stream. */
    if (!lane->own && s->far != NULL)
        http2_consume(s->far, lane->far, left);
    if (lane->far != 0 && (code != HTTP2_NO_ERROR || !lane->down.end))
        http2_reset(s->far, lane->far, HTTP2_CANCEL);
    free_if_over(lane);
}

static void on_server_closed(void *ctx, void *stream, uint32_t code)
{
    struct lane *lane = stream;
    struct streams *s = ctx;
    lane->far = 0;
    size_t left = flow_drop(&lane->up);
    if (!lane->call.held)
        http2_consume(s->near, lane->near, left);
    if (lane->near != 0 && (code != HTTP2_NO_ERROR || !lane->down.end))
        http2_reset(s->near, lane->near, code != HTTP2_NO_ERROR ? code : HTTP2_INTERNAL_ERROR);
    free_if_over(lane);
}

bool lane_lost(struct lane *lane)
{
    lane->far = 0;
    return lane->near != 0 && lane->down.end;
}

static void on_client_goaway(void *ctx)
{
    (void)ctx; /* a client that has no more requests to make */
}

static void on_server_goaway(void *ctx)
{
    struct streams *s = ctx;
    if (!s->draining)
        http2_end(s->near);
    s->draining = true;
}

const struct http2_events *lane_client_events(void)
{
    static const struct http2_events events = {
        .begin = on_begin,
        .field = on_request_field,
        .head = on_request_head,
        .data = on_request_data,
        .end = on_request_end,
        .closed = on_client_closed,
        .read = on_response_read,
        .goaway = on_client_goaway,
    };
    return &events;
}

const struct http2_events *lane_server_events(void)
{
    static const struct http2_events events = {
        .field = on_response_field,
        .head = on_response_head,
        .data = on_response_data,
        .end = on_response_end,
        .closed = on_server_closed,
        .read = on_request_read,
        .goaway = on_server_goaway,
    };
    return &events;
}
