// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a connection: however they are cut, the guard says the same at the same place. */
#include "fuzz/target.h"

#include "rpc/http2_guard.h"

#include <stdlib.h>

/* Return: what it said; *ret_resets are those that came before. */
static const char *feed(const uint8_t *data, size_t size, size_t piece, uint32_t *ret_resets)
{
    struct http2_guard guard;
    const char *wrong = NULL;
    http2_guard_init(&guard);
    guard.preface_left = 0;
    *ret_resets = 0;
    for (size_t at = 0; at < size && wrong == NULL; at += piece) {
        uint32_t resets;
        wrong = http2_guard_feed(&guard, data + at, size - at < piece ? size - at : piece, &resets);
        *ret_resets += resets;
        if (guard.head_len >= sizeof(guard.head) ||
            (wrong == NULL && guard.block_bytes > HTTP2_BLOCK_BYTES))
            abort();
    }
    return wrong;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t whole;
    uint32_t bytes;
    uint32_t pieces;
    const char *said = feed(data, size, size + 1, &whole);
    if (feed(data, size, 1, &bytes) != said || feed(data, size, 7, &pieces) != said)
        abort();
    if (whole != bytes || whole != pieces || whole > size / 9)
        abort();
    return 0;
}
