// SPDX-License-Identifier: Apache-2.0
#include "io/ssh_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- what the client asks for; called by libssh ---- */

static uint16_t clamp(int value)
{
    return (uint16_t)(value < 1 ? 1 : value > UINT16_MAX ? UINT16_MAX : value);
}

/* Nothing is taken here: what is left with libssh keeps the client's window small. */
static int on_data(ssh_session session, ssh_channel handle, void *data, uint32_t len, int is_stderr,
                   void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    (void)data;
    (void)len;
    (void)is_stderr;
    channel->dirty_input = true;
    return 0;
}

static void on_eof(ssh_session session, ssh_channel handle, void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    channel->input_ended = true;
    channel->dirty_input = true;
}

static void on_close(ssh_session session, ssh_channel handle, void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    channel->gone = true;
}

static void on_signal(ssh_session session, ssh_channel handle, const char *signal, void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    if (channel->signal_count < SIGNALS_KEPT)
        (void)snprintf(channel->signals[channel->signal_count++], sizeof(channel->signals[0]), "%s",
                       signal);
}

static int on_pty(ssh_session session, ssh_channel handle, const char *term, int width, int height,
                  int pxwidth, int pxheight, void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    (void)pxwidth;
    (void)pxheight;
    (void)snprintf(channel->term, sizeof(channel->term), "%s", term);
    channel->has_term = true;
    channel->rows = clamp(height);
    channel->columns = clamp(width);
    return 0;
}

static int on_resize(ssh_session session, ssh_channel handle, int width, int height, int pxwidth,
                     int pxheight, void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    (void)pxwidth;
    (void)pxheight;
    channel->rows = clamp(height);
    channel->columns = clamp(width);
    channel->dirty_size = true;
    return 0;
}

/* Said yes to, and but for one ignored: the environment of sessions is the sandbox's, as with OpenShell's own. */
static int on_env(ssh_session session, ssh_channel handle, const char *name, const char *value,
                  void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    if (strcmp(name, IO_SSH_READ_ONLY) == 0)
        channel->read_only = strcmp(value, "1") == 0;
    return 0;
}

static int start(struct io_ssh_channel *channel, enum io_ssh_want want, const char *text)
{
    struct io_ssh_events *events = channel->connection->events;
    const struct io_ssh_request request = {
        .want = want,
        .text = text,
        .term = channel->has_term ? channel->term : NULL,
        .rows = channel->rows,
        .columns = channel->columns,
        .read_only = channel->read_only,
    };
    if (channel->events != NULL) /* one program for each channel: RFC 4254, 6.5 */
        return -1;
    if (!events->start(events, channel, &request))
        return -1;
    return channel->events != NULL ? 0 : -1;
}

static int on_exec(ssh_session session, ssh_channel handle, const char *command, void *ctx)
{
    (void)session;
    (void)handle;
    return start(ctx, IO_SSH_EXEC, command);
}

static int on_shell(ssh_session session, ssh_channel handle, void *ctx)
{
    (void)session;
    (void)handle;
    return start(ctx, IO_SSH_SHELL, "");
}

static int on_subsystem(ssh_session session, ssh_channel handle, const char *name, void *ctx)
{
    (void)session;
    (void)handle;
    return start(ctx, IO_SSH_SUBSYSTEM, name);
}

static int on_room(ssh_session session, ssh_channel handle, uint32_t bytes, void *ctx)
{
    struct io_ssh_channel *channel = ctx;
    (void)session;
    (void)handle;
    (void)bytes;
    channel->dirty_output = true;
    return 0;
}

struct io_ssh_channel *io_ssh_channel_new(struct io_ssh *connection, ssh_channel handle)
{
    struct io_ssh_channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL)
        abort();
    channel->connection = connection;
    channel->handle = handle;
    channel->callbacks = (struct ssh_channel_callbacks_struct){
        .userdata = channel,
        .channel_data_function = on_data,
        .channel_eof_function = on_eof,
        .channel_close_function = on_close,
        .channel_signal_function = on_signal,
        .channel_pty_request_function = on_pty,
        .channel_shell_request_function = on_shell,
        .channel_pty_window_change_function = on_resize,
        .channel_exec_request_function = on_exec,
        .channel_env_request_function = on_env,
        .channel_subsystem_request_function = on_subsystem,
        .channel_write_wontblock_function = on_room,
    };
    ssh_callbacks_init(&channel->callbacks);
    (void)ssh_set_channel_callbacks(handle, &channel->callbacks);
    DL_APPEND(connection->channels, channel);
    connection->channel_count++;
    return channel;
}

/* ---- delivery ---- */

static void forget(struct io_ssh_channel *channel)
{
    DL_DELETE(channel->connection->channels, channel);
    channel->connection->channel_count--;
    (void)ssh_remove_channel_callbacks(channel->handle, &channel->callbacks);
    ssh_channel_free(channel->handle);
    free(channel);
}

void io_ssh_channel_deliver(struct io_ssh_channel *channel)
{
    struct io_ssh_channel_events *events = channel->events;
    bool input = channel->dirty_input;
    bool output = channel->dirty_output;
    bool size = channel->dirty_size;
    channel->dirty_input = channel->dirty_output = channel->dirty_size = false;
    if (events != NULL && !channel->finished && !channel->gone) {
        if (size)
            events->resized(events, channel->rows, channel->columns);
        for (unsigned i = 0; i < channel->signal_count; i++)
            events->signalled(events, channel->signals[i]);
        if (input)
            events->readable(events);
        if (output)
            events->writable(events);
    }
    channel->signal_count = 0;
    if (!channel->gone)
        return;
    channel->events = NULL;
    forget(channel);
    if (events != NULL)
        events->closed(events);
}

/* ---- for the owner ---- */

void io_ssh_attach(struct io_ssh_channel *channel, struct io_ssh_channel_events *events)
{
    channel->events = events;
    channel->dirty_input = true; /* what came before */
    io_ssh_kick(channel->connection);
}

ptrdiff_t io_ssh_read(struct io_ssh_channel *channel, void *data, size_t size)
{
    if (channel->gone)
        return -1;
    int got = ssh_channel_read_nonblocking(channel->handle, data,
                                           (uint32_t)OSA_MIN(size, (size_t)UINT32_MAX), 0);
    io_ssh_kick(channel->connection); /* the window may have grown, which is a packet to send */
    if (got > 0)
        return got;
    return channel->input_ended || got == SSH_EOF || got == SSH_ERROR ? -1 : 0;
}

size_t io_ssh_write(struct io_ssh_channel *channel, bool error, const void *data, size_t len)
{
    size_t done = 0;
    while (done < len && !channel->gone && !channel->finished) {
        uint32_t room = ssh_channel_window_size(channel->handle);
        uint32_t part = (uint32_t)OSA_MIN(len - done, (size_t)room);
        if (part == 0)
            break;
        const char *at = (const char *)data + done;
        int sent = error ? ssh_channel_write_stderr(channel->handle, at, part)
                         : ssh_channel_write(channel->handle, at, part);
        if (sent <= 0)
            break;
        done += (size_t)sent;
    }
    io_ssh_kick(channel->connection);
    return done;
}

void io_ssh_finish(struct io_ssh_channel *channel, const char *signal, int status)
{
    if (channel->finished || channel->gone)
        return;
    channel->finished = true;
    (void)ssh_channel_send_eof(channel->handle);
    if (signal != NULL)
        (void)ssh_channel_request_send_exit_signal(channel->handle, signal, 0, "", "");
    if (status >= 0)
        (void)ssh_channel_request_send_exit_status(channel->handle, status);
    (void)ssh_channel_close(channel->handle);
    io_ssh_kick(channel->connection);
}
