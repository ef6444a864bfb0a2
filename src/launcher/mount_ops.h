// SPDX-License-Identifier: Apache-2.0
/*
 * Mounts by descriptor (Linux 5.12): a mount is made or copied detached, gets its flags while
 * nobody can reach it, and is attached last. Between making and attaching there is no moment in
 * which it is writable by mistake, and no path that could be swapped.
 *
 * All functions return 0 or -errno; ENOSYS means a kernel that is too old. Flags are MOUNT_ATTR_*.
 */
#pragma once

#include "base/macros.h"

#include <stdbool.h>
#include <stddef.h>

/* One option of a file system; value NULL for one that takes none. */
struct mount_option {
    const char *key;
    const char *value;
};

/** mount_ops_create() - A fresh file system of @type, detached; *ret_fd is its root */
OSA_MUST_CHECK int mount_ops_create(const char *type, const struct mount_option *options,
                                    size_t count, unsigned attrs, int *ret_fd);

/** mount_ops_copy() - A copy, flags included, of the attached mount that @fd is the root of. Return: detached mount, or -errno */
OSA_MUST_CHECK int mount_ops_copy(int fd);

/** mount_ops_clone() - A detached copy of the mount at @fd (a directory or file of it, O_PATH will do), its submounts too if @recursive */
OSA_MUST_CHECK int mount_ops_clone(int fd, bool recursive, unsigned attrs, int *ret_fd);

/** mount_ops_set() - Add flags to the mount at @fd, or to all below it as well */
OSA_MUST_CHECK int mount_ops_set(int fd, bool recursive, unsigned attrs);

/** mount_ops_attach() - Attach a detached mount onto what @target_fd names; @mount_fd stays open and valid */
OSA_MUST_CHECK int mount_ops_attach(int mount_fd, int target_fd);

/** mount_ops_make_private() - No mount event in or out of the caller's namespace, from its root on down */
OSA_MUST_CHECK int mount_ops_make_private(void);
