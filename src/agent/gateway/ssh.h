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

/**
 * sshd_forward() - Join a channel with a loopback port of the sandbox; for ssh.c
 * Return: false when @host is no loopback address or @port is none; the channel then is closed.
 */
bool sshd_forward(struct gateway *gateway, struct io_ssh_channel *channel, const char *host,
                  int port);

/** sshd_end() - Close all connections, kill what they run, free the server. None is fine */
void sshd_end(struct gateway *gateway);
