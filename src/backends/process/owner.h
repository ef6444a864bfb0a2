// SPDX-License-Identifier: Apache-2.0
/*
 * Who opened a connection from inside a sandbox, from what the kernel knows and the workload cannot
 * forge: the connection's socket (sock_diag(7) in the sandbox's namespace), the processes there that
 * hold it, their executables and those of their ancestors.
 *
 * What changes while it is looked at, or what several different programs hold, has no owner. An
 * executable is trusted as it was at its first use: its digest is kept, and another one under the
 * same path is refused for the rest of the sandbox's life.
 *
 * Looking takes system calls by the hundred, and hashing reads files; so a thread does it.
 */
#pragma once

#include "backends/backend.h"

struct owner_worker; /* the thread; one for a backend */
struct owners;       /* what is known of one sandbox */

/** owner_worker_new() - A worker whose thread starts with the first question */
struct owner_worker *owner_worker_new(struct osa_loop *loop);

/** owner_worker_free() - Join it; no struct owners may be left. Runs the loop while answers are on their way. NULL is fine */
void owner_worker_free(struct owner_worker *worker);

/**
 * owners_new() - For one sandbox
 * @diag_fd: a socket of NETLINK_SOCK_DIAG in its network namespace; taken
 * Thread: loop
 */
struct owners *owners_new(struct owner_worker *worker, int diag_fd);

/** owners_free() - Answer what was asked with ABORTED, from the loop. NULL is fine. Thread: loop */
void owners_free(struct owners *owners);

/**
 * owners_find() - Ask
 * @init: the sandbox's init as the agent numbers it; not reaped before owners_free()
 * @done: from the loop, once
 */
void owners_find(struct owners *owners, pid_t init, const struct door_visit *visit, owner_fn done,
                 void *ctx);
