// SPDX-License-Identifier: Apache-2.0
/* The sandbox's SSH server: each connection comes through a relay, each session is a process of the sandbox. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct gateway;
struct io_ssh_channel;

/**
 * sshd_connect() - A new connection to the server
 * @ret_fd: the client's end of it, for the relay; taken by the caller
 * Return: OSA_OK; RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code sshd_connect(struct gateway *gateway, int *ret_fd,
                                          struct osa_error *err);

/** sshd_serve() - Serve a client that has connected. @fd: taken, also on failure. Return: as sshd_connect() */
OSA_MUST_CHECK enum osa_code sshd_serve(struct gateway *gateway, int fd, struct osa_error *err);

/**
 * sshd_listen() - Listen at --ssh-socket-path as well; nothing without one
 * Return: OSA_OK; INVALID_ARGUMENT; FAILED_PRECONDITION: somebody else listens there.
 */
OSA_MUST_CHECK enum osa_code sshd_listen(struct gateway *gateway, struct osa_error *err);
/** sshd_unlisten() - Remove that socket. Not listening is fine */
void sshd_unlisten(struct gateway *gateway);

/** sshd_may_forward() - Is @host a loopback address of the sandbox, and @port a port? For ssh.c */
bool sshd_may_forward(const struct gateway *gateway, const char *host, int port);

/**
 * sshd_forward() - Join a channel with a loopback port of the sandbox; for ssh.c
 * What cannot be connected closes the channel.
 */
void sshd_forward(struct gateway *gateway, struct io_ssh_channel *channel, const char *host,
                  int port);

/** sshd_end() - Close all connections, kill what they run, free the server. None is fine */
void sshd_end(struct gateway *gateway);
