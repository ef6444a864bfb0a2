// SPDX-License-Identifier: Apache-2.0
/*
 * The sandbox's token for the gateway. When it expires is only known from the gateway's answer, or
 * from the token itself.
 */
#include "agent/gateway/claims.h"
#include "agent/gateway/gateway.h"

#include "base/fd.h"
#include "base/log.h"
#include "io/json_value.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define CALL_NS (10 * OSA_NS_PER_SEC)
#define RETRY_NS (10 * OSA_NS_PER_SEC)
#define SHORTEST_NS OSA_NS_PER_SEC
#define LONGEST_NS (12 * 3600 * OSA_NS_PER_SEC)
#define NEVER_NS (6 * 3600 * OSA_NS_PER_SEC) /* a token that does not expire, as far as is known */
#define TOKEN_BYTES 16384

struct tokens {
    struct gateway *gateway;
    struct rpc_client_events events;
    struct osa_timer timer;
    bool renewed;
};

static int64_t expiry_of(const char *token)
{
    struct json_t *claims = claims_read(token);
    int64_t expires_ms = claims_expiry_ms(claims);
    io_json_free(claims);
    return expires_ms;
}

static int64_t read_expiry(const struct gateway_config *config)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    if (config->token != NULL)
        return expiry_of(config->token);
    if (config->token_file == NULL ||
        osa_read_file(AT_FDCWD, config->token_file, TOKEN_BYTES, &text, &len, NULL) != OSA_OK)
        return 0;
    int64_t expires_ms = expiry_of(text);
    osa_wipe(text, len);
    return expires_ms;
}

static int64_t wait_ns(const struct gateway *gateway)
{
    if (gateway->token_expires_ms == 0)
        return NEVER_NS;
    int64_t left_ms = gateway->token_expires_ms - osa_wall_ns() / OSA_NS_PER_MS;
    int64_t left_ns =
        OSA_MIN(OSA_MAX(left_ms, (int64_t)0), LONGEST_NS / OSA_NS_PER_MS * 2) * OSA_NS_PER_MS;
    return OSA_MIN(OSA_MAX(left_ns / 5 * 4, (int64_t)SHORTEST_NS), (int64_t)LONGEST_NS);
}

static void arm(struct tokens *tokens, int64_t ns)
{
    if (!tokens->gateway->ended && !tokens->gateway->finishing)
        osa_timer_arm(tokens->gateway->program.loop, &tokens->timer, osa_deadline_after(ns));
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct tokens *tokens = OSA_CONTAINER_OF(events, struct tokens, events);
    const GATEWAY(RefreshSandboxTokenResponse) *reply =
        (const GATEWAY(RefreshSandboxTokenResponse) *)response;
    struct osa_error err = { 0 };
    if (rpc_channel_set_token(tokens->gateway->channel, reply->token, &err) != OSA_OK) {
        osa_log_error(OSA_LOG_WARN, "gateway", "the gateway's new token cannot be used", &err);
        return;
    }
    tokens->renewed = true;
    tokens->gateway->token_expires_ms = OSA_MAX(reply->expires_at_ms, (int64_t)0);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct tokens *tokens = OSA_CONTAINER_OF(events, struct tokens, events);
    if (status->error.code != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "gateway", "the token cannot be renewed; tried again in 10 s",
                      &status->error);
    arm(tokens, tokens->renewed ? wait_ns(tokens->gateway) : RETRY_NS);
}

static void on_timer(struct osa_timer *timer)
{
    struct tokens *tokens = OSA_CONTAINER_OF(timer, struct tokens, timer);
    GATEWAY(RefreshSandboxTokenRequest) request = GATEWAY_INIT(REFRESH_SANDBOX_TOKEN_REQUEST);
    tokens->renewed = false;
    struct rpc_client_call *call =
        rpc_client_start(tokens->gateway->channel, GATEWAY_METHOD("RefreshSandboxToken"),
                         &openshell__v1__refresh_sandbox_token_response__descriptor,
                         osa_deadline_after(CALL_NS), /* wait_for_ready= */ false, &tokens->events);
    (void)rpc_client_send(call, &request.base);
    rpc_client_half_close(call);
}

enum osa_code tokens_issue(struct gateway *gateway, struct osa_error *err)
{
    GATEWAY(IssueSandboxTokenRequest) request = GATEWAY_INIT(ISSUE_SANDBOX_TOKEN_REQUEST);
    ProtobufCMessage *reply = NULL;
    enum osa_code code =
        rpc_client_unary(gateway->channel, GATEWAY_METHOD("IssueSandboxToken"), &request.base,
                         &openshell__v1__issue_sandbox_token_response__descriptor,
                         osa_deadline_after(CALL_NS), &reply, err);
    if (code != OSA_OK)
        return osa_wrap(err, "IssueSandboxToken");
    const GATEWAY(IssueSandboxTokenResponse) *issued =
        (const GATEWAY(IssueSandboxTokenResponse) *)reply;
    gateway->token_expires_ms = OSA_MAX(issued->expires_at_ms, (int64_t)0);
    code = rpc_channel_set_token(gateway->channel, issued->token, err);
    protobuf_c_message_free_unpacked(reply, NULL);
    return code;
}

void tokens_watch(struct gateway *gateway)
{
    struct tokens *tokens = calloc(1, sizeof(*tokens));
    if (tokens == NULL)
        abort();
    tokens->gateway = gateway;
    tokens->events = (struct rpc_client_events){ .message = on_message, .done = on_done };
    tokens->timer.fire = on_timer;
    gateway->tokens = tokens;
    if (gateway->token_expires_ms == 0)
        gateway->token_expires_ms = read_expiry(gateway->config);
    arm(tokens, wait_ns(gateway));
}

void tokens_free(struct gateway *gateway)
{
    if (gateway->tokens == NULL)
        return;
    osa_timer_disarm(&gateway->tokens->timer);
    free(gateway->tokens);
    gateway->tokens = NULL;
}
