// SPDX-License-Identifier: Apache-2.0
/*
 * Tunnels: after CONNECT, and after an upgrade. Bytes move without being looked at, but for the
 * first ones: a client that begins TLS must name the host that the tunnel was allowed for, so that
 * one name does not open the way to another behind the same address.
 */
#include "egress/conn.h"
#include "egress/hello.h"
#include "egress/streams.h"
#include "policy/provider.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void tunnel_begin(struct conn *conn)
{
    static const char established[] = "HTTP/1.1 200 Connection Established\r\n\r\n";
    if (!conn->redirected)
        (void)osa_buf_add(&conn->client.out, established, sizeof(established) - 1);
    if (conn->server.in.len > 0) { /* came with another proxy's answer */
        (void)osa_buf_add(&conn->client.out, conn->server.in.data, conn->server.in.len);
        osa_buf_done(&conn->server.in);
    }
    conn->state = CONN_SNIFF;
    conn_arm(conn, conn->gate->config.limits.tunnel_idle_ns);
    conn_record(conn, "connect", NULL, (struct head_span){ NULL, 0 }, NULL, NULL);
}

void tunnel_upgrade(struct conn *conn, bool watch_text)
{
    if (watch_text)
        conn->frames = frames_new();
    conn->state = CONN_TUNNEL;
    conn_arm(conn, conn->gate->config.limits.tunnel_idle_ns);
}

/* ---- the first bytes ---- */

static bool name_fits(const struct conn *conn, const char *name)
{
    struct target named = { .port = conn->target.port };
    if (name[0] == '\0')
        return conn->target.is_ip || conn->redirected; /* RFC 6066 has no names for addresses */
    (void)snprintf(named.host, sizeof(named.host), "%s", name);
    return target_same(&named, &conn->target);
}

/* Refuses what is in the tunnel. Return: false, @conn being gone. */
static bool cut(struct conn *conn, const char *reason, const char *detail)
{
    conn_record(conn, "connect", NULL, (struct head_span){ NULL, 0 }, reason, detail);
    conn_free(conn);
    return false;
}

/*
 * A hello for the right host. Clients that offer other protocols than HTTP alone are left alone
 * where the policy has no rules about requests.
 */
static bool begin_tls(struct conn *conn, const struct hello *hello)
{
    char detail[400];
    (void)snprintf(detail, sizeof(detail), "TLS in the tunnel is for '%s', not for its target",
                   hello->name);
    if (!name_fits(conn, hello->name))
        return cut(conn, "tls-name", detail);
    if (conn->grant.tls_skip || conn->redirected) {
        conn->state = CONN_TUNNEL;
        return true;
    }
    bool possible = conn->gate->config.authority != NULL;
    bool http = !hello->alpn || hello->http1 || hello->http2;
    if (possible && (conn->local || http))
        return inside_begin_tls(conn, hello);
    if (conn->grant.inspect)
        return cut(conn, "tls-termination-unavailable", "requests here cannot be looked at");
    conn->state = CONN_TUNNEL;
    return true;
}

/* A method and a blank; or what may yet become one, for the reader of heads to wait for. */
static bool begins_like_http(const struct osa_buf *in)
{
    size_t letters = 0;
    while (letters < in->len && in->data[letters] >= 'A' && in->data[letters] <= 'Z')
        letters++;
    return letters == in->len || (letters > 0 && in->data[letters] == ' ');
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113, 3.4 */
#define PREFACE_BYTES (sizeof(PREFACE) - 1)

/* HTTP/2 without TLS: does it begin so? */
static bool is_preface(const struct osa_buf *in)
{
    return in->len > 0 && memcmp(in->data, PREFACE, OSA_MIN(in->len, PREFACE_BYTES)) == 0;
}

/* Return: false when @conn is gone. */
static bool sniff(struct conn *conn)
{
    struct hello hello;
    const struct osa_buf *in = &conn->client.in;
    enum hello_result result =
        in->len == 0 ? HELLO_MORE
                     : hello_parse((const uint8_t *)(const void *)in->data, in->len, &hello);
    if (result == HELLO_MORE && in->len < HELLO_MAX_BYTES && !conn->client.eof)
        return true;
    if (result == HELLO_GOOD)
        return begin_tls(conn, &hello);
    bool silent = result == HELLO_MORE && in->len == 0; /* nothing to say, and may listen */
    if (result != HELLO_NOT_TLS && !silent)
        return cut(conn, "tls-name", "what begins like TLS in the tunnel is none");
    if (conn->local)
        return cut(conn, "tls-name", "only TLS is spoken here");
    bool http = begins_like_http(in);
    bool redeem = http && in->len > 0 && provider_env_active(conn->gate->config.providers);
    if ((!conn->grant.inspect && !redeem) || conn->grant.tls_skip) {
        conn->state = CONN_TUNNEL;
        return true;
    }
    if (is_preface(in) && in->len < PREFACE_BYTES && !conn->client.eof)
        return true; /* "P" alone may be a POST */
    if (is_preface(in)) {
        streams_begin(conn);
        return true;
    }
    if (!http) {
        conn_refuse(conn, 403, "unsupported_l7_protocol", "unsupported-protocol",
                    "the policy has rules about requests here, and this is no HTTP");
        return true;
    }
    return inside_begin(conn);
}

/* ---- moving ---- */

/*
 * One direction, one round: give what is held, else take what is there.
 * Return: 1 when bytes moved; 0 when nothing can be done now; -errno.
 */
static int move(struct osa_mover *mover, int from, int to, bool *ended)
{
    ssize_t n;
    if (mover->held > 0)
        n = osa_mover_push(mover, to);
    else if (*ended)
        return 0;
    else if ((n = osa_mover_pull(mover, from)) == 0) {
        *ended = true;
        (void)shutdown(to, SHUT_WR);
        return 1;
    }
    return n == -EAGAIN ? 0 : n < 0 ? (int)n : 1;
}

/* The same where one side speaks TLS: through the buffers of both. */
static int move_text(struct stream *from, struct stream *to, bool *ended)
{
    int moved = 0;
    ssize_t n = 0;
    if (from->in.len == 0 && to->out.len < STREAM_ROOM && !*ended) {
        n = stream_fill(from);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        moved = n > 0;
    }
    if (from->in.len > 0 && to->out.len < STREAM_ROOM) {
        if (!osa_buf_add(&to->out, from->in.data, from->in.len))
            return -ENOBUFS;
        osa_buf_reset(&from->in);
    }
    n = stream_flush(to);
    if (n < 0 && n != -EAGAIN)
        return (int)n;
    if (from->eof && from->in.len == 0 && !stream_waits(to) && !*ended) {
        *ended = true;
        stream_end(to);
        return 1;
    }
    return moved || n > 0;
}

/* A websocket's client has sent what it may not. Return: 0, the connection being about to end. */
static int close_websocket(struct conn *conn)
{
    static const char policy_violation[] = { (char)0x88, 2, 0x03, (char)0xf0 }; /* 1008 */
    conn_record(conn, "websocket", NULL, (struct head_span){ NULL, 0 }, "not-permitted",
                "text messages are not allowed here");
    stream_close(&conn->server);
    osa_buf_reset(&conn->client.in);
    (void)osa_buf_add(&conn->client.out, policy_violation, sizeof(policy_violation));
    conn->state = CONN_REPLY;
    conn_arm(conn, conn->gate->config.limits.head_ns);
    return 0;
}

/* Up, with an eye on messages. */
static int move_watched(struct conn *conn)
{
    if (conn->frames == NULL)
        return move_text(&conn->client, &conn->server, &conn->up_ended);
    struct osa_buf *in = &conn->client.in;
    ssize_t n = in->len == 0 && !conn->up_ended ? stream_fill(&conn->client) : 0;
    if (n < 0 && n != -EAGAIN)
        return (int)n;
    if (n == -EAGAIN && in->len == 0) { /* no second read here: nobody would look at it */
        ssize_t sent = stream_flush(&conn->server);
        return sent == -EAGAIN ? 0 : sent < 0 ? (int)sent : sent > 0;
    }
    if (in->len > 0 && !conn->watched &&
        !frames_allow(conn->frames, (const uint8_t *)(const void *)in->data, in->len))
        return close_websocket(conn);
    conn->watched = true;
    int moved = move_text(&conn->client, &conn->server, &conn->up_ended);
    conn->watched = in->len > 0;
    return moved == 0 && n > 0 ? 1 : moved;
}

/* Bytes have to come by here. */
static bool seen(const struct conn *conn)
{
    return conn->client.tls != NULL || conn->server.tls != NULL || conn->frames != NULL;
}

static int move_down(struct conn *conn)
{
    if (seen(conn))
        return move_text(&conn->server, &conn->client, &conn->down_ended);
    ssize_t n = stream_flush(&conn->client);
    if (n < 0 && n != -EAGAIN)
        return (int)n;
    if (conn->client.out.len > 0)
        return 0;
    int moved =
        move(&conn->down, conn->server.source.fd, conn->client.source.fd, &conn->down_ended);
    return moved == 0 && n > 0 ? 1 : moved;
}

/* Nobody is behind the proxy: only its own answer goes to the client. */
static int answer_down(struct conn *conn)
{
    ssize_t n = stream_flush(&conn->client);
    return n == -EAGAIN ? 0 : n < 0 ? (int)n : n > 0;
}

/* What was read before goes first, by way of the server's buffer. */
static int move_up(struct conn *conn)
{
    struct osa_buf *in = &conn->client.in;
    if (seen(conn))
        return move_watched(conn);
    if (in->len > 0) {
        if (!osa_buf_add(&conn->server.out, in->data, in->len))
            return -ENOBUFS;
        osa_buf_done(in);
    }
    if (conn->server.out.len > 0) {
        ssize_t n = stream_flush(&conn->server);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        if (conn->server.out.len > 0)
            return 0;
        osa_buf_done(&conn->server.out);
    }
    if (conn->client.eof && !conn->up_ended) {
        conn->up_ended = true;
        stream_end(&conn->server);
        return 1;
    }
    return move(&conn->up, conn->client.source.fd, conn->server.source.fd, &conn->up_ended);
}

/* Reads for the sniffer. Return: as move(). */
static int read_first(struct conn *conn)
{
    ssize_t n = stream_fill(&conn->client);
    if (n == -EAGAIN)
        return 0;
    return n < 0 ? (int)n : 1;
}

bool tunnel_step(struct conn *conn)
{
    bool any = false;
    for (unsigned i = 0; i < STEP_ROUNDS; i++) {
        int up;
        if (conn->state == CONN_SNIFF) {
            up = read_first(conn);
            if (up > 0 && !sniff(conn))
                return false;
            if (conn->state == CONN_REPLY)
                return true;
            if (conn->state == CONN_HEAD || conn->state == CONN_SECURE ||
                conn->state == CONN_STREAMS) {
                conn_step(conn);
                return false; /* stepped on, or gone */
            }
        } else {
            up = move_up(conn);
            if (conn->state == CONN_REPLY)
                return true;
        }
        int down = up < 0 ? up : conn->local ? answer_down(conn) : move_down(conn);
        if (up < 0 || down < 0 ||
            (conn->up_ended && conn->down_ended && conn->up.held == 0 && conn->down.held == 0)) {
            conn_free(conn);
            return false;
        }
        if (up == 0 && down == 0)
            break;
        any = true;
    }
    if (any)
        conn_arm(conn, conn->gate->config.limits.tunnel_idle_ns);
    if (conn->client.out.len == 0)
        osa_buf_done(&conn->client.out);
    return true;
}

void tunnel_want(const struct conn *conn, unsigned *ret_client, unsigned *ret_server)
{
    bool first = conn->state == CONN_SNIFF;
    bool up_waits =
        conn->up.held > 0 || stream_waits(&conn->server) || (!first && conn->client.in.len > 0);
    bool down_waits = conn->down.held > 0 || stream_waits(&conn->client);
    *ret_client = (first || (!conn->up_ended && !up_waits) ? (unsigned)OSA_READ : 0u) |
                  (down_waits ? (unsigned)OSA_WRITE : 0u);
    *ret_server = (!conn->down_ended && !down_waits ? (unsigned)OSA_READ : 0u) |
                  (up_waits ? (unsigned)OSA_WRITE : 0u);
}
