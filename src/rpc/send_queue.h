// SPDX-License-Identifier: Apache-2.0
/* Messages of a call that wait to be sent, one of them being sent: what server and client calls share. */
#pragma once

#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct rpc_out;

/**
 * struct rpc_send_queue - Embedded in its call; owner: the call's
 * @first, @end: the messages that wait; private
 * @in_flight: the one that a batch sends; private
 * @bytes: of all of these, packed
 */
struct rpc_send_queue {
    struct rpc_out *first;
    struct rpc_out **end;
    struct rpc_out *in_flight;
    size_t bytes;
};

/** rpc_send_queue_init() - Empty; allocates nothing. The queue does not move from here on */
void rpc_send_queue_init(struct rpc_send_queue *queue);

/** rpc_send_queue_add() - Pack @message and let it wait. Aborts without memory, as C core does */
void rpc_send_queue_add(struct rpc_send_queue *queue, const ProtobufCMessage *message);

/**
 * rpc_send_queue_take() - The next message, for a batch, until rpc_send_queue_sent()
 * Nothing may be in flight. Return: NULL when nothing waits; borrowed.
 */
grpc_byte_buffer *rpc_send_queue_take(struct rpc_send_queue *queue);

/** rpc_send_queue_sent() - The batch has ended: free what was in flight, if anything was */
void rpc_send_queue_sent(struct rpc_send_queue *queue);

/** rpc_send_queue_waits() - Is there a message that is not in flight? */
bool rpc_send_queue_waits(const struct rpc_send_queue *queue);

/** rpc_send_queue_drop() - Free what waits; not what is in flight */
void rpc_send_queue_drop(struct rpc_send_queue *queue);
