// SPDX-License-Identifier: Apache-2.0
/*
 * Attach: a reader of the output log that pulls as fast as its client takes, and a writer of stdin
 * that is held back by reading no further message until the process has taken the last one.
 */
#include "agent/service/service_internal.h"

#include <string.h>

/* What a message carries at most. Each costs a change of threads, so few large ones are faster. */
#define CHUNK_BYTES ((size_t)256 << 10)
/* After the exit, a stranger that holds the output open is waited for so long and no longer. */
#define LINGER_NS (OSA_NS_PER_SEC / 2)

/**
 * struct attach - One Attach call
 * @process: owned reference; NULL before the first message
 * @end:     without follow: where the output ends for this call
 * @blocked: the send queue is full; writable will come
 * @input, @input_len, @input_done: stdin that the process has not taken
 * @stdin_gone: nobody reads stdin any more: what still comes is thrown away
 */
struct attach {
    struct rpc_call *call;
    struct process *process;
    struct process_reader reader;
    struct output_cursor cursor;
    struct osa_timer linger;
    uint64_t end;
    bool follow;
    bool no_output;
    bool half_closed;
    bool blocked;
    bool lingered;
    bool finished;
    bool stdin_gone;
    uint8_t *input;
    size_t input_len;
    size_t input_done;
};

static void fail(struct attach *attach, const struct osa_error *error)
{
    attach->finished = true;
    process_read_cancel(attach->process, &attach->reader);
    service_fail(attach->call, error);
}

static void finish(struct attach *attach)
{
    attach->finished = true;
    process_read_cancel(attach->process, &attach->reader);
    rpc_call_finish(attach->call);
}

/* ---- output ---- */

static bool send_chunk(struct attach *attach, enum output_read kind,
                       const struct output_chunk *chunk)
{
    V1(AttachResponse) message = V1_INIT(ATTACH_RESPONSE);
    V1(Output) output = V1_INIT(OUTPUT);
    V1(Gap) gap = V1_INIT(GAP);
    if (kind == OUTPUT_READ_GAP) {
        gap.offset = chunk->offset;
        gap.lost_bytes = chunk->len;
        message.message_case = V1_ENUM(ATTACH_RESPONSE__MESSAGE_GAP);
        message.gap = &gap;
    } else {
        output.stream = (V1(OutputStream))chunk->stream;
        output.data = (ProtobufCBinaryData){ (size_t)chunk->len, (uint8_t *)chunk->data };
        output.offset = chunk->offset;
        message.message_case = V1_ENUM(ATTACH_RESPONSE__MESSAGE_OUTPUT);
        message.output = &output;
    }
    return rpc_call_send(attach->call, &message.base);
}

/* What is less than a message gathers until the last one has left. */
static bool is_worth_waiting(const struct attach *attach)
{
    return rpc_call_queued_bytes(attach->call) > 0 &&
           attach->process->log.end - attach->cursor.offset < CHUNK_BYTES;
}

/* Return: true when this call has sent all the output that there is for it now. */
static bool send_output(struct attach *attach)
{
    struct output_log *log = &attach->process->log;
    attach->blocked |= is_worth_waiting(attach);
    while (!attach->no_output && !attach->blocked) {
        uint64_t end = attach->follow ? log->end : attach->end;
        if (attach->cursor.offset >= end)
            return true;
        struct output_chunk chunk;
        size_t max = (size_t)OSA_MIN((uint64_t)CHUNK_BYTES, end - attach->cursor.offset);
        enum output_read kind = output_log_read(log, &attach->cursor, max, &chunk);
        if (kind == OUTPUT_READ_NOTHING)
            return true;
        attach->blocked = !send_chunk(attach, kind, &chunk);
    }
    return attach->no_output;
}

static void send_exit(struct attach *attach)
{
    struct osa_arena arena = { 0 };
    V1(AttachResponse) message = V1_INIT(ATTACH_RESPONSE);
    message.message_case = V1_ENUM(ATTACH_RESPONSE__MESSAGE_EXIT);
    message.exit = exit_to_wire(&arena, &attach->process->exit);
    (void)rpc_call_send(attach->call, &message.base);
    osa_arena_done(&arena);
}

static bool has_ended(struct attach *attach)
{
    const struct process *process = attach->process;
    if (!attach->follow)
        return !attach->no_output || attach->half_closed;
    if (process->state != PROCESS_EXITED)
        return false;
    if (process->output_done || attach->no_output || attach->lingered)
        return true;
    if (attach->linger.heap_index == 0)
        osa_timer_arm(service_of(attach->call)->loop, &attach->linger,
                      osa_deadline_after(LINGER_NS));
    return false;
}

static void pump_output(struct attach *attach)
{
    if (attach->finished || attach->process == NULL)
        return;
    bool sent = send_output(attach);
    bool sending = rpc_call_await_drain(attach->call);
    process_reader_moved(attach->process, &attach->reader, attach->cursor.offset, sending);
    if (!sent || attach->blocked || !has_ended(attach))
        return;
    if (attach->follow)
        send_exit(attach);
    finish(attach);
}

static void on_linger(struct osa_timer *timer)
{
    struct attach *attach = OSA_CONTAINER_OF(timer, struct attach, linger);
    attach->lingered = true;
    pump_output(attach);
}

/* ---- input ---- */

/* Offers what is left of the last message; asks for the next one when all of it is taken. */
static void pump_input(struct attach *attach)
{
    if (attach->finished || attach->input == NULL)
        return;
    while (attach->input_done < attach->input_len && !attach->stdin_gone) {
        size_t taken = 0;
        if (process_write_stdin(attach->process, attach->input + attach->input_done,
                                attach->input_len - attach->input_done, &taken, NULL) != OSA_OK)
            attach->stdin_gone = true;
        else if (taken == 0)
            return;
        attach->input_done += taken;
    }
    free(attach->input);
    attach->input = NULL;
    rpc_call_read(attach->call);
}

static bool has_stdin(const struct process *process)
{
    return process->request->stdin_open || process->request->tty;
}

static void take_input(struct attach *attach, const ProtobufCBinaryData *data)
{
    struct osa_error err = { 0 };
    if (!has_stdin(attach->process)) {
        (void)osa_fail(&err, OSA_FAILED_PRECONDITION, 0,
                       "stdin: process '%s' has none; set spec.stdin in Spawn",
                       attach->process->id);
        fail(attach, &err);
        return;
    }
    attach->input = malloc(data->len + 1);
    if (attach->input == NULL)
        abort();
    if (data->len > 0)
        memcpy(attach->input, data->data, data->len);
    attach->input_len = data->len;
    attach->input_done = 0;
    pump_input(attach);
}

static void end_input(struct attach *attach)
{
    /* Stdin that is closed, or was never open, has ended already. */
    (void)!process_close_stdin(attach->process, NULL);
    attach->stdin_gone = !attach->process->request->tty;
    rpc_call_read(attach->call);
}

static void resize(struct attach *attach, const V1(TerminalSize) * size)
{
    struct osa_error err = { 0 };
    if (size->rows == 0 || size->rows > UINT16_MAX || size->columns == 0 ||
        size->columns > UINT16_MAX) {
        (void)osa_fail_field(&err, "resize", "rows and columns are 1 to 65535");
        fail(attach, &err);
        return;
    }
    const struct terminal_size domain = { (uint16_t)size->rows, (uint16_t)size->columns };
    enum osa_code code = process_resize(attach->process, domain, &err);
    if (code != OSA_OK && attach->process->state == PROCESS_RUNNING)
        fail(attach, &err);
    else /* a window that changes while the process exits is nobody's mistake */
        rpc_call_read(attach->call);
}

/* ---- the call ---- */

static void on_ready(struct process_reader *reader)
{
    struct attach *attach = OSA_CONTAINER_OF(reader, struct attach, reader);
    pump_input(attach);
    pump_output(attach);
}

void service_attach_start(struct rpc_call *call)
{
    struct attach *attach = calloc(1, sizeof(*attach));
    if (attach == NULL)
        abort();
    attach->call = call;
    attach->reader.ready = on_ready;
    attach->linger.fire = on_linger;
    rpc_call_set_data(call, attach);
    rpc_call_read(call);
}

static void begin(struct attach *attach, const V1(AttachStart) * start)
{
    struct process *process = service_find_process(attach->call, start->process_id);
    struct osa_error err = { 0 };
    if (process == NULL) {
        attach->finished = true;
        return;
    }
    attach->process = process_ref(process);
    attach->follow = start->follow;
    attach->no_output = start->no_output;
    attach->end = process->log.end;
    uint64_t offset = start->from_end ? process->log.end : start->offset;
    if (offset > process->log.end) {
        (void)osa_fail(&err, OSA_OUT_OF_RANGE, 0, "start.offset: %llu is beyond the end, %llu",
                       (unsigned long long)offset, (unsigned long long)process->log.end);
        fail(attach, &err);
        return;
    }
    attach->cursor = output_cursor_at(offset);
    attach->reader.follows = attach->follow && !attach->no_output;
    attach->reader.taken = offset;
    process_read(process, &attach->reader);

    V1(AttachResponse) message = V1_INIT(ATTACH_RESPONSE);
    V1(AttachStarted) started = V1_INIT(ATTACH_STARTED);
    started.offset = offset;
    started.tty = process->request->tty;
    message.message_case = V1_ENUM(ATTACH_RESPONSE__MESSAGE_STARTED);
    message.started = &started;
    attach->blocked = !rpc_call_send(attach->call, &message.base);
    rpc_call_read(attach->call);
    pump_output(attach);
}

void service_attach_message(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(AttachRequest) *wire = (const V1(AttachRequest) *)request;
    struct attach *attach = rpc_call_data(call);
    struct osa_error err = { 0 };
    if (attach->finished)
        return;
    bool is_start = wire->message_case == V1_ENUM(ATTACH_REQUEST__MESSAGE_START);
    if (is_start != (attach->process == NULL)) {
        (void)osa_fail_field(&err, "start", "the first message carries it, and no other does");
        fail(attach, &err);
        return;
    }
    switch (wire->message_case) {
    case V1_ENUM(ATTACH_REQUEST__MESSAGE_START):
        begin(attach, wire->start);
        return;
    case V1_ENUM(ATTACH_REQUEST__MESSAGE_STDIN):
        take_input(attach, &wire->stdin);
        return;
    case V1_ENUM(ATTACH_REQUEST__MESSAGE_STDIN_END):
        end_input(attach);
        return;
    case V1_ENUM(ATTACH_REQUEST__MESSAGE_RESIZE):
        resize(attach, wire->resize);
        return;
    case V1_ENUM(ATTACH_REQUEST__MESSAGE__NOT_SET):
    default: /* a message of a newer client */
        (void)osa_fail_field(&err, "message", "is empty or not known here");
        fail(attach, &err);
        return;
    }
}

void service_attach_half_close(struct rpc_call *call)
{
    struct attach *attach = rpc_call_data(call);
    struct osa_error err = { 0 };
    attach->half_closed = true;
    if (attach->finished)
        return;
    if (attach->process == NULL) {
        (void)osa_fail_field(&err, "start", "the client sent nothing");
        fail(attach, &err);
        return;
    }
    pump_output(attach);
}

void service_attach_writable(struct rpc_call *call)
{
    struct attach *attach = rpc_call_data(call);
    attach->blocked = false;
    pump_output(attach);
}

void service_attach_done(struct rpc_call *call)
{
    struct attach *attach = rpc_call_data(call);
    osa_timer_disarm(&attach->linger);
    process_read_cancel(attach->process, &attach->reader);
    process_unref(attach->process);
    free(attach->input);
    free(attach);
}
