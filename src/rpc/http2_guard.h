// SPDX-License-Identifier: Apache-2.0
/*
 * What HTTP/2 lets a peer do for ever, counted: headers that do not end, calls that are reset.
 * A plain function of bytes and time; read_guard.h has the sockets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP2_BLOCK_BYTES                                                                          \
    65536u /* of one header block; core refuses more than 16 KiB once it has it */
#define HTTP2_BLOCK_FRAMES 64u /* in which it comes; frames may be empty */

/**
 * struct http2_guard - The reading of one connection, server's side; all zero but @preface_left
 * @preface_left: 24 at first: "PRI * HTTP/2.0" and so on, which core checks
 * @block_bytes, @block_frames: of the header block that has not ended
 */
struct http2_guard {
    uint32_t preface_left;
    uint8_t head[9];
    uint32_t head_len;
    uint32_t payload_left;
    uint32_t block_bytes;
    uint32_t block_frames;
};

/** http2_guard_init() - At the first byte of a connection */
void http2_guard_init(struct http2_guard *guard);

/**
 * http2_guard_feed() - The next bytes that the peer has sent
 * @ret_resets: RST_STREAM frames among them
 * Return: NULL, or what is wrong with them, a constant: the connection must go.
 */
const char *http2_guard_feed(struct http2_guard *guard, const uint8_t *data, size_t len,
                             uint32_t *ret_resets);
