// SPDX-License-Identifier: Apache-2.0
#include "io/http1.h"

#include <llhttp.h>
#include <stdlib.h>

struct http1 {
    llhttp_t parser;
    bool bodiless;
    bool headers_done;
    bool message_done;
    struct http1_framing framing;
    struct osa_buf *out; /* borrowed for a call */
};

static struct http1 *http1_of(llhttp_t *parser)
{
    return parser->data;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http1 *http = http1_of(parser);
    http->headers_done = true;
    http->framing = (struct http1_framing){
        .status = parser->type == HTTP_RESPONSE ? parser->status_code : 0,
        .chunked = (parser->flags & F_CHUNKED) != 0,
        .has_length = (parser->flags & F_CONTENT_LENGTH) != 0,
        .length = parser->content_length,
        .until_eof = !http->bodiless && llhttp_message_needs_eof(parser) != 0,
        .keep_alive = llhttp_should_keep_alive(parser) != 0,
    };
    return http->bodiless ? 1 : 0; /* 1: there is no body */
}

static int on_body(llhttp_t *parser, const char *data, size_t len)
{
    return osa_buf_add(http1_of(parser)->out, data, len) ? 0 : -1;
}

/* Stop here, so that the next message's bytes are left alone. */
static int on_message_complete(llhttp_t *parser)
{
    http1_of(parser)->message_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct http1 *http1_new(bool response)
{
    struct http1 *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return NULL;
    llhttp_init(&http->parser, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    http->parser.data = http;
    return http;
}

void http1_free(struct http1 *http)
{
    free(http);
}

static enum http1_result feed(struct http1 *http, const char *data, size_t len, size_t *ret_used)
{
    llhttp_errno_t error = llhttp_execute(&http->parser, data, len);
    *ret_used = len;
    if (error != HPE_OK && http->message_done &&
        (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE)) {
        *ret_used = (size_t)(llhttp_get_error_pos(&http->parser) - data);
        return HTTP1_DONE;
    }
    return error == HPE_OK ? HTTP1_MORE : HTTP1_BAD;
}

enum http1_result http1_head(struct http1 *http, const char *head, size_t len, bool bodiless,
                             struct http1_framing *ret_framing)
{
    size_t used;
    llhttp_reset(&http->parser);
    http->bodiless = bodiless;
    http->headers_done = http->message_done = false;
    http->out = NULL;
    enum http1_result result = feed(http, head, len, &used);
    if (result == HTTP1_BAD || used != len || !http->headers_done)
        return HTTP1_BAD;
    *ret_framing = http->framing;
    return result;
}

enum http1_result http1_body(struct http1 *http, const char *data, size_t len, struct osa_buf *out,
                             size_t *ret_used)
{
    http->out = out;
    return feed(http, data, len, ret_used);
}

enum http1_result http1_eof(struct http1 *http)
{
    llhttp_errno_t error = llhttp_finish(&http->parser);
    return http->message_done && (error == HPE_OK || error == HPE_PAUSED) ? HTTP1_DONE : HTTP1_BAD;
}
