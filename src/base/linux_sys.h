// SPDX-License-Identifier: Apache-2.0
/*
 * Raw system calls that the C library lacks or wraps differently from version to version.
 *
 * Each function takes the arguments of its man page, returns -1 with errno like syscall(2), and
 * gives ENOSYS where the kernel has no such call. No policy, no retries. All are async-signal-safe.
 * This header stands in for <sys/mount.h>, which cannot be included beside <linux/mount.h> with
 * every C library.
 */
#pragma once

#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Numbers from 424 on are the same on every architecture that we build for. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#define SYS_fspick 433
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

/* Flags of umount2(2), which the kernel's own headers do not export. */
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif
#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x00000200
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/** osa_sys_mount() - mount(2) */
static inline int osa_sys_mount(const char *source, const char *target, const char *type,
                                unsigned long flags, const void *data)
{
    return (int)syscall(SYS_mount, source, target, type, flags, data);
}

/** osa_sys_umount2() - umount2(2) */
static inline int osa_sys_umount2(const char *target, int flags)
{
    return (int)syscall(SYS_umount2, target, flags);
}

/** osa_sys_pivot_root() - pivot_root(2) */
static inline int osa_sys_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

/** osa_sys_open_tree() - open_tree(2), Linux 5.2. Return: descriptor */
static inline int osa_sys_open_tree(int dirfd, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dirfd, path, flags);
}

/** osa_sys_move_mount() - move_mount(2), Linux 5.2 */
static inline int osa_sys_move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to,
                                     unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_dirfd, from, to_dirfd, to, flags);
}

/** osa_sys_fsopen() - fsopen(2), Linux 5.2. Return: descriptor */
static inline int osa_sys_fsopen(const char *fs_name, unsigned flags)
{
    return (int)syscall(SYS_fsopen, fs_name, flags);
}

/** osa_sys_fsconfig() - fsconfig(2), Linux 5.2 */
static inline int osa_sys_fsconfig(int fs_fd, unsigned cmd, const char *key, const void *value,
                                   int aux)
{
    return (int)syscall(SYS_fsconfig, fs_fd, cmd, key, value, aux);
}

/** osa_sys_fsmount() - fsmount(2), Linux 5.2. Return: descriptor of a detached mount */
static inline int osa_sys_fsmount(int fs_fd, unsigned flags, unsigned attr_flags)
{
    return (int)syscall(SYS_fsmount, fs_fd, flags, attr_flags);
}

/** osa_sys_mount_setattr() - mount_setattr(2), Linux 5.12 */
static inline int osa_sys_mount_setattr(int dirfd, const char *path, unsigned flags,
                                        const struct mount_attr *attr, size_t size)
{
    return (int)syscall(SYS_mount_setattr, dirfd, path, flags, attr, size);
}

/** osa_sys_openat2() - openat2(2), Linux 5.6. Return: descriptor */
static inline int osa_sys_openat2(int dirfd, const char *path, const struct open_how *how,
                                  size_t size)
{
    return (int)syscall(SYS_openat2, dirfd, path, how, size);
}

/** osa_sys_close_range() - close_range(2), Linux 5.9 */
static inline int osa_sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

/** osa_sys_pidfd_open() - pidfd_open(2), Linux 5.3. Return: descriptor, CLOEXEC */
static inline int osa_sys_pidfd_open(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

/** osa_sys_pidfd_send_signal() - pidfd_send_signal(2), Linux 5.1 */
static inline int osa_sys_pidfd_send_signal(int pidfd, int signo, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, info, flags);
}

/** osa_sys_clone3() - clone3(2) without a new stack, Linux 5.3. Return: as fork(2) */
static inline pid_t osa_sys_clone3(struct clone_args *args, size_t size)
{
    return (pid_t)syscall(SYS_clone3, args, size);
}

/** osa_sys_landlock_create_ruleset() - landlock_create_ruleset(2), Linux 5.13. Return: descriptor or ABI */
static inline int osa_sys_landlock_create_ruleset(const struct landlock_ruleset_attr *attr,
                                                  size_t size, unsigned flags)
{
    return (int)syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

/** osa_sys_landlock_add_rule() - landlock_add_rule(2), Linux 5.13; @attr is of the type that @rule_type says */
static inline int osa_sys_landlock_add_rule(int ruleset_fd, int rule_type, const void *attr,
                                            unsigned flags)
{
    return (int)syscall(SYS_landlock_add_rule, ruleset_fd, rule_type, attr, flags);
}

/** osa_sys_landlock_restrict_self() - landlock_restrict_self(2), Linux 5.13 */
static inline int osa_sys_landlock_restrict_self(int ruleset_fd, unsigned flags)
{
    return (int)syscall(SYS_landlock_restrict_self, ruleset_fd, flags);
}

/** osa_sys_seccomp() - seccomp(2), Linux 3.17 */
static inline int osa_sys_seccomp(unsigned operation, unsigned flags, void *args)
{
    return (int)syscall(SYS_seccomp, operation, flags, args);
}

/** osa_sys_keyctl() - keyctl(2). Return: what the operation says */
static inline long osa_sys_keyctl(int operation, unsigned long a, unsigned long b, unsigned long c,
                                  unsigned long d)
{
    return syscall(SYS_keyctl, operation, a, b, c, d);
}
