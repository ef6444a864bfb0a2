// SPDX-License-Identifier: Apache-2.0
/* TLS server credentials from files, which are read again when they change. */
#pragma once

#include "rpc/server.h"

#include <grpc/grpc.h>

struct rpc_credentials_store;

/**
 * rpc_credentials_new() - Read and check certificate, key and client CA
 * @config: strings must outlive the result
 * Return: OSA_OK, also when no certificate is configured; INVALID_ARGUMENT for a file that cannot be
 * parsed or a key that does not belong to the certificate; NOT_FOUND.
 */
OSA_MUST_CHECK enum osa_code rpc_credentials_new(const struct rpc_credentials *config,
                                                 struct rpc_credentials_store **ret_store,
                                                 struct osa_error *err);

/** rpc_credentials_core() - For one grpc_server_add_http2_port(); NULL without a certificate; borrowed */
grpc_server_credentials *rpc_credentials_core(struct rpc_credentials_store *store);

/** rpc_credentials_free() - After grpc_server_destroy(). NULL is fine */
void rpc_credentials_free(struct rpc_credentials_store *store);
