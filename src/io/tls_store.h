// SPDX-License-Identifier: Apache-2.0
/*
 * Authorities for programs that read no PEM: a PKCS #12 store as Java wants one, whose entries are
 * marked as trusted. Nothing in it is secret; its password is there because readers ask for one.
 *
 * Threads: one at a time for each object.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct tls_store;

/** tls_store_new() - What all stores have: the authorities of @bundle, PEM text. INVALID_ARGUMENT without any */
OSA_MUST_CHECK enum osa_code tls_store_new(const char *bundle, struct tls_store **ret,
                                           struct osa_error *err);

/** tls_store_free() - NULL is fine */
void tls_store_free(struct tls_store *store);

/** tls_store_write() - Append a store with the authorities of @extra, PEM text, as well */
OSA_MUST_CHECK enum osa_code tls_store_write(const struct tls_store *store, const char *extra,
                                             const char *password, struct osa_buf *out,
                                             struct osa_error *err);
