// SPDX-License-Identifier: Apache-2.0
/* RFC 9113: 4.1 frame header, 6.2 HEADERS, 6.4 RST_STREAM, 6.10 CONTINUATION. */
#include "rpc/http2_guard.h"

#include "base/macros.h"

#include <string.h>

#define PREFACE_BYTES 24u
#define END_HEADERS 0x4u

enum { FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FRAME_CONTINUATION = 9 };

void http2_guard_init(struct http2_guard *guard)
{
    *guard = (struct http2_guard){ .preface_left = PREFACE_BYTES };
}

/* A frame begins whose head is complete. */
static const char *on_frame(struct http2_guard *guard, uint32_t *resets)
{
    const uint8_t *head = guard->head;
    uint32_t len = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    bool last = (head[4] & END_HEADERS) != 0;
    guard->payload_left = len;
    if (head[3] == FRAME_RST_STREAM)
        ++*resets;
    if (head[3] == FRAME_HEADERS)
        guard->block_bytes = guard->block_frames = 0;
    if (head[3] != FRAME_HEADERS && head[3] != FRAME_CONTINUATION)
        return NULL;
    guard->block_bytes += len; /* 24 bits at most HTTP2_BLOCK_FRAMES times: no overflow */
    guard->block_frames++;
    if (guard->block_bytes > HTTP2_BLOCK_BYTES || guard->block_frames > HTTP2_BLOCK_FRAMES)
        return "its headers do not end";
    if (last)
        guard->block_bytes = guard->block_frames = 0;
    return NULL;
}

const char *http2_guard_feed(struct http2_guard *guard, const uint8_t *data, size_t len,
                             uint32_t *ret_resets)
{
    const char *wrong = NULL;
    *ret_resets = 0;
    while (len > 0 && wrong == NULL) {
        uint32_t *left = guard->preface_left > 0 ? &guard->preface_left : &guard->payload_left;
        size_t step = OSA_MIN(len, (size_t)*left);
        if (*left > 0) {
            *left -= (uint32_t)step;
        } else {
            step = OSA_MIN(len, sizeof(guard->head) - guard->head_len);
            memcpy(guard->head + guard->head_len, data, step);
            guard->head_len += (uint32_t)step;
            if (guard->head_len == sizeof(guard->head)) {
                guard->head_len = 0;
                wrong = on_frame(guard, ret_resets);
            }
        }
        data += step;
        len -= step;
    }
    return wrong;
}
