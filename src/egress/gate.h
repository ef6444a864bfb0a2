// SPDX-License-Identifier: Apache-2.0
/*
 * The egress proxy of one sandbox: an HTTP proxy (CONNECT and absolute-form) on listeners that this
 * sandbox alone can reach, which lets out what the policy lets out and says why not otherwise.
 *
 * A connection is decided by who opened it (the sandbox's backend tells), where it goes, and, where
 * the policy looks at requests, by each request. Names are resolved once; what was checked is
 * dialled. Refusals are HTTP answers with a JSON body.
 *
 * Threads: the loop thread.
 */
#pragma once

#include "base/loop.h"
#include "io/dns.h"
#include "io/tls.h"
#include "policy/live.h"
#include "policy/provider.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct gate;
struct gate_events;
struct resolver;
struct parent;

/**
 * struct gate_peer - The process at the other end of a connection
 * @ancestors: nearest first
 */
struct gate_peer {
    pid_t pid;
    const char *exe;
    const char *const *ancestors;
    size_t ancestor_count;
};

/* @peer is borrowed; NULL when nobody can be named, and @reason and @detail then say why. */
typedef void (*gate_peer_fn)(void *ctx, const struct gate_peer *peer, enum policy_reason reason,
                             const char *detail);

/**
 * struct gate_record - What was decided, for logs and events; all borrowed for the call
 * @allowed:  a connection or request went out; else it was refused
 * @kind:     "connect" (tunnel), "forward" (plain HTTP), "http" (request in a tunnel), "tcp" (of a
 *            program that knows no proxy) or "dns" (a name that is not resolved)
 * @target:   "host:port"; the name alone with "dns"
 * @host, @port: of @target; "" and 0 when there is none
 * @method, @path: of a request, without its query; "" for tunnels
 * @exe, @pid: who asked; "" and 0 when unknown
 * @ancestors: of that; @ancestor_count is 0 when unknown
 * @rule:     key of the rule that allowed it, or ""
 * @reason:   a short name ("endpoint-miss", "ssrf"); "" when allowed
 * @detail:   a sentence; "" when allowed
 */
struct gate_record {
    bool allowed;
    const char *kind;
    const char *target;
    const char *host;
    uint16_t port;
    const char *method;
    const char *path;
    const char *exe;
    pid_t pid;
    const char *const *ancestors;
    size_t ancestor_count;
    const char *rule;
    const char *reason;
    const char *detail;
};

/**
 * struct gate_events - What a gate asks and tells; outlives the gate
 * @identify: who opened the connection that was accepted from @client at @proxy; answers once, later
 * @record:   something was decided
 */
struct gate_events {
    void (*identify)(struct gate_events *self, const struct sockaddr_storage *client,
                     const struct sockaddr_storage *proxy, gate_peer_fn done, void *ctx);
    void (*record)(struct gate_events *self, const struct gate_record *record);
};

/**
 * struct gate_limits - Bounds of one sandbox; none may be 0
 * @connections: at once; more wait to be accepted
 * @head_ns:     for a request's head, from the moment that it is awaited on a new connection
 * @idle_ns:     between requests, and without a byte while one is under way
 * @tunnel_idle_ns: without a byte in a tunnel
 * @dial_ns:     for a name and the addresses behind it
 */
struct gate_limits {
    unsigned connections;
    int64_t head_ns;
    int64_t idle_ns;
    int64_t tunnel_idle_ns;
    int64_t dial_ns;
};

/** gate_limits_default() - 1,024 connections; 30 s; 5 min; 2 h; 30 s */
struct gate_limits gate_limits_default(void);

/**
 * struct gate_config - Copied; what it points to is borrowed until gate_free()
 * @fds:     listening sockets, non-blocking; taken, also on failure; -1: none. Without any there
 *            are visits alone
 * @parent:  a proxy of the operator's that tunnels go by; NULL: none
 * @resolver: what addresses stand for that redirected connections are for; NULL: there are none
 * @tcp:     with @resolver: where those arrive; taken like @fds
 * @authority: makes certificates for what is looked into; NULL: TLS is passed through, or refused
 *            where the policy has rules about requests
 * @trust:   whom to believe as a client, with @authority
 * @gateway: trusted address of the host for its aliases; NULL: none
 * @providers: what placeholders in requests stand for; NULL: nothing
 */
struct gate_config {
    struct osa_loop *loop;
    struct dns *dns;
    struct policy_live *policy;
    struct gate_events *events;
    struct gate_limits limits;
    struct tls_authority *authority;
    struct tls_trust *trust;
    const struct policy_address *gateway;
    const struct provider_env *providers;
    int fds[2];
    const struct parent *parent;
    struct resolver *resolver;
    int tcp;
};

/** gate_new() - Begin to accept. Return: OSA_OK; RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code gate_new(const struct gate_config *config, struct gate **ret_gate,
                                      struct osa_error *err);

/** gate_free() - Cut every connection. Answers to identify that are still to come are ignored. NULL is fine */
void gate_free(struct gate *gate);

/**
 * gate_visit() - A connection that others have accepted, from @client at @proxy
 * @fd: a connected stream socket, which need not have these addresses itself; taken. It is closed
 *      when there are too many connections
 */
void gate_visit(struct gate *gate, int fd, const struct sockaddr_storage *client,
                const struct sockaddr_storage *proxy);

/**
 * gate_policy_changed() - Hold every connection against the policy now in force
 * What it still allows goes on under it; the rest is cut.
 */
void gate_policy_changed(struct gate *gate);

/** gate_connections() - How many there are */
unsigned gate_connections(const struct gate *gate);
