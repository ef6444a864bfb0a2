// SPDX-License-Identifier: Apache-2.0
/*
 * Byte streams over a link, each joined to a socket at either end: copies, forwarded ports, and the
 * connections of the egress proxy. A stream has a window in each direction, so one that nobody reads
 * does not hold up the others, and a direction ends by itself, as that of a socket does.
 */
#pragma once

#include "base/loop.h"
#include "guest/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conduit;

/** struct conduits - The streams of one link; in its owner's storage. Thread: the owner's loop */
struct conduits {
    struct osa_loop *loop;
    struct link *link;
    struct conduit *table; /* uthash by key */
    bool held;             /* the link is full */
};

/** conduits_init() - None yet; both are borrowed */
void conduits_init(struct conduits *set, struct osa_loop *loop, struct link *link);

/** conduits_done() - Close every socket; the peer is told nothing */
void conduits_done(struct conduits *set);

/** conduits_count() - How many there are */
unsigned conduits_count(const struct conduits *set);

/** conduits_knows() - Is @key in use here? */
bool conduits_knows(const struct conduits *set, uint64_t key);

/** conduits_drained() - The link has room again */
void conduits_drained(struct conduits *set);

/**
 * conduit_begin() - Join @fd to the peer's stream @key, which the peer begins as well
 * @key: in use by no other; nothing may be sent for it before the peer knows it
 * @fd:  a connected stream socket, non-blocking; taken
 * Without memory, or a place in the loop, the peer is told that the stream broke.
 */
void conduit_begin(struct conduits *set, uint64_t key, int fd);

/** conduit_refuse() - Tell the peer that its stream @key leads nowhere */
void conduit_refuse(struct conduits *set, uint64_t key);

/** conduits_frame() - A frame from the peer. Return: false: it is of no stream */
bool conduits_frame(struct conduits *set, const struct link_frame *frame);
