// SPDX-License-Identifier: Apache-2.0
#include "backends/defer.h"

#include <stdlib.h>

struct deferred {
    struct osa_task task;
    done_fn done; /* one of these six is set */
    sandbox_created_fn created;
    spawned_fn spawned;
    stats_fn stats;
    stream_fn stream;
    owner_fn owner;
    void *ctx;
    bool failed;
    struct osa_error error;
    struct usage_stats usage;
};

static void run(struct osa_task *task)
{
    struct deferred *d = OSA_CONTAINER_OF(task, struct deferred, task);
    const struct osa_error *error = d->failed ? &d->error : NULL;
    if (d->done != NULL)
        d->done(d->ctx, error);
    if (d->created != NULL)
        d->created(d->ctx, NULL, NULL, NULL, error);
    if (d->spawned != NULL)
        d->spawned(d->ctx, NULL, NULL, NULL, error);
    if (d->stats != NULL)
        d->stats(d->ctx, error == NULL ? &d->usage : NULL, error);
    if (d->stream != NULL)
        d->stream(d->ctx, -1, error);
    if (d->owner != NULL)
        d->owner(d->ctx, NULL, error);
    free(d);
}

static struct deferred *post(struct osa_loop *loop, void *ctx, const struct osa_error *error)
{
    struct deferred *d = calloc(1, sizeof(*d));
    if (d == NULL)
        abort();
    d->task.run = run;
    d->ctx = ctx;
    d->failed = error != NULL;
    if (error != NULL)
        d->error = *error;
    osa_loop_post(loop, &d->task);
    return d;
}

void defer_done(struct osa_loop *loop, done_fn done, void *ctx, const struct osa_error *error)
{
    post(loop, ctx, error)->done = done;
}

void defer_created(struct osa_loop *loop, sandbox_created_fn done, void *ctx,
                   const struct osa_error *error)
{
    post(loop, ctx, error)->created = done;
}

void defer_spawned(struct osa_loop *loop, spawned_fn done, void *ctx, const struct osa_error *error)
{
    post(loop, ctx, error)->spawned = done;
}

void defer_stats(struct osa_loop *loop, stats_fn done, void *ctx, const struct osa_error *error)
{
    post(loop, ctx, error)->stats = done;
}

void defer_usage(struct osa_loop *loop, stats_fn done, void *ctx, const struct usage_stats *usage)
{
    struct deferred *d = post(loop, ctx, NULL);
    d->usage = *usage;
    d->stats = done;
}

void defer_stream(struct osa_loop *loop, stream_fn done, void *ctx, const struct osa_error *error)
{
    post(loop, ctx, error)->stream = done;
}

void defer_owner(struct osa_loop *loop, owner_fn done, void *ctx, const struct osa_error *error)
{
    post(loop, ctx, error)->owner = done;
}
