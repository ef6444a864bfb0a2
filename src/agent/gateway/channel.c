// SPDX-License-Identifier: Apache-2.0
/* The connection to the gateway, and as whom. */
#include "agent/gateway/gateway.h"

#include "base/log.h"

/* Both ends ask each other; the gateway does so every 20 s. */
#define KEEPALIVE_MS 10000

#define ATTEMPTS 5
#define CALL_NS (10 * OSA_NS_PER_SEC)
#define FIRST_WAIT_NS OSA_NS_PER_SEC
#define MAX_WAIT_NS (4 * OSA_NS_PER_SEC)

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

bool gateway_by_account(const struct gateway_config *config)
{
    return !is_set(config->token) && !is_set(config->token_file) &&
           is_set(config->service_account_file);
}

enum osa_code gateway_connect(struct gateway *gateway, struct osa_error *err)
{
    const struct gateway_config *config = gateway->config;
    bool by_account = gateway_by_account(config);
    const struct rpc_channel_config channel = {
        .loop = gateway->program.loop,
        .target = config->endpoint,
        .ca = config->tls_ca,
        .cert = config->tls_cert,
        .key = config->tls_key,
        .server_name = config->tls_server_name,
        .token_file = !is_set(config->token) && !by_account ? config->token_file : NULL,
        .plain_token = true, /* who set the endpoint up decided so */
        .keepalive_ms = KEEPALIVE_MS,
    };
    enum osa_code code = rpc_channel_new(&channel, &gateway->channel, err);
    if (code == OSA_OK && is_set(config->token))
        code = rpc_channel_set_token(gateway->channel, config->token, err);
    else if (code == OSA_OK && by_account)
        code = tokens_issue(gateway, err);
    return code;
}

bool gateway_worth_retrying(enum osa_code code)
{
    return code == OSA_UNAVAILABLE || code == OSA_DEADLINE_EXCEEDED ||
           code == OSA_RESOURCE_EXHAUSTED || code == OSA_ABORTED || code == OSA_INTERNAL ||
           code == OSA_UNKNOWN;
}

static void on_waited(struct osa_timer *timer)
{
    (void)timer; /* the loop has run, which is all there was to wait for */
}

static void wait_ns(struct gateway *gateway, int64_t ns)
{
    struct osa_timer timer = { .fire = on_waited };
    int64_t until = osa_deadline_after(ns);
    osa_timer_arm(gateway->program.loop, &timer, until);
    while (osa_now_ns() < until && gateway->program.terms == 0)
        (void)osa_loop_run_once(gateway->program.loop, until);
    osa_timer_disarm(&timer);
}

enum osa_code gateway_call(struct gateway *gateway, const char *path,
                           const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *response, ProtobufCMessage **ret_reply,
                           struct osa_error *err)
{
    int64_t pause_ns = FIRST_WAIT_NS;
    for (int attempt = 1;; attempt++) {
        enum osa_code code = rpc_client_unary(gateway->channel, path, request, response,
                                              osa_deadline_after(CALL_NS), ret_reply, err);
        if (code == OSA_OK || !gateway_worth_retrying(code) || attempt == ATTEMPTS ||
            gateway->program.terms > 0)
            return code;
        osa_log_error(OSA_LOG_WARN, "gateway", "the gateway does not answer; tried again", err,
                      OSA_I("in_ms", pause_ns / OSA_NS_PER_MS));
        wait_ns(gateway, pause_ns);
        pause_ns = OSA_MIN(pause_ns * 2, (int64_t)MAX_WAIT_NS);
    }
}
