// SPDX-License-Identifier: Apache-2.0
/* The process backend: sandboxes on the host's kernel, kept by a launcher beside the agent. */
#pragma once

#include "backends/backend.h"
#include "base/error.h"
#include "base/loop.h"

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

/**
 * struct process_backend_config - Choices of the agent; all zero is fine
 * @cgroup_parent, @state_dir: as in struct cgroup_config; a parent that cannot be used is a failure
 * @veth_pool: IPv4 network, /8 to /21, of which a sandbox with a proxy gets a veth pair's addresses,
 *            which takes the level FULL; what dead agents left in it is removed. NULL: loopback alone
 * @max_isolation: not to go above this level; ISOLATION_ANY: the highest that the host gives
 * @hidden_paths:  directories of the agent (sockets, tokens, state) that no sandbox may see; absolute,
 *                 NULL-terminated, copied; NULL for none
 * @secret_paths:  those of them that no process of the agent's user may read, whatever it costs: a sandbox
 *                 that could is refused; the same form
 */
struct process_backend_config {
    const char *cgroup_parent;
    const char *state_dir;
    const char *veth_pool;
    enum isolation_level max_isolation;
    const char *const *hidden_paths;
    const char *const *secret_paths;
};

/**
 * process_backend_start_launcher() - Start the launcher, from which every sandbox is forked
 *
 * The executable is a part of this one: it runs from a sealed memfd, or where the kernel refuses to
 * execute those (vm.memfd_noexec) from an unlinked file. Probes begin at once, in the launcher.
 * Makes the caller ignore SIGPIPE, as who writes to pipes of strangers must.
 *
 * Once in the life of a process, before its first thread and before grpc_init().
 * Return: OSA_OK; FAILED_PRECONDITION: nothing here lets us execute it; RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code process_backend_start_launcher(struct osa_error *err);

/** process_backend_launcher() - Its pid; 0 when none runs. The launcher outlives the agent until all it ran is killed */
pid_t process_backend_launcher(void);

/**
 * process_backend_open() - The backend on the started launcher; waits for the end of its probes
 * @loop:   borrowed; outlives the backend
 * @config: borrowed for the call
 * @ret:    returned (close with its ops)
 * Once for each start of the launcher. Closing the backend ends the launcher and all that runs.
 * Return: OSA_OK, also when info then says that it is not available; FAILED_PRECONDITION: no launcher
 * was started; UNAVAILABLE: it died; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code process_backend_open(struct osa_loop *loop,
                                                  const struct process_backend_config *config,
                                                  struct backend **ret, struct osa_error *err);

/**
 * process_backend_is_workload() - May the process that connected to us run in a sandbox?
 * Every process of a sandbox stems from the launcher: inits adopt what their children leave behind.
 * Where the answer cannot be had (it has gone since, or /proc hides it) it is no for other users
 * than ours, as whom no sandbox runs unless we are root.
 * @uid, @pid: as the kernel told when it connected; pid 0 is a process outside our pid namespace
 */
bool process_backend_is_workload(uint32_t uid, int32_t pid);
