// SPDX-License-Identifier: Apache-2.0
/* A cgroup that root hands to another user, as systemd's Delegate=yes does. Needs root. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/**
 * delegate_run() - Run @run in a child whose cgroup, in each hierarchy, belongs to @uid
 * @run: called with @argc and @argv, still as root; its return is the child's exit status
 * The cgroups are removed afterwards. Return: the exit status; 77 with a word when there are none.
 */
int delegate_run(uid_t uid, int (*run)(int argc, char **argv), int argc, char **argv);
