// SPDX-License-Identifier: Apache-2.0
/* Processes in a box with a helper: the seam of backend.h as frames to it, and back. */
#include "backends/boxlite/helper.h"
#include "backends/defer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A frame of it fits a line of the link. */
#define PROCESS_BODY_MAX ((size_t)2900 << 10)

enum guest_process_state { GUEST_PROCESS_STARTING, GUEST_PROCESS_RUNNING, GUEST_PROCESS_EXITED };

struct guest_process {
    struct backend_process base;
    struct osa_loop *loop;         /* borrowed */
    struct helper *helper;         /* NULL once its box has gone */
    struct process_events *events; /* borrowed */
    uint64_t key;
    UT_hash_handle hh;
    enum guest_process_state state;
    spawned_fn spawned; /* set while STARTING */
    void *ctx;
    unsigned streams; /* bits of enum output_stream that have not ended */
    bool tty;
    bool stdin_open;
    bool stdin_waiting;  /* write_stdin took less than offered */
    size_t stdin_credit; /* bytes that may be sent */
    struct isolation isolation;
};

static struct guest_process *process_of(struct backend_process *base)
{
    return OSA_CONTAINER_OF(base, struct guest_process, base);
}

void guest_free_op(struct backend_process *base)
{
    if (base == NULL)
        return;
    struct guest_process *p = process_of(base);
    if (p->helper != NULL) {
        HASH_DEL(p->helper->processes, p);
        helper_send(p->helper, GUEST_FREE, p->key, NULL);
    }
    free(p);
}

/* ---- what the helper tells ---- */

static bool take_spawned(struct guest_process *p, struct codec_reader *reader)
{
    struct osa_error err;
    spawned_fn spawned = p->spawned;
    void *ctx = p->ctx;
    if (p->state != GUEST_PROCESS_STARTING)
        return false;
    if (codec_read_error(reader, &err)) {
        HASH_DEL(p->helper->processes, p);
        free(p);
        spawned(ctx, NULL, NULL, NULL, &err);
        return true;
    }
    guest_read_isolation(reader, &p->isolation);
    const struct resources limits = guest_read_resources(reader);
    p->state = GUEST_PROCESS_RUNNING;
    p->spawned = NULL;
    box_merge_isolation(p->helper->box, &p->isolation);
    spawned(ctx, &p->base, &p->isolation, &limits, NULL);
    return !reader->failed;
}

static bool take_output(struct guest_process *p, const struct link_frame *frame)
{
    if (frame->len < 2 || (p->streams & (unsigned)frame->body[0]) == 0)
        return false;
    p->events->output(p->events, (enum output_stream)frame->body[0], frame->body + 1,
                      frame->len - 1);
    return true;
}

static bool take_end(struct guest_process *p, const struct link_frame *frame)
{
    unsigned stream = frame->len == 1 ? (unsigned char)frame->body[0] : 0;
    if ((stream != OUTPUT_STDOUT && stream != OUTPUT_STDERR) || (p->streams & stream) == 0)
        return false;
    p->streams &= ~stream;
    p->events->output_end(p->events, (enum output_stream)stream);
    return true;
}

static void stdin_ready(struct guest_process *p)
{
    if (!p->stdin_waiting)
        return;
    p->stdin_waiting = false;
    p->events->stdin_ready(p->events);
}

static void give_credit(struct guest_process *p, uint64_t bytes)
{
    uint64_t room = GUEST_STDIN_BYTES - p->stdin_credit;
    p->stdin_credit += (size_t)OSA_MIN(bytes, room);
    stdin_ready(p);
}

static bool take_exit(struct guest_process *p, struct codec_reader *reader)
{
    struct process_exit exit;
    if (p->state != GUEST_PROCESS_RUNNING)
        return false;
    guest_read_exit(reader, &exit);
    exit.exited_wall_ns = osa_wall_ns(); /* the guest's clock is its own */
    p->state = GUEST_PROCESS_EXITED;
    p->events->exited(p->events, &exit);
    return !reader->failed;
}

bool guest_process_frame(struct helper *helper, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct guest_process *p;
    HASH_FIND(hh, helper->processes, &frame->key, sizeof(frame->key), p);
    if (p == NULL)
        return true; /* freed meanwhile */
    if (p->state == GUEST_PROCESS_STARTING && frame->type != GUEST_SPAWNED)
        return false;
    switch ((enum guest_message)frame->type) {
    case GUEST_SPAWNED:
        return take_spawned(p, &reader);
    case GUEST_OUTPUT:
        return take_output(p, frame);
    case GUEST_OUTPUT_END:
        return take_end(p, frame);
    case GUEST_STDIN_ROOM:
        give_credit(p, codec_read_u64(&reader));
        return true;
    case GUEST_STDIN_GONE:
        p->stdin_open = false;
        stdin_ready(p);
        return true;
    case GUEST_EXITED:
        return take_exit(p, &reader);
    case GUEST_OOM_KILLED:
        p->events->oom_killed(p->events);
        return true;
    default:
        return false;
    }
}

/* May free @p. */
static void lose(struct guest_process *p, const struct osa_error *why)
{
    const struct process_exit exit = { .reason = EXIT_REASON_SANDBOX_LOST,
                                       .exited_wall_ns = osa_wall_ns() };
    struct process_events *events = p->events;
    HASH_DEL(p->helper->processes, p);
    p->helper = NULL;
    if (p->state == GUEST_PROCESS_STARTING) {
        spawned_fn spawned = p->spawned;
        void *ctx = p->ctx;
        free(p);
        spawned(ctx, NULL, NULL, NULL, why);
        return;
    }
    /* The last of these lets the agent free it. */
    unsigned streams = p->streams;
    bool exited = p->state == GUEST_PROCESS_EXITED;
    p->streams = 0;
    p->state = GUEST_PROCESS_EXITED;
    p->stdin_open = false;
    if (!exited && streams == 0)
        events->exited(events, &exit);
    else {
        if (!exited)
            events->exited(events, &exit);
        if ((streams & OUTPUT_STDOUT) != 0)
            events->output_end(events, OUTPUT_STDOUT);
        if ((streams & OUTPUT_STDERR) != 0)
            events->output_end(events, OUTPUT_STDERR);
    }
}

void guest_processes_lost(struct helper *helper, const struct osa_error *why)
{
    struct guest_process *p, *next;
    HASH_ITER(hh, helper->processes, p, next)
    lose(p, why);
}

/* ---- what it is asked ---- */

static enum osa_code gone(struct osa_error *err)
{
    return osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited");
}

enum osa_code guest_signal_op(struct backend_process *base, int signo, enum signal_scope scope,
                              struct osa_error *err)
{
    struct guest_process *p = process_of(base);
    struct osa_buf body;
    if (p->state != GUEST_PROCESS_RUNNING || p->helper == NULL)
        return gone(err);
    if (signo < 0 || signo > 64)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "signal %d: must be 0 to 64", signo);
    if (signo == 0)
        return OSA_OK;
    osa_buf_init(&body, 64);
    codec_u64(&body, (uint64_t)signo);
    codec_u64(&body, scope);
    helper_send(p->helper, GUEST_SIGNAL, p->key, &body);
    return OSA_OK;
}

static void start_body(struct osa_buf *body, const struct guest_process *p)
{
    osa_buf_init(body, 512);
    codec_u64(body, p->key);
}

void guest_kill_tree_op(struct backend_process *base, done_fn done, void *ctx)
{
    struct guest_process *p = process_of(base);
    struct osa_buf body;
    if (p->helper == NULL) {
        defer_done(p->loop, done, ctx, NULL);
        return;
    }
    start_body(&body, p);
    helper_ask(p->helper, GUEST_KILL_TREE, &body,
               &(struct helper_answer){ .done = done, .ctx = ctx });
}

void guest_hold_op(struct backend_process *base, bool hold)
{
    struct guest_process *p = process_of(base);
    struct osa_buf body;
    if (p->helper == NULL)
        return;
    osa_buf_init(&body, 16);
    codec_u64(&body, hold);
    helper_send(p->helper, GUEST_HOLD, p->key, &body);
}

enum osa_code guest_write_stdin_op(struct backend_process *base, const void *data, size_t len,
                                   size_t *ret_taken, struct osa_error *err)
{
    struct guest_process *p = process_of(base);
    size_t taken = 0;
    if (!p->stdin_open || p->helper == NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "stdin is closed");
    while (taken < len && p->stdin_credit > 0) {
        size_t part = OSA_MIN(OSA_MIN(len - taken, p->stdin_credit), GUEST_CHUNK_BYTES);
        link_send(&p->helper->link, GUEST_STDIN, p->key, (const char *)data + taken, part);
        taken += part;
        p->stdin_credit -= part;
    }
    p->stdin_waiting = taken < len;
    *ret_taken = taken;
    return OSA_OK;
}

enum osa_code guest_close_stdin_op(struct backend_process *base, struct osa_error *err)
{
    struct guest_process *p = process_of(base);
    (void)err;
    if (!p->stdin_open || p->helper == NULL)
        return OSA_OK;
    p->stdin_open = p->tty; /* a terminal goes on behind its end of file */
    helper_send(p->helper, GUEST_STDIN_END, p->key, NULL);
    return OSA_OK;
}

enum osa_code guest_resize_op(struct backend_process *base, struct terminal_size size,
                              struct osa_error *err)
{
    struct guest_process *p = process_of(base);
    struct osa_buf body;
    if (!p->tty)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the process has no terminal");
    if (p->state != GUEST_PROCESS_RUNNING || p->helper == NULL)
        return gone(err);
    osa_buf_init(&body, 64);
    codec_bytes(&body, &size, sizeof(size));
    helper_send(p->helper, GUEST_RESIZE, p->key, &body);
    return OSA_OK;
}

void guest_update_op(struct backend_process *base, const struct resources *limits, done_fn done,
                     void *ctx)
{
    struct guest_process *p = process_of(base);
    struct osa_buf body;
    struct osa_error err = { 0 };
    if (p->helper == NULL) {
        (void)gone(&err);
        defer_done(p->loop, done, ctx, &err);
        return;
    }
    start_body(&body, p);
    guest_write_resources(&body, limits);
    helper_ask(p->helper, GUEST_PROCESS_UPDATE, &body,
               &(struct helper_answer){ .done = done, .ctx = ctx });
}

void guest_stats_op(struct backend_process *base, stats_fn done, void *ctx)
{
    struct guest_process *p = process_of(base);
    struct osa_buf body;
    struct osa_error err = { 0 };
    if (p->helper == NULL) {
        (void)gone(&err);
        defer_stats(p->loop, done, ctx, &err);
        return;
    }
    start_body(&body, p);
    helper_ask(p->helper, GUEST_PROCESS_STATS, &body,
               &(struct helper_answer){ .stats = done, .ctx = ctx });
}

static enum osa_code check_environment(const struct process_spec *spec, struct osa_error *err)
{
    for (size_t i = 0; spec->env[i] != NULL; i++) {
        if (reserved_variable(spec->env[i]))
            return osa_fail_field(err, "spec.env",
                                  "names that begin with BOXLITE_ are the server's");
    }
    return OSA_OK;
}

void guest_spawn(struct helper *helper, const struct process_spec *spec,
                 struct process_events *events, spawned_fn done, void *ctx)
{
    struct osa_loop *loop = helper->box->backend->loop;
    struct osa_error err = { 0 };
    struct osa_buf body;
    if (check_environment(spec, &err) != OSA_OK) {
        defer_spawned(loop, done, ctx, &err);
        return;
    }
    osa_buf_init(&body, PROCESS_BODY_MAX);
    guest_write_process(&body, spec);
    struct guest_process *p = calloc(1, sizeof(*p));
    if (body.failed || p == NULL) {
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0,
                       "spec.argv and spec.env: too long together: at most %u bytes",
                       (unsigned)PROCESS_BODY_MAX);
        osa_buf_done(&body);
        free(p);
        defer_spawned(loop, done, ctx, &err);
        return;
    }
    p->base.ops = &boxlite_guest_ops;
    p->loop = loop;
    p->helper = helper;
    p->events = events;
    p->key = ++helper->next_key;
    p->spawned = done;
    p->ctx = ctx;
    p->streams = spec->tty ? (unsigned)OUTPUT_STDOUT : OUTPUT_STDOUT | OUTPUT_STDERR;
    p->tty = spec->tty;
    p->stdin_open = spec->stdin_open;
    p->stdin_credit = GUEST_STDIN_BYTES;
    HASH_ADD(hh, helper->processes, key, sizeof(p->key), p);
    helper_send(helper, GUEST_SPAWN, p->key, &body);
}
