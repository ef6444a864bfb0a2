// SPDX-License-Identifier: Apache-2.0
/*
 * A proxy of the operator's that tunnels take on their way out, where nothing leads out directly. It
 * is told addresses that were checked here, so that no second look at a name leads elsewhere; and it
 * is no part of what a policy decides.
 *
 * Threads: the loop thread; the struct does not change after parent_new().
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "egress/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/**
 * struct parent_config - As the operator gave it; borrowed for the call
 * @proxy:       "http://HOST:PORT"
 * @no_proxy:    what is dialled directly: a list, with commas, of "*", an address, ADDRESS/BITS or a
 *               name, which means all names below it as well, each with :PORT or without; NULL: nothing
 * @auth_file:   a regular file with one line, "user:password"; NULL: the proxy asks for none
 * @auth_allow_insecure: the operator knows that the password travels in the clear; goes with @auth_file
 * @by_hostname: tell it the name instead of the address that was checked
 */
struct parent_config {
    const char *proxy;
    const char *no_proxy;
    const char *auth_file;
    bool auth_allow_insecure;
    bool by_hostname;
};

struct parent;

/**
 * parent_new() - Read and check all of it
 * @ret: returned (free with parent_free()); NULL when @config names no proxy
 * Return: OSA_OK; INVALID_ARGUMENT that begins with the option; NOT_FOUND and others of the file.
 */
OSA_MUST_CHECK enum osa_code parent_new(const struct parent_config *config, struct parent **ret,
                                        struct osa_error *err);

/** parent_free() - NULL is fine */
void parent_free(struct parent *parent);

/** parent_proxy() - Where it listens */
const struct target *parent_proxy(const struct parent *parent);

/**
 * parent_bypassed() - Is the target dialled directly?
 * @addresses: where it leads, checked; those that are to be dialled are moved to the front
 * @ret_count: how many; written when true is returned
 */
bool parent_bypassed(const struct parent *parent, const struct target *target,
                     struct sockaddr_storage *addresses, size_t count, size_t *ret_count);

/**
 * parent_request() - The head of a CONNECT
 * @address: of @target, checked
 * @named:   the name may be told, should the operator want that
 * Return: false when @out has no room.
 */
bool parent_request(const struct parent *parent, const struct target *target,
                    const struct sockaddr_storage *address, bool named, struct osa_buf *out);
