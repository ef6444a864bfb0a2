// SPDX-License-Identifier: Apache-2.0
/*
 * What the gateway configures: the policy at the start, and what changes later. Files, Landlock and
 * users are fixed for the life of a sandbox, so of a later policy only the network's part counts.
 */
#include "agent/egress.h"
#include "agent/gateway/gateway.h"

#include "base/fd.h"
#include "base/log.h"
#include "policy/document.h"
#include "wire/policy_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_NS (10 * OSA_NS_PER_SEC)
#define HASH_BYTES 256

typedef Openshell__Sandbox__V1__GetSandboxConfigRequest ConfigRequest;
typedef Openshell__Sandbox__V1__GetSandboxConfigResponse Config;

/**
 * struct settings - @version, @hash, @revision: of the policy that is in force, or was found wrong
 * @acknowledge: an answer about it is owed to the gateway
 */
struct settings {
    struct gateway *gateway;
    struct rpc_client_call *poll;
    struct rpc_client_events poll_events;
    struct rpc_client_call *ack;
    struct rpc_client_events ack_events;
    struct osa_timer timer;
    uint32_t version;
    uint64_t revision;
    char hash[HASH_BYTES];
    bool own;
    bool acknowledge;
    char problem[256];
};

static struct settings *settings_of(struct gateway *gateway)
{
    if (gateway->settings == NULL) {
        gateway->settings = calloc(1, sizeof(*gateway->settings));
        if (gateway->settings == NULL)
            abort();
        gateway->settings->gateway = gateway;
    }
    return gateway->settings;
}

static void remember(struct settings *settings, const Config *config)
{
    struct gateway *gateway = settings->gateway;
    (void)snprintf(gateway->workspace, sizeof(gateway->workspace), "%s", config->workspace);
    settings->version = config->version;
    settings->revision = config->config_revision;
    (void)snprintf(settings->hash, sizeof(settings->hash), "%s", config->policy_hash);
    settings->own =
        (int)config->policy_source == OPENSHELL__SANDBOX__V1__POLICY_SOURCE__POLICY_SOURCE_SANDBOX;
    settings->acknowledge = settings->own && config->version > 0;
}

/* ---- the start ---- */

static enum osa_code ask(struct gateway *gateway, Config **ret, struct osa_error *err)
{
    ConfigRequest request = OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;
    request.sandbox_id = (char *)(uintptr_t)gateway->config->sandbox_id;
    ProtobufCMessage *reply = NULL;
    enum osa_code code =
        gateway_call(gateway, GATEWAY_METHOD("GetSandboxConfig"), &request.base,
                     &openshell__sandbox__v1__get_sandbox_config_response__descriptor, &reply, err);
    if (code != OSA_OK)
        return osa_wrap(err, "GetSandboxConfig");
    *ret = (Config *)reply;
    return OSA_OK;
}

/* The gateway wants to know the policy of a sandbox that was created without one. Failing is no harm. */
static void offer_policy(struct gateway *gateway, const struct policy_document *policy,
                         const char *workspace)
{
    GATEWAY(UpdateConfigRequest) request = GATEWAY_INIT(UPDATE_CONFIG_REQUEST);
    ProtobufCMessage *reply = NULL;
    struct osa_error err = { 0 };
    if (gateway->config->sandbox_name == NULL ||
        policy_to_wire(policy, &request.policy, &err) != OSA_OK)
        return;
    request.name = (char *)(uintptr_t)gateway->config->sandbox_name;
    request.workspace = (char *)(uintptr_t)workspace;
    if (rpc_client_unary(gateway->channel, GATEWAY_METHOD("UpdateConfig"), &request.base,
                         &openshell__v1__update_config_response__descriptor,
                         osa_deadline_after(CALL_NS), &reply, &err) == OSA_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    else
        osa_log_error(OSA_LOG_WARN, "gateway", "the gateway does not take the built-in policy",
                      &err);
    openshell__sandbox__v1__sandbox_policy__free_unpacked(request.policy, NULL);
}

/* Return: the policy, NULL when there is none; @config is freed. */
static enum osa_code take_policy(struct gateway *gateway, Config *config,
                                 const struct policy_document **ret, struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    *ret = NULL;
    if (config->policy != NULL)
        code = policy_from_wire(config->policy, "policy", ret, err);
    remember(settings_of(gateway), config);
    openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(config, NULL);
    return code == OSA_OK ? code : osa_wrap(err, "the gateway's policy");
}

/*
 * The policy that the sandbox brings along: its image's, else the built-in one. An image's that cannot be
 * used counts as none: the built-in one allows less than any that somebody would write.
 */
static enum osa_code own_policy(const struct gateway *gateway, const struct policy_document **ret,
                                struct osa_error *err)
{
    static const char *const files[] = { "/etc/openshell/policy.yaml",
                                         "/etc/navigator/policy.yaml" };
    const char *given = gateway->config->root;
    const char *root = given != NULL && given[0] != '\0' ? given : "/";
    bool own_files = gateway->config->runtime == RUNTIME_KIND_PROCESS;
    for (size_t i = 0; i < OSA_ARRAY_LEN(files) && own_files; i++) {
        OSA_AUTO(osa_free) char *text = NULL;
        struct osa_error problem = { 0 };
        size_t len = 0;
        enum osa_code code =
            osa_read_file_in(root, files[i], POLICY_MAX_TEXT_BYTES, &text, &len, &problem);
        if (code == OSA_NOT_FOUND)
            continue;
        if (code == OSA_OK)
            code = policy_document_parse_yaml(text, len, files[i], ret, &problem);
        osa_log(code == OSA_OK ? OSA_LOG_INFO : OSA_LOG_WARN, "gateway",
                code == OSA_OK ? "the image's policy holds"
                               : "the image's policy cannot be used; the built-in one holds",
                OSA_S("root", root), OSA_S("file", files[i]),
                OSA_S("error", code == OSA_OK ? NULL : problem.text));
        return code == OSA_OK ? OSA_OK : policy_document_default(ret, err);
    }
    osa_log(OSA_LOG_INFO, "gateway", "the gateway has no policy; the built-in one holds",
            OSA_S("sandbox", gateway->config->sandbox_id));
    return policy_document_default(ret, err);
}

enum osa_code settings_fetch(struct gateway *gateway, const struct policy_document **ret_policy,
                             struct osa_error *err)
{
    const struct policy_document *policy = NULL;
    Config *config = NULL;
    enum osa_code code = ask(gateway, &config, err);
    gateway->unknown = code == OSA_NOT_FOUND;
    if (code != OSA_OK)
        return code;
    if (config->policy != NULL)
        return take_policy(gateway, config, ret_policy, err);
    code = own_policy(gateway, &policy, err);
    if (code == OSA_OK)
        offer_policy(gateway, policy, config->workspace);
    openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(config, NULL);
    if (code == OSA_OK && ask(gateway, &config, err) == OSA_OK)
        code = take_policy(gateway, config, ret_policy, err);
    if (code == OSA_OK && *ret_policy == NULL)
        *ret_policy = OSA_TAKE(policy);
    policy_document_unref(policy);
    return code;
}

/* ---- acknowledgement ---- */

static void on_ack_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    (void)events;
    (void)response;
}

static void on_ack_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct settings *settings = OSA_CONTAINER_OF(events, struct settings, ack_events);
    settings->ack = NULL;
    if (status->error.code == OSA_OK)
        return;
    osa_log_error(OSA_LOG_WARN, "gateway", "the policy's state cannot be reported", &status->error,
                  OSA_U("version", settings->version));
    settings->acknowledge = gateway_worth_retrying(status->error.code); /* with the next poll */
}

static void acknowledge(struct settings *settings)
{
    GATEWAY(ReportPolicyStatusRequest) request = GATEWAY_INIT(REPORT_POLICY_STATUS_REQUEST);
    bool failed = settings->problem[0] != '\0';
    if (!settings->acknowledge || settings->ack != NULL)
        return;
    settings->acknowledge = false;
    request.sandbox_id = (char *)(uintptr_t)settings->gateway->config->sandbox_id;
    request.version = settings->version;
    request.status = failed ? OPENSHELL__V1__POLICY_STATUS__POLICY_STATUS_FAILED
                            : OPENSHELL__V1__POLICY_STATUS__POLICY_STATUS_LOADED;
    request.load_error = settings->problem;
    settings->ack = rpc_client_start(
        settings->gateway->channel, GATEWAY_METHOD("ReportPolicyStatus"),
        &openshell__v1__report_policy_status_response__descriptor, osa_deadline_after(CALL_NS),
        /* wait_for_ready= */ false, &settings->ack_events);
    (void)rpc_client_send(settings->ack, &request.base);
    rpc_client_half_close(settings->ack);
}

/* ---- later ---- */

static struct sandbox *the_sandbox(const struct settings *settings, struct osa_error *err)
{
    struct agent *agent = settings->gateway->program.agent;
    return sandbox_find(agent, agent_state(agent).default_sandbox_id, err);
}

/* A policy that cannot be used: the failure mode says whether the last good one goes on. */
static void refuse(const struct settings *settings, const struct osa_error *why)
{
    const struct sandbox *sandbox = the_sandbox(settings, NULL);
    if (sandbox != NULL && sandbox->egress != NULL)
        egress_policy_refused(sandbox->egress, why->text);
}

static void take_failure_mode(const struct settings *settings, const char *mode)
{
    const struct sandbox *sandbox = the_sandbox(settings, NULL);
    if (sandbox != NULL && sandbox->egress != NULL)
        egress_failure_mode(sandbox->egress, policy_failure_mode_parse(mode));
}

/*
 * What differs beside the network stays as it was when the sandbox was made, as the gateway expects;
 * an agent's own clients are refused such a policy.
 */
static void put_in_force(struct settings *settings, const struct policy_document *policy,
                         struct osa_error *err)
{
    struct sandbox *sandbox = the_sandbox(settings, err);
    uint32_t version;
    if (sandbox == NULL)
        return;
    enum osa_code code = sandbox_set_policy(sandbox, policy, &version, err);
    if (code == OSA_OK || sandbox->egress == NULL)
        return;
    if (code != OSA_FAILED_PRECONDITION) {
        refuse(settings, err);
        return;
    }
    *err = (struct osa_error){ 0 };
    (void)!egress_policy(sandbox->egress, policy, err);
}

static void on_config(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct settings *settings = OSA_CONTAINER_OF(events, struct settings, poll_events);
    const Config *config = (const Config *)response;
    const struct policy_document *policy = NULL;
    struct osa_error err = { 0 };
    providers_changed(settings->gateway, config->provider_env_revision);
    take_failure_mode(settings, config->policy_validation_failure_mode);
    if (config->config_revision == settings->revision && config->version == settings->version &&
        strcmp(config->policy_hash, settings->hash) == 0)
        return;
    bool same = strcmp(config->policy_hash, settings->hash) == 0;
    remember(settings, config);
    if (same || config->policy == NULL)
        return;
    settings->problem[0] = '\0';
    if (policy_from_wire(config->policy, "policy", &policy, &err) == OSA_OK)
        put_in_force(settings, policy, &err);
    else
        refuse(settings, &err);
    if (err.code != OSA_OK)
        (void)snprintf(settings->problem, sizeof(settings->problem), "%s", err.text);
    policy_document_unref(policy);
    osa_log(OSA_LOG_INFO, "gateway", "the gateway has another policy",
            OSA_U("version", config->version),
            OSA_S("problem", err.code != OSA_OK ? err.text : NULL));
}

static void on_config_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct settings *settings = OSA_CONTAINER_OF(events, struct settings, poll_events);
    struct gateway *gateway = settings->gateway;
    settings->poll = NULL;
    if (gateway->ended || gateway->finishing)
        return;
    if (status->error.code != OSA_OK)
        osa_log_error(OSA_LOG_DEBUG, "gateway", "the configuration cannot be read; tried again",
                      &status->error);
    acknowledge(settings);
    osa_timer_arm(gateway->program.loop, &settings->timer,
                  osa_deadline_after((int64_t)gateway->config->poll_s * OSA_NS_PER_SEC));
}

static void on_timer(struct osa_timer *timer)
{
    struct settings *settings = OSA_CONTAINER_OF(timer, struct settings, timer);
    ConfigRequest request = OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;
    request.sandbox_id = (char *)(uintptr_t)settings->gateway->config->sandbox_id;
    settings->poll = rpc_client_start(
        settings->gateway->channel, GATEWAY_METHOD("GetSandboxConfig"),
        &openshell__sandbox__v1__get_sandbox_config_response__descriptor,
        osa_deadline_after(CALL_NS), /* wait_for_ready= */ false, &settings->poll_events);
    (void)rpc_client_send(settings->poll, &request.base);
    rpc_client_half_close(settings->poll);
}

void settings_watch(struct gateway *gateway)
{
    struct settings *settings = settings_of(gateway);
    settings->poll_events =
        (struct rpc_client_events){ .message = on_config, .done = on_config_done };
    settings->ack_events =
        (struct rpc_client_events){ .message = on_ack_message, .done = on_ack_done };
    settings->timer.fire = on_timer;
    acknowledge(settings);
    osa_timer_arm(gateway->program.loop, &settings->timer,
                  osa_deadline_after((int64_t)gateway->config->poll_s * OSA_NS_PER_SEC));
}

void settings_free(struct gateway *gateway)
{
    if (gateway->settings == NULL)
        return;
    osa_timer_disarm(&gateway->settings->timer);
    free(gateway->settings);
    gateway->settings = NULL;
}
