// SPDX-License-Identifier: Apache-2.0
/*
 * A process's descriptors on the agent's side. Output is never held back: what can be read is read
 * and handed up, for the agent's log is bounded and the process must not wait for readers.
 */
#include "backends/process/internal.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* What a pipe holds unless it is told otherwise, pipe(7). */
#define PIPE_BYTES (64 << 10)

static struct process *process_of(struct backend_process *base)
{
    return OSA_CONTAINER_OF(base, struct process, base);
}

/* ---- stdin ---- */

static void stop_stdin(struct process *p)
{
    if (!p->in_open)
        return;
    p->in_open = false;
    if (p->tty)
        return; /* the descriptor is the output's */
    osa_source_remove(&p->in);
    osa_replace_fd(&p->in.fd, -1);
}

static void stdin_is_ready(struct process *p)
{
    if (!p->in_waiting)
        return;
    p->in_waiting = false;
    p->events->stdin_ready(p->events);
}

static void on_stdin(struct osa_source *source, unsigned events)
{
    struct process *p = OSA_CONTAINER_OF(source, struct process, in);
    osa_source_set(source, 0);
    if ((events & OSA_HUP) != 0) { /* every reader is gone */
        stop_stdin(p);
        p->in_waiting = true;
    }
    stdin_is_ready(p);
}

static int stdin_fd(const struct process *p)
{
    return p->tty ? p->out.source.fd : p->in.fd;
}

/* A terminal's descriptor serves both ways. */
static void watch_terminal(struct process *p)
{
    osa_source_set(&p->out.source,
                   (p->output_held ? 0 : OSA_READ) | (p->in_waiting ? OSA_WRITE : 0));
}

static void wait_for_room(struct process *p)
{
    p->in_waiting = true;
    if (p->tty)
        watch_terminal(p);
    else
        osa_source_set(&p->in, OSA_WRITE);
}

enum osa_code write_stdin_op(struct backend_process *base, const void *data, size_t len,
                             size_t *ret_taken, struct osa_error *err)
{
    struct process *p = process_of(base);
    if (!p->in_open)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "stdin is closed");
    size_t taken = 0;
    while (taken < len) {
        ssize_t put = write(stdin_fd(p), (const char *)data + taken, len - taken);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN) {
            int saved = errno;
            stop_stdin(p);
            return osa_fail(err, OSA_FAILED_PRECONDITION, saved, "stdin has no reader any more");
        }
        if (put < 0)
            break;
        taken += (size_t)put;
    }
    if (taken > 0)
        p->in_partial_line = ((const char *)data)[taken - 1] != '\n';
    if (taken < len)
        wait_for_room(p);
    *ret_taken = taken;
    return OSA_OK;
}

/* The end-of-file character ends a pending line first; only on an empty line it reads as the end. */
static void send_terminal_eof(const struct process *p)
{
    struct termios settings;
    int fd = p->out.source.fd;
    if (tcgetattr(fd, &settings) < 0 || (settings.c_lflag & ICANON) == 0)
        return; /* a program that reads raw has its own idea of an end */
    char eof[2] = { (char)settings.c_cc[VEOF], (char)settings.c_cc[VEOF] };
    (void)!write(fd, eof, p->in_partial_line ? 2 : 1);
}

enum osa_code close_stdin_op(struct backend_process *base, struct osa_error *err)
{
    (void)err;
    struct process *p = process_of(base);
    if (p->in_open && p->tty)
        send_terminal_eof(p);
    stop_stdin(p);
    return OSA_OK;
}

enum osa_code resize_op(struct backend_process *base, struct terminal_size size,
                        struct osa_error *err)
{
    struct process *p = process_of(base);
    if (!p->tty)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the process has no terminal");
    if (!p->out.open)
        return osa_fail(err, OSA_NOT_FOUND, 0, "the terminal is closed");
    struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };
    if (ioctl(p->out.source.fd, TIOCSWINSZ, &window) < 0)
        return osa_fail_errno(err, errno, "TIOCSWINSZ");
    return OSA_OK;
}

/* ---- output ---- */

static void end_output(struct output *output)
{
    struct process *p = output->process;
    if (p->tty) {
        stop_stdin(p);
        p->in_waiting = false;
    }
    output->open = false;
    osa_source_remove(&output->source);
    osa_replace_fd(&output->source.fd, -1);
    p->events->output_end(p->events, output->stream);
}

static void on_output(struct osa_source *source, unsigned events)
{
    struct output *output = OSA_CONTAINER_OF(source, struct output, source);
    struct process *p = output->process;
    if ((events & OSA_WRITE) != 0) {
        osa_source_set(source, p->output_held ? 0 : OSA_READ);
        stdin_is_ready(p);
        return; /* which may have freed the process; reading comes around again */
    }
    if (p->output_held &&
        (events & OSA_HUP) == 0) { /* an end is told even so, and reading goes on */
        osa_source_set(source, 0);
        return;
    }
    ssize_t got = read(source->fd, output->chunk, READ_CHUNK_BYTES);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got == PIPE_BYTES &&
        !p->tty) /* it was full: more at a time; refused where the user has too many */
        (void)fcntl(source->fd, F_SETPIPE_SZ, (int)READ_CHUNK_BYTES);
    if (got > 0)
        p->events->output(p->events, output->stream, output->chunk, (size_t)got);
    else
        end_output(output); /* end of file; EIO from a terminal whose last user has left */
}

static void start_output(struct process *p, struct output *output, enum output_stream stream)
{
    struct osa_error ignored;
    output->process = p;
    output->stream = stream;
    output->chunk = p->sandbox->backend->chunk;
    output->source.ready = on_output;
    output->open = osa_source_add(p->loop, &output->source, OSA_READ, &ignored) == OSA_OK;
    if (!output->open)
        osa_timer_arm(p->loop, &p->late_end, osa_now_ns());
}

/* Streams that the loop had no room for: the process runs on without them. */
static void on_late_end(struct osa_timer *timer)
{
    struct process *p = OSA_CONTAINER_OF(timer, struct process, late_end);
    struct output *both[] = { &p->out, &p->err };
    for (unsigned i = 0; i < 2; i++) {
        if (both[i]->open || both[i]->source.fd < 0)
            continue;
        osa_timer_arm(p->loop, timer, osa_now_ns()); /* for the other; its callback may free all */
        end_output(both[i]);
        return;
    }
}

void stdio_start(struct process *p)
{
    struct osa_error ignored;
    p->late_end.fire = on_late_end;
    if (p->tty)
        (void)!osa_set_nonblocking(p->out.source.fd, true, &ignored);
    start_output(p, &p->out, OUTPUT_STDOUT);
    if (!p->tty)
        start_output(p, &p->err, OUTPUT_STDERR);
    p->in_open = p->tty && p->out.open;
    if (p->in.fd >= 0) {
        p->in.ready = on_stdin;
        p->in_open = osa_source_add(p->loop, &p->in, 0, &ignored) == OSA_OK;
    }
}

void hold_output_op(struct backend_process *base, bool hold)
{
    struct process *p = process_of(base);
    p->output_held = hold; /* on_output() stops watching when something comes meanwhile */
    if (hold)
        return;
    if (p->tty && p->out.open)
        watch_terminal(p);
    if (!p->tty && p->out.open)
        osa_source_set(&p->out.source, OSA_READ);
    if (p->err.open)
        osa_source_set(&p->err.source, OSA_READ);
}

void stdio_close(struct process *p)
{
    stop_stdin(p);
    osa_source_remove(&p->out.source);
    osa_source_remove(&p->err.source);
    osa_replace_fd(&p->out.source.fd, -1);
    osa_replace_fd(&p->err.source.fd, -1);
    osa_replace_fd(&p->in.fd, -1);
}
