// SPDX-License-Identifier: Apache-2.0
/*
 * Calls of the client.
 *
 * rpc_client_start() sends nothing yet: what the caller does until the loop next runs goes out in
 * one batch, so that a unary call's metadata, message and end travel in one packet. Three kinds of
 * batches exist, each with its own step as tag: sending, receiving, and the one that ends with the
 * status.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "rpc/bytes.h"
#include "rpc/client_internal.h"
#include "rpc/send_queue.h"

#include <stdio.h>
#include <string.h>

#define QUEUE_BYTES                                                                                \
    ((size_t)256 * 1024) /* of unsent requests; above, rpc_client_send() says false */

static const char details_key[] = "grpc-status-details-bin";

/**
 * struct rpc_client_call - Owner: the loop thread
 * @pending: batches in flight; `done` waits for 0
 * @trace:   the current one when it was started: sent along, and current in its callbacks; owned
 */
struct rpc_client_call {
    struct rpc_channel *channel;
    struct rpc_client_call *prev;
    struct rpc_client_call *next;
    grpc_call *core; /* owned */
    struct rpc_client_events *events;
    const ProtobufCMessageDescriptor *response;
    struct osa_error early; /* why it never began */
    struct osa_trace *trace;

    bool begun;
    bool wait_for_ready;
    bool sending;
    bool half_close_wanted;
    bool half_close_sent;
    bool reading;
    bool paused;
    bool ended; /* the status is here */
    bool no_more;
    bool full;
    unsigned pending;
    struct osa_task begin;
    struct rpc_step sent;
    struct rpc_step received;
    struct rpc_step finished;

    struct rpc_send_queue queue;
    grpc_byte_buffer *payload;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice status_text;
};

/* ---- the end ---- */

static void call_free(struct rpc_client_call *call)
{
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        call->channel->calls = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    rpc_send_queue_drop(&call->queue);
    grpc_byte_buffer_destroy(call->payload);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->status_text);
    grpc_call_unref(call->core);
    osa_trace_unref(call->trace);
    free(call);
}

static void finish(struct rpc_client_call *call)
{
    struct rpc_status status = { .error = call->early };
    ptrdiff_t at = rpc_metadata_find(&call->trailing, details_key);
    if (call->early.code == OSA_OK) {
        status.error.code = (enum osa_code)call->status;
        rpc_slice_copy(call->status_text, status.error.text, sizeof(status.error.text));
    }
    if (at >= 0) {
        status.details = GRPC_SLICE_START_PTR(call->trailing.metadata[at].value);
        status.details_len = GRPC_SLICE_LENGTH(call->trailing.metadata[at].value);
    }
    call->events->done(call->events, &status);
    call_free(call);
}

static void settle(struct rpc_client_call *call)
{
    if (call->ended && call->pending == 0)
        finish(call);
}

static void start_batch(struct rpc_client_call *call, const grpc_op *ops, size_t count,
                        struct rpc_step *step)
{
    call->pending++;
    rpc_step_hand_over(step);
    grpc_call_error error = grpc_call_start_batch(call->core, ops, count, rpc_step_tag(step), NULL);
    if (error == GRPC_CALL_OK)
        return;
    osa_log(OSA_LOG_ERROR, "rpc", "batch refused, call is cancelled",
            OSA_S("error", grpc_call_error_to_string(error)));
    (void)grpc_call_cancel(call->core, NULL);
    step->ok = false;
    rpc_step_post(step);
}

/* ---- sending ---- */

/* struct sent_metadata - Of a call's beginning; values are owned until core has them */
struct sent_metadata {
    grpc_metadata items[3];
    size_t count;
};

static void add_metadata(struct sent_metadata *metadata, const char *key, grpc_slice value)
{
    metadata->items[metadata->count++] =
        (grpc_metadata){ .key = grpc_slice_from_static_string(key), .value = value };
}

static grpc_slice bearer(const struct rpc_token *token)
{
    static const char scheme[] = "Bearer ";
    grpc_slice value = grpc_slice_malloc(sizeof(scheme) - 1 + token->len);
    memcpy(GRPC_SLICE_START_PTR(value), scheme, sizeof(scheme) - 1);
    memcpy(GRPC_SLICE_START_PTR(value) + sizeof(scheme) - 1, token->text, token->len);
    return value;
}

static grpc_op op_initial(struct rpc_client_call *call, struct sent_metadata *metadata)
{
    grpc_op op = { .op = GRPC_OP_SEND_INITIAL_METADATA };
    if (call->wait_for_ready)
        op.flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                   GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    if (call->channel->token.text != NULL)
        add_metadata(metadata, "authorization", bearer(&call->channel->token));
    const struct osa_trace *trace = call->trace;
    if (trace != NULL)
        add_metadata(metadata, RPC_TRACE_PARENT, grpc_slice_from_copied_string(trace->parent));
    if (trace != NULL && trace->state != NULL)
        add_metadata(metadata, RPC_TRACE_STATE, grpc_slice_from_copied_string(trace->state));
    op.data.send_initial_metadata.count = metadata->count;
    op.data.send_initial_metadata.metadata = metadata->items;
    return op;
}

static void flush(struct rpc_client_call *call)
{
    if (call->sending || call->ended || (!call->begun && call->early.code != OSA_OK))
        return;
    grpc_op ops[3];
    struct sent_metadata metadata = { .count = 0 };
    size_t count = 0;
    grpc_byte_buffer *message = rpc_send_queue_take(&call->queue);
    if (message != NULL) {
        /* Not together with the initial metadata: core would hold back both. */
        bool hint = rpc_send_queue_waits(&call->queue) && call->begun;
        ops[count] =
            (grpc_op){ .op = GRPC_OP_SEND_MESSAGE, .flags = hint ? GRPC_WRITE_BUFFER_HINT : 0 };
        ops[count++].data.send_message.send_message = message;
    }
    if (call->half_close_wanted && !call->half_close_sent && !rpc_send_queue_waits(&call->queue)) {
        ops[count++] = (grpc_op){ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };
        call->half_close_sent = true;
    }
    if (!call->begun)
        ops[count++] = op_initial(call, &metadata);
    call->begun = true;
    if (count > 0) {
        call->sending = true;
        start_batch(call, ops, count, &call->sent);
    }
    while (metadata.count > 0) /* core holds references of its own */
        grpc_slice_unref(metadata.items[--metadata.count].value);
}

static void on_sent(struct rpc_step *step)
{
    struct rpc_client_call *call = OSA_CONTAINER_OF(step, struct rpc_client_call, sent);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    bool ok = step->ok; /* flush() may start the step anew, and the worker then writes it */
    call->pending--;
    call->sending = false;
    rpc_send_queue_sent(&call->queue);
    if (!ok)
        rpc_send_queue_drop(&call->queue); /* the status says what happened */
    else
        flush(call);
    if (ok && call->full && !call->ended && call->queue.bytes <= QUEUE_BYTES / 2) {
        call->full = false;
        if (call->events->writable != NULL)
            call->events->writable(call->events);
    }
    settle(call);
}

bool rpc_client_send(struct rpc_client_call *call, const ProtobufCMessage *request)
{
    if (call->ended || call->half_close_wanted)
        return false;
    rpc_send_queue_add(&call->queue, request);
    if (call->begun)
        flush(call);
    call->full |= call->queue.bytes > QUEUE_BYTES;
    return !call->full;
}

void rpc_client_half_close(struct rpc_client_call *call)
{
    call->half_close_wanted = true;
    if (call->begun)
        flush(call);
}

/* ---- receiving ---- */

static void read_next(struct rpc_client_call *call)
{
    if (call->reading || call->paused || call->no_more || !call->begun || call->ended)
        return;
    call->reading = true;
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
    op.data.recv_message.recv_message = &call->payload;
    start_batch(call, &op, 1, &call->received);
}

static void deliver(struct rpc_client_call *call)
{
    OSA_AUTO(rpc_arena_done) struct rpc_arena arena;
    rpc_arena_init(&arena);
    ProtobufCMessage *response;
    struct osa_error err = { 0 };
    enum osa_code code = rpc_bytes_unpack(call->response, call->payload, &arena, &response, &err);
    grpc_byte_buffer_destroy(call->payload);
    call->payload = NULL;
    if (code == OSA_OK) {
        call->events->message(call->events, response);
        return;
    }
    (void)osa_wrap(&err, "the server's answer cannot be read");
    call->no_more = true;
    (void)grpc_call_cancel_with_status(call->core, GRPC_STATUS_INTERNAL, err.text, NULL);
}

static void on_received(struct rpc_step *step)
{
    struct rpc_client_call *call = OSA_CONTAINER_OF(step, struct rpc_client_call, received);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    call->pending--;
    call->reading = false;
    if (step->ok && call->payload != NULL)
        deliver(call);
    else
        call->no_more = true;
    read_next(call);
    settle(call);
}

void rpc_client_pause(struct rpc_client_call *call, bool pause)
{
    call->paused = pause;
    read_next(call);
}

/* ---- beginning and status ---- */

static void on_finished(struct rpc_step *step)
{
    struct rpc_client_call *call = OSA_CONTAINER_OF(step, struct rpc_client_call, finished);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    call->pending--;
    call->ended = true;
    settle(call);
}

static void on_begin(struct osa_task *task)
{
    struct rpc_client_call *call = OSA_CONTAINER_OF(task, struct rpc_client_call, begin);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    if (call->early.code != OSA_OK) {
        finish(call);
        return;
    }
    flush(call);
    grpc_op op = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT };
    op.data.recv_status_on_client.trailing_metadata = &call->trailing;
    op.data.recv_status_on_client.status = &call->status;
    op.data.recv_status_on_client.status_details = &call->status_text;
    start_batch(call, &op, 1, &call->finished);
    grpc_op ops[2] = { { .op = GRPC_OP_RECV_INITIAL_METADATA }, { .op = GRPC_OP_RECV_MESSAGE } };
    ops[0].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[1].data.recv_message.recv_message = &call->payload;
    call->reading = true;
    start_batch(call, ops, 2, &call->received);
}

static void refresh_token(struct rpc_channel *channel)
{
    struct osa_error err = { 0 };
    if (channel->token.path == NULL || !rpc_token_changed(&channel->token))
        return;
    if (rpc_token_read(&channel->token, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "rpc", "token not replaced, the old one is used", &err);
}

static gpr_timespec deadline_for_core(int64_t deadline_ns)
{
    if (deadline_ns == OSA_NEVER)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos(deadline_ns - osa_now_ns(), GPR_TIMESPAN));
}

struct rpc_client_call *rpc_client_start(struct rpc_channel *channel, const char *path,
                                         const ProtobufCMessageDescriptor *response,
                                         int64_t deadline_ns, bool wait_for_ready,
                                         struct rpc_client_events *events)
{
    struct rpc_client_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        abort();
    refresh_token(channel);
    call->channel = channel;
    call->next = channel->calls;
    if (call->next != NULL)
        call->next->prev = call;
    channel->calls = call;
    call->events = events;
    call->response = response;
    call->wait_for_ready = wait_for_ready;
    call->trace = osa_trace_ref(osa_trace_current());
    rpc_send_queue_init(&call->queue);
    call->status_text = grpc_empty_slice();
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    rpc_step_init(&call->sent, channel->loop, on_sent);
    rpc_step_init(&call->received, channel->loop, on_received);
    rpc_step_init(&call->finished, channel->loop, on_finished);
    grpc_slice method = grpc_slice_from_copied_string(path);
    call->core = grpc_channel_create_call(channel->core, /* parent_call= */ NULL,
                                          GRPC_PROPAGATE_DEFAULTS, channel->worker.queue, method,
                                          /* host= */ NULL, deadline_for_core(deadline_ns), NULL);
    grpc_slice_unref(method);
    call->begin.run = on_begin;
    osa_loop_post(channel->loop, &call->begin);
    return call;
}

void rpc_client_cancel(struct rpc_client_call *call)
{
    if (!call->begun)
        (void)osa_fail(&call->early, OSA_CANCELLED, 0, "cancelled before it was sent");
    else
        (void)grpc_call_cancel(call->core, NULL);
}

void rpc_channel_free(struct rpc_channel *channel)
{
    if (channel == NULL)
        return;
    for (struct rpc_client_call *call = channel->calls; call != NULL; call = call->next)
        rpc_client_cancel(call);
    while (channel->calls != NULL)
        (void)osa_loop_run_once(channel->loop, OSA_NEVER);
    grpc_channel_destroy(channel->core);
    rpc_worker_done(&channel->worker);
    rpc_token_done(&channel->token);
    free(channel->token_path);
    free(channel);
}
