// SPDX-License-Identifier: Apache-2.0
#include "rpc/unix_socket.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SUFFIX_LEN 5 /* ".lock", ".new" */
#define BACKLOG 512

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

static int stream_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

/* The lock file may be unlinked by its last holder, so a lock counts only on the file that has the name. */
static enum osa_code take_lock(struct rpc_unix_socket *self, struct osa_error *err)
{
    for (;;) {
        OSA_AUTO(osa_close_fd)
        int fd = open(self->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return osa_fail(err, OSA_INVALID_ARGUMENT, errno,
                            "lock file '%s' cannot be opened; does the directory exist?",
                            self->lock_path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            if (errno != EWOULDBLOCK)
                return osa_fail_errno(err, errno, "lock file '%s'", self->lock_path);
            return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                            "'%s' is served by another process already; stop that one or choose "
                            "another path",
                            self->path);
        }
        struct stat ours;
        struct stat named;
        if (fstat(fd, &ours) == 0 && stat(self->lock_path, &named) == 0 &&
            ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
            self->lock_fd = osa_take_fd(&fd);
            return OSA_OK;
        }
    }
}

/* What stands at the path may go only if it is a socket that nobody answers. */
static enum osa_code check_old(const char *path, struct osa_error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? OSA_OK : osa_fail_errno(err, errno, "'%s'", path);
    if (!S_ISSOCK(st.st_mode))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%s' exists and is not a socket; remove it or choose another path", path);
    OSA_AUTO(osa_close_fd) int fd = stream_socket();
    struct sockaddr_un address = address_of(path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "'%s' is served by another program; choose another path", path);
    return OSA_OK;
}

static enum osa_code bind_and_rename(struct rpc_unix_socket *self, mode_t mode,
                                     struct osa_error *err)
{
    char fresh[sizeof(self->path)];
    (void)snprintf(fresh, sizeof(fresh), "%.*s.new", (int)sizeof(fresh) - SUFFIX_LEN, self->path);
    struct sockaddr_un address = address_of(fresh);
    (void)unlink(fresh); /* left by a crash; we hold the lock */
    self->fd = stream_socket();
    struct stat st;
    if (self->fd < 0 || bind(self->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(fresh, mode) < 0 || listen(self->fd, BACKLOG) < 0 || lstat(fresh, &st) < 0 ||
        rename(fresh, self->path) < 0) {
        int saved = errno;
        (void)unlink(fresh);
        return osa_fail(err, OSA_FAILED_PRECONDITION, saved, "socket '%s' cannot be made",
                        self->path);
    }
    self->device = st.st_dev;
    self->inode = st.st_ino;
    return osa_set_nonblocking(self->fd, /* on= */ true, err);
}

enum osa_code rpc_unix_socket_open(const char *path, mode_t mode,
                                   struct rpc_unix_socket *ret_socket, struct osa_error *err)
{
    struct rpc_unix_socket self = { .fd = -1, .lock_fd = -1 };
    size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path) - SUFFIX_LEN;
    if (path[0] == '\0' || strlen(path) >= room)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "the path of a Unix socket has 1 to %zu bytes, '%s' has %zu", room - 1,
                        path, strlen(path));
    (void)snprintf(self.path, sizeof(self.path), "%s", path);
    (void)snprintf(self.lock_path, sizeof(self.lock_path), "%s.lock", path);
    enum osa_code code = take_lock(&self, err);
    if (code == OSA_OK)
        code = check_old(path, err);
    if (code == OSA_OK)
        code = bind_and_rename(&self, mode != 0 ? mode : 0600, err);
    if (code != OSA_OK) {
        rpc_unix_socket_close(&self);
        return code;
    }
    *ret_socket = self;
    return OSA_OK;
}

enum osa_code rpc_unix_socket_adopt(int fd, struct rpc_unix_socket *ret_socket,
                                    struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int owned = fd;
    struct sockaddr_un address = { 0 };
    socklen_t len = sizeof(address);
    int type = 0;
    socklen_t type_len = sizeof(type);
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 || address.sun_family != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "the service manager passed something else than a Unix stream socket; use "
                        "ListenStream=/PATH");
    enum osa_code code = osa_set_nonblocking(fd, /* on= */ true, err);
    if (code != OSA_OK)
        return code;
    *ret_socket = (struct rpc_unix_socket){ .fd = osa_take_fd(&owned), .lock_fd = -1 };
    return OSA_OK;
}

void rpc_unix_socket_close(struct rpc_unix_socket *socket)
{
    struct stat st;
    if (socket->fd >= 0 && socket->path[0] != '\0' && lstat(socket->path, &st) == 0 &&
        st.st_ino == socket->inode && st.st_dev == socket->device)
        (void)unlink(socket->path);
    osa_replace_fd(&socket->fd, -1);
    if (socket->lock_fd >= 0)
        (void)unlink(socket->lock_path);
    osa_replace_fd(&socket->lock_fd, -1);
}
