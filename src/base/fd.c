// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void osa_close_fd(const int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    (void)close(*fd); /* never retried: Linux and macOS release the number even on EINTR */
    errno = saved;
}

void osa_replace_fd(int *fd, int value)
{
    osa_close_fd(fd);
    *fd = value;
}

enum osa_code osa_set_nonblocking(int fd, bool on, struct osa_error *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return osa_fail_errno(err, errno, "fcntl(F_GETFL)");
    int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
        return osa_fail_errno(err, errno, "fcntl(F_SETFL)");
    return OSA_OK;
}

int osa_socket(int domain, int type, int protocol)
{
#ifdef SOCK_CLOEXEC
    return socket(domain, type | SOCK_CLOEXEC, protocol);
#else
    int fd = socket(domain, type, protocol);
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
#endif
}

enum osa_code osa_stream_pair(int ret_fds[2], struct osa_error *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return osa_fail_errno(err, errno, "socketpair");
    enum osa_code code = OSA_OK;
    for (int i = 0; i < 2 && code == OSA_OK; i++) {
        (void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        code = osa_set_nonblocking(fds[i], /* on= */ true, err);
    }
    if (code != OSA_OK) {
        osa_close_fd(&fds[0]);
        osa_close_fd(&fds[1]);
        return code;
    }
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return OSA_OK;
}

enum osa_code osa_pipe(int ret_fds[2], struct osa_error *err)
{
    int fds[2];
#ifdef __linux__
    if (pipe2(fds, O_CLOEXEC) < 0)
        return osa_fail_errno(err, errno, "pipe2");
#else
    if (pipe(fds) < 0)
        return osa_fail_errno(err, errno, "pipe");
    (void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
#endif
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return OSA_OK;
}

enum osa_code osa_read_file(int dirfd, const char *path, size_t max_bytes, char **ret_data,
                            size_t *ret_len, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int saved = errno;
        if (saved == ENOENT || saved == ENOTDIR)
            return osa_fail(err, OSA_NOT_FOUND, saved, "%s", path);
        return osa_fail_errno(err, saved, "open %s", path);
    }
    OSA_AUTO(osa_free) char *data = NULL;
    size_t len = 0;
    size_t size = 0;
    for (;;) {
        if (len + 1 >= size) {
            size = size == 0 ? 4096 : size * 2;
            char *grown = realloc(data, size);
            if (grown == NULL)
                return osa_fail_errno(err, ENOMEM, "read %s", path);
            data = grown;
        }
        ssize_t got = read(fd, data + len, size - len - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return osa_fail_errno(err, errno, "read %s", path);
        if (got == 0)
            break;
        len += (size_t)got;
        if (len > max_bytes)
            return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "%s is longer than %zu bytes", path,
                            max_bytes);
    }
    data[len] = '\0';
    if (ret_len != NULL)
        *ret_len = len;
    *ret_data = OSA_TAKE(data);
    return OSA_OK;
}

ssize_t osa_send_buf(int fd, struct osa_buf *buf)
{
    size_t done = 0;
    int broken = 0;
    while (done < buf->len) {
        ssize_t put = send(fd, buf->data + done, buf->len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            broken = errno == EWOULDBLOCK ? EAGAIN : errno;
            break;
        }
        done += (size_t)put;
    }
    osa_buf_consume(buf, done);
    return broken == 0 || (broken == EAGAIN && done > 0) ? (ssize_t)done : -broken;
}

int osa_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        at += put;
        len -= (size_t)put;
    }
    return 0;
}

ssize_t osa_read_full(int fd, void *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = read(fd, (char *)data + done, len - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int osa_write_file(int dirfd, const char *path, const char *text)
{
    OSA_AUTO(osa_close_fd) int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    ssize_t put = write(fd, text, strlen(text));
    if (put < 0)
        return -errno;
    return (size_t)put == strlen(text) ? 0 : -EIO;
}
