// SPDX-License-Identifier: Apache-2.0
#include "io/http2.h"

#include "base/clock.h"
#include "base/rate.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_WINDOW (256 << 10)
#define CONNECTION_WINDOW (1 << 20)
#define HEAD_LIST_BYTES 16384u
/* A head has no more; with pseudo fields and what a proxy adds. */
#define FIELDS_MAX 160u
/* Streams that ended badly: so many at once, and then one each interval. */
#define RESETS_BURST 1000u
#define RESETS_INTERVAL_NS (10 * OSA_NS_PER_MS)

struct http2 {
    nghttp2_session *session;
    const struct http2_events *events;
    void *ctx;
    bool server;
    bool broken;
    struct osa_rate resets;
    char fault[160];
};

static void *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- what comes in ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    if (!h->server || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    void *stream = h->events->begin(h->ctx, frame->hd.stream_id);
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http2 *h = user;
    void *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;
    if (stream == NULL)
        return 0;
    const struct http2_field field = { .name = (const char *)name,
                                       .name_len = name_len,
                                       .value = (const char *)value,
                                       .value_len = value_len };
    return h->events->field(h->ctx, stream, &field) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        h->events->goaway(h->ctx);
    void *stream = frame->hd.stream_id != 0 ? stream_of(session, frame->hd.stream_id) : NULL;
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h->events->head(h->ctx, stream, end);
    else if (frame->hd.type == NGHTTP2_DATA && end)
        h->events->end(h->ctx, stream);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    struct http2 *h = user;
    void *stream = stream_of(session, id);
    (void)flags;
    if (stream != NULL)
        h->events->data(h->ctx, stream, data, len);
    else
        (void)nghttp2_session_consume(session, id, len);
    return 0;
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2 *h = user;
    void *stream = stream_of(session, id);
    if (stream != NULL)
        h->events->closed(h->ctx, stream, code);
    if (h->server && code != NGHTTP2_NO_ERROR && !h->broken &&
        !osa_rate_take(&h->resets, osa_now_ns(), RESETS_BURST, RESETS_INTERVAL_NS)) {
        h->broken = true;
        (void)snprintf(h->fault, sizeof(h->fault), "HTTP/2: too many streams were reset");
        (void)nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t len, void *user)
{
    struct http2 *h = user;
    (void)session;
    (void)code;
    (void)len;
    if (h->fault[0] == '\0')
        (void)snprintf(h->fault, sizeof(h->fault), "HTTP/2: %s", text);
    return 0;
}

/* nghttp2 would leave the field out and go on. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    (void)session;
    (void)frame;
    (void)name;
    (void)name_len;
    (void)value;
    (void)value_len;
    (void)flags;
    (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* ---- life ---- */

static void must(int rc)
{
    if (rc != 0)
        abort();
}

static nghttp2_session *session_new(struct http2 *h)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    must(nghttp2_session_callbacks_new(&callbacks));
    must(nghttp2_option_new(&option));
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1); /* priorities are not looked at */
    if (h->server)
        must(nghttp2_session_server_new2(&session, callbacks, h, option));
    else
        must(nghttp2_session_client_new2(&session, callbacks, h, option));
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return session;
}

struct http2 *http2_new(bool server, const struct http2_events *events, void *ctx)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_LIST_BYTES },
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 }, /* a client's alone */
    };
    struct http2 *h = calloc(1, sizeof(*h));
    if (h == NULL)
        abort();
    h->events = events;
    h->ctx = ctx;
    h->server = server;
    h->session = session_new(h);
    must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                 OSA_ARRAY_LEN(settings) - (server ? 1 : 0)));
    must(
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW));
    return h;
}

void http2_free(struct http2 *h)
{
    if (h == NULL)
        return;
    nghttp2_session_del(h->session);
    free(h);
}

/* ---- bytes ---- */

static bool fail(struct http2 *h, ssize_t rc)
{
    h->broken = true;
    if (h->fault[0] == '\0')
        (void)snprintf(h->fault, sizeof(h->fault), "HTTP/2: %s", nghttp2_strerror((int)rc));
    return false;
}

bool http2_receive(struct http2 *h, const void *data, size_t len)
{
    ssize_t n = nghttp2_session_mem_recv(h->session, data, len);
    if (n < 0 || (size_t)n != len)
        return fail(h, n < 0 ? n : NGHTTP2_ERR_PROTO);
    return !h->broken;
}

bool http2_send(struct http2 *h, struct osa_buf *wire, size_t enough)
{
    while (wire->len < enough) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        if (n < 0)
            return fail(h, n);
        if (n == 0)
            break;
        if (!osa_buf_add(wire, data, (size_t)n))
            return fail(h, NGHTTP2_ERR_NOMEM);
    }
    return true;
}

bool http2_over(const struct http2 *h)
{
    return nghttp2_session_want_read(h->session) == 0 &&
           nghttp2_session_want_write(h->session) == 0;
}

const char *http2_fault(const struct http2 *h)
{
    return h->fault;
}

/* ---- what goes out ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *room, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    enum http2_read result = HTTP2_READ_MORE;
    void *stream = stream_of(session, id);
    (void)source;
    if (stream == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = h->events->read(h->ctx, stream, room, len, &result);
    if (result == HTTP2_READ_MORE)
        return n == 0 ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (result == HTTP2_READ_TRAILERS)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return (ssize_t)n;
}

static const nghttp2_data_provider body_provider = { .read_callback = read_body };

/* nghttp2 copies names and values. Return: how many; 0: too many */
static size_t to_nv(const struct http2_field *fields, size_t count, nghttp2_nv nv[FIELDS_MAX])
{
    if (count > FIELDS_MAX)
        return 0;
    for (size_t i = 0; i < count; i++)
        nv[i] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)fields[i].name,
                              .value = (uint8_t *)(uintptr_t)fields[i].value,
                              .namelen = fields[i].name_len,
                              .valuelen = fields[i].value_len };
    return count;
}

int32_t http2_request(struct http2 *h, const struct http2_field *fields, size_t count, bool body,
                      void *stream)
{
    nghttp2_nv nv[FIELDS_MAX];
    size_t n = to_nv(fields, count, nv);
    int32_t id = n == 0 ? 0
                        : nghttp2_submit_request(h->session, NULL, nv, n,
                                                 body ? &body_provider : NULL, stream);
    return id > 0 ? id : 0;
}

bool http2_respond(struct http2 *h, int32_t id, const struct http2_field *fields, size_t count,
                   bool body)
{
    nghttp2_nv nv[FIELDS_MAX];
    size_t n = to_nv(fields, count, nv);
    return n > 0 &&
           nghttp2_submit_response(h->session, id, nv, n, body ? &body_provider : NULL) == 0;
}

bool http2_interim(struct http2 *h, int32_t id, const struct http2_field *fields, size_t count)
{
    nghttp2_nv nv[FIELDS_MAX];
    size_t n = to_nv(fields, count, nv);
    return n > 0 &&
           nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, id, NULL, nv, n, NULL) == 0;
}

bool http2_trailers(struct http2 *h, int32_t id, const struct http2_field *fields, size_t count)
{
    nghttp2_nv nv[FIELDS_MAX];
    size_t n = to_nv(fields, count, nv);
    return n > 0 && nghttp2_submit_trailer(h->session, id, nv, n) == 0;
}

void http2_resume(struct http2 *h, int32_t id)
{
    (void)nghttp2_session_resume_data(h->session, id);
}

void http2_reset(struct http2 *h, int32_t id, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code);
}

void http2_consume(struct http2 *h, int32_t id, size_t len)
{
    if (id != 0)
        (void)nghttp2_session_consume(h->session, id, len);
    else
        (void)nghttp2_session_consume_connection(h->session, len);
}

void http2_end(struct http2 *h)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}
