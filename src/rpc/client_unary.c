// SPDX-License-Identifier: Apache-2.0
/* One request, one response, running the loop meanwhile. */
#include "base/clock.h"
#include "rpc/client_internal.h"

#include <stdlib.h>

struct unary {
    struct rpc_client_events events;
    ProtobufCMessage *response; /* owned */
    struct osa_error result;
    bool done;
};

/* The message is borrowed, so what is kept is packed and unpacked once more. */
static void on_unary_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct unary *unary = OSA_CONTAINER_OF(events, struct unary, events);
    size_t len = protobuf_c_message_get_packed_size(response);
    uint8_t *packed = malloc(len + 1);
    if (packed == NULL || unary->response != NULL) {
        free(packed);
        return;
    }
    (void)protobuf_c_message_pack(response, packed);
    unary->response = protobuf_c_message_unpack(response->descriptor, NULL, len, packed);
    free(packed);
}

static void on_unary_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct unary *unary = OSA_CONTAINER_OF(events, struct unary, events);
    unary->result = status->error;
    unary->done = true;
}

enum osa_code rpc_client_unary(struct rpc_channel *channel, const char *path,
                               const ProtobufCMessage *request,
                               const ProtobufCMessageDescriptor *response, int64_t deadline_ns,
                               ProtobufCMessage **ret_response, struct osa_error *err)
{
    struct unary unary = { .events = { .message = on_unary_message, .done = on_unary_done } };
    struct rpc_client_call *call = rpc_client_start(channel, path, response, deadline_ns,
                                                    /* wait_for_ready= */ false, &unary.events);
    (void)rpc_client_send(call, request);
    rpc_client_half_close(call);
    while (!unary.done)
        (void)osa_loop_run_once(channel->loop, OSA_NEVER);
    if (unary.result.code == OSA_OK && unary.response == NULL)
        (void)osa_fail(&unary.result, OSA_INTERNAL, 0, "the server sent no response");
    if (unary.result.code != OSA_OK) {
        if (unary.response != NULL)
            protobuf_c_message_free_unpacked(unary.response, NULL);
        if (err != NULL)
            *err = unary.result;
        return unary.result.code;
    }
    *ret_response = unary.response;
    return OSA_OK;
}
