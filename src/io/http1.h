// SPDX-License-Identifier: Apache-2.0
/*
 * Where HTTP/1 messages begin and end (RFC 9112), from llhttp in its strict mode.
 *
 * One struct follows one message at a time: first the head, whole, then the body as it comes. It
 * takes the framing off: who sends a body on frames it anew, so that no doubt about lengths and
 * chunks travels through.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http1;

enum http1_result {
    HTTP1_MORE, /* everything was taken; the message goes on */
    HTTP1_DONE, /* the message has ended; what follows is another's */
    HTTP1_BAD,  /* not HTTP/1, or in doubt */
};

/**
 * struct http1_framing - What the head says
 * @status:     of a response
 * @chunked:    the body comes in chunks
 * @has_length: Content-Length was there: @length bytes
 * @until_eof:  the body ends with the connection
 * @keep_alive: the connection may serve another message
 */
struct http1_framing {
    unsigned status;
    bool chunked;
    bool has_length;
    bool until_eof;
    bool keep_alive;
    uint64_t length;
};

/** http1_new() - For requests or responses. Return: NULL without memory */
struct http1 *http1_new(bool response);

/** http1_free() - NULL is fine */
void http1_free(struct http1 *http);

/**
 * http1_head() - Begin a message
 * @head, @len: from its first byte to the empty line inclusively
 * @bodiless:   a response that has no body whatever its head says (to HEAD)
 * Return: HTTP1_MORE when a body follows; HTTP1_DONE; HTTP1_BAD, also when @head is not one whole head.
 */
enum http1_result http1_head(struct http1 *http, const char *head, size_t len, bool bodiless,
                             struct http1_framing *ret_framing);

/**
 * http1_body() - The next bytes of it
 * @out: what they carry is appended, without framing; trailers are dropped
 * @ret_used: how many belong to this message; the rest to the next. All of them with HTTP1_MORE
 * Return: also HTTP1_BAD when @out refuses.
 */
enum http1_result http1_body(struct http1 *http, const char *data, size_t len, struct osa_buf *out,
                             size_t *ret_used);

/** http1_eof() - The connection has ended. Return: HTTP1_DONE when that ends the message properly, else HTTP1_BAD */
enum http1_result http1_eof(struct http1 *http);
