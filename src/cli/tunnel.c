// SPDX-License-Identifier: Apache-2.0
/*
 * Each direction of a connection ends by itself: an end of file here half-closes the stream, the
 * stream's `end` shuts this side's socket. Each waits for the other side: nothing is read here while
 * the stream is full, and no response is read while the socket is.
 */
#include "cli/tunnel.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/arena.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define CHUNK_BYTES 32768
#define BACKLOG 128
/* Without descriptors or memory for a connection the listener rests so long. */
#define REST_NS (100 * OSA_NS_PER_MS)

struct tunnels;

struct listener {
    struct osa_source source;
    struct osa_timer rest;
    struct tunnels *owner;
    uint16_t port; /* in the sandbox */
};

/**
 * struct tunnel - One connection
 * @call:     NULL once it is over
 * @pending:  owned: what came for the socket and did not fit
 * @standing: the connection in the sandbox is there
 * @welcome:  the stream takes more
 * @read_end: the socket has ended
 * @last:     the stream brings no more
 */
struct tunnel {
    struct rpc_client_events events;
    struct osa_source source; /* fd owned */
    struct tunnels *owner;
    struct rpc_client_call *call;
    uint8_t *pending;
    size_t pending_len;
    size_t pending_done;
    uint16_t port;
    bool standing;
    bool welcome;
    bool read_end;
    bool last;
    bool watched;
    struct tunnel *prev, *next;
};

struct tunnels {
    struct cli *cli;
    const char *sandbox;
    const char *host;
    struct osa_source signals;
    struct listener listeners[CLI_FORWARD_MAX];
    size_t count;
    struct tunnel *open;
    bool over;
};

/* ---- one connection ---- */

/* Removed while nothing is wanted: a muted source would report the other end's leaving for ever. */
static void watch(struct tunnel *t)
{
    struct osa_error err;
    bool may_read = t->call != NULL && t->standing && t->welcome && !t->read_end;
    unsigned events =
        (may_read ? (unsigned)OSA_READ : 0u) | (t->pending != NULL ? (unsigned)OSA_WRITE : 0u);
    if (events == 0) {
        osa_source_remove(&t->source);
        t->watched = false;
    } else if (t->watched) {
        osa_source_set(&t->source, events);
    } else {
        t->watched = osa_source_add(t->owner->cli->loop, &t->source, events, &err) == OSA_OK;
        if (!t->watched && t->call != NULL)
            rpc_client_cancel(t->call);
    }
}

static void tunnel_free(struct tunnel *t, bool reset)
{
    const struct linger abort_it = { .l_onoff = 1, .l_linger = 0 };
    osa_source_remove(&t->source);
    if (reset) /* an end of file would look like a success */
        (void)setsockopt(t->source.fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
    osa_close_fd(&t->source.fd);
    DL_DELETE(t->owner->open, t);
    free(t->pending);
    free(t);
}

/* What the socket has taken. Return: false when it is broken. */
static bool put(struct tunnel *t, const uint8_t *data, size_t len, size_t *ret_done)
{
    *ret_done = 0;
    while (*ret_done < len) {
        ssize_t done = send(t->source.fd, data + *ret_done, len - *ret_done, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        *ret_done += (size_t)done;
    }
    return true;
}

static void end_output(struct tunnel *t)
{
    if (t->last && t->pending == NULL)
        (void)shutdown(t->source.fd, SHUT_WR);
}

/* May free @t. */
static void flush(struct tunnel *t)
{
    size_t done;
    bool good = put(t, t->pending + t->pending_done, t->pending_len - t->pending_done, &done);
    t->pending_done += done;
    if (good && t->pending_done < t->pending_len)
        return;
    free(OSA_TAKE(t->pending));
    if (t->call == NULL) {
        tunnel_free(t, /* reset= */ !good);
    } else if (!good) {
        rpc_client_cancel(t->call);
    } else {
        end_output(t);
        rpc_client_pause(t->call, false);
    }
}

static void read_socket(struct tunnel *t)
{
    static uint8_t data[CHUNK_BYTES];
    API(PortForwardRequest) request = API_INIT(PORT_FORWARD_REQUEST);
    ssize_t got = recv(t->source.fd, data, sizeof(data), 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got < 0) {
        rpc_client_cancel(t->call);
    } else if (got == 0) {
        t->read_end = true;
        rpc_client_half_close(t->call);
    } else {
        request.message_case = API_VALUE(PORT_FORWARD_REQUEST__MESSAGE_DATA);
        request.data = (ProtobufCBinaryData){ .len = (size_t)got, .data = data };
        t->welcome = rpc_client_send(t->call, &request.base);
    }
}

static void on_socket(struct osa_source *source, unsigned events)
{
    struct tunnel *t = OSA_CONTAINER_OF(source, struct tunnel, source);
    if (t->pending != NULL && (events & (OSA_WRITE | OSA_HUP)) != 0) {
        bool ends = t->call == NULL;
        flush(t);
        if (ends)
            return; /* freed, or there is more to write */
    }
    if (t->call != NULL && t->standing && t->welcome && !t->read_end &&
        (events & (OSA_READ | OSA_HUP)) != 0)
        read_socket(t);
    watch(t);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *message)
{
    struct tunnel *t = OSA_CONTAINER_OF(events, struct tunnel, events);
    const API(PortForwardResponse) *response = (const void *)message;
    const ProtobufCBinaryData *data = &response->data;
    size_t done = 0;
    t->standing = true;
    t->last = t->last || response->end;
    if (!put(t, data->data, data->len, &done)) {
        rpc_client_cancel(t->call);
        return;
    }
    if (done < data->len) {
        t->pending_len = data->len - done;
        t->pending_done = 0;
        t->pending = malloc(t->pending_len);
        if (t->pending == NULL) {
            rpc_client_cancel(t->call);
            return;
        }
        memcpy(t->pending, data->data + done, t->pending_len);
        rpc_client_pause(t->call, true);
    }
    end_output(t);
    watch(t);
}

static void on_writable(struct rpc_client_events *events)
{
    struct tunnel *t = OSA_CONTAINER_OF(events, struct tunnel, events);
    t->welcome = true;
    watch(t);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct tunnel *t = OSA_CONTAINER_OF(events, struct tunnel, events);
    bool good = status->error.code == OSA_OK;
    t->call = NULL;
    if (!good && status->error.code != OSA_CANCELLED)
        cli_note("a connection to port %u of %s: %s", t->port, t->owner->sandbox,
                 status->error.text);
    if (!good || t->pending == NULL)
        tunnel_free(t, /* reset= */ !good);
    else
        watch(t);
}

static void tunnel_new(struct listener *listener, int fd)
{
    struct tunnels *owner = listener->owner;
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(PortForwardStart) start = API_INIT(PORT_FORWARD_START);
    API(PortForwardRequest) request = API_INIT(PORT_FORWARD_REQUEST);
    struct tunnel *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        osa_close_fd(&fd);
        return;
    }
    *t = (struct tunnel){
        .events = { .message = on_message, .writable = on_writable, .done = on_done },
        .source = { .fd = fd, .ready = on_socket },
        .owner = owner,
        .port = listener->port,
    };
    DL_APPEND(owner->open, t);
    start.sandbox_id = cli_string(&arena, owner->sandbox);
    start.host = cli_string(&arena, owner->host);
    start.port = listener->port;
    start.half_close = true;
    request.message_case = API_VALUE(PORT_FORWARD_REQUEST__MESSAGE_START);
    request.start = &start;
    t->call = rpc_client_start(owner->cli->channel, API_METHOD("PortForward"),
                               API_TYPE(port_forward_response), OSA_NEVER,
                               /* wait_for_ready= */ false, &t->events);
    t->welcome = rpc_client_send(t->call, &request.base);
}

/* ---- the listeners ---- */

static void on_rested(struct osa_timer *timer)
{
    struct listener *listener = OSA_CONTAINER_OF(timer, struct listener, rest);
    osa_source_set(&listener->source, OSA_READ);
}

static void on_listener(struct osa_source *source, unsigned events)
{
    struct listener *listener = OSA_CONTAINER_OF(source, struct listener, source);
    struct osa_error err;
    (void)events;
    OSA_AUTO(osa_close_fd) int fd = accept(source->fd, NULL, NULL);
    if (fd >= 0) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && osa_set_nonblocking(fd, true, &err) == OSA_OK)
            tunnel_new(listener, osa_take_fd(&fd));
        return;
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
        return; /* it has gone again */
    osa_source_set(source, 0);
    osa_timer_arm(listener->owner->cli->loop, &listener->rest, osa_deadline_after(REST_NS));
}

static enum osa_code listen_on(const struct cli_ports *ports, int *ret_fd, uint16_t *ret_port,
                               struct osa_error *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(ports->local),
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(address);
    const int yes = 1;
    OSA_AUTO(osa_close_fd) int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0)
        return osa_fail_errno(err, errno, "socket");
    if (osa_set_nonblocking(fd, true, err) != OSA_OK)
        return err->code;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, BACKLOG) != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno,
                        "127.0.0.1:%u cannot be listened on; take another port with LOCAL:%u",
                        ports->local, ports->port);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return osa_fail_errno(err, errno, "getsockname");
    *ret_port = ntohs(address.sin_port);
    *ret_fd = osa_take_fd(&fd);
    return OSA_OK;
}

static int announce(const struct tunnels *self, uint16_t local, uint16_t port)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 8192);
    if (self->cli->global.json) {
        struct osa_json json;
        osa_json_init(&json, &out, /* pretty= */ false);
        osa_json_open(&json, '{');
        osa_json_key(&json, "address");
        osa_json_text(&json, "127.0.0.1");
        osa_json_key(&json, "localPort");
        osa_json_u64(&json, local);
        osa_json_key(&json, "port");
        osa_json_u64(&json, port);
        osa_json_close(&json, '}');
        (void)osa_buf_add(&out, "\n", 1);
    } else {
        (void)osa_buf_addf(&out, "127.0.0.1:%u -> ", local);
        cli_text_escape(&out, self->sandbox);
        (void)osa_buf_addf(&out, ":%u\n", port);
    }
    return cli_print(&out);
}

static enum osa_code open_listeners(struct tunnels *self, const struct cli_ports *ports,
                                    size_t count, struct osa_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct listener *listener = &self->listeners[i];
        uint16_t local = 0;
        *listener = (struct listener){ .source = { .fd = -1, .ready = on_listener },
                                       .rest = { .fire = on_rested },
                                       .owner = self,
                                       .port = ports[i].port };
        self->count = i + 1;
        enum osa_code code = listen_on(&ports[i], &listener->source.fd, &local, err);
        if (code == OSA_OK)
            code = osa_source_add(self->cli->loop, &listener->source, OSA_READ, err);
        if (code != OSA_OK)
            return code;
        if (announce(self, local, ports[i].port) != CLI_DONE)
            return osa_fail(err, OSA_INTERNAL, 0, "standard output cannot be written");
    }
    return OSA_OK;
}

static void close_all(struct tunnels *self)
{
    for (size_t i = 0; i < self->count; i++) {
        osa_source_remove(&self->listeners[i].source);
        osa_timer_disarm(&self->listeners[i].rest);
        osa_close_fd(&self->listeners[i].source.fd);
    }
    struct tunnel *t;
    struct tunnel *next;
    DL_FOREACH_SAFE(self->open, t, next)
    {
        if (t->call != NULL)
            rpc_client_cancel(t->call);
        else
            tunnel_free(t, /* reset= */ true);
    }
    while (self->open != NULL)
        (void)osa_loop_run_once(self->cli->loop, OSA_NEVER);
}

static void on_signals(struct osa_source *source, unsigned events)
{
    (void)events;
    (void)source;
    OSA_CONTAINER_OF(source, struct tunnels, signals)->over = true;
}

int cli_forward(struct cli *cli, const char *sandbox, const char *host,
                const struct cli_ports *ports, size_t count)
{
    static const int caught[] = { SIGHUP, SIGINT, SIGTERM, 0 };
    struct osa_error err = { 0 };
    struct tunnels self = {
        .cli = cli, .sandbox = sandbox, .host = host, .signals = { .fd = -1, .ready = on_signals }
    };
    enum osa_code code = cli_connect(cli, &err);
    if (code == OSA_OK)
        code = cli_signals_open(caught, &self.signals.fd, &err);
    if (code == OSA_OK)
        code = osa_source_add(cli->loop, &self.signals, OSA_READ, &err);
    if (code == OSA_OK)
        code = open_listeners(&self, ports, count, &err);
    while (code == OSA_OK && !self.over)
        (void)osa_loop_run_once(cli->loop, OSA_NEVER);
    osa_source_remove(&self.signals);
    close_all(&self);
    if (code == OSA_OK)
        return CLI_DONE;
    cli_report(cli, &err, NULL);
    return cli->command->failed;
}
