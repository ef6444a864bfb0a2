// SPDX-License-Identifier: Apache-2.0
/*
 * Where a connection that policy allows may really go: the guard against names that lead inside.
 *
 * The proxy resolves a name once, has every address checked here, and dials only what was checked.
 * No resolver, socket or clock is involved.
 */
#pragma once

#include "policy/engine.h"

/**
 * struct policy_address - An IPv4 or IPv6 address
 * @size:  4 or 16
 * @bytes: network order
 */
struct policy_address {
    uint8_t size;
    uint8_t bytes[16];
};

enum policy_spelling {
    POLICY_SPELLING_NAME,  /* not an address */
    POLICY_SPELLING_PLAIN, /* dotted quad, or IPv6 as RFC 4291 writes it */
    POLICY_SPELLING_ODD /* what inet_aton(3) takes for one: octal, hexadecimal, short, trailing dot */
};

/**
 * policy_address_parse() - An address from a host as clients write it
 * @host: without brackets
 * @ret:  written unless NAME is returned
 * A zone ("fe80::1%eth0") makes it ODD. Thread: any.
 */
enum policy_spelling policy_address_parse(const char *host, struct policy_address *ret);

/* Room for policy_address_text(). */
#define POLICY_ADDRESS_TEXT 48

/** policy_address_text() - As inet_ntop(3) writes it. Return: @buf */
const char *policy_address_text(const struct policy_address *address,
                                char buf[POLICY_ADDRESS_TEXT]);

enum policy_address_class {
    POLICY_ADDRESS_PUBLIC,
    POLICY_ADDRESS_INTERNAL, /* private, shared, documentation, multicast, reserved … */
    POLICY_ADDRESS_METADATA, /* a cloud's metadata service outside the ranges below */
    POLICY_ADDRESS_BLOCKED   /* loopback, link-local, unspecified: never, whatever policy says */
};

/**
 * policy_address_class() - What kind of address it is
 * IPv6 forms that carry an IPv4 address (mapped, compatible, 6to4, Teredo, NAT64) are at least as
 * bad as the address inside.
 */
enum policy_address_class policy_address_class(const struct policy_address *address);

enum policy_guard_mode {
    POLICY_GUARD_GATEWAY,     /* an alias of the host: the trusted address only */
    POLICY_GUARD_ALLOWED_IPS, /* inside the endpoint's list */
    POLICY_GUARD_LITERAL,     /* the address that was asked for */
    POLICY_GUARD_DECLARED,    /* named in the policy: private is fine */
    POLICY_GUARD_PUBLIC       /* public addresses only */
};

/**
 * struct policy_guard - How the addresses of one connection are checked; plain data
 * @mode:    the first that applies, in the order of enum policy_guard_mode
 * @reason:  NONE, or why no address will do: a control-plane port, unusable allowed_ips, an odd
 *           spelling. Known before a name is resolved
 * @ranges:  for POLICY_GUARD_ALLOWED_IPS
 * @address: for GATEWAY and LITERAL
 * @literal: the host is an address: nothing has to be resolved, policy_guard_check() @address
 */
struct policy_guard {
    enum policy_guard_mode mode;
    enum policy_reason reason;
    const struct policy_ranges *ranges;
    struct policy_address address;
    bool literal;
};

/**
 * policy_guard_plan() - Choose the mode; first step
 * @grant:   allowed
 * @gateway: trusted address of the host for host.openshell.internal, host.containers.internal and
 *           host.docker.internal; NULL: none. One that is not link-local, or a metadata service, is
 *           not trusted
 * @ret:     written always
 * Return: ret->reason is NONE
 */
bool policy_guard_plan(const struct policy_connection *connection, const struct policy_grant *grant,
                       const struct policy_address *gateway, struct policy_guard *ret);

/**
 * policy_guard_check() - Whether one address may be dialled
 * An explicit proxy refuses the connection when any of a name's addresses fails; the resolver of a
 * sandbox drops that address. No address at all is POLICY_REASON_RESOLUTION, for the caller to say.
 * Return: NONE, or the reason of the guard's mode
 */
enum policy_reason policy_guard_check(const struct policy_guard *guard,
                                      const struct policy_address *address);

/** policy_guard_reason() - The reason of a mode when its check fails; also upstream's detail class */
enum policy_reason policy_guard_reason(enum policy_guard_mode mode);

/** policy_guard_mode_name() - "allowed_ips", "declared" and so on. Return: a constant */
const char *policy_guard_mode_name(enum policy_guard_mode mode);
