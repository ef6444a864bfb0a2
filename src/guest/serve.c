// SPDX-License-Identifier: Apache-2.0
#include "guest/serve.h"

#include "base/fd.h"
#include "guest/link.h"
#include "guest/messages.h"
#include "policy/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

/* Text that the transport has not taken; the link's window bounds it, and what a terminal writes. */
#define OUT_MAX ((size_t)64 << 20)

struct guest;

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

struct guest {
    struct osa_loop *loop;
    struct backend *backend;
    struct link link;
    struct osa_source in;
    struct osa_source out;
    struct osa_buf text; /* for out */
    struct sandbox_events events;
    struct backend_sandbox *sandbox;
    struct guest_process *processes; /* uthash by key */
    const struct policy_document *policy;
    bool holding;
    bool ended;
};

/* A request of the agent that answers later. */
struct request {
    struct guest *guest;
    uint64_t key;
};

static void send_body(struct guest *guest, enum guest_message type, uint64_t key,
                      struct osa_buf *body)
{
    link_send(&guest->link, type, key, body->data, body->len);
    osa_buf_done(body);
}

static void send_error(struct guest *guest, enum guest_message type, uint64_t key,
                       const struct osa_error *error)
{
    struct osa_buf body;
    osa_buf_init(&body, 8192);
    codec_error(&body, error);
    send_body(guest, type, key, &body);
}

/* ---- output ---- */

static void hold_all(struct guest *guest, bool hold)
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
        hold_all(p->guest, true);
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
    send_body(p->guest, GUEST_EXITED, p->key, &body);
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
    send_body(p->guest, GUEST_SPAWNED, p->key, &body);
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

static void spawn(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct guest_process_spec spec;
    struct osa_error err = { 0 };
    guest_read_process(&reader, &spec);
    if (reader.failed || guest->sandbox == NULL) {
        (void)osa_fail(&err, OSA_INTERNAL, 0, "the helper does not understand the request");
        send_error(guest, GUEST_SPAWNED, frame->key, &err);
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

static struct request *request_new(struct guest *guest, uint64_t key)
{
    struct request *request = malloc(sizeof(*request));
    if (request == NULL)
        abort();
    *request = (struct request){ guest, key };
    return request;
}

static void on_done(void *ctx, const struct osa_error *error)
{
    const struct request *request = ctx;
    send_error(request->guest, GUEST_DONE, request->key, error);
    free(ctx);
}

static void on_usage(void *ctx, const struct usage_stats *stats, const struct osa_error *error)
{
    const struct request *request = ctx;
    struct osa_buf body;
    osa_buf_init(&body, 8192);
    codec_error(&body, error);
    if (error == NULL)
        codec_bytes(&body, stats, sizeof(*stats));
    send_body(request->guest, GUEST_USAGE, request->key, &body);
    free(ctx);
}

/* A request about a process that has gone, or before there is a sandbox. */
static void refuse(struct guest *guest, uint64_t key)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_NOT_FOUND, 0, "the process has exited");
    send_error(guest, GUEST_DONE, key, &err);
}

static void process_request(struct guest *guest, const struct link_frame *frame)
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
        ops->kill_tree(p->handle, on_done, request);
    } else if (frame->type == GUEST_PROCESS_STATS) {
        ops->process_stats(p->handle, on_usage, request);
    } else {
        const struct resources limits = guest_read_resources(&reader);
        ops->process_update(p->handle, &limits, on_done, request);
    }
}

static void sandbox_request(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    const struct backend_ops *ops = guest->backend->ops;
    if (guest->sandbox == NULL) {
        refuse(guest, frame->key);
        return;
    }
    struct request *request = request_new(guest, frame->key);
    if (frame->type == GUEST_PAUSE) {
        ops->sandbox_pause(guest->sandbox, codec_read_u64(&reader) != 0, on_done, request);
    } else if (frame->type == GUEST_STATS) {
        ops->sandbox_stats(guest->sandbox, on_usage, request);
    } else {
        const struct resources limits = guest_read_resources(&reader);
        ops->sandbox_update(guest->sandbox, &limits, on_done, request);
    }
}

/* ---- verbs of a process that answer nothing ---- */

static void process_verb(struct guest *guest, const struct link_frame *frame)
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

/* ---- the sandbox ---- */

static void on_lost(struct sandbox_events *events, const char *reason)
{
    struct guest *guest = OSA_CONTAINER_OF(events, struct guest, events);
    struct osa_buf body;
    osa_buf_init(&body, 4096);
    codec_text(&body, reason);
    send_body(guest, GUEST_LOST, 0, &body);
}

static void on_denied(struct sandbox_events *events, const char *control, const char *text)
{
    struct guest *guest = OSA_CONTAINER_OF(events, struct guest, events);
    struct osa_buf body;
    osa_buf_init(&body, 4096);
    codec_text(&body, control);
    codec_text(&body, text);
    send_body(guest, GUEST_DENIED, 0, &body);
}

static void on_created(void *ctx, struct backend_sandbox *sandbox,
                       const struct isolation *isolation, const struct resources *effective,
                       const struct osa_error *error)
{
    struct guest *guest = ctx;
    struct osa_buf body;
    osa_buf_init(&body, 16384);
    codec_error(&body, error);
    if (error == NULL) {
        guest_write_isolation(&body, isolation);
        guest_write_resources(&body, effective);
    }
    guest->sandbox = sandbox;
    send_body(guest, GUEST_CREATED, 0, &body);
}

static void create(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct guest_sandbox_spec spec;
    struct osa_error err = { 0 };
    const struct resources limits = guest_read_resources(&reader);
    guest_read_sandbox(&reader, &spec);
    spec.spec.resources = limits;
    enum osa_code code = OSA_OK;
    if (reader.failed || guest->policy != NULL)
        code = osa_fail(&err, OSA_INTERNAL, 0, "the helper does not understand the request");
    if (code == OSA_OK)
        code = policy_document_parse_yaml(spec.policy, strlen(spec.policy), "policy",
                                          &guest->policy, &err);
    if (code == OSA_OK) {
        spec.spec.policy = guest->policy;
        guest->backend->ops->sandbox_create(guest->backend, &spec.spec, &guest->events, on_created,
                                            guest);
    } else {
        send_error(guest, GUEST_CREATED, 0, &err);
    }
    guest_sandbox_done(&spec);
}

/* ---- the channel ---- */

static void on_frame(struct link *link, const struct link_frame *frame)
{
    struct guest *guest = OSA_CONTAINER_OF(link, struct guest, link);
    switch ((enum guest_message)frame->type) {
    case GUEST_CREATE:
        create(guest, frame);
        break;
    case GUEST_SPAWN:
        spawn(guest, frame);
        break;
    case GUEST_KILL_TREE:
    case GUEST_PROCESS_STATS:
    case GUEST_PROCESS_UPDATE:
        process_request(guest, frame);
        break;
    case GUEST_PAUSE:
    case GUEST_STATS:
    case GUEST_UPDATE:
        sandbox_request(guest, frame);
        break;
    default:
        process_verb(guest, frame);
        break;
    }
}

static void on_drained(struct link *link)
{
    hold_all(OSA_CONTAINER_OF(link, struct guest, link), false);
}

static void write_text(struct guest *guest)
{
    while (guest->text.len > 0) {
        ssize_t put = write(guest->out.fd, guest->text.data, guest->text.len);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            guest->ended = true; /* nobody reads: the box is going */
        if (put <= 0)
            break;
        osa_buf_consume(&guest->text, (size_t)put);
    }
    osa_source_set(&guest->out, guest->text.len > 0 ? OSA_WRITE : 0);
}

static void on_text(struct link *link, const char *text, size_t len)
{
    struct guest *guest = OSA_CONTAINER_OF(link, struct guest, link);
    if (!osa_buf_add(&guest->text, text, len))
        guest->ended = true;
    osa_source_set(&guest->out, OSA_WRITE);
}

static void on_writable(struct osa_source *source, unsigned events)
{
    struct guest *guest = OSA_CONTAINER_OF(source, struct guest, out);
    if ((events & OSA_HUP) != 0)
        guest->ended = true;
    else
        write_text(guest);
}

static void on_readable(struct osa_source *source, unsigned events)
{
    struct guest *guest = OSA_CONTAINER_OF(source, struct guest, in);
    static char chunk[64 << 10];
    (void)events;
    ssize_t got = read(source->fd, chunk, sizeof(chunk));
    if (got > 0)
        link_feed(&guest->link, chunk, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        guest->ended = true;
}

static void say_hello(struct guest *guest)
{
    const uint32_t not_here =
        BACKEND_CAP_IMAGE | BACKEND_CAP_ROOT | BACKEND_CAP_COPY | BACKEND_CAP_PORT_FORWARD;
    const struct backend_info *info = guest->backend->ops->info(guest->backend);
    struct osa_buf body;
    osa_buf_init(&body, 4096);
    codec_u64(&body, GUEST_PROTOCOL);
    codec_text(&body, OSA_VERSION);
    codec_u64(&body, info->capabilities & ~not_here);
    codec_text(&body, info->available ? "" : info->reason);
    send_body(guest, GUEST_HELLO, 0, &body);
}

enum osa_code guest_serve(struct osa_loop *loop, struct backend *backend, int in, int out,
                          struct osa_error *err)
{
    static struct guest guest;
    guest = (struct guest){ .loop = loop,
                            .backend = backend,
                            .link = { .send = on_text, .receive = on_frame, .drained = on_drained },
                            .in = { .fd = in, .ready = on_readable },
                            .out = { .fd = out, .ready = on_writable },
                            .events = { .lost = on_lost, .denied = on_denied } };
    osa_buf_init(&guest.text, OUT_MAX);
    link_init(&guest.link);
    enum osa_code code = osa_set_nonblocking(in, true, err);
    if (code == OSA_OK)
        code = osa_set_nonblocking(out, true, err);
    if (code == OSA_OK)
        code = osa_source_add(loop, &guest.in, OSA_READ, err);
    if (code == OSA_OK)
        code = osa_source_add(loop, &guest.out, 0, err);
    if (code == OSA_OK) {
        say_hello(&guest);
        link_resume(&guest.link);
    }
    while (code == OSA_OK && !guest.ended)
        (void)osa_loop_run_once(loop, INT64_MAX);
    osa_source_remove(&guest.in);
    osa_source_remove(&guest.out);
    return code;
}
