// SPDX-License-Identifier: Apache-2.0
#include "backends/process/channel.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A packet that found the socket full. */
struct channel_pending {
    struct launcher_message head;
    void *body; /* owned */
    size_t length;
    int fds[LAUNCHER_FDS_MAX]; /* owned */
    unsigned fd_count;
    struct channel_pending *prev;
    struct channel_pending *next;
};

static void pending_free(struct channel_pending *pending)
{
    for (unsigned i = 0; i < pending->fd_count; i++)
        osa_close_fd(&pending->fds[i]);
    free(pending->body);
    free(pending);
}

static void lose(struct channel *self, const char *reason)
{
    channel_close(self);
    self->lost(self, reason);
}

/* Return: false when the channel was lost. */
static bool flush(struct channel *self)
{
    while (self->pending != NULL) {
        struct channel_pending *first = self->pending;
        int rc = wire_send(self->source.fd, &first->head, first->body, first->length, first->fds,
                           first->fd_count, MSG_DONTWAIT);
        if (rc == -EAGAIN)
            return true;
        if (rc < 0) {
            lose(self, "its socket is broken");
            return false;
        }
        DL_DELETE(self->pending, first);
        pending_free(first);
    }
    osa_source_set(&self->source, OSA_READ);
    return true;
}

/* One packet a call: its callback may free the channel, and the loop calls again for the next. */
static void on_ready(struct osa_source *source, unsigned events)
{
    struct channel *self = OSA_CONTAINER_OF(source, struct channel, source);
    if ((events & OSA_WRITE) != 0 && !flush(self))
        return;
    if ((events & (OSA_READ | OSA_HUP)) == 0)
        return;
    struct wire_packet packet;
    int rc = wire_recv(source->fd, self->buffer, &packet, MSG_DONTWAIT);
    if (rc == -EAGAIN)
        return;
    if (rc <= 0) {
        lose(self, rc == 0 ? "it has ended" : "its socket is broken");
        return;
    }
    self->packet(self, &packet);
    wire_packet_done(&packet);
}

void channel_drain(struct channel *self)
{
    struct wire_packet packet;
    while (channel_is_open(self) &&
           wire_recv(self->source.fd, self->buffer, &packet, MSG_DONTWAIT) > 0) {
        self->packet(self, &packet);
        wire_packet_done(&packet);
    }
}

enum osa_code channel_open(struct channel *self, int sock, struct osa_error *err)
{
    self->source.fd = sock;
    self->source.ready = on_ready;
    self->pending = NULL;
    enum osa_code code = osa_source_add(self->loop, &self->source, OSA_READ, err);
    if (code != OSA_OK) {
        osa_close_fd(&self->source.fd);
        self->source.ready = NULL;
    }
    return code;
}

bool channel_is_open(const struct channel *self)
{
    return self->source.ready != NULL;
}

void channel_close(struct channel *self)
{
    if (!channel_is_open(self))
        return;
    osa_source_remove(&self->source);
    osa_replace_fd(&self->source.fd, -1);
    self->source.ready = NULL;
    while (self->pending != NULL) {
        struct channel_pending *first = self->pending;
        DL_DELETE(self->pending, first);
        pending_free(first);
    }
}

static enum osa_code enqueue(struct channel *self, const struct launcher_message *head,
                             const void *body, size_t length, const int *fds, unsigned fd_count,
                             struct osa_error *err)
{
    struct channel_pending *pending = calloc(1, sizeof(*pending));
    if (pending == NULL)
        return osa_fail_errno(err, ENOMEM, "launcher's queue");
    pending->head = *head;
    pending->length = length;
    pending->body = malloc(length + 1);
    if (pending->body == NULL) {
        pending_free(pending);
        return osa_fail_errno(err, ENOMEM, "launcher's queue");
    }
    if (length > 0)
        memcpy(pending->body, body, length);
    for (unsigned i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        if (copy < 0) {
            int saved = errno;
            pending_free(pending);
            return osa_fail_errno(err, saved, "launcher's queue");
        }
        pending->fds[pending->fd_count++] = copy;
    }
    DL_APPEND(self->pending, pending);
    osa_source_set(&self->source, OSA_READ | OSA_WRITE);
    return OSA_OK;
}

enum osa_code channel_send(struct channel *self, struct launcher_message *head, const void *body,
                           size_t length, const int *fds, unsigned fd_count, struct osa_error *err)
{
    if (!channel_is_open(self))
        return osa_fail(err, OSA_ABORTED, 0, "the sandbox has ended");
    int rc = -EAGAIN;
    if (self->pending == NULL)
        rc = wire_send(self->source.fd, head, body, length, fds, fd_count, MSG_DONTWAIT);
    if (rc == -EAGAIN)
        return enqueue(self, head, body, length, fds, fd_count, err);
    if (rc == -EPIPE || rc == -ECONNRESET)
        return osa_fail(err, OSA_ABORTED, 0, "the sandbox has ended");
    if (rc < 0)
        return osa_fail_errno(err, -rc, "launcher's socket");
    return OSA_OK;
}
