// SPDX-License-Identifier: Apache-2.0
/* One side of a connection: a socket that does not block, watched for what its owner wants. */
#pragma once

#include "base/buf.h"
#include "base/loop.h"
#include "io/tls.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * struct stream - Embedded in its owner; set up with stream_init()
 * @source:  source.fd is owned; -1: none
 * @in:      read and not consumed yet
 * @out:     to be written
 * @eof:     the peer sends no more
 * @tls:     owned; NULL: bytes go as they are
 * @wire:    with @tls: encrypted and to be written
 * @watched: the source is with the loop
 */
struct stream {
    struct osa_loop *loop;
    struct osa_source source;
    struct osa_buf in;
    struct osa_buf out;
    bool eof;
    bool watched;
    struct tls *tls;
    struct osa_buf wire;
};

/* A stream is read no further while so much waits on the other side. */
#define STREAM_ROOM 65536u

/** stream_init() - Without a socket. @ready is that of struct osa_source */
void stream_init(struct stream *s, struct osa_loop *loop,
                 void (*ready)(struct osa_source *self, unsigned events));

/** stream_open() - Give it a connected socket, which is taken */
void stream_open(struct stream *s, int fd);

/** stream_close() - Close the socket, drop both buffers; may be opened again */
void stream_close(struct stream *s);

/** stream_is_open() - Has it a socket? */
static inline bool stream_is_open(const struct stream *s)
{
    return s->source.fd >= 0;
}

/**
 * stream_fill() - Read into `in` what is there, at most some 16 KiB at once
 * Return: bytes read; 0 at the end, which `eof` keeps; -EAGAIN; another -errno
 */
ssize_t stream_fill(struct stream *s);

/** stream_flush() - Write what `out` holds, as much as goes. Return: bytes written, 0 when there was nothing; -EAGAIN; another -errno */
ssize_t stream_flush(struct stream *s);

/**
 * stream_secure() - Speak TLS from now on
 * @tls: taken. What `in` holds came over the wire and is its beginning
 * Return: false when that makes no sense; tls_fault() says why
 */
bool stream_secure(struct stream *s, struct tls *tls);

/** stream_waits() - Is there something to be written? */
bool stream_waits(const struct stream *s);

/** stream_end() - Say that nothing more will be written */
void stream_end(struct stream *s);

/** stream_want() - Watch for @events, OSA_READ and OSA_WRITE; 0: for nothing at all, its end included. Return: false when it cannot be watched */
bool stream_want(struct stream *s, unsigned events);
