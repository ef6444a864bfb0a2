// SPDX-License-Identifier: Apache-2.0
/* Packets of launcher/protocol.h over a SEQPACKET socket. */
#pragma once

#include "launcher/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/**
 * struct wire_packet - One received packet
 * @head: checked: length fits
 * @body: head.length bytes; in the receive buffer, or mapped from a memfd when @mapped
 * @fds:  owned by the packet until taken (set to -1); close the rest with wire_packet_done()
 */
struct wire_packet {
    struct launcher_message head;
    const void *body;
    bool mapped;
    int fds[LAUNCHER_FDS_MAX];
    unsigned fd_count;
};

/** struct wire_buffer - Where a packet lands; aligned, so that plans can be read in place */
struct wire_buffer {
    _Alignas(16) char bytes[sizeof(struct launcher_message) + LAUNCHER_BODY_MAX];
};

/**
 * wire_send() - One packet; a body over LAUNCHER_BODY_MAX goes into a sealed memfd
 * @head:  length is set from @length
 * @fds:   borrowed
 * @flags: MSG_DONTWAIT or 0
 * Return: 0 or -errno (-EAGAIN: would block; -E2BIG: body over PLAN_MAX_BYTES or too many descriptors).
 */
int wire_send(int sock, struct launcher_message *head, const void *body, size_t length,
              const int *fds, unsigned fd_count, int flags);

/**
 * wire_recv() - The next packet
 * @buffer: holds the body until the packet is done
 * @flags:  MSG_DONTWAIT or 0
 * Descriptors arrive CLOEXEC. Return: 1; 0 at end of file; -errno (-EAGAIN; -EBADMSG for a packet
 * that is cut or inconsistent).
 */
int wire_recv(int sock, struct wire_buffer *buffer, struct wire_packet *ret_packet, int flags);

/** wire_packet_done() - Close descriptors that were not taken, unmap the body */
void wire_packet_done(struct wire_packet *packet);

/** wire_take_fd() - Take descriptor @i of the packet. Return: -1 when there is none */
int wire_take_fd(struct wire_packet *packet, unsigned i);
