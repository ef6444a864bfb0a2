// SPDX-License-Identifier: Apache-2.0
/*
 * The root that a sandbox sees, built by its init in a mount namespace of its own.
 *
 * Three shapes:
 *   view      the host's root with policy paths: a fresh tmpfs that holds only those paths, the
 *             links that lead to them and the top-level links (/bin → usr/bin). What is not listed
 *             is absent: sockets of runtimes, tokens, other users' files.
 *   whole     the host's root without policy paths, or with "/" among them: everything, read-only
 *             but for the writable paths; /run is private and empty.
 *   image     a directory (unpacked image) under an overlay whose upper half is in the scratch, or
 *             in a directory that outlives the sandbox.
 *
 * All have a private /tmp, /var/tmp and /dev/shm (one scratch tmpfs, so that one bound holds for
 * all), a /dev of few nodes, a /proc of the own pid namespace with the dangerous files masked, and
 * /sys only where the policy lists it. Everything is nosuid, and nodev outside /dev.
 *
 * Mount flags are the second wall: Landlock decides what a process may open. But they hold where
 * Landlock does not look (stat, chmod, connecting to a socket file), and on kernels without it.
 *
 * Paths are looked up with openat2(RESOLVE_IN_ROOT) and everything is mounted onto descriptors, so
 * a root that swaps directories for links while it is being set up gains nothing. /proc, /dev, /sys
 * and /tmp that are links are an error.
 *
 * Needs Linux 5.12: mounts are made detached and get their flags before anybody can reach them, which
 * the older calls cannot do. A kernel without is FAILED_PRECONDITION, and the level is not FULL or
 * ROOTLESS there (launcher/rehearsal.h).
 *
 * A sandbox without a mount namespace (RESTRICTED) calls none of this.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Scratch space when the spec sets no disk_bytes: as much as tmpfs gives by itself, half of memory. */
#define MOUNTS_SCRATCH_UNLIMITED 0

/* One path of the policy: absolute, no "..", in the sandbox's root. */
struct mounts_path {
    const char *path;
    bool writable;
};

/**
 * struct mounts_spec - What to build; strings and arrays are borrowed for the call
 * @root:       "" for the host's root, else the absolute path of a directory
 * @root_fd:    O_PATH descriptor of @root, which then is for messages only; -1 to open it here
 * @changes:    "" or the absolute path of a directory with "upper" and "work" for the overlay over @root
 * @paths:      the policy's read_only and read_write paths; the working directory among them if the
 *              policy includes it
 * @hidden:     host paths to be covered by something empty and unreadable: the agent's state and
 *              socket directories. NULL-terminated or NULL. Host's root only
 * @shared:     a directory of the host that processes see, read-only, as /dev/openshell; NULL or ""
 *              for none
 * @workspace:  where /sandbox leads in a view, as people and programs expect of OpenShell's
 *              sandboxes; NULL or "" for nowhere
 * @scratch_bytes: bound of everything the sandbox may write outside @paths; rounded up to pages
 * @owner_uid, @owner_gid: own what is made for the sandbox (missing writable directories of an image)
 * @own_pid_namespace: the caller is in a fresh pid namespace, so that /proc can be mounted
 * @own_net_namespace: likewise for /sys
 */
struct mounts_spec {
    const char *root;
    int root_fd;
    const char *changes;
    const struct mounts_path *paths;
    size_t path_count;
    const char *const *hidden;
    const char *shared;
    const char *workspace;
    uint64_t scratch_bytes;
    uid_t owner_uid;
    gid_t owner_gid;
    bool own_pid_namespace;
    bool own_net_namespace;
};

/* Parts that this kernel or host refused; each has a sentence, mounts_missing_text(). */
enum mounts_missing {
    MOUNTS_NO_PROC = 1u << 0,    /* /proc is empty: mounting it was refused */
    MOUNTS_NO_HIDEPID = 1u << 1, /* /proc shows all processes of the sandbox, init included */
    MOUNTS_NO_SYS = 1u << 2,     /* the policy lists /sys, which is empty */
    MOUNTS_NO_PTS = 1u << 3,     /* no terminals: devpts was refused */
    MOUNTS_NO_OVERLAY = 1u << 4, /* the image is read-only: overlayfs was refused */
    MOUNTS_NO_NODE = 1u << 5,    /* a standard device node is missing on the host */
};
#define MOUNTS_MISSING_COUNT 6

/**
 * struct mounts_report - What was built
 * @missing:       MOUNTS_NO_* bits
 * @paths_applied: paths of the spec that are there
 * @paths_skipped: paths of the spec that do not exist, or may not be shown (a block device)
 */
struct mounts_report {
    unsigned missing;
    uint32_t paths_applied;
    uint32_t paths_skipped;
};

/**
 * mounts_enter() - Build the root and make it the caller's; the old one is gone afterwards
 * @ret: written on success
 *
 * The caller is alone in a fresh mount namespace, holds CAP_SYS_ADMIN over it and has no directory
 * open that it wants to keep secret from its children. On success its root and working directory
 * are the new root. On failure the namespace is half built: the caller exits.
 *
 * Thread: init, single-threaded. Return: OSA_OK; INVALID_ARGUMENT: a path that is not absolute;
 * FAILED_PRECONDITION: the root cannot be used (not a directory, /proc is a link, …), or the kernel
 * refuses what must be; INTERNAL. Stage "mount" or "root".
 */
OSA_MUST_CHECK enum osa_code mounts_enter(const struct mounts_spec *spec, struct mounts_report *ret,
                                          struct osa_error *err);

/** mounts_missing_text() - A sentence for one MOUNTS_NO_* bit, for the list of degraded controls. Return: a constant; NULL for no such bit */
const char *mounts_missing_text(unsigned bit);
