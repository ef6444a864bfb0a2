// SPDX-License-Identifier: Apache-2.0
/*
 * Streams of the helper's sandbox: copies and connections that the agent asks for, and visitors of
 * the egress proxy. The proxy is the agent's; what listens in here hands each connection on to it,
 * and tells who opened it when it asks.
 */
#include "base/fd.h"
#include "base/peer.h"
#include "guest/serve_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than the proxy takes of one sandbox; it is the one to say so. */
#define STREAMS_MAX 2048u
#define ACCEPTS_AT_ONCE 32u

/* ---- the agent's ---- */

/* OPENED goes before the stream's first byte. */
static void open_stream(const struct request *request, int fd, const struct osa_error *error)
{
    serve_send_error(request->guest, GUEST_OPENED, request->key, error);
    if (error == NULL)
        conduit_begin(&request->guest->conduits, request->key, fd);
}

static void on_copy_opened(void *ctx, int fd, const struct osa_error *error)
{
    open_stream(ctx, fd, error);
    if (error != NULL) /* nothing is done, then */
        free(ctx);
}

static void on_connected(void *ctx, int fd, const struct osa_error *error)
{
    open_stream(ctx, fd, error);
    free(ctx);
}

void serve_copy(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    bool write = codec_read_u64(&reader) != 0;
    const char *path = codec_read_text(&reader);
    const char *user = codec_read_text(&reader);
    if (guest->sandbox == NULL || reader.failed) {
        serve_refuse(guest, GUEST_OPENED, frame->key);
        return;
    }
    guest->backend->ops->sandbox_copy(guest->sandbox, write, path, user, on_copy_opened, serve_done,
                                      request_new(guest, frame->key));
}

void serve_connect(struct guest *guest, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    const char *ip = codec_read_text(&reader);
    uint64_t port = codec_read_u64(&reader);
    if (guest->sandbox == NULL || reader.failed || port == 0 || port > UINT16_MAX) {
        serve_refuse(guest, GUEST_OPENED, frame->key);
        return;
    }
    guest->backend->ops->sandbox_connect(guest->sandbox, ip, (uint16_t)port, on_connected,
                                         request_new(guest, frame->key));
}

/* ---- visitors ---- */

static bool receive(struct guest *guest, int listener)
{
    struct door_visit visit = { 0 };
    struct osa_buf body;
    socklen_t client_len = sizeof(visit.client);
    socklen_t proxy_len = sizeof(visit.proxy);
    int fd = osa_accept(listener);
    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED;
    if (conduits_count(&guest->conduits) >= STREAMS_MAX ||
        getpeername(fd, (struct sockaddr *)&visit.client, &client_len) < 0 ||
        getsockname(fd, (struct sockaddr *)&visit.proxy, &proxy_len) < 0) {
        osa_close_fd(&fd);
        return true;
    }
    uint64_t key = GUEST_VISIT_KEYS | ++guest->visits;
    osa_buf_init(&body, 1024);
    guest_write_visit(&body, &visit);
    serve_send(guest, GUEST_VISIT, key, &body);
    conduit_begin(&guest->conduits, key, fd);
    return true;
}

static void receive_some(struct guest *guest, const struct osa_source *door)
{
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE && receive(guest, door->fd); i++)
        ;
}

static void on_first(struct osa_source *source, unsigned events)
{
    (void)events;
    receive_some(OSA_CONTAINER_OF(source, struct guest, doors[0]), source);
}

static void on_second(struct osa_source *source, unsigned events)
{
    (void)events;
    receive_some(OSA_CONTAINER_OF(source, struct guest, doors[1]), source);
}

void serve_door(struct guest *guest, struct osa_buf *body)
{
    struct sandbox_door door;
    struct osa_error err;
    if (guest->backend->ops->sandbox_door(guest->sandbox, &door, &err) != OSA_OK) {
        codec_u64(body, 0);
        codec_text(body, "");
        return;
    }
    if (door.names) { /* names are not carried out: who asks for one is refused at once */
        osa_close_fd(&door.names_udp);
        osa_close_fd(&door.names_tcp);
        osa_close_fd(&door.tcp);
    }
    guest->doors[0] = (struct osa_source){ .fd = door.fds[0], .ready = on_first };
    guest->doors[1] = (struct osa_source){ .fd = door.fds[1], .ready = on_second };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(guest->doors); i++) {
        if (door.fds[i] >= 0 &&
            osa_source_add(guest->loop, &guest->doors[i], OSA_READ, &err) != OSA_OK)
            abort(); /* without memory */
    }
    codec_u64(body, door.port);
    codec_text(body, door.hosts[0]);
}

/* ---- who they are ---- */

/* A question about a visitor; @names, if any, are within @body. */
struct question {
    struct guest *guest;
    uint64_t key;
    const char **names; /* owned */
    char body[];        /* of the frame */
};

static bool is_one_of(const struct door_owner *owner, const char *path)
{
    bool found = strcmp(owner->exe, path) == 0;
    for (size_t i = 0; owner->ancestors[i] != NULL && !found; i++)
        found = strcmp(owner->ancestors[i], path) == 0;
    return found;
}

/* Leaves those names that lead to the owner or an ancestor by links. */
static void keep_links(const char **names, const struct door_owner *owner)
{
    char path[PATH_MAX];
    size_t kept = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (realpath(names[i], path) != NULL && strcmp(path, names[i]) != 0 &&
            is_one_of(owner, path))
            names[kept++] = names[i];
    }
    names[kept] = NULL;
}

static void on_owner(void *ctx, const struct door_owner *owner, const struct osa_error *error)
{
    struct question *question = ctx;
    struct osa_buf body;
    osa_buf_init(&body, (size_t)1 << 20);
    codec_error(&body, error);
    if (error == NULL) {
        struct door_owner whole = *owner;
        if (question->names != NULL)
            keep_links(question->names, owner);
        whole.names = question->names;
        guest_write_owner(&body, &whole);
    }
    serve_send(question->guest, GUEST_OWNER, question->key, &body);
    free(question->names);
    free(question);
}

void serve_identify(struct guest *guest, const struct link_frame *frame)
{
    struct door_visit visit = { 0 };
    struct question *question = malloc(sizeof(*question) + frame->len);
    if (question == NULL)
        abort();
    memcpy(question->body, frame->body, frame->len);
    struct codec_reader reader = { question->body, frame->len, false };
    guest_read_visit(&reader, &visit);
    question->guest = guest;
    question->key = frame->key;
    question->names = codec_read_list(&reader);
    if (guest->sandbox != NULL && !reader.failed) {
        guest->backend->ops->sandbox_owner(guest->sandbox, &visit, on_owner, question);
        return;
    }
    serve_refuse(guest, GUEST_OWNER, frame->key);
    free(question->names);
    free(question);
}

/* ---- files for the sandbox ---- */

static enum osa_code make_folder(struct guest *guest, struct osa_error *err)
{
    static const char *const parents[] = { "/run", "/dev/shm", "/tmp", "/var/tmp" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(parents); i++) {
        (void)snprintf(guest->shared, sizeof(guest->shared), "%s/.openshell-XXXXXX", parents[i]);
        if (mkdtemp(guest->shared) != NULL && chmod(guest->shared, 0755) == 0)
            return OSA_OK;
    }
    guest->shared[0] = '\0';
    return osa_fail(err, OSA_FAILED_PRECONDITION, errno,
                    "the image has no folder for the files of the egress proxy");
}

enum osa_code serve_shared(struct guest *guest, struct guest_sandbox_spec *spec,
                           struct osa_error *err)
{
    char path[128];
    spec->spec.shared = guest->shared;
    if (spec->file_count == 0)
        return OSA_OK;
    enum osa_code code = make_folder(guest, err);
    for (size_t i = 0; i < spec->file_count && code == OSA_OK; i++) {
        const struct guest_file *file = &spec->files[i];
        (void)snprintf(path, sizeof(path), "%s/%s", guest->shared, file->name);
        OSA_AUTO(osa_close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        int rc = fd < 0 ? -errno : osa_write_all(fd, file->data, file->len);
        if (rc < 0)
            code = osa_fail_errno(err, -rc, "a file of the egress proxy");
        else
            (void)fchmod(fd, 0644);
    }
    return code;
}
