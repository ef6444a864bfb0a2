// SPDX-License-Identifier: Apache-2.0
/*
 * The heads of HTTP/1 messages, read strictly: what two readers could understand differently is no
 * head at all. RFC 9112 with every leniency left out: lines end with CR LF, nothing is folded, no
 * space stands before a colon, lengths and codings are said once.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_MAX_BYTES 16384u
#define HEAD_MAX_FIELDS 128u

/* Bytes of the head; not NUL-terminated. */
struct head_span {
    const char *at;
    size_t len;
};

struct head_field {
    struct head_span name;
    struct head_span value; /* without blanks around it */
};

/**
 * struct head - A head that is in order; everything points into the caller's bytes
 * @method, @target: of a request
 * @status:     of a response
 * @minor:      of HTTP/1.x
 * @host:       the Host field; at NULL when there is none (HTTP/1.0)
 * @chunked:    Transfer-Encoding: chunked
 * @has_length, @length: Content-Length
 * @wants_close, @wants_upgrade: options of Connection
 * @expects_continue: Expect: 100-continue
 */
struct head {
    struct head_span method;
    struct head_span target;
    unsigned status;
    unsigned minor;
    struct head_span host;
    bool chunked;
    bool has_length;
    uint64_t length;
    bool wants_close;
    bool wants_upgrade;
    bool expects_continue;
    unsigned count;
    struct head_field fields[HEAD_MAX_FIELDS];
};

/** head_end() - Length of the head at the start of @data, its empty line included. Return: 0 while it is not whole */
size_t head_end(const char *data, size_t len);

/**
 * head_parse() - Read a whole head
 * @len:      as head_end() said
 * @response: a status line is expected
 * Return: NULL; else what is wrong with it, a constant, with @ret half filled.
 */
const char *head_parse(const char *data, size_t len, bool response, struct head *ret);

/** head_find() - The first field of that name, case ignored. Return: NULL when there is none */
const struct head_field *head_find(const struct head *head, const char *name);

/** span_is() - Does @span hold @text, case ignored? */
bool span_is(struct head_span span, const char *text);

/**
 * head_is_hop_field() - Is the field for this connection alone, so that it is not passed on?
 * Connection and what it names, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, and
 * Content-Length, which goes with the framing.
 */
bool head_is_hop_field(const struct head *head, const struct head_field *field);
