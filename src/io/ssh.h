// SPDX-License-Identifier: Apache-2.0
/*
 * The server side of SSH over a connected socket, in the loop. Wraps libssh.
 *
 * Whoever holds the other end of the socket has been let in already, so every user name is welcome
 * without a password. What a client asks for becomes calls of the owner; the owner reads and writes
 * channels. Nothing blocks, and libssh's own threads of control are never entered twice: events are
 * delivered after it has returned, but for the two that ask for an answer.
 *
 * Threads: the loop's.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_ssh_server;
struct io_ssh;
struct io_ssh_channel;

#define IO_SSH_READ_ONLY "OPENSHELL_MAIN_READ_ONLY"
#define IO_SSH_CHANNELS_MAX 128 /* of one connection; more are refused */

enum io_ssh_want { IO_SSH_EXEC, IO_SSH_SHELL, IO_SSH_SUBSYSTEM };

/**
 * struct io_ssh_request - What a session channel is to run
 * @text: command line, or name of the subsystem; "" with IO_SSH_SHELL
 * @term: value of TERM, "" when the client named none; NULL without a terminal
 * @rows, @columns: of the terminal, at least 1
 * @read_only: the client has set IO_SSH_READ_ONLY to 1 in its environment
 */
struct io_ssh_request {
    enum io_ssh_want want;
    const char *text;
    const char *term;
    uint16_t rows;
    uint16_t columns;
    bool read_only;
};

/**
 * struct io_ssh_events - Of a connection; the struct outlives it
 * @start:   a session channel asks for a program; answers inside libssh, so nothing of this header
 *           but io_ssh_attach() may be called. Return: true when it is taken on
 * @may_forward: may there be a connection to this port of the sandbox?
 * @forward: there is to be one; as @start
 * @closed:  last callback: every channel has had its own, and the connection is freed
 */
struct io_ssh_events {
    bool (*start)(struct io_ssh_events *self, struct io_ssh_channel *channel,
                  const struct io_ssh_request *request);
    bool (*may_forward)(struct io_ssh_events *self, const char *host, int port);
    void (*forward)(struct io_ssh_events *self, struct io_ssh_channel *channel, const char *host,
                    int port);
    void (*closed)(struct io_ssh_events *self);
};

/**
 * struct io_ssh_channel_events - Of a channel; the struct outlives it
 * @readable: there is input, or its end
 * @writable: there is room for output again
 * @resized:  of a terminal
 * @signalled: @name without SIG: "TERM"
 * @closed:   last callback
 */
struct io_ssh_channel_events {
    void (*readable)(struct io_ssh_channel_events *self);
    void (*writable)(struct io_ssh_channel_events *self);
    void (*resized)(struct io_ssh_channel_events *self, uint16_t rows, uint16_t columns);
    void (*signalled)(struct io_ssh_channel_events *self, const char *name);
    void (*closed)(struct io_ssh_channel_events *self);
};

/** io_ssh_server_new() - A server with a fresh Ed25519 key of its own */
OSA_MUST_CHECK enum osa_code io_ssh_server_new(struct io_ssh_server **ret_server,
                                               struct osa_error *err);

/** io_ssh_server_free() - After its last connection. NULL is fine */
void io_ssh_server_free(struct io_ssh_server *server);

/**
 * io_ssh_accept() - Serve a client
 * @fd: a connected socket; taken, also on failure
 */
OSA_MUST_CHECK enum osa_code io_ssh_accept(struct io_ssh_server *server, struct osa_loop *loop,
                                           int fd, struct io_ssh_events *events,
                                           struct io_ssh **ret_connection, struct osa_error *err);

/** io_ssh_close() - End the connection; callbacks follow from the loop, `closed` last */
void io_ssh_close(struct io_ssh *connection);

/** io_ssh_attach() - From `start` or `forward`: who hears of this channel */
void io_ssh_attach(struct io_ssh_channel *channel, struct io_ssh_channel_events *events);

/** io_ssh_read() - Input. Return: bytes; 0: none now; -1: its end */
ptrdiff_t io_ssh_read(struct io_ssh_channel *channel, void *data, size_t size);

/** io_ssh_write() - Output, or error output. Return: bytes taken; less than @len: wait for `writable` */
size_t io_ssh_write(struct io_ssh_channel *channel, bool error, const void *data, size_t len);

/**
 * io_ssh_finish() - No more output: say how the program ended, and close
 * @signal: name without SIG, said before the status; NULL for none
 * @status: exit status; negative: none is said, as for a forwarded connection
 */
void io_ssh_finish(struct io_ssh_channel *channel, const char *signal, int status);
