// SPDX-License-Identifier: Apache-2.0
/*
 * Sessions: a process of the sandbox for each exec, shell and subsystem, confined as every other one.
 * It is killed when its client goes away. The subsystem openshell-main shows the main process instead.
 */
#include "agent/gateway/ssh.h"

#include "agent/gateway/gateway.h"
#include "agent/gateway/ssh_session.h"
#include "base/fd.h"
#include "io/ssh.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define CLIENTS_MAX 256

/* Where Debian, Fedora, Alpine and others have it. */
static const char find_sftp[] =
    "for s in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec; do "
    "if [ -x $s/sftp-server ]; then exec $s/sftp-server; fi; done; "
    "echo 'openshell: there is no sftp-server in this sandbox' >&2; exit 127";

/** struct ssh_client - One connection, of one relay */
struct ssh_client {
    struct gateway *gateway;
    struct io_ssh *connection;
    struct io_ssh_events events;
    struct ssh_client *prev, *next;
};

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
    const char *const sftp[] = { "/bin/bash", "-lc", find_sftp, NULL };
    bool main_wanted =
        request->want == IO_SSH_SUBSYSTEM && strcmp(request->text, "openshell-main") == 0;
    if (gateway->ended || gateway->main == NULL)
        return false;
    if (request->want == IO_SSH_SUBSYSTEM && !main_wanted && strcmp(request->text, "sftp") != 0)
        return false;
    if (main_wanted)
        ssh_session_main(gateway, channel, request);
    else if (request->want == IO_SSH_SHELL)
        ssh_session_run(gateway, channel, shell, request->term, size);
    else if (request->want == IO_SSH_SUBSYSTEM)
        ssh_session_run(gateway, channel, sftp, NULL, size);
    else if (!is_blank(request->text))
        ssh_session_run(gateway, channel, exec, request->term, size);
    else
        ssh_session_nothing(gateway, channel);
    return true;
}

/* ---- connections ---- */

static void on_client_closed(struct io_ssh_events *events)
{
    struct ssh_client *client = OSA_CONTAINER_OF(events, struct ssh_client, events);
    DL_DELETE(client->gateway->ssh_clients, client);
    if (client->gateway->ssh_clients == NULL)
        gateway_rest(client->gateway);
    free(client);
}

static bool on_may_forward(struct io_ssh_events *events, const char *host, int port)
{
    const struct ssh_client *client = OSA_CONTAINER_OF(events, struct ssh_client, events);
    return sshd_may_forward(client->gateway, host, port);
}

static void on_forward(struct io_ssh_events *events, struct io_ssh_channel *channel,
                       const char *host, int port)
{
    struct ssh_client *client = OSA_CONTAINER_OF(events, struct ssh_client, events);
    sshd_forward(client->gateway, channel, host, port);
}

enum osa_code sshd_serve(struct gateway *gateway, int fd, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int owned = fd;
    struct ssh_client *client;
    unsigned count = 0;
    DL_COUNT(gateway->ssh_clients, client, count);
    if (gateway->ended)
        return osa_fail(err, OSA_UNAVAILABLE, 0, "the sandbox ends");
    if (count >= CLIENTS_MAX)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "%d SSH connections are open already",
                        CLIENTS_MAX);
    if (gateway->ssh == NULL && io_ssh_server_new(&gateway->ssh, err) != OSA_OK)
        return err->code;
    client = calloc(1, sizeof(*client));
    if (client == NULL)
        abort();
    client->gateway = gateway;
    client->events =
        (struct io_ssh_events){ on_start, on_may_forward, on_forward, on_client_closed };
    enum osa_code code = io_ssh_accept(gateway->ssh, gateway->program.loop, osa_take_fd(&owned),
                                       &client->events, &client->connection, err);
    if (code != OSA_OK) {
        free(client);
        return code;
    }
    DL_APPEND(gateway->ssh_clients, client);
    return OSA_OK;
}

enum osa_code sshd_connect(struct gateway *gateway, int *ret_fd, struct osa_error *err)
{
    int socks[2];
    if (osa_stream_pair(socks, err) != OSA_OK)
        return osa_wrap(err, "a socket for SSH");
    OSA_AUTO(osa_close_fd) int theirs = socks[1];
    enum osa_code code = sshd_serve(gateway, socks[0], err);
    if (code == OSA_OK)
        *ret_fd = osa_take_fd(&theirs);
    return code;
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
