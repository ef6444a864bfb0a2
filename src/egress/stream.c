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
    osa_buf_done(&s->in);
    osa_buf_done(&s->out);
    osa_buf_init(&s->in, 4 * STREAM_ROOM);
    osa_buf_init(&s->out, 4 * STREAM_ROOM);
}

ssize_t stream_fill(struct stream *s)
{
    if (s->eof)
        return 0;
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
    ssize_t total = 0;
    while (s->out.len > 0) {
        ssize_t n = send(s->source.fd, s->out.data, s->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return total > 0 && errno == EAGAIN ? total : -errno;
        osa_buf_consume(&s->out, (size_t)n);
        total += n;
    }
    return total;
}

void stream_end(struct stream *s)
{
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
