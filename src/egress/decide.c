// SPDX-License-Identifier: Apache-2.0
/*
 * From a request to a connection with its target: who asks, whether the policy lets it out, where
 * the name leads and whether it may lead there, and then only there.
 */
#include "egress/conn.h"

#include "base/tcp.h"
#include "egress/address.h"
#include "policy/explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_MAX_BYTES 4096u

/* ---- who ---- */

/* A copy at *at, which moves on. */
static const char *put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = *at;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

_Static_assert(offsetof(struct conn_peer, text) % sizeof(char *) == 0, "pointers fit after text");

static struct conn_peer *peer_copy(const struct gate_peer *peer, enum policy_reason reason,
                                   const char *detail)
{
    size_t count = peer != NULL ? peer->ancestor_count : 0;
    size_t text = 1;
    if (peer != NULL)
        text += strlen(peer->exe) + 1;
    for (size_t i = 0; i < count; i++)
        text += strlen(peer->ancestors[i]) + 1;
    struct conn_peer *copy =
        calloc(1, sizeof(*copy) + text + count * sizeof(char *) + sizeof(char *));
    if (copy == NULL)
        return NULL;
    copy->fault = reason;
    (void)snprintf(copy->detail, sizeof(copy->detail), "%s", detail != NULL ? detail : "");
    if (peer == NULL)
        return copy;
    size_t offset = (text + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
    char *at = copy->text;
    copy->pid = peer->pid;
    copy->exe = put_text(&at, peer->exe);
    copy->ancestors = (const char **)(void *)(copy->text + offset);
    copy->ancestor_count = count;
    for (size_t i = 0; i < count; i++)
        copy->ancestors[i] = put_text(&at, peer->ancestors[i]);
    return copy;
}

static void on_peer(void *ctx, const struct gate_peer *peer, enum policy_reason reason,
                    const char *detail)
{
    struct conn_ticket *ticket = ctx;
    struct conn *conn = ticket->conn;
    free(ticket);
    if (conn == NULL)
        return;
    conn->ticket = NULL;
    conn->peer = peer_copy(peer, reason, detail);
    if (conn->peer == NULL)
        conn_free(conn);
    else
        conn_reach(conn);
}

static bool find_ends(const struct conn *conn, struct sockaddr_storage ret_ends[2])
{
    int fd = conn->client.source.fd;
    socklen_t client_len = sizeof(ret_ends[0]);
    socklen_t proxy_len = sizeof(ret_ends[1]);
    if (conn->ends != NULL) {
        memcpy(ret_ends, conn->ends, 2 * sizeof(*ret_ends));
        return true;
    }
    if (getpeername(fd, (struct sockaddr *)&ret_ends[0], &client_len) < 0)
        return false;
    return conn->redirected /* the client's socket knows nothing of it */
               ? osa_tcp_original(fd, &ret_ends[1], NULL) == OSA_OK
               : getsockname(fd, (struct sockaddr *)&ret_ends[1], &proxy_len) == 0;
}

void conn_identify(struct conn *conn)
{
    struct sockaddr_storage ends[2];
    conn->ticket = calloc(1, sizeof(*conn->ticket));
    if (conn->ticket == NULL || !find_ends(conn, ends)) {
        free(OSA_TAKE(conn->ticket));
        conn_free(conn);
        return;
    }
    conn->ticket->conn = conn;
    conn->state = CONN_IDENTIFY;
    conn_arm(conn, conn->gate->config.limits.dial_ns);
    conn->gate->config.events->identify(conn->gate->config.events, &ends[0], &ends[1], on_peer,
                                        conn->ticket);
    conn_step(conn);
}

/* A request in a tunnel that is looked into: who and where are decided already. */
static void begin_inside(struct conn *conn, size_t len, const struct head *head)
{
    if (!exchange_begin(conn, len, head)) {
        conn_step(conn);
    } else if (conn->local) {
        local_inside(conn);
        conn_step(conn);
    } else {
        conn_judged(conn);
    }
}

void conn_begin(struct conn *conn, size_t len, const struct head *head)
{
    if (conn->inside) {
        begin_inside(conn, len, head);
        return;
    }
    if (head->method.len == 7 && memcmp(head->method.at, "CONNECT", 7) == 0) {
        const char *fault = target_parse(head->target, /* default_port= */ 0, &conn->target);
        conn->tunnel = true;
        if (fault != NULL) {
            char detail[160];
            conn->target = (struct target){ 0 };
            (void)snprintf(detail, sizeof(detail), "the CONNECT target has %s", fault);
            conn_refuse(conn, 400, "invalid_request_target", "http-parser", detail);
            conn_step(conn);
            return;
        }
        osa_buf_consume(&conn->client.in, len);
        stream_close(&conn->server);
        exchange_free(OSA_TAKE(conn->exchange));
        if (local_connect(conn)) {
            conn_step(conn);
            return;
        }
    } else if (!exchange_begin(conn, len, head)) {
        conn_step(conn);
        return;
    }
    if (conn->peer == NULL)
        conn_identify(conn);
    else
        conn_reach(conn);
}

/* ---- whether ---- */

void conn_describe(const struct conn *conn, struct policy_connection *ret)
{
    const struct conn_peer *peer = conn->peer;
    *ret = (struct policy_connection){
        .host = conn->target.host,
        .port = conn->target.port,
        .binary = peer->exe,
        .ancestors = peer->ancestors,
        .ancestor_count = peer->ancestor_count,
        .identity = peer->fault,
        .told_by_guest = conn->ends != NULL,
    };
}

/* What was found, then what would allow it, in one line. */
static void refuse_in_words(struct conn *conn, const char *error, enum policy_reason reason,
                            struct osa_buf *text, struct osa_buf *advice)
{
    if (conn->peer->detail[0] != '\0')
        (void)osa_buf_addf(text, ": %s", conn->peer->detail);
    if (advice->len > 0)
        (void)osa_buf_addf(text, "; %s", advice->data);
    conn_refuse(conn, 403, error, policy_reason_name(reason),
                text->len > 0 ? text->data : policy_reason_text(reason));
    osa_buf_done(text);
    osa_buf_done(advice);
}

static void refuse_connection(struct conn *conn, const struct policy_connection *connection)
{
    struct osa_buf text;
    struct osa_buf advice;
    osa_buf_init(&text, DETAIL_MAX_BYTES);
    osa_buf_init(&advice, DETAIL_MAX_BYTES);
    policy_explain_connect(conn->engine, connection, &conn->grant, &text);
    policy_advise_connect(conn->engine, connection, &conn->grant, &advice);
    refuse_in_words(conn, "policy_denied", conn->grant.reason, &text, &advice);
}

/* @address: the one that will not do; NULL: none is needed to know, or none was found, for @why. */
static void refuse_destination(struct conn *conn, enum policy_reason reason,
                               const struct policy_address *address, const char *why)
{
    struct policy_connection connection;
    struct osa_buf text;
    struct osa_buf advice;
    osa_buf_init(&text, DETAIL_MAX_BYTES);
    osa_buf_init(&advice, DETAIL_MAX_BYTES);
    conn_describe(conn, &connection);
    policy_explain_guard(&connection, &conn->guard, reason, address, &text);
    policy_advise_guard(&connection, &conn->guard, reason, &advice);
    if (why[0] != '\0')
        (void)osa_buf_addf(&text, ": %s", why);
    refuse_in_words(conn, "ssrf_denied", reason, &text, &advice);
}

static void take_policy(struct conn *conn)
{
    policy_engine_unref(conn->engine);
    conn->engine = policy_live_take(conn->gate->config.policy);
}

/* Programs that know no proxy have what endpoints of protocol tcp give them, and no more. */
static bool fits_redirected(const struct conn *conn, const struct policy_engine *engine,
                            const struct policy_grant *grant)
{
    return !conn->redirected ||
           (!grant->inspect &&
            policy_host_known(engine, conn->target.host, conn->target.port, POLICY_PROTOCOL_TCP));
}

/* What the policy says of the target. */
static bool decide(struct conn *conn)
{
    struct policy_connection connection;
    take_policy(conn);
    conn_describe(conn, &connection);
    if (!policy_connect(conn->engine, &connection, &conn->grant)) {
        refuse_connection(conn, &connection);
        return false;
    }
    if (!fits_redirected(conn, conn->engine, &conn->grant)) {
        conn_refuse(conn, 403, "policy_denied", policy_reason_name(POLICY_REASON_ENDPOINT_MISS),
                    "the endpoint is not one of protocol tcp, so it takes a client of the proxy");
        return false;
    }
    if (conn->tunnel && conn->grant.inspect && !conn->grant.tls_skip &&
        conn->gate->config.authority == NULL) {
        conn_refuse(conn, 503, "tls_termination_unavailable", "tls-termination-unavailable",
                    "the policy has rules about requests here, and this sandbox has no certificate "
                    "authority to look at them with");
        return false;
    }
    if (conn->tunnel && conn->grant.uninspected) {
        conn_refuse(conn, 403, "uninspected_credentials",
                    policy_reason_name(POLICY_REASON_UNINSPECTED),
                    policy_reason_text(POLICY_REASON_UNINSPECTED));
        return false;
    }
    return true;
}

/* How its addresses are to be checked. */
static bool plan_guard(struct conn *conn)
{
    struct policy_connection connection;
    conn_describe(conn, &connection);
    if (policy_guard_plan(&connection, &conn->grant, conn->gate->config.gateway, &conn->guard))
        return true;
    refuse_destination(conn, conn->guard.reason, NULL, "");
    return false;
}

/* ---- where ---- */

static enum policy_reason check_address(const struct conn *conn,
                                        const struct sockaddr_storage *from,
                                        struct policy_address *ret)
{
    *ret = (struct policy_address){ 0 };
    return address_from(from, ret) ? policy_guard_check(&conn->guard, ret)
                                   : POLICY_REASON_RESOLUTION;
}

/* One bad address spoils all: a name that leads inside in part is not to be trusted in whole. */
bool conn_check_addresses(struct conn *conn, const struct sockaddr_storage *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct policy_address address;
        enum policy_reason reason = check_address(conn, &addresses[i], &address);
        if (reason != POLICY_REASON_NONE) {
            refuse_destination(conn, reason, address.size > 0 ? &address : NULL, "");
            return false;
        }
    }
    return true;
}

/*
 * A program that knows no proxy was given an address by the resolver, which leaves out what leads
 * nowhere; so here: what is good is dialled, where there is any.
 */
static void dial_good(struct conn *conn, const struct sockaddr_storage *addresses, size_t count)
{
    struct sockaddr_storage good[DNS_ADDRESSES_MAX];
    struct policy_address address;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (check_address(conn, &addresses[i], &address) == POLICY_REASON_NONE)
            good[kept++] = addresses[i];
    }
    if (kept > 0)
        conn_dial(conn, good, kept);
    else if (!conn_check_addresses(conn, addresses, count)) /* which says why */
        conn_step(conn);
}

static void on_resolved(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                        const struct osa_error *error)
{
    struct conn *conn = ctx;
    conn->query = NULL;
    if (error != NULL) {
        refuse_destination(conn, POLICY_REASON_RESOLUTION, NULL, error->text);
    } else if (conn->redirected) {
        dial_good(conn, addresses, count);
        return;
    } else if (conn_check_addresses(conn, addresses, count)) {
        conn_dial(conn, addresses, count);
        return;
    }
    conn_step(conn);
}

/* An idle connection to the very target, under the very policy, serves again. */
static bool reusable(const struct conn *conn, const struct policy_engine *before)
{
    char byte;
    return stream_is_open(&conn->server) && before == conn->engine &&
           target_same(&conn->upstream, &conn->target) &&
           recv(conn->server.source.fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* The request is allowed: to the server, by the connection that is there or by a new one. */
static void go(struct conn *conn)
{
    struct sockaddr_storage literal;
    if (!plan_guard(conn)) {
        conn_step(conn);
        return;
    }
    if (conn->reuse) {
        exchange_connected(conn);
        conn_step(conn);
        return;
    }
    stream_close(&conn->server);
    if (conn->guard.literal) {
        address_to(&conn->guard.address, &literal);
        if (conn_check_addresses(conn, &literal, 1))
            conn_dial(conn, &literal, 1);
        else
            conn_step(conn);
        return;
    }
    conn->state = CONN_RESOLVE;
    conn_arm(conn, conn->gate->config.limits.dial_ns);
    conn->query = dns_resolve(conn->gate->config.dns, conn->target.host, on_resolved, conn);
    conn_step(conn);
}

/* In a tunnel the server is there already. */
static void go_inside(struct conn *conn)
{
    if (stream_is_open(&conn->server))
        exchange_connected(conn);
    else
        conn_reply(conn, 502, "upstream_unreachable",
                   conn->fault[0] != '\0' ? conn->fault : "the server has closed the connection",
                   "unreachable");
    conn_step(conn);
}

void conn_judged(struct conn *conn)
{
    enum judged judged = exchange_judge(conn);
    if (judged == JUDGED_BODY)
        exchange_hold(conn);
    if (judged != JUDGED_PASS)
        conn_step(conn);
    else if (conn->inside)
        go_inside(conn);
    else
        go(conn);
}

void conn_reach(struct conn *conn)
{
    const struct policy_engine *before = conn->engine; /* compared only */
    if (!decide(conn)) {
        conn_step(conn);
        return;
    }
    conn->reuse = !conn->tunnel && reusable(conn, before);
    if (conn->tunnel)
        go(conn);
    else
        conn_judged(conn);
}

bool conn_regrant(struct conn *conn)
{
    struct policy_connection connection;
    struct policy_grant grant;
    struct policy_guard guard;
    const struct policy_engine *now = policy_live_take(conn->gate->config.policy);
    struct policy_address address;
    conn_describe(conn, &connection);
    bool same = policy_connect(now, &connection, &grant) &&
                policy_guard_plan(&connection, &grant, conn->gate->config.gateway, &guard) &&
                !(conn->tunnel && grant.uninspected) && grant.inspect == conn->grant.inspect &&
                grant.tls_skip == conn->grant.tls_skip && fits_redirected(conn, now, &grant);
    bool dialled = conn->state != CONN_RESOLVE && (conn->state != CONN_BODY || conn->inside);
    for (size_t i = 0; same && dialled && i < conn->address_count; i++)
        same = address_from(&conn->addresses[i], &address) &&
               policy_guard_check(&guard, &address) == POLICY_REASON_NONE;
    if (!same) {
        policy_engine_unref(now);
        return false;
    }
    policy_engine_unref(conn->engine);
    conn->engine = now;
    conn->grant = grant;
    conn->guard = guard;
    return true;
}
