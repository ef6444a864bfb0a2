// SPDX-License-Identifier: Apache-2.0
/* Freezing, limits and measures; all by cgroup, and refused where a sandbox has none. */
#include "backends/process/defer.h"
#include "backends/process/internal.h"

static const char no_cgroup[] = "this sandbox has no cgroup: the agent may not make one here";

static struct osa_loop *loop_of(struct backend_sandbox *base)
{
    return OSA_CONTAINER_OF(base, struct sandbox, base)->backend->loop;
}

void sandbox_pause_op(struct backend_sandbox *base, bool pause, done_fn done, void *ctx)
{
    (void)pause;
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    defer_done(loop_of(base), done, ctx, &error);
}

void sandbox_update_op(struct backend_sandbox *base, const struct resources *limits, done_fn done,
                       void *ctx)
{
    (void)limits;
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    defer_done(loop_of(base), done, ctx, &error);
}

void sandbox_stats_op(struct backend_sandbox *base, stats_fn done, void *ctx)
{
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    defer_stats(loop_of(base), done, ctx, &error);
}

void process_update_op(struct backend_process *base, const struct resources *limits, done_fn done,
                       void *ctx)
{
    (void)limits;
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    defer_done(OSA_CONTAINER_OF(base, struct process, base)->loop, done, ctx, &error);
}

void process_stats_op(struct backend_process *base, stats_fn done, void *ctx)
{
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "%s", no_cgroup);
    defer_stats(OSA_CONTAINER_OF(base, struct process, base)->loop, done, ctx, &error);
}
