// SPDX-License-Identifier: Apache-2.0
/* Connections: the key exchange, who is let in, and when libssh runs. Channels: ssh_channel.c. */
#include "io/ssh_internal.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct io_ssh_server {
    ssh_bind bind;
};

static void run(struct io_ssh *connection);

/* ---- the server ---- */

/* libssh 0.10's own list ends in a comma, and strict clients (russh) take that for an empty name. */
static const char ciphers[] = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,"
                              "aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr";

enum osa_code io_ssh_server_new(struct io_ssh_server **ret_server, struct osa_error *err)
{
    static const bool no = false;
    struct io_ssh_server *server = calloc(1, sizeof(*server));
    ssh_bind bind = ssh_bind_new();
    ssh_key key = NULL;
    if (server == NULL || bind == NULL) {
        free(server);
        ssh_bind_free(bind);
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "no memory for an SSH server");
    }
    /* No file of the host may change what is served here. */
    if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, ciphers) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, ciphers) != SSH_OK ||
        ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK ||
        ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) {
        (void)osa_fail(err, OSA_INTERNAL, 0, "an SSH host key cannot be made: %s",
                       ssh_get_error(bind));
        ssh_bind_free(bind);
        free(server);
        return err->code;
    }
    server->bind = bind;
    *ret_server = server;
    return OSA_OK;
}

void io_ssh_server_free(struct io_ssh_server *server)
{
    if (server == NULL)
        return;
    ssh_bind_free(server->bind);
    free(server);
}

/* ---- who is let in, and what may be opened; called by libssh ---- */

static int on_auth_none(ssh_session session, const char *user, void *ctx)
{
    (void)session;
    (void)user;
    (void)ctx;
    return SSH_AUTH_SUCCESS;
}

static int on_auth_key(ssh_session session, const char *user, struct ssh_key_struct *key,
                       char signature_state, void *ctx)
{
    (void)session;
    (void)user;
    (void)key;
    (void)signature_state;
    (void)ctx;
    return SSH_AUTH_SUCCESS;
}

static ssh_channel on_open_session(ssh_session session, void *ctx)
{
    const struct io_ssh *connection = ctx;
    if (connection->channel_count >= IO_SSH_CHANNELS_MAX)
        return NULL; /* refused */
    ssh_channel handle = ssh_channel_new(session);
    if (handle != NULL)
        (void)io_ssh_channel_new(ctx, handle);
    return handle;
}

/* Return: 0 when the message has been answered; 1 lets libssh refuse it. */
static int on_message(ssh_session session, ssh_message message, void *ctx)
{
    struct io_ssh *connection = ctx;
    (void)session;
    if (ssh_message_type(message) != SSH_REQUEST_CHANNEL_OPEN ||
        ssh_message_subtype(message) != SSH_CHANNEL_DIRECT_TCPIP)
        return 1;
    const char *host = ssh_message_channel_request_open_destination(message);
    int port = ssh_message_channel_request_open_destination_port(message);
    if (connection->channel_count >= IO_SSH_CHANNELS_MAX ||
        !connection->events->may_forward(connection->events, host, port))
        return 1;
    ssh_channel handle = ssh_message_channel_request_open_reply_accept(message);
    if (handle == NULL)
        return 1;
    connection->events->forward(connection->events, io_ssh_channel_new(connection, handle), host,
                                port);
    return 0;
}

/* ---- when libssh runs ---- */

static void settle(struct io_ssh *connection)
{
    struct io_ssh_events *events = connection->events;
    struct io_ssh_channel *channel, *next;
    DL_FOREACH_SAFE(connection->channels, channel, next)
    {
        channel->gone = true;
        io_ssh_channel_deliver(channel);
    }
    osa_source_remove(&connection->source);
    osa_close_fd(&connection->source.fd);
    if (connection->event != NULL) {
        (void)ssh_event_remove_session(connection->event, connection->session);
        ssh_event_free(connection->event);
    }
    ssh_disconnect(connection->session);
    ssh_free(connection->session); /* closes the socket */
    free(connection);
    events->closed(events);
}

/* Return: false when the connection is over. */
static bool exchange_keys(struct io_ssh *connection)
{
    int rc = ssh_handle_key_exchange(connection->session);
    if (rc == SSH_AGAIN)
        return true;
    if (rc != SSH_OK)
        return false;
    connection->event = ssh_event_new();
    connection->keyed = connection->event != NULL &&
                        ssh_event_add_session(connection->event, connection->session) == SSH_OK;
    return connection->keyed;
}

static bool turn(struct io_ssh *connection)
{
    if (!connection->keyed && !exchange_keys(connection))
        return false;
    if (connection->keyed && ssh_event_dopoll(connection->event, 0) == SSH_ERROR)
        return false;
    return ssh_is_connected(connection->session) &&
           (ssh_get_status(connection->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0;
}

static void run(struct io_ssh *connection)
{
    bool alive = !connection->closing && turn(connection);
    struct io_ssh_channel *channel, *next;
    DL_FOREACH_SAFE(connection->channels, channel, next)
    io_ssh_channel_deliver(channel);
    if (!alive || connection->closing) {
        connection->closing = true;
        if (!connection->kicked) /* its task is in the loop's queue otherwise */
            settle(connection);
        return;
    }
    bool writes = (ssh_get_poll_flags(connection->session) & SSH_WRITE_PENDING) != 0;
    osa_source_set(&connection->source, OSA_READ | (writes ? (unsigned)OSA_WRITE : 0u));
}

static void on_socket(struct osa_source *source, unsigned events)
{
    (void)events;
    run(OSA_CONTAINER_OF(source, struct io_ssh, source));
}

static void on_kick(struct osa_task *task)
{
    struct io_ssh *connection = OSA_CONTAINER_OF(task, struct io_ssh, kick);
    connection->kicked = false;
    run(connection);
}

void io_ssh_kick(struct io_ssh *connection)
{
    if (!connection->kicked)
        osa_loop_post(connection->loop, &connection->kick);
    connection->kicked = true;
}

/* ---- for the owner ---- */

enum osa_code io_ssh_accept(struct io_ssh_server *server, struct osa_loop *loop, int fd,
                            struct io_ssh_events *events, struct io_ssh **ret_connection,
                            struct osa_error *err)
{
    struct io_ssh *connection = calloc(1, sizeof(*connection));
    ssh_session session = ssh_new();
    if (connection == NULL || session == NULL ||
        ssh_bind_accept_fd(server->bind, session, fd) != SSH_OK) {
        free(connection);
        ssh_free(session);
        osa_close_fd(&fd);
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "no memory for an SSH connection");
    }
    *connection = (struct io_ssh){ .loop = loop, .session = session, .events = events };
    connection->kick.run = on_kick;
    connection->callbacks = (struct ssh_server_callbacks_struct){
        .userdata = connection,
        .auth_none_function = on_auth_none,
        .auth_pubkey_function = on_auth_key,
        .channel_open_request_session_function = on_open_session,
    };
    ssh_callbacks_init(&connection->callbacks);
    (void)ssh_set_server_callbacks(session, &connection->callbacks);
    ssh_set_message_callback(session, on_message, connection);
    ssh_set_auth_methods(session, SSH_AUTH_METHOD_NONE | SSH_AUTH_METHOD_PUBLICKEY);
    ssh_set_blocking(session, 0);
    /* libssh closes its own descriptor when it likes, which must not be the one that is watched. */
    connection->source =
        (struct osa_source){ .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .ready = on_socket };
    if (connection->source.fd < 0 ||
        osa_source_add(loop, &connection->source, OSA_READ, err) != OSA_OK) {
        osa_close_fd(&connection->source.fd);
        ssh_free(session);
        free(connection);
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "no descriptor for an SSH connection");
    }
    io_ssh_kick(connection); /* our banner goes first */
    *ret_connection = connection;
    return OSA_OK;
}

void io_ssh_close(struct io_ssh *connection)
{
    connection->closing = true;
    io_ssh_kick(connection);
}
