// SPDX-License-Identifier: Apache-2.0
#include "io/http_server.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/peer.h"
#include "base/tcp.h"
#include "io/http1.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16u
#define HEAD_MAX ((size_t)8 << 10)
#define BODY_MAX ((size_t)4 << 20)
#define PATIENCE_NS (10 * OSA_NS_PER_SEC)
#define RETRY_NS (100 * OSA_NS_PER_MS)

struct connection {
    struct http_server *server;
    struct osa_source source;
    struct osa_timer patience;
    struct osa_buf in;
    struct osa_buf out;
    size_t sent;
};

struct http_server {
    struct osa_loop *loop;
    http_server_fn answer;
    void *ctx;
    struct osa_source source;
    struct osa_timer retry;
    uint16_t port;
    struct connection *connections[CONNECTIONS_MAX];
};

static void drop(struct connection *c)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        if (c->server->connections[i] == c)
            c->server->connections[i] = NULL;
    osa_source_set(&c->server->source, OSA_READ); /* there is room again */
    osa_timer_disarm(&c->patience);
    osa_source_remove(&c->source);
    osa_replace_fd(&c->source.fd, -1);
    osa_buf_done(&c->in);
    osa_buf_done(&c->out);
    free(c);
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Internal Server Error";
    }
}

/* Return: whether all of it is out, or nobody is there to take it. */
static bool send_some(struct connection *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->source.fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno != EAGAIN;
        c->sent += (size_t)n;
    }
    return true;
}

static void reply(struct connection *c, unsigned status, const char *type,
                  const struct osa_buf *body, bool with_body)
{
    (void)osa_buf_addf(&c->out,
                       "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                       "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                       status, reason_of(status), type, body->len,
                       status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (with_body && body->len > 0)
        (void)osa_buf_add(&c->out, body->data, body->len);
    if (c->out.failed || send_some(c)) {
        (void)shutdown(c->source.fd, SHUT_WR);
        drop(c);
    } else
        osa_source_set(&c->source, OSA_WRITE);
}

static void refuse(struct connection *c, unsigned status)
{
    struct osa_buf body;
    osa_buf_init(&body, 256);
    (void)osa_buf_addf(&body, "%s\n", reason_of(status));
    reply(c, status, "text/plain; charset=utf-8", &body, true);
    osa_buf_done(&body);
}

/* The request is whole: its head has been judged, a body it must not have. */
static void serve(struct connection *c, size_t head_len)
{
    struct http1_framing framing;
    struct http1 *http = http1_new(/* response= */ false);
    enum http1_result result =
        http == NULL ? HTTP1_BAD : http1_head(http, c->in.data, head_len, false, &framing);
    http1_free(http);
    if (result != HTTP1_DONE) {
        refuse(c, 400);
        return;
    }
    bool head_only = strncmp(c->in.data, "HEAD ", 5) == 0;
    if (!head_only && strncmp(c->in.data, "GET ", 4) != 0) {
        refuse(c, 405);
        return;
    }
    char *path = c->in.data + (head_only ? 5 : 4);
    path[strcspn(path, " ?\r\n")] = '\0';
    const char *type = "text/plain; charset=utf-8";
    struct osa_buf body;
    osa_buf_init(&body, BODY_MAX);
    unsigned status = c->server->answer(c->server->ctx, path, &body, &type);
    if (status != 200 || body.failed)
        refuse(c, body.failed ? 500 : status);
    else
        reply(c, status, type, &body, !head_only);
    osa_buf_done(&body);
}

static void on_ready(struct osa_source *source, unsigned events)
{
    struct connection *c = OSA_CONTAINER_OF(source, struct connection, source);
    char chunk[2048];
    if (c->out.len > 0) {
        if ((events & OSA_HUP) != 0 || send_some(c))
            drop(c);
        return;
    }
    ssize_t n = recv(source->fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    if (!osa_buf_add(&c->in, chunk, (size_t)n)) {
        refuse(c, 431);
        return;
    }
    const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
    if (end != NULL)
        serve(c, (size_t)(end - c->in.data) + 4);
}

static void on_impatience(struct osa_timer *timer)
{
    drop(OSA_CONTAINER_OF(timer, struct connection, patience));
}

static void take(struct http_server *server, unsigned slot, int fd)
{
    struct osa_error err = { 0 };
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    c->server = server;
    osa_buf_init(&c->in, HEAD_MAX);
    osa_buf_init(&c->out, BODY_MAX + 1024);
    c->source = (struct osa_source){ .fd = fd, .ready = on_ready };
    c->patience.fire = on_impatience;
    if (osa_source_add(server->loop, &c->source, OSA_READ, &err) != OSA_OK) {
        (void)close(fd);
        free(c);
        return;
    }
    server->connections[slot] = c;
    osa_timer_arm(server->loop, &c->patience, osa_deadline_after(PATIENCE_NS));
}

static void on_retry(struct osa_timer *timer)
{
    osa_source_set(&OSA_CONTAINER_OF(timer, struct http_server, retry)->source, OSA_READ);
}

static void on_acceptable(struct osa_source *source, unsigned events)
{
    struct http_server *server = OSA_CONTAINER_OF(source, struct http_server, source);
    (void)events;
    for (unsigned slot = 0; slot < CONNECTIONS_MAX; slot++) {
        if (server->connections[slot] != NULL)
            continue;
        int fd = osa_accept(source->fd);
        if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
            return;
        if (fd < 0) { /* no descriptor or no memory: later */
            osa_source_set(source, 0);
            osa_timer_arm(server->loop, &server->retry, osa_deadline_after(RETRY_NS));
            return;
        }
        take(server, slot, fd);
    }
    osa_source_set(source, 0); /* until one of them ends; the others wait in the backlog */
}

enum osa_code http_server_new(struct osa_loop *loop, const char *address, http_server_fn answer,
                              void *ctx, struct http_server **ret, struct osa_error *err)
{
    struct osa_tcp_address parsed;
    enum osa_code code = osa_tcp_parse(address, &parsed, err);
    if (code != OSA_OK)
        return code;
    struct http_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return osa_fail_errno(err, ENOMEM, "http server");
    server->loop = loop;
    server->answer = answer;
    server->ctx = ctx;
    server->source = (struct osa_source){ .fd = -1, .ready = on_acceptable };
    server->retry.fire = on_retry;
    code = osa_tcp_listen(&parsed, &server->source.fd, &server->port, err);
    if (code == OSA_OK)
        code = osa_source_add(loop, &server->source, OSA_READ, err);
    if (code != OSA_OK) {
        osa_replace_fd(&server->source.fd, -1);
        free(server);
        return code;
    }
    *ret = server;
    return OSA_OK;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        if (server->connections[i] != NULL)
            drop(server->connections[i]);
    osa_timer_disarm(&server->retry);
    osa_source_remove(&server->source);
    osa_replace_fd(&server->source.fd, -1);
    free(server);
}
