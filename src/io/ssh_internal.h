// SPDX-License-Identifier: Apache-2.0
/* What ssh.c and ssh_channel.c share. */
#pragma once

#include "io/ssh.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#define SIGNALS_KEPT 8 /* between two deliveries; what comes on top is lost */

/**
 * struct io_ssh_channel - Owned by its connection
 * @events: NULL until somebody has attached
 * @dirty_…: events to deliver once libssh has returned
 * @gone:   closed by either side; freed after `closed`
 */
struct io_ssh_channel {
    struct io_ssh *connection;
    struct io_ssh_channel *prev, *next;
    ssh_channel handle;
    struct ssh_channel_callbacks_struct callbacks;
    struct io_ssh_channel_events *events;
    char term[64];
    bool has_term;
    uint16_t rows;
    uint16_t columns;
    char signals[SIGNALS_KEPT][16];
    unsigned signal_count;
    bool read_only;
    bool dirty_input;
    bool dirty_output;
    bool dirty_size;
    bool input_ended;
    bool finished;
    bool gone;
};

/** struct io_ssh - @kick: delivers what became due outside of the socket's events */
struct io_ssh {
    struct osa_loop *loop;
    struct osa_source source;
    struct osa_task kick;
    bool kicked;
    ssh_session session;
    ssh_event event;
    struct ssh_server_callbacks_struct callbacks;
    struct io_ssh_events *events;
    struct io_ssh_channel *channels;
    unsigned channel_count;
    bool keyed; /* the key exchange is over */
    bool closing;
};

/** io_ssh_kick() - Deliver soon, and see what the socket is to be watched for */
void io_ssh_kick(struct io_ssh *connection);

/** io_ssh_channel_new() - For @handle, with its callbacks set */
struct io_ssh_channel *io_ssh_channel_new(struct io_ssh *connection, ssh_channel handle);

/** io_ssh_channel_deliver() - Call what is due. May free the channel */
void io_ssh_channel_deliver(struct io_ssh_channel *channel);
