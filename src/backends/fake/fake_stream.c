// SPDX-License-Identifier: Apache-2.0
/* Byte streams: a socket whose other end echoes, or takes and gives an archive. */
#include "backends/fake/fake_internal.h"

#include "base/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

/**
 * struct fake_stream - One of them
 * @sandbox: NULL once that is destroyed
 * @done:    NULL: a port
 * @refuse:  why it cannot be; code OSA_OK: it can
 * @fd:      -1 until opened
 */
struct fake_stream {
    struct fake_backend *backend;
    struct fake_sandbox *sandbox;
    stream_fn opened;
    done_fn done;
    void *ctx;
    bool write;
    struct osa_error refuse;
    int fd;
    struct osa_source source;
    struct fake_stream *prev, *next;
};

/* Return: the stream, closed and out of its sandbox; the caller frees it. */
static struct fake_stream *take_apart(struct fake_stream *stream)
{
    if (stream->sandbox != NULL)
        DL_DELETE(stream->sandbox->streams, stream);
    stream->sandbox = NULL;
    osa_source_remove(&stream->source);
    osa_replace_fd(&stream->fd, -1);
    return stream;
}

static void finish(struct fake_stream *stream, const struct osa_error *error)
{
    done_fn done = stream->done;
    void *ctx = stream->ctx;
    free(take_apart(stream));
    if (done != NULL)
        done(ctx, error);
}

static void on_stream(struct osa_source *source, unsigned events)
{
    struct fake_stream *stream = OSA_CONTAINER_OF(source, struct fake_stream, source);
    char bytes[4096];
    (void)events;
    ssize_t got = read(stream->fd, bytes, sizeof(bytes));
    if (got <= 0)
        finish(stream, NULL);
    else if (stream->done == NULL) /* a port: echo */
        (void)osa_write_all(stream->fd, bytes, (size_t)got);
}

static void run_stream(void *ctx)
{
    struct fake_stream *stream = ctx;
    int pair[2];
    if (stream->refuse.code != OSA_OK || stream->sandbox == NULL) {
        if (stream->sandbox != NULL)
            stream->opened(stream->ctx, -1, &stream->refuse);
        free(take_apart(stream));
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
    (void)fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(pair[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    stream->fd = pair[1];
    stream->source = (struct osa_source){ .fd = pair[1], .ready = on_stream };
    if (osa_source_add(stream->backend->loop, &stream->source, OSA_READ, NULL) != OSA_OK)
        abort();
    bool read_only = stream->done != NULL && !stream->write;
    stream->opened(stream->ctx, pair[0], NULL);
    if (read_only) {
        (void)osa_write_all(stream->fd, "fake archive", 12);
        (void)shutdown(stream->fd, SHUT_WR);
        finish(stream, NULL);
    }
}

static struct fake_stream *stream_new(struct backend_sandbox *s, stream_fn opened, done_fn done,
                                      void *ctx)
{
    struct fake_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        abort();
    stream->sandbox = (struct fake_sandbox *)s;
    stream->backend = stream->sandbox->backend;
    stream->opened = opened;
    stream->done = done;
    stream->ctx = ctx;
    stream->fd = -1;
    DL_APPEND(stream->sandbox->streams, stream);
    fake_later(stream->backend, 0, run_stream, stream);
    return stream;
}

void fake_streams_abandon(struct fake_sandbox *sandbox)
{
    struct fake_stream *stream;
    struct fake_stream *next;
    struct osa_error error;
    (void)osa_fail(&error, OSA_ABORTED, 0, "the sandbox has ended");
    DL_FOREACH_SAFE(sandbox->streams, stream, next)
    {
        if (stream->fd >= 0) {
            finish(stream, &error);
        } else { /* run_stream() will free it */
            (void)take_apart(stream);
            stream->opened(stream->ctx, -1, &error);
        }
    }
}

void fake_sandbox_connect(struct backend_sandbox *s, const char *ip, uint16_t port, stream_fn done,
                          void *ctx)
{
    struct fake_stream *stream = stream_new(s, done, NULL, ctx);
    (void)ip;
    if (port != 7)
        (void)osa_fail(&stream->refuse, OSA_UNAVAILABLE, 0, "nothing listens there");
}

void fake_sandbox_copy(struct backend_sandbox *s, bool write, const char *path, const char *user,
                       stream_fn opened, done_fn done, void *ctx)
{
    struct fake_stream *stream = stream_new(s, opened, done, ctx);
    (void)user;
    stream->write = write;
    if (!fake_can(stream->backend, BACKEND_CAP_COPY))
        (void)osa_fail(&stream->refuse, OSA_UNIMPLEMENTED, 0, "this fake cannot copy");
    else if (strcmp(path, "/none") == 0)
        (void)osa_fail(&stream->refuse, OSA_UNAVAILABLE, 0, "there is no such thing");
}
