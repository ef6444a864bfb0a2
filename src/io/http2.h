// SPDX-License-Identifier: Apache-2.0
/*
 * One end of an HTTP/2 connection between buffers, from nghttp2: who owns the connection moves its
 * bytes, this turns them into messages and back.
 *
 * Strict where RFC 9113 leaves a choice: heads with connection fields, wrong pseudo fields or a
 * length that the body does not have are refused by resetting their stream; nothing is pushed.
 * Bodies are under flow control end to end: http2_consume() gives the peer room for what it sent.
 * A peer that has its streams reset again and again is told to calm down and gets no more.
 *
 * Threads: one at a time for each object.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http2;

/* Codes of RFC 9113, 7, that others than nghttp2 use. */
#define HTTP2_NO_ERROR 0u
#define HTTP2_INTERNAL_ERROR 2u
#define HTTP2_REFUSED_STREAM 7u
#define HTTP2_CANCEL 8u

/* Requests that a client may have open at once. */
#define HTTP2_STREAMS_MAX 100u

/** struct http2_field - One field of a head; the name in lower case, pseudo fields among them */
struct http2_field {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

enum http2_read {
    HTTP2_READ_MORE, /* there may be more at once, or after http2_resume() when nothing was given */
    HTTP2_READ_END,
    HTTP2_READ_TRAILERS, /* the end, and trailers with http2_trailers() after it */
};

/**
 * struct http2_events - What comes in, from within http2_receive() and http2_send()
 * @begin:  a client's stream begins. Return: what the others get as @stream
 * @field:  of the head, or of trailers, that comes. Return: false when they have become too long
 * @head:   is whole, or trailers are; @end: nothing follows
 * @data:   of a body; give the room back with http2_consume()
 * @end:    of a body without trailers
 * @closed: the stream is no more, @code of RFC 9113, 7; @stream is not used any more
 * @read:   fill @room with what is to be sent of a body. Return: bytes
 * @goaway: the peer wants no more streams than it has
 */
struct http2_events {
    void *(*begin)(void *ctx, int32_t id);
    bool (*field)(void *ctx, void *stream, const struct http2_field *field);
    void (*head)(void *ctx, void *stream, bool end);
    void (*data)(void *ctx, void *stream, const void *data, size_t len);
    void (*end)(void *ctx, void *stream);
    void (*closed)(void *ctx, void *stream, uint32_t code);
    size_t (*read)(void *ctx, void *stream, void *room, size_t len, enum http2_read *ret);
    void (*goaway)(void *ctx);
};

/** http2_new() - @events is borrowed, @ctx handed to them. Aborts without memory */
struct http2 *http2_new(bool server, const struct http2_events *events, void *ctx);

/** http2_free() - Without a word to the peer, nor to the events. NULL is fine */
void http2_free(struct http2 *h);

/** http2_receive() - Take bytes of the peer. Return: false: it is of no use any more; http2_send() may still have a last word */
bool http2_receive(struct http2 *h, const void *data, size_t len);

/** http2_send() - Append what is to be sent, until @wire holds @enough. Return: false: as http2_receive() */
bool http2_send(struct http2 *h, struct osa_buf *wire, size_t enough);

/** http2_over() - Nothing more will be sent or is awaited */
bool http2_over(const struct http2 *h);

/** http2_fault() - What went wrong, in a sentence; "" when nothing did. Borrowed */
const char *http2_fault(const struct http2 *h);

/**
 * http2_request() - A client's request; @body: one follows, by read()
 * Return: id of the stream; 0: there are no more to be had.
 */
int32_t http2_request(struct http2 *h, const struct http2_field *fields, size_t count, bool body,
                      void *stream);

/** http2_respond() - A server's response, with ":status" among @fields; @body: one follows, by read() */
bool http2_respond(struct http2 *h, int32_t id, const struct http2_field *fields, size_t count,
                   bool body);

/** http2_interim() - A 1xx ahead of the response */
bool http2_interim(struct http2 *h, int32_t id, const struct http2_field *fields, size_t count);

/** http2_trailers() - What follows a body; after HTTP2_READ_TRAILERS, from within it */
bool http2_trailers(struct http2 *h, int32_t id, const struct http2_field *fields, size_t count);

/** http2_resume() - read() has something again */
void http2_resume(struct http2 *h, int32_t id);

/** http2_reset() - End the stream now */
void http2_reset(struct http2 *h, int32_t id, uint32_t code);

/** http2_consume() - @len bytes of a body are gone from here; @id 0: of a stream that is gone as well */
void http2_consume(struct http2 *h, int32_t id, size_t len);

/** http2_end() - A server takes no further requests; those that are open go on */
void http2_end(struct http2 *h);
