// SPDX-License-Identifier: Apache-2.0
/* Between the parts of the mounts module: mounts.c (order), mounts_system.c (/dev, /proc, /sys,
 * scratch) and mounts_paths.c (what the policy lists). */
#pragma once

#include "launcher/mounts.h"

#include <limits.h>

/* What every mount of a sandbox has, and what those outside /dev have. */
#define MOUNTS_ATTR_BASE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define MOUNTS_ATTR_QUIET (MOUNTS_ATTR_BASE | MOUNT_ATTR_NOEXEC)

enum mounts_shape { MOUNTS_VIEW, MOUNTS_WHOLE, MOUNTS_IMAGE };

/**
 * struct mounts_build - A root being built
 * @host_fd:    the old root
 * @image_fd:   directory of the image; -1 in the other shapes
 * @root_fd:    the new root, attached but not yet the caller's
 * @scratch_fd: root of the scratch tmpfs, attached out of reach; holds tmp, shm, upper, …
 * @upper_fd:   holds "upper" and "work" of the overlay: the scratch, or the spec's own directory
 * @dev_fd:     the new /dev, writable until the end
 * @cover_fds:  mounts that cover a file and a directory, for more of their kind; -1: none yet
 * @err:        the caller's
 */
struct mounts_build {
    const struct mounts_spec *spec;
    enum mounts_shape shape;
    struct mounts_report report;
    int host_fd;
    int image_fd;
    int root_fd;
    int scratch_fd;
    int upper_fd;
    int dev_fd;
    int cover_fds[2];
    struct osa_error *err;
};

/* ---- helpers, mounts.c ---- */

/** mounts_lookup() - O_PATH descriptor of @path below @dir_fd, no link followed anywhere; a link as last part opens itself. Return: descriptor or -errno */
OSA_MUST_CHECK int mounts_lookup(int dir_fd, const char *path, int flags);

/** mounts_make_dir() - mounts_lookup() of one directory name, made with mode 0755 if it is missing. Return: descriptor or -errno */
OSA_MUST_CHECK int mounts_make_dir(int dir_fd, const char *name);

/** mounts_bind_scratch() - Attach directory or file @name of the scratch onto @target_fd. Return: 0 or -errno */
OSA_MUST_CHECK int mounts_bind_scratch(const struct mounts_build *b, const char *name,
                                       unsigned attrs, int target_fd);

/** mounts_cover() - Put something empty and read-only onto @target_fd, which is a directory or not. Return: 0 or -errno */
OSA_MUST_CHECK int mounts_cover(struct mounts_build *b, bool is_dir, int target_fd);

/** mounts_failed() - FAILED_PRECONDITION for a mount that must be, with the errno -@failed */
enum osa_code mounts_failed(const struct mounts_build *b, int failed, const char *what);

/* ---- mounts_system.c ---- */

/** mounts_make_scratch() - The scratch tmpfs with its directories. Return: as mounts_enter() */
OSA_MUST_CHECK enum osa_code mounts_make_scratch(struct mounts_build *b);

/** mounts_make_system() - /dev, /proc and /sys of the new root. Return: as mounts_enter() */
OSA_MUST_CHECK enum osa_code mounts_make_system(struct mounts_build *b);

/** mounts_is_below() - Is @path the directory @dir or something below it? Both without trailing slash */
bool mounts_is_below(const char *path, const char *dir);

/* ---- mounts_paths.c ---- */

/** mounts_copy_links() - The links in the host's "/" also in the view's, so that /bin is where people expect it. Return: as mounts_enter() */
OSA_MUST_CHECK enum osa_code mounts_copy_links(struct mounts_build *b);

/** mounts_show_paths() - Bind the policy's paths with their flags, and the private /tmp, /var/tmp and /run; counts them in the report. Return: as mounts_enter() */
OSA_MUST_CHECK enum osa_code mounts_show_paths(struct mounts_build *b);

/** mounts_hide_paths() - Cover spec->hidden. Return: as mounts_enter() */
OSA_MUST_CHECK enum osa_code mounts_hide_paths(struct mounts_build *b);
