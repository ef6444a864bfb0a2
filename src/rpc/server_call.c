// SPDX-License-Identifier: Apache-2.0
/*
 * One call on the server, from C core's point of view.
 *
 * A call makes four kinds of batches, each with its own step as tag: it is accepted, it receives
 * messages, it sends, and it learns that it is closed. At most one of each is in flight. Receiving
 * and sending are independent; RECV_CLOSE_ON_SERVER must be asked for exactly once, and its end is
 * the only way to hear of a cancellation.
 *
 * Few batches make a fast server. A registered method's first message arrives with the call; what a
 * handler does in its first callbacks is corked; so a unary call that is answered at once costs one
 * batch of four operations (initial metadata, message, status, close) and two events in all.
 */
#include "base/log.h"
#include "rpc/bytes.h"
#include "rpc/server_internal.h"

#include <string.h>

static const char details_key[] = "grpc-status-details-bin";

/* ---- life ---- */

static struct rpc_call *call_new(struct rpc_server *server, const struct rpc_entry *entry)
{
    struct rpc_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        abort(); /* gRPC core does the same for its part of the call */
    atomic_init(&call->refs, 1);
    call->server = server;
    call->entry = entry;
    rpc_send_queue_init(&call->queue);
    call->text = grpc_empty_slice();
    call->details_bin = grpc_empty_slice();
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    return call;
}

struct rpc_call *rpc_call_ref(struct rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    return call;
}

void rpc_call_unref(struct rpc_call *call)
{
    if (call == NULL || atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1)
        return;
    osa_trace_unref(call->trace);
    free(call);
}

static void drop_payload(struct rpc_call *call)
{
    grpc_byte_buffer_destroy(call->payload); /* NULL is fine */
    call->payload = NULL;
}

/* Everything of core's goes; the struct stays for those who hold references. */
static void release_core(struct rpc_call *call)
{
    rpc_send_queue_drop(&call->queue);
    drop_payload(call);
    grpc_slice_unref(call->text);
    grpc_slice_unref(call->details_bin);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    if (call->core != NULL)
        grpc_call_unref(call->core);
    call->core = NULL;
}

static void finish(struct rpc_call *call)
{
    bool cancelled = call->state == CALL_OVER;
    call->state = CALL_DONE;
    char text[sizeof(((struct osa_error *)NULL)->text)];
    rpc_slice_copy(call->text, text, sizeof(text));
    const struct rpc_method *method = call->entry->method;
    if (method != NULL && method->done != NULL && call->peer.role >= method->role)
        method->done(call);
    struct rpc_audit record = {
        .method = call->path,
        .peer = &call->peer,
        .code = cancelled ? OSA_CANCELLED : call->code,
        .text = cancelled ? "the client went away or its deadline passed" : text,
        .duration_ns = osa_now_ns() - call->started_ns,
    };
    rpc_server_audit(call->server, &record);
    struct rpc_server *server = call->server;
    release_core(call);
    rpc_call_unref(call);
    rpc_server_call_done(server);
}

/* After each event: is anything left that will bring another one? */
static void settle(struct rpc_call *call)
{
    if (call->pending == 0 && (call->state == CALL_SENT || call->state == CALL_OVER))
        finish(call);
}

/* Starts a batch whose completion will be @step. Nothing of @call may be touched after it on the worker. */
static void start_batch(struct rpc_call *call, const grpc_op *ops, size_t count,
                        struct rpc_step *step)
{
    call->pending++;
    grpc_call_error error =
        rpc_start_batch(call->server->worker.queue, call->core, ops, count, step);
    if (error == GRPC_CALL_OK)
        return;
    /* Only a bug of ours gets here. The event is made up, so that the call still ends. */
    osa_log(OSA_LOG_ERROR, "rpc", "batch refused, call is cancelled",
            OSA_S("error", grpc_call_error_to_string(error)), OSA_S("method", call->path));
    (void)grpc_call_cancel(call->core, NULL);
    step->ok = false;
    rpc_step_post(step);
}

/* ---- sending ---- */

static grpc_op op_status(struct rpc_call *call, grpc_metadata *trailer)
{
    grpc_op op = { .op = GRPC_OP_SEND_STATUS_FROM_SERVER };
    op.data.send_status_from_server.status = (grpc_status_code)call->code;
    op.data.send_status_from_server.status_details = &call->text;
    if (GRPC_SLICE_LENGTH(call->details_bin) > 0) {
        *trailer = (grpc_metadata){ .key = grpc_slice_from_static_string(details_key),
                                    .value = call->details_bin };
        op.data.send_status_from_server.trailing_metadata_count = 1;
        op.data.send_status_from_server.trailing_metadata = trailer;
    }
    return op;
}

static grpc_op op_close(struct rpc_call *call)
{
    grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };
    op.data.recv_close_on_server.cancelled = &call->cancelled;
    return op;
}

/* Sends what can be sent now, as one batch. Return: it asked for the close, too. */
static bool flush(struct rpc_call *call)
{
    if (call->corked || call->sending || call->state >= CALL_SENT)
        return false;
    grpc_op ops[4];
    grpc_metadata trailer;
    size_t count = 0;
    grpc_byte_buffer *message = rpc_send_queue_take(&call->queue);
    if (!call->initial_sent)
        ops[count++] = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
    if (message != NULL) {
        /* Not together with the initial metadata: core would hold those back, too, and with them
         * the end of this batch, for which the next message waits. */
        bool hint = rpc_send_queue_waits(&call->queue) && call->initial_sent;
        ops[count] =
            (grpc_op){ .op = GRPC_OP_SEND_MESSAGE, .flags = hint ? GRPC_WRITE_BUFFER_HINT : 0 };
        ops[count++].data.send_message.send_message = message;
    }
    bool last = call->state == CALL_FINISHING && !rpc_send_queue_waits(&call->queue);
    if (last)
        ops[count++] = op_status(call, &trailer);
    bool with_close = last && !call->close_started;
    if (with_close)
        ops[count++] = op_close(call);
    if (count == 0)
        return false;
    call->initial_sent = true;
    call->sending = true;
    call->close_started |= with_close;
    if (last)
        call->state = CALL_SENT;
    start_batch(call, ops, count, &call->sent);
    return with_close;
}

static void on_sent(struct rpc_step *step)
{
    struct rpc_call *call = OSA_CONTAINER_OF(step, struct rpc_call, sent);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    call->pending--;
    call->sending = false;
    rpc_send_queue_sent(&call->queue);
    if (!step->ok && call->state != CALL_SENT)
        call->state = CALL_OVER; /* the close event is on its way */
    if (call->state == CALL_OVER)
        rpc_send_queue_drop(&call->queue);
    else
        (void)flush(call);
    bool room = call->full && call->queue.bytes <= call->server->config.send_queue_bytes / 2;
    bool drained = call->draining && call->queue.bytes == 0;
    if ((room || drained) && call->state == CALL_OPEN) {
        call->full = false;
        call->draining &= !drained;
        if (call->entry->method->writable != NULL)
            call->entry->method->writable(call);
    }
    settle(call);
}

bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *response)
{
    if (call->state != CALL_OPEN)
        return false;
    rpc_send_queue_add(&call->queue, response);
    if (call->entry->method->kind == RPC_UNARY || call->entry->method->kind == RPC_CLIENT_STREAM)
        return false; /* its only one: it leaves together with the status */
    (void)flush(call);
    call->full |= call->queue.bytes > call->server->config.send_queue_bytes;
    return !call->full;
}

bool rpc_call_await_drain(struct rpc_call *call)
{
    call->draining = call->queue.bytes > 0;
    return call->draining;
}

size_t rpc_call_queued_bytes(const struct rpc_call *call)
{
    return call->queue.bytes;
}

void rpc_call_finish(struct rpc_call *call)
{
    if (call->state != CALL_OPEN)
        return;
    call->state = CALL_FINISHING;
    (void)flush(call);
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *response)
{
    (void)rpc_call_send(call, response);
    rpc_call_finish(call);
}

void rpc_call_fail(struct rpc_call *call, const struct osa_error *err,
                   const ProtobufCMessage *detail)
{
    if (call->state != CALL_OPEN)
        return;
    call->code = err->code;
    call->text = grpc_slice_from_copied_string(err->text);
    if (detail != NULL)
        call->details_bin = rpc_bytes_pack_status(err, detail);
    rpc_call_finish(call);
}

/* ---- receiving ---- */

static enum osa_code deliver(struct rpc_call *call, struct osa_error *err)
{
    const struct rpc_method *method = call->entry->method;
    if (call->payload == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "the call carries no request message");
    OSA_AUTO(rpc_arena_done) struct rpc_arena arena;
    rpc_arena_init(&arena);
    ProtobufCMessage *request;
    enum osa_code code = rpc_bytes_unpack(method->request, call->payload, &arena, &request, err);
    drop_payload(call);
    if (code == OSA_OK)
        method->message(call, request);
    return code;
}

static void refuse(struct rpc_call *call, const struct osa_error *err)
{
    if (call->entry->refuse != NULL)
        call->entry->refuse(call, err);
    else
        rpc_call_fail(call, err, /* detail= */ NULL);
}

static void on_received(struct rpc_step *step)
{
    struct rpc_call *call = OSA_CONTAINER_OF(step, struct rpc_call, received);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    call->pending--;
    call->reading = false;
    struct osa_error err = { 0 };
    if (call->state != CALL_OPEN || !step->ok) {
        drop_payload(call);
    } else if (call->payload == NULL) {
        call->half_closed = true;
        if (call->entry->method->half_close != NULL)
            call->entry->method->half_close(call);
    } else if (deliver(call, &err) != OSA_OK) {
        refuse(call, &err);
    }
    settle(call);
}

void rpc_call_read(struct rpc_call *call)
{
    if (call->state != CALL_OPEN || call->reading || call->half_closed)
        return;
    call->reading = true;
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
    op.data.recv_message.recv_message = &call->payload;
    start_batch(call, &op, 1, &call->received);
}

/* ---- beginning and closing ---- */

static void on_closed(struct rpc_step *step)
{
    struct rpc_call *call = OSA_CONTAINER_OF(step, struct rpc_call, closed);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    call->pending--;
    if (call->state != CALL_SENT) {
        call->state = CALL_OVER;
        call->gone = true;
        rpc_send_queue_drop(&call->queue);
    }
    settle(call);
}

static int64_t deadline_from_core(gpr_timespec deadline)
{
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return OSA_NEVER;
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    if (left.tv_sec >= OSA_NEVER / OSA_NS_PER_SEC) /* grpc-timeout can say 11,000 years */
        return OSA_NEVER;
    return osa_deadline_after(left.tv_sec * OSA_NS_PER_SEC + left.tv_nsec);
}

static void run_first_callbacks(struct rpc_call *call)
{
    const struct rpc_method *method = call->entry->method;
    struct osa_error err = { 0 };
    if (rpc_auth_check(call->server->auth, call->core, &call->metadata,
                       method != NULL ? method->role : RPC_ROLE_VIEWER,
                       method != NULL && call->entry->ctx == call->server->health, &call->peer,
                       &err) != OSA_OK) {
        rpc_call_fail(call, &err, /* detail= */ NULL);
        return;
    }
    if (method == NULL) {
        (void)osa_fail(&err, OSA_UNIMPLEMENTED, 0, "this server has no method %s", call->path);
        rpc_call_fail(call, &err, /* detail= */ NULL);
        return;
    }
    if (method->start != NULL)
        method->start(call);
    if ((method->kind == RPC_UNARY || method->kind == RPC_SERVER_STREAM) &&
        call->state == CALL_OPEN && deliver(call, &err) != OSA_OK)
        refuse(call, &err);
    if (method->inline_ok && call->state == CALL_OPEN) {
        (void)osa_fail(&err, OSA_INTERNAL, 0, "%s gave no answer", call->path);
        rpc_call_fail(call, &err, /* detail= */ NULL);
    }
}

static void begin(struct rpc_call *call)
{
    const struct rpc_method *method = call->entry->method;
    call->deadline_ns = deadline_from_core(call->core_deadline);
    call->trace = osa_trace_new(rpc_call_metadata(call, RPC_TRACE_PARENT),
                                rpc_call_metadata(call, RPC_TRACE_STATE));
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(call->trace);
    call->corked = true;
    run_first_callbacks(call);
    call->corked = false;
    /* Streams show their initial metadata at once: a client may wait for it before it sends. */
    bool send_now = call->state == CALL_FINISHING || method->kind != RPC_UNARY;
    if (send_now && flush(call))
        return;
    call->close_started = true;
    grpc_op op = op_close(call);
    start_batch(call, &op, 1, &call->closed);
}

static void on_accepted(struct rpc_step *step)
{
    begin(OSA_CONTAINER_OF(step, struct rpc_call, accepted));
}

static const char *path_of(struct rpc_call *call)
{
    if (call->entry->path != NULL)
        return call->entry->path;
    size_t size = OSA_MIN(GRPC_SLICE_LENGTH(call->details.method), (size_t)255) + 1;
    char *path = grpc_call_arena_alloc(call->core, size); /* freed with the call */
    rpc_slice_copy(call->details.method, path, size);
    return path;
}

static bool accepted_on_worker(struct rpc_step *step)
{
    struct rpc_call *call = OSA_CONTAINER_OF(step, struct rpc_call, accepted);
    if (!step->ok) { /* the server shuts down and gives its requests back */
        release_core(call);
        rpc_call_unref(call);
        return false;
    }
    atomic_fetch_add_explicit(&call->server->live_calls, 1, memory_order_relaxed);
    rpc_call_request(call->server, call->entry);
    call->started_ns = osa_now_ns();
    call->path = path_of(call);
    if (call->entry->method == NULL)
        call->core_deadline = call->details.deadline;
    if (call->entry->method == NULL || !call->entry->method->inline_ok)
        return true;
    begin(call);
    return false;
}

void rpc_call_request(struct rpc_server *server, const struct rpc_entry *entry)
{
    if (!atomic_load_explicit(&server->accepting, memory_order_acquire))
        return;
    struct rpc_call *call = call_new(server, entry);
    rpc_step_init(&call->accepted, server->loop, on_accepted);
    call->accepted.on_worker = accepted_on_worker;
    rpc_step_init(&call->received, server->loop, on_received);
    rpc_step_init(&call->sent, server->loop, on_sent);
    rpc_step_init(&call->closed, server->loop, on_closed);
    grpc_completion_queue *queue = server->worker.queue;
    grpc_call_error error;
    rpc_step_hand_over(&call->accepted);
    if (entry->method == NULL) {
        error = grpc_server_request_call(server->core, &call->core, &call->details, &call->metadata,
                                         queue, queue, rpc_step_tag(&call->accepted));
    } else {
        bool with_payload =
            entry->method->kind == RPC_UNARY || entry->method->kind == RPC_SERVER_STREAM;
        error = grpc_server_request_registered_call(
            server->core, entry->handle, &call->core, &call->core_deadline, &call->metadata,
            with_payload ? &call->payload : NULL, queue, queue, rpc_step_tag(&call->accepted));
    }
    if (error == GRPC_CALL_OK)
        return;
    osa_log(OSA_LOG_ERROR, "rpc", "no further calls of this method can be accepted",
            OSA_S("error", grpc_call_error_to_string(error)), OSA_S("method", entry->path));
    release_core(call);
    rpc_call_unref(call);
}
