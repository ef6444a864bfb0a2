// SPDX-License-Identifier: Apache-2.0
/* One connection of a client, for the files of this folder. */
#pragma once

#include "egress/call.h"
#include "egress/frames.h"
#include "egress/gate.h"
#include "egress/head.h"
#include "egress/stream.h"
#include "egress/target.h"

#include "base/mover.h"
#include "io/http1.h"
#include "policy/guard.h"

struct conn;

/* Of the proxy in both families, and of redirected TCP. */
#define GATE_LISTENERS 3u
#define GATE_REDIRECTED 2u
/* Moves of one connection before all others have their turn. */
#define STEP_ROUNDS 16u

/*
 * state     what happens                                    left by
 * HEAD      a request's head is read                        whole → IDENTIFY or DECIDE, bad → REPLY
 * BODY      a request's body is read, for its rules        whole → on as decided
 * IDENTIFY  the backend looks for the client's process      answer → DECIDE's steps
 * RESOLVE   the target's name is looked up                  answer → DIAL, refused → REPLY
 * DIAL      the checked addresses are dialled in turn       connected → SNIFF, EXCHANGE; failed → REPLY
 * PARENT    another proxy is asked for one of them          200 → SNIFF, else → DIAL, REPLY
 * SNIFF     CONNECT was answered; the first bytes tell      TUNNEL, or closed
 * SECURE    TLS begins with the server, which may choose   ready → HEAD, STREAMS; failed → HEAD, closed
 *           the version of HTTP
 * STREAMS   HTTP/2 passes, in a tunnel                     no more requests → REPLY, broken → closed
 * TUNNEL    bytes are moved unseen                          both ends → closed
 * EXCHANGE  one request and its response pass               done → HEAD, 101 → TUNNEL, broken → closed
 * REPLY     an answer of ours is written; then the rest     written and read out → closed
 *           of what the client sends is read out
 */
enum conn_state {
    CONN_HEAD,
    CONN_BODY,
    CONN_IDENTIFY,
    CONN_RESOLVE,
    CONN_DIAL,
    CONN_PARENT,
    CONN_SNIFF,
    CONN_SECURE,
    CONN_STREAMS,
    CONN_TUNNEL,
    CONN_EXCHANGE,
    CONN_REPLY,
};

/* An answer that is awaited by somebody who may be gone when it comes. */
struct conn_ticket {
    struct conn *conn; /* NULL: gone */
};

/* Who the client is, from the first request on. */
struct conn_peer {
    pid_t pid;
    enum policy_reason fault;
    size_t ancestor_count;
    const char **ancestors;
    const char *exe;
    char detail[256];
    char text[];
};

struct exchange; /* exchange.c */
struct streams;
struct hello;

/**
 * struct conn - Owned by its gate's list
 * @tunnel:    a CONNECT, in whatever state; else requests in absolute form
 * @redirected: TCP of a program that knows no proxy, a tunnel from the first byte on
 * @ticket:    of the answer that is awaited
 * @peer:      owned; NULL until the first answer
 * @engine:    owned reference; the policy that @grant is from
 * @upstream:  where the server stream leads
 * @addresses: checked ones that are still to be dialled, from @address on
 * @via_parent: they are asked of the operator's proxy, at @parents from @parent on (owned)
 * @exchange:  owned; NULL until the first HTTP request passes
 * @streams:   owned; NULL unless HTTP/2 is spoken
 * @protocols: in a tunnel with TLS: what the client offers
 * @fault:     why there is no TLS with the server; "" when there is
 */
struct conn {
    struct gate *gate;
    struct conn *prev, *next;
    enum conn_state state;
    bool tunnel;
    bool redirected;
    bool reuse;  /* the open server connection is for the request that is being decided */
    bool inside; /* a tunnel whose requests are looked at: the proxy speaks for both ends */
    bool local;  /* and it is the server, too: there is no other, and no policy about it */
    bool lingering;
    bool known; /* @peer has been asked for */
    struct stream client;
    struct stream server;
    struct osa_timer timer;
    struct osa_timer again; /* a step without an event */
    struct conn_ticket *ticket;
    struct conn_peer *peer;
    const struct policy_engine *engine;
    struct policy_grant grant;
    struct policy_guard guard;
    struct target target;
    struct target upstream;
    struct sockaddr_storage *addresses; /* owned */
    size_t address;                     /* the one that is, or was, dialled */
    size_t address_count;
    bool via_parent;
    struct sockaddr_storage *parents;
    size_t parent;
    size_t parent_count;
    int64_t dial_deadline_ns;
    struct dns_query *query;
    struct frames *frames; /* owned; NULL: nobody watches for messages */
    bool watched;          /* what client.in holds has been seen by them */
    struct osa_mover up;
    struct osa_mover down;
    bool up_ended;
    bool down_ended;
    struct exchange *exchange;
    struct sockaddr_storage *ends; /* owned, two; NULL: the socket has them */
    struct streams *streams;
    unsigned protocols;
    char fault[200];
};

/**
 * struct gate - One sandbox's proxy
 * @count: of @conns
 * @lanes: HTTP/2 streams of all of them
 * @paused: the listeners are not watched: too many connections, or no descriptors
 */
struct gate {
    struct gate_config config;
    struct osa_source listeners[GATE_LISTENERS];
    struct osa_timer retry;
    struct conn *conns;
    unsigned count;
    unsigned lanes;
    bool paused;
};

/* ---- gate.c ---- */

/** gate_conn_gone() - A connection has ended: there is room for another */
void gate_conn_gone(struct gate *gate);

/* ---- conn.c ---- */

/**
 * conn_new() - A connection on an accepted socket, which is taken; lives in the gate's list
 * @redirected: it was meant for an address that stands for a name
 * @ends: the client's address and the proxy's, where the socket does not have them; else NULL
 */
void conn_new(struct gate *gate, int fd, bool redirected, const struct sockaddr_storage *ends);
/** conn_free() - Cut it */
void conn_free(struct conn *conn);
/** conn_step() - Do what can be done now, then watch for more. May free @conn */
void conn_step(struct conn *conn);
/** conn_arm() - End the connection when nothing happens until then */
void conn_arm(struct conn *conn, int64_t delay_ns);
/** conn_recheck() - Hold it against the policy in force. May free @conn */
void conn_recheck(struct conn *conn);
/** conn_record() - Tell the gate's owner; @head is the request's or NULL, @path without query or NULL */
void conn_record(struct conn *conn, const char *kind, const struct head *head,
                 struct head_span path, const char *reason, const char *detail);

/* ---- decide.c: each of these ends with conn_step() or conn_free() ---- */

/** conn_begin() - A request's head is whole and in order, at the start of @conn->client.in */
void conn_begin(struct conn *conn, size_t len, const struct head *head);
/** conn_identify() - Ask who the client is; conn_reach() follows. Steps */
void conn_identify(struct conn *conn);
/** conn_reach() - Decide on @conn->target, then resolve, check, dial; tunnel_begin() or exchange_connected() follow */
void conn_reach(struct conn *conn);
/** conn_judged() - The body that the rules wanted is there: decide, and go on */
void conn_judged(struct conn *conn);
/** conn_describe() - The connection as the policy sees it; borrows from @conn */
void conn_describe(const struct conn *conn, struct policy_connection *ret);
/** conn_check_addresses() - Are they all good under @conn->guard? Else the request has been answered. Does not step */
bool conn_check_addresses(struct conn *conn, const struct sockaddr_storage *addresses,
                          size_t count);
/** conn_regrant() - Is what was dialled allowed by the policy in force, too? Then that is the conn's from now on. Does not step */
bool conn_regrant(struct conn *conn);

/* ---- inside.c: tunnels that are looked into; each returns false when @conn is gone ---- */

/** inside_begin() - Requests of HTTP/1 without TLS are read from here on */
bool inside_begin(struct conn *conn);
/** inside_begin_tls() - The client's hello is at the start of its buffer */
bool inside_begin_tls(struct conn *conn, const struct hello *hello);
/** inside_step() - TLS with the server goes on */
bool inside_step(struct conn *conn);
/** inside_timeout() - And takes too long */
bool inside_timeout(struct conn *conn);

/* ---- local.c: names that are the proxy itself ---- */

/** local_connect() - Is @conn->target one that a tunnel may lead to? Then it does. Does not step */
bool local_connect(struct conn *conn);
/** local_request() - Answer a request for policy.local in absolute form. Return: false when it is for another name */
bool local_request(struct conn *conn);
/** local_inside() - Answer a request in a tunnel of local_connect()'s */
void local_inside(struct conn *conn);

/* ---- dial.c ---- */

/** conn_dial() - Connect to one of the addresses, which were checked; tunnel_begin() or exchange_connected() follow. Steps */
void conn_dial(struct conn *conn, const struct sockaddr_storage *addresses, size_t count);
/** conn_dial_step() - The socket that is being connected is ready, or its time is over */
void conn_dial_step(struct conn *conn);
/** dial_parent_step() - Go on with CONN_PARENT. Return: false when @conn has been stepped or is gone */
bool dial_parent_step(struct conn *conn);

/* ---- reply.c ---- */

/**
 * conn_reply() - Answer the request with an error of ours, then close; never frees, does not step
 * @error:  machine name ("policy_denied")
 * @detail: a sentence
 * @reason: name of the reason; NULL: none
 */
void conn_reply(struct conn *conn, unsigned status, const char *error, const char *detail,
                const char *reason);
/** conn_answer() - Answer with @body, JSON, which is taken, then close; as conn_reply(). @policy: of a header, or NULL */
void conn_answer(struct conn *conn, unsigned status, const char *policy, struct osa_buf *body);
/** conn_reply_local() - The same with a hint and no more, for names that are the proxy itself */
void conn_reply_local(struct conn *conn, unsigned status, const char *error, const char *hint);

/** conn_refuse() - conn_reply() and conn_record() for a decision of the policy */
void conn_refuse(struct conn *conn, unsigned status, const char *error, const char *reason,
                 const char *detail);

/* ---- exchange.c ---- */

/** exchange_free() - NULL is fine */
void exchange_free(struct exchange *exchange);
/**
 * exchange_begin() - Take over a request's head from @conn->client.in and fill @conn->target
 * Return: true; false when it was answered already, with an error.
 */
bool exchange_begin(struct conn *conn, size_t len, const struct head *head);
/** exchange_connected() - The server stream is open: send the request on. Does not step */
void exchange_connected(struct conn *conn);
/** exchange_step() - Move both messages on. Return: false when @conn is gone */
bool exchange_step(struct conn *conn);
/** exchange_want() - Events that each side is to be watched for */
void exchange_want(const struct conn *conn, unsigned *ret_client, unsigned *ret_server);
/** exchange_body_step() - Read on what CONN_BODY waits for. Return: false when @conn has been stepped or is gone */
bool exchange_body_step(struct conn *conn);
/** exchange_hold() - Read the request's body before anything else; conn_judged() follows */
void exchange_hold(struct conn *conn);
/** exchange_judge() - call_judge() for the request */
enum judged exchange_judge(struct conn *conn);
/** exchange_head() - The request's head, for answers and records; NULL when there is none */
const struct head *exchange_head(const struct conn *conn);

/* ---- tunnel.c ---- */

/** tunnel_begin() - CONNECT has reached its target: answer it and look at the first bytes. Does not step */
void tunnel_begin(struct conn *conn);
/** tunnel_upgrade() - The exchange became a tunnel (101); @watch_text: a websocket whose client may not send text */
void tunnel_upgrade(struct conn *conn, bool watch_text);
/** tunnel_step() - Move bytes. Return: false when @conn is gone */
bool tunnel_step(struct conn *conn);
/** tunnel_want() - As exchange_want() */
void tunnel_want(const struct conn *conn, unsigned *ret_client, unsigned *ret_server);
