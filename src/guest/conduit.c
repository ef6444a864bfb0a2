// SPDX-License-Identifier: Apache-2.0
#include "guest/conduit.h"

#include "base/fd.h"
#include "base/macros.h"
#include "guest/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uthash.h>

/* Bytes under way in one direction of a stream: what the link may have under way, twice. */
#define WINDOW_BYTES ((size_t)256 << 10)
/* So much is passed on before the peer is told, unless all is. */
#define TELL_BYTES (WINDOW_BYTES / 4)

/**
 * struct conduit - This end of a stream
 * @credit:   bytes that the peer has room for
 * @untold:   bytes that were passed on, and the peer does not know
 * @out:      for the socket
 * @read_end: nothing more comes out of the socket, and the peer was told
 * @peer_end: nothing more comes from the peer after @out
 * @shut:     the socket was told so
 * @deaf:     the socket takes nothing more; what still comes for it is dropped
 * @broken:   the peer's end is gone: this one goes once @out is empty
 * @hung_up:  the socket's other side is gone, though bytes of it may be left
 */
struct conduit {
    struct conduits *set;
    uint64_t key;
    UT_hash_handle hh;
    struct osa_source source; /* fd owned */
    bool watched;
    size_t credit;
    size_t untold;
    struct osa_buf out;
    bool read_end;
    bool peer_end;
    bool shut;
    bool deaf;
    bool broken;
    bool hung_up;
};

static void tell(struct conduits *set, enum guest_message type, uint64_t key)
{
    link_send(set->link, type, key, NULL, 0);
}

static void conduit_free(struct conduit *c)
{
    HASH_DEL(c->set->table, c);
    osa_source_remove(&c->source);
    osa_close_fd(&c->source.fd);
    osa_buf_done(&c->out);
    free(c);
}

static void break_off(struct conduit *c)
{
    tell(c->set, GUEST_STREAM_BROKEN, c->key);
    conduit_free(c);
}

/* ---- from the socket ---- */

static bool may_read(const struct conduit *c)
{
    return !c->read_end && !c->broken && c->credit > 0 && !c->set->held;
}

static void read_socket(struct conduit *c)
{
    static char chunk[GUEST_CHUNK_BYTES]; /* one loop thread, and a link keeps a copy */
    ssize_t got;
    do
        got = recv(c->source.fd, chunk, OSA_MIN(sizeof(chunk), c->credit), MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        c->credit -= (size_t)got;
        link_send(c->set->link, GUEST_STREAM_DATA, c->key, chunk, (size_t)got);
        c->set->held = link_is_full(c->set->link);
    } else if (got == 0 || errno != EAGAIN) {
        c->read_end = true;
        c->hung_up = c->hung_up || got < 0;
        tell(c->set, GUEST_STREAM_END, c->key);
    }
}

/* ---- to the socket ---- */

static void passed_on(struct conduit *c, size_t bytes)
{
    c->untold += bytes;
    if (c->peer_end || c->broken || (c->untold < TELL_BYTES && c->out.len > 0))
        return;
    uint64_t room = c->untold;
    c->untold = 0;
    link_send(c->set->link, GUEST_STREAM_ROOM, c->key, &room, sizeof(room));
}

static void write_socket(struct conduit *c)
{
    size_t before = c->out.len;
    ssize_t sent = c->deaf ? 0 : osa_send_buf(c->source.fd, &c->out);
    c->deaf |= sent < 0 && sent != -EAGAIN;
    if (c->deaf)
        osa_buf_consume(&c->out, c->out.len);
    if (c->out.len < before)
        passed_on(c, before - c->out.len);
}

/* ---- both ---- */

static void watch(struct conduit *c)
{
    struct osa_error err;
    unsigned events =
        (may_read(c) ? (unsigned)OSA_READ : 0u) | (c->out.len > 0 ? (unsigned)OSA_WRITE : 0u);
    if (events == 0 && c->hung_up) { /* it would be reported for ever */
        osa_source_remove(&c->source);
        c->watched = false;
    } else if (c->watched) {
        osa_source_set(&c->source, events);
    } else if (osa_source_add(c->set->loop, &c->source, events, &err) == OSA_OK) {
        c->watched = true;
    } else {
        break_off(c);
    }
}

/* May free @c. */
static void settle(struct conduit *c)
{
    if (c->peer_end && c->out.len == 0 && !c->shut) {
        c->shut = true;
        (void)shutdown(c->source.fd, SHUT_WR);
    }
    if (c->broken && c->out.len == 0)
        conduit_free(c);
    else if (c->read_end && c->shut)
        conduit_free(c);
    else if (c->read_end && (c->deaf || c->hung_up))
        break_off(c);
    else
        watch(c);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    struct conduit *c = OSA_CONTAINER_OF(source, struct conduit, source);
    if ((events & OSA_HUP) != 0)
        c->hung_up = true;
    if ((events & (OSA_WRITE | OSA_HUP)) != 0)
        write_socket(c);
    if ((events & (OSA_READ | OSA_HUP)) != 0 && may_read(c))
        read_socket(c);
    settle(c);
}

void conduit_begin(struct conduits *set, uint64_t key, int fd)
{
    struct conduit *c = calloc(1, sizeof(*c));
    if (c == NULL)
        abort();
    c->set = set;
    c->key = key;
    c->source = (struct osa_source){ .fd = fd, .ready = on_socket };
    c->credit = WINDOW_BYTES;
    osa_buf_init(&c->out, WINDOW_BYTES);
    HASH_ADD(hh, set->table, key, sizeof(c->key), c);
    watch(c);
}

void conduit_refuse(struct conduits *set, uint64_t key)
{
    tell(set, GUEST_STREAM_BROKEN, key);
}

/* ---- frames ---- */

/* A peer that sends more than it was given room for, or after its end, is not to be understood. */
static void take_data(struct conduit *c, const struct link_frame *frame)
{
    if (c->peer_end || c->untold + c->out.len + frame->len > WINDOW_BYTES ||
        !osa_buf_add(&c->out, frame->body, frame->len)) {
        break_off(c);
        return;
    }
    write_socket(c);
    settle(c);
}

static void take_room(struct conduit *c, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    uint64_t room = codec_read_u64(&reader);
    c->credit += (size_t)OSA_MIN(room, (uint64_t)(WINDOW_BYTES - c->credit));
    settle(c);
}

bool conduits_frame(struct conduits *set, const struct link_frame *frame)
{
    struct conduit *c;
    if (frame->type < GUEST_STREAM_DATA || frame->type > GUEST_STREAM_BROKEN)
        return false;
    HASH_FIND(hh, set->table, &frame->key, sizeof(frame->key), c);
    if (c == NULL) /* gone here already */
        return true;
    switch ((enum guest_message)frame->type) {
    case GUEST_STREAM_DATA:
        take_data(c, frame);
        break;
    case GUEST_STREAM_ROOM:
        take_room(c, frame);
        break;
    case GUEST_STREAM_END:
        c->peer_end = true;
        settle(c);
        break;
    default:
        c->broken = true;
        settle(c);
        break;
    }
    return true;
}

/* ---- all of them ---- */

void conduits_init(struct conduits *set, struct osa_loop *loop, struct link *link)
{
    *set = (struct conduits){ .loop = loop, .link = link };
}

void conduits_done(struct conduits *set)
{
    struct conduit *c, *next;
    HASH_ITER(hh, set->table, c, next)
    conduit_free(c);
}

unsigned conduits_count(const struct conduits *set)
{
    return HASH_COUNT(set->table);
}

bool conduits_knows(const struct conduits *set, uint64_t key)
{
    const struct conduit *c;
    HASH_FIND(hh, set->table, &key, sizeof(key), c);
    return c != NULL;
}

void conduits_drained(struct conduits *set)
{
    struct conduit *c, *next;
    set->held = false;
    HASH_ITER(hh, set->table, c, next)
    settle(c);
}
