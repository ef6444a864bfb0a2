// SPDX-License-Identifier: Apache-2.0
#include "rpc/listener.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/peer.h"
#include "base/rate.h"
#include "base/tcp.h"
#include "rpc/read_guard.h"
#include "rpc/unix_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH 32                       /* then the loop has other things to do */
#define REFUSALS_BURST 20                     /* that are told; then one a second */
#define ACCEPT_RETRY_NS (100 * OSA_NS_PER_MS) /* after descriptors or memory ran out */
/* Of a Unix socket, whose buffer does not grow by itself as TCP's does: two of the largest messages that
 * output comes in, so that one of them leaves in one go. */
#define SEND_BYTES (512 << 10)

struct rpc_listener {
    grpc_server *server;   /* borrowed */
    struct rpc_auth *auth; /* borrowed */
    const struct rpc_server_config *config;
    grpc_server_credentials *insecure; /* owned; what core wants to see with a descriptor */
    struct osa_source source;
    struct osa_timer retry;
    struct osa_rate refusals;
    uint64_t refusals_untold;
    struct rpc_unix_socket file; /* fd is -1 for TCP */
    int tcp_fd;                  /* owned; -1 for Unix and TLS */
    uint16_t port;
};

/* ---- accepting ---- */

/* Who is refused may try again at once, for ever: a log is not to be filled like that. */
static void report_refusal(struct rpc_listener *self, uint32_t uid, int32_t pid, const char *why)
{
    if (!osa_rate_take(&self->refusals, osa_now_ns(), REFUSALS_BURST, OSA_NS_PER_SEC)) {
        self->refusals_untold++;
        return;
    }
    osa_log(OSA_LOG_WARN, "rpc", "connection refused", OSA_S("reason", why), OSA_U("uid", uid),
            OSA_I("pid", pid), OSA_S("socket", self->file.path),
            OSA_U("untold", self->refusals_untold));
    self->refusals_untold = 0;
    if (self->config->audit == NULL)
        return;
    struct rpc_peer peer = { .role = RPC_ROLE_NONE, .address = "unix" };
    (void)snprintf(peer.name, sizeof(peer.name), "uid:%u pid:%d", uid, pid);
    self->config->audit(self->config->audit_ctx, &(struct rpc_audit){ .method = "",
                                                                      .peer = &peer,
                                                                      .code = OSA_PERMISSION_DENIED,
                                                                      .text = why });
}

static bool admit(struct rpc_listener *self, int fd)
{
    if (self->file.fd < 0) {
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return true;
    }
    uint32_t uid;
    int32_t pid;
    struct osa_error err = { 0 };
    if (osa_peer_credentials(fd, &uid, &pid, &err) != OSA_OK) {
        osa_log_error(OSA_LOG_WARN, "rpc", "connection refused", &err);
        return false;
    }
    const char *why = NULL;
    if (!rpc_auth_uid_allowed(self->auth, uid))
        why = "this user may not connect";
    else if (self->config->keep_out != NULL && self->config->keep_out(uid, pid))
        why = "processes of a sandbox may not connect";
    if (why != NULL) {
        report_refusal(self, uid, pid, why);
        return false;
    }
    /* Left as it is where the kernel allows less: net.core.wmem_max, socket(7). */
    const int bytes = SEND_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return true;
}

static void on_acceptable(struct osa_source *source, unsigned events)
{
    struct rpc_listener *self = OSA_CONTAINER_OF(source, struct rpc_listener, source);
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = osa_accept(source->fd);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd <
            0) { /* EMFILE, ENFILE, ENOMEM …: the connection waits in the backlog, and so do we */
            struct osa_error err = { 0 };
            (void)osa_fail_errno(&err, errno, "accept");
            osa_log_error(OSA_LOG_WARN, "rpc", "cannot accept, retry in 100 ms", &err);
            osa_source_set(source, 0);
            osa_timer_arm(self->config->loop, &self->retry, osa_deadline_after(ACCEPT_RETRY_NS));
            return;
        }
        if (!admit(self, fd)) {
            (void)close(fd);
            continue;
        }
        rpc_read_guard_watch(fd, /* known= */ self->file.fd >= 0);
        grpc_server_add_channel_from_fd(self->server, fd, self->insecure); /* takes fd */
    }
}

static void on_retry(struct osa_timer *timer)
{
    struct rpc_listener *self = OSA_CONTAINER_OF(timer, struct rpc_listener, retry);
    osa_source_set(&self->source, OSA_READ);
}

/* ---- opening ---- */

static enum osa_code open_plain_tcp(struct rpc_listener *self,
                                    const struct osa_tcp_address *address, bool health_only,
                                    struct osa_error *err)
{
    if (!address->loopback && !health_only)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s is not a loopback address and there is no TLS; give a certificate and "
                        "key, or listen on localhost",
                        address->text);
    if (!rpc_auth_has_token(self->auth) && !health_only)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s needs a token file: every user of this host can connect to it",
                        address->text);
    enum osa_code code = osa_tcp_listen(address, &self->tcp_fd, &self->port, err);
    if (code == OSA_OK && health_only)
        code = rpc_auth_add_health_port(self->auth, self->port, err);
    return code;
}

static enum osa_code open_tls(struct rpc_listener *self, const struct osa_tcp_address *address,
                              grpc_server_credentials *tls, struct osa_error *err)
{
    const char *ca = self->config->credentials.client_ca;
    if (!rpc_auth_has_token(self->auth) && (ca == NULL || ca[0] == '\0'))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s needs a token file or a client CA: TLS alone keeps nobody out",
                        address->text);
    int port = grpc_server_add_http2_port(self->server, address->text, tls);
    if (port <= 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "%s cannot be listened on; is it in use?",
                        address->text);
    self->port = (uint16_t)port;
    return OSA_OK;
}

/* ---- life ---- */

static enum osa_code open_any(struct rpc_listener *self, const struct rpc_listen *listen,
                              grpc_server_credentials *tls, struct osa_error *err)
{
    if (listen->fd > 0)
        return rpc_unix_socket_adopt(listen->fd, &self->file, err);
    if (strncmp(listen->address, "unix:", 5) == 0)
        return rpc_unix_socket_open(listen->address + 5, (mode_t)listen->unix_mode, &self->file,
                                    err);
    struct osa_tcp_address address;
    enum osa_code code = osa_tcp_parse(listen->address, &address, err);
    if (code == OSA_INVALID_ARGUMENT)
        return osa_fail(err, code, 0,
                        "listen address '%s' is not unix:PATH, IPV4:PORT, [IPV6]:PORT or "
                        "localhost:PORT",
                        listen->address);
    if (code != OSA_OK)
        return code;
    return tls != NULL && !listen->health_only
               ? open_tls(self, &address, tls, err)
               : open_plain_tcp(self, &address, listen->health_only, err);
}

enum osa_code rpc_listener_open(grpc_server *server, struct rpc_auth *auth,
                                const struct rpc_server_config *config,
                                const struct rpc_listen *listen, grpc_server_credentials *tls,
                                struct rpc_listener **ret_listener, struct osa_error *err)
{
    struct rpc_listener *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    self->server = server;
    self->auth = auth;
    self->config = config;
    self->insecure = grpc_insecure_server_credentials_create();
    self->source.ready = on_acceptable;
    self->retry.fire = on_retry;
    self->file = (struct rpc_unix_socket){ .fd = -1, .lock_fd = -1 };
    self->tcp_fd = -1;
    enum osa_code code = open_any(self, listen, tls, err);
    if (code != OSA_OK) {
        rpc_listener_close(self);
        return code;
    }
    *ret_listener = self;
    return OSA_OK;
}

enum osa_code rpc_listener_start(struct rpc_listener *listener, struct osa_error *err)
{
    listener->source.fd = listener->file.fd >= 0 ? listener->file.fd : listener->tcp_fd;
    if (listener->source.fd < 0)
        return OSA_OK; /* core accepts this one */
    return osa_source_add(listener->config->loop, &listener->source, OSA_READ, err);
}

void rpc_listener_close(struct rpc_listener *listener)
{
    if (listener == NULL)
        return;
    osa_timer_disarm(&listener->retry);
    osa_source_remove(&listener->source);
    rpc_unix_socket_close(&listener->file);
    osa_replace_fd(&listener->tcp_fd, -1);
    grpc_server_credentials_release(listener->insecure);
    free(listener);
}

uint16_t rpc_listener_port(const struct rpc_listener *listener)
{
    return listener->port;
}
