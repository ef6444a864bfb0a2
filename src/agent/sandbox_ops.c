// SPDX-License-Identifier: Apache-2.0
/* Operations on a sandbox that is there: pause, limits, usage. */
#include "agent/agent_internal.h"

#include <stdio.h>
#include <string.h>

/* What an operation needs when the backend answers; the sandbox may be gone by then. */
struct operation {
    struct agent *agent;
    char sandbox_id[64];
    bool pause;
    struct resources before;
    struct resources wanted;
    done_fn done;
    void *ctx;
};

static struct operation *operation_new(const struct sandbox *sandbox, done_fn done, void *ctx)
{
    struct operation *op = calloc(1, sizeof(*op));
    if (op == NULL)
        abort();
    op->agent = sandbox->agent;
    (void)snprintf(op->sandbox_id, sizeof(op->sandbox_id), "%s", sandbox->id);
    op->done = done;
    op->ctx = ctx;
    return op;
}

static struct sandbox *operation_sandbox(const struct operation *op)
{
    return sandbox_find(op->agent, op->sandbox_id, NULL);
}

static void on_paused(void *ctx, const struct osa_error *error)
{
    struct operation *op = ctx;
    struct sandbox *sandbox = operation_sandbox(op);
    enum sandbox_state before = op->pause ? SANDBOX_READY : SANDBOX_PAUSED;
    if (error == NULL && sandbox != NULL && sandbox->state == before) {
        sandbox->state = op->pause ? SANDBOX_PAUSED : SANDBOX_READY;
        agent_emit(op->agent, op->pause ? EVENT_SANDBOX_PAUSED : EVENT_SANDBOX_RESUMED, sandbox->id,
                   NULL, NULL);
    }
    op->done(op->ctx, error);
    free(op);
}

void sandbox_pause(struct sandbox *sandbox, bool pause, done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (sandbox_usable(sandbox, /* paused_too= */ true, &err) != OSA_OK) {
        done(ctx, &err);
        return;
    }
    if ((sandbox->state == SANDBOX_PAUSED) == pause) {
        done(ctx, NULL);
        return;
    }
    struct operation *op = operation_new(sandbox, done, ctx);
    op->pause = pause;
    sandbox->backend->ops->sandbox_pause(sandbox->handle, pause, on_paused, op);
}

static void on_updated(void *ctx, const struct osa_error *error)
{
    struct operation *op = ctx;
    struct sandbox *sandbox = operation_sandbox(op);
    if (sandbox != NULL)
        sandbox->updating = false;
    if (sandbox != NULL && error != NULL) {
        agent_release(op->agent, &sandbox->reserved, &op->before);
        sandbox->reserved = op->before;
    } else if (sandbox != NULL) {
        sandbox->limits = op->wanted;
        if (sandbox->ephemeral && sandbox->processes != NULL)
            sandbox->processes->limits = op->wanted;
        agent_emit(op->agent, EVENT_RESOURCES_UPDATED, sandbox->id, NULL, NULL);
    }
    op->done(op->ctx, error);
    free(op);
}

void sandbox_update(struct sandbox *sandbox, const struct resources *wanted, done_fn done,
                    void *ctx)
{
    struct osa_error err = { 0 };
    uint32_t capabilities = sandbox_capabilities(sandbox);
    const struct resources after = agent_merge_limits(&sandbox->limits, wanted);

    if ((capabilities & BACKEND_CAP_UPDATE_RESOURCES) == 0)
        (void)osa_fail(&err, OSA_UNIMPLEMENTED, 0, "%s sandboxes cannot change limits here",
                       runtime_kind_name(sandbox->kind));
    else if (sandbox->updating)
        (void)osa_fail(&err, OSA_UNAVAILABLE, 0, "another update of sandbox '%s' is on its way",
                       sandbox->id);
    if (err.code != OSA_OK ||
        spec_check_limits(wanted, sandbox->kind, capabilities, "resources", &err) != OSA_OK ||
        sandbox_usable(sandbox, /* paused_too= */ true, &err) != OSA_OK ||
        agent_reserve(sandbox->agent, &sandbox->reserved, &after, &err) != OSA_OK) {
        done(ctx, &err);
        return;
    }
    struct operation *op = operation_new(sandbox, done, ctx);
    op->before = sandbox->reserved;
    op->wanted = after;
    sandbox->reserved = after;
    sandbox->updating = true;
    sandbox->backend->ops->sandbox_update(sandbox->handle, &after, on_updated, op);
}

void sandbox_stats(struct sandbox *sandbox, stats_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (sandbox_usable(sandbox, /* paused_too= */ true, &err) != OSA_OK)
        done(ctx, NULL, &err);
    else
        sandbox->backend->ops->sandbox_stats(sandbox->handle, done, ctx);
}
