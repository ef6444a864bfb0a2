// SPDX-License-Identifier: Apache-2.0
/*
 * CONNECTING  libcurl connects (CURLOPT_CONNECT_ONLY); the multi handle owns the descriptor
 * UPGRADING   the request goes out and the answer's head comes in, over curl_easy_send and _recv
 * REFUSED     no 101: the body is read, for it says why
 * OPEN        wslay's
 * ENDED       closed was called, or is being called
 * An easy handle stays in the multi handle to the end, for libcurl 7.88 finds its connection there.
 */
#include "io/websocket.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/trace.h"
#include "io/http_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */
#define KEY_BYTES 16
#define KEY_TEXT 25
#define ACCEPT_TEXT 29
#define REFUSAL_MAX (64u << 10)
#define PING_NS (15 * OSA_NS_PER_SEC)

enum state { CONNECTING, UPGRADING, REFUSED, OPEN, ENDED };

struct websocket {
    struct http_transfer transfer;
    struct http_client *client; /* borrowed */
    enum state state;
    struct websocket_events *events; /* borrowed; NULL once freed by its owner */
    struct osa_source source;
    struct osa_timer timer; /* of the upgrade, then of silence and pings */
    struct osa_task first;  /* a failure that is known at once */
    struct osa_buf out;     /* the request, then nothing */
    struct osa_buf in;      /* the answer's head, then what belongs to wslay already */
    size_t body_left;       /* REFUSED */
    unsigned status;
    char accept[ACCEPT_TEXT];
    wslay_event_context_ptr frames;
    size_t message_max;
    size_t queue_max;
    int64_t heard_ns;
    bool held;
    bool full; /* the owner waits for writable */
    bool busy; /* inside of wslay or of an event: freeing waits */
    char what[160];
};

static void ws_free(struct websocket *ws)
{
    osa_source_remove(&ws->source);
    osa_timer_disarm(&ws->timer);
    wslay_event_context_free(ws->frames);
    http_transfer_close(ws->client, &ws->transfer);
    osa_buf_done(&ws->out);
    osa_buf_done(&ws->in);
    free(ws);
}

void websocket_free(struct websocket *ws)
{
    if (ws == NULL)
        return;
    ws->events = NULL;
    ws->state = ENDED;
    if (!ws->busy)
        ws_free(ws);
}

/* The last event. Frees @ws. */
static void end(struct websocket *ws, const struct http_reply *refused,
                const struct osa_error *error)
{
    struct websocket_events *events = ws->events;
    ws->state = ENDED;
    ws->events = NULL;
    if (events != NULL)
        events->closed(events, refused, error);
    ws_free(ws);
}

static void end_with(struct websocket *ws, enum osa_code code, const char *why)
{
    struct osa_error err = { 0 };
    if (code != OSA_OK)
        (void)osa_fail(&err, code, 0, "%s at %s: %s", ws->what, ws->client->url, why);
    end(ws, NULL, &err);
}

/* ---- bytes ---- */

/* Return: bytes; 0: none now; -1: the end or an error */
static ssize_t receive(struct websocket *ws, void *data, size_t len)
{
    size_t got = 0;
    CURLcode code = curl_easy_recv(ws->transfer.easy, data, len, &got);
    if (code == CURLE_AGAIN)
        return 0;
    return code == CURLE_OK && got > 0 ? (ssize_t)got : -1;
}

static ssize_t transmit(struct websocket *ws, const void *data, size_t len)
{
    size_t sent = 0;
    CURLcode code = curl_easy_send(ws->transfer.easy, data, len, &sent);
    if (code == CURLE_AGAIN)
        return 0;
    return code == CURLE_OK ? (ssize_t)sent : -1;
}

/* ---- wslay's callbacks ---- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    struct websocket *ws = user;
    (void)flags;
    if (ws->held) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (ws->in.len > 0) { /* what came with the answer to the upgrade */
        size_t take = OSA_MIN(len, ws->in.len);
        memcpy(buf, ws->in.data, take);
        osa_buf_consume(&ws->in, take);
        return (ssize_t)take;
    }
    ssize_t got = receive(ws, buf, len);
    if (got > 0) {
        ws->heard_ns = osa_now_ns();
        return got;
    }
    wslay_event_set_error(ctx, got == 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    (void)flags;
    ssize_t sent = transmit(user, data, len);
    if (sent > 0)
        return sent;
    wslay_event_set_error(ctx, sent == 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *user)
{
    (void)ctx;
    (void)user;
    osa_random(buf, len);
    return 0;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
                       void *user)
{
    struct websocket *ws = user;
    (void)ctx;
    if (ws->events != NULL &&
        (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME))
        ws->events->message(ws->events, arg->opcode == WSLAY_TEXT_FRAME, arg->msg, arg->msg_length);
}

/* ---- open ---- */

static void watch(struct websocket *ws)
{
    unsigned events = 0;
    if (!ws->held && wslay_event_want_read(ws->frames))
        events |= OSA_READ;
    if (wslay_event_want_write(ws->frames))
        events |= OSA_WRITE;
    osa_source_set(&ws->source, events);
}

static void tell_writable(struct websocket *ws)
{
    if (!ws->full || ws->events == NULL ||
        wslay_event_get_queued_msg_length(ws->frames) > ws->queue_max / 2)
        return;
    ws->full = false;
    ws->events->writable(ws->events);
}

/* Moves frames both ways as far as it goes. May free @ws. */
static void turn(struct websocket *ws, bool readable)
{
    ws->busy = true;
    int rc = 0;
    if (readable && !ws->held)
        rc = wslay_event_recv(ws->frames);
    if (rc == 0 && ws->events != NULL)
        rc = wslay_event_send(ws->frames);
    if (rc == 0 && ws->events != NULL)
        tell_writable(ws);
    ws->busy = false;
    if (ws->events == NULL)
        ws_free(ws);
    else if (wslay_event_get_close_received(ws->frames) && !wslay_event_want_write(ws->frames)) {
        unsigned why = wslay_event_get_status_code_received(ws->frames);
        bool good = why == WSLAY_CODE_NORMAL_CLOSURE || why == WSLAY_CODE_NO_STATUS_RCVD;
        char text[64];
        (void)snprintf(text, sizeof(text), "the server closed it with code %u", why);
        end_with(ws, good ? OSA_OK : OSA_UNAVAILABLE, text);
    } else if (rc != 0)
        end_with(ws, OSA_UNAVAILABLE, "the connection broke");
    else if (!wslay_event_want_read(ws->frames) && !wslay_event_want_write(ws->frames))
        end_with(ws, OSA_UNAVAILABLE, "the server broke the WebSocket protocol");
    else
        watch(ws);
}

static void on_tick(struct osa_timer *timer)
{
    struct websocket *ws = OSA_CONTAINER_OF(timer, struct websocket, timer);
    if (ws->state != OPEN) {
        end_with(ws, OSA_DEADLINE_EXCEEDED, "the server did not answer in time");
        return;
    }
    if (!ws->held && osa_now_ns() - ws->heard_ns > WEBSOCKET_SILENCE_NS) {
        end_with(ws, OSA_UNAVAILABLE, "the server fell silent");
        return;
    }
    const struct wslay_event_msg ping = { .opcode = WSLAY_PING };
    (void)wslay_event_queue_msg(ws->frames, &ping);
    osa_timer_arm(ws->client->loop, &ws->timer, osa_deadline_after(PING_NS));
    turn(ws, /* readable= */ false);
}

static void begin_frames(struct websocket *ws)
{
    static const struct wslay_event_callbacks callbacks = { .recv_callback = on_recv,
                                                            .send_callback = on_send,
                                                            .genmask_callback = on_mask,
                                                            .on_msg_recv_callback = on_message };
    if (wslay_event_context_client_init(&ws->frames, &callbacks, ws) != 0) {
        end_with(ws, OSA_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    wslay_event_config_set_max_recv_msg_length(ws->frames, ws->message_max);
    ws->state = OPEN;
    ws->heard_ns = osa_now_ns();
    osa_timer_arm(ws->client->loop, &ws->timer, osa_deadline_after(PING_NS));
    ws->busy = true;
    ws->events->opened(ws->events);
    ws->busy = false;
    if (ws->events == NULL)
        ws_free(ws);
    else
        turn(ws, /* readable= */ true);
}

/* ---- the upgrade ---- */

/* Value of a header in a head that ends with an empty line, as a copy without blanks around it. */
static bool head_value(const char *head, const char *name, char *ret, size_t size)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *value = line + len + 1;
        value += strspn(value, " \t");
        size_t bytes = strcspn(value, "\r\n");
        (void)snprintf(ret, size, "%.*s", (int)OSA_MIN(bytes, size - 1), value);
        return true;
    }
    return false;
}

static bool accepted(const struct websocket *ws, const char *head)
{
    char value[64];
    return head_value(head, "Upgrade", value, sizeof(value)) &&
           strcasecmp(value, "websocket") == 0 &&
           head_value(head, "Sec-WebSocket-Accept", value, sizeof(value)) &&
           strcmp(value, ws->accept) == 0;
}

static void end_refused(struct websocket *ws)
{
    struct osa_error err = { 0 };
    struct osa_buf body = ws->in;
    const struct http_reply reply = { ws->status, body.data != NULL ? body.data : "", body.len };
    ws->in = (struct osa_buf){ 0 };
    (void)osa_fail(&err, OSA_UNAVAILABLE, 0, "%s at %s: status %u in place of an upgrade", ws->what,
                   ws->client->url, ws->status);
    end(ws, &reply, &err);
    osa_buf_done(&body);
}

/* The head is whole: its length is @len. May free @ws. */
static void take_head(struct websocket *ws, size_t len)
{
    char length[24] = "0";
    if (sscanf(ws->in.data, "HTTP/1.1 %3u", &ws->status) != 1) {
        end_with(ws, OSA_UNAVAILABLE, "the answer is not HTTP/1.1");
        return;
    }
    char saved = ws->in.data[len];
    ws->in.data[len] = '\0';
    bool good = ws->status == 101 && accepted(ws, ws->in.data);
    (void)head_value(ws->in.data, "Content-Length", length, sizeof(length));
    ws->in.data[len] = saved;
    osa_buf_consume(&ws->in, len);
    if (good) {
        begin_frames(ws);
    } else if (ws->status == 101) {
        end_with(ws, OSA_UNAVAILABLE, "the server's upgrade is not one of RFC 6455");
    } else {
        ws->state = REFUSED;
        ws->body_left =
            (size_t)OSA_MIN(strtoull(length, NULL, 10), (unsigned long long)REFUSAL_MAX);
        if (ws->in.len >= ws->body_left)
            end_refused(ws);
    }
}

/* May free @ws. */
static void read_answer(struct websocket *ws)
{
    char chunk[4096];
    ssize_t got = receive(ws, chunk, sizeof(chunk));
    if (got < 0 && ws->state == REFUSED) {
        end_refused(ws);
    } else if (got < 0) {
        end_with(ws, OSA_UNAVAILABLE, "the connection ended before the answer");
    } else if (!osa_buf_add(&ws->in, chunk, (size_t)got)) {
        end_with(ws, OSA_RESOURCE_EXHAUSTED, "the answer is too long");
    } else if (ws->state == REFUSED) {
        if (ws->in.len >= ws->body_left)
            end_refused(ws);
    } else if (got > 0) {
        const char *head_end = strstr(ws->in.data, "\r\n\r\n");
        if (head_end != NULL)
            take_head(ws, (size_t)(head_end + 4 - ws->in.data));
        else if (memchr(ws->in.data, '\0', ws->in.len) != NULL)
            end_with(ws, OSA_UNAVAILABLE, "the answer is not HTTP/1.1");
    }
}

static void on_ready(struct osa_source *source, unsigned events)
{
    struct websocket *ws = OSA_CONTAINER_OF(source, struct websocket, source);
    bool readable = (events & (OSA_READ | OSA_HUP)) != 0;
    if (ws->state == OPEN) {
        if ((events & OSA_HUP) != 0 && ws->held)
            ws->held = false; /* what is left is bounded by the socket's buffer */
        turn(ws, readable);
        return;
    }
    if ((events & OSA_WRITE) != 0 && ws->out.len > 0) {
        ssize_t sent = transmit(ws, ws->out.data, ws->out.len);
        if (sent < 0) {
            end_with(ws, OSA_UNAVAILABLE, "the connection broke");
            return;
        }
        osa_buf_consume(&ws->out, (size_t)sent);
        if (ws->out.len == 0)
            osa_source_set(&ws->source, OSA_READ);
    }
    if (readable)
        read_answer(ws);
}

static void make_keys(char key[KEY_TEXT], char accept[ACCEPT_TEXT])
{
    unsigned char random[KEY_BYTES];
    unsigned char digest[20];
    char text[KEY_TEXT + sizeof(GUID)];
    osa_random(random, sizeof(random));
    (void)EVP_EncodeBlock((unsigned char *)key, random, sizeof(random));
    (void)snprintf(text, sizeof(text), "%s%s", key, GUID);
    if (EVP_Digest(text, strlen(text), digest, NULL, EVP_sha1(), NULL) != 1)
        abort();
    (void)EVP_EncodeBlock((unsigned char *)accept, digest, sizeof(digest));
}

/* Adds "NAME: VALUE"; nothing for NULL. */
static bool add_field(struct osa_buf *out, const char *name, const char *value)
{
    return value == NULL || osa_buf_addf(out, "%s: %s\r\n", name, value);
}

static bool make_request(struct websocket *ws, const char *path)
{
    const struct osa_trace *trace = osa_trace_current();
    const char *host = strstr(ws->client->url, "://") + 3;
    size_t host_len = strcspn(host, "/");
    char key[KEY_TEXT];
    make_keys(key, ws->accept);
    return osa_buf_addf(&ws->out,
                        "GET %s%s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: %s\r\n%s%s",
                        host + host_len, path, (int)host_len, host, key,
                        ws->client->authorization != NULL ? ws->client->authorization : "",
                        ws->client->authorization != NULL ? "\r\n" : "") &&
           add_field(&ws->out, "traceparent", trace != NULL ? trace->parent : NULL) &&
           add_field(&ws->out, "tracestate", trace != NULL ? trace->state : NULL) &&
           osa_buf_add(&ws->out, "\r\n", 2);
}

static void on_connected(struct http_transfer *transfer, CURLcode result)
{
    struct websocket *ws = OSA_CONTAINER_OF(transfer, struct websocket, transfer);
    struct osa_error err = { 0 };
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (result == CURLE_OK)
        result = curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (result != CURLE_OK || fd == CURL_SOCKET_BAD) {
        (void)http_transfer_error(ws->client, result, ws->what, &err);
        end(ws, NULL, &err);
        return;
    }
    ws->state = UPGRADING;
    ws->source = (struct osa_source){ .fd = fd, .ready = on_ready };
    if (osa_source_add(ws->client->loop, &ws->source, OSA_READ | OSA_WRITE, &err) != OSA_OK)
        end(ws, NULL, &err);
}

static void on_first(struct osa_task *task)
{
    struct websocket *ws = OSA_CONTAINER_OF(task, struct websocket, first);
    ws->busy = false;
    end_with(ws, OSA_RESOURCE_EXHAUSTED, "no memory for the connection");
}

struct websocket *websocket_open(struct http_client *client, const char *path, size_t message_max,
                                 size_t queue_max, struct websocket_events *events)
{
    struct websocket *ws = calloc(1, sizeof(*ws));
    if (ws == NULL)
        abort();
    ws->client = client;
    ws->events = events;
    ws->message_max = message_max;
    ws->queue_max = queue_max;
    ws->transfer.ended = on_connected;
    ws->timer.fire = on_tick;
    osa_buf_init(&ws->out, 16u << 10);
    osa_buf_init(&ws->in, HTTP_HEAD_MAX + REFUSAL_MAX);
    (void)snprintf(ws->what, sizeof(ws->what), "attach %s", path);
    osa_timer_arm(client->loop, &ws->timer, osa_deadline_after(2 * HTTP_CONNECT_NS));
    if (!make_request(ws, path) ||
        !http_transfer_open(client, &ws->transfer, path, 2 * HTTP_CONNECT_NS) ||
        curl_easy_setopt(ws->transfer.easy, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK ||
        curl_multi_add_handle(client->multi, ws->transfer.easy) != CURLM_OK) {
        ws->first.run = on_first;
        ws->busy = true; /* the task frees it */
        osa_loop_post(client->loop, &ws->first);
    }
    return ws;
}

/* ---- verbs ---- */

size_t websocket_room(const struct websocket *ws)
{
    if (ws->state != OPEN || ws->full)
        return 0;
    size_t queued = wslay_event_get_queued_msg_length(ws->frames);
    return queued < ws->queue_max ? ws->queue_max - queued : 0;
}

bool websocket_send(struct websocket *ws, bool text, const void *data, size_t len)
{
    const struct wslay_event_msg message = { .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
                                             .msg = data,
                                             .msg_length = len };
    if (ws->state != OPEN || wslay_event_queue_msg(ws->frames, &message) != 0)
        return false;
    ws->full = wslay_event_get_queued_msg_length(ws->frames) >= ws->queue_max;
    if (!ws->busy)
        watch(ws);
    return true;
}

void websocket_hold(struct websocket *ws, bool hold)
{
    if (ws->held == hold)
        return;
    ws->held = hold;
    ws->heard_ns = osa_now_ns();
    if (ws->state == OPEN && !ws->busy)
        watch(ws);
}
