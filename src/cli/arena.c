// SPDX-License-Identifier: Apache-2.0
#include "cli/arena.h"

#include <stdlib.h>
#include <string.h>

struct cli_arena_piece {
    struct cli_arena_piece *next;
    max_align_t data[];
};

void *cli_alloc(struct cli_arena *arena, size_t count, size_t size)
{
    struct cli_arena_piece *piece = NULL;
    size_t bytes = 0;
    if (!__builtin_mul_overflow(count, size, &bytes) &&
        !__builtin_add_overflow(bytes, sizeof(*piece), &bytes))
        piece = calloc(1, bytes);
    if (piece == NULL)
        abort();
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece->data;
}

char *cli_copy(struct cli_arena *arena, const char *text, size_t len)
{
    char *copy = cli_alloc(arena, len + 1, 1);
    if (len > 0)
        memcpy(copy, text, len);
    return copy;
}

char *cli_string(struct cli_arena *arena, const char *text)
{
    return cli_copy(arena, text, strlen(text));
}

void cli_arena_done(struct cli_arena *arena)
{
    while (arena->pieces != NULL) {
        struct cli_arena_piece *next = arena->pieces->next;
        free(arena->pieces);
        arena->pieces = next;
    }
}
