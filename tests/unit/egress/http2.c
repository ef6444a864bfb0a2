// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 through the proxy: a client and an origin of ours, with nghttp2 at both ends. */
#include "unit/egress/rig.h"

#include "base/clock.h"
#include "base/fd.h"
#include "egress/streams.h"
#include "io/http2.h"
#include "policy/provider.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REST                                                                                       \
    "protocol: rest, rules: [{allow: {method: '*', path: '/v1/**'}}], deny_rules: [{method: "      \
    "'*', path: /v1/secret}]"

/* One message as an end sees it. */
struct message {
    int32_t id; /* of an origin's stream */
    char head[4096];
    struct osa_buf body;
    bool end;
    bool closed;
    uint32_t code;
    size_t unsent; /* of its body: so many bytes of 'x' */
    bool trailers;
};

#define MESSAGES_MAX 256

struct end {
    int fd;
    struct tls *tls;
    struct osa_buf plain;
    struct http2 *h;
    struct message messages[MESSAGES_MAX];
    size_t count;
    bool hold; /* nothing is consumed */
    bool gone;
    bool goaway;
};

static struct end near_end;
static struct end far_end;

/* ---- what an end does ---- */

static void *on_begin(void *ctx, int32_t id)
{
    struct end *end = ctx;
    assert_true(end->count < MESSAGES_MAX);
    struct message *m = &end->messages[end->count++];
    *m = (struct message){ .id = id };
    osa_buf_init(&m->body, 16 << 20);
    return m;
}

static bool on_field(void *ctx, void *stream, const struct http2_field *field)
{
    struct message *m = stream;
    size_t used = strlen(m->head);
    (void)ctx;
    (void)snprintf(m->head + used, sizeof(m->head) - used, "%.*s=%.*s\n", (int)field->name_len,
                   field->name, (int)field->value_len, field->value);
    return true;
}

static void on_head(void *ctx, void *stream, bool end)
{
    struct message *m = stream;
    (void)ctx;
    m->end |= end;
}

static void on_data(void *ctx, void *stream, const void *data, size_t len)
{
    struct end *end = ctx;
    struct message *m = stream;
    assert_true(osa_buf_add(&m->body, data, len));
    if (!end->hold)
        http2_consume(end->h, m->id, len);
}

static void on_end(void *ctx, void *stream)
{
    struct message *m = stream;
    (void)ctx;
    m->end = true;
}

static void on_closed(void *ctx, void *stream, uint32_t code)
{
    struct message *m = stream;
    (void)ctx;
    m->closed = true;
    m->code = code;
}

static size_t on_read(void *ctx, void *stream, void *room, size_t len, enum http2_read *ret)
{
    static const struct http2_field trailer = { "grpc-status", 11, "0", 1 };
    struct end *end = ctx;
    struct message *m = stream;
    size_t n = OSA_MIN(len, m->unsent);
    memset(room, 'x', n);
    m->unsent -= n;
    *ret = m->unsent > 0 ? HTTP2_READ_MORE : m->trailers ? HTTP2_READ_TRAILERS : HTTP2_READ_END;
    if (*ret == HTTP2_READ_TRAILERS)
        assert_true(http2_trailers(end->h, m->id, &trailer, 1));
    return n;
}

static void on_goaway(void *ctx)
{
    struct end *end = ctx;
    end->goaway = true;
}

static const struct http2_events events = { on_begin, on_field,  on_head, on_data,
                                            on_end,   on_closed, on_read, on_goaway };

/* One round of an end: what goes out, then what comes in. */
static void run_end(struct end *e)
{
    char wire[16384];
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    OSA_AUTO(osa_buf_done) struct osa_buf sealed;
    osa_buf_init(&out, 4 << 20);
    osa_buf_init(&sealed, 4 << 20);
    if (e->gone)
        return;
    if (e->h != NULL && (e->tls == NULL || tls_ready(e->tls))) {
        (void)http2_send(e->h, &out, 65536);
        if (e->tls != NULL && out.len > 0)
            assert_true(tls_write(e->tls, out.data, out.len));
    }
    if (e->tls != NULL)
        assert_true(tls_send(e->tls, &sealed));
    const struct osa_buf *send_it = e->tls != NULL ? &sealed : &out;
    if (send_it->len > 0)
        say(e->fd, send_it->data, send_it->len);
    ssize_t n = recv(e->fd, wire, sizeof(wire), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        e->gone = true;
        return;
    }
    if (n < 0)
        return;
    const char *data = wire;
    size_t len = (size_t)n;
    if (e->tls != NULL) {
        bool ended = false;
        osa_buf_reset(&e->plain);
        if (!tls_receive(e->tls, wire, len, &e->plain, &ended))
            fail_msg("%s", tls_fault(e->tls));
        data = e->plain.data;
        len = e->plain.len;
    }
    if (e->h != NULL && len > 0)
        (void)http2_receive(e->h, data, len);
}

static void round_trip(void)
{
    run_end(&near_end);
    run_end(&far_end);
    turn();
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        unsigned rounds = 0;                                                                       \
        while (!(condition) && rounds++ < 60000)                                                   \
            round_trip();                                                                          \
        if (!(condition))                                                                          \
            fail_msg("never: " #condition);                                                        \
    } while (0)

static void open_ends(bool secure)
{
    struct osa_error err = { 0 };
    near_end = far_end = (struct end){ 0 };
    near_end.fd = tunnel(&far_end.fd);
    osa_buf_init(&near_end.plain, 1 << 20);
    osa_buf_init(&far_end.plain, 1 << 20);
    near_end.h = http2_new(/* server= */ false, &events, &near_end);
    far_end.h = http2_new(/* server= */ true, &events, &far_end);
    if (secure) {
        struct tls_trust *trust = NULL;
        assert_int_equal(tls_trust_new(tls_authority_pem(rig.authority), NULL, &trust, &err),
                         OSA_OK);
        assert_int_equal(tls_connect(trust, rig.ip, TLS_HTTP1 | TLS_HTTP2, &near_end.tls, &err),
                         OSA_OK);
        assert_int_equal(tls_accept(rig.outside, rig.ip, TLS_HTTP2, &far_end.tls, &err), OSA_OK);
        tls_trust_free(trust);
        UNTIL(tls_ready(near_end.tls));
        assert_int_equal(tls_spoken(near_end.tls), TLS_HTTP2);
    }
}

static void end_done(struct end *e)
{
    for (size_t i = 0; i < e->count; i++)
        osa_buf_done(&e->messages[i].body);
    http2_free(e->h);
    tls_free(e->tls);
    osa_buf_done(&e->plain);
    osa_close_fd(&e->fd);
}

static void close_ends(void)
{
    end_done(&near_end);
    end_done(&far_end);
}

static struct http2_field f(const char *name, const char *value)
{
    return (struct http2_field){ name, strlen(name), value, strlen(value) };
}

/* A request; "name=value" by turns in @more, up to NULL. Return: what comes of it. */
static struct message *ask(const char *method, const char *path, const char *authority, size_t body,
                           const char *const *more)
{
    struct http2_field fields[32] = { f(":method", method),
                                      f(":scheme", near_end.tls != NULL ? "https" : "http"),
                                      f(":authority", authority), f(":path", path) };
    size_t count = 4;
    for (; more != NULL && *more != NULL; more += 2)
        fields[count++] = f(more[0], more[1]);
    struct message *m = on_begin(&near_end, 0);
    m->unsent = body;
    m->id = http2_request(near_end.h, fields, count, body > 0, m);
    assert_true(m->id > 0);
    return m;
}

static const char *here(void)
{
    static char text[64];
    (void)snprintf(text, sizeof(text), "%s:%u", rig.ip, rig.port);
    return text;
}

static void answer(struct message *m, const char *status, size_t body, bool trailers)
{
    const struct http2_field fields[] = { f(":status", status), f("x-origin", "yes") };
    m->unsent = body;
    m->trailers = trailers;
    assert_true(http2_respond(far_end.h, m->id, fields, 2, body > 0 || trailers));
}

static void expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in: %s", part, text);
}

/* ---- tests ---- */

static void try_allowed(bool secure)
{
    static const char *const more[] = { "te", "trailers", "x-own", "1", NULL };
    char authority[96];
    publish_endpoint(REST);
    open_ends(secure);
    struct message *got = ask("POST", "/v1//a/../b?q=1", here(), 300000, more);
    UNTIL(far_end.count == 1 && far_end.messages[0].end);
    struct message *seen = &far_end.messages[0];
    assert_int_equal(seen->body.len, 300000);
    expect_in(seen->head, ":method=POST\n");
    expect_in(seen->head, ":path=/v1/b?q=1\n");
    (void)snprintf(authority, sizeof(authority), ":authority=%s\n", here());
    expect_in(seen->head, authority);
    expect_in(seen->head, "x-own=1\n");
    expect_in(seen->head, "te=trailers\n");
    expect_in(seen->head, "via=2 openshell-sandbox\n");
    answer(seen, "200", 700000, /* trailers= */ true);
    UNTIL(got->closed);
    assert_int_equal(got->code, 0);
    assert_int_equal(got->body.len, 700000);
    expect_in(got->head, ":status=200\nx-origin=yes\n");
    expect_in(got->head, "grpc-status=0\n");
    expect_in(rig.last, "http POST ");
    close_ends();
}

static void test_allowed(void **state)
{
    (void)state;
    try_allowed(/* secure= */ true);
    try_allowed(/* secure= */ false);
}

/* Each stream is decided by itself; those that are refused do not disturb the others. */
static void test_refused(void **state)
{
    static const char *const twice[] = { "host", "other.test", NULL };
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ true);
    struct message *first = ask("GET", "/v1/a", here(), 0, NULL);
    UNTIL(far_end.count == 1);
    struct message *secret = ask("GET", "/v1/secret", here(), 0, NULL);
    struct message *posted = ask("POST", "/v1/secret", here(), 400000, NULL);
    struct message *other = ask("GET", "/v1/a", "other.test", 0, NULL);
    struct message *two = ask("GET", "/v1/a", here(), 0, twice);
    struct message *root = ask("GET", "/../x", here(), 0, NULL);
    UNTIL(secret->closed && posted->end && other->closed && two->closed && root->closed);
    expect_in(secret->head, ":status=403\ncontent-type=application/json\n");
    expect_in(secret->head, "x-openshell-policy=main\n");
    expect_in(secret->body.data, "\"error\":\"policy_denied\"");
    expect_in(secret->body.data, "\"reason\":\"deny-rule\"");
    expect_in(posted->body.data, "\"reason\":\"deny-rule\"");
    expect_in(other->body.data, "\"error\":\"request_authority_mismatch\"");
    expect_in(two->head, ":status=400\n");
    expect_in(two->body.data, "a Host that is not its authority");
    expect_in(root->body.data, "\"error\":\"invalid_request_target\"");
    assert_int_equal(far_end.count, 1);
    answer(&far_end.messages[0], "204", 0, false);
    UNTIL(first->closed);
    expect_in(first->head, ":status=204\n");
    close_ends();
}

/* What HTTP/1 could take for something else gets nowhere. */
static void test_malformed(void **state)
{
    static const struct {
        const char *const more[4];
        const char *path;
    } cases[] = {
        { { "connection", "close", NULL }, "/v1/a" },
        { { "transfer-encoding", "chunked", NULL }, "/v1/a" },
        { { "te", "gzip", NULL }, "/v1/a" },
        { { "x-line", "a\r\nb: c", NULL }, "/v1/a" },
        { { "content-length", "5", NULL }, "/v1/a" },
        { { NULL }, "/v1/a HTTP/1.1\r\nX: y" },
        { { NULL }, "/v1/ a" },
    };
    (void)state;
    publish_endpoint(REST);
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        open_ends(/* secure= */ false);
        struct message *m = ask("GET", cases[i].path, here(), 0, cases[i].more);
        UNTIL(m->closed || near_end.gone);
        bool refused = strstr(m->head, ":status=400\n") != NULL;
        bool reset = m->closed && m->code != 0;
        if (!refused && !reset && !near_end.gone)
            fail_msg("case %zu: %s", i, m->head);
        assert_int_equal(far_end.count, 0);
        close_ends();
    }
}

static void test_long_head(void **state)
{
    static char value[9000];
    static const char *const more[] = { "x-a", value, "x-b", value, NULL };
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    struct message *m = ask("GET", "/v1/a", here(), 0, more);
    UNTIL(m->closed);
    expect_in(m->head, ":status=431\n");
    assert_int_equal(far_end.count, 0);
    close_ends();
}

/* A client that does not take its response holds up that one, and no memory without end. */
static void test_flow(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    near_end.hold = true;
    struct message *slow = ask("GET", "/v1/slow", here(), 0, NULL);
    struct message *quick = ask("GET", "/v1/quick", here(), 0, NULL);
    UNTIL(far_end.count == 2);
    answer(&far_end.messages[0], "200", 8 << 20, false);
    for (unsigned i = 0; i < 2000; i++)
        round_trip();
    assert_true(far_end.messages[0].unsent > (6u << 20)); /* windows and buffers, no more */
    answer(&far_end.messages[1], "200", 10, false);
    UNTIL(quick->closed);
    assert_int_equal(quick->body.len, 10);
    near_end.hold = false;
    http2_consume(near_end.h, slow->id, slow->body.len);
    UNTIL(slow->closed);
    assert_int_equal(slow->body.len, 8 << 20);
    close_ends();
}

/* An end that gives up is an end for the other, too. */
static void test_reset(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    struct message *m = ask("POST", "/v1/a", here(), 1000, NULL);
    UNTIL(far_end.count == 1 && far_end.messages[0].end);
    http2_reset(near_end.h, m->id, HTTP2_CANCEL);
    UNTIL(far_end.messages[0].closed);
    assert_int_equal(far_end.messages[0].code, HTTP2_CANCEL);
    m = ask("GET", "/v1/b", here(), 0, NULL);
    UNTIL(far_end.count == 2);
    http2_reset(far_end.h, far_end.messages[1].id, HTTP2_REFUSED_STREAM);
    UNTIL(m->closed);
    assert_int_equal(m->code, HTTP2_REFUSED_STREAM);
    m = ask("GET", "/v1/c", here(), 0, NULL);
    UNTIL(far_end.count == 3);
    far_end.gone = true; /* in the middle of it */
    osa_close_fd(&far_end.fd);
    UNTIL(near_end.gone);
    assert_true(near_end.goaway);
    close_ends();
    for (unsigned i = 0; i < 60000 && gate_connections(rig.gate) > 0; i++)
        turn();
    assert_int_equal(gate_connections(rig.gate), 0);
}

/* The server goes in the middle of a response that the client does not take. */
static void test_lost(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    near_end.hold = true;
    (void)ask("GET", "/v1/part", here(), 0, NULL);
    UNTIL(far_end.count == 1);
    answer(&far_end.messages[0], "200", 4 << 20, false);
    for (unsigned i = 0; i < 200; i++)
        round_trip();
    far_end.gone = true;
    osa_close_fd(&far_end.fd);
    UNTIL(near_end.gone);
    assert_true(near_end.messages[0].body.len < 4u << 20);
    assert_false(near_end.messages[0].end);
    close_ends();
}

/* A response that is whole arrives, though its server is gone. */
static void test_lost_behind(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    near_end.hold = true;
    struct message *m = ask("GET", "/v1/whole", here(), 0, NULL);
    UNTIL(far_end.count == 1);
    answer(&far_end.messages[0], "200", 200000, false);
    UNTIL(far_end.messages[0].closed);
    far_end.gone = true;
    osa_close_fd(&far_end.fd);
    for (unsigned i = 0; i < 200; i++)
        round_trip();
    near_end.hold = false;
    http2_consume(near_end.h, m->id, m->body.len);
    UNTIL(m->closed);
    assert_int_equal(m->code, 0);
    assert_int_equal(m->body.len, 200000);
    UNTIL(near_end.gone);
    close_ends();
}

/* Streams that end with bytes on their way do not take room from those that follow. */
static void test_room(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    far_end.hold = true;
    for (unsigned i = 0; i < 12; i++) { /* more than a connection holds, several times */
        size_t seen = far_end.count;
        struct message *m = ask("POST", "/v1/up", here(), 2 << 20, NULL);
        UNTIL(far_end.count == seen + 1 && far_end.messages[seen].body.len >= 262144);
        for (unsigned k = 0; k < 20; k++)
            round_trip();
        http2_reset(near_end.h, m->id, HTTP2_CANCEL);
        UNTIL(far_end.messages[seen].closed);
        http2_consume(far_end.h, 0, far_end.messages[seen].body.len);
        osa_buf_done(&far_end.messages[seen].body);
    }
    far_end.hold = false;
    struct message *last = ask("POST", "/v1/up", here(), 700000, NULL);
    UNTIL(far_end.count == 13 && far_end.messages[12].end);
    answer(&far_end.messages[12], "200", 1, false);
    UNTIL(last->closed);
    close_ends();
}

/* More streams than a sandbox may have are refused, and make room again when they end. */
static void test_budget(void **state)
{
    enum { CONNECTIONS = 21 };
    static struct end ends[CONNECTIONS];
    static struct end origins[CONNECTIONS];
    static size_t refused;
    (void)state;
    publish_endpoint(REST);
    refused = 0;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        open_ends(/* secure= */ false);
        for (unsigned k = 0; k < 100; k++)
            (void)ask("GET", "/v1/a", here(), 0, NULL);
        size_t done = 0;
        for (unsigned rounds = 0; rounds < 60000 && done < 100; rounds++) {
            round_trip();
            done = far_end.count;
            for (size_t k = 0; k < near_end.count; k++)
                done += near_end.messages[k].closed;
        }
        assert_int_equal(done, 100);
        refused += 100 - far_end.count;
        ends[i] = near_end;
        origins[i] = far_end;
        ends[i].h = origins[i].h = NULL; /* their context has moved; the sockets are what counts */
        http2_free(near_end.h);
        http2_free(far_end.h);
    }
    assert_int_equal(refused, 100 * CONNECTIONS - 2048);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        end_done(&ends[i]);
        end_done(&origins[i]);
    }
    for (unsigned i = 0; i < 60000 && gate_connections(rig.gate) > 0; i++)
        turn();
    open_ends(/* secure= */ false);
    (void)ask("GET", "/v1/a", here(), 0, NULL);
    UNTIL(far_end.count == 1);
    close_ends();
}

/* A server that wants no more requests gets none. */
static void test_goaway(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    struct message *m = ask("GET", "/v1/a", here(), 0, NULL);
    UNTIL(far_end.count == 1);
    http2_end(far_end.h);
    UNTIL(near_end.goaway);
    answer(&far_end.messages[0], "200", 100000, false);
    UNTIL(m->closed);
    assert_int_equal(m->body.len, 100000);
    UNTIL(near_end.gone);
    close_ends();
}

/* CVE-2023-44487: requests that are taken back at once. */
static void test_rapid_reset(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ false);
    for (unsigned i = 0; i < 5000 && !near_end.gone; i++) {
        near_end.count = 0;
        struct http2_field fields[] = { f(":method", "GET"), f(":scheme", "http"),
                                        f(":authority", here()), f(":path", "/v1/a") };
        int32_t id = http2_request(near_end.h, fields, 4, false, NULL);
        if (id == 0)
            break;
        if (far_end.count > MESSAGES_MAX - 8)
            far_end.count = 0;
        run_end(&near_end);
        http2_reset(near_end.h, id, HTTP2_CANCEL);
        round_trip();
    }
    UNTIL(near_end.gone);
    assert_true(near_end.goaway);
    near_end.count = far_end.count = 0;
    close_ends();
}

static void test_body_rules(void **state)
{
    static const char *const json[] = { "content-type", "application/json", NULL };
    (void)state;
    publish_endpoint("protocol: json-rpc, rules: [{allow: {method: report.list}}], json_rpc: "
                     "{max_body_bytes: 1000}");
    open_ends(/* secure= */ false);
    struct message *m = ask("POST", "/rpc", here(), 500, json); /* no JSON */
    struct message *long_one = ask("POST", "/rpc", here(), 5000, json);
    UNTIL(m->end && long_one->end);
    expect_in(m->head, ":status=403\n");
    expect_in(long_one->head, ":status=400\n");
    expect_in(long_one->body.data, "a body that is longer than its endpoint allows");
    assert_int_equal(far_end.count, 0);
    close_ends();
}

static void test_credentials(void **state)
{
    static const char *const token[] = { "authorization", "Bearer openshell:resolve:env:v1_TOKEN",
                                         NULL };
    static const char *const broken[] = { "x", "openshell:resolve:env:v1_NOBODY", NULL };
    struct osa_error err = { 0 };
    (void)state;
    const struct provider_endpoint endpoint = { .host = rig.ip,
                                                .port = rig.port,
                                                .path = "/v1/**" };
    const struct provider_variable variable = { .key = "TOKEN",
                                                .value = "s3cret",
                                                .bound = true,
                                                .identity = "a",
                                                .handle = "",
                                                .endpoints = &endpoint,
                                                .endpoint_count = 1 };
    rig.providers = provider_env_new();
    assert_int_equal(provider_env_install(rig.providers, 1, &variable, 1, &err), OSA_OK);
    gate_free(rig.gate);
    open_gate(gate_limits_default());
    publish_endpoint(REST);
    open_ends(/* secure= */ true);
    struct message *m = ask("GET", "/v1/a", here(), 0, token);
    struct message *bad = ask("GET", "/v1/a", here(), 0, broken);
    UNTIL(far_end.count == 1 && bad->closed);
    expect_in(far_end.messages[0].head, "authorization=Bearer s3cret\n");
    expect_in(bad->head, ":status=500\n");
    expect_in(bad->body.data, "\"error\":\"credential_unavailable\"");
    assert_null(strstr(rig.last, "s3cret"));
    answer(&far_end.messages[0], "200", 1, false);
    UNTIL(m->closed);
    close_ends();
}

/* The policy tightens: the connection is cut, and its requests with it. */
static void test_policy_change(void **state)
{
    (void)state;
    publish_endpoint(REST);
    open_ends(/* secure= */ true);
    (void)ask("GET", "/v1/a", here(), 0, NULL);
    UNTIL(far_end.count == 1);
    publish_endpoint(REST);
    gate_policy_changed(rig.gate);
    struct message *m = ask("GET", "/v1/b", here(), 0, NULL);
    UNTIL(far_end.count == 2);
    answer(&far_end.messages[1], "200", 1, false);
    UNTIL(m->closed);
    publish(OTHER);
    gate_policy_changed(rig.gate);
    UNTIL(near_end.gone && far_end.gone);
    close_ends();
}

/* A server that speaks HTTP/1.1 alone gets that, from a client that could have both. */
static void test_server_chooses(void **state)
{
    struct osa_error err = { 0 };
    struct tls_trust *trust = NULL;
    (void)state;
    publish_endpoint(REST);
    near_end = far_end = (struct end){ 0 };
    near_end.fd = tunnel(&far_end.fd);
    osa_buf_init(&near_end.plain, 1 << 20);
    osa_buf_init(&far_end.plain, 1 << 20);
    assert_int_equal(tls_trust_new(tls_authority_pem(rig.authority), NULL, &trust, &err), OSA_OK);
    assert_int_equal(tls_connect(trust, rig.ip, TLS_HTTP1 | TLS_HTTP2, &near_end.tls, &err),
                     OSA_OK);
    assert_int_equal(tls_accept(rig.outside, rig.ip, TLS_HTTP1, &far_end.tls, &err), OSA_OK);
    tls_trust_free(trust);
    UNTIL(tls_ready(near_end.tls));
    assert_int_equal(tls_spoken(near_end.tls), TLS_HTTP1);
    assert_int_equal(tls_spoken(far_end.tls), TLS_HTTP1);
    close_ends();
}

int main(void)
{
    char ip[INET_ADDRSTRLEN];
    if (!find_address(ip)) {
        print_message("skipped: this host has no IPv4 address but loopback\n");
        return 77;
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    static const struct CMUnitTest tests[] = {
        CASE(test_allowed),        CASE(test_refused),     CASE(test_malformed),
        CASE(test_long_head),      CASE(test_flow),        CASE(test_reset),
        CASE(test_goaway),         CASE(test_lost),        CASE(test_lost_behind),
        CASE(test_room),           CASE(test_budget),      CASE(test_rapid_reset),
        CASE(test_body_rules),     CASE(test_credentials), CASE(test_policy_change),
        CASE(test_server_chooses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
