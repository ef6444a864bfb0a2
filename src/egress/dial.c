// SPDX-License-Identifier: Apache-2.0
/*
 * To the addresses that were checked, in their order: directly, or by way of a proxy of the
 * operator's (egress/parent.h), which is told them one by one.
 */
#include "egress/conn.h"

#include "base/clock.h"
#include "base/fd.h"
#include "egress/address.h"
#include "egress/parent.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

/* An address that swallows packets must not eat the time of the others. */
#define ATTEMPT_NS (5 * OSA_NS_PER_SEC)
/* Of the other proxy's answer. */
#define ANSWER_MAX_BYTES 8192u

/* ---- one socket ---- */

static int begin_connect(const struct sockaddr_storage *to, uint16_t port)
{
    const int one = 1;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    bool four = to->ss_family == AF_INET;
    memcpy(&v4, to, sizeof(v4));
    memcpy(&v6, to, sizeof(v6));
    v4.sin_port = v6.sin6_port = htons(port);
    OSA_AUTO(osa_close_fd) int fd = osa_socket(to->ss_family, SOCK_STREAM, 0);
    if (fd < 0 || osa_set_nonblocking(fd, true, NULL) != OSA_OK)
        return -EMFILE;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    int rc = four ? connect(fd, (const struct sockaddr *)&v4, sizeof(v4))
                  : connect(fd, (const struct sockaddr *)&v6, sizeof(v6));
    if (rc < 0 && errno != EINPROGRESS)
        return -errno;
    return osa_take_fd(&fd);
}

static void dial_failed(struct conn *conn, int sys_errno)
{
    struct osa_error error;
    char target[TARGET_TEXT_SIZE];
    char parent[TARGET_TEXT_SIZE] = "";
    if (conn->via_parent)
        (void)target_text(parent_proxy(conn->gate->config.parent), parent);
    (void)osa_fail(&error, OSA_UNAVAILABLE, sys_errno, "%s cannot be reached%s%s",
                   target_text(&conn->target, target), conn->via_parent ? " by way of " : "",
                   parent);
    conn_refuse(conn, sys_errno == ETIMEDOUT ? 504 : 502, "upstream_unreachable", "unreachable",
                error.text);
    conn_step(conn);
}

/* What a socket is connected to for the address whose turn it is. */
static int connect_now(const struct conn *conn)
{
    if (conn->via_parent)
        return begin_connect(&conn->parents[conn->parent],
                             parent_proxy(conn->gate->config.parent)->port);
    return begin_connect(&conn->addresses[conn->address], conn->target.port);
}

/* That one cannot be connected to: the next, if there is one. A proxy that cannot be reached is none for all. */
static void pass_over(struct conn *conn)
{
    if (!conn->via_parent)
        conn->address++;
    else if (++conn->parent == conn->parent_count)
        conn->address = conn->address_count;
}

static void dial_next(struct conn *conn)
{
    int fd = -ETIMEDOUT;
    int64_t now = osa_now_ns();
    conn->state = CONN_DIAL;
    for (; conn->address < conn->address_count && now < conn->dial_deadline_ns; pass_over(conn)) {
        fd = connect_now(conn);
        if (fd >= 0)
            break;
    }
    if (fd < 0) {
        dial_failed(conn, -fd);
        return;
    }
    stream_open(&conn->server, fd);
    conn_arm(conn, OSA_MIN(ATTEMPT_NS, conn->dial_deadline_ns - now));
    conn_step(conn);
}

/* ---- by way of another proxy ---- */

static void take_parents(struct conn *conn, const struct sockaddr_storage *addresses, size_t count)
{
    free(conn->parents);
    conn->parents = calloc(count, sizeof(*addresses));
    if (conn->parents == NULL) {
        conn_free(conn);
        return;
    }
    memcpy(conn->parents, addresses, count * sizeof(*addresses));
    conn->parent_count = count;
    conn->parent = 0;
    dial_next(conn);
}

static void on_parent_resolved(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                               const struct osa_error *error)
{
    struct conn *conn = ctx;
    conn->query = NULL;
    if (error != NULL)
        dial_failed(conn, 0);
    else if (conn_check_addresses(conn, conn->addresses, conn->address_count)) /* still */
        take_parents(conn, addresses, count);
    else
        conn_step(conn);
}

static void find_parent(struct conn *conn)
{
    const struct target *proxy = parent_proxy(conn->gate->config.parent);
    struct policy_address address;
    struct sockaddr_storage literal;
    if (proxy->is_ip && policy_address_parse(proxy->host, &address) == POLICY_SPELLING_PLAIN) {
        address_to(&address, &literal);
        take_parents(conn, &literal, 1);
        return;
    }
    conn->state = CONN_RESOLVE;
    conn->query = dns_resolve(conn->gate->config.dns, proxy->host, on_parent_resolved, conn);
    conn_step(conn);
}

static void ask_parent(struct conn *conn)
{
    conn->state = CONN_PARENT;
    conn_arm(conn, OSA_MAX(conn->dial_deadline_ns - osa_now_ns(), (int64_t)1));
    if (parent_request(conn->gate->config.parent, &conn->target, &conn->addresses[conn->address],
                       /* named= */ !conn->redirected, &conn->server.out))
        conn_step(conn);
    else
        conn_free(conn);
}

/* The proxy would not: maybe another address. Return: false, @conn having been stepped. */
static bool parent_refused(struct conn *conn, unsigned status)
{
    char detail[TARGET_TEXT_SIZE + 96];
    char proxy[TARGET_TEXT_SIZE];
    stream_close(&conn->server);
    if (++conn->address < conn->address_count && osa_now_ns() < conn->dial_deadline_ns) {
        dial_next(conn);
        return false;
    }
    (void)target_text(parent_proxy(conn->gate->config.parent), proxy);
    if (status != 0)
        (void)snprintf(detail, sizeof(detail), "the proxy %s answered %u", proxy, status);
    else
        (void)snprintf(detail, sizeof(detail), "the proxy %s gave no answer of HTTP", proxy);
    conn_refuse(conn, 502, "upstream_unreachable", "unreachable", detail);
    conn_step(conn);
    return false;
}

bool dial_parent_step(struct conn *conn)
{
    struct head head;
    struct osa_buf *in = &conn->server.in;
    ssize_t n = stream_flush(&conn->server);
    if (n < 0 && n != -EAGAIN)
        return parent_refused(conn, 0);
    do
        n = stream_fill(&conn->server);
    while (n > 0 && in->len < ANSWER_MAX_BYTES);
    size_t len = head_end(in->data, OSA_MIN(in->len, (size_t)ANSWER_MAX_BYTES));
    if (len == 0 && n == -EAGAIN && in->len < ANSWER_MAX_BYTES)
        return true;
    if (len == 0 || head_parse(in->data, len, /* response= */ true, &head) != NULL)
        return parent_refused(conn, 0);
    if (head.status != 200)
        return parent_refused(conn, head.status);
    osa_buf_consume(in, len);
    tunnel_begin(conn);
    conn_step(conn);
    return false;
}

/* ---- all of it ---- */

void conn_dial(struct conn *conn, const struct sockaddr_storage *addresses, size_t count)
{
    const struct parent *parent = conn->gate->config.parent;
    free(conn->addresses);
    conn->addresses = calloc(count, sizeof(*addresses));
    if (conn->addresses == NULL) {
        conn_free(conn);
        return;
    }
    memcpy(conn->addresses, addresses, count * sizeof(*addresses));
    conn->address_count = count;
    conn->address = 0;
    conn->upstream = conn->target;
    conn->dial_deadline_ns = osa_deadline_after(conn->gate->config.limits.dial_ns);
    conn->via_parent =
        conn->tunnel && parent != NULL &&
        !parent_bypassed(parent, &conn->target, conn->addresses, count, &conn->address_count);
    if (conn->via_parent)
        find_parent(conn);
    else
        dial_next(conn);
}

void conn_dial_step(struct conn *conn)
{
    int failed = 0;
    socklen_t len = sizeof(failed);
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof(peer);
    int fd = conn->server.source.fd;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0)
        failed = errno;
    if (failed == 0 && getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
        failed = ETIMEDOUT; /* our patience, not the socket, brought us here */
    if (failed == 0 && conn->via_parent) {
        ask_parent(conn);
        return;
    }
    if (failed == 0) {
        if (conn->tunnel)
            tunnel_begin(conn);
        else
            exchange_connected(conn);
        conn_step(conn);
        return;
    }
    stream_close(&conn->server);
    pass_over(conn);
    if (conn->address < conn->address_count)
        dial_next(conn);
    else
        dial_failed(conn, failed);
}
