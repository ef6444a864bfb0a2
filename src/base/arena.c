// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include "base/macros.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A spec of the usual size, /bin/true with a few variables, fits into one block. */
#define BLOCK_BYTES ((size_t)1000)

struct osa_arena_block {
    struct osa_arena_block *next;
    size_t used;
    size_t size;
    _Alignas(max_align_t) char data[];
};

void *osa_arena_alloc(struct osa_arena *arena, size_t size)
{
    size_t need = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct osa_arena_block *block = arena->blocks;
    if (need < size)
        abort();
    if (block == NULL || block->size - block->used < need) {
        size_t room = OSA_MAX(need, BLOCK_BYTES);
        block = calloc(1, sizeof(*block) + room);
        if (block == NULL)
            abort();
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *data = block->data + block->used;
    block->used += need;
    return data;
}

void *osa_arena_copy(struct osa_arena *arena, const void *data, size_t len)
{
    void *copy = osa_arena_alloc(arena, len);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

const char *osa_arena_strdup(struct osa_arena *arena, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return "";
    return osa_arena_copy(arena, text, strlen(text) + 1);
}

const char *osa_arena_printf(struct osa_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    char *text = osa_arena_alloc(arena, (size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}

size_t osa_arena_bytes(const struct osa_arena *arena)
{
    size_t bytes = 0;
    for (const struct osa_arena_block *block = arena->blocks; block != NULL; block = block->next)
        bytes += sizeof(*block) + block->size;
    return bytes;
}

void osa_arena_done(struct osa_arena *arena)
{
    while (arena->blocks != NULL) {
        struct osa_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
