// SPDX-License-Identifier: Apache-2.0
/* The life of a connection: its request heads, its steps, its end. */
#include "egress/conn.h"

#include "egress/streams.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/tcp.h"
#include "egress/resolver.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

/* What a client may still send after our answer before its connection is cut. */
#define LINGER_NS OSA_NS_PER_SEC

static void on_client(struct osa_source *source, unsigned events)
{
    (void)events;
    conn_step(OSA_CONTAINER_OF(source, struct conn, client.source));
}

static void on_server(struct osa_source *source, unsigned events)
{
    (void)events;
    struct conn *conn = OSA_CONTAINER_OF(source, struct conn, server.source);
    if (conn->state == CONN_DIAL)
        conn_dial_step(conn);
    else
        conn_step(conn);
}

static void on_time(struct osa_timer *timer)
{
    struct conn *conn = OSA_CONTAINER_OF(timer, struct conn, timer);
    if (conn->state == CONN_DIAL) {
        conn_dial_step(conn);
    } else if (conn->state == CONN_RESOLVE || conn->state == CONN_PARENT) {
        conn_refuse(conn, 504, "upstream_unreachable", "timeout",
                    conn->state == CONN_RESOLVE ? "the target's name was not resolved in time"
                                                : "the proxy outside gave no answer in time");
        conn_step(conn);
    } else if (conn->state == CONN_SECURE) {
        if (inside_timeout(conn))
            conn_step(conn);
    } else {
        conn_free(conn);
    }
}

static void on_again(struct osa_timer *timer)
{
    conn_step(OSA_CONTAINER_OF(timer, struct conn, again));
}

void conn_arm(struct conn *conn, int64_t delay_ns)
{
    osa_timer_arm(conn->gate->config.loop, &conn->timer, osa_deadline_after(delay_ns));
}

/* What the address stands for that the client wanted. Return: false when it is gone, or was none. */
static bool find_target(struct conn *conn)
{
    struct sockaddr_storage original;
    struct sockaddr_in v4;
    if (osa_tcp_original(conn->client.source.fd, &original, NULL) != OSA_OK)
        return false;
    memcpy(&v4, &original, sizeof(v4));
    const char *name = resolver_name(conn->gate->config.resolver, ntohl(v4.sin_addr.s_addr));
    conn->target.port = ntohs(v4.sin_port);
    if (name != NULL)
        (void)snprintf(conn->target.host, sizeof(conn->target.host), "%s", name);
    return name != NULL;
}

/* A tunnel, whose CONNECT is that a program connected. */
static void begin_redirected(struct conn *conn)
{
    conn->redirected = conn->tunnel = true;
    if (find_target(conn)) {
        conn_identify(conn);
        return;
    }
    conn_record(conn, "tcp", NULL, (struct head_span){ NULL, 0 }, "mapping-missing",
                "the address stands for no name that the sandbox has asked for");
    conn_free(conn);
}

void conn_new(struct gate *gate, int fd, bool redirected, const struct sockaddr_storage *ends)
{
    const int one = 1;
    struct conn *conn = calloc(1, sizeof(*conn));
    if (conn != NULL && ends != NULL) {
        conn->ends = malloc(2 * sizeof(*ends));
        if (conn->ends == NULL)
            abort();
        memcpy(conn->ends, ends, 2 * sizeof(*ends));
    }
    if (conn == NULL || osa_set_nonblocking(fd, true, NULL) != OSA_OK) {
        osa_close_fd(&fd);
        if (conn != NULL)
            free(conn->ends);
        free(conn);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    conn->gate = gate;
    conn->timer.fire = on_time;
    conn->again.fire = on_again;
    stream_init(&conn->client, gate->config.loop, on_client);
    stream_init(&conn->server, gate->config.loop, on_server);
    stream_open(&conn->client, fd);
    DL_APPEND(gate->conns, conn);
    gate->count++;
    conn_arm(conn, gate->config.limits.head_ns);
    if (redirected)
        begin_redirected(conn);
    else
        conn_step(conn);
}

void conn_free(struct conn *conn)
{
    struct gate *gate = conn->gate;
    DL_DELETE(gate->conns, conn);
    if (conn->ticket != NULL)
        conn->ticket->conn = NULL;
    dns_cancel(conn->query);
    osa_timer_disarm(&conn->timer);
    osa_timer_disarm(&conn->again);
    stream_close(&conn->client);
    stream_close(&conn->server);
    frames_free(conn->frames);
    osa_mover_done(&conn->up);
    osa_mover_done(&conn->down);
    exchange_free(conn->exchange);
    streams_free(conn->streams);
    policy_engine_unref(conn->engine);
    free(conn->addresses);
    free(conn->parents);
    free(conn->peer);
    free(conn->ends);
    free(conn);
    gate_conn_gone(gate);
}

/* ---- heads ---- */

static bool has_bare_lf(const char *data, size_t len)
{
    const char *at = data;
    while (len > 0 && (at = memchr(at, '\n', len - (size_t)(at - data))) != NULL) {
        if (at == data || at[-1] != '\r')
            return true;
        at++;
    }
    return false;
}

static void bad_request(struct conn *conn, unsigned status, const char *fault)
{
    char detail[160];
    (void)snprintf(detail, sizeof(detail), "the request has %s", fault);
    conn_record(conn, "request", NULL, (struct head_span){ NULL, 0 }, "http-parser", detail);
    conn_reply(conn, status, status == 431 ? "request_head_too_large" : "bad_request", detail,
               "http-parser");
}

/* Return: false when @conn is gone or has another state now. */
static bool read_head(struct conn *conn)
{
    struct osa_buf *in = &conn->client.in;
    struct head head;
    for (;;) {
        size_t len = head_end(in->data, in->len);
        const char *fault = NULL;
        if (len == 0 && has_bare_lf(in->data, in->len))
            fault = "a line that does not end with CR LF";
        if (len > 0)
            fault = head_parse(in->data, len, /* response= */ false, &head);
        if (fault != NULL) {
            bad_request(conn, 400, fault);
            return true;
        }
        if (len > 0) {
            conn_begin(conn, len, &head);
            return false;
        }
        if (in->len >= HEAD_MAX_BYTES) {
            bad_request(conn, 431, "a head of more than 16384 bytes");
            return true;
        }
        ssize_t n = stream_fill(&conn->client);
        if (n == -EAGAIN)
            return true;
        if (n <= 0) {
            conn_free(conn);
            return false;
        }
    }
}

/* ---- our own answers ---- */

static bool reply_step(struct conn *conn)
{
    ssize_t n = stream_flush(&conn->client);
    if (n == -EAGAIN)
        return true;
    if (n < 0) {
        conn_free(conn);
        return false;
    }
    if (stream_waits(&conn->client))
        return true;
    if (!conn->lingering) { /* closing with bytes unread would reset the answer away */
        conn->lingering = true;
        stream_end(&conn->client);
        conn_arm(conn, LINGER_NS);
    }
    n = 1;
    for (unsigned i = 0; i < STEP_ROUNDS && n > 0; i++) {
        osa_buf_reset(&conn->client.in);
        n = stream_fill(&conn->client);
    }
    if (n > 0) /* one that writes on and on has its turn, as others have theirs */
        osa_timer_arm(conn->gate->config.loop, &conn->again, osa_now_ns());
    if (n > 0 || n == -EAGAIN)
        return true;
    conn_free(conn);
    return false;
}

/* ---- steps ---- */

static void want(struct conn *conn)
{
    unsigned client = 0;
    unsigned server = 0;
    switch (conn->state) {
    case CONN_HEAD:
        client = OSA_READ | (stream_waits(&conn->client) ? (unsigned)OSA_WRITE : 0u);
        server = stream_waits(&conn->server) ? (unsigned)OSA_WRITE : 0u;
        break;
    case CONN_BODY:
        client = OSA_READ | (stream_waits(&conn->client) ? (unsigned)OSA_WRITE : 0u);
        break;
    case CONN_IDENTIFY:
    case CONN_RESOLVE:
        break;
    case CONN_DIAL:
        server = OSA_WRITE;
        break;
    case CONN_SECURE:
        server = OSA_READ | (stream_waits(&conn->server) ? (unsigned)OSA_WRITE : 0u);
        break;
    case CONN_STREAMS:
        streams_want(conn, &client, &server);
        break;
    case CONN_PARENT:
        server = OSA_READ | (stream_waits(&conn->server) ? (unsigned)OSA_WRITE : 0u);
        break;
    case CONN_SNIFF:
    case CONN_TUNNEL:
        tunnel_want(conn, &client, &server);
        break;
    case CONN_EXCHANGE:
        exchange_want(conn, &client, &server);
        break;
    case CONN_REPLY:
        client = conn->lingering ? (unsigned)OSA_READ : (unsigned)(OSA_READ | OSA_WRITE);
        break;
    }
    if (!stream_want(&conn->client, client) || !stream_want(&conn->server, server))
        conn_free(conn);
}

void conn_step(struct conn *conn)
{
    bool alive = true;
    switch (conn->state) {
    case CONN_HEAD:
        (void)stream_flush(&conn->client);
        if (stream_is_open(&conn->server))
            (void)stream_flush(&conn->server);
        alive = read_head(conn);
        break;
    case CONN_BODY:
        alive = exchange_body_step(conn);
        break;
    case CONN_IDENTIFY:
    case CONN_RESOLVE:
    case CONN_DIAL:
        break;
    case CONN_SECURE:
        alive = inside_step(conn);
        if (alive && conn->state != CONN_SECURE) {
            conn_step(conn);
            return;
        }
        break;
    case CONN_STREAMS:
        alive = streams_step(conn);
        break;
    case CONN_PARENT:
        alive = dial_parent_step(conn);
        break;
    case CONN_SNIFF:
    case CONN_TUNNEL:
        alive = tunnel_step(conn);
        break;
    case CONN_EXCHANGE:
        alive = exchange_step(conn);
        break;
    case CONN_REPLY:
        alive = reply_step(conn);
        break;
    }
    if (alive)
        want(conn);
}

void conn_recheck(struct conn *conn)
{
    if (conn->local)
        return; /* leads nowhere */
    switch (conn->state) {
    case CONN_HEAD:
        if (conn->inside)
            break;
        return;
    case CONN_IDENTIFY:
    case CONN_REPLY:
        return; /* decides, if at all, under what is in force then */
    case CONN_BODY:
    case CONN_RESOLVE:
    case CONN_DIAL:
    case CONN_PARENT:
    case CONN_SNIFF:
    case CONN_SECURE:
    case CONN_STREAMS:
    case CONN_TUNNEL:
    case CONN_EXCHANGE:
        break;
    }
    if (conn_regrant(conn))
        return;
    conn_record(conn, conn->tunnel ? "connect" : "forward", exchange_head(conn),
                (struct head_span){ NULL, 0 }, "policy-changed",
                "the policy changed and no longer allows the connection");
    if (conn->state == CONN_RESOLVE || conn->state == CONN_DIAL || conn->state == CONN_PARENT) {
        conn_reply(conn, 403, "policy_denied",
                   "the policy changed and no longer allows the connection", "policy-changed");
        conn_step(conn);
    } else {
        conn_free(conn);
    }
}

void conn_record(struct conn *conn, const char *kind, const struct head *head,
                 struct head_span path, const char *reason, const char *detail)
{
    char target[TARGET_TEXT_SIZE] = "";
    char method[32] = "";
    char cut[512] = "";
    if (conn->target.host[0] != '\0')
        (void)target_text(&conn->target, target);
    if (head != NULL && head->method.at != NULL)
        (void)snprintf(method, sizeof(method), "%.*s", (int)OSA_MIN(head->method.len, (size_t)31),
                       head->method.at);
    if (path.at != NULL) {
        const char *query = memchr(path.at, '?', path.len);
        size_t len = query != NULL ? (size_t)(query - path.at) : path.len;
        (void)snprintf(cut, sizeof(cut), "%.*s", (int)OSA_MIN(len, sizeof(cut) - 1), path.at);
    }
    const struct gate_record record = {
        .allowed = reason == NULL,
        .kind = conn->redirected ? "tcp" : kind,
        .target = target,
        .host = conn->target.host,
        .port = conn->target.port,
        .method = method,
        .path = cut,
        .exe = conn->peer != NULL && conn->peer->exe != NULL ? conn->peer->exe : "",
        .pid = conn->peer != NULL ? conn->peer->pid : 0,
        .ancestors = conn->peer != NULL ? conn->peer->ancestors : NULL,
        .ancestor_count = conn->peer != NULL ? conn->peer->ancestor_count : 0,
        .rule = conn->grant.allow ? conn->grant.rule->key : "",
        .reason = reason != NULL ? reason : "",
        .detail = detail != NULL ? detail : "",
    };
    conn->gate->config.events->record(conn->gate->config.events, &record);
}
