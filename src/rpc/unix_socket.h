// SPDX-License-Identifier: Apache-2.0
/* The file of a listening Unix socket: one owner at a time, never with the wrong permissions. */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/**
 * struct rpc_unix_socket - A bound path, in its owner's storage
 * @fd:      listening, non-blocking; -1 when closed
 * @lock_fd: holds an flock(2) on PATH.lock
 */
struct rpc_unix_socket {
    int fd;
    int lock_fd;
    char path[108];
    char lock_path[120];
    dev_t device;
    ino_t inode;
};

/**
 * rpc_unix_socket_open() - Lock @path, clear away what a dead agent left, bind and listen
 *
 * C core's own bind would steal the path from a live server. Here a lock on PATH.lock keeps a second
 * one out; the socket is made under another name, gets its mode, and is then renamed, so that
 * nobody can connect in between and clients never find the path missing.
 * @mode: permission bits; 0 means 0600
 * Return: OSA_OK; INVALID_ARGUMENT (too long, no directory, not a socket); FAILED_PRECONDITION (in use).
 */
OSA_MUST_CHECK enum osa_code rpc_unix_socket_open(const char *path, mode_t mode,
                                                  struct rpc_unix_socket *ret_socket,
                                                  struct osa_error *err);

/**
 * rpc_unix_socket_adopt() - Serve a listening socket that somebody else bound, and keeps
 * @fd: owned from here on, also when this fails
 * Its file stays at the close, and there is no lock: whoever made it sees to both.
 * Return: OSA_OK; INVALID_ARGUMENT (not a Unix stream socket).
 */
OSA_MUST_CHECK enum osa_code rpc_unix_socket_adopt(int fd, struct rpc_unix_socket *ret_socket,
                                                   struct osa_error *err);

/** rpc_unix_socket_close() - Close, and remove both files if the path still is ours. Closed already is fine */
void rpc_unix_socket_close(struct rpc_unix_socket *socket);
