// SPDX-License-Identifier: Apache-2.0
#include "backends/boxlite/helper.h"
#include "backends/boxlite/internal.h"
#include "backends/defer.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXEC_NS (60 * OSA_NS_PER_SEC)
/* What the server keeps of each stream, for whoever attaches again. */
#define BACKLOG_BYTES ((size_t)256 << 10)

static struct box_process *process_of(struct backend_process *base)
{
    return OSA_CONTAINER_OF(base, struct box_process, base);
}

void box_process_free_op(struct backend_process *base)
{
    if (base == NULL)
        return;
    struct box_process *p = process_of(base);
    if (p->box != NULL)
        DL_DELETE(p->box->processes, p);
    attach_end(p);
    http_cancel(p->call);
    osa_timer_disarm(&p->retry);
    osa_timer_disarm(&p->kill_patience);
    osa_buf_done(&p->out.replay);
    osa_buf_done(&p->err.replay);
    free(p);
}

/* ---- the end ---- */

static void end_stream(struct box_process *p, struct box_stream *stream, enum output_stream which)
{
    if (!stream->open)
        return;
    stream->open = false;
    p->events->output_end(p->events, which);
}

void box_process_exited(struct box_process *p, enum exit_reason reason, int number)
{
    struct process_exit exit = { .reason = reason, .exited_wall_ns = osa_wall_ns() };
    if (p->state != BOX_PROCESS_RUNNING)
        return;
    if (reason == EXIT_REASON_EXITED)
        exit.code = number;
    else
        exit.signal = number;
    exit.usage.wall_ns = osa_now_ns() - p->started_ns;
    p->state = BOX_PROCESS_EXITED;
    p->stdin_open = false;
    attach_end(p);
    osa_timer_disarm(&p->retry);
    end_stream(p, &p->out, OUTPUT_STDOUT);
    end_stream(p, &p->err, OUTPUT_STDERR);
    control_settle(p);
    p->events->exited(p->events, &exit); /* who may free it */
}

static void spawn_failed(struct box_process *p, const struct osa_error *error)
{
    spawned_fn spawned = p->spawned;
    void *ctx = p->ctx;
    struct osa_error err = *error;
    box_process_free_op(&p->base);
    spawned(ctx, NULL, NULL, NULL, &err);
}

void box_process_lost(struct box_process *p)
{
    struct osa_error err = { 0 };
    if (p->state == BOX_PROCESS_STARTING) {
        (void)osa_fail(&err, OSA_ABORTED, 0, "%s", p->box->failure.text);
        spawn_failed(p, &err);
    } else {
        box_process_exited(p, EXIT_REASON_SANDBOX_LOST, 0);
    }
}

/* ---- the beginning ---- */

/* The server tells only in words that a program is missing or cannot be executed. */
static bool is_start_failure(const struct http_reply *reply)
{
    return reply != NULL && reply->status == 500 && strstr(reply->body, "spawn_failed") != NULL;
}

static void on_executed(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box_process *p = ctx;
    struct json_t *body = NULL;
    struct osa_error err = { 0 };
    p->call = NULL;
    if (is_start_failure(reply)) {
        (void)osa_fail(&err, OSA_FAILED_PRECONDITION, 0,
                       "exec: '%s' is not there, or cannot be executed, in the box", p->program);
        err.stage = "exec";
        osa_log(OSA_LOG_DEBUG, "boxlite", "exec refused", OSA_S("body", reply->body));
        spawn_failed(p, &err);
        return;
    }
    if (api_parse(reply, error, "starting a process in the box", &body, &err) != OSA_OK) {
        err.stage = "exec";
        box_check(p->box);
        spawn_failed(p, &err);
        return;
    }
    const char *id = io_json_text(body, "execution_id");
    if (!api_id_is_valid(id)) {
        (void)osa_fail(&err, OSA_INTERNAL, 0,
                       "starting a process in the box: the answer has no execution_id");
        io_json_free(body);
        spawn_failed(p, &err);
        return;
    }
    (void)snprintf(p->id, sizeof(p->id), "%s", id);
    io_json_free(body);
    p->state = BOX_PROCESS_RUNNING;
    p->started_ns = osa_now_ns();
    p->out.open = true;
    p->err.open = !p->tty;
    attach_begin(p);
    spawned_fn spawned = p->spawned;
    p->spawned = NULL;
    spawned(p->ctx, &p->base, &p->box->isolation, &(struct resources){ 0 }, NULL);
}

static enum osa_code check_spec(const struct box *box, const struct process_spec *spec,
                                struct osa_error *err)
{
    if (box->state != BOX_READY)
        return osa_fail(err, OSA_ABORTED, 0, "%s", box->failure.text);
    if (spec->user[0] != '\0' || spec->groups != NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.user: all processes of a box have the sandbox's user");
    if (spec->rlimit_count > 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "spec.rlimits: a box cannot set them");
    return OSA_OK;
}

void box_spawn_op(struct backend_sandbox *base, const struct process_spec *spec,
                  struct process_events *events, spawned_fn done, void *ctx)
{
    struct box *box = OSA_CONTAINER_OF(base, struct box, base);
    struct osa_error err = { 0 };
    struct osa_buf body;
    char path[API_PATH_MAX];
    if (box->state == BOX_READY && box->helper != NULL) {
        guest_spawn(box->helper, spec, events, done, ctx);
        return;
    }
    osa_buf_init(&body, API_BODY_MAX);
    struct box_process *p = calloc(1, sizeof(*p));
    enum osa_code code = check_spec(box, spec, &err);
    if (code == OSA_OK && p == NULL)
        code = osa_fail_errno(&err, ENOMEM, "process");
    if (code == OSA_OK)
        code = exec_spec_write(box, spec, &body, &err);
    if (code != OSA_OK) {
        osa_buf_done(&body);
        free(p);
        defer_spawned(box->backend->loop, done, ctx, &err);
        return;
    }
    p->base.ops = base->ops;
    p->loop = box->backend->loop;
    p->box = box;
    p->events = events;
    p->spawned = done;
    p->ctx = ctx;
    p->tty = spec->tty;
    p->size = spec->tty_size;
    p->stdin_open = spec->stdin_open;
    osa_buf_init(&p->out.replay, BACKLOG_BYTES);
    osa_buf_init(&p->err.replay, BACKLOG_BYTES);
    (void)snprintf(p->program, sizeof(p->program), "%s", spec->argv[0]);
    DL_APPEND(box->processes, p);
    (void)snprintf(path, sizeof(path), "/boxes/%s/exec", box->id);
    p->call = api_post(&box->backend->api, path, &body, EXEC_NS, on_executed, p);
    osa_buf_done(&body);
}
