// SPDX-License-Identifier: Apache-2.0
/* The agent's end of a socket to the launcher or to an init, on the loop. */
#pragma once

#include "base/loop.h"
#include "launcher/wire.h"

struct channel_pending;

/**
 * struct channel - Packets in and out; embedded in its owner
 * @packet: called with each packet; body and descriptors are the packet's, take what is to stay. May
 *          close the channel and free its owner
 * @lost:   the other end is gone or talks nonsense (@reason); the channel is closed already. May free
 *          the owner
 */
struct channel {
    struct osa_source source;
    struct osa_loop *loop;      /* borrowed */
    struct wire_buffer *buffer; /* borrowed; shared by the channels of one loop */
    struct channel_pending *pending;
    void (*packet)(struct channel *self, struct wire_packet *packet);
    void (*lost)(struct channel *self, const char *reason);
};

/**
 * channel_open() - Watch @sock
 * @self:  packet, lost, loop and buffer are set, all else is zero
 * @sock:  taken, also on failure
 * Thread: loop. Return: OSA_OK; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code channel_open(struct channel *self, int sock, struct osa_error *err);

/**
 * channel_drain() - Handle the packets that have come, before what is known from elsewhere: that the
 * other end has died
 * Their callbacks may close the channel, not free it. The buffer's former content is lost.
 */
void channel_drain(struct channel *self);

/** channel_close() - Close the socket, drop what waits. No callback afterwards. A closed or zeroed channel is fine */
void channel_close(struct channel *self);

/** channel_is_open() - Can packets be sent? */
bool channel_is_open(const struct channel *self);

/**
 * channel_send() - Send a packet, now or when the socket has room; order is kept
 * @fds: borrowed
 * Return: OSA_OK, which does not mean that it has arrived; ABORTED: closed; RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code channel_send(struct channel *self, struct launcher_message *head,
                                          const void *body, size_t length, const int *fds,
                                          unsigned fd_count, struct osa_error *err);
