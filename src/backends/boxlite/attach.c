// SPDX-License-Identifier: Apache-2.0
/*
 * The WebSocket of one process: stdin, output and the exit.
 *
 * A connection may break while the process goes on. Then it is attached again, and the server plays
 * the last 256 KiB of each stream once more, without saying where they begin. As long as less has
 * come they begin at the first byte, and a digest tells whether they are the bytes that are known;
 * otherwise the reader is told, in the stream, that it is not whole.
 */
#include "backends/boxlite/internal.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)1 << 20)
#define QUEUE_MAX ((size_t)256 << 10)
#define BACKLOG_BYTES ((uint64_t)256 << 10)
#define SIGNAL_KILL 9
#define FIRST_RETRY_NS (200 * OSA_NS_PER_MS)
#define LAST_RETRY_NS (15 * OSA_NS_PER_SEC)
/* The server gives an execution without a client up after 300 s. */
#define GIVE_UP_NS (270 * OSA_NS_PER_SEC)
#define FNV_OFFSET 0xcbf29ce484222325u /* the 64-bit parameters of FNV-1a */
#define FNV_PRIME 0x100000001b3u

static void on_status(void *ctx, const struct http_reply *reply, const struct osa_error *error);

static uint64_t digest_more(uint64_t digest, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        digest = (digest ^ (unsigned char)data[i]) * FNV_PRIME;
    return digest;
}

/* ---- output ---- */

static void deliver(struct box_process *p, struct box_stream *stream, const char *data, size_t len)
{
    if (len == 0)
        return;
    stream->received += len;
    if (stream->received <= BACKLOG_BYTES)
        stream->digest = digest_more(stream->digest, data, len);
    p->events->output(p->events, stream == &p->err ? OUTPUT_STDERR : OUTPUT_STDOUT, data, len);
}

static void tell_gap(struct box_process *p, struct box_stream *stream)
{
    static const char text[] = "\n[openshell-agent] the connection to the BoxLite server broke: "
                               "output may be missing or repeated here\n";
    p->events->output(p->events, stream == &p->err ? OUTPUT_STDERR : OUTPUT_STDOUT, text,
                      sizeof(text) - 1);
    /* What comes is a new count, of which no replay is known. */
    stream->received = BACKLOG_BYTES + 1;
}

/* Bytes of a replay, until as many are there as are known already. */
static void compare_replay(struct box_process *p, struct box_stream *stream, const char *data,
                           size_t len)
{
    size_t take = (size_t)OSA_MIN((uint64_t)len, stream->skip - stream->replay.len);
    if (!osa_buf_add(&stream->replay, data, take) || stream->replay.len < stream->skip)
        return;
    bool same = digest_more(FNV_OFFSET, stream->replay.data, stream->replay.len) == stream->digest;
    stream->skip = 0;
    if (!same) {
        tell_gap(p, stream);
        deliver(p, stream, stream->replay.data, stream->replay.len);
    }
    osa_buf_done(&stream->replay);
    deliver(p, stream, data + take, len - take);
}

static void take_output(struct box_process *p, const char *data, size_t len)
{
    if (len == 0)
        return;
    struct box_stream *stream = data[0] == 2 && !p->tty ? &p->err : &p->out;
    if (stream->skip > 0)
        compare_replay(p, stream, data + 1, len - 1);
    else
        deliver(p, stream, data + 1, len - 1);
}

/* What a replay of the next attach begins with. */
static void expect_replay(struct box_process *p, struct box_stream *stream)
{
    osa_buf_reset(&stream->replay);
    stream->skip = 0;
    if (stream->received > BACKLOG_BYTES)
        tell_gap(p, stream);
    else
        stream->skip = stream->received;
}

/* ---- the exit ---- */

static void take_exit(struct box_process *p, int64_t code)
{
    if (code >= 0 && code <= 255)
        box_process_exited(p, EXIT_REASON_EXITED, (int)code);
    else if (code < -1 && code >= -64)
        box_process_exited(p, EXIT_REASON_SIGNALED, (int)-code);
    else if (code == -1 && p->hangup_sent)
        box_process_exited(p, EXIT_REASON_SIGNALED, 1);
    else { /* -1: SIGHUP, or the box has stopped under it; nobody can tell */
        box_check(p->box);
        box_process_exited(p, EXIT_REASON_SANDBOX_LOST, 0);
    }
}

static void take_control(struct box_process *p, const char *data, size_t len)
{
    struct json_t *message = NULL;
    struct osa_error err;
    int64_t code;
    if (io_json_parse(data, len, &message, &err) != OSA_OK)
        return; /* the exit will be asked for when the connection ends without one */
    const char *type = io_json_text(message, "type");
    bool is_exit =
        type != NULL && strcmp(type, "exit") == 0 && io_json_integer(message, "exit_code", &code);
    io_json_free(message);
    if (is_exit)
        take_exit(p, code);
}

static void attach_again(struct box_process *p)
{
    osa_timer_arm(p->loop, &p->retry, osa_deadline_after(p->retry_delay_ns));
    p->retry_delay_ns = OSA_MIN(p->retry_delay_ns * 2, LAST_RETRY_NS);
}

/* Nobody knows what became of it; its box cannot be trusted to hold nothing unseen. */
static void give_up(struct box_process *p, const char *why)
{
    if (p->killed) {
        box_process_exited(p, EXIT_REASON_SIGNALED, SIGNAL_KILL);
        return;
    }
    osa_log(OSA_LOG_WARN, "boxlite", "a process is given up", OSA_S("execution", p->id),
            OSA_S("reason", why));
    box_process_exited(p, EXIT_REASON_SANDBOX_LOST, 0);
}

static void ask_status(struct box_process *p)
{
    char path[API_PATH_MAX];
    if (p->call != NULL)
        return;
    (void)snprintf(path, sizeof(path), "/boxes/%s/executions/%s", p->box->id, p->id);
    p->call = api_get(&p->box->backend->api, path, API_REPLY_MAX, on_status, p);
}

static void on_status(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box_process *p = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    int64_t exit_code = 0;
    p->call = NULL;
    enum osa_code code = api_parse(reply, error, "asking for an exit", &body, &err);
    bool known = code == OSA_OK && io_json_integer(body, "exit_code", &exit_code);
    io_json_free(body);
    if (known && p->ends_without_exit > 1)
        take_exit(p, exit_code); /* its output was played twice; no more of it will come */
    else if (code == OSA_NOT_FOUND)
        give_up(p, "the server does not know it any more");
    else if (osa_now_ns() > p->give_up_ns)
        give_up(p, "the server was not reached for too long");
    else {
        box_check(p->box);
        attach_again(p);
    }
}

/* ---- events of the WebSocket ---- */

static struct box_process *process_of(struct websocket_events *events)
{
    return OSA_CONTAINER_OF(events, struct box_process, ws_events);
}

static void on_opened(struct websocket_events *events)
{
    static const char eof[] = "{\"type\":\"stdin_eof\"}";
    struct box_process *p = process_of(events);
    p->attached = true;
    p->attached_ns = osa_now_ns();
    if (p->kill_wanted)
        control_send_kill(p);
    if (p->tty)
        attach_send_size(p);
    if (!p->stdin_open)
        (void)websocket_send(p->ws, /* text= */ true, eof, sizeof(eof) - 1);
    else if (p->stdin_waiting) {
        p->stdin_waiting = false;
        p->events->stdin_ready(p->events);
    }
}

static void on_writable(struct websocket_events *events)
{
    struct box_process *p = process_of(events);
    if (!p->stdin_waiting)
        return;
    p->stdin_waiting = false;
    p->events->stdin_ready(p->events);
}

static void on_message(struct websocket_events *events, bool text, const void *data, size_t len)
{
    struct box_process *p = process_of(events);
    if (text)
        take_control(p, data, len);
    else
        take_output(p, data, len);
}

static void on_closed(struct websocket_events *events, const struct http_reply *refused,
                      const struct osa_error *error)
{
    struct box_process *p = process_of(events);
    bool was_attached = p->attached;
    bool lasted = was_attached && osa_now_ns() - p->attached_ns > LAST_RETRY_NS;
    p->ws = NULL;
    p->attached = false;
    if (p->state != BOX_PROCESS_RUNNING)
        return;
    if (lasted || p->give_up_ns == 0) {
        p->give_up_ns = osa_deadline_after(GIVE_UP_NS);
        p->retry_delay_ns = FIRST_RETRY_NS;
    }
    if (was_attached && p->stdin_written) {
        /* What the server had not passed on is gone, and nobody can say how much. */
        p->stdin_open = false;
        on_writable(events);
    }
    if (was_attached) {
        p->ends_without_exit += error->code == OSA_OK;
        expect_replay(p, &p->out);
        if (!p->tty)
            expect_replay(p, &p->err);
    }
    if (refused != NULL && refused->status == 404)
        give_up(p, "the server does not know it any more");
    else
        ask_status(p);
}

static void on_retry(struct osa_timer *timer)
{
    attach_begin(OSA_CONTAINER_OF(timer, struct box_process, retry));
}

/* ---- verbs ---- */

void attach_begin(struct box_process *p)
{
    char path[API_PATH_MAX];
    if (p->retry_delay_ns == 0) {
        p->retry_delay_ns = FIRST_RETRY_NS;
        p->retry.fire = on_retry;
        p->out.digest = FNV_OFFSET;
        p->err.digest = FNV_OFFSET;
        p->ws_events = (struct websocket_events){
            .opened = on_opened, .message = on_message, .writable = on_writable, .closed = on_closed
        };
    }
    struct api *api = &p->box->backend->api;
    (void)snprintf(path, sizeof(path), "%s/boxes/%s/executions/%s/attach", api->base, p->box->id,
                   p->id);
    p->ws = websocket_open(api->http, path, MESSAGE_MAX, QUEUE_MAX, &p->ws_events);
}

void attach_end(struct box_process *p)
{
    websocket_free(p->ws);
    p->ws = NULL;
    p->attached = false;
}

bool attach_send_signal(struct box_process *p, int signo)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "{\"type\":\"signal\",\"sig\":%d}", signo);
    return p->attached && websocket_send(p->ws, /* text= */ true, text, (size_t)len);
}

void attach_send_size(struct box_process *p)
{
    char text[96];
    if (!p->attached || p->size.rows == 0 || p->size.columns == 0)
        return;
    int len = snprintf(text, sizeof(text), "{\"type\":\"resize\",\"rows\":%u,\"cols\":%u}",
                       p->size.rows, p->size.columns);
    (void)websocket_send(p->ws, /* text= */ true, text, (size_t)len);
}
