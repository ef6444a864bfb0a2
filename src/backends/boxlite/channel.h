// SPDX-License-Identifier: Apache-2.0
/*
 * Where helpers in boxes connect to, for a faster way than their exec: a listener in the network
 * namespace of the agent's own server. Who connects says a secret that one box was told, once.
 *
 * Threads: the loop thread.
 */
#pragma once

#include "backends/boxlite/server.h"
#include "base/id.h"

#include <stdint.h>

struct channel_hub;

/**
 * struct channel_guest - A box that is awaited; embedded in its owner
 * @secret:  to be told to it; wiped once somebody has said it
 * @arrived: it has come; @fd is a connected socket, non-blocking, taken
 */
struct channel_guest {
    char secret[OSA_ID_SIZE];
    void (*arrived)(struct channel_guest *self, int fd);
    struct channel_guest *prev, *next;
    struct channel_hub *hub; /* NULL: not awaited */
};

/** channel_hub_open() - Listen where boxes of @server, which is apart, find it. Return: OSA_OK; INTERNAL */
OSA_MUST_CHECK enum osa_code channel_hub_open(struct osa_loop *loop, const struct server *server,
                                              struct channel_hub **ret, struct osa_error *err);

/** channel_hub_close() - Nobody may be awaited any more. NULL is fine */
void channel_hub_close(struct channel_hub *hub);

/** channel_hub_port() - Its port */
uint16_t channel_hub_port(const struct channel_hub *hub);

/** channel_await() - Make a secret for @guest and wait for it */
void channel_await(struct channel_hub *hub, struct channel_guest *guest);

/** channel_forget() - Wait no more. One that is not awaited is fine */
void channel_forget(struct channel_guest *guest);
