// SPDX-License-Identifier: Apache-2.0
/* direct-tcpip: a channel and a socket of the sandbox, joined. Each side waits for the other. */
#include "agent/gateway/gateway.h"
#include "agent/gateway/ssh.h"
#include "base/fd.h"
#include "base/log.h"
#include "io/ssh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK_BYTES ((size_t)32 << 10)

/**
 * struct forward - @channel: NULL once it is closed
 * @connecting: relay_connect() has not answered
 * @in, @in_len: from the client; @out, @out_len: from the sandbox
 */
struct forward {
    struct gateway *gateway;
    struct io_ssh_channel *channel;
    struct io_ssh_channel_events events;
    struct osa_source source;
    bool connecting;
    bool in_ended;
    bool out_ended;
    char in[CHUNK_BYTES];
    size_t in_len;
    char out[CHUNK_BYTES];
    size_t out_len;
};

static void forward_free(struct forward *forward)
{
    osa_source_remove(&forward->source);
    osa_close_fd(&forward->source.fd);
    free(forward);
}

static bool again(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void to_sandbox(struct forward *forward)
{
    while (!forward->in_ended) {
        if (forward->in_len == 0) {
            ptrdiff_t got = io_ssh_read(forward->channel, forward->in, sizeof(forward->in));
            if (got == 0)
                return;
            if (got < 0) {
                forward->in_ended = true;
                (void)shutdown(forward->source.fd, SHUT_WR);
                return;
            }
            forward->in_len = (size_t)got;
        }
        ssize_t sent = send(forward->source.fd, forward->in, forward->in_len, MSG_NOSIGNAL);
        if (sent < 0 && again())
            return;
        if (sent < 0) {
            forward->in_ended = true;
            return;
        }
        memmove(forward->in, forward->in + sent, forward->in_len - (size_t)sent);
        forward->in_len -= (size_t)sent;
    }
}

static void to_client(struct forward *forward)
{
    while (!forward->out_ended) {
        if (forward->out_len == 0) {
            ssize_t got = recv(forward->source.fd, forward->out, sizeof(forward->out), 0);
            if (got < 0 && again())
                return;
            if (got <= 0) {
                forward->out_ended = true;
                io_ssh_finish(forward->channel, NULL, -1);
                return;
            }
            forward->out_len = (size_t)got;
        }
        size_t sent = io_ssh_write(forward->channel, false, forward->out, forward->out_len);
        memmove(forward->out, forward->out + sent, forward->out_len - sent);
        forward->out_len -= sent;
        if (forward->out_len > 0)
            return;
    }
}

static void pump(struct forward *forward)
{
    if (forward->connecting || forward->channel == NULL)
        return;
    to_sandbox(forward);
    to_client(forward);
    unsigned events = 0;
    if (forward->in_len > 0 && !forward->in_ended)
        events |= OSA_WRITE;
    if (forward->out_len == 0 && !forward->out_ended)
        events |= OSA_READ;
    if (forward->out_ended) /* a hang-up cannot be masked */
        osa_source_remove(&forward->source);
    else
        osa_source_set(&forward->source, events);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    (void)events;
    pump(OSA_CONTAINER_OF(source, struct forward, source));
}

static void on_moved(struct io_ssh_channel_events *events)
{
    pump(OSA_CONTAINER_OF(events, struct forward, events));
}

static void on_resized(struct io_ssh_channel_events *events, uint16_t rows, uint16_t columns)
{
    (void)events;
    (void)rows;
    (void)columns;
}

static void on_signalled(struct io_ssh_channel_events *events, const char *name)
{
    (void)events;
    (void)name;
}

static void on_closed(struct io_ssh_channel_events *events)
{
    struct forward *forward = OSA_CONTAINER_OF(events, struct forward, events);
    forward->channel = NULL;
    if (!forward->connecting)
        forward_free(forward);
}

static void on_connected(void *ctx, int fd, const struct osa_error *error)
{
    struct forward *forward = ctx;
    struct osa_error err = { 0 };
    forward->connecting = false;
    forward->source.fd = error == NULL ? fd : -1;
    if (forward->channel == NULL) {
        forward_free(forward);
        return;
    }
    if (error != NULL || osa_source_add(forward->gateway->program.loop, &forward->source, OSA_READ,
                                        &err) != OSA_OK) {
        osa_log_error(OSA_LOG_DEBUG, "gateway", "a port cannot be forwarded",
                      error != NULL ? error : &err);
        io_ssh_finish(forward->channel, NULL, -1);
        return;
    }
    pump(forward);
}

bool sshd_may_forward(const struct gateway *gateway, const char *host, int port)
{
    char ip[RELAY_LOOPBACK_SIZE];
    return !gateway->ended && port >= 1 && port <= 65535 && relay_loopback(host, ip);
}

void sshd_forward(struct gateway *gateway, struct io_ssh_channel *channel, const char *host,
                  int port)
{
    struct forward *forward = calloc(1, sizeof(*forward));
    if (forward == NULL)
        abort();
    forward->gateway = gateway;
    forward->channel = channel;
    forward->connecting = true;
    forward->source = (struct osa_source){ .fd = -1, .ready = on_socket };
    forward->events =
        (struct io_ssh_channel_events){ on_moved, on_moved, on_resized, on_signalled, on_closed };
    io_ssh_attach(channel, &forward->events);
    relay_connect(gateway, host, (uint32_t)port, on_connected, forward);
}
