// SPDX-License-Identifier: Apache-2.0
/*
 * Giving privileges up for good, and checking that they are gone.
 *
 * Two kinds of caller. The launcher writes the id maps of an init that it has just cloned. The
 * child that is about to exec a workload calls, in this order:
 *
 *   privileges_new_session_keyring()   while it may still be refused for want of quota
 *   privileges_set_rlimits()           raising a hard limit needs CAP_SYS_RESOURCE
 *   privileges_disable_core_dumps()    after the spec's limits, so that none brings cores back
 *   privileges_drop()                  groups, ids, capabilities, securebits, no_new_privs
 *   (Landlock, seccomp)                not ours
 *
 * Everything here is safe between fork and exec of a single-threaded process: no allocation, no
 * locks, no descriptors left open. Errors carry the stage ("rlimit", "user", "capabilities" …).
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct identity;

/* One line of uid_map or gid_map, user_namespaces(7). */
struct privileges_id_range {
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};

/**
 * struct privileges_id_maps - Contents of a user namespace's maps; borrowed
 * @deny_setgroups: write "deny" first, which an unprivileged writer must; setgroups(2) then fails
 *                  inside and the groups of the caller stay with it
 */
struct privileges_id_maps {
    const struct privileges_id_range *uids;
    size_t uid_count;
    const struct privileges_id_range *gids;
    size_t gid_count;
    bool deny_setgroups;
};

/**
 * privileges_write_id_maps() - Write the maps of a fresh user namespace; no helper program is run
 * @pid:  a process in it, 0 for the caller itself
 * Without privileges over the parent namespace the kernel takes one line each, that maps the
 * caller's own effective id. At most 340 lines.
 * Return: OSA_OK; FAILED_PRECONDITION: the kernel refuses the map; INVALID_ARGUMENT: no range or too many.
 */
OSA_MUST_CHECK enum osa_code
privileges_write_id_maps(pid_t pid, const struct privileges_id_maps *maps, struct osa_error *err);

/* A limit as setrlimit(2) takes it; UINT64_MAX is RLIM_INFINITY. */
struct privileges_rlimit {
    int resource;
    uint64_t soft;
    uint64_t hard;
};

/**
 * privileges_set_rlimits() - Set limits, in order
 * Return: OSA_OK; INVALID_ARGUMENT: unknown resource, soft above hard; FAILED_PRECONDITION: above
 * the caller's hard limit without CAP_SYS_RESOURCE. Field "spec.rlimits".
 */
OSA_MUST_CHECK enum osa_code privileges_set_rlimits(const struct privileges_rlimit *limits,
                                                    size_t count, struct osa_error *err);

/**
 * privileges_empty_core_dumps() - A core dump of the caller, and of who descends from it, would hold no memory
 * The dump filter is inherited over fork and exec, core(5): called once, by the zygote. Where /proc is not
 * mounted it cannot be set, and where dumps are not configured it is not there.
 */
void privileges_empty_core_dumps(void);

/**
 * privileges_disable_core_dumps() - No core, neither as a file nor to a piped handler
 *
 * RLIMIT_CORE 0 keeps a file from being written, but the kernel ignores it when core_pattern is a
 * pipe; the one value that it honours there is 1, meant to stop a crashing handler from recursing,
 * and 1 is too small for a file as well. So both limits become 1. The workload could lower the
 * soft limit to 0 and have the handler back, which is why the seccomp filter refuses changes of
 * RLIMIT_CORE. PR_SET_DUMPABLE would not do: exec sets it to 1 again. The second wall is
 * privileges_empty_core_dumps().
 *
 * A limit that is 0 already and cannot be raised stays 0, and *ret_piped_open says that a piped
 * handler would still be run.
 *
 * @ret_piped_open: may be NULL
 * Return: OSA_OK; INTERNAL. Source: core(5), fs/coredump.c.
 */
OSA_MUST_CHECK enum osa_code privileges_disable_core_dumps(bool *ret_piped_open,
                                                           struct osa_error *err);

/** privileges_new_session_keyring() - An empty session keyring of its own. Return: OSA_OK, also without keyrings in the kernel; RESOURCE_EXHAUSTED; INTERNAL */
OSA_MUST_CHECK enum osa_code privileges_new_session_keyring(struct osa_error *err);

/** privileges_set_hostname() - Name the caller's UTS namespace; which must be its own. Return: OSA_OK; INVALID_ARGUMENT; FAILED_PRECONDITION */
OSA_MUST_CHECK enum osa_code privileges_set_hostname(const char *name, struct osa_error *err);

enum privileges_flags {
    /* The ids are the caller's own and stay: no setgroups, setresgid, setresuid. A mismatch with
     * the identity is FAILED_PRECONDITION. For ROOTLESS and RESTRICTED. */
    PRIVILEGES_KEEP_IDS = 1u << 0,
};

/* What privileges_drop() had to leave, because the caller had no right to take it away. */
enum privileges_leftover {
    /* The bounding set is not empty (no CAP_SETPCAP); it is moot under no_new_privs. */
    PRIVILEGES_LEFT_BOUNDING = 1u << 0,
    /* Securebits could not be locked (no CAP_SETPCAP). */
    PRIVILEGES_LEFT_SECUREBITS = 1u << 1,
    /* KEEP_IDS: the caller's supplementary groups are still there (setgroups refused). */
    PRIVILEGES_LEFT_GROUPS = 1u << 2,
};

/**
 * privileges_empty_bounding_set() - As far as the caller may; for init, whose children inherit it. Return: 0 or -errno
 * privileges_drop() makes sure of it, by a call for each capability that it still finds.
 */
int privileges_empty_bounding_set(void);

/**
 * privileges_drop() - Become @id with no capability in any of the five sets, for ever
 * @id:      from identity_resolve()
 * @flags:   PRIVILEGES_* bits
 * @ret_leftover: PRIVILEGES_LEFT_* bits; may be NULL
 *
 * Sets, then reads back: groups, real, effective, saved and file system ids; bounding, ambient,
 * inheritable, permitted, effective; no_new_privs; and that no way back to user 0 is open. Only
 * what the flags above name may remain; any other difference fails. Clears the parent-death signal
 * on the way, as the kernel does on every change of credentials (prctl(2), PR_SET_PDEATHSIG).
 *
 * Return: OSA_OK; FAILED_PRECONDITION: the ids are not available here (not mapped, no privilege);
 * INTERNAL: the kernel took a call but did not do it.
 */
OSA_MUST_CHECK enum osa_code privileges_drop(const struct identity *id, unsigned flags,
                                             unsigned *ret_leftover, struct osa_error *err);
