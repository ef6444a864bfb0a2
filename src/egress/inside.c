// SPDX-License-Identifier: Apache-2.0
/*
 * Tunnels that are looked into: the proxy is the server to the client, with a certificate that the
 * sandbox trusts, and the client to the server, whose certificate it checks. Both sides speak the
 * same version of HTTP. Where the client offers both, the server is asked first.
 */
#include "egress/conn.h"
#include "egress/hello.h"
#include "egress/streams.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Refuses what is in the tunnel. Return: false, @conn being gone. */
static bool cut(struct conn *conn, const char *reason, const char *detail)
{
    conn_record(conn, "connect", NULL, (struct head_span){ NULL, 0 }, reason, detail);
    conn_free(conn);
    return false;
}

static unsigned protocols_of(const struct hello *hello)
{
    return (hello->http1 || !hello->alpn ? (unsigned)TLS_HTTP1 : 0u) |
           (hello->http2 ? (unsigned)TLS_HTTP2 : 0u);
}

/* The client's hello, which is in its buffer, gets its answer. */
static bool accept_client(struct conn *conn, enum tls_protocol protocol)
{
    struct tls *near = NULL;
    struct osa_error err = { 0 };
    if (tls_accept(conn->gate->config.authority, conn->target.host, protocol, &near, &err) !=
        OSA_OK)
        return cut(conn, "tls", err.text);
    if (!stream_secure(&conn->client, near)) {
        char fault[256];
        (void)snprintf(fault, sizeof(fault), "%s", tls_fault(near));
        return cut(conn, "tls", fault);
    }
    conn->inside = true;
    if (protocol == TLS_HTTP2) {
        streams_begin(conn);
        return true;
    }
    conn->state = CONN_HEAD;
    conn_arm(conn, conn->gate->config.limits.head_ns);
    return true;
}

/* Begins TLS with the server, and does not wait for it. */
static bool greet_server(struct conn *conn, unsigned protocols)
{
    struct tls *far = NULL;
    struct osa_error err = { 0 };
    if (tls_connect(conn->gate->config.trust, conn->target.host, protocols, &far, &err) != OSA_OK)
        return cut(conn, "tls", err.text);
    if (!stream_secure(&conn->server, far))
        return cut(conn, "tls", "no memory for TLS");
    return true;
}

bool inside_begin(struct conn *conn)
{
    conn->inside = true;
    conn->state = CONN_HEAD;
    conn_arm(conn, conn->gate->config.limits.head_ns);
    return true;
}

bool inside_begin_tls(struct conn *conn, const struct hello *hello)
{
    conn->protocols = protocols_of(hello);
    if (conn->local)
        return accept_client(conn, TLS_HTTP1);
    if (!greet_server(conn, conn->protocols))
        return false;
    if ((conn->protocols & TLS_HTTP2) == 0)
        return accept_client(conn, TLS_HTTP1);
    conn->state = CONN_SECURE;
    conn_arm(conn, conn->gate->config.limits.dial_ns);
    return true;
}

/* The client is told why, if it speaks HTTP/1.1. */
static bool server_failed(struct conn *conn, const char *fault)
{
    char detail[256];
    (void)snprintf(detail, sizeof(detail), "%s", fault);
    if ((conn->protocols & TLS_HTTP1) == 0)
        return cut(conn, "unreachable", detail);
    (void)snprintf(conn->fault, sizeof(conn->fault), "%s", detail);
    stream_close(&conn->server);
    return accept_client(conn, TLS_HTTP1);
}

bool inside_timeout(struct conn *conn)
{
    return server_failed(conn, "the server did not finish its TLS handshake in time");
}

bool inside_step(struct conn *conn)
{
    ssize_t n = stream_fill(&conn->server);
    (void)stream_flush(&conn->server);
    if (n == 0 || (n < 0 && n != -EAGAIN)) {
        const char *fault = tls_fault(conn->server.tls);
        return server_failed(conn, fault[0] != '\0' ? fault : "the server broke off");
    }
    if (!tls_ready(conn->server.tls))
        return true;
    enum tls_protocol spoken = tls_spoken(conn->server.tls);
    if ((conn->protocols & spoken) == 0)
        return cut(conn, "tls", "the server does not speak HTTP/2, and the client nothing else");
    return accept_client(conn, spoken);
}
