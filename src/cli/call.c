// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include "base/clock.h"
#include "base/paths.h"

#include <limits.h>

/* Larger than what any reply holds but a list of very many processes. */
#define MAX_RESPONSE_BYTES (64u << 20)

struct one_call {
    struct rpc_client_events events; /* first: found again by OSA_CONTAINER_OF */
    struct cli *cli;
    struct rpc_client_call *call;
    cli_each_fn each;
    void *ctx;
    bool enough;
    bool over;
    int status;
};

enum osa_code cli_connect(struct cli *cli, struct osa_error *err)
{
    const struct cli_global *g = &cli->global;
    if (cli->channel != NULL)
        return OSA_OK;
    enum osa_code code = cli->loop == NULL ? osa_loop_new(&cli->loop, err) : OSA_OK;
    if (code != OSA_OK)
        return code;
    struct rpc_channel_config config = {
        .loop = cli->loop,
        .target = g->address,
        .tls = g->tls,
        .ca = g->tls_ca,
        .cert = g->tls_cert,
        .key = g->tls_key,
        .server_name = g->tls_server_name,
        .token_file = g->token_file,
        .max_message_bytes = MAX_RESPONSE_BYTES,
    };
    return rpc_channel_new(&config, &cli->channel, err);
}

void cli_disconnect(struct cli *cli)
{
    rpc_channel_free(cli->channel);
    cli->channel = NULL;
    osa_loop_free(cli->loop);
    cli->loop = NULL;
}

int64_t cli_deadline(const struct cli *cli)
{
    return osa_deadline_after(cli->global.call_timeout_ns);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct one_call *self = OSA_CONTAINER_OF(events, struct one_call, events);
    if (self->enough || self->each == NULL || self->each(self->ctx, response))
        return;
    self->enough = true;
    rpc_client_cancel(self->call);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct one_call *self = OSA_CONTAINER_OF(events, struct one_call, events);
    self->over = true;
    if (status->error.code == OSA_OK || self->enough)
        return;
    self->status = self->cli->command->failed;
    cli_report_status(self->cli, status);
}

int cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response, int64_t deadline_ns, cli_each_fn each,
             void *ctx)
{
    struct osa_error err = { 0 };
    struct one_call self = {
        .events = { .message = on_message, .done = on_done },
        .cli = cli,
        .each = each,
        .ctx = ctx,
        .status = CLI_DONE,
    };
    if (cli_connect(cli, &err) != OSA_OK) {
        cli_report(cli, &err, NULL);
        return cli->command->failed;
    }
    self.call = rpc_client_start(cli->channel, method, response, deadline_ns,
                                 /* wait_for_ready= */ false, &self.events);
    (void)rpc_client_send(self.call, request);
    rpc_client_half_close(self.call);
    while (!self.over)
        (void)osa_loop_run_once(cli->loop, OSA_NEVER);
    return self.status;
}
