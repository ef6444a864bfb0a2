// SPDX-License-Identifier: Apache-2.0
/*
 * A bump allocator for messages that live as long as one callback. protobuf-c asks for memory once
 * per string, element and sub-message; here that is a few additions, and one free at the end.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct rpc_arena_chunk;

/**
 * struct rpc_arena - In its user's stack frame
 * @allocator: hand &arena.allocator to protobuf-c
 * @chunks:    owned; what did not fit into @first
 * @next, @left: free bytes of the newest chunk
 * @first:     enough for most requests
 */
struct rpc_arena {
    ProtobufCAllocator allocator;
    struct rpc_arena_chunk *chunks;
    char *next;
    size_t left;
    _Alignas(max_align_t) char first[4096];
};

/** rpc_arena_init() - Nothing is zeroed and nothing allocated; points into itself, so it cannot be copied */
void rpc_arena_init(struct rpc_arena *arena);

/** rpc_arena_done() - Free everything that came from it; also a cleanup function */
void rpc_arena_done(struct rpc_arena *arena);
