// SPDX-License-Identifier: Apache-2.0
/*
 * The resolver of one sandbox, for programs that know no proxy. It answers for names alone that the
 * policy lists with protocol tcp, and with addresses that mean something in this sandbox only: a
 * connection to one is redirected to the gate, which decides on the name behind it, resolves it once
 * more and checks where it leads. No question is ever passed on for another name, so that nothing
 * leaves the sandbox in one.
 *
 * Threads: the loop thread.
 */
#pragma once

#include "egress/gate.h"

struct resolver;

/**
 * struct resolver_config - Copied; what it points to is borrowed until resolver_free()
 * @udp, @tcp: where questions arrive, non-blocking; taken, also on failure
 * @net, @prefix: IPv4 addresses that may stand for names, in host order
 * @events:    told of refusals, kind "dns"
 */
struct resolver_config {
    struct osa_loop *loop;
    struct dns *dns;
    struct policy_live *policy;
    struct gate_events *events;
    uint32_t net;
    unsigned prefix;
    int udp;
    int tcp;
};

/** resolver_new() - Begin to answer. Return: OSA_OK; RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code resolver_new(const struct resolver_config *config,
                                          struct resolver **ret_resolver, struct osa_error *err);

/** resolver_free() - Questions that are still open get no answer. NULL is fine */
void resolver_free(struct resolver *resolver);

/** resolver_name() - What an address in host order stands for. Return: borrowed until the loop goes on; NULL: nothing */
const char *resolver_name(struct resolver *resolver, uint32_t address);

/** resolver_policy_changed() - Forget the names that the policy now in force does not list */
void resolver_policy_changed(struct resolver *resolver);
