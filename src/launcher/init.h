// SPDX-License-Identifier: Apache-2.0
/* The init of one sandbox. */
#pragma once

#include "launcher/plan.h"
#include "launcher/wire.h"

#include <signal.h>

/**
 * init_run() - Set the sandbox up as @plan says, confirm it, then serve the agent; never returns
 * @sock:   to the agent; every other descriptor but 0, 1 and 2 is closed already
 * @plan:   checked; lives as long as the process
 * @uid, @gid: the agent's, which the new user namespace no longer tells
 * @buffer: for packets
 *
 * The process must be a fresh fork with all signals blocked and default dispositions. It ends when
 * the agent closes the socket: with status 0 when no child was left, else with 1 after it has killed
 * those that it knows.
 */
void init_run(int sock, const struct sandbox_plan *plan, uid_t uid, gid_t gid,
              struct wire_buffer *buffer) __attribute__((noreturn));
