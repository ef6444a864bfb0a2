// SPDX-License-Identifier: Apache-2.0
/*
 * The certificate authority of a sandbox, with which the egress proxy looks into its TLS, and the
 * files by which its programs know it:
 *
 *     openshell-ca.pem   the authority alone
 *     ca-bundle.pem      the host's authorities and this one
 *     ca-bundle.p12      the same for Java, with the password AUTHORITY_STORE_PASSWORD
 *
 * They stand in a directory of the state directory, which the backend shows to the sandbox. The key
 * is never written.
 */
#pragma once

#include "base/error.h"
#include "io/tls.h"
#include "io/tls_store.h"

struct authority;

/* The one that Java's own store has. It keeps no secret. */
#define AUTHORITY_STORE_PASSWORD "changeit"

/**
 * authority_new() - Make one
 * @state_dir: absolute
 * @sandbox_id: names the directory
 * @store: of the host's authorities; NULL: there are none
 */
OSA_MUST_CHECK enum osa_code authority_new(const char *state_dir, const char *sandbox_id,
                                           const struct tls_store *store, struct authority **ret,
                                           struct osa_error *err);

/** authority_store() - The host's authorities as a store. Return: NULL when the host has none */
struct tls_store *authority_store(void);

/** authority_free() - Remove its files as well. NULL is fine */
void authority_free(struct authority *authority);

/** authority_tls() - For the proxy; borrowed */
struct tls_authority *authority_tls(const struct authority *authority);

/** authority_dir() - Where its files are; borrowed. "" for NULL */
const char *authority_dir(const struct authority *authority);

/** authority_sweep() - Remove what agents that are no more have left in @state_dir */
void authority_sweep(const char *state_dir);

/**
 * authority_trust() - Whom to believe as a client of the outside: the host's authorities
 * @extra_path: a file with more of them; NULL for none
 * Return: OSA_OK; FAILED_PRECONDITION: the host has none; INVALID_ARGUMENT: @extra_path is no good
 */
OSA_MUST_CHECK enum osa_code authority_trust(const char *extra_path, struct tls_trust **ret,
                                             struct osa_error *err);
