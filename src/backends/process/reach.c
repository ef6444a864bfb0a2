// SPDX-License-Identifier: Apache-2.0
/* Ways into a sandbox: byte streams to its loopback. */
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A connection on its way: first to init for the socket, then until that has connected. */
struct reach {
    UT_hash_handle hh; /* in its sandbox, by key, until the socket has come */
    uint64_t key;
    struct osa_loop *loop;
    struct osa_source source; /* fd owned */
    stream_fn done;
    void *ctx;
};

static void fail_reach(struct reach *r, enum osa_code code, int sys_errno, const char *what)
{
    struct osa_error error;
    (void)osa_fail(&error, code, sys_errno, "%s", what);
    osa_source_remove(&r->source);
    osa_close_fd(&r->source.fd);
    defer_stream(r->loop, r->done, r->ctx, &error);
    free(r);
}

static void on_connected(struct osa_source *source, unsigned events)
{
    struct reach *r = OSA_CONTAINER_OF(source, struct reach, source);
    int failed = 0;
    socklen_t len = sizeof(failed);
    (void)events;
    if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0)
        failed = errno;
    if (failed != 0) {
        fail_reach(r, OSA_UNAVAILABLE, failed, "nothing listens there in the sandbox");
        return;
    }
    osa_source_remove(source);
    int fd = osa_take_fd(&source->fd);
    stream_fn done = r->done;
    void *ctx = r->ctx;
    free(r);
    done(ctx, fd, NULL);
}

void reach_on_done(struct sandbox *s, struct wire_packet *packet)
{
    struct reach *r;
    HASH_FIND(hh, s->reaches, &packet->head.key, sizeof(packet->head.key), r);
    if (r == NULL)
        return;
    HASH_DEL(s->reaches, r);
    r->source.fd = wire_take_fd(packet, 0);
    r->source.ready = on_connected;
    struct osa_error error;
    if (r->source.fd < 0)
        fail_reach(r, OSA_UNAVAILABLE, packet->head.sys_errno, "no connection into the sandbox");
    else if (osa_source_add(r->loop, &r->source, OSA_WRITE, &error) != OSA_OK)
        fail_reach(r, error.code, 0, error.text);
}

void reach_abandon(struct sandbox *s)
{
    struct reach *r;
    struct reach *next;
    HASH_ITER(hh, s->reaches, r, next)
    {
        HASH_DEL(s->reaches, r);
        fail_reach(r, OSA_ABORTED, 0, "the sandbox has ended");
    }
}

/* Return: false for what is no address. */
static bool parse_address(const char *ip, struct launcher_connect *ret)
{
    if (inet_pton(AF_INET, ip, ret->address) == 1)
        return true;
    ret->is_ipv6 = 1;
    return inet_pton(AF_INET6, ip, ret->address) == 1;
}

void sandbox_connect_op(struct backend_sandbox *base, const char *ip, uint16_t port, stream_fn done,
                        void *ctx)
{
    struct sandbox *s = OSA_CONTAINER_OF(base, struct sandbox, base);
    struct osa_loop *loop = s->backend->loop;
    struct osa_error error;
    struct launcher_connect body = { .port = port };
    enum osa_code code = OSA_OK;
    if ((s->isolation.namespaces & NAMESPACE_NET) == 0)
        code = osa_fail(&error, OSA_FAILED_PRECONDITION, 0,
                        "this sandbox has no network of its own to connect to");
    else if (!parse_address(ip, &body))
        code = osa_fail(&error, OSA_INVALID_ARGUMENT, 0, "'%s' is no address", ip);
    struct reach *r = code == OSA_OK ? calloc(1, sizeof(*r)) : NULL;
    if (code == OSA_OK && r == NULL)
        code = osa_fail_errno(&error, ENOMEM, "connection");
    if (code != OSA_OK) {
        defer_stream(loop, done, ctx, &error);
        return;
    }
    *r = (struct reach){ .key = ++s->backend->next_key,
                         .loop = loop,
                         .source = { .fd = -1 },
                         .done = done,
                         .ctx = ctx };
    struct launcher_message head = { .type = LAUNCHER_CONNECT, .key = r->key };
    if (channel_send(&s->init, &head, &body, sizeof(body), NULL, 0, &error) != OSA_OK)
        fail_reach(r, error.code, 0, error.text);
    else
        HASH_ADD(hh, s->reaches, key, sizeof(r->key), r);
}
