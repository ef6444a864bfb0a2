// SPDX-License-Identifier: Apache-2.0
/*
 * Landlock rules as flat bytes, and their application by init.
 *
 * The agent compiles them (backends/process/landlock_plan.h) from the policy document and the ABI
 * that was probed; here paths are opened and rules added. Only system calls are made, no memory is
 * taken, so that it may run between fork and exec.
 *
 * The rules are about the tree that the caller sees as "/". They are prepared after its mounts are
 * done and while it still has the privileges to open every path, and enforced as late as its other
 * steps allow: nothing can be mounted afterwards.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANDLOCK_PLAN_MAGIC 0x4b4e4c4cu /* "LLNK" */
#define LANDLOCK_PLAN_MAX_BYTES (4u << 20)

/* struct landlock_path_rule.flags */
enum {
    LANDLOCK_RULE_REQUIRED = 1u << 0, /* fails when it cannot be opened; else it is skipped */
    LANDLOCK_RULE_SILENT = 1u << 1,   /* a missing path is not counted as skipped */
};

/**
 * struct landlock_path_rule - What is allowed beneath a path
 * @access: LANDLOCK_ACCESS_FS_* as for a directory; cut to what suits a file when it is none
 * @path:   offset of its NUL-terminated text from the start of the plan
 */
struct landlock_path_rule {
    uint64_t access;
    uint32_t path;
    uint32_t flags;
};

struct landlock_port_rule {
    uint64_t access; /* LANDLOCK_ACCESS_NET_* */
    uint64_t port;
};

/**
 * struct landlock_plan - Head of the bytes; rules follow: paths, ports, then text
 * @size:   of the whole
 * @abi:    what it was compiled for
 * @handled_fs, @handled_net, @scoped: as in struct landlock_ruleset_attr; denied unless allowed
 * @restrict_flags: of landlock_restrict_self(2)
 */
struct landlock_plan {
    uint32_t magic;
    uint32_t size;
    uint32_t abi;
    uint32_t restrict_flags;
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
    uint32_t path_count;
    uint32_t port_count;
};

/**
 * struct landlock_report - How the rules fared
 * @applied: rules in force, those of ports included
 * @skipped: paths that do not exist or could not be opened, and have no rule
 * @failed_path: on failure, offset of the path at fault in the plan; 0: none is
 */
struct landlock_report {
    uint32_t applied;
    uint32_t skipped;
    uint32_t failed_path;
};

/**
 * landlock_plan_check() - Is @data a whole, consistent plan?
 * Every offset, count and terminating NUL is checked, so that landlock_prepare() need not.
 * @data: aligned for uint64_t
 * Return: the plan within @data; NULL when anything is wrong.
 */
const struct landlock_plan *landlock_plan_check(const void *data, size_t len);

/**
 * landlock_prepare() - Make a ruleset with all rules
 * @plan: checked
 * @ret_fd: returned; CLOEXEC
 * Async-signal-safe. Return: 0; -errno, with *ret_report telling the path if one is at fault.
 */
int landlock_prepare(const struct landlock_plan *plan, int *ret_fd,
                     struct landlock_report *ret_report);

/**
 * landlock_enforce() - Put the caller and its future children under the ruleset
 * no_new_privs must be set, or CAP_SYS_ADMIN be held. @ruleset_fd stays open.
 * Async-signal-safe. Return: 0; -errno.
 */
int landlock_enforce(const struct landlock_plan *plan, int ruleset_fd);

/**
 * landlock_failure() - Word a failure of landlock_prepare() for who asked for the sandbox
 * @plan: that failed
 * @sys_errno: positive
 * Return: FAILED_PRECONDITION, stage "landlock", with the path at fault if there is one.
 */
enum osa_code landlock_failure(const struct landlock_plan *plan,
                               const struct landlock_report *report, int sys_errno,
                               struct osa_error *err);
