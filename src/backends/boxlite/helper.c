// SPDX-License-Identifier: Apache-2.0
/*
 * How the helper gets into a box: an exec of the image's shell finds a folder to write to, says so,
 * takes the program's bytes from its input and becomes the program. From there on the exec's input
 * and output are a channel (guest/link.h). A connection that breaks is made again, and the channel
 * loses nothing by it; when the exec has ended, so has the sandbox.
 */
#include "backends/boxlite/helper.h"

#include "base/id.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)1 << 20)
/* The link bounds what is under way, and a helper can have it sent again and again. */
#define OUT_MAX ((size_t)64 << 20)
#define QUEUE_MAX ((size_t)512 << 10)
#define CHUNK_BYTES ((size_t)64 << 10)
#define SAID_MAX ((size_t)64 << 10)
#define EXEC_NS (60 * OSA_NS_PER_SEC)
/* For the shell, the program's bytes at the pace of an emulated machine, and the helper's probes. */
#define BEGIN_NS (180 * OSA_NS_PER_SEC)
#define FIRST_RETRY_NS (200 * OSA_NS_PER_MS)
#define LAST_RETRY_NS (15 * OSA_NS_PER_SEC)
/* The server gives an execution without a client up after 300 s. */
#define GIVE_UP_NS (270 * OSA_NS_PER_SEC)
#define POKE_NS (10 * OSA_NS_PER_SEC)
#define ASK_TEXT "openshell-guest?\n"

/* The helper's program; made by the build. */
extern const unsigned char boxlite_guest_image[];
extern const size_t boxlite_guest_image_size;

/*
 * Folders differ in what they allow: one to write to, then one to execute from. `head` may read
 * ahead, but nothing is sent behind the program before it speaks. The name is nobody's to guess, for a
 * program of the image could stand there first.
 */
static const char script[] =
    "umask 077; n=.openshell-guest-%s; t=\n"
    "for d in /run /tmp /var/tmp /dev/shm /root ''; do\n"
    "  if (: >\"$d/$n\") 2>/dev/null; then t=$d/$n; break; fi\n"
    "done\n"
    "[ -n \"$t\" ] || { echo 'no folder can be written to' >&2; exit 41; }\n"
    "printf 'openshell-guest?\\n'\n"
    "head -c %zu >\"$t\" || exit 42\n"
    "for d in /run /tmp /var/tmp /dev/shm /root ''; do\n"
    "  f=$d/$n\n"
    "  [ \"$f\" = \"$t\" ] || cp \"$t\" \"$f\" 2>/dev/null || continue\n"
    "  chmod 700 \"$f\"\n"
    "  if \"$f\" probe 2>/dev/null; then\n"
    "    [ \"$f\" = \"$t\" ] || rm -f \"$t\"\n"
    "    exec \"$f\" serve \"$f\"\n"
    "  fi\n"
    "  [ \"$f\" = \"$t\" ] || rm -f \"$f\"\n"
    "done\n"
    "rm -f \"$t\"; echo 'no folder can be executed from' >&2; exit 43\n";

static void attach(struct helper *helper);

/* ---- the end ---- */

/* The box never frees the helper from inside: this may come from the depths of its link. */
static void fail_with(struct helper *helper, const struct osa_error *err)
{
    enum helper_state state = helper->state;
    if (state == HELPER_GONE)
        return;
    helper->state = HELPER_GONE;
    osa_timer_disarm(&helper->timer);
    if (state == HELPER_READY)
        box_on_helper_lost(helper->box, err);
    else
        box_on_helper_failed(helper->box, err, /* speaks= */ state == HELPER_CREATING);
}

void helper_fail(struct helper *helper, enum osa_code code, const char *why)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, code, 0, "%s", why);
    fail_with(helper, &err);
}

void helper_overrun(struct helper *helper)
{
    osa_timer_arm(helper->box->backend->loop, &helper->overrun, osa_now_ns());
}

void helper_abandon(struct helper *helper, const struct osa_error *why)
{
    if (helper == NULL)
        return;
    helper->state = HELPER_GONE;
    link_pause(&helper->link);
    helper_answer_all(helper, why);
    conduits_done(&helper->conduits);
    guest_processes_lost(helper, why);
}

void helper_free(struct helper *helper)
{
    if (helper == NULL)
        return;
    osa_timer_disarm(&helper->timer);
    osa_timer_disarm(&helper->poke);
    osa_timer_disarm(&helper->overrun);
    helper_tcp_close(helper);
    http_cancel(helper->call);
    websocket_free(helper->ws);
    link_done(&helper->link);
    osa_buf_done(&helper->said);
    osa_buf_done(&helper->spec);
    osa_buf_done(&helper->out);
    free(helper);
}

/* ---- what is asked ---- */

void helper_send(struct helper *helper, enum guest_message type, uint64_t key, struct osa_buf *body)
{
    link_send(&helper->link, type, key, body != NULL ? body->data : NULL,
              body != NULL ? body->len : 0);
    if (body != NULL)
        osa_buf_done(body);
}

/* ---- frames ---- */

static void take_hello(struct helper *helper, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct osa_buf body;
    struct osa_error err = { 0 };
    struct resources limits;
    uint64_t protocol = codec_read_u64(&reader);
    const char *version = codec_read_text(&reader);
    uint64_t capabilities = codec_read_u64(&reader);
    const char *reason = codec_read_text(&reader);
    if (reader.failed || protocol != GUEST_PROTOCOL || strcmp(version, OSA_VERSION) != 0) {
        helper_fail(helper, OSA_INTERNAL, "the helper is of another build");
        return;
    }
    if (reason[0] != '\0') {
        helper_fail(helper, OSA_FAILED_PRECONDITION, reason);
        return;
    }
    helper->state = HELPER_CREATING;
    if (box_limits_inside(helper->box, (uint32_t)capabilities, &limits, &err) != OSA_OK) {
        fail_with(helper, &err);
        return;
    }
    link_resume(&helper->link); /* not before: the shell might have read what came early */
    helper_tcp_offer(helper);
    osa_buf_init(&body, LINK_LINE_MAX);
    guest_write_resources(&body, &limits);
    (void)osa_buf_add(&body, helper->spec.data, helper->spec.len);
    helper_send(helper, GUEST_CREATE, 0, &body);
}

static void take_created(struct helper *helper, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct isolation isolation;
    struct osa_error err;
    bool failed = codec_read_error(&reader, &err);
    if (failed) {
        fail_with(helper, &err);
        return;
    }
    guest_read_isolation(&reader, &isolation);
    const struct resources limits = guest_read_resources(&reader);
    uint64_t port = codec_read_u64(&reader);
    const char *host = codec_read_text(&reader);
    if (reader.failed || port > UINT16_MAX || strlen(host) >= sizeof(helper->door_host)) {
        helper_fail(helper, OSA_INTERNAL, "the helper's answer makes no sense");
        return;
    }
    helper->door_port = (uint16_t)port;
    (void)snprintf(helper->door_host, sizeof(helper->door_host), "%s", host);
    helper->state = HELPER_READY;
    osa_timer_disarm(&helper->timer);
    box_on_helper_ready(helper->box, &isolation, &limits);
}

static void take_denied(struct helper *helper, const struct link_frame *frame)
{
    static const char *const controls[] = { "seccomp", "landlock", "network" };
    struct codec_reader reader = { frame->body, frame->len, false };
    const char *control = codec_read_text(&reader);
    const char *text = codec_read_text(&reader);
    struct sandbox_events *events = helper->box->events;
    for (size_t i = 0; i < OSA_ARRAY_LEN(controls) && !reader.failed; i++) {
        if (strcmp(controls[i], control) == 0 && events->denied != NULL)
            events->denied(events, controls[i], text);
    }
}

static void on_frame(struct link *link, const struct link_frame *frame)
{
    struct helper *helper = OSA_CONTAINER_OF(link, struct helper, link);
    struct codec_reader reader = { frame->body, frame->len, false };
    if (helper->state == HELPER_GONE)
        return;
    switch ((enum guest_message)frame->type) {
    case GUEST_HELLO:
        if (helper->state == HELPER_SENDING)
            take_hello(helper, frame);
        break;
    case GUEST_CREATED:
        if (helper->state == HELPER_CREATING)
            take_created(helper, frame);
        break;
    case GUEST_DONE:
    case GUEST_USAGE:
    case GUEST_OPENED:
    case GUEST_OWNER:
        helper_take_answer(helper, frame);
        break;
    case GUEST_VISIT:
        guest_visit(helper, frame);
        break;
    case GUEST_LOST:
        helper_fail(helper, OSA_ABORTED, codec_read_text(&reader));
        break;
    case GUEST_DENIED:
        take_denied(helper, frame);
        break;
    default:
        if (!conduits_frame(&helper->conduits, frame) && !guest_process_frame(helper, frame))
            osa_log(OSA_LOG_WARN, "boxlite", "a frame that makes no sense; ignored",
                    OSA_S("box", helper->box->name), OSA_U("type", frame->type));
        break;
    }
}

static void on_drained(struct link *link)
{
    conduits_drained(&OSA_CONTAINER_OF(link, struct helper, link)->conduits);
}

/* ---- bytes to the box ---- */

static void push(struct helper *helper)
{
    size_t done = 0;
    size_t room;
    while (done < helper->out.len && helper->attached && (room = websocket_room(helper->ws)) > 0) {
        size_t part = OSA_MIN(OSA_MIN(helper->out.len - done, CHUNK_BYTES), room);
        if (!websocket_send(helper->ws, /* text= */ false, helper->out.data + done, part))
            break;
        done += part;
    }
    osa_buf_consume(&helper->out, done);
}

static void on_text(struct link *link, const char *text, size_t len)
{
    struct helper *helper = OSA_CONTAINER_OF(link, struct helper, link);
    if (helper_tcp_is_open(helper)) {
        helper_tcp_send(helper, text, len);
        return;
    }
    if (!osa_buf_add(&helper->out, text, len))
        helper_overrun(helper);
    push(helper);
}

static void send_program(struct helper *helper)
{
    size_t room;
    while (helper->sent < boxlite_guest_image_size && helper->attached &&
           (room = websocket_room(helper->ws)) > 0) {
        size_t part = OSA_MIN(OSA_MIN(boxlite_guest_image_size - helper->sent, CHUNK_BYTES), room);
        if (!websocket_send(helper->ws, /* text= */ false, boxlite_guest_image + helper->sent,
                            part))
            return;
        helper->sent += part;
    }
}

/* ---- the WebSocket ---- */

static struct helper *helper_of(struct websocket_events *events)
{
    return OSA_CONTAINER_OF(events, struct helper, ws_events);
}

static void on_opened(struct websocket_events *events)
{
    struct helper *helper = helper_of(events);
    helper->attached = true;
    helper->attached_ns = osa_now_ns();
    if (helper->state >= HELPER_CREATING && !helper_tcp_is_open(helper))
        link_resume(&helper->link);
}

static void on_writable(struct websocket_events *events)
{
    struct helper *helper = helper_of(events);
    if (helper->state == HELPER_SENDING && helper->sent < boxlite_guest_image_size)
        send_program(helper);
    else
        push(helper);
}

/* What the shell says, up to the question; the rest belongs to the channel. */
static void take_shell(struct helper *helper, const char *data, size_t len)
{
    if (!osa_buf_add(&helper->said, data, len)) {
        helper_fail(helper, OSA_FAILED_PRECONDITION, "the image's shell says too much");
        return;
    }
    const char *question = strstr(helper->said.data, ASK_TEXT);
    if (question == NULL)
        return;
    osa_buf_done(&helper->said);
    helper->state = HELPER_SENDING;
    send_program(helper);
}

static void take_exit(struct helper *helper, const char *data, size_t len)
{
    struct json_t *message = NULL;
    struct osa_error err;
    int64_t code = -1;
    char why[512];
    if (io_json_parse(data, len, &message, &err) != OSA_OK)
        return;
    const char *type = io_json_text(message, "type");
    bool is_exit = type != NULL && strcmp(type, "exit") == 0;
    (void)io_json_integer(message, "exit_code", &code);
    io_json_free(message);
    if (!is_exit)
        return;
    (void)snprintf(why, sizeof(why), "the helper in the box has ended with %lld%s%.256s",
                   (long long)code, helper->said.len > 0 ? ": " : "",
                   helper->said.len > 0 ? helper->said.data : "");
    helper_fail(helper, OSA_ABORTED, why);
}

static void on_message(struct websocket_events *events, bool text, const void *data, size_t len)
{
    struct helper *helper = helper_of(events);
    const char *bytes = data;
    if (helper->state == HELPER_GONE || len == 0)
        return;
    if (text)
        take_exit(helper, data, len);
    else if (bytes[0] == 2) { /* standard error: the shell's complaints, the helper's log */
        if (helper->said.len + len < 1024)
            (void)osa_buf_add(&helper->said, bytes + 1, len - 1);
        osa_log(OSA_LOG_DEBUG, "boxlite", "helper", OSA_S("box", helper->box->name),
                OSA_S("said", helper->said.data));
    } else if (helper->state == HELPER_ASKED)
        take_shell(helper, bytes + 1, len - 1);
    else if (!helper_tcp_is_open(helper))
        link_feed(&helper->link, bytes + 1, len - 1);
}

static void on_closed(struct websocket_events *events, const struct http_reply *refused,
                      const struct osa_error *error)
{
    struct helper *helper = helper_of(events);
    bool lasted = helper->attached && osa_now_ns() - helper->attached_ns > LAST_RETRY_NS;
    helper->ws = NULL;
    helper->attached = false;
    if (!helper_tcp_is_open(helper))
        link_pause(&helper->link);
    osa_buf_reset(&helper->out);
    if (helper->state == HELPER_GONE)
        return;
    if (helper->state < HELPER_CREATING) {
        helper_fail(helper, OSA_UNAVAILABLE,
                    error->code != OSA_OK ? error->text
                                          : "the server closed the helper's connection");
        return;
    }
    if (refused != NULL && refused->status == 404) {
        helper_fail(helper, OSA_ABORTED, "the server does not know the helper any more");
        return;
    }
    if (lasted || helper->give_up_ns == 0) {
        helper->give_up_ns = osa_deadline_after(GIVE_UP_NS);
        helper->retry_delay_ns = FIRST_RETRY_NS;
    }
    if (osa_now_ns() > helper->give_up_ns) {
        helper_fail(helper, OSA_ABORTED, "the server was not reached for too long");
        return;
    }
    osa_log(OSA_LOG_INFO, "boxlite", "a box's connection broke; made again",
            OSA_S("box", helper->box->name), OSA_S("reason", error->text));
    box_check(helper->box);
    osa_timer_arm(helper->box->backend->loop, &helper->timer,
                  osa_deadline_after(helper->retry_delay_ns));
    helper->retry_delay_ns = OSA_MIN(helper->retry_delay_ns * 2, LAST_RETRY_NS);
}

static void attach(struct helper *helper)
{
    char path[API_PATH_MAX];
    struct api *api = &helper->box->backend->api;
    (void)snprintf(path, sizeof(path), "%s/boxes/%s/executions/%s/attach", api->base,
                   helper->box->id, helper->id);
    helper->ws = websocket_open(api->http, path, MESSAGE_MAX, QUEUE_MAX, &helper->ws_events);
}

/* ---- the beginning ---- */

static void on_timer(struct osa_timer *timer)
{
    struct helper *helper = OSA_CONTAINER_OF(timer, struct helper, timer);
    if (helper->state == HELPER_READY || (helper->state == HELPER_CREATING && helper->ws == NULL))
        attach(helper);
    else
        helper_fail(helper, OSA_DEADLINE_EXCEEDED, "the helper did not begin in time");
}

static void on_overrun(struct osa_timer *timer)
{
    helper_fail(OSA_CONTAINER_OF(timer, struct helper, overrun), OSA_ABORTED,
                "the helper in the box asks for more than it reads");
}

/* Against what was lost without anybody noticing. */
static void on_poke(struct osa_timer *timer)
{
    struct helper *helper = OSA_CONTAINER_OF(timer, struct helper, poke);
    if ((helper->attached || helper_tcp_is_open(helper)) && helper->state >= HELPER_CREATING)
        link_poke(&helper->link);
    osa_timer_arm(helper->box->backend->loop, &helper->poke, osa_deadline_after(POKE_NS));
}

static void on_executed(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct helper *helper = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    helper->call = NULL;
    enum osa_code code = api_parse(reply, error, "bringing the helper in", &body, &err);
    if (reply != NULL && reply->status == 500 && strstr(reply->body, "spawn_failed") != NULL)
        code = osa_fail(&err, OSA_FAILED_PRECONDITION, 0, "the image has no /bin/sh");
    const char *id = code == OSA_OK ? io_json_text(body, "execution_id") : NULL;
    if (code == OSA_OK && !api_id_is_valid(id))
        code = osa_fail(&err, OSA_INTERNAL, 0, "bringing the helper in: no execution_id");
    if (code != OSA_OK) {
        io_json_free(body);
        helper_fail(helper, code, err.text);
        return;
    }
    (void)snprintf(helper->id, sizeof(helper->id), "%s", id);
    io_json_free(body);
    helper->state = HELPER_ASKED;
    attach(helper);
}

static void write_exec(struct osa_buf *body)
{
    char text[sizeof(script) + OSA_ID_SIZE + 32];
    char name[OSA_ID_SIZE];
    struct osa_json json;
    osa_id_new('h', name);
    (void)snprintf(text, sizeof(text), script, name, boxlite_guest_image_size);
    osa_json_init(&json, body, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "command");
    osa_json_text(&json, "/bin/sh");
    osa_json_key(&json, "args");
    osa_json_open(&json, '[');
    osa_json_text(&json, "-c");
    osa_json_text(&json, text);
    osa_json_close(&json, ']');
    osa_json_key(&json, "working_dir");
    osa_json_text(&json, "/");
    osa_json_close(&json, '}');
}

struct helper *helper_begin(struct box *box, struct osa_buf *spec)
{
    char path[API_PATH_MAX];
    struct osa_buf body;
    struct helper *helper = calloc(1, sizeof(*helper));
    if (helper == NULL)
        abort();
    helper->box = box;
    helper->spec = *spec;
    *spec = (struct osa_buf){ 0 };
    helper->ws_events = (struct websocket_events){
        .opened = on_opened, .message = on_message, .writable = on_writable, .closed = on_closed
    };
    helper->link = (struct link){ .send = on_text, .receive = on_frame, .drained = on_drained };
    link_init(&helper->link);
    conduits_init(&helper->conduits, box->backend->loop, &helper->link);
    osa_buf_init(&helper->said, SAID_MAX);
    osa_buf_init(&helper->out, OUT_MAX);
    osa_buf_init(&helper->tcp_out, OUT_MAX);
    helper->tcp.fd = -1;
    helper->timer.fire = on_timer;
    helper->poke.fire = on_poke;
    helper->overrun.fire = on_overrun;
    osa_timer_arm(box->backend->loop, &helper->timer, osa_deadline_after(BEGIN_NS));
    osa_timer_arm(box->backend->loop, &helper->poke, osa_deadline_after(POKE_NS));
    osa_buf_init(&body, API_BODY_MAX);
    write_exec(&body);
    (void)snprintf(path, sizeof(path), "/boxes/%s/exec", box->id);
    helper->call = api_post(&box->backend->api, path, &body, EXEC_NS, on_executed, helper);
    osa_buf_done(&body);
    return helper;
}
