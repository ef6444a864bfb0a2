// SPDX-License-Identifier: Apache-2.0
/* What agent.c, sandbox.c and process*.c share. */
#pragma once

#include "agent/agent.h"
#include "agent/process.h"
#include "agent/sandbox.h"
#include "base/id.h"
#include "io/dns.h"
#include "io/tls.h"

struct drain_waiter {
    void (*done)(void *ctx, uint32_t ended, uint32_t killed);
    void *ctx;
    struct drain_waiter *next;
};

/**
 * struct agent - The tables
 * @live:    processes that are starting or running
 * @exited:  kept ones, oldest exit first; @exited_bytes of memory for output and requests
 */
struct agent {
    struct agent_setup setup;
    struct spec_rules rules;
    char instance_id[OSA_ID_SIZE];
    int64_t started_wall_ns;
    char default_sandbox_id[64];
    struct events *events;
    struct dns *dns; /* owned; NULL until a sandbox has a way out */
    struct egress_watcher *egress_watchers;
    struct tls_trust *trust; /* likewise, and where TLS is looked into */
    struct tls_store *store; /* the same for Java; owned, NULL until a sandbox has an authority */

    struct sandbox *sandboxes;
    struct sandbox *sandboxes_by_key;
    struct resources allocated;

    struct process *processes;
    struct process *processes_by_key;
    uint32_t live;
    struct process *exited;
    uint32_t exited_count;
    uint64_t exited_bytes;
    struct osa_timer retain_timer;

    bool draining;
    bool drain_expired;
    int64_t drain_deadline_ns;
    struct osa_timer drain_timer;
    struct drain_waiter *drain_waiters;
    uint32_t drain_ended;
    uint32_t drain_killed;

    bool stopping;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

/** agent_emit() - Add an event; @sandbox_id, @process_id, @message may be NULL */
void agent_emit(struct agent *agent, enum event_type type, const char *sandbox_id,
                const char *process_id, const char *message);

/** agent_reserve() - Change one sandbox's share of the capacity. RESOURCE_EXHAUSTED when it does not fit */
OSA_MUST_CHECK enum osa_code agent_reserve(struct agent *agent, const struct resources *before,
                                           const struct resources *after, struct osa_error *err);

/** agent_release() - Give back a share: it becomes @after, which is less or was there before */
void agent_release(struct agent *agent, const struct resources *before,
                   const struct resources *after);

/** agent_merge_limits() - @before with the fields of @wanted that are not 0 */
struct resources agent_merge_limits(const struct resources *before, const struct resources *wanted);

/** agent_process_ended() - A process stopped being live; may finish a drain */
void agent_process_ended(struct agent *agent, const struct process *process);

/** agent_sandbox_gone() - A sandbox left the table; may finish a shutdown */
void agent_sandbox_gone(struct agent *agent);

/** agent_retain() - Put an exited process on the list, then forget what is over the bounds */
void agent_retain(struct agent *agent, struct process *process);

/** agent_retain_output() - Count what it occupies now; may drop outputs, its own too. For listed processes */
void agent_retain_output(struct agent *agent, struct process *process);

/** sandbox_create_for() - Like sandbox_create(), for a process's own sandbox */
void sandbox_create_for(struct process *process, struct sandbox_request *request,
                        sandbox_done_fn done, void *ctx);

/** sandbox_add_process() - It starts there */
void sandbox_add_process(struct sandbox *sandbox, struct process *process);

/** sandbox_unsettle() - Count one more reason to keep the sandbox */
void sandbox_unsettle(struct sandbox *sandbox);
/** sandbox_settle() - One reason less; may delete an ephemeral sandbox and arm the idle time */
void sandbox_settle(struct sandbox *sandbox);
/** sandbox_process_ended() - A process of it stopped being live; @gone: it never started and is forgotten */
void sandbox_process_ended(struct sandbox *sandbox, struct process *process, bool gone);
/** sandbox_forget_process() - Take it off the sandbox's list */
void sandbox_forget_process(struct sandbox *sandbox, struct process *process);

/** process_start() - Hand it to the backend of @sandbox */
void process_start(struct process *process, struct sandbox *sandbox);
/** process_fail() - The start failed: tell everybody and forget it */
void process_fail(struct process *process, const struct osa_error *error);
/** process_kill_tree() - KILL without grace, once; also what is left after the exit */
void process_kill_tree(struct process *process);
/** process_sandbox_gone() - The backend has destroyed the sandbox; only output may still come */
void process_sandbox_gone(struct process *process);
/** process_evict() - Forget an exited process; readers keep the struct */
void process_evict(struct process *process);
/** process_settle() - Let go of the backend's handle when nothing needs it any more */
void process_settle(struct process *process);
/** process_events_init() - Point the callbacks of the backend at the handlers */
void process_events_init(struct process *process);
/** process_wake_readers() - Call every reader's ready */
void process_wake_readers(struct process *process);
