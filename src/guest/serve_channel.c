// SPDX-License-Identifier: Apache-2.0
/*
 * The faster channel, seen from the box: a TCP connection to the agent that takes the place of the
 * exec's pipes. When it cannot be had, or breaks, the exec serves (on).
 */
#include "base/clock.h"
#include "base/fd.h"
#include "guest/serve_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE_NS (10 * OSA_NS_PER_SEC)

static void close_socket(struct guest *guest)
{
    osa_timer_disarm(&guest->patience);
    osa_source_remove(&guest->tcp);
    osa_replace_fd(&guest->tcp.fd, -1);
    osa_buf_reset(&guest->tcp_out);
    osa_wipe(guest->secret, sizeof(guest->secret));
}

static void fall_back(struct guest *guest)
{
    bool served = guest->tcp_serves;
    close_socket(guest);
    guest->tcp_serves = false;
    if (!served)
        return;
    link_pause(&guest->link);
    link_resume(&guest->link);
}

static void push(struct guest *guest)
{
    (void)osa_send_buf(guest->tcp.fd, &guest->tcp_out); /* a broken one is told of by its end */
    osa_source_set(&guest->tcp, OSA_READ | (guest->tcp_out.len > 0 ? OSA_WRITE : 0u));
}

bool serve_channel_send(struct guest *guest, const char *text, size_t len)
{
    if (!guest->tcp_serves)
        return false;
    if (!osa_buf_add(&guest->tcp_out, text, len))
        abort();
    push(guest);
    return true;
}

/* The secret goes first; then all that the agent has not acknowledged goes again, this way. */
static void connected(struct guest *guest)
{
    char secret[GUEST_SECRET_BYTES];
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(guest->tcp.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
        fall_back(guest);
        return;
    }
    osa_timer_disarm(&guest->patience);
    memcpy(secret, guest->secret, sizeof(secret));
    secret[sizeof(secret) - 1] = '\n';
    if (!osa_buf_add(&guest->tcp_out, secret, sizeof(secret)))
        abort();
    osa_wipe(secret, sizeof(secret));
    osa_wipe(guest->secret, sizeof(guest->secret));
    guest->tcp_serves = true;
    link_pause(&guest->link);
    osa_buf_reset(&guest->text);
    link_resume(&guest->link);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    static char chunk[128 << 10];
    struct guest *guest = OSA_CONTAINER_OF(source, struct guest, tcp);
    if (!guest->tcp_serves) {
        connected(guest);
        return;
    }
    if ((events & OSA_WRITE) != 0)
        push(guest);
    if ((events & (OSA_READ | OSA_HUP)) == 0)
        return;
    ssize_t got = recv(source->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got > 0)
        link_feed(&guest->link, chunk, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        fall_back(guest);
}

static void on_patience(struct osa_timer *timer)
{
    fall_back(OSA_CONTAINER_OF(timer, struct guest, patience));
}

void serve_channel(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct osa_error err;
    const int one = 1;
    bool good = inet_pton(AF_INET, codec_read_text(&reader), &address.sin_addr) == 1;
    address.sin_port = htons((uint16_t)codec_read_u64(&reader));
    if (!good || reader.failed || guest->tcp.fd >= 0)
        return;
    codec_read_bytes(&reader, guest->secret, sizeof(guest->secret));
    guest->tcp.fd = osa_socket(AF_INET, SOCK_STREAM, 0);
    if (guest->tcp.fd < 0)
        return;
    (void)setsockopt(guest->tcp.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (reader.failed || osa_set_nonblocking(guest->tcp.fd, true, &err) != OSA_OK ||
        (connect(guest->tcp.fd, (struct sockaddr *)&address, sizeof(address)) < 0 &&
         errno != EINPROGRESS) ||
        osa_source_add(guest->loop, &guest->tcp, OSA_WRITE, &err) != OSA_OK) {
        close_socket(guest);
        return;
    }
    osa_timer_arm(guest->loop, &guest->patience, osa_deadline_after(PATIENCE_NS));
}

void serve_channel_init(struct guest *guest)
{
    guest->tcp = (struct osa_source){ .fd = -1, .ready = on_socket };
    guest->patience.fire = on_patience;
    osa_buf_init(&guest->tcp_out, SIZE_MAX / 2);
}

void serve_channel_done(struct guest *guest)
{
    close_socket(guest);
    osa_buf_done(&guest->tcp_out);
}
