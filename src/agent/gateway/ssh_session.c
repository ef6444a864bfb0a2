// SPDX-License-Identifier: Apache-2.0
/*
 * One channel: a process of its own, or a view of the main one. A process is killed when its client
 * goes away; the main one outlives its visitors, of whom one at a time types into it.
 */
#include "agent/gateway/ssh_session.h"

#include "base/log.h"
#include "base/signal_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)32 << 10)
/* After the exit, a stranger that holds the output open is waited for so long and no longer. */
#define LINGER_NS (OSA_NS_PER_SEC / 2)
#define STATUS_NO_START 127 /* as shells say it */
#define KEY_PREFIX 0x10     /* Ctrl-P */
#define KEY_DETACH 0x11     /* Ctrl-Q */

/**
 * struct ssh_session - A channel and its process
 * @channel:  NULL once the client has closed it
 * @process:  owned reference; NULL while it is being started
 * @own:      the process is the session's, and not the main one
 * @read_only: it shows the main process; what the client types is thrown away
 * @held:     Ctrl-P was typed, and the next key decides
 * @input, @input_len: from the client, not yet taken by the process
 * @started:  process_spawn() has answered
 */
struct ssh_session {
    struct gateway *gateway;
    struct io_ssh_channel *channel;
    struct io_ssh_channel_events events;
    struct process *process;
    struct process_reader reader;
    struct process_waiter exit;
    struct output_cursor cursor;
    struct osa_timer linger;
    bool own;
    bool read_only;
    bool held;
    bool started;
    bool lingered;
    bool finished;
    struct terminal_size size;
    const char *notice; /* to be said first; NULL */
    char failure[600];  /* why there is no process */
    char input[CHUNK_BYTES];
    size_t input_len;
    bool input_ended;
    bool input_closed;
};

static void release_input(struct ssh_session *session)
{
    if (session->gateway->main_input == session)
        session->gateway->main_input = NULL;
}

static void session_free_now(struct ssh_session *session)
{
    release_input(session);
    osa_timer_disarm(&session->linger);
    if (session->process != NULL) {
        process_read_cancel(session->process, &session->reader);
        process_wait_cancel(session->process, &session->exit);
        process_unref(session->process);
    }
    free(session);
}

/* ---- output ---- */

static void finish_channel(struct ssh_session *session)
{
    const struct process_exit *exit = &session->process->exit;
    const char *signal = NULL;
    char name[OSA_SIGNAL_NAME_SIZE];
    session->finished = true;
    if (exit->reason != EXIT_REASON_EXITED && exit->signal != 0) {
        osa_signal_name(exit->signal, name);
        signal = strncmp(name, "SIG", 3) == 0 ? name + 3 : name;
    }
    io_ssh_finish(session->channel, signal, workload_status(exit));
}

static bool all_is_said(struct ssh_session *session)
{
    if (session->process->state != PROCESS_EXITED)
        return false;
    if (session->process->output_done || session->lingered)
        return true;
    if (session->linger.heap_index == 0)
        osa_timer_arm(session->gateway->program.loop, &session->linger,
                      osa_deadline_after(LINGER_NS));
    return false;
}

/* What was lost before the client came, it does not miss. */
static void say_gap(struct ssh_session *session, uint64_t offset, uint64_t bytes)
{
    char text[96];
    int len = snprintf(text, sizeof(text), "openshell: %llu bytes of output are lost to you\r\n",
                       (unsigned long long)bytes);
    if (offset > 0)
        (void)io_ssh_write(session->channel, true, text, (size_t)len);
}

static void send_output(struct ssh_session *session)
{
    if (session->notice != NULL && session->channel != NULL && !session->finished)
        (void)io_ssh_write(session->channel, true, session->notice, strlen(session->notice));
    session->notice = NULL;
    struct output_log *log = &session->process->log;
    struct output_chunk chunk;
    while (session->channel != NULL && !session->finished) {
        struct output_cursor before = session->cursor;
        enum output_read kind = output_log_read(log, &session->cursor, CHUNK_BYTES, &chunk);
        if (kind == OUTPUT_READ_NOTHING)
            break;
        if (kind == OUTPUT_READ_GAP) {
            say_gap(session, before.offset, chunk.len);
            continue;
        }
        size_t sent = io_ssh_write(session->channel, chunk.stream == OUTPUT_STDERR, chunk.data,
                                   (size_t)chunk.len);
        if (sent < chunk.len) {
            session->cursor = before;
            if (sent > 0)
                (void)output_log_read(log, &session->cursor, sent, &chunk);
            process_reader_moved(session->process, &session->reader, session->cursor.offset,
                                 /* sending= */ true);
            return; /* until there is room */
        }
    }
    process_reader_moved(session->process, &session->reader, session->cursor.offset,
                         /* sending= */ false);
    if (session->channel != NULL && !session->finished && all_is_said(session))
        finish_channel(session);
}

/* ---- input ---- */

static void detach(struct ssh_session *session)
{
    release_input(session);
    session->input_closed = session->finished = true;
    session->input_len = 0;
    io_ssh_finish(session->channel, NULL, 0);
}

/*
 * Ctrl-P Ctrl-Q leaves the main process to itself; a Ctrl-P is kept back until the next key says which.
 * The input begins one byte late, so that one that was kept back fits before it.
 */
static void look_for_detach(struct ssh_session *session)
{
    size_t kept = 0;
    for (size_t i = 1; i <= session->input_len; i++) {
        char key = session->input[i];
        if (session->held && key == KEY_DETACH) {
            detach(session);
            return;
        }
        if (session->held)
            session->input[kept++] = KEY_PREFIX;
        session->held = key == KEY_PREFIX;
        if (!session->held)
            session->input[kept++] = key;
    }
    session->input_len = session->read_only ? 0 : kept;
}

static bool take_input(struct ssh_session *session)
{
    size_t skip = session->own ? 0 : 1;
    ptrdiff_t got =
        io_ssh_read(session->channel, session->input + skip, sizeof(session->input) - skip);
    if (got == 0)
        return false;
    session->input_ended = got < 0;
    session->input_len = got > 0 ? (size_t)got : 0;
    if (!session->own)
        look_for_detach(session);
    return true;
}

static void send_input(struct ssh_session *session)
{
    struct osa_error err = { 0 };
    while (!session->input_closed && session->channel != NULL && session->process != NULL) {
        if (session->input_len == 0 && !session->input_ended) {
            if (!take_input(session))
                return;
            if (session->input_closed)
                return;
        }
        if (session->input_len > 0) {
            size_t taken = 0;
            if (process_write_stdin(session->process, session->input, session->input_len, &taken,
                                    &err) != OSA_OK) {
                session->input_len = 0; /* nobody reads it any more: thrown away */
                continue;
            }
            memmove(session->input, session->input + taken, session->input_len - taken);
            session->input_len -= taken;
            if (session->input_len > 0)
                return; /* until the process takes more */
        }
        if (session->input_ended && session->input_len == 0) {
            session->input_closed = true;
            release_input(session);
            /* A terminal has no end, and the main process outlives its visitors. */
            if (session->own && !session->process->request->tty &&
                process_close_stdin(session->process, &err) != OSA_OK)
                return;
        }
    }
}

/* ---- events ---- */

static void on_process(struct process_reader *reader)
{
    struct ssh_session *session = OSA_CONTAINER_OF(reader, struct ssh_session, reader);
    send_input(session);
    send_output(session);
}

static void on_linger(struct osa_timer *timer)
{
    struct ssh_session *session = OSA_CONTAINER_OF(timer, struct ssh_session, linger);
    session->lingered = true;
    send_output(session);
}

static void say_failure(struct ssh_session *session)
{
    (void)io_ssh_write(session->channel, true, session->failure, strlen(session->failure));
    session->finished = true;
    io_ssh_finish(session->channel, NULL, STATUS_NO_START);
}

static void on_readable(struct io_ssh_channel_events *events)
{
    struct ssh_session *session = OSA_CONTAINER_OF(events, struct ssh_session, events);
    if (session->failure[0] != '\0')
        say_failure(session);
    else
        send_input(session);
}

static void on_writable(struct io_ssh_channel_events *events)
{
    struct ssh_session *session = OSA_CONTAINER_OF(events, struct ssh_session, events);
    if (session->process != NULL)
        send_output(session);
}

static void on_resized(struct io_ssh_channel_events *events, uint16_t rows, uint16_t columns)
{
    struct ssh_session *session = OSA_CONTAINER_OF(events, struct ssh_session, events);
    struct osa_error err = { 0 };
    session->size = (struct terminal_size){ rows, columns };
    if (session->process != NULL && process_resize(session->process, session->size, &err) != OSA_OK)
        osa_log_error(OSA_LOG_DEBUG, "gateway", "a terminal keeps its size", &err);
}

static void on_signalled(struct io_ssh_channel_events *events, const char *name)
{
    struct ssh_session *session = OSA_CONTAINER_OF(events, struct ssh_session, events);
    struct osa_error err = { 0 };
    int signo;
    if (session->process == NULL || !osa_signal_parse(name, &signo) || signo == 0)
        return;
    if (process_signal(session->process, signo, SIGNAL_GROUP, &err) != OSA_OK)
        osa_log_error(OSA_LOG_DEBUG, "gateway", "a signal was not delivered", &err);
}

static void on_channel_closed(struct io_ssh_channel_events *events)
{
    struct ssh_session *session = OSA_CONTAINER_OF(events, struct ssh_session, events);
    session->channel = NULL;
    if (session->own && !session->started)
        return; /* on_spawned() comes */
    if (session->own && session->process != NULL && session->process->state != PROCESS_EXITED)
        process_kill(session->process, 0, NULL);
    session_free_now(session);
}

static struct ssh_session *session_new(struct gateway *gateway, struct io_ssh_channel *channel)
{
    struct ssh_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        abort();
    session->gateway = gateway;
    session->channel = channel;
    session->events = (struct io_ssh_channel_events){ on_readable, on_writable, on_resized,
                                                      on_signalled, on_channel_closed };
    session->reader.ready = on_process;
    session->reader.follows = true;
    session->linger.fire = on_linger;
    io_ssh_attach(channel, &session->events);
    return session;
}

/* ---- what can be asked for ---- */

static void on_spawned(void *ctx, struct process *process, const struct osa_error *error)
{
    struct ssh_session *session = ctx;
    session->started = true;
    if (error == NULL)
        session->process = process_ref(process);
    if (session->channel == NULL) {
        if (error == NULL)
            process_kill(process, 0, NULL);
        session_free_now(session);
        return;
    }
    if (error != NULL) {
        (void)snprintf(session->failure, sizeof(session->failure), "openshell: %s\n", error->text);
        io_ssh_attach(session->channel, &session->events); /* this may be inside libssh */
        return;
    }
    process_read(process, &session->reader);
    on_process(&session->reader);
}

void ssh_session_run(struct gateway *gateway, struct io_ssh_channel *channel,
                     const char *const *argv, const char *term, struct terminal_size size)
{
    struct ssh_session *session = session_new(gateway, channel);
    session->size = size;
    if (term != NULL && term[0] == '\0')
        term = "xterm-256color";
    struct process_request *request = workload_request(session->gateway, argv, term);
    if (term != NULL)
        request->tty_size = size;
    session->own = true;
    process_spawn(session->gateway->program.agent, request, on_spawned, session);
}

void ssh_session_nothing(struct gateway *gateway, struct io_ssh_channel *channel)
{
    session_new(gateway, channel)->started = true;
}

void ssh_session_main(struct gateway *gateway, struct io_ssh_channel *channel,
                      const struct io_ssh_request *request)
{
    struct ssh_session *session = session_new(gateway, channel);
    struct osa_error err = { 0 };
    struct process *process = gateway->main;
    static const char notice[] =
        "openshell: another client types into the main process; attached read-only\r\n";
    session->started = true;
    session->process = process_ref(process);
    session->read_only = request->read_only || gateway->main_input != NULL;
    session->notice = session->read_only && !request->read_only ? notice : NULL;
    if (!session->read_only)
        gateway->main_input = session;
    if (request->term != NULL &&
        process_resize(process, (struct terminal_size){ request->rows, request->columns }, &err) !=
            OSA_OK)
        osa_log_error(OSA_LOG_DEBUG, "gateway", "the main terminal keeps its size", &err);
    process_read(process, &session->reader);
    io_ssh_attach(session->channel, &session->events); /* again, so that output comes soon */
}
