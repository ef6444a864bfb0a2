// SPDX-License-Identifier: Apache-2.0
/* The proxy's HTTP/1, tunnels, TLS and bounds. */
#include "unit/egress/rig.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void test_tunnel(void **state)
{
    (void)state;
    int far;
    int fd = tunnel(&far);
    assert_true(rig.last_allowed);
    say_text(far, "SSH-2.0-server\r\n"); /* who speaks first does not matter */
    (void)hear(fd, "server\r\n", 0);
    say_text(fd, "SSH-2.0-client\r\n");
    (void)hear(far, "client\r\n", 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    hear_end(far);
    say_text(far, "after the half close");
    (void)hear(fd, "after the half close", 0);
    osa_close_fd(&far);
    hear_end(fd);
    osa_close_fd(&fd);
    for (unsigned i = 0; i < 100 && gate_connections(rig.gate) > 0; i++)
        turn();
    assert_int_equal(gate_connections(rig.gate), 0);
}

static void test_tunnel_volume(void **state)
{
    (void)state;
    int far;
    int fd = tunnel(&far);
    static char block[3 << 20];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 7 + i / 251);
    size_t sent = 0;
    heard_len = 0;
    while (heard_len < sizeof(block)) {
        if (sent < sizeof(block)) {
            ssize_t n = send(far, block + sent, sizeof(block) - sent, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
        ssize_t n = recv(fd, heard + heard_len, sizeof(heard) - heard_len, 0);
        heard_len += n > 0 ? (size_t)n : 0;
        turn();
    }
    assert_memory_equal(heard, block, sizeof(block));
    osa_close_fd(&far);
    osa_close_fd(&fd);
}

/* A hello for @name: only what the sniffer reads is real. */
static size_t make_hello(char *out, const char *name)
{
    size_t n = strlen(name);
    size_t body = 2 + 32 + 1 + 4 + 2 + 2 + 9 + n;
    static const unsigned char fixed[] = { 0, 0, 2, 0x13, 1, 1, 0 };
    unsigned char *at = (unsigned char *)out;
    const unsigned char head[] = {
        22, 3, 1, 0, (unsigned char)(body + 4), 1, 0, 0, (unsigned char)body, 3, 3
    };
    memcpy(at, head, sizeof(head));
    at += sizeof(head);
    memset(at, 7, 32);
    at += 32;
    memcpy(at, fixed, sizeof(fixed));
    at += sizeof(fixed);
    const unsigned char extension[] = {
        0, (unsigned char)(n + 9), 0, 0, 0, (unsigned char)(n + 5), 0, (unsigned char)(n + 3), 0,
        0, (unsigned char)n
    };
    memcpy(at, extension, sizeof(extension));
    at += sizeof(extension);
    memcpy(at, name, n);
    return (size_t)(at + n - (unsigned char *)out);
}

/* peers of id 59: the name inside must be the one that was allowed. */
static void test_tls_name(void **state)
{
    (void)state;
    char hello[512];
    int far;
    int fd = tunnel(&far);
    size_t len = make_hello(hello, "elsewhere.test");
    say(fd, hello, len);
    hear_end(fd);
    hear_end(far);
    assert_int_equal(heard_len, 0);
    assert_false(rig.last_allowed);
    assert_non_null(strstr(rig.last, "|main|tls-name"));
    osa_close_fd(&far);
    osa_close_fd(&fd);
    fd = tunnel(&far);
    say(fd, "\x16\x03\x01", 3); /* a byte at a time is fine, rubbish is not */
    for (unsigned i = 0; i < 10; i++)
        turn();
    say(fd, "\x00\x05\x02\x00\x00\x00\x00", 7);
    hear_end(fd);
    hear_end(far);
    assert_int_equal(heard_len, 0);
    osa_close_fd(&far);
    osa_close_fd(&fd);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    refused("CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: x\r\n\r\n", "403 Forbidden",
            "policy_denied", "endpoint-miss");
    refused("GET http://elsewhere.test/ HTTP/1.1\r\nHost: x\r\n\r\n", "403 Forbidden",
            "policy_denied", "endpoint-miss");
    refused("CONNECT 127.1:443 HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request",
            "invalid_request_target", "http-parser");
    refused("GET /origin-form HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request",
            "invalid_request_target", "http-parser");
    refused("GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request",
            "unsupported_proxy_scheme", "http-parser");
    publish(OTHER);
    char text[128];
    (void)snprintf(text, sizeof(text), "CONNECT %s:%u HTTP/1.1\r\nHost: x\r\n\r\n", rig.ip,
                   rig.port);
    refused(text, "403 Forbidden", "policy_denied", "binary-miss");
    publish(ALLOW);
    rig.fault = POLICY_REASON_SHARED_SOCKET;
    refused(text, "403 Forbidden", "policy_denied", "shared-socket");
    no_origin();
}

/* Loopback is refused even where the policy names it. */
static void test_guard(void **state)
{
    (void)state;
    char saved[INET_ADDRSTRLEN];
    char text[128];
    (void)snprintf(saved, sizeof(saved), "%s", rig.ip);
    (void)snprintf(rig.ip, sizeof(rig.ip), "127.0.0.1");
    publish(ALLOW);
    (void)snprintf(text, sizeof(text), "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n",
                   rig.port);
    refused(text, "403 Forbidden", "ssrf_denied", "declared-endpoint");
    (void)snprintf(rig.ip, sizeof(rig.ip), "localhost");
    publish(ALLOW);
    (void)snprintf(text, sizeof(text), "GET http://localhost:%u/ HTTP/1.1\r\nHost: x\r\n\r\n",
                   rig.port);
    refused(text, "403 Forbidden", "ssrf_denied", "declared-endpoint");
    no_origin();
    (void)snprintf(rig.ip, sizeof(rig.ip), "%s", saved);
}

/* peers of ids 60 and 62: 400, the end, and nothing upstream. */
static void test_smuggling(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\t\x0b\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "X: a\r\n folded\r\n\r\n",
        "X: a\n\r\n\r\n",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Host: twice\r\n\r\n",
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(heads); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), "POST http://%s:%u/ HTTP/1.1\r\nHost: x\r\n%s", rig.ip,
                       rig.port, heads[i]);
        refused(text, "400 Bad Request", "bad_request", "http-parser");
        no_origin();
    }
    refused("GET / HTTP/1.1\nHost: x\n\n", "400 Bad Request", "bad_request", "http-parser");
    int fd = client();
    say_text(fd, "GET http://x/ HTTP/1.1\r\nHost: x\r\nA: ");
    for (unsigned i = 0; i < 17; i++) {
        char kib[1024];
        memset(kib, 'a', sizeof(kib));
        if (send(fd, kib, sizeof(kib), MSG_NOSIGNAL) < 0)
            break;
        turn();
    }
    expect_refusal(fd, "431 Request Header Fields Too Large", "request_head_too_large",
                   "http-parser");
    osa_close_fd(&fd);
}

/* ---- requests ---- */

static void test_forward(void **state)
{
    (void)state;
    char want[512];
    int fd = client();
    get(fd, "/a%20b?q=1",
        "Proxy-Connection: keep-alive\r\nX-Mine: 1\r\nConnection: X-Hop\r\n"
        "X-Hop: 1\r\nProxy-Authorization: Basic eA==\r\n");
    int far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    (void)snprintf(want, sizeof(want),
                   "GET /a%%20b?q=1 HTTP/1.1\r\nHost: %s:%u\r\nX-Mine: 1\r\n"
                   "Via: 1.1 openshell-sandbox\r\n\r\n",
                   rig.ip, rig.port);
    assert_string_equal(heard, want);
    (void)snprintf(want, sizeof(want), "forward GET %s:%u/a%%20b|main|", rig.ip, rig.port);
    assert_string_equal(rig.last, want);
    say_text(far, "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nKeep-Alive: x\r\nY: z\r\n\r\nhello");
    (void)hear(fd, "hello", 0);
    assert_string_equal(heard, "HTTP/1.1 200 Fine\r\nY: z\r\nContent-Length: 5\r\n\r\nhello");
    /* The same two connections serve the next one. */
    get(fd, "", "");
    (void)hear(far, "\r\n\r\n", 0);
    assert_int_equal(strncmp(heard, "GET / HTTP/1.1\r\n", 16), 0);
    say_text(far, "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n");
    (void)hear(fd, "\r\n\r\n", 0);
    assert_string_equal(heard, "HTTP/1.1 204 No Content\r\n\r\n");
    /* A body that ends with its connection becomes one in chunks, and an idle server may go. */
    get(fd, "/3", "");
    (void)hear(far, "\r\n\r\n", 0);
    say_text(far, "HTTP/1.0 200 OK\r\n\r\nto the end");
    osa_close_fd(&far);
    (void)hear(fd, "0\r\n\r\n", 0);
    assert_string_equal(heard, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "a\r\nto the end\r\n0\r\n\r\n");
    get(fd, "/4", "Connection: close\r\n");
    far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    say_text(far, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n"
                  "Content-Length: 7\r\n\r\n");
    hear_end(fd);
    assert_string_equal(heard, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n"
                               "Content-Length: 7\r\nConnection: close\r\n\r\n");
    osa_close_fd(&fd);
    osa_close_fd(&far);
}

static void test_bodies(void **state)
{
    (void)state;
    char text[512];
    int fd = client();
    (void)snprintf(text, sizeof(text),
                   "POST http://%s:%u/p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3;ext=1\r\nabc\r\n2\r\n",
                   rig.ip, rig.port);
    say_text(fd, text);
    int far = origin_accept();
    (void)hear(far, "abc\r\n", 0);
    assert_non_null(strstr(heard, "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
    /* What follows the last chunk is the next request, whatever it looks like. */
    (void)snprintf(text, sizeof(text),
                   "de\r\n0\r\nTrailer: x\r\n\r\n"
                   "GET http://%s:%u/next HTTP/1.1\r\nHost: x\r\n\r\n",
                   rig.ip, rig.port);
    say_text(fd, text);
    (void)hear(far, "0\r\n\r\n", 0);
    assert_string_equal(heard, "2\r\nde\r\n0\r\n\r\n");
    say_text(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    (void)hear(fd, "0\r\n\r\n", 0);
    (void)hear(far, "\r\n\r\n", 0);
    assert_int_equal(strncmp(heard, "GET /next HTTP/1.1\r\n", 20), 0);
    say_text(far, "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n");
    (void)hear(fd, "\r\n\r\n", 0);
    static char block[2000000];
    memset(block, 'z', sizeof(block));
    size_t sent = 0;
    size_t got = 0;
    while (got < sizeof(block)) {
        ssize_t n = send(far, block + sent, sizeof(block) - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        n = recv(fd, heard, sizeof(heard), 0);
        got += n > 0 ? (size_t)n : 0;
        turn();
    }
    assert_int_equal(got, sizeof(block));
    osa_close_fd(&fd);
    osa_close_fd(&far);
}

/* A body that goes wrong after its head went out: the origin gets no end of it. */
static void test_broken_body(void **state)
{
    (void)state;
    char text[512];
    int fd = client();
    (void)snprintf(text, sizeof(text),
                   "POST http://%s:%u/p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                   rig.ip, rig.port);
    say_text(fd, text);
    int far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    say_text(fd, "3\r\nabcX");
    hear_end(far);
    assert_null(strstr(heard, "0\r\n\r\n"));
    expect_refusal(fd, "400 Bad Request", "bad_request", "http-parser");
    osa_close_fd(&fd);
    osa_close_fd(&far);
    /* And a response that is cut off does not look whole. */
    fd = client();
    get(fd, "/", "");
    far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    say_text(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    osa_close_fd(&far);
    hear_end(fd);
    assert_null(strstr(heard, "0\r\n\r\n"));
    osa_close_fd(&fd);
    fd = client();
    get(fd, "/", "");
    far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    say_text(far, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
    expect_refusal(fd, "502 Bad Gateway", "upstream_unreachable", "unreachable");
    osa_close_fd(&far);
    osa_close_fd(&fd);
}

static void test_upgrade(void **state)
{
    (void)state;
    int fd = client();
    get(fd, "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    int far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    assert_non_null(strstr(heard, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    say_text(far, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\n\r\nfirst");
    (void)hear(fd, "first", 0);
    assert_non_null(strstr(heard, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst"));
    say_text(fd, "up");
    (void)hear(far, "up", 0);
    say_text(far, "down");
    (void)hear(fd, "down", 0);
    osa_close_fd(&far);
    hear_end(fd);
    osa_close_fd(&fd);
    fd = client(); /* unasked */
    get(fd, "/", "");
    far = origin_accept();
    (void)hear(far, "\r\n\r\n", 0);
    say_text(far, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    expect_refusal(fd, "502 Bad Gateway", "upstream_unreachable", "unreachable");
    osa_close_fd(&far);
    osa_close_fd(&fd);
}

static void test_policy_local(void **state)
{
    (void)state;
    int fd = client();
    say_text(fd,
             "GET http://policy.local/v1/policy/current HTTP/1.1\r\nHost: policy.local\r\n\r\n");
    hear_end(fd);
    assert_int_equal(strncmp(heard, "HTTP/1.1 404 Not Found\r\n", 24), 0);
    assert_non_null(strstr(heard,
                           "{\"error\":\"feature_disabled\",\"detail\":\"policy proposals are "
                           "not enabled\""));
    osa_close_fd(&fd);
    fd = client();
    say_text(fd, "GET http://policy.local:81/ HTTP/1.1\r\nHost: policy.local\r\n\r\n");
    hear_end(fd);
    assert_int_equal(strncmp(heard, "HTTP/1.1 400 Bad Request\r\n", 26), 0);
    assert_non_null(strstr(heard, "\"invalid_policy_local_scheme\""));
    osa_close_fd(&fd);
    assert_int_equal(rig.records, 0); /* neither identity nor policy was asked */
}

static void test_unreachable(void **state)
{
    (void)state;
    osa_close_fd(&rig.origin);
    rig.origin = -1;
    int fd = client();
    get(fd, "/", "");
    expect_refusal(fd, "502 Bad Gateway", "upstream_unreachable", "unreachable");
    osa_close_fd(&fd);
}

/* ---- rules about requests ---- */

static void post(int fd, const char *path, const char *more, const char *body)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "POST http://%s:%u%s HTTP/1.1\r\nHost: other\r\n%s\r\n%s",
                   rig.ip, rig.port, path, more, body);
    say_text(fd, text);
}

static void expect_forwarded(int far, const char *line)
{
    (void)hear(far, "\r\n\r\n", 0);
    if (strncmp(heard, line, strlen(line)) != 0)
        fail_msg("not %s but %s", line, heard);
}

static void answer_empty(int far, int fd)
{
    say_text(far, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)hear(fd, "Content-Length: 0\r\n\r\n", 0);
}

#define REST                                                                                       \
    "protocol: rest, rules: [{allow: {method: GET, path: '/v1/items/*'}}], "                       \
    "deny_rules: [{method: GET, path: /v1/items/secret}]"

static void test_rest(void **state)
{
    (void)state;
    publish_endpoint(REST);
    int fd = client();
    get(fd, "/v1//items/./a%62c;x=1?q=%41", "");
    int far = origin_accept();
    expect_forwarded(far, "GET /v1/items/abc?q=%41 HTTP/1.1\r\n"); /* what was decided on */
    answer_empty(far, fd);
    get(fd, "/v1/items/secret", "");
    expect_refusal(fd, "403 Forbidden", "policy_denied", "deny-rule");
    hear_end(far);
    osa_close_fd(&far);
    osa_close_fd(&fd);
    fd = client();
    post(fd, "/v1/items/1", "Content-Length: 0\r\n", "");
    hear_end(fd);
    static const char *const keys[] = {
        "{\"error\":\"policy_denied\",\"policy\":\"main\",\"rule\":\"POST "
        "/v1/items/1\",\"detail\":\"",
        "\"reason\":\"not-permitted\",\"layer\":\"l7\",\"protocol\":\"rest\",\"method\":\"POST\","
        "\"path\":\"/v1/items/1\",\"host\":\"",
        "\"binary\":\"/usr/bin/app\",\"rule_missing\":{\"type\":\"rest_allow\",\"layer\":\"l7\","
        "\"method\":\"POST\",\"path\":\"/v1/items/1\",\"host\":\"",
        "\"next_steps\":[]}",
        "\r\nX-OpenShell-Policy: main\r\n",
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(keys); i++) {
        if (strstr(heard, keys[i]) == NULL)
            fail_msg("no %s in %s", keys[i], heard);
    }
    osa_close_fd(&fd);
    fd = client();
    get(fd, "/v1/items/a%2Fb", "");
    expect_refusal(fd, "400 Bad Request", "invalid_request_target", "target-invalid");
    osa_close_fd(&fd);
    no_origin();
}

static void test_audit(void **state)
{
    (void)state;
    publish_endpoint("protocol: rest, rules: [{allow: {method: GET, path: /a}}]");
    int fd = client();
    get(fd, "/b", "");
    expect_refusal(fd, "403 Forbidden", "policy_denied", "not-permitted");
    osa_close_fd(&fd);
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "version: 1\nnetwork_policies:\n  main:\n    endpoints:\n"
                   "    - {host: '%s', port: %u, protocol: rest, enforcement: audit, "
                   "rules: [{allow: {method: GET, path: /a}}]}\n"
                   "    binaries: [{path: /usr/bin/app}]\n",
                   rig.ip, rig.port);
    publish_document(text);
    fd = client();
    get(fd, "/b", "");
    int far = origin_accept();
    expect_forwarded(far, "GET /b HTTP/1.1\r\n");
    assert_true(rig.last_allowed);
    answer_empty(far, fd);
    osa_close_fd(&fd);
    osa_close_fd(&far);
}

/* Bodies are read before anything goes out, whatever their framing. */
static void test_json_rpc(void **state)
{
    (void)state;
    publish_endpoint("protocol: json-rpc, rules: [{allow: {method: report.list}}], "
                     "json_rpc: {max_body_bytes: 200}");
    int fd = client();
    post(fd, "/rpc", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
         "13\r\n{\"jsonrpc\":\"2.0\",\"i\r\n");
    (void)hear(fd, "\r\n\r\n", 0);
    assert_string_equal(heard, "HTTP/1.1 100 Continue\r\n\r\n");
    no_origin();
    say_text(fd, "1b\r\nd\":1,\"method\":\"report.list\"\r\n1\r\n}\r\n0\r\n\r\n");
    int far = origin_accept();
    (void)hear(far, "}", 0);
    assert_non_null(strstr(heard, "\r\nContent-Length: 47\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,"
                                  "\"method\":\"report.list\"}"));
    assert_null(strstr(heard, "Expect"));
    answer_empty(far, fd);
    static const char drop[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"report.drop\"}";
    char more[64];
    (void)snprintf(more, sizeof(more), "Content-Length: %zu\r\n", sizeof(drop) - 1);
    post(fd, "/rpc", more, drop);
    expect_refusal(fd, "403 Forbidden", "policy_denied", "not-permitted");
    hear_end(far);
    osa_close_fd(&far);
    osa_close_fd(&fd);
    fd = client();
    post(fd, "/rpc", "Content-Length: 1000\r\n", "");
    char filler[1000];
    memset(filler, ' ', sizeof(filler));
    say(fd, filler, sizeof(filler));
    expect_refusal(fd, "400 Bad Request", "bad_request", "http-parser");
    osa_close_fd(&fd);
    no_origin();
}

static void test_graphql(void **state)
{
    (void)state;
    publish_endpoint("protocol: graphql, rules: [{allow: {operation_type: query, fields: "
                     "[viewer]}}]");
    static const char *const bodies[] = { "{\"query\":\"{viewer{id}}\"}",
                                          "{\"query\":\"{secret{id}}\"}", "not json" };
    static const char *const reasons[] = { NULL, "graphql-blocked", "graphql-invalid" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(bodies); i++) {
        char more[64];
        int fd = client();
        (void)snprintf(more, sizeof(more),
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                       strlen(bodies[i]));
        post(fd, "/graphql", more, bodies[i]);
        if (reasons[i] == NULL) {
            int far = origin_accept();
            (void)hear(far, bodies[i], 0);
            osa_close_fd(&far);
        } else {
            expect_refusal(fd, "403 Forbidden", "policy_denied", reasons[i]);
            no_origin();
        }
        osa_close_fd(&fd);
    }
}

#define WEBSOCKET                                                                                  \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static int open_websocket(int *ret_far)
{
    int fd = client();
    get(fd, "/ws", WEBSOCKET);
    *ret_far = origin_accept();
    (void)hear(*ret_far, "\r\n\r\n", 0);
    say_text(*ret_far, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\n\r\n");
    (void)hear(fd, "\r\n\r\n", 0);
    return fd;
}

static void test_websocket(void **state)
{
    (void)state;
    static const char text[] = "\x81\x82\1\2\3\4ab";
    static const char binary[] = "\x82\x82\1\2\3\4ab";
    static const char ping[] = "\x89\x80\1\2\3\4";
    int far;
    publish_endpoint("protocol: websocket, access: read-write");
    int fd = open_websocket(&far);
    say(fd, text, sizeof(text) - 1);
    (void)hear(far, NULL, sizeof(text) - 1);
    assert_memory_equal(heard, text, sizeof(text) - 1);
    osa_close_fd(&fd);
    osa_close_fd(&far);
    publish_endpoint("protocol: websocket, access: read-only");
    fd = open_websocket(&far);
    say(fd, ping, sizeof(ping) - 1);
    say(fd, binary, 3);
    say(fd, binary + 3, sizeof(binary) - 4);
    (void)hear(far, NULL, sizeof(ping) + sizeof(binary) - 2);
    say_text(far, "down");
    (void)hear(fd, "down", 0);
    say(fd, text, sizeof(text) - 1);
    hear_end(fd);
    assert_int_equal(heard_len, 4);
    assert_memory_equal(heard, "\x88\x02\x03\xf0", 4); /* 1008 */
    hear_end(far);
    assert_int_equal(heard_len, 0);
    osa_close_fd(&fd);
    osa_close_fd(&far);
    fd = client(); /* not an upgrade, and one to something else */
    get(fd, "/ws", "");
    expect_refusal(fd, "403 Forbidden", "policy_denied", "upgrade-required");
    osa_close_fd(&fd);
    fd = client();
    get(fd, "/ws", "Connection: Upgrade\r\nUpgrade: h2c\r\n");
    expect_refusal(fd, "403 Forbidden", "unsupported_l7_protocol", "unsupported-protocol");
    osa_close_fd(&fd);
}

/* ---- inside tunnels ---- */

/* In plain text, as some clients do it. */
static void test_inside_plain(void **state)
{
    (void)state;
    char text[256];
    int far;
    publish_endpoint(REST);
    int fd = tunnel(&far);
    (void)snprintf(text, sizeof(text), "GET /v1/items/1 HTTP/1.1\r\nHost: %s:%u\r\n\r\n", rig.ip,
                   rig.port);
    say_text(fd, text);
    expect_forwarded(far, "GET /v1/items/1 HTTP/1.1\r\n");
    answer_empty(far, fd);
    say_text(fd, "GET /v1/items/1 HTTP/1.1\r\nHost: other.test\r\n\r\n");
    expect_refusal(fd, "403 Forbidden", "request_authority_mismatch", "request-authority");
    hear_end(far);
    osa_close_fd(&far);
    osa_close_fd(&fd);
    fd = tunnel(&far);
    say_text(fd, "SSH-2.0-x\r\n\r\n"); /* no HTTP where there are rules about it */
    expect_refusal(fd, "403 Forbidden", "unsupported_l7_protocol", "unsupported-protocol");
    hear_end(far);
    assert_int_equal(heard_len, 0);
    osa_close_fd(&far);
    osa_close_fd(&fd);
}

static void test_inside_tls(void **state)
{
    (void)state;
    struct secure near;
    struct secure far;
    char text[256];
    publish_endpoint(REST);
    secure_pair(&near, &far, rig.outside);
    (void)snprintf(text, sizeof(text), "GET /v1/items/1 HTTP/1.1\r\nHost: %s:%u\r\n\r\n", rig.ip,
                   rig.port);
    assert_true(tls_write(near.tls, text, strlen(text)));
    until_text(&near, &far, &far, "\r\n\r\n");
    assert_int_equal(strncmp(far.text.data, "GET /v1/items/1 HTTP/1.1\r\n", 26), 0);
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_true(tls_write(far.tls, answer, sizeof(answer) - 1));
    until_text(&near, &far, &near, "\r\n\r\nhello");
    osa_buf_reset(&near.text);
    (void)snprintf(text, sizeof(text), "GET /v1/items/secret HTTP/1.1\r\nHost: %s:%u\r\n\r\n",
                   rig.ip, rig.port);
    assert_true(tls_write(near.tls, text, strlen(text)));
    until_text(&near, NULL, &near, "\"reason\":\"deny-rule\"");
    assert_int_equal(strncmp(near.text.data, "HTTP/1.1 403 Forbidden\r\n", 24), 0);
    secure_done(&near);
    secure_done(&far);
}

/* peers of id 64: a server that nobody vouches for gets nothing. */
static void test_untrusted_server(void **state)
{
    (void)state;
    struct secure near;
    struct secure far;
    char text[256];
    secure_pair(&near, &far, rig.authority); /* not the one that the proxy trusts outside */
    (void)snprintf(text, sizeof(text), "GET /x HTTP/1.1\r\nHost: %s:%u\r\n\r\n", rig.ip, rig.port);
    assert_true(tls_write(near.tls, text, strlen(text)));
    until_text(&near, &far, &near, "\"reason\":\"unreachable\"");
    assert_int_equal(strncmp(near.text.data, "HTTP/1.1 502 Bad Gateway\r\n", 26), 0);
    assert_non_null(strstr(near.text.data, "\"detail\":\"its certificate: "));
    assert_int_equal(far.text.len, 0);
    secure_done(&near);
    secure_done(&far);
}

/* Without an authority nothing is looked into, and where rules want it nothing goes out. */
static void test_no_authority(void **state)
{
    (void)state;
    char text[128];
    struct tls_authority *saved = rig.authority;
    gate_free(rig.gate);
    rig.authority = NULL;
    open_gate(gate_limits_default());
    publish_endpoint(REST);
    (void)snprintf(text, sizeof(text), "CONNECT %s:%u HTTP/1.1\r\nHost: x\r\n\r\n", rig.ip,
                   rig.port);
    refused(text, "503 Service Unavailable", "tls_termination_unavailable",
            "tls-termination-unavailable");
    no_origin();
    rig.authority = saved;
}

/* A CONNECT has no body for us and may have one for the server, which would take the next head for it. */
static void test_connect_in_a_tunnel(void **state)
{
    (void)state;
    char text[256];
    int far;
    publish_endpoint("protocol: rest, access: full");
    int fd = tunnel(&far);
    (void)snprintf(text, sizeof(text),
                   "CONNECT /a HTTP/1.1\r\nHost: %s:%u\r\nContent-Length: 9\r\n\r\nunchecked",
                   rig.ip, rig.port);
    say_text(fd, text);
    expect_refusal(fd, "400 Bad Request", "bad_request", "http-parser");
    hear_end(far);
    assert_string_equal(heard, "");
    osa_close_fd(&far);
    osa_close_fd(&fd);
}

/* ---- bounds and changes ---- */

static void test_policy_change(void **state)
{
    (void)state;
    int far;
    int fd = tunnel(&far);
    publish(ALLOW);
    gate_policy_changed(rig.gate);
    say_text(fd, "still there");
    (void)hear(far, "still there", 0);
    publish(OTHER);
    gate_policy_changed(rig.gate);
    hear_end(fd);
    hear_end(far);
    assert_non_null(strstr(rig.last, "policy-changed"));
    assert_int_equal(gate_connections(rig.gate), 0);
    osa_close_fd(&fd);
    osa_close_fd(&far);
}

static void test_bounds(void **state)
{
    (void)state;
    struct gate_limits limits = gate_limits_default();
    limits.connections = 2;
    limits.head_ns = 300 * OSA_NS_PER_MS;
    gate_free(rig.gate);
    open_gate(limits);
    int far;
    int first = tunnel(&far);
    int slow = client();
    say_text(slow, "GET http://");
    int third = client();
    say_text(third, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for (unsigned i = 0; i < 20; i++)
        turn();
    assert_int_equal(gate_connections(rig.gate), 2);
    hear_end(slow); /* its time is over, which makes room */
    expect_refusal(third, "400 Bad Request", "invalid_request_target", "http-parser");
    say_text(first, "fine");
    (void)hear(far, "fine", 0);
    osa_close_fd(&first);
    osa_close_fd(&far);
    osa_close_fd(&slow);
    osa_close_fd(&third);
}

int main(void)
{
    char ip[INET_ADDRSTRLEN];
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (!find_address(ip)) {
        print_message("skipped: this host has no IPv4 address but loopback\n");
        return 77;
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    static const struct CMUnitTest tests[] = {
        CASE(test_tunnel),
        CASE(test_tunnel_volume),
        CASE(test_tls_name),
        CASE(test_refusals),
        CASE(test_guard),
        CASE(test_smuggling),
        CASE(test_forward),
        CASE(test_bodies),
        CASE(test_broken_body),
        CASE(test_upgrade),
        CASE(test_unreachable),
        CASE(test_policy_change),
        CASE(test_connect_in_a_tunnel),
        CASE(test_bounds),
        CASE(test_rest),
        CASE(test_audit),
        CASE(test_json_rpc),
        CASE(test_graphql),
        CASE(test_websocket),
        CASE(test_inside_plain),
        CASE(test_inside_tls),
        CASE(test_untrusted_server),
        CASE(test_no_authority),
        CASE(test_policy_local),
    };
    return cmocka_run_group_tests_name("egress gate", tests, NULL, NULL);
}
