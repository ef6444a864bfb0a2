// SPDX-License-Identifier: Apache-2.0
/* Memory of one request: taken piece by piece, freed whole. */
#pragma once

#include <stddef.h>

struct cli_arena {
    struct cli_arena_piece *pieces; /* owned */
};

/** cli_alloc() - Zeroed memory that lives as long as @arena; aborts when there is none */
void *cli_alloc(struct cli_arena *arena, size_t count, size_t size);

/** cli_copy() - NUL-terminated copy of @len bytes */
char *cli_copy(struct cli_arena *arena, const char *text, size_t len);

/** cli_string() - cli_copy() of a string; for the non-const strings that protobuf-c wants */
char *cli_string(struct cli_arena *arena, const char *text);

/** cli_arena_done() - Free everything; also a cleanup function */
void cli_arena_done(struct cli_arena *arena);

/* A message of type @type in @arena, set to @init. */
#define CLI_NEW(arena, type, init)                                                                 \
    __extension__({                                                                                \
        type *new_ = cli_alloc((arena), 1, sizeof(type));                                          \
        *new_ = (type)init;                                                                        \
        new_;                                                                                      \
    })
