// SPDX-License-Identifier: Apache-2.0
/* Processes of the helper's sandbox: spawns, output, input, and the requests about them. */
#include "guest/serve_internal.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct guest_process {
    struct guest *guest; /* borrowed */
    uint64_t key;
    UT_hash_handle hh;
    struct process_events events;
    struct backend_process *handle; /* NULL until spawned */
    bool held;                      /* by the agent */
    bool freed;                     /* the agent knows it no more */
    bool stdin_end;                 /* after what waits in @input */
    bool stdin_gone;
    struct osa_buf input; /* that stdin has not taken */
};

/* ---- output ---- */

void serve_hold(struct guest *guest, bool hold)
{
    struct guest_process *p, *next;
    if (guest->holding == hold)
        return;
    guest->holding = hold;
    HASH_ITER(hh, guest->processes, p, next)
    {
        if (p->handle != NULL && !p->held)
            p->handle->ops->hold_output(p->handle, hold);
    }
}

static struct guest_process *process_of(struct process_events *events)
{
    return OSA_CONTAINER_OF(events, struct guest_process, events);
}

static void on_output(struct process_events *events, enum output_stream stream, const void *data,
                      size_t len)
{
    struct guest_process *p = process_of(events);
    char chunk[1 + GUEST_CHUNK_BYTES];
    const char *at = data;
    chunk[0] = (char)stream;
    while (len > 0 && !p->freed) {
        size_t part = OSA_MIN(len, GUEST_CHUNK_BYTES);
        memcpy(chunk + 1, at, part);
        link_send(&p->guest->link, GUEST_OUTPUT, p->key, chunk, part + 1);
        at += part;
        len -= part;
    }
    if (link_is_full(&p->guest->link))
        serve_hold(p->guest, true);
}

static void on_output_end(struct process_events *events, enum output_stream stream)
{
    struct guest_process *p = process_of(events);
    char which = (char)stream;
    link_send(&p->guest->link, GUEST_OUTPUT_END, p->key, &which, 1);
}

static void on_exited(struct process_events *events, const struct process_exit *exit)
{
    struct guest_process *p = process_of(events);
    struct osa_buf body;
    osa_buf_init(&body, 1024);
    guest_write_exit(&body, exit);
    serve_send(p->guest, GUEST_EXITED, p->key, &body);
}

static void on_oom_killed(struct process_events *events)
{
    struct guest_process *p = process_of(events);
    link_send(&p->guest->link, GUEST_OOM_KILLED, p->key, NULL, 0);
}

/* ---- stdin ---- */

static void push_stdin(struct guest_process *p)
{
    struct osa_error err;
    size_t taken = 0;
    if (p->handle == NULL || p->stdin_gone)
        return;
    if (p->input.len > 0 && p->handle->ops->write_stdin(p->handle, p->input.data, p->input.len,
                                                        &taken, &err) != OSA_OK) {
        p->stdin_gone = true;
        link_send(&p->guest->link, GUEST_STDIN_GONE, p->key, NULL, 0);
        return;
    }
    if (taken > 0) {
        uint64_t room = taken;
        osa_buf_consume(&p->input, taken);
        link_send(&p->guest->link, GUEST_STDIN_ROOM, p->key, &room, sizeof(room));
    }
    if (p->input.len == 0 && p->stdin_end)
        (void)!p->handle->ops->close_stdin(p->handle, &err);
}

static void on_stdin_ready(struct process_events *events)
{
    push_stdin(process_of(events));
}

/* ---- processes ---- */

static void process_done(struct guest_process *p)
{
    HASH_DEL(p->guest->processes, p);
    if (p->handle != NULL)
        p->handle->ops->process_free(p->handle);
    osa_buf_done(&p->input);
    free(p);
}

static void on_spawned(void *ctx, struct backend_process *handle, const struct isolation *isolation,
                       const struct resources *effective, const struct osa_error *error)
{
    struct guest_process *p = ctx;
    struct osa_buf body;
    osa_buf_init(&body, 16384);
    codec_error(&body, error);
    if (error == NULL) {
        guest_write_isolation(&body, isolation);
        guest_write_resources(&body, effective);
    }
    serve_send(p->guest, GUEST_SPAWNED, p->key, &body);
    p->handle = handle;
    if (error != NULL) {
        process_done(p);
        return;
    }
    if (p->guest->holding || p->held)
        handle->ops->hold_output(handle, true);
    if (p->freed)
        process_done(p);
    else
        push_stdin(p);
}

void serve_spawn(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct guest_process_spec spec;
    struct osa_error err = { 0 };
    guest_read_process(&reader, &spec);
    if (reader.failed || guest->sandbox == NULL) {
        (void)osa_fail(&err, OSA_INTERNAL, 0, "the helper does not understand the request");
        serve_send_error(guest, GUEST_SPAWNED, frame->key, &err);
        guest_process_done(&spec);
        return;
    }
    struct guest_process *p = calloc(1, sizeof(*p));
    if (p == NULL)
        abort();
    p->guest = guest;
    p->key = frame->key;
    p->events = (struct process_events){ .output = on_output,
                                         .output_end = on_output_end,
                                         .stdin_ready = on_stdin_ready,
                                         .exited = on_exited,
                                         .oom_killed = on_oom_killed };
    osa_buf_init(&p->input, 2 * GUEST_STDIN_BYTES);
    HASH_ADD(hh, guest->processes, key, sizeof(p->key), p);
    guest->backend->ops->spawn(guest->sandbox, &spec.spec, &p->events, on_spawned, p);
    guest_process_done(&spec);
}

/* ---- requests ---- */

/* A request about a process that has gone. */
static void refuse(struct guest *guest, uint64_t key)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_NOT_FOUND, 0, "the process has exited");
    serve_send_error(guest, GUEST_DONE, key, &err);
}

void serve_process_request(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    uint64_t key = codec_read_u64(&reader);
    struct guest_process *p;
    HASH_FIND(hh, guest->processes, &key, sizeof(key), p);
    if (p == NULL || p->handle == NULL) {
        refuse(guest, frame->key);
        return;
    }
    const struct backend_ops *ops = p->handle->ops;
    struct request *request = request_new(guest, frame->key);
    if (frame->type == GUEST_KILL_TREE) {
        ops->kill_tree(p->handle, serve_done, request);
    } else if (frame->type == GUEST_PROCESS_STATS) {
        ops->process_stats(p->handle, serve_usage, request);
    } else {
        const struct resources limits = guest_read_resources(&reader);
        ops->process_update(p->handle, &limits, serve_done, request);
    }
}

/* ---- verbs of a process that answer nothing ---- */

void serve_process_verb(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct guest_process *p;
    struct osa_error err;
    struct terminal_size size;
    HASH_FIND(hh, guest->processes, &frame->key, sizeof(frame->key), p);
    if (p == NULL)
        return;
    const struct backend_ops *ops = guest->backend->ops;
    switch ((enum guest_message)frame->type) {
    case GUEST_FREE:
        p->freed = true;
        if (p->handle != NULL)
            process_done(p);
        break;
    case GUEST_STDIN:
        if (!osa_buf_add(&p->input, frame->body, frame->len))
            p->stdin_gone = true; /* more than it was allowed to send */
        push_stdin(p);
        break;
    case GUEST_STDIN_END:
        p->stdin_end = true;
        push_stdin(p);
        break;
    case GUEST_RESIZE:
        codec_read_bytes(&reader, &size, sizeof(size));
        if (p->handle != NULL)
            (void)!ops->resize(p->handle, size, &err);
        break;
    case GUEST_SIGNAL: {
        int signo = (int)codec_read_u64(&reader);
        uint64_t scope = codec_read_u64(&reader);
        if (p->handle != NULL && scope >= SIGNAL_PROCESS && scope <= SIGNAL_TREE)
            (void)!ops->signal(p->handle, signo, (enum signal_scope)scope, &err);
        break;
    }
    case GUEST_HOLD:
        p->held = codec_read_u64(&reader) != 0;
        if (p->handle != NULL && !guest->holding)
            ops->hold_output(p->handle, p->held);
        break;
    default:
        break;
    }
}
