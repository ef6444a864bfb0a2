// SPDX-License-Identifier: Apache-2.0
/* The two HTTP/2 connections of one tunnel, moved on by what their sockets have. */
#include "egress/streams.h"

#include "egress/conn.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

void streams_begin(struct conn *conn)
{
    struct streams *s = calloc(1, sizeof(*s));
    if (s == NULL)
        abort();
    s->conn = conn;
    s->near = http2_new(/* server= */ true, lane_client_events(), s);
    s->far = http2_new(/* server= */ false, lane_server_events(), s);
    conn->streams = s;
    conn->inside = true;
    conn->state = CONN_STREAMS;
    conn_arm(conn, conn->gate->config.limits.idle_ns);
}

void streams_free(struct streams *s)
{
    struct lane *lane;
    struct lane *next;
    if (s == NULL)
        return;
    http2_free(s->near);
    http2_free(s->far);
    DL_FOREACH_SAFE(s->lanes, lane, next)
    lane_free(lane);
    free(s);
}

/* The client gets what is written for it, and the end. Return: true */
static bool say_goodbye(struct conn *conn)
{
    (void)http2_send(conn->streams->near, &conn->client.out, 2 * STREAM_ROOM);
    stream_close(&conn->server);
    conn->state = CONN_REPLY;
    conn_arm(conn, conn->gate->config.limits.head_ns);
    return true;
}

/*
 * The server is gone. Where a response is whole and still on its way, it goes on; else the client
 * sees what happened: its connection ends.
 */
static void server_lost(struct conn *conn)
{
    struct streams *s = conn->streams;
    struct lane *lane;
    struct lane *next;
    bool any = false;
    if (!s->draining)
        http2_end(s->near);
    s->draining = true;
    (void)http2_send(s->far, &conn->server.out, STREAM_ROOM);
    (void)stream_flush(&conn->server);
    http2_free(OSA_TAKE(s->far));
    stream_close(&conn->server);
    DL_FOREACH_SAFE(s->lanes, lane, next)
    any |= lane_lost(lane);
    s->lost = !any;
    DL_FOREACH_SAFE(s->lanes, lane, next)
    {
        if (lane->near == 0) { /* the client's stream has gone before */
            DL_DELETE(s->lanes, lane);
            lane_free(lane);
        } else if (any && !lane->down.end) {
            http2_reset(s->near, lane->near, HTTP2_INTERNAL_ERROR);
        }
    }
}

/*
 * Reads one side. Return: 1 when something came; 0; -1 at its end, or when it is of no use.
 */
static int take_in(struct stream *from, struct http2 *h)
{
    if (from->in.len == 0) {
        ssize_t n = stream_fill(from);
        if (n == -EAGAIN)
            return 0;
        if (n <= 0)
            return -1;
    }
    bool ok = http2_receive(h, from->in.data, from->in.len);
    osa_buf_reset(&from->in);
    return ok ? 1 : -1;
}

/* Return: 1 when something went; 0; -1 */
static int give_out(struct stream *to, struct http2 *h)
{
    if (!http2_send(h, &to->out, STREAM_ROOM))
        return -1;
    ssize_t n = stream_flush(to);
    return n == -EAGAIN ? 0 : n < 0 ? -1 : n > 0;
}

static int move_server(struct conn *conn)
{
    struct streams *s = conn->streams;
    if (s->far == NULL)
        return 0;
    /* What is answered to either side has to have room: the client's holds interim responses. */
    bool room = conn->server.out.len < STREAM_ROOM && conn->client.out.len < STREAM_ROOM;
    int in = room ? take_in(&conn->server, s->far) : 0;
    int out = in < 0 ? in : give_out(&conn->server, s->far);
    if (in < 0 || out < 0) {
        server_lost(conn);
        return 1;
    }
    return in | out;
}

static int move_client(struct conn *conn)
{
    struct streams *s = conn->streams;
    int in = conn->client.out.len < STREAM_ROOM ? take_in(&conn->client, s->near) : 0;
    if (in < 0 && http2_fault(s->near)[0] != '\0')
        conn_record(conn, "http", NULL, (struct head_span){ NULL, 0 }, "http-parser",
                    http2_fault(s->near));
    int out = give_out(&conn->client, s->near);
    return in < 0 || out < 0 ? -1 : in | out;
}

bool streams_step(struct conn *conn)
{
    struct streams *s = conn->streams;
    bool any = false;
    for (unsigned i = 0; i < STEP_ROUNDS; i++) {
        int client = move_client(conn);
        if (client < 0 && (conn->client.eof || conn->client.out.len == 0)) {
            conn_free(conn);
            return false;
        }
        if (client < 0)
            return say_goodbye(conn);
        int server = move_server(conn);
        if (http2_over(s->near) || s->lost || (s->draining && s->lanes == NULL))
            return say_goodbye(conn);
        if (client == 0 && server == 0)
            break;
        any = true;
        if (i + 1 == STEP_ROUNDS)
            osa_timer_arm(conn->gate->config.loop, &conn->again, osa_now_ns());
    }
    if (any)
        conn_arm(conn, s->lanes != NULL ? conn->gate->config.limits.tunnel_idle_ns
                                        : conn->gate->config.limits.idle_ns);
    return true;
}

void streams_want(const struct conn *conn, unsigned *ret_client, unsigned *ret_server)
{
    if (conn->client.out.len < STREAM_ROOM)
        *ret_client |= OSA_READ;
    if (stream_waits(&conn->client))
        *ret_client |= OSA_WRITE;
    if (!stream_is_open(&conn->server))
        return;
    if (conn->server.out.len < STREAM_ROOM && conn->client.out.len < STREAM_ROOM)
        *ret_server |= OSA_READ;
    if (stream_waits(&conn->server))
        *ret_server |= OSA_WRITE;
}
