// SPDX-License-Identifier: Apache-2.0
/* The standard service grpc.health.v1.Health. Source: grpc doc/health-checking.md */
#pragma once

#include "rpc/server.h"

struct rpc_health;

/**
 * rpc_health_new() - Knows the server as a whole ("") and itself, none of which serves yet
 * Itself, "grpc.health.v1.Health", is for those who ask whether the server lives: a drain, which takes other
 * names out of service, leaves it. Answers come from the loop, so that one that hangs is found out.
 * @role: whom Check and Watch let in
 */
OSA_MUST_CHECK enum osa_code rpc_health_new(enum rpc_role role, struct rpc_health **ret_health,
                                            struct osa_error *err);

/** rpc_health_free() - After the last call. NULL is fine */
void rpc_health_free(struct rpc_health *health);

/** rpc_health_service() - The method table, for rpc_server_add_service() with @health as ctx */
const struct rpc_service *rpc_health_service(const struct rpc_health *health);

/** rpc_health_add() - One more name that can be asked for; before the first call */
OSA_MUST_CHECK enum osa_code rpc_health_add(struct rpc_health *health, const char *name,
                                            struct osa_error *err);

/** rpc_health_set() - Change a status and tell its watchers; a name never added is ignored. Thread: loop */
void rpc_health_set(struct rpc_health *health, const char *name, bool serving);

/** rpc_health_set_all() - rpc_health_set() for every name. Thread: loop */
void rpc_health_set_all(struct rpc_health *health, bool serving);

/** rpc_health_shutdown() - Nothing serves any more: tell the watchers, then end them with UNAVAILABLE. Thread: loop */
void rpc_health_shutdown(struct rpc_health *health);
