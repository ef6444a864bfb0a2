// SPDX-License-Identifier: Apache-2.0
/* What has to happen once in a process before gRPC core runs. */
#pragma once

/**
 * rpc_init() - Bring up OpenSSL and gRPC core; later calls do nothing
 *
 * OpenSSL is told not to read openssl.cnf, which could name a library to load; names are resolved
 * by c-ares, because getaddrinfo(3) would load NSS modules; gRPC's own log goes through osa_log.
 * rpc_server_new() and rpc_channel_new() call it. After it the process has threads and must not
 * fork. gRPC core stays until the process ends.
 * Source: OPENSSL_init_crypto(3); grpc doc/environment_variables.md
 */
void rpc_init(void);
