// SPDX-License-Identifier: Apache-2.0
/*
 * A reliable channel of frames over a text pipe that may lose or repeat bytes.
 *
 * Between the agent and its helper inside of a box lies an exec of the BoxLite server: what it
 * carries out must be UTF-8, a slow connection makes it drop output without a word, a broken one
 * makes it play the last of it again. So a frame is a line of base64 with a number and a checksum;
 * what arrives twice is dropped, what is missing is asked for again, and no more is under way than
 * the server keeps. Both ends run this code.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of text under way at most: well below the 256 KiB that the server keeps of an output. */
#define LINK_WINDOW_BYTES ((size_t)192 << 10)
/* The plan of a process may have 2 MiB of arguments and environment, which base64 makes a third longer. */
#define LINK_LINE_MAX ((size_t)4 << 20)

struct link_sent;

/** struct link_frame - What is received; @body is aligned for nothing and borrowed for the callback */
struct link_frame {
    uint32_t type; /* not 0 */
    uint64_t key;
    const char *body;
    size_t len;
};

/**
 * struct link - One end; embedded in its owner, who sets the callbacks
 * @send:    text for the transport, which takes all of it; called from inside of verbs
 * @receive: the next frame, in order, once. May send; must not end the link
 * @drained: nothing waits for room any more
 * Others are private. Thread: the owner's loop.
 */
struct link {
    void (*send)(struct link *self, const char *text, size_t len);
    void (*receive)(struct link *self, const struct link_frame *frame);
    void (*drained)(struct link *self);

    uint32_t next;             /* number of the next frame that is queued */
    uint32_t received;         /* of the last that came in order */
    uint32_t told;             /* the same, as the peer was told */
    size_t untold_bytes;       /* that came since */
    struct link_sent *sent;    /* owned, utlist: not acknowledged */
    struct link_sent *waiting; /* owned, utlist: for room */
    size_t under_way;
    bool resend_asked;
    bool muted; /* no transport */
    struct osa_buf line;
    struct osa_buf body;
};

/** link_init() - An end without a transport: link_resume() gives it one. The callbacks are kept */
void link_init(struct link *link);

/** link_done() - Free what it holds */
void link_done(struct link *link);

/** link_send() - Queue a frame; goes out at once while there is room. Aborts without memory */
void link_send(struct link *link, uint32_t type, uint64_t key, const void *body, size_t len);

/** link_is_full() - Do frames wait for room? Who makes much should stop until drained */
bool link_is_full(const struct link *link);

/** link_feed() - Text from the transport */
void link_feed(struct link *link, const char *text, size_t len);

/** link_pause() - The transport has gone; what is sent waits */
void link_pause(struct link *link);

/** link_resume() - There is a new transport: what the peer has not acknowledged goes out again, and it is asked for the same */
void link_resume(struct link *link);

/** link_poke() - Say again what was received, and ask again for what is missing; now and then, against silence */
void link_poke(struct link *link);
