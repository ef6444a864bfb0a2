// SPDX-License-Identifier: Apache-2.0
/* Memory that is freed as a whole: for a domain struct and everything that it points to. */
#pragma once

#include <stddef.h>

/**
 * struct osa_arena - Embedded in its owner; all zero is an empty one
 * @blocks: private
 */
struct osa_arena {
    struct osa_arena_block *blocks;
};

/** osa_arena_alloc() - @size zeroed bytes, aligned for any type; aborts without memory, so bound @size before */
void *osa_arena_alloc(struct osa_arena *arena, size_t size);

/** osa_arena_strdup() - A copy of @text; NULL gives "" */
const char *osa_arena_strdup(struct osa_arena *arena, const char *text);

/** osa_arena_copy() - A copy of @len bytes */
void *osa_arena_copy(struct osa_arena *arena, const void *data, size_t len);

/** osa_arena_printf() - Formatted text */
const char *osa_arena_printf(struct osa_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** osa_arena_bytes() - Heap that it holds */
size_t osa_arena_bytes(const struct osa_arena *arena);

/** osa_arena_done() - Free all of it; the arena is empty again */
void osa_arena_done(struct osa_arena *arena);
