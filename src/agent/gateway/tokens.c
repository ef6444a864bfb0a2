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

/**
 * struct tokens - @issuing: the last one was refused, so the service account's is exchanged again
 * @renewed: by the call that is under way
 */
struct tokens {
    struct gateway *gateway;
    struct rpc_client_events events;
    struct osa_timer timer;
    bool issuing;
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
    const GATEWAY(IssueSandboxTokenResponse) *issued =
        (const GATEWAY(IssueSandboxTokenResponse) *)response;
    const GATEWAY(RefreshSandboxTokenResponse) *reply =
        (const GATEWAY(RefreshSandboxTokenResponse) *)response;
    const char *token = tokens->issuing ? issued->token : reply->token;
    int64_t expires_ms = tokens->issuing ? issued->expires_at_ms : reply->expires_at_ms;
    struct osa_error err = { 0 };
    if (rpc_channel_set_token(tokens->gateway->channel, token, &err) != OSA_OK) {
        osa_log_error(OSA_LOG_WARN, "gateway", "the gateway's new token cannot be used", &err);
        return;
    }
    tokens->renewed = true;
    tokens->gateway->token_expires_ms = OSA_MAX(expires_ms, (int64_t)0);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct tokens *tokens = OSA_CONTAINER_OF(events, struct tokens, events);
    const struct gateway_config *config = tokens->gateway->config;
    bool lost =
        status->error.code == OSA_UNAUTHENTICATED && !tokens->issuing && gateway_by_account(config);
    if (status->error.code != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "gateway",
                      lost ? "the token is not valid any more; another one is asked for"
                           : "the token cannot be renewed; tried again in 10 s",
                      &status->error);
    tokens->issuing = lost || (tokens->issuing && !tokens->renewed);
    if (tokens->renewed)
        arm(tokens, wait_ns(tokens->gateway));
    else
        arm(tokens, lost ? 0 : RETRY_NS);
}

/*
 * The service account's token, read anew: the kubelet replaces it. Its file's mode is the cluster's
 * choice (fsGroup makes it readable for the pod's group), so it is not judged.
 */
static enum osa_code use_account(const struct gateway *gateway, struct osa_error *err)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    enum osa_code code = osa_read_file(AT_FDCWD, gateway->config->service_account_file, TOKEN_BYTES,
                                       &text, &len, err);
    if (code != OSA_OK)
        return osa_wrap(err, "service-account-file");
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        text[--len] = '\0';
    code = rpc_channel_set_token(gateway->channel, text, err);
    osa_wipe(text, len);
    return code;
}

static void call(struct tokens *tokens, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *response)
{
    struct rpc_client_call *started =
        rpc_client_start(tokens->gateway->channel, path, response, osa_deadline_after(CALL_NS),
                         /* wait_for_ready= */ false, &tokens->events);
    (void)rpc_client_send(started, request);
    rpc_client_half_close(started);
}

static void on_timer(struct osa_timer *timer)
{
    struct tokens *tokens = OSA_CONTAINER_OF(timer, struct tokens, timer);
    GATEWAY(RefreshSandboxTokenRequest) refresh = GATEWAY_INIT(REFRESH_SANDBOX_TOKEN_REQUEST);
    GATEWAY(IssueSandboxTokenRequest) issue = GATEWAY_INIT(ISSUE_SANDBOX_TOKEN_REQUEST);
    struct osa_error err = { 0 };
    tokens->renewed = false;
    if (!tokens->issuing) {
        call(tokens, GATEWAY_METHOD("RefreshSandboxToken"), &refresh.base,
             &openshell__v1__refresh_sandbox_token_response__descriptor);
    } else if (use_account(tokens->gateway, &err) == OSA_OK) {
        call(tokens, GATEWAY_METHOD("IssueSandboxToken"), &issue.base,
             &openshell__v1__issue_sandbox_token_response__descriptor);
    } else {
        osa_log_error(OSA_LOG_WARN, "gateway", "no token can be asked for; tried again in 10 s",
                      &err);
        arm(tokens, RETRY_NS);
    }
}

enum osa_code tokens_issue(struct gateway *gateway, struct osa_error *err)
{
    GATEWAY(IssueSandboxTokenRequest) request = GATEWAY_INIT(ISSUE_SANDBOX_TOKEN_REQUEST);
    ProtobufCMessage *reply = NULL;
    enum osa_code code = use_account(gateway, err);
    if (code != OSA_OK)
        return code;
    code = gateway_call(gateway, GATEWAY_METHOD("IssueSandboxToken"), &request.base,
                        &openshell__v1__issue_sandbox_token_response__descriptor, &reply, err);
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
