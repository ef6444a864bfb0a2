// SPDX-License-Identifier: Apache-2.0
/* From the paths of a policy document to the Landlock rules that init applies. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "launcher/landlock.h"
#include "policy/paths.h"

/* The newest ABI whose features are used; newer kernels are treated as this one. */
#define LANDLOCK_NEWEST_ABI 9u

enum landlock_tcp {
    LANDLOCK_TCP_OPEN,   /* not Landlock's business: the network namespace decides */
    LANDLOCK_TCP_CLOSED, /* binding and connecting only as @connect_ports say */
};

/**
 * struct landlock_spec - What to compile; borrowed for the call
 * @abi:          as probed, 0: none; see landlock_plan.c for what each brings
 * @paths, @path_count: of policy_paths()
 * @hard:         the document says hard_requirement: a path that cannot be opened is a failure
 * @opted_out:    the document says best_effort in so many words, which accepts a kernel without
 *                Landlock even where nothing else keeps files apart
 * @private_root: a mount namespace shows the sandbox only its own files and devices
 * @tcp, @connect_ports, @connect_port_count: ports to connect to; ABI 4, else FAILED_PRECONDITION
 *                when something is to be closed and @need_tcp says that nothing else closes it
 * @log:          denials of all descendants go to the audit log; ABI 7
 */
struct landlock_spec {
    uint32_t abi;
    const struct policy_path *paths;
    size_t path_count;
    bool hard;
    bool opted_out;
    bool private_root;
    enum landlock_tcp tcp;
    bool need_tcp;
    const uint16_t *connect_ports;
    size_t connect_port_count;
    bool log;
};

/**
 * landlock_compile() - Make the plan
 * @out:  the plan is appended, of LANDLOCK_PLAN_MAX_BYTES at most; nothing when there is no
 *        Landlock here and that is acceptable
 * @degraded: a sentence of what is missing here is appended, NUL included, or nothing
 * Return: OSA_OK; FAILED_PRECONDITION, stage "landlock": what the policy needs is not here;
 * RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code landlock_compile(const struct landlock_spec *spec, struct osa_buf *out,
                                              struct osa_buf *degraded, struct osa_error *err);
