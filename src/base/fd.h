// SPDX-License-Identifier: Apache-2.0
/* File descriptors: close on scope exit, hand over, full reads and writes. "Unset" is -1; 0 is valid. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/** osa_close_fd() - Cleanup function: close *fd unless it is negative; keeps errno */
void osa_close_fd(const int *fd);

/** osa_take_fd() - Hand *fd over to the caller and leave -1 behind */
static inline int osa_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/** osa_replace_fd() - Close what *fd held and set it to @value (-1 for none) */
void osa_replace_fd(int *fd, int value);

/** osa_set_nonblocking() - O_NONBLOCK on or off. Return: OSA_OK or INTERNAL */
OSA_MUST_CHECK enum osa_code osa_set_nonblocking(int fd, bool on, struct osa_error *err);

/** osa_socket() - socket(2), CLOEXEC. Return: as socket(2) */
int osa_socket(int domain, int type, int protocol);

/** osa_stream_pair() - Two connected Unix stream sockets, CLOEXEC and non-blocking */
OSA_MUST_CHECK enum osa_code osa_stream_pair(int ret_fds[2], struct osa_error *err);

/** osa_pipe() - A pipe, both ends CLOEXEC and blocking; ret_fds[0] is the reading end */
OSA_MUST_CHECK enum osa_code osa_pipe(int ret_fds[2], struct osa_error *err);

/**
 * osa_read_file() - Read a whole small file into fresh memory, NUL-terminated
 * @dirfd:     directory that @path is relative to, or AT_FDCWD
 * @max_bytes: longer files fail with RESOURCE_EXHAUSTED
 * @ret_data:  returned (free with free)
 * @ret_len:   length without the NUL; may be NULL
 * Return: OSA_OK; NOT_FOUND; RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code osa_read_file(int dirfd, const char *path, size_t max_bytes,
                                           char **ret_data, size_t *ret_len, struct osa_error *err);

/**
 * osa_read_file_in() - As osa_read_file(), of a root that is not trusted
 * @root: a directory; @path: absolute or not, in it. Links lead no further than @root, the last part may
 *        not be one, and what is no regular file is not opened: openat2(2), RESOLVE_IN_ROOT
 * Return: OSA_OK; NOT_FOUND; FAILED_PRECONDITION: no regular file; RESOURCE_EXHAUSTED; INTERNAL. Linux.
 */
OSA_MUST_CHECK enum osa_code osa_read_file_in(const char *root, const char *path, size_t max_bytes,
                                              char **ret_data, size_t *ret_len,
                                              struct osa_error *err);

struct osa_buf;

/**
 * osa_send_buf() - Send what @buf holds as far as the socket takes it at once, and take that out
 * Return: bytes sent; -EAGAIN when none could be; -errno when the connection is broken, however much went
 * before. Source: send(2), without SIGPIPE
 */
ssize_t osa_send_buf(int fd, struct osa_buf *buf);

/** osa_write_all() - write(2) until everything is out; retries EINTR. Return: 0 or -errno */
int osa_write_all(int fd, const void *data, size_t len);

/** osa_read_full() - read(2) exactly @len bytes. Return: bytes read (less only at end of file) or -errno */
ssize_t osa_read_full(int fd, void *data, size_t len);

/** osa_write_file() - Write @text to an existing file in one write(2), as cgroup and proc files want. Return: 0 or -errno */
int osa_write_file(int dirfd, const char *path, const char *text);
