// SPDX-License-Identifier: Apache-2.0
/* What init and keepers have in common: reports of starts and exits, and the keeper itself. */
#pragma once

#include "launcher/start.h"

#include <stdbool.h>
#include <sys/resource.h>

/** report_failed() - Send FAILED with stage, errno and detail */
void report_failed(int sock, uint64_t key, const struct start_report *report);

/**
 * report_started() - Send SPAWNED and close the descriptors of @started
 * @keeper_pidfd: borrowed; -1: none
 */
void report_started(int sock, uint64_t key, struct started *started, int keeper_pidfd);

/** report_exited() - Send EXITED; "last" is found by asking whether the caller has children left */
void report_exited(int sock, uint64_t key, int status, const struct rusage *usage);

/** has_children() - Has the caller any child, zombies included? */
bool has_children(void);

/**
 * keeper_run() - Start one process as its subreaper, and stay until its whole tree has ended
 * @parent: pid of init as the caller sees it, to notice that it died before the death signal was set
 * Runs in a fork of init; speaks on init's socket; never returns. Status 0: the tree has ended (or
 * never began). A keeper that ends otherwise was killed by the workload.
 */
void keeper_run(int sock, uint64_t key, const struct sandbox_plan *sandbox,
                const struct identity *identity, const struct launch_plan *plan,
                struct wire_packet *packet, pid_t parent) __attribute__((noreturn));
