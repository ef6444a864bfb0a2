// SPDX-License-Identifier: Apache-2.0
/* The frames of a websocket's client, looked at for what kind they are (RFC 6455, 5.2). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frames;

/** frames_new() - At the start of a stream; aborts without memory */
struct frames *frames_new(void);

/** frames_free() - NULL is fine */
void frames_free(struct frames *frames);

/**
 * frames_allow() - The next bytes of the stream
 * Return: false once a text message begins, or what is no frame of a client. Then the stream is of no use.
 */
bool frames_allow(struct frames *frames, const uint8_t *data, size_t len);
