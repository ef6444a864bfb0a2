// SPDX-License-Identifier: Apache-2.0
/* The standard service grpc.reflection, v1 and v1alpha. Source: grpc doc/server-reflection.md */
#pragma once

#include "rpc/server.h"

struct rpc_reflection;

/**
 * rpc_reflection_new() - Serve the files of config->descriptor_set
 * Return: OSA_OK; INVALID_ARGUMENT for a malformed set.
 */
OSA_MUST_CHECK enum osa_code rpc_reflection_new(const struct rpc_server_config *config,
                                                struct rpc_reflection **ret_reflection,
                                                struct osa_error *err);

/** rpc_reflection_free() - After the last call. NULL is fine */
void rpc_reflection_free(struct rpc_reflection *reflection);

/**
 * rpc_reflection_service() - The method table, for rpc_server_add_service() with @reflection as ctx
 * @alpha: of the package v1alpha, else of v1
 */
const struct rpc_service *rpc_reflection_service(const struct rpc_reflection *reflection,
                                                 bool alpha);

/** rpc_reflection_add() - A service to be listed; @name must outlive it; before the first call */
OSA_MUST_CHECK enum osa_code rpc_reflection_add(struct rpc_reflection *reflection, const char *name,
                                                struct osa_error *err);

/** rpc_reflection_shutdown() - End the streams that are open with UNAVAILABLE. Thread: loop */
void rpc_reflection_shutdown(struct rpc_reflection *reflection);
