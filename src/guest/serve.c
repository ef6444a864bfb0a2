// SPDX-License-Identifier: Apache-2.0
#include "guest/serve.h"

#include "base/fd.h"
#include "guest/serve_internal.h"
#include "policy/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Text that the transport has not taken; the link's window bounds it, and what a terminal writes. */
#define OUT_MAX ((size_t)64 << 20)

void serve_send(struct guest *guest, enum guest_message type, uint64_t key, struct osa_buf *body)
{
    link_send(&guest->link, type, key, body->data, body->len);
    osa_buf_done(body);
}

void serve_send_error(struct guest *guest, enum guest_message type, uint64_t key,
                      const struct osa_error *error)
{
    struct osa_buf body;
    osa_buf_init(&body, 8192);
    codec_error(&body, error);
    serve_send(guest, type, key, &body);
}

/* ---- requests ---- */

struct request *request_new(struct guest *guest, uint64_t key)
{
    struct request *request = malloc(sizeof(*request));
    if (request == NULL)
        abort();
    *request = (struct request){ guest, key };
    return request;
}

/* Before there is a sandbox. */
void serve_refuse(struct guest *guest, enum guest_message type, uint64_t key)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_ABORTED, 0, "the box has no sandbox");
    serve_send_error(guest, type, key, &err);
}

void serve_done(void *ctx, const struct osa_error *error)
{
    const struct request *request = ctx;
    serve_send_error(request->guest, GUEST_DONE, request->key, error);
    free(ctx);
}

void serve_usage(void *ctx, const struct usage_stats *stats, const struct osa_error *error)
{
    const struct request *request = ctx;
    struct osa_buf body;
    osa_buf_init(&body, 8192);
    codec_error(&body, error);
    if (error == NULL)
        codec_bytes(&body, stats, sizeof(*stats));
    serve_send(request->guest, GUEST_USAGE, request->key, &body);
    free(ctx);
}

static void sandbox_request(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    const struct backend_ops *ops = guest->backend->ops;
    if (guest->sandbox == NULL) {
        serve_refuse(guest, GUEST_DONE, frame->key);
        return;
    }
    struct request *request = request_new(guest, frame->key);
    if (frame->type == GUEST_PAUSE) {
        ops->sandbox_pause(guest->sandbox, codec_read_u64(&reader) != 0, serve_done, request);
    } else if (frame->type == GUEST_STATS) {
        ops->sandbox_stats(guest->sandbox, serve_usage, request);
    } else {
        const struct resources limits = guest_read_resources(&reader);
        ops->sandbox_update(guest->sandbox, &limits, serve_done, request);
    }
}

/* ---- the sandbox ---- */

static void on_lost(struct sandbox_events *events, const char *reason)
{
    struct guest *guest = OSA_CONTAINER_OF(events, struct guest, events);
    struct osa_buf body;
    osa_buf_init(&body, 4096);
    codec_text(&body, reason);
    serve_send(guest, GUEST_LOST, 0, &body);
}

static void on_denied(struct sandbox_events *events, const char *control, const char *text)
{
    struct guest *guest = OSA_CONTAINER_OF(events, struct guest, events);
    struct osa_buf body;
    osa_buf_init(&body, 4096);
    codec_text(&body, control);
    codec_text(&body, text);
    serve_send(guest, GUEST_DENIED, 0, &body);
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
    if (error == NULL)
        serve_door(guest, &body);
    serve_send(guest, GUEST_CREATED, 0, &body);
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
    if (code == OSA_OK)
        code = serve_shared(guest, &spec, &err);
    if (code == OSA_OK) {
        spec.spec.policy = guest->policy;
        guest->backend->ops->sandbox_create(guest->backend, &spec.spec, &guest->events, on_created,
                                            guest);
    } else {
        serve_send_error(guest, GUEST_CREATED, 0, &err);
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
        serve_spawn(guest, frame);
        break;
    case GUEST_KILL_TREE:
    case GUEST_PROCESS_STATS:
    case GUEST_PROCESS_UPDATE:
        serve_process_request(guest, frame);
        break;
    case GUEST_PAUSE:
    case GUEST_STATS:
    case GUEST_UPDATE:
        sandbox_request(guest, frame);
        break;
    case GUEST_COPY:
        serve_copy(guest, frame);
        break;
    case GUEST_CONNECT:
        serve_connect(guest, frame);
        break;
    case GUEST_CHANNEL:
        serve_channel(guest, frame);
        break;
    case GUEST_IDENTIFY:
        serve_identify(guest, frame);
        break;
    default:
        if (!conduits_frame(&guest->conduits, frame))
            serve_process_verb(guest, frame);
        break;
    }
}

static void on_drained(struct link *link)
{
    struct guest *guest = OSA_CONTAINER_OF(link, struct guest, link);
    serve_hold(guest, false);
    conduits_drained(&guest->conduits);
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
    if (serve_channel_send(guest, text, len))
        return;
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
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        guest->ended = true;
    else if (got > 0 && !guest->tcp_serves) /* else it is of before */
        link_feed(&guest->link, chunk, (size_t)got);
}

static void say_hello(struct guest *guest)
{
    const uint32_t not_here = BACKEND_CAP_IMAGE | BACKEND_CAP_ROOT;
    const struct backend_info *info = guest->backend->ops->info(guest->backend);
    struct osa_buf body;
    osa_buf_init(&body, 4096);
    codec_u64(&body, GUEST_PROTOCOL);
    codec_text(&body, OSA_VERSION);
    codec_u64(&body, info->capabilities & ~not_here);
    codec_text(&body, info->available ? "" : info->reason);
    serve_send(guest, GUEST_HELLO, 0, &body);
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
    serve_channel_init(&guest);
    conduits_init(&guest.conduits, loop, &guest.link);
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
    conduits_done(&guest.conduits);
    serve_channel_done(&guest);
    osa_source_remove(&guest.in);
    osa_source_remove(&guest.out);
    return code;
}
