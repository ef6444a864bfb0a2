// SPDX-License-Identifier: Apache-2.0
/* What processes share, and its life: creating → ready ⇄ paused → deleting; failed when its init or VM is lost. */
#pragma once

#include "agent/agent.h"

#include <uthash.h>

/* Numbers equal openshell.agent.v1.Sandbox.State. */
enum sandbox_state {
    SANDBOX_CREATING = 1,
    SANDBOX_READY = 2,
    SANDBOX_PAUSED = 3,
    SANDBOX_DELETING = 4,
    SANDBOX_FAILED = 5,
};

typedef void (*sandbox_done_fn)(void *ctx, struct sandbox *sandbox, const struct osa_error *error);

/* Somebody who waits for a creation or a deletion. */
struct sandbox_waiter {
    sandbox_done_fn done;
    void *ctx;
    struct sandbox_waiter *next;
};

/**
 * struct sandbox - The fields down to @message are for others to read
 * @request:   what was asked; owned
 * @kind:      the kind that serves it
 * @limits:    in force now
 * @live:      processes that are starting or running
 * @message:   why it is FAILED
 * @reserved:  what capacity counts for it
 * @updating:  an update of limits is on its way
 * @destroying: the backend has been told to destroy it
 * @unsettled: processes that are live, or whose tree is being killed; an ephemeral sandbox and
 *             the idle time wait for 0
 */
struct sandbox {
    struct agent *agent;
    char id[64];
    enum sandbox_state state;
    struct sandbox_request *request;
    enum runtime_kind kind;
    struct isolation isolation;
    struct resources limits;
    int64_t created_wall_ns;
    uint32_t live;
    bool ephemeral;
    char message[256];

    struct backend *backend;
    struct backend_sandbox *handle;
    struct egress *egress;       /* owned; NULL without a way out */
    struct authority *authority; /* owned; NULL: TLS that goes out is not looked into */
    struct sandbox_events events;
    struct process *processes;
    struct sandbox_waiter *created;
    struct sandbox_waiter *deleted;
    struct osa_timer timer; /* grace while deleting, idle time before */
    struct resources reserved;
    bool updating;
    bool delete_wanted;
    bool destroying;
    uint32_t unsettled;
    UT_hash_handle by_id;
    UT_hash_handle by_key;
};

/**
 * sandbox_create() - CreateSandbox
 * @request: taken
 * @done:    once it is READY; the same key and digest give the same sandbox
 */
void sandbox_create(struct agent *agent, struct sandbox_request *request, sandbox_done_fn done,
                    void *ctx);

/** sandbox_find() - By id, in whatever state. Return: NULL with NOT_FOUND in @err */
struct sandbox *sandbox_find(struct agent *agent, const char *id, struct osa_error *err);

/** sandbox_first() - All sandboxes in order of creation; NULL when there is none */
struct sandbox *sandbox_first(struct agent *agent);
/** sandbox_next() - The one created after @sandbox; NULL at the end */
struct sandbox *sandbox_next(struct sandbox *sandbox);

/**
 * sandbox_usable() - May operations run in it now?
 * Return: OSA_OK; UNAVAILABLE while creating; ABORTED when deleting or failed; FAILED_PRECONDITION
 * when paused, unless @paused_too.
 */
OSA_MUST_CHECK enum osa_code sandbox_usable(const struct sandbox *sandbox, bool paused_too,
                                            struct osa_error *err);

/**
 * sandbox_delete() - TERM to all trees, after @grace_ns KILL, then nothing is left
 * @done: with NULL for the sandbox, when it is gone; NULL when nobody wants to know
 */
void sandbox_delete(struct sandbox *sandbox, int64_t grace_ns, sandbox_done_fn done, void *ctx);

/** sandbox_pause() - Freeze or thaw; nothing to do when it is so already */
void sandbox_pause(struct sandbox *sandbox, bool pause, done_fn done, void *ctx);

/** sandbox_update() - New limits; fields of @wanted that are 0 stay. @done: then sandbox->limits holds them */
void sandbox_update(struct sandbox *sandbox, const struct resources *wanted, done_fn done,
                    void *ctx);

/**
 * sandbox_set_policy() - Another policy from now on
 * @doc: one reference is added
 * Return: OSA_OK; FAILED_PRECONDITION: it differs in more than network sections, or there is no
 * proxy to hold it; INVALID_ARGUMENT: it cannot be used; as sandbox_usable()
 */
OSA_MUST_CHECK enum osa_code sandbox_set_policy(struct sandbox *sandbox,
                                                const struct policy_document *doc,
                                                uint32_t *ret_version, struct osa_error *err);

/** sandbox_stats() - Usage of all of it */
void sandbox_stats(struct sandbox *sandbox, stats_fn done, void *ctx);

/** sandbox_capabilities() - BACKEND_CAP_* of its backend */
uint32_t sandbox_capabilities(const struct sandbox *sandbox);
