// SPDX-License-Identifier: Apache-2.0
#include "rpc/arena.h"
#include "base/macros.h"

#include <stdint.h>

#define CHUNK_BYTES ((size_t)16 * 1024)

struct rpc_arena_chunk {
    struct rpc_arena_chunk *older;
    _Alignas(max_align_t) char data[];
};

static void *arena_alloc(void *ctx, size_t size)
{
    struct rpc_arena *arena = ctx;
    const size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX - CHUNK_BYTES)
        return NULL;
    size = (size + align - 1) / align * align;
    if (size > arena->left) {
        size_t room = OSA_MAX(size, CHUNK_BYTES);
        struct rpc_arena_chunk *chunk = malloc(sizeof(*chunk) + room);
        if (chunk == NULL)
            return NULL;
        chunk->older = arena->chunks;
        arena->chunks = chunk;
        arena->next = chunk->data;
        arena->left = room;
    }
    void *taken = arena->next;
    arena->next += size;
    arena->left -= size;
    return taken;
}

static void arena_free(void *ctx, void *data)
{
    (void)ctx;
    (void)data; /* all at once, in rpc_arena_done() */
}

void rpc_arena_init(struct rpc_arena *arena)
{
    arena->allocator =
        (ProtobufCAllocator){ .alloc = arena_alloc, .free = arena_free, .allocator_data = arena };
    arena->chunks = NULL;
    arena->next = arena->first;
    arena->left = sizeof(arena->first);
}

void rpc_arena_done(struct rpc_arena *arena)
{
    while (arena->chunks != NULL) {
        struct rpc_arena_chunk *older = arena->chunks->older;
        free(arena->chunks);
        arena->chunks = older;
    }
}
