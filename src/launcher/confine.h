// SPDX-License-Identifier: Apache-2.0
/*
 * Steps that everything takes which init starts: processes and copiers. As all between fork and exec,
 * they call the kernel directly and allocate nothing.
 */
#pragma once

#include "launcher/identity.h"
#include "launcher/plan.h"

#include "base/error.h"

/** confine_join_cgroups() - Enter a cgroup by each of @fds, files named cgroup.procs or tasks. Return: 0 or -errno */
int confine_join_cgroups(const int *fds, unsigned count);

/** confine_close_from() - Close every descriptor from @first on. Return: 0 or -errno */
int confine_close_from(int first);

/**
 * confine_drop() - Become @identity without any privilege, and die with the parent
 * The death signal comes last, for the change of ids clears it. Return: as privileges_drop().
 */
OSA_MUST_CHECK enum osa_code confine_drop(const struct sandbox_plan *sandbox,
                                          const struct identity *identity, struct osa_error *err);

/**
 * confine_load_filter() - Load the sandbox's system call filter, if it has one
 * @flags: of seccomp(2); without a listener, what would be asked of one is refused with ENOSYS
 * @ret_listener: with SECCOMP_FILTER_FLAG_NEW_LISTENER, else untouched; owned by the caller
 * Return: 0 or -errno.
 */
int confine_load_filter(const struct sandbox_plan *sandbox, uint32_t flags, int *ret_listener);
