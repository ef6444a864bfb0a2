// SPDX-License-Identifier: Apache-2.0
#include "egress/frames.h"

#include <stdlib.h>

#define OPCODE_TEXT 1

/**
 * struct frames - Where in a frame the stream is
 * @head:    its first bytes, @have of them
 * @payload: bytes that are still to pass
 */
struct frames {
    uint8_t head[14];
    unsigned have;
    uint64_t payload;
};

struct frames *frames_new(void)
{
    struct frames *frames = calloc(1, sizeof(*frames));
    if (frames == NULL)
        abort();
    return frames;
}

void frames_free(struct frames *frames)
{
    free(frames);
}

/* Of the length beyond the two first bytes. */
static unsigned length_bytes(const struct frames *f)
{
    unsigned code = f->head[1] & 0x7f;
    return code == 126 ? 2u : code == 127 ? 8u : 0u;
}

static uint64_t payload_length(const struct frames *f)
{
    unsigned bytes = length_bytes(f);
    uint64_t value = bytes == 0 ? f->head[1] & 0x7f : 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | f->head[2 + i];
    return value;
}

/* A client's frames are masked, and those of control are short and whole. */
static bool head_is_good(const struct frames *f)
{
    unsigned opcode = f->head[0] & 0x0f;
    bool control = opcode >= 8;
    return opcode != OPCODE_TEXT && opcode <= 10 && (opcode <= 2 || control) &&
           (f->head[1] & 0x80) != 0 &&
           (!control || ((f->head[0] & 0x80) != 0 && (f->head[1] & 0x7f) <= 125));
}

bool frames_allow(struct frames *f, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        if (f->payload > 0) {
            size_t part = f->payload < len - at ? (size_t)f->payload : len - at;
            f->payload -= part;
            at += part;
            continue;
        }
        f->head[f->have++] = data[at++];
        if (f->have == 2 && !head_is_good(f))
            return false;
        if (f->have < 2 || f->have < 2 + length_bytes(f) + 4)
            continue;
        f->payload = payload_length(f);
        f->have = 0;
    }
    return true;
}
