// SPDX-License-Identifier: Apache-2.0
/*
 * Where connections come from. Unix sockets and plain loopback TCP are accepted by our own loop,
 * which checks who connects, and handed to C core as descriptors. TLS is accepted by C core.
 */
#pragma once

#include "rpc/auth.h"
#include "rpc/server.h"

#include <grpc/grpc.h>

struct rpc_listener;

/**
 * rpc_listener_open() - Bind one address; nothing is accepted yet
 * @server: not started yet; borrowed for the life of the listener
 * @tls:    server credentials for TCP, NULL when there are none; borrowed
 * Return: OSA_OK; INVALID_ARGUMENT (cannot be parsed, TCP without TLS outside loopback, TCP without
 * any token or client CA); FAILED_PRECONDITION (taken by somebody else).
 */
OSA_MUST_CHECK enum osa_code rpc_listener_open(grpc_server *server, struct rpc_auth *auth,
                                               const struct rpc_server_config *config,
                                               const struct rpc_listen *listen,
                                               grpc_server_credentials *tls,
                                               struct rpc_listener **ret_listener,
                                               struct osa_error *err);

/** rpc_listener_start() - Accept from now on; after grpc_server_start() */
OSA_MUST_CHECK enum osa_code rpc_listener_start(struct rpc_listener *listener,
                                                struct osa_error *err);

/** rpc_listener_close() - Stop accepting, remove the socket file, free. NULL is fine */
void rpc_listener_close(struct rpc_listener *listener);

/** rpc_listener_port() - 0 for a Unix socket */
uint16_t rpc_listener_port(const struct rpc_listener *listener);
