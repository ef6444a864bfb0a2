// SPDX-License-Identifier: Apache-2.0
/* Failures that are known at once, told later: a backend never calls back from inside a call. */
#pragma once

#include "backends/backend.h"

/**
 * defer_done(), defer_created(), defer_spawned(), defer_stats(), defer_usage(), defer_stream(), defer_owner() - Call @done with
 * @error from the loop, after the current callback. @error is copied; NULL is success (done only);
 * @usage is a success, copied too.
 * Abort without memory, for a callback that never comes would be worse.
 */
void defer_done(struct osa_loop *loop, done_fn done, void *ctx, const struct osa_error *error);
void defer_created(struct osa_loop *loop, sandbox_created_fn done, void *ctx,
                   const struct osa_error *error);
void defer_spawned(struct osa_loop *loop, spawned_fn done, void *ctx,
                   const struct osa_error *error);
void defer_stats(struct osa_loop *loop, stats_fn done, void *ctx, const struct osa_error *error);
void defer_usage(struct osa_loop *loop, stats_fn done, void *ctx, const struct usage_stats *usage);
void defer_stream(struct osa_loop *loop, stream_fn done, void *ctx, const struct osa_error *error);
void defer_owner(struct osa_loop *loop, owner_fn done, void *ctx, const struct osa_error *error);
