// SPDX-License-Identifier: Apache-2.0
/* Specs of the agent as plans of the launcher. */
#pragma once

#include "backends/backend.h"
#include "base/buf.h"
#include "launcher/plan.h"

/* The proxy's port inside each sandbox, where scripts made for OpenShell expect it. */
#define SANDBOX_PROXY_PORT 3128
/* Ports of the resolver and of redirected TCP inside a sandbox; nothing names them, rules lead there. */
#define SANDBOX_NAMES_PORT 15053
#define SANDBOX_TCP_PORT 15001

/** struct plan_builder - A plan under construction; @buf holds it when a plan_build_… succeeded */
struct plan_builder {
    struct osa_buf buf;
};

/**
 * struct plan_host - What the host gives
 * @landlock_abi:  as probed; 0: none
 * @landlock_log:  its refusals are read from the kernel's audit
 * @seccomp_flags: of seccomp(2), as in struct sandbox_plan
 * @veth:          a sandbox with a proxy gets a veth pair, for which init hands its namespace out
 * @hidden:        host paths that no sandbox sees, NULL-terminated, or NULL
 * @secrets:       those of them that would give the agent away to whoever reads them
 */
struct plan_host {
    uint32_t landlock_abi;
    bool landlock_log;
    uint32_t seccomp_flags;
    bool veth;
    const char *const *hidden;
    const char *const *secrets;
};

/**
 * plan_build_sandbox() - struct sandbox_plan from a spec
 * @filter:    struct sock_filter[] that every process loads; empty: none
 * @isolation: level, namespaces and no_new_privs are what shall be in force; landlock_abi,
 *             landlock_hard and degraded are written
 * @ret: initialised here; plan_builder_done() in any case
 * Return: OSA_OK; FAILED_PRECONDITION: the policy needs what is not here; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code plan_build_sandbox(struct plan_builder *ret,
                                                const struct sandbox_spec *spec,
                                                const struct plan_host *host,
                                                const struct osa_buf *filter,
                                                struct isolation *isolation, struct osa_error *err);

/** isolation_add_degraded() - One more sentence; one that does not fit is left out */
void isolation_add_degraded(struct isolation *isolation, const char *sentence);

/** plan_add_bytes() - Append a blob at a multiple of 8. Return: where it is; absent when @len is 0 */
struct plan_blob plan_add_bytes(struct osa_buf *buf, const void *data, size_t len);

/** plan_add_text() - plan_add_bytes() of a string and its NUL; "" is absent */
struct plan_blob plan_add_text(struct osa_buf *buf, const char *text);

/**
 * plan_build_launch() - struct launch_plan from a spec
 * @keeper:     with a keeper
 * @tty_given:  the terminal's slave comes along
 * @cgroup_fds: how many come along
 * Return: as plan_build_sandbox(); INVALID_ARGUMENT: more than PLAN_MAX_RLIMITS limits.
 */
OSA_MUST_CHECK enum osa_code plan_build_launch(struct plan_builder *ret,
                                               const struct process_spec *spec, bool keeper,
                                               bool tty_given, uint32_t cgroup_fds,
                                               struct osa_error *err);

/**
 * plan_build_copy() - struct copy_plan
 * @user: "" for the sandbox's
 * Return: as plan_build_sandbox()
 */
OSA_MUST_CHECK enum osa_code plan_build_copy(struct plan_builder *ret, bool in, const char *path,
                                             const char *user, uint32_t cgroup_fds,
                                             struct osa_error *err);

/** plan_builder_done() - Free the plan */
void plan_builder_done(struct plan_builder *builder);
