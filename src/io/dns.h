// SPDX-License-Identifier: Apache-2.0
/* Names to addresses without blocking, from c-ares: the hosts file and the name servers of the host. */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stddef.h>
#include <sys/socket.h>

struct dns;
struct dns_query;

/**
 * dns_fn - How a query ended, from the loop, once
 * @addresses: borrowed for the call; IPv4 and IPv6 mixed, at most DNS_ADDRESSES_MAX, ports 0
 * @error:     NULL on success, and then there is at least one address; NOT_FOUND: no such name or
 *             no address; UNAVAILABLE: the servers do not answer
 */
typedef void (*dns_fn)(void *ctx, const struct sockaddr_storage *addresses, size_t count,
                       const struct osa_error *error);

#define DNS_ADDRESSES_MAX 16

/** dns_open() - A resolver on @loop, with the host's configuration. Thread: loop, here and below */
OSA_MUST_CHECK enum osa_code dns_open(struct osa_loop *loop, struct dns **ret_dns,
                                      struct osa_error *err);

/**
 * dns_set_servers() - Ask these name servers in place of the host's, from the next question on
 * @servers: addresses with or without a port, in their order
 * Return: OSA_OK; INVALID_ARGUMENT
 */
OSA_MUST_CHECK enum osa_code dns_set_servers(struct dns *dns, const char *const *servers,
                                             size_t count, struct osa_error *err);

/** dns_close() - Queries under way are dropped without an answer. NULL is fine */
void dns_close(struct dns *dns);

/**
 * dns_resolve() - Ask for all addresses of @name
 * Return: to cancel with; never NULL. The answer comes later, never from inside this call.
 */
struct dns_query *dns_resolve(struct dns *dns, const char *name, dns_fn done, void *ctx);

/** dns_cancel() - There will be no answer; @query is gone. NULL is fine */
void dns_cancel(struct dns_query *query);
