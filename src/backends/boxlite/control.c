// SPDX-License-Identifier: Apache-2.0
/* Signals, death and stdin of a process. */
#include "backends/boxlite/internal.h"
#include "backends/defer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNAL_HUP 1
#define SIGNAL_KILL 9
/* Bytes of one message to stdin; the contract calls 64 KiB safe. */
#define STDIN_CHUNK ((size_t)64 << 10)
/* A killed process whose exit is not told for so long has left children that hold its output. */
#define KILL_PATIENCE_NS (5 * OSA_NS_PER_SEC)

static struct box_process *process_of(struct backend_process *base)
{
    return OSA_CONTAINER_OF(base, struct box_process, base);
}

/* ---- signals ---- */

/* The server takes these and no others; 9 is its DELETE. */
static bool can_send(int signo)
{
    static const int allowed[] = { 1, 2, 3, 6, 10, 12, 15, 28 };
    for (size_t i = 0; i < OSA_ARRAY_LEN(allowed); i++) {
        if (allowed[i] == signo)
            return true;
    }
    return false;
}

/* The WebSocket's end tells the rest. */
static void on_done(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box_process *p = ctx;
    struct osa_error err;
    p->call = NULL;
    if (error == NULL && reply->status > 299 && reply->status != 404)
        (void)api_error(reply, "signalling a process", &err);
}

/* Without a connection nobody else will tell the exit. */
static void on_killed(void *ctx, const struct http_reply *reply, const struct osa_error *error)
{
    struct box_process *p = ctx;
    on_done(ctx, reply, error);
    if (p->ws == NULL && error == NULL && reply->status < 300)
        box_process_exited(p, EXIT_REASON_SIGNALED, SIGNAL_KILL);
}

void control_send_kill(struct box_process *p)
{
    char path[API_PATH_MAX];
    if (p->box == NULL || p->box->state != BOX_READY)
        return;
    if (p->ws != NULL && !p->attached) { /* else what it has written so far would be lost */
        p->kill_wanted = true;
        return;
    }
    http_cancel(p->call); /* a signal, or a question for the exit, which the kill brings about */
    (void)snprintf(path, sizeof(path), "/boxes/%s/executions/%s", p->box->id, p->id);
    p->killed = true;
    p->call = api_delete(&p->box->backend->api, path, on_killed, p);
}

static void send_signal(struct box_process *p, int signo)
{
    char path[API_PATH_MAX];
    struct osa_buf body;
    if (attach_send_signal(p, signo) || p->call != NULL || p->box == NULL)
        return;
    osa_buf_init(&body, 64);
    (void)osa_buf_addf(&body, "{\"signal\":%d}", signo);
    (void)snprintf(path, sizeof(path), "/boxes/%s/executions/%s/signal", p->box->id, p->id);
    p->call = api_post(&p->box->backend->api, path, &body, API_CALL_NS, on_done, p);
    osa_buf_done(&body);
}

enum osa_code box_signal_op(struct backend_process *base, int signo, enum signal_scope scope,
                            struct osa_error *err)
{
    struct box_process *p = process_of(base);
    if (p->state == BOX_PROCESS_EXITED)
        return osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited");
    if (scope != SIGNAL_PROCESS)
        return osa_fail(err, OSA_UNIMPLEMENTED, 0,
                        "a boxlite sandbox reaches the process alone, not its group or tree");
    if (signo != 0 && signo != SIGNAL_KILL && !can_send(signo))
        return osa_fail(err, OSA_UNIMPLEMENTED, 0,
                        "a boxlite sandbox has signals 1, 2, 3, 6, 9, 10, 12, 15 and 28; not %d",
                        signo);
    if (signo == SIGNAL_HUP)
        p->hangup_sent = true;
    if (signo == SIGNAL_KILL)
        control_send_kill(p);
    else if (signo != 0)
        send_signal(p, signo);
    return OSA_OK;
}

/* ---- death ---- */

static void answer_killers(struct box_process *p, const struct osa_error *error)
{
    struct kill_waiter *waiter, *next;
    LL_FOREACH_SAFE(p->killers, waiter, next)
    {
        defer_done(p->loop, waiter->done, waiter->ctx, error);
        free(waiter);
    }
    p->killers = NULL;
    osa_timer_disarm(&p->kill_patience);
}

void control_settle(struct box_process *p)
{
    answer_killers(p, NULL);
}

static void on_patience_over(struct osa_timer *timer)
{
    struct box_process *p = OSA_CONTAINER_OF(timer, struct box_process, kill_patience);
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_FAILED_PRECONDITION, 0,
                   "the process was killed, and children that hold its output were not: a boxlite "
                   "sandbox ends them with its box");
    answer_killers(p, &err);
}

void box_kill_tree_op(struct backend_process *base, done_fn done, void *ctx)
{
    struct box_process *p = process_of(base);
    struct kill_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL)
        abort();
    *waiter = (struct kill_waiter){ .done = done, .ctx = ctx };
    LL_PREPEND(p->killers, waiter);
    if (p->state == BOX_PROCESS_EXITED) {
        answer_killers(p, NULL);
        return;
    }
    control_send_kill(p);
    p->kill_patience.fire = on_patience_over;
    osa_timer_arm(p->loop, &p->kill_patience, osa_deadline_after(KILL_PATIENCE_NS));
}

/* ---- stdin ---- */

enum osa_code box_write_stdin_op(struct backend_process *base, const void *data, size_t len,
                                 size_t *ret_taken, struct osa_error *err)
{
    struct box_process *p = process_of(base);
    size_t taken = 0;
    if (!p->stdin_open)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "stdin is closed");
    while (taken < len && p->attached && websocket_room(p->ws) > 0) {
        size_t chunk = OSA_MIN(OSA_MIN(len - taken, STDIN_CHUNK), websocket_room(p->ws));
        if (!websocket_send(p->ws, /* text= */ false, (const char *)data + taken, chunk))
            break;
        taken += chunk;
        p->stdin_written = true;
    }
    p->stdin_waiting = taken < len;
    *ret_taken = taken;
    return OSA_OK;
}

enum osa_code box_close_stdin_op(struct backend_process *base, struct osa_error *err)
{
    static const char eof[] = "{\"type\":\"stdin_eof\"}";
    struct box_process *p = process_of(base);
    (void)err;
    if (!p->stdin_open)
        return OSA_OK;
    p->stdin_open = false;
    if (p->attached && p->tty)
        (void)websocket_send(p->ws, /* text= */ false, "\4", 1);
    else if (p->attached) /* else attaching says it */
        (void)websocket_send(p->ws, /* text= */ true, eof, sizeof(eof) - 1);
    return OSA_OK;
}

enum osa_code box_resize_op(struct backend_process *base, struct terminal_size size,
                            struct osa_error *err)
{
    struct box_process *p = process_of(base);
    if (!p->tty)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the process has no terminal");
    if (p->state == BOX_PROCESS_EXITED)
        return osa_fail(err, OSA_NOT_FOUND, 0, "the process has exited");
    p->size = size;
    attach_send_size(p);
    return OSA_OK;
}
