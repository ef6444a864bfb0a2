// SPDX-License-Identifier: Apache-2.0
/*
 * CopyIn, CopyOut, PortForward: a call joined to a socket that leads into the sandbox. Each
 * direction waits for the other side: no message is read before the last one is in the socket, and
 * nothing is read from the socket while the client takes nothing.
 */
#include "agent/service/service_internal.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 << 10)

enum stream_kind { STREAM_COPY_IN, STREAM_COPY_OUT, STREAM_FORWARD };

/**
 * struct stream - One such call; counted, for callbacks of the backend outlive it
 * @call:     NULL once it is over
 * @out:      what is to go into the socket
 * @started:  the first message has come
 * @half_closed: the client sends no more
 * @blocked:  the client takes no more for now
 * @read_end: the socket has given all
 * @helper_done: copies: the helper has ended, well or with @error
 * @half_ends: forwards: the end of one direction leaves the other
 * @bytes:    taken by the socket
 */
struct stream {
    struct rpc_call *call;
    enum stream_kind kind;
    unsigned refs;
    int fd;
    struct osa_source source;
    uint8_t *out;
    size_t out_len;
    size_t out_done;
    bool started;
    bool half_closed;
    bool shut;
    bool blocked;
    bool read_end;
    bool helper_done;
    bool half_ends;
    bool watched; /* the source is with the loop */
    bool finished;
    struct osa_error error;
    uint64_t bytes;
};

static void stream_unref(struct stream *stream)
{
    if (--stream->refs == 0)
        free(stream);
}

static void close_socket(struct stream *stream)
{
    if (stream->fd < 0)
        return;
    osa_source_remove(&stream->source);
    stream->watched = false;
    osa_replace_fd(&stream->fd, -1);
}

static void fail(struct stream *stream, const struct osa_error *error)
{
    if (stream->finished)
        return;
    stream->finished = true;
    close_socket(stream);
    service_fail(stream->call, error);
}

static struct stream *stream_new(struct rpc_call *call, enum stream_kind kind)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        abort();
    stream->call = call;
    stream->kind = kind;
    stream->refs = 1;
    stream->fd = -1;
    rpc_call_set_data(call, stream);
    return stream;
}

/* ---- the socket ---- */

/*
 * While the client takes nothing, what has been sent from the other side waits in the socket. A
 * source that is only muted would go on to report that the other side has closed; so it is removed.
 */
static void watch(struct stream *stream)
{
    struct osa_error err = { 0 };
    if (stream->fd < 0)
        return;
    bool may_read = stream->kind != STREAM_COPY_IN && !stream->read_end;
    unsigned events = (may_read && !stream->blocked ? (unsigned)OSA_READ : 0u) |
                      (stream->out != NULL ? (unsigned)OSA_WRITE : 0u);
    if (may_read && events == 0) {
        osa_source_remove(&stream->source);
        stream->watched = false;
    } else if (stream->watched) {
        osa_source_set(&stream->source, events);
    } else if (osa_source_add(service_of(stream->call)->loop, &stream->source, events, &err) ==
               OSA_OK) {
        stream->watched = true;
    } else {
        fail(stream, &err);
    }
}

/* Copies end when the helper has ended and, outwards, everything has been sent. */
static void check_copy_end(struct stream *stream)
{
    if (stream->finished || !stream->helper_done)
        return;
    if (stream->error.code != OSA_OK) {
        fail(stream, &stream->error);
    } else if (stream->kind == STREAM_COPY_IN) {
        V1(CopyInResponse) reply = V1_INIT(COPY_IN_RESPONSE);
        reply.bytes = stream->bytes;
        stream->finished = true;
        close_socket(stream);
        rpc_call_reply(stream->call, &reply.base);
    } else if (stream->read_end) {
        stream->finished = true;
        close_socket(stream);
        rpc_call_finish(stream->call);
    }
}

static void finish_forward(struct stream *stream)
{
    if (stream->finished)
        return;
    stream->finished = true;
    close_socket(stream);
    rpc_call_finish(stream->call);
}

static void read_ended(struct stream *stream, bool broken)
{
    stream->read_end = true;
    if (stream->kind != STREAM_FORWARD) {
        check_copy_end(stream);
    } else if (!stream->half_ends || broken || stream->shut) {
        finish_forward(stream);
    } else {
        V1(PortForwardResponse) last = V1_INIT(PORT_FORWARD_RESPONSE);
        last.end = true;
        (void)rpc_call_send(stream->call, &last.base);
    }
}

static void send_data(struct stream *stream, const uint8_t *data, size_t len)
{
    V1(CopyOutResponse) copy = V1_INIT(COPY_OUT_RESPONSE);
    V1(PortForwardResponse) forward = V1_INIT(PORT_FORWARD_RESPONSE);
    const ProtobufCBinaryData bytes = { len, (uint8_t *)data };
    copy.data = bytes;
    forward.data = bytes;
    stream->blocked =
        !rpc_call_send(stream->call, stream->kind == STREAM_COPY_OUT ? &copy.base : &forward.base);
}

static void read_socket(struct stream *stream)
{
    static uint8_t chunk[CHUNK_BYTES]; /* one loop thread, and a send packs at once */
    ssize_t got = recv(stream->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got > 0)
        send_data(stream, chunk, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        read_ended(stream, /* broken= */ got < 0);
}

/* After the last byte of the client: tell the other side. */
static void shut_when_drained(struct stream *stream)
{
    if (stream->half_closed && !stream->shut && stream->fd >= 0 && stream->out == NULL) {
        stream->shut = true;
        (void)shutdown(stream->fd, SHUT_WR);
        if (stream->kind == STREAM_FORWARD && stream->read_end)
            finish_forward(stream);
    }
}

static void write_socket(struct stream *stream)
{
    while (stream->fd >= 0 && stream->out_done < stream->out_len) {
        ssize_t put = send(stream->fd, stream->out + stream->out_done,
                           stream->out_len - stream->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) { /* nobody reads there: its end will be told by the other callback */
            stream->out_done = stream->out_len;
            if (stream->kind == STREAM_FORWARD && stream->read_end)
                finish_forward(stream);
            break;
        }
        stream->out_done += (size_t)put;
        stream->bytes += (uint64_t)put;
    }
    free(stream->out);
    stream->out = NULL;
    shut_when_drained(stream);
    if (!stream->half_closed && !stream->finished)
        rpc_call_read(stream->call);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    struct stream *stream = OSA_CONTAINER_OF(source, struct stream, source);
    stream->refs++;
    if (stream->out != NULL && (events & (OSA_WRITE | OSA_HUP)) != 0)
        write_socket(stream);
    if (stream->fd >= 0 && stream->kind != STREAM_COPY_IN && !stream->blocked &&
        !stream->read_end && (events & (OSA_READ | OSA_HUP)) != 0)
        read_socket(stream);
    else if (stream->fd >= 0 && stream->kind == STREAM_COPY_IN && (events & OSA_HUP) != 0)
        close_socket(stream); /* the helper has gone; it will say why */
    else if (stream->fd >= 0 && stream->kind == STREAM_FORWARD && stream->read_end &&
             (events & OSA_HUP) != 0)
        finish_forward(stream); /* broken: nothing goes there any more */
    watch(stream);
    stream_unref(stream);
}

/* The backend gives the socket, or says why there is none. */
static void on_opened(void *ctx, int fd, const struct osa_error *error)
{
    struct stream *stream = ctx;
    if (stream->call == NULL || stream->finished) {
        osa_replace_fd(&fd, -1);
        return;
    }
    if (error != NULL) {
        fail(stream, error);
        return;
    }
    stream->fd = fd;
    stream->source = (struct osa_source){ .fd = fd, .ready = on_socket };
    if (stream->kind == STREAM_FORWARD)
        send_data(stream, NULL, 0);
    if (stream->kind != STREAM_COPY_OUT && !stream->half_closed)
        rpc_call_read(stream->call);
    shut_when_drained(stream);
    watch(stream);
}

/* A copy that was not opened has no helper that could report. */
static void on_copy_opened(void *ctx, int fd, const struct osa_error *error)
{
    on_opened(ctx, fd, error);
    if (error != NULL)
        stream_unref(ctx);
}

static void on_connected(void *ctx, int fd, const struct osa_error *error)
{
    on_opened(ctx, fd, error);
    stream_unref(ctx);
}

static void on_helper_done(void *ctx, const struct osa_error *error)
{
    struct stream *stream = ctx;
    stream->helper_done = true;
    if (error != NULL)
        stream->error = *error;
    if (stream->call != NULL)
        check_copy_end(stream);
    stream_unref(stream);
}

/* ---- the calls ---- */

/* Return: NULL after failing the call. */
static struct sandbox *usable_sandbox(struct stream *stream, const char *id)
{
    struct osa_error err = { 0 };
    struct sandbox *sandbox = sandbox_find(service_of(stream->call)->agent, id, &err);
    if (sandbox == NULL || sandbox_usable(sandbox, /* paused_too= */ false, &err) != OSA_OK) {
        fail(stream, &err);
        return NULL;
    }
    return sandbox;
}

static void start_copy(struct stream *stream, const char *sandbox_id, const char *path,
                       const char *user)
{
    struct osa_error err = { 0 };
    stream->started = true;
    if (spec_check_path(path, "path", &err) != OSA_OK ||
        spec_check_user(user, "user", &err) != OSA_OK) {
        fail(stream, &err);
        return;
    }
    if (agent_check_accepting(service_of(stream->call)->agent, &err) != OSA_OK) {
        fail(stream, &err);
        return;
    }
    struct sandbox *sandbox = usable_sandbox(stream, sandbox_id);
    if (sandbox == NULL)
        return;
    if ((sandbox_capabilities(sandbox) & BACKEND_CAP_COPY) == 0) {
        (void)osa_fail(&err, OSA_UNIMPLEMENTED, 0, "%s sandboxes cannot copy files here",
                       runtime_kind_name(sandbox->kind));
        fail(stream, &err);
        return;
    }
    stream->refs++;
    sandbox->backend->ops->sandbox_copy(sandbox->handle, stream->kind == STREAM_COPY_IN, path, user,
                                        on_copy_opened, on_helper_done, stream);
}

static void take_data(struct stream *stream, const ProtobufCBinaryData *data)
{
    stream->out = malloc(data->len + 1);
    if (stream->out == NULL)
        abort();
    if (data->len > 0)
        memcpy(stream->out, data->data, data->len);
    stream->out_len = data->len;
    stream->out_done = 0;
    write_socket(stream);
    watch(stream);
}

static void fail_order(struct stream *stream)
{
    struct osa_error err = { 0 };
    (void)osa_fail_field(&err, "start", "the first message carries it, and no other does");
    fail(stream, &err);
}

static void half_close(struct stream *stream)
{
    stream->half_closed = true;
    if (stream->finished)
        return;
    if (!stream->started)
        fail_order(stream);
    else
        shut_when_drained(stream);
}

void service_copy_in_start(struct rpc_call *call)
{
    (void)stream_new(call, STREAM_COPY_IN);
    rpc_call_read(call);
}

void service_copy_in_message(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(CopyInRequest) *wire = (const V1(CopyInRequest) *)request;
    struct stream *stream = rpc_call_data(call);
    bool is_start = wire->message_case == V1_ENUM(COPY_IN_REQUEST__MESSAGE_START);
    if (stream->finished)
        return;
    if (is_start == stream->started ||
        (!is_start && wire->message_case != V1_ENUM(COPY_IN_REQUEST__MESSAGE_DATA)))
        fail_order(stream);
    else if (is_start)
        start_copy(stream, wire->start->sandbox_id, wire->start->path, wire->start->user);
    else
        take_data(stream, &wire->data);
}

void service_copy_in_half_close(struct rpc_call *call)
{
    half_close(rpc_call_data(call));
}

void service_copy_out(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(CopyOutRequest) *wire = (const V1(CopyOutRequest) *)request;
    struct stream *stream = stream_new(call, STREAM_COPY_OUT);
    start_copy(stream, wire->sandbox_id, wire->path, wire->user);
}

/* "localhost", "" and addresses of the loopback network; what goes to the backend is an address. */
static const char *loopback_address(const char *host)
{
    struct in_addr v4;
    if (host[0] == '\0' || strcmp(host, "localhost") == 0)
        return "127.0.0.1";
    if (strcmp(host, "::1") == 0)
        return host;
    bool loopback = inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
    return loopback ? host : NULL;
}

static void start_forward(struct stream *stream, const V1(PortForwardStart) * start)
{
    struct osa_error err = { 0 };
    const char *address = loopback_address(start->host);
    stream->started = true;
    stream->half_ends = start->half_close;
    if (address == NULL)
        (void)osa_fail_field(&err, "start.host",
                             "'%.64s' is not a loopback address; use 127.0.0.0/8, ::1 or localhost",
                             start->host);
    else if (start->port == 0 || start->port > UINT16_MAX)
        (void)osa_fail_field(&err, "start.port", "%u is not between 1 and 65535", start->port);
    if (err.code != OSA_OK) {
        fail(stream, &err);
        return;
    }
    struct sandbox *sandbox = usable_sandbox(stream, start->sandbox_id);
    if (sandbox == NULL)
        return;
    if ((sandbox_capabilities(sandbox) & BACKEND_CAP_PORT_FORWARD) == 0) {
        (void)osa_fail(&err, OSA_UNIMPLEMENTED, 0, "%s sandboxes cannot forward ports here",
                       runtime_kind_name(sandbox->kind));
        fail(stream, &err);
        return;
    }
    stream->refs++;
    sandbox->backend->ops->sandbox_connect(sandbox->handle, address, (uint16_t)start->port,
                                           on_connected, stream);
}

void service_port_forward_start(struct rpc_call *call)
{
    (void)stream_new(call, STREAM_FORWARD);
    rpc_call_read(call);
}

void service_port_forward_message(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(PortForwardRequest) *wire = (const V1(PortForwardRequest) *)request;
    struct stream *stream = rpc_call_data(call);
    bool is_start = wire->message_case == V1_ENUM(PORT_FORWARD_REQUEST__MESSAGE_START);
    if (stream->finished)
        return;
    if (is_start == stream->started ||
        (!is_start && wire->message_case != V1_ENUM(PORT_FORWARD_REQUEST__MESSAGE_DATA)))
        fail_order(stream);
    else if (is_start)
        start_forward(stream, wire->start);
    else
        take_data(stream, &wire->data);
}

void service_port_forward_half_close(struct rpc_call *call)
{
    half_close(rpc_call_data(call));
}

void service_stream_writable(struct rpc_call *call)
{
    struct stream *stream = rpc_call_data(call);
    if (stream == NULL)
        return;
    stream->blocked = false;
    watch(stream);
}

void service_stream_done(struct rpc_call *call)
{
    struct stream *stream = rpc_call_data(call);
    if (stream == NULL)
        return;
    stream->finished = true;
    stream->call = NULL;
    close_socket(stream);
    free(stream->out);
    stream->out = NULL;
    stream_unref(stream);
}
