// SPDX-License-Identifier: Apache-2.0
/* The connection to the gateway, and as whom. */
#include "agent/gateway/gateway.h"

/* Both ends ask each other; the gateway does so every 20 s. */
#define KEEPALIVE_MS 10000

enum osa_code gateway_connect(struct gateway *gateway, struct osa_error *err)
{
    const struct gateway_config *config = gateway->config;
    bool by_account =
        config->token == NULL && config->token_file == NULL && config->service_account_file != NULL;
    const struct rpc_channel_config channel = {
        .loop = gateway->program.loop,
        .target = config->endpoint,
        .ca = config->tls_ca,
        .cert = config->tls_cert,
        .key = config->tls_key,
        .server_name = config->tls_server_name,
        .token_file = config->token != NULL ? NULL
                      : by_account          ? config->service_account_file
                                            : config->token_file,
        .plain_token = true, /* who set the endpoint up decided so */
        .keepalive_ms = KEEPALIVE_MS,
    };
    enum osa_code code = rpc_channel_new(&channel, &gateway->channel, err);
    if (code == OSA_OK && config->token != NULL)
        code = rpc_channel_set_token(gateway->channel, config->token, err);
    else if (code == OSA_OK && by_account)
        code = tokens_issue(gateway, err);
    return code;
}
