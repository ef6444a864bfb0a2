// SPDX-License-Identifier: Apache-2.0
/*
 * Who a process runs as: users and groups of the sandbox's own root.
 *
 * The files of an image are hostile input, and the C library's lookups would load code from it
 * (NSS). So /etc/passwd and /etc/group are read by a strict parser of our own, bounded in every
 * dimension, and a doubt is an error: a name that two rows claim, a row with a field too many, a
 * number outside 0 … 4294967294.
 *
 * Root is refused. User 0 without capabilities still owns the host's files and may write the
 * sysctls that ask for no capability, so only a user namespace that maps it to somebody else makes
 * it harmless; whoever has made such a namespace passes IDENTITY_ALLOW_ROOT.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bounds of what is read. NGROUPS_MAX is 65536; a set that large is a mistake or an attack. */
enum {
    IDENTITY_FILE_MAX = 1 << 20,
    IDENTITY_LINE_MAX = 8192,
    IDENTITY_FIELD_MAX = 1024,
    IDENTITY_NAME_MAX = 256,
    IDENTITY_GROUPS_MAX = 256,
};

/* nobody and nogroup on every distribution, and the kernel's overflow id. */
#define IDENTITY_NOBODY 65534u

enum identity_flags {
    IDENTITY_ALLOW_ROOT = 1u << 0, /* user or group 0 is harmless here: a user namespace maps it */
};

/**
 * struct identity - A resolved user; plain data, no pointers, may be copied and sent
 * @uid, @gid:   user and primary group
 * @groups:      the complete supplementary set, @gid included
 * @name:        user name for USER and LOGNAME; the number in decimal when no row names it
 * @home:        absolute path for HOME; "/" when no row tells
 * @shell:       absolute path for SHELL; "/bin/sh" when no row tells
 */
struct identity {
    uid_t uid;
    gid_t gid;
    size_t group_count;
    gid_t groups[IDENTITY_GROUPS_MAX];
    char name[IDENTITY_NAME_MAX];
    char home[IDENTITY_FIELD_MAX];
    char shell[IDENTITY_FIELD_MAX];
};

/**
 * identity_resolve() - Turn "name", "uid", "name:group" or "uid:gid" into numbers
 * @root_fd: directory whose etc/passwd and etc/group count; AT_FDCWD stands for "/"
 * @spec:    not empty
 * @groups:  names or numbers that replace the groups which the user's rows imply; NULL for those.
 *           NULL-terminated
 * @flags:   IDENTITY_* bits
 * @ret:     written on success only
 * @err:     field is "spec.user" or "spec.groups"
 *
 * A number without a group needs a row, for its primary group. A named user's groups are the rows
 * of etc/group that list it; a number has its primary group alone. "uid:gid" reads no file unless
 * one is there to name the home.
 *
 * Thread: any, best in init once its root stands. Return: OSA_OK; INVALID_ARGUMENT: the grammar, a
 * number out of range, root, an unknown name; FAILED_PRECONDITION: the root's files are missing,
 * too large, malformed or ambiguous; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code identity_resolve(int root_fd, const char *spec,
                                              const char *const *groups, unsigned flags,
                                              struct identity *ret, struct osa_error *err);

/**
 * identity_keep_files() - Hold etc/passwd and etc/group below @root_fd open, for lookups from "/"
 *
 * A policy need not show /etc to the processes whose users it names. So init opens the files before
 * its new root and Landlock hide them, and identity_resolve(AT_FDCWD, …) reads what was opened where
 * it finds none or may not read it. A file that is missing or no file is told then, not here.
 * Thread: the only one.
 */
void identity_keep_files(int root_fd);

/**
 * identity_default() - Whom a process runs as when neither spec nor policy tells
 * @root_fd: as above
 * @flags:   as above
 * @ret:     the caller's own user and primary group; when that is root and IDENTITY_ALLOW_ROOT is
 *           not set, "sandbox" where the root's passwd has it, else nobody (65534:65534)
 * Return: as identity_resolve(); a root without passwd is fine.
 */
OSA_MUST_CHECK enum osa_code identity_default(int root_fd, unsigned flags, struct identity *ret,
                                              struct osa_error *err);

/**
 * identity_parse_id() - A user or group number: decimal digits alone, no sign, no leading zero
 * @text, @len: need not be terminated
 * @ret_id:  0 … 4294967294; 4294967295 is -1, which setresuid(2) takes for "unchanged"
 * Return: false for anything else.
 */
bool identity_parse_id(const char *text, size_t len, unsigned *ret_id);
