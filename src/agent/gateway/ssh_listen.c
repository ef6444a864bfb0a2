// SPDX-License-Identifier: Apache-2.0
/*
 * The SSH server's own socket, where one is asked for: drivers look at its file to know that a sandbox
 * has started. Relays do not need it. Whoever may open it is let in, so it is its owner's alone.
 */
#include "agent/gateway/gateway.h"
#include "agent/gateway/ssh.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/peer.h"
#include "rpc/unix_socket.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_NS (100 * OSA_NS_PER_MS)
#define BACKLOG 64

/** struct ssh_listener - @source: watches the descriptor that @file owns; an abstract name has no path there */
struct ssh_listener {
    struct gateway *gateway;
    struct osa_source source;
    struct osa_timer retry;
    struct rpc_unix_socket file;
};

static void on_retry(struct osa_timer *timer)
{
    struct ssh_listener *listener = OSA_CONTAINER_OF(timer, struct ssh_listener, retry);
    osa_source_set(&listener->source, OSA_READ);
}

/* An abstract name has no permissions. */
static bool is_welcome(int fd)
{
    struct osa_error err = { 0 };
    uint32_t uid = 0;
    int32_t pid = 0;
    return osa_peer_credentials(fd, &uid, &pid, &err) == OSA_OK && uid == geteuid();
}

static void on_socket(struct osa_source *source, unsigned events)
{
    struct ssh_listener *listener = OSA_CONTAINER_OF(source, struct ssh_listener, source);
    struct osa_error err = { 0 };
    (void)events;
    int fd = osa_accept(source->fd);
    if (fd >= 0) {
        if (!is_welcome(fd))
            osa_close_fd(&fd);
        else if (sshd_serve(listener->gateway, fd, &err) != OSA_OK)
            osa_log_error(OSA_LOG_DEBUG, "gateway", "an SSH connection is not served", &err);
        return;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return;
    osa_log(OSA_LOG_WARN, "gateway", "no SSH connection can be accepted; tried again",
            OSA_S("error", osa_errno_name(errno)), OSA_I("in_ms", RETRY_NS / OSA_NS_PER_MS));
    osa_source_set(source, 0);
    osa_timer_arm(listener->gateway->program.loop, &listener->retry, osa_deadline_after(RETRY_NS));
}

static enum osa_code open_abstract(const char *name, int *ret_fd, struct osa_error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(name);
    if (len == 0 || len + 1 > sizeof(address.sun_path))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "the name is empty or too long");
    memcpy(address.sun_path + 1, name, len);
    OSA_AUTO(osa_close_fd) int fd = osa_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || osa_set_nonblocking(fd, true, NULL) != OSA_OK ||
        bind(fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0 ||
        listen(fd, BACKLOG) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno, "the name cannot be had");
    *ret_fd = osa_take_fd(&fd);
    return OSA_OK;
}

static enum osa_code open_path(const char *path, struct rpc_unix_socket *file,
                               struct osa_error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - path) : 0, path);
    if (folder[0] != '\0')
        (void)mkdir(folder, 0700); /* opening says what is wrong with it */
    return rpc_unix_socket_open(path, 0600, file, err);
}

enum osa_code sshd_listen(struct gateway *gateway, struct osa_error *err)
{
    const char *address = gateway->config->ssh_socket;
    if (address == NULL || address[0] == '\0')
        return OSA_OK;
    struct ssh_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        abort();
    *listener = (struct ssh_listener){ .gateway = gateway,
                                       .source = { .fd = -1, .ready = on_socket },
                                       .retry = { .fire = on_retry },
                                       .file = { .fd = -1, .lock_fd = -1 } };
    gateway->ssh_listener = listener;
    enum osa_code code = address[0] == '@' ? open_abstract(address + 1, &listener->file.fd, err)
                                           : open_path(address, &listener->file, err);
    listener->source.fd = listener->file.fd;
    if (code == OSA_OK)
        code = osa_source_add(gateway->program.loop, &listener->source, OSA_READ, err);
    return code == OSA_OK ? code : osa_wrap(err, "ssh-socket-path '%s'", address);
}

void sshd_unlisten(struct gateway *gateway)
{
    struct ssh_listener *listener = gateway->ssh_listener;
    if (listener == NULL)
        return;
    osa_timer_disarm(&listener->retry);
    osa_source_remove(&listener->source);
    rpc_unix_socket_close(&listener->file);
    free(listener);
    gateway->ssh_listener = NULL;
}
