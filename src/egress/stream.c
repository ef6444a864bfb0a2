// SPDX-License-Identifier: Apache-2.0
#include "egress/stream.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384u

void stream_init(struct stream *s, struct osa_loop *loop,
                 void (*ready)(struct osa_source *self, unsigned events))
{
    *s = (struct stream){ .loop = loop, .source = { .fd = -1, .ready = ready } };
    osa_buf_init(&s->in, 4 * STREAM_ROOM);
    osa_buf_init(&s->out, 4 * STREAM_ROOM);
    osa_buf_init(&s->wire, 4 * STREAM_ROOM);
}

void stream_open(struct stream *s, int fd)
{
    s->source.fd = fd;
    s->eof = false;
}

void stream_close(struct stream *s)
{
    if (s->watched)
        osa_source_remove(&s->source);
    s->watched = false;
    osa_close_fd(&s->source.fd);
    s->source.fd = -1;
    tls_free(OSA_TAKE(s->tls));
    osa_buf_done(&s->in);
    osa_buf_done(&s->out);
    osa_buf_done(&s->wire);
}

bool stream_secure(struct stream *s, struct tls *tls)
{
    struct osa_buf first = s->in;
    s->tls = tls;
    osa_buf_init(&s->in, 4 * STREAM_ROOM);
    bool ok = tls_receive(tls, first.data, first.len, &s->in, &s->eof);
    osa_buf_done(&first);
    return tls_send(tls, &s->wire) && ok;
}

bool stream_waits(const struct stream *s)
{
    return s->out.len > 0 || s->wire.len > 0;
}

/* Reads the wire. Return: bytes read; 0 at the end; -errno */
static ssize_t fill_secure(struct stream *s)
{
    char wire[READ_BYTES];
    size_t before = s->in.len;
    for (;;) {
        ssize_t n = recv(s->source.fd, wire, sizeof(wire), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            s->eof = true;
            return 0;
        }
        bool ok = tls_receive(s->tls, wire, (size_t)n, &s->in, &s->eof);
        ok = tls_send(s->tls, &s->wire) && ok;
        (void)osa_send_buf(s->source.fd, &s->wire); /* of the handshake; or an alert */
        if (!ok)
            return -EPROTO;
        if (s->in.len > before)
            return (ssize_t)(s->in.len - before);
        if (s->eof)
            return 0;
    }
}

ssize_t stream_fill(struct stream *s)
{
    if (s->eof)
        return 0;
    if (s->tls != NULL)
        return fill_secure(s);
    char *room = osa_buf_reserve(&s->in, READ_BYTES);
    if (room == NULL)
        return -ENOBUFS;
    ssize_t n;
    do
        n = recv(s->source.fd, room, READ_BYTES, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        s->eof = true;
    s->in.len += (size_t)n;
    room[n] = '\0';
    return n;
}

ssize_t stream_flush(struct stream *s)
{
    if (s->tls == NULL)
        return osa_send_buf(s->source.fd, &s->out);
    ssize_t total = 0;
    for (;;) { /* in parts, for what is sealed has a bound of its own */
        if (s->out.len > 0 && s->wire.len < STREAM_ROOM && tls_ready(s->tls)) {
            size_t part = OSA_MIN(s->out.len, (size_t)STREAM_ROOM);
            if (!tls_write(s->tls, s->out.data, part) || !tls_send(s->tls, &s->wire))
                return -EPROTO;
            osa_buf_consume(&s->out, part);
        }
        ssize_t n = osa_send_buf(s->source.fd, &s->wire);
        if (n < 0)
            return n == -EAGAIN && total > 0 ? total : n;
        total += n;
        if (n == 0 || s->out.len == 0)
            return total;
    }
}

void stream_end(struct stream *s)
{
    if (s->tls != NULL) {
        tls_end(s->tls);
        if (tls_send(s->tls, &s->wire))
            (void)osa_send_buf(s->source.fd, &s->wire);
    }
    (void)shutdown(s->source.fd, SHUT_WR);
}

bool stream_want(struct stream *s, unsigned events)
{
    if (!stream_is_open(s) || (events == 0 && !s->watched))
        return true;
    if (events == 0) {
        osa_source_remove(&s->source);
        s->watched = false;
    } else if (s->watched) {
        osa_source_set(&s->source, events);
    } else {
        s->watched = osa_source_add(s->loop, &s->source, events, NULL) == OSA_OK;
        return s->watched;
    }
    return true;
}
