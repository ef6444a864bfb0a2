// SPDX-License-Identifier: Apache-2.0
/*
 * A WebSocket client (RFC 6455) over an http_client: libcurl makes the connection, TLS included,
 * wslay makes the frames. Messages have a bound, and a peer that falls silent is given up.
 */
#pragma once

#include "io/http.h"

#include <stdbool.h>

struct websocket;

/* No frame for so long, although the server pings every 15 s and is pinged: the peer is dead. */
#define WEBSOCKET_SILENCE_NS (45 * OSA_NS_PER_SEC)

/**
 * struct websocket_events - What it reports; outlives the WebSocket
 * @opened:  the upgrade was accepted
 * @message: one whole message; borrowed for the call
 * @writable: less than half of what may wait does so
 * @closed:  the end, once, and the last event. @refused: a server that answered without upgrading;
 *           else NULL. @error: why; code OK after a close handshake. The WebSocket is freed after it
 */
struct websocket_events {
    void (*opened)(struct websocket_events *self);
    void (*message)(struct websocket_events *self, bool text, const void *data, size_t len);
    void (*writable)(struct websocket_events *self);
    void (*closed)(struct websocket_events *self, const struct http_reply *refused,
                   const struct osa_error *error);
};

/**
 * websocket_open() - Connect and upgrade
 * @path:        as in struct http_request
 * @message_max: bytes of a received message; a longer one ends it
 * @queue_max:   bytes that websocket_send() lets wait
 * No event comes from inside the call. Return: the WebSocket, until closed or websocket_free()
 */
struct websocket *websocket_open(struct http_client *client, const char *path, size_t message_max,
                                 size_t queue_max, struct websocket_events *events);

/** websocket_room() - Bytes that may be sent now; 0 before opened and once writable is to be awaited */
size_t websocket_room(const struct websocket *ws);

/** websocket_send() - Queue one message of at most the room. Return: false: no room, not open, or no memory */
bool websocket_send(struct websocket *ws, bool text, const void *data, size_t len);

/** websocket_hold() - Read nothing for now, or go on; the peer's silence is then not minded */
void websocket_hold(struct websocket *ws, bool hold);

/** websocket_free() - Drop the connection without a handshake and without events. NULL is fine */
void websocket_free(struct websocket *ws);
