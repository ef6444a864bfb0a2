// SPDX-License-Identifier: Apache-2.0
/*
 * Decisions over a policy document.
 *
 * An engine is a document compiled: immutable, shared by reference between threads, and deciding
 * without allocation, locks or system calls. The order of one connection is
 *
 *     policy_connect()      may this executable open host:port?          (this header)
 *     policy_guard_…()      may it be dialled at these addresses?        (policy/guard.h)
 *     policy_route()        which endpoint is this path for?             (policy/request.h)
 *     policy_request()      may this request pass?                       (policy/request.h)
 *
 * all with the same engine: a connection keeps its reference, and when policy/live.h has a newer
 * one, the connection ends rather than going on under two policies.
 *
 * What is found out about a refusal is a reason and pointers into the document; text is made only
 * when asked for, by policy_explain_…() (policy/explain.h).
 */
#pragma once

#include "policy/document.h"
#include "policy/reason.h"

struct policy_engine;
struct policy_ranges; /* allowed_ips, compiled; policy/guard.h looks inside */

/**
 * struct policy_engine_options - How a document is read
 * @ignore_binaries: decide by host and port alone, whoever asks
 * @strict: the safer reading where upstream's is surprising; see docs/policy.md:
 *          * in a deny rule's query and tool crosses dots; an endpoint without `enforcement`
 *          enforces; an endpoint path is compared on every
 *          endpoint, also in audit; unknown MCP methods are not "all known methods"
 * @generation: told by policy_engine_generation()
 */
struct policy_engine_options {
    bool ignore_binaries;
    bool strict;
    uint64_t generation;
};

/**
 * policy_engine_compile() - An engine for a document
 * @doc:     one reference is added
 * @options: NULL for all zero
 * @ret:     returned (release with policy_engine_unref())
 * Thread: any. Return: OSA_OK; INVALID_ARGUMENT for a pattern that is too large to match in linear
 * time and memory; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_engine_compile(const struct policy_document *doc,
                                                   const struct policy_engine_options *options,
                                                   const struct policy_engine **ret,
                                                   struct osa_error *err);

/**
 * policy_engine_quarantine() - An engine that refuses everything with POLICY_REASON_QUARANTINE
 * @why: for explanations: which version was refused and what was wrong with it; copied
 * Return: returned (release with policy_engine_unref())
 */
const struct policy_engine *policy_engine_quarantine(const char *why, uint64_t generation);

/** policy_engine_ref() - One more owner. Thread: any. Return: @engine */
const struct policy_engine *policy_engine_ref(const struct policy_engine *engine);

/** policy_engine_unref() - One owner less; the last one frees. NULL is fine. Thread: any */
void policy_engine_unref(const struct policy_engine *engine);

/** policy_engine_unrefp() - Cleanup function */
static inline void policy_engine_unrefp(const struct policy_engine **engine)
{
    policy_engine_unref(*engine);
}

/** policy_engine_generation() - The number that the options gave */
uint64_t policy_engine_generation(const struct policy_engine *engine);

/** policy_engine_document() - Its document, borrowed; NULL of a quarantine */
const struct policy_document *policy_engine_document(const struct policy_engine *engine);

/**
 * struct policy_connection - Who wants to connect where; all borrowed
 * @host:      name or address as the client sent it, without brackets; a trailing dot matters
 * @port:      not 0
 * @binary:    path of the executable that owns the connection; NULL: not known
 * @ancestors: executables of its parents, the nearest first
 * @cmdline_paths: absolute paths in its argv; for explanations only, they grant nothing
 * @identity:  NONE, or what went wrong on the way to @binary: IDENTITY_PENDING to SHARED_SOCKET,
 *             which then is the answer
 * @told_by_guest: another kernel than this host's says so
 */
struct policy_connection {
    const char *host;
    uint16_t port;
    const char *binary;
    const char *const *ancestors;
    size_t ancestor_count;
    const char *const *cmdline_paths;
    size_t cmdline_path_count;
    enum policy_reason identity;
    bool told_by_guest;
};

enum {
    POLICY_MAX_HOST = 255,      /* bytes of a host; RFC 1035, 2.3.4 */
    POLICY_MAX_ANCESTORS = 64,  /* more are not looked at, so they grant nothing */
    POLICY_INLINE_ENDPOINTS = 8 /* endpoints remembered in a decision; more are looked up again */
};

/**
 * struct policy_grant - Answer to policy_connect(); plain data, may be copied, valid as long as
 * the engine
 * @allow:     else @reason says why not
 * @rule:      the rule that allowed it, the first by key; NULL when refused
 * @endpoint:  the first endpoint that says anything about requests, TLS or addresses, whose TLS
 *             mode and allowed_ips count; NULL: a plain connection
 * @ranges:    allowed_ips of @endpoint; NULL: none
 * @tls_skip:  do not open TLS
 * @inspect:   some endpoint has request rules: each request needs policy_route(), policy_request()
 * @declared:  an endpoint names this very host, and neither it nor the executable's entry was
 *             proposed by an advisor; private addresses are then fine (policy/guard.h)
 * @credentialed: some endpoint carries a provider's credentials
 * @uninspected: a CONNECT must be refused with POLICY_REASON_UNINSPECTED: credentials could leave
 *             where nobody looks
 * @endpoint_count: endpoints that take part in routing
 * @endpoints: the first of them, private to the engine
 */
struct policy_grant {
    bool allow;
    enum policy_reason reason;
    const struct policy_rule *rule;
    const struct policy_endpoint *endpoint;
    const struct policy_ranges *ranges;
    bool tls_skip;
    bool inspect;
    bool declared;
    bool credentialed;
    bool uninspected;
    uint32_t endpoint_count;
    uint32_t endpoints[POLICY_INLINE_ENDPOINTS];
};

/**
 * policy_connect() - Decide on a connection
 * @ret: written always
 * Thread: any; allocates nothing. Return: ret->allow
 */
bool policy_connect(const struct policy_engine *engine, const struct policy_connection *connection,
                    struct policy_grant *ret);

/**
 * policy_host_known() - Whether some rule lists this host and port, for any executable
 * @protocol: of the endpoint; POLICY_PROTOCOL_COUNT for any
 *
 * For the resolver of a sandbox, which does not know who asks: POLICY_PROTOCOL_TCP is what upstream
 * lets it resolve. @port 0 is any port.
 */
bool policy_host_known(const struct policy_engine *engine, const char *host, uint16_t port,
                       enum policy_protocol protocol);
