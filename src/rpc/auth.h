// SPDX-License-Identifier: Apache-2.0
/*
 * The one place where a caller is told from another and let in or not.
 *
 * Who a caller is: over a Unix socket, the user that connected (an operator; others were turned
 * away at the door); with a client certificate, an operator. A bearer token that is sent along
 * decides where tokens are configured: it must be a known one, and its role counts.
 */
#pragma once

#include "rpc/server.h"

#include <grpc/grpc.h>

struct rpc_auth;

/**
 * rpc_auth_new() - Read the tokens
 * @config: borrowed; paths and uids must outlive the result
 * Return: OSA_OK; INVALID_ARGUMENT, NOT_FOUND or FAILED_PRECONDITION for a token file that cannot be used.
 */
OSA_MUST_CHECK enum osa_code rpc_auth_new(const struct rpc_server_config *config,
                                          struct rpc_auth **ret_auth, struct osa_error *err);

/** rpc_auth_free() - Wipes the tokens. NULL is fine */
void rpc_auth_free(struct rpc_auth *auth);

/** rpc_auth_has_token() - Is there a token that an operator could send? */
bool rpc_auth_has_token(const struct rpc_auth *auth);

/** rpc_auth_add_health_port() - Who comes through this TCP port may ask for health alone; before the start */
OSA_MUST_CHECK enum osa_code rpc_auth_add_health_port(struct rpc_auth *auth, uint16_t port,
                                                      struct osa_error *err);

/** rpc_auth_uid_allowed() - May this user connect to a Unix socket? */
bool rpc_auth_uid_allowed(const struct rpc_auth *auth, uint32_t uid);

/**
 * rpc_auth_check() - Find out who calls and whether that is enough
 * @needed:   the least role
 * @health:   the method is one of grpc.health.v1
 * @ret_peer: filled in any case, with RPC_ROLE_NONE for a caller without standing
 * Return: OSA_OK; UNAUTHENTICATED (no or a wrong token); PERMISSION_DENIED (a lesser role).
 * Thread: any. Reads a changed token file again, at most once a second.
 */
OSA_MUST_CHECK enum osa_code rpc_auth_check(struct rpc_auth *auth, grpc_call *call,
                                            const grpc_metadata_array *metadata,
                                            enum rpc_role needed, bool health,
                                            struct rpc_peer *ret_peer, struct osa_error *err);
