// SPDX-License-Identifier: Apache-2.0
/*
 * The agent: sandboxes, the processes in them, and what they have left behind.
 *
 * Everything runs on the loop thread. Callbacks of operations are called exactly once; they may be
 * called before the function that took them returns, with an error that was found at once.
 */
#pragma once

#include "agent/egress_options.h"
#include "agent/events.h"
#include "agent/spec.h"
#include "backends/backend.h"

struct agent;
struct sandbox;
struct process;

/**
 * struct agent_limits - Bounds; none may be 0
 * @output_retain_bytes: of one process, while it runs and after
 * @output_total_bytes:  of all exited processes together, their requests included; the oldest lose
 *                       their output first, and are then forgotten
 * @exit_retain_ns, @exit_retain_count: how long, and how many, exited processes are kept
 * @max_message_bytes:   told by GetInfo only; the server enforces it
 * @events_kept:         events that can be read again
 * @drain_timeout_ns:    for a Drain that names none
 */
struct agent_limits {
    uint32_t max_sandboxes;
    uint32_t max_processes;
    uint64_t output_retain_bytes;
    uint64_t output_total_bytes;
    int64_t exit_retain_ns;
    uint32_t exit_retain_count;
    uint32_t max_message_bytes;
    uint32_t max_exec_bytes;
    uint32_t events_kept;
    int64_t drain_timeout_ns;
};

/** agent_limits_default() - What the documentation promises */
struct agent_limits agent_limits_default(void);

/**
 * struct agent_setup - Copied; what it points to is borrowed until agent_free()
 * @backends: by kind; NULL for kinds that this build lacks
 * @capacity: what all sandboxes may have in limits together; 0: no bound
 * @policy:   for sandboxes that come without one; never NULL
 * @min_isolation: for a request that names none
 * @state_dir: absolute; NULL: sandboxes have no certificate authority, so the egress proxy does not
 *            look into TLS
 * @egress: NULL: all defaults
 * @parent: what its option of that name came to; NULL: none
 * @draining: called once when the agent stops accepting work; may be NULL
 */
struct agent_setup {
    struct osa_loop *loop;
    struct backend *backends[RUNTIME_KIND_COUNT];
    enum runtime_kind default_kind;
    struct agent_limits limits;
    struct resources capacity;
    const struct policy_document *policy;
    enum isolation_level min_isolation;
    bool allow_loader_env;
    const char *state_dir;
    const struct egress_options *egress;
    const struct parent *parent;
    void (*draining)(void *ctx);
    void *ctx;
};

/**
 * struct agent_state - What an agent is and has; filled by agent_state()
 * @allocated: sum of the limits of all sandboxes
 * @processes: started and not yet exited
 */
struct agent_state {
    const char *instance_id;
    int64_t started_wall_ns;
    const char *default_sandbox_id;
    bool draining;
    struct resources allocated;
    uint32_t sandboxes;
    uint32_t processes;
};

/** agent_new() - An agent without sandboxes */
struct agent *agent_new(const struct agent_setup *config);

/** agent_free() - After agent_shutdown()'s done. NULL is fine */
void agent_free(struct agent *agent);

/** agent_setup() - As given; constant */
const struct agent_setup *agent_setup(const struct agent *agent);

/** agent_state() - Of this moment */
struct agent_state agent_state(const struct agent *agent);

/** agent_check_accepting() - Does the agent start anything new? Return: OSA_OK; UNAVAILABLE while it drains */
OSA_MUST_CHECK enum osa_code agent_check_accepting(const struct agent *agent,
                                                   struct osa_error *err);

/** agent_events() - The event ring; never NULL */
struct events *agent_events(struct agent *agent);

/** agent_set_default_sandbox() - Where a Spawn without sandbox goes; @id is copied, "" for none */
void agent_set_default_sandbox(struct agent *agent, const char *id);

/**
 * agent_drain() - Stop accepting work, let processes end, kill the rest at the deadline
 * A second drain can bring the deadline forward, never put it off.
 * @timeout_ns: from now; negative: the configured one
 * @done: when nothing runs any more; with how many ended by themselves and how many were killed,
 *        counted from the first drain on. NULL when nobody wants to know
 */
void agent_drain(struct agent *agent, int64_t timeout_ns,
                 void (*done)(void *ctx, uint32_t ended, uint32_t killed), void *ctx);

/** agent_shutdown() - Drain at once, then delete all sandboxes; @done when none is left */
void agent_shutdown(struct agent *agent, void (*done)(void *ctx), void *ctx);
