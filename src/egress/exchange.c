// SPDX-License-Identifier: Apache-2.0
/*
 * One request and its response after the other, between a client and the server it asked for.
 *
 * Both heads are written anew from what was read, and bodies get a framing of ours: what one side
 * meant as one message arrives as one message, whatever the other would have made of its bytes.
 */
#include "egress/exchange.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void exchange_free(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    http1_free(exchange->request);
    http1_free(exchange->response);
    call_done(&exchange->call);
    free(exchange);
}

const struct head *exchange_head(const struct conn *conn)
{
    return conn->exchange != NULL && conn->exchange->call.bytes.len > 0 ? &conn->exchange->call.head
                                                                        : NULL;
}

static void answer_call(struct call *call, unsigned status, const char *policy,
                        struct osa_buf *body)
{
    conn_answer(call->conn, status, policy, body);
}

/* ---- the request's head ---- */

static struct exchange *exchange_of(struct conn *conn)
{
    if (conn->exchange != NULL)
        return conn->exchange;
    struct exchange *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    call_init(&e->call, conn, answer_call);
    e->request = http1_new(/* response= */ false);
    e->response = http1_new(/* response= */ true);
    if (e->request == NULL || e->response == NULL) {
        exchange_free(e);
        return NULL;
    }
    conn->exchange = e;
    return e;
}

static bool refuse_head(struct exchange *e, unsigned status, const char *error, const char *fault)
{
    call_refuse(&e->call, status, error, fault);
    return false;
}

static bool read_target(struct conn *conn, struct exchange *e)
{
    if (conn->inside)
        return call_check_tunnel(&e->call);
    struct head_span scheme;
    const char *fault =
        target_parse_absolute(e->call.head.target, &scheme, &conn->target, &e->call.path);
    if (fault != NULL)
        return refuse_head(e, 400, "invalid_request_target", fault);
    if (span_is(scheme, "https"))
        return refuse_head(e, 400, "unsupported_proxy_scheme",
                           "an https target; use CONNECT for it");
    if (!span_is(scheme, "http"))
        return refuse_head(e, 400, "unsupported_proxy_scheme", "a scheme that is not spoken here");
    return true;
}

bool exchange_begin(struct conn *conn, size_t len, const struct head *head)
{
    struct exchange *e = exchange_of(conn);
    if (!conn->inside) {
        conn->target = (struct target){ 0 };
        conn->tunnel = false;
    }
    if (e == NULL) {
        conn_reply(conn, 503, "out_of_memory", "the proxy has no memory for the request", NULL);
        return false;
    }
    call_reset(&e->call);
    bool copied = osa_buf_add(&e->call.bytes, conn->client.in.data, len);
    enum http1_result framed =
        http1_head(e->request, conn->client.in.data, len, /* bodiless= */ false, &e->framing);
    osa_buf_consume(&conn->client.in, len);
    (void)head;
    if (!copied ||
        head_parse(e->call.bytes.data, len, /* response= */ false, &e->call.head) != NULL)
        return refuse_head(e, 400, "bad_request", "a malformed head");
    /* RFC 9110, 9.3.6: a CONNECT has no body, whatever it says; servers differ on what comes behind it. */
    if (span_is(e->call.head.method, "CONNECT"))
        return refuse_head(e, 400, "bad_request", "a CONNECT in a tunnel");
    if (framed == HTTP1_BAD || e->framing.chunked != e->call.head.chunked ||
        (e->call.head.has_length && e->framing.length != e->call.head.length))
        return refuse_head(e, 400, "bad_request", "a framing in doubt");
    e->call.more = framed == HTTP1_MORE;
    e->up_chunked = e->call.head.chunked;
    e->call.upgrade = e->call.head.wants_upgrade && head_find(&e->call.head, "upgrade") != NULL;
    e->keep_client = e->framing.keep_alive;
    e->answered = e->down_done = false;
    if (!read_target(conn, e))
        return false;
    return conn->inside || !local_request(conn);
}

static void add_span(struct osa_buf *out, struct head_span span)
{
    (void)osa_buf_add(out, span.at, span.len);
}

static void add_field(struct osa_buf *out, const struct head_field *field)
{
    add_span(out, field->name);
    (void)osa_buf_add(out, ": ", 2);
    add_span(out, field->value);
    (void)osa_buf_add(out, "\r\n", 2);
}

static void add_fields(struct osa_buf *out, const struct head *head, const char *except,
                       const char *and)
{
    for (unsigned i = 0; i < head->count; i++) {
        const struct head_field *field = &head->fields[i];
        if (!head_is_hop_field(head, field) && !span_is(field->name, except) &&
            !span_is(field->name, and))
            add_field(out, field);
    }
}

static void add_upgrade(struct osa_buf *out, const struct head *head)
{
    (void)osa_buf_addf(out, "Connection: Upgrade\r\n");
    add_field(out, head_find(head, "upgrade"));
}

static void write_request_head(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    struct osa_buf *out = &conn->server.out;
    char host[TARGET_TEXT_SIZE];
    add_span(out, e->call.head.method);
    (void)osa_buf_add(out, " ", 1);
    if (e->call.canonical) { /* what was decided on, and nothing that another reader makes of it */
        (void)osa_buf_add(out, e->call.sent.path.data, e->call.sent.path.len);
        if (e->call.sent.has_query)
            (void)osa_buf_add(out, "?", 1);
        (void)osa_buf_add(out, e->call.sent.query.data, e->call.sent.query.len);
    } else {
        if (e->call.path.len == 0 || e->call.path.at[0] == '?')
            (void)osa_buf_add(out, "/", 1);
        add_span(out, e->call.path);
    }
    (void)osa_buf_addf(out, " HTTP/1.1\r\nHost: %s\r\n",
                       target_host_field(&conn->target, conn->client.tls != NULL ? 443 : 80, host));
    add_fields(out, &e->call.head, "host", e->call.held ? "expect" : "");
    if (head_find(&e->call.head, "via") == NULL)
        (void)osa_buf_addf(out, "Via: 1.1 openshell-sandbox\r\n");
    if (e->up_chunked)
        (void)osa_buf_addf(out, "Transfer-Encoding: chunked\r\n");
    else if (e->call.head.has_length)
        (void)osa_buf_addf(out, "Content-Length: %llu\r\n",
                           (unsigned long long)e->call.head.length);
    if (e->call.upgrade)
        add_upgrade(out, &e->call.head);
    (void)osa_buf_add(out, "\r\n", 2);
    if (e->call.held) {
        out->max = OSA_MAX(out->max, out->len + e->call.body.len); /* its bound is the endpoint's */
        (void)osa_buf_add(out, e->call.body.data, e->call.body.len);
        osa_buf_done(&e->call.body);
    }
}

void exchange_connected(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    conn->state = CONN_EXCHANGE;
    conn_arm(conn, conn->gate->config.limits.idle_ns);
    osa_buf_reset(&conn->server.in);
    write_request_head(conn);
    if (conn->server.out.failed) { /* a part of a request would make the next one its rest */
        osa_buf_reset(&conn->server.out);
        conn_reply(conn, 500, "request_too_large", "the request has no room in the proxy", NULL);
        return;
    }
    call_record(&e->call, NULL, e->call.audit);
}

/* ---- what goes wrong ---- */

/*
 * Steps return 1 when something moved, 0 when nothing can be done now; or that the connection is
 * GONE, or in another state now and to be stepped when its descriptors are ready.
 */
enum { GONE = -1, CHANGED = -2 };

/* The server failed us. Return: GONE once the client has part of an answer, else CHANGED. */
static int server_failed(struct conn *conn, const char *what)
{
    if (conn->exchange->answered) {
        conn_free(conn);
        return GONE;
    }
    conn_reply(conn, 502, "upstream_unreachable", what, "unreachable");
    return CHANGED;
}

/* ---- bodies ---- */

static void add_chunk(struct osa_buf *out, const struct osa_buf *body, bool chunked)
{
    if (body->len == 0)
        return;
    if (chunked)
        (void)osa_buf_addf(out, "%zx\r\n", body->len);
    (void)osa_buf_add(out, body->data, body->len);
    if (chunked)
        (void)osa_buf_add(out, "\r\n", 2);
}

/*
 * Moves what @in has of a body to @out.
 * @call: of a request, whose body may have to be looked at; NULL for a response
 * Return: HTTP1_DONE when the message is whole.
 */
static enum http1_result pass_body(struct http1 *http, struct osa_buf *in, struct osa_buf *out,
                                   bool chunked, struct call *call)
{
    struct osa_buf body;
    size_t used = 0;
    osa_buf_init(&body, in->len);
    enum http1_result result = http1_body(http, in->data, in->len, &body, &used);
    if (call != NULL && result != HTTP1_BAD && !call_scan(call, body.data, body.len))
        result = HTTP1_BAD;
    if (result != HTTP1_BAD) {
        osa_buf_consume(in, used);
        add_chunk(out, &body, chunked);
        if (result == HTTP1_DONE && chunked)
            (void)osa_buf_add(out, "0\r\n\r\n", 5);
        if (out->failed)
            result = HTTP1_BAD;
    }
    osa_buf_done(&body);
    return result;
}

static int pass_request(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    int moved = 0;
    while (e->call.more && conn->server.out.len < STREAM_ROOM) {
        if (conn->client.in.len == 0) {
            ssize_t n = stream_fill(&conn->client);
            if (n == -EAGAIN)
                break;
            if (n <= 0) { /* the request will never be whole */
                conn_free(conn);
                return GONE;
            }
        }
        enum http1_result result =
            pass_body(e->request, &conn->client.in, &conn->server.out, e->up_chunked, &e->call);
        if (result == HTTP1_BAD) {
            if (e->answered || e->call.caught) {
                conn_free(conn);
                return GONE;
            }
            (void)refuse_head(e, 400, "bad_request", "a malformed body");
            return CHANGED;
        }
        e->call.more = result == HTTP1_MORE;
        moved = 1;
    }
    return moved;
}

/*
 * Reads the body that a decision needs, up to what the endpoint allows.
 * Return: 1 when it is whole; 0; GONE; CHANGED, after an answer.
 */
static int hold_body(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    while (e->call.more) {
        if (conn->client.in.len == 0) {
            ssize_t n = stream_fill(&conn->client);
            if (n == -EAGAIN)
                return 0;
            if (n <= 0) {
                conn_free(conn);
                return GONE;
            }
        }
        size_t used = 0;
        enum http1_result result =
            http1_body(e->request, conn->client.in.data, conn->client.in.len, &e->call.body, &used);
        if (result == HTTP1_BAD) {
            (void)refuse_head(e, 400, "bad_request",
                              e->call.body.failed ? "a body that is longer than its endpoint allows"
                                                  : "a malformed body");
            return CHANGED;
        }
        osa_buf_consume(&conn->client.in, used);
        e->call.more = result == HTTP1_MORE;
    }
    e->call.held = true;
    e->up_chunked = false; /* goes on with its length */
    e->call.head.has_length = true;
    e->call.head.length = e->call.body.len;
    return 1;
}

enum judged exchange_judge(struct conn *conn)
{
    return call_judge(&conn->exchange->call);
}

void exchange_hold(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    osa_buf_init(&e->call.body, e->call.hold);
    conn->state = CONN_BODY;
    conn_arm(conn, conn->gate->config.limits.idle_ns);
    if (e->call.head.expects_continue && e->call.more)
        (void)osa_buf_addf(&conn->client.out, "HTTP/1.1 100 Continue\r\n\r\n");
}

bool exchange_body_step(struct conn *conn)
{
    (void)stream_flush(&conn->client);
    int held = hold_body(conn);
    if (held == 1) {
        conn_judged(conn);
        return false; /* stepped, or gone */
    }
    return held != GONE;
}

/* ---- the response ---- */

static bool has_no_body(const struct exchange *e, unsigned status)
{
    return span_is(e->call.head.method, "HEAD") || status < 200 || status == 204 || status == 304;
}

static void write_response_head(struct conn *conn, const char *bytes, const struct head *head,
                                const struct http1_framing *framing)
{
    struct exchange *e = conn->exchange;
    struct osa_buf *out = &conn->client.out;
    const char *end = memchr(bytes, '\r', HEAD_MAX_BYTES);
    bool interim = head->status < 200;
    bool bare = has_no_body(e, head->status);
    (void)osa_buf_addf(out, "HTTP/1.1%.*s\r\n", (int)(end - bytes) - 8, bytes + 8);
    add_fields(out, head, "", "");
    e->down_chunked = !bare && !framing->has_length && e->call.head.minor == 1;
    if (head->has_length && (!bare || head->status >= 200) && head->status != 204)
        (void)osa_buf_addf(out, "Content-Length: %llu\r\n", (unsigned long long)head->length);
    else if (e->down_chunked)
        (void)osa_buf_addf(out, "Transfer-Encoding: chunked\r\n");
    else if (!bare)
        e->keep_client = false; /* to an HTTP/1.0 client the end of the body is the end */
    if (head->status == 101)
        add_upgrade(out, head);
    else if (!interim && !e->keep_client)
        (void)osa_buf_addf(out, "Connection: close\r\n");
    (void)osa_buf_add(out, "\r\n", 2);
}

/* A 101 that was asked for makes a tunnel of the exchange. */
static int switch_protocols(struct conn *conn, const char *bytes, size_t len,
                            const struct head *head)
{
    struct exchange *e = conn->exchange;
    if (!e->call.upgrade || e->call.more || head_find(head, "upgrade") == NULL)
        return server_failed(conn, "the server switches protocols unasked");
    write_response_head(conn, bytes, head, &(struct http1_framing){ 0 });
    osa_buf_consume(&conn->server.in, len);
    (void)osa_buf_add(&conn->client.out, conn->server.in.data, conn->server.in.len);
    osa_buf_done(&conn->server.in);
    tunnel_upgrade(conn, e->call.watch_text);
    return CHANGED;
}

static int pass_response_head(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    struct osa_buf *in = &conn->server.in;
    struct head head;
    struct http1_framing framing;
    size_t len = head_end(in->data, in->len);
    if (len == 0 && in->len < HEAD_MAX_BYTES)
        return 0;
    if (len == 0 || head_parse(in->data, len, /* response= */ true, &head) != NULL)
        return server_failed(conn, "the server's answer is not in order");
    if (head.status == 101)
        return switch_protocols(conn, in->data, len, &head);
    bool bare = has_no_body(e, head.status);
    enum http1_result framed = http1_head(e->response, in->data, len, bare, &framing);
    if (framed == HTTP1_BAD || (!bare && framing.chunked != head.chunked))
        return server_failed(conn, "the server's answer is not in order");
    if (head.status >= 200)
        e->keep_server = framing.keep_alive && !framing.until_eof;
    if (head.status >= 200 && conn->inside && !e->keep_server)
        e->keep_client = false; /* the tunnel has one server, and that one goes */
    write_response_head(conn, in->data, &head, &framing);
    osa_buf_consume(in, len);
    if (head.status < 200)
        return 1;
    e->answered = true;
    e->down_done = framed == HTTP1_DONE;
    return 1;
}

/* The server has closed. */
static int response_ended(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    if (e->answered && http1_eof(e->response) == HTTP1_DONE) {
        if (e->down_chunked)
            (void)osa_buf_add(&conn->client.out, "0\r\n\r\n", 5);
        e->down_done = true;
        e->keep_server = false;
        return 1;
    }
    return server_failed(conn, "the server closed the connection before its answer was whole");
}

static int pass_response(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    int moved = 0;
    while (!e->down_done && conn->client.out.len < STREAM_ROOM) {
        if (conn->server.in.len > 0) {
            int passed = 0;
            if (!e->answered) {
                passed = pass_response_head(conn);
            } else {
                enum http1_result result = pass_body(e->response, &conn->server.in,
                                                     &conn->client.out, e->down_chunked, NULL);
                if (result == HTTP1_BAD) {
                    conn_free(conn);
                    return GONE;
                }
                e->down_done = result == HTTP1_DONE;
                passed = 1;
            }
            if (passed < 0)
                return passed;
            moved |= passed;
            if (passed > 0)
                continue;
        }
        ssize_t n = stream_fill(&conn->server);
        if (n == -EAGAIN)
            break;
        if (n == 0)
            return response_ended(conn);
        if (n < 0)
            return server_failed(conn, conn->server.tls != NULL && tls_fault(conn->server.tls)[0]
                                           ? tls_fault(conn->server.tls)
                                           : "the server broke off");
        moved = 1;
    }
    return moved;
}

/* ---- steps ---- */

static int flush(struct conn *conn)
{
    ssize_t down = stream_flush(&conn->client);
    if (down < 0 && down != -EAGAIN) {
        conn_free(conn);
        return GONE;
    }
    ssize_t up = stream_flush(&conn->server);
    if (up == -EPIPE || up == -ECONNRESET) {
        /* it may have answered before it stopped reading */
        osa_buf_reset(&conn->server.out);
        conn->exchange->call.more = false;
        conn->exchange->keep_client = conn->exchange->keep_server = false;
        return 1;
    }
    if (up < 0 && up != -EAGAIN)
        return server_failed(conn, "the server broke off");
    return up > 0 || down > 0;
}

/* Both messages are through: the connection is free for the next request, or ends. */
static int finish(struct conn *conn)
{
    struct exchange *e = conn->exchange;
    if (!e->down_done || stream_waits(&conn->client))
        return 0;
    bool whole = !e->call.more && !stream_waits(&conn->server);
    if (!whole || !e->keep_server || conn->server.in.len > 0)
        stream_close(&conn->server);
    call_reset(&e->call);
    if (!whole || !e->keep_client) {
        conn->state = CONN_REPLY; /* says goodbye in order */
        conn_arm(conn, conn->gate->config.limits.head_ns);
    } else {
        conn->state = CONN_HEAD;
        conn_arm(conn, conn->gate->config.limits.idle_ns);
        if (conn->client.in.len > 0) /* the next request is here; let others have their turn */
            osa_timer_arm(conn->gate->config.loop, &conn->again, osa_now_ns());
    }
    return CHANGED;
}

bool exchange_step(struct conn *conn)
{
    for (unsigned i = 0; i < STEP_ROUNDS; i++) {
        int request = pass_request(conn);
        int response = request < 0 ? request : pass_response(conn);
        int flushed = response < 0 ? response : flush(conn);
        int finished = flushed < 0 ? flushed : finish(conn);
        if (finished < 0)
            return finished == CHANGED;
        if (request == 0 && response == 0 && flushed == 0)
            return true;
        conn_arm(conn, conn->gate->config.limits.idle_ns);
    }
    osa_timer_arm(conn->gate->config.loop, &conn->again, osa_now_ns()); /* others have their turn */
    return true;
}

void exchange_want(const struct conn *conn, unsigned *ret_client, unsigned *ret_server)
{
    const struct exchange *e = conn->exchange;
    if (e->call.more && conn->server.out.len < STREAM_ROOM)
        *ret_client |= OSA_READ;
    if (stream_waits(&conn->client))
        *ret_client |= OSA_WRITE;
    if (!e->down_done && conn->client.out.len < STREAM_ROOM)
        *ret_server |= OSA_READ;
    if (stream_waits(&conn->server))
        *ret_server |= OSA_WRITE;
}
