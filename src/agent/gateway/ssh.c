// SPDX-License-Identifier: Apache-2.0
/*
 * Sessions: a process of the sandbox for each exec, shell and subsystem, confined as every other one.
 * It is killed when its client goes away. The subsystem openshell-main shows the main process instead.
 */
#include "agent/gateway/ssh.h"

#include "agent/gateway/gateway.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/signal_name.h"
#include "io/ssh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define CHUNK_BYTES ((size_t)32 << 10)
/* After the exit, a stranger that holds the output open is waited for so long and no longer. */
#define LINGER_NS (OSA_NS_PER_SEC / 2)
#define STATUS_NO_START 127 /* as shells say it */

/** struct ssh_client - One connection, of one relay */
struct ssh_client {
    struct gateway *gateway;
    struct io_ssh *connection;
    struct io_ssh_events events;
    struct ssh_client *prev, *next;
};

/**
 * struct ssh_session - A channel and its process
 * @channel:  NULL once the client has closed it
 * @process:  owned reference; NULL while it is being started
 * @own:      the process is the session's, and not the main one
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
    bool started;
    bool lingered;
    bool finished;
    struct terminal_size size;
    char input[CHUNK_BYTES];
    size_t input_len;
    bool input_ended;
    bool input_closed;
};

static void session_free_now(struct ssh_session *session)
{
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

static void send_output(struct ssh_session *session)
{
    struct output_log *log = &session->process->log;
    struct output_chunk chunk;
    while (session->channel != NULL && !session->finished) {
        struct output_cursor before = session->cursor;
        enum output_read kind = output_log_read(log, &session->cursor, CHUNK_BYTES, &chunk);
        if (kind == OUTPUT_READ_NOTHING)
            break;
        if (kind == OUTPUT_READ_GAP)
            continue; /* of the main process, from before this client */
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

static void send_input(struct ssh_session *session)
{
    struct osa_error err = { 0 };
    while (!session->input_closed && session->channel != NULL && session->process != NULL) {
        if (session->input_len == 0 && !session->input_ended) {
            ptrdiff_t got = io_ssh_read(session->channel, session->input, sizeof(session->input));
            if (got == 0)
                return;
            session->input_ended = got < 0;
            session->input_len = got > 0 ? (size_t)got : 0;
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

static void on_readable(struct io_ssh_channel_events *events)
{
    send_input(OSA_CONTAINER_OF(events, struct ssh_session, events));
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
        char text[600];
        int len = snprintf(text, sizeof(text), "openshell: %s\n", error->text);
        (void)io_ssh_write(session->channel, true, text, (size_t)len);
        session->finished = true;
        io_ssh_finish(session->channel, NULL, STATUS_NO_START);
        return;
    }
    process_read(process, &session->reader);
    on_process(&session->reader);
}

static void start_process(struct ssh_session *session, const char *const *argv, const char *term,
                          struct terminal_size size)
{
    if (term != NULL && term[0] == '\0')
        term = "xterm-256color";
    struct process_request *request = workload_request(session->gateway, argv, term);
    if (term != NULL)
        request->tty_size = size;
    session->own = true;
    process_spawn(session->gateway->program.agent, request, on_spawned, session);
}

static void show_main(struct ssh_session *session, const struct io_ssh_request *request)
{
    struct osa_error err = { 0 };
    struct process *process = session->gateway->main;
    session->started = true;
    session->process = process_ref(process);
    if (request->term != NULL &&
        process_resize(process, (struct terminal_size){ request->rows, request->columns }, &err) !=
            OSA_OK)
        osa_log_error(OSA_LOG_DEBUG, "gateway", "the main terminal keeps its size", &err);
    process_read(process, &session->reader);
    io_ssh_attach(session->channel, &session->events); /* again, so that output comes soon */
}

/* Trailing and leading blanks of a command mean nothing; nothing left means that nothing is run. */
static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static bool on_start(struct io_ssh_events *events, struct io_ssh_channel *channel,
                     const struct io_ssh_request *request)
{
    struct ssh_client *client = OSA_CONTAINER_OF(events, struct ssh_client, events);
    struct gateway *gateway = client->gateway;
    const struct terminal_size size = { request->rows, request->columns };
    const char *const exec[] = { "/bin/bash", "-lc", request->text, NULL };
    const char *const shell[] = { "/bin/bash", request->term != NULL ? "-i" : NULL, NULL };
    const char *const sftp[] = { "/bin/bash", "-lc", "exec /usr/lib/openssh/sftp-server", NULL };
    bool main_wanted =
        request->want == IO_SSH_SUBSYSTEM && strcmp(request->text, "openshell-main") == 0;
    if (gateway->ended || gateway->main == NULL)
        return false;
    if (request->want == IO_SSH_SUBSYSTEM && !main_wanted && strcmp(request->text, "sftp") != 0)
        return false;
    struct ssh_session *session = session_new(gateway, channel);
    session->size = size;
    if (main_wanted)
        show_main(session, request);
    else if (request->want == IO_SSH_SHELL)
        start_process(session, shell, request->term, size);
    else if (request->want == IO_SSH_SUBSYSTEM)
        start_process(session, sftp, NULL, size);
    else if (!is_blank(request->text))
        start_process(session, exec, request->term, size);
    else
        session->started = true;
    return true;
}

/* ---- connections ---- */

static void on_client_closed(struct io_ssh_events *events)
{
    struct ssh_client *client = OSA_CONTAINER_OF(events, struct ssh_client, events);
    DL_DELETE(client->gateway->ssh_clients, client);
    free(client);
}

static bool on_forward(struct io_ssh_events *events, struct io_ssh_channel *channel,
                       const char *host, int port)
{
    struct ssh_client *client = OSA_CONTAINER_OF(events, struct ssh_client, events);
    return sshd_forward(client->gateway, channel, host, port);
}

enum osa_code sshd_connect(struct gateway *gateway, int *ret_fd, struct osa_error *err)
{
    int socks[2];
    if (gateway->ended)
        return osa_fail(err, OSA_UNAVAILABLE, 0, "the sandbox ends");
    if (gateway->ssh == NULL && io_ssh_server_new(&gateway->ssh, err) != OSA_OK)
        return err->code;
    if (osa_stream_pair(socks, err) != OSA_OK)
        return osa_wrap(err, "a socket for SSH");
    OSA_AUTO(osa_close_fd) int theirs = socks[1];
    struct ssh_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        abort();
    client->gateway = gateway;
    client->events = (struct io_ssh_events){ on_start, on_forward, on_client_closed };
    enum osa_code code = io_ssh_accept(gateway->ssh, gateway->program.loop, socks[0],
                                       &client->events, &client->connection, err);
    if (code != OSA_OK) {
        free(client);
        return code;
    }
    DL_APPEND(gateway->ssh_clients, client);
    *ret_fd = osa_take_fd(&theirs);
    return OSA_OK;
}

void sshd_end(struct gateway *gateway)
{
    struct ssh_client *client;
    DL_FOREACH(gateway->ssh_clients, client)
    io_ssh_close(client->connection);
    while (gateway->ssh_clients != NULL)
        (void)osa_loop_run_once(gateway->program.loop, OSA_NEVER);
    io_ssh_server_free(gateway->ssh);
    gateway->ssh = NULL;
}
