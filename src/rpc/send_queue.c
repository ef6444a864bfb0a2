// SPDX-License-Identifier: Apache-2.0
#include "rpc/send_queue.h"

#include "rpc/bytes.h"

#include <stdlib.h>

struct rpc_out {
    struct rpc_out *next;
    grpc_byte_buffer *bytes; /* owned */
    size_t len;
};

void rpc_send_queue_init(struct rpc_send_queue *queue)
{
    *queue = (struct rpc_send_queue){ .end = &queue->first };
}

void rpc_send_queue_add(struct rpc_send_queue *queue, const ProtobufCMessage *message)
{
    struct rpc_out *out = calloc(1, sizeof(*out));
    if (out == NULL)
        abort();
    out->bytes = rpc_bytes_pack(message, &out->len);
    *queue->end = out;
    queue->end = &out->next;
    queue->bytes += out->len;
}

static struct rpc_out *pop(struct rpc_send_queue *queue)
{
    struct rpc_out *out = queue->first;
    if (out != NULL)
        queue->first = out->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    return out;
}

static void forget(struct rpc_send_queue *queue, struct rpc_out *out)
{
    queue->bytes -= out->len;
    grpc_byte_buffer_destroy(out->bytes);
    free(out);
}

grpc_byte_buffer *rpc_send_queue_take(struct rpc_send_queue *queue)
{
    queue->in_flight = pop(queue);
    return queue->in_flight != NULL ? queue->in_flight->bytes : NULL;
}

void rpc_send_queue_sent(struct rpc_send_queue *queue)
{
    if (queue->in_flight != NULL)
        forget(queue, queue->in_flight);
    queue->in_flight = NULL;
}

bool rpc_send_queue_waits(const struct rpc_send_queue *queue)
{
    return queue->first != NULL;
}

void rpc_send_queue_drop(struct rpc_send_queue *queue)
{
    for (struct rpc_out *out; (out = pop(queue)) != NULL;)
        forget(queue, out);
}
