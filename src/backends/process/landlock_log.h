// SPDX-License-Identifier: Apache-2.0
/*
 * Landlock's refusals, read from the kernel's audit, as events of sandboxes and processes.
 *
 * The kernel tells them since Linux 6.15 to who listens on audit's multicast group, if audit is
 * switched on. Listening takes CAP_AUDIT_READ and the initial user, network and pid namespaces (its
 * pids are theirs). Switching audit on is the host's decision: it slows every system call down.
 *
 * An ACCESS record names a domain; the DOMAIN record that comes with a domain's first refusal names
 * the process that made it, which is a sandbox's init; the SYSCALL record of the same event, if the
 * host's rules let it be, names who called. All state belongs to the loop thread.
 */
#pragma once

#include "base/loop.h"

struct landlock_log;
struct process_backend;

/**
 * landlock_log_open() - Listen
 * @b: borrowed; its sandboxes are looked up
 * @ret_why: set to a constant on failure: a sentence that says what is missing
 * Return: NULL when it cannot be done here.
 */
struct landlock_log *landlock_log_open(struct process_backend *b, const char **ret_why);

/** landlock_log_close() - NULL is fine */
void landlock_log_close(struct landlock_log *log);
