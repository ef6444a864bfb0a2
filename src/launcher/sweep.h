// SPDX-License-Identifier: Apache-2.0
/* Finding and signalling the descendants of a process by /proc, where no cgroup or pid namespace does it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/**
 * sweep_descendants() - Send @signo to everything below @root, never to @root itself
 * @root:   pid in the caller's pid namespace; must be alive or held by the caller, so that its number is its own
 * @signo:  0 only counts
 * @except: pids whose subtrees are left out; NULL when @except_count is 0
 *
 * Each hit is made sure by a pidfd that was opened before parent and start time were read again, so
 * that a reused number is never signalled. One pass is a snapshot: a tree that forks meanwhile needs
 * another pass, and SIGKILL passes are repeated until one counts 0.
 * Return: members seen that were not zombies; -errno when /proc cannot be read.
 */
int sweep_descendants(pid_t root, int signo, const pid_t *except, size_t except_count);
