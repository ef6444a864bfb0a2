// SPDX-License-Identifier: Apache-2.0
/*
 * GetSandboxProviderEnvironment: at the start, beside the making of the sandbox, and whenever the
 * configuration names another revision. Without an answer there are no credentials: what may have
 * been taken back must not be used on.
 */
#include "agent/gateway/gateway.h"

#include "base/log.h"
#include "policy/provider.h"

#include <stdlib.h>
#include <string.h>

#define CALL_NS (10 * OSA_NS_PER_SEC)

typedef GATEWAY(GetSandboxProviderEnvironmentResponse) Reply;
typedef GATEWAY(StaticCredentialBinding) Binding;

/**
 * struct providers - @revision: of the last answer, whether it could be used or not
 * @failed: the last call had no answer; the next look at the configuration asks again
 */
struct providers {
    struct gateway *gateway;
    struct provider_env *env;
    struct rpc_client_call *call;
    struct rpc_client_events events;
    uint64_t revision;
    bool failed;
};

/* ---- from the wire ---- */

static int64_t expiry_of(const Reply *reply, const char *key)
{
    for (size_t i = 0; i < reply->n_credential_expires_at_ms; i++)
        if (strcmp(reply->credential_expires_at_ms[i]->key, key) == 0)
            return reply->credential_expires_at_ms[i]->value;
    return 0;
}

static const Binding *binding_of(const Reply *reply, const char *key)
{
    for (size_t i = 0; i < reply->n_static_credential_bindings; i++)
        if (strcmp(reply->static_credential_bindings[i]->key, key) == 0)
            return reply->static_credential_bindings[i]->value;
    return NULL;
}

static bool is_plain(const Reply *reply, const char *key)
{
    for (size_t i = 0; i < reply->n_non_secret_environment_keys; i++)
        if (strcmp(reply->non_secret_environment_keys[i], key) == 0)
            return true;
    return false;
}

static void set_binding(struct osa_arena *arena, const Binding *binding,
                        struct provider_variable *variable)
{
    struct provider_endpoint *endpoints =
        osa_arena_alloc(arena, (binding->n_endpoints + 1) * sizeof(*endpoints));
    for (size_t i = 0; i < binding->n_endpoints; i++)
        endpoints[i] = (struct provider_endpoint){ .host = binding->endpoints[i]->host,
                                                   .port = binding->endpoints[i]->port,
                                                   .path = binding->endpoints[i]->path };
    variable->bound = true;
    variable->identity = binding->credential_identity;
    variable->handle = binding->workload_credential_handle;
    variable->endpoints = endpoints;
    variable->endpoint_count = binding->n_endpoints;
}

/* Each key is either bound or no secret, once; nothing is spoken of that is not there. */
static enum osa_code fill(const Reply *reply, struct osa_arena *arena,
                          struct provider_variable *variables, struct osa_error *err)
{
    size_t count = reply->n_environment;
    if (reply->n_static_credential_bindings + reply->n_non_secret_environment_keys != count)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "bindings and variables do not go together one by one");
    for (size_t i = 0; i < count; i++) {
        const char *key = reply->environment[i]->key;
        const Binding *binding = binding_of(reply, key);
        variables[i] = (struct provider_variable){ .key = key,
                                                   .value = reply->environment[i]->value,
                                                   .expires_ms = expiry_of(reply, key),
                                                   .identity = "",
                                                   .handle = "" };
        if ((binding != NULL) == is_plain(reply, key))
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s' is not either bound or plain",
                            key);
        for (size_t k = 0; k < i; k++)
            if (strcmp(variables[k].key, key) == 0)
                return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s' is there twice", key);
        if (binding != NULL)
            set_binding(arena, binding, &variables[i]);
    }
    return OSA_OK;
}

static enum osa_code install(struct providers *providers, const Reply *reply, struct osa_error *err)
{
    struct osa_arena arena = { 0 };
    enum osa_code code = OSA_OK;
    struct provider_variable *variables =
        osa_arena_alloc(&arena, (OSA_MIN(reply->n_environment, (size_t)PROVIDER_KEYS_MAX) + 1) *
                                    sizeof(*variables));
    if (reply->n_environment > PROVIDER_KEYS_MAX)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0, "more than %d variables", PROVIDER_KEYS_MAX);
    if (code == OSA_OK)
        code = fill(reply, &arena, variables, err);
    if (code == OSA_OK)
        code = provider_env_install(providers->env, reply->provider_env_revision, variables,
                                    reply->n_environment, err);
    else
        provider_env_revoke(providers->env);
    osa_arena_done(&arena);
    return code;
}

/* ---- asking ---- */

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct providers *providers = OSA_CONTAINER_OF(events, struct providers, events);
    const Reply *reply = (const Reply *)response;
    struct osa_error err = { 0 };
    if (install(providers, reply, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "gateway",
                      "the environment of providers cannot be used; there is none", &err,
                      OSA_U("revision", reply->provider_env_revision));
    else
        osa_log(OSA_LOG_INFO, "gateway", "environment of providers",
                OSA_U("revision", reply->provider_env_revision),
                OSA_U("variables", provider_env_count(providers->env)));
    providers->revision = reply->provider_env_revision;
    providers->failed = false;
    for (size_t i = 0; i < reply->n_environment; i++)
        osa_wipe(reply->environment[i]->value, strlen(reply->environment[i]->value));
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct providers *providers = OSA_CONTAINER_OF(events, struct providers, events);
    providers->call = NULL;
    if (status->error.code == OSA_OK)
        return;
    provider_env_revoke(providers->env);
    providers->failed = true;
    if (status->error.code == OSA_CANCELLED)
        return; /* by the end of this agent, whose last words are about why it ends */
    osa_log_error(OSA_LOG_WARN, "gateway",
                  "no environment of providers; asked again with the next configuration",
                  &status->error);
}

static void ask(struct providers *providers)
{
    GATEWAY(GetSandboxProviderEnvironmentRequest)
    request = GATEWAY_INIT(GET_SANDBOX_PROVIDER_ENVIRONMENT_REQUEST);
    request.sandbox_id = (char *)(uintptr_t)providers->gateway->config->sandbox_id;
    request.supports_static_credential_bindings = true;
    providers->call = rpc_client_start(
        providers->gateway->channel, GATEWAY_METHOD("GetSandboxProviderEnvironment"),
        &openshell__v1__get_sandbox_provider_environment_response__descriptor,
        osa_deadline_after(CALL_NS), /* wait_for_ready= */ false, &providers->events);
    (void)rpc_client_send(providers->call, &request.base);
    rpc_client_half_close(providers->call);
}

void providers_begin(struct gateway *gateway)
{
    if (gateway->channel == NULL)
        return;
    struct providers *providers = calloc(1, sizeof(*providers));
    if (providers == NULL)
        abort();
    providers->gateway = gateway;
    providers->env = provider_env_new();
    providers->events = (struct rpc_client_events){ .message = on_message, .done = on_done };
    gateway->providers = providers;
    ask(providers);
}

void providers_wait(struct gateway *gateway)
{
    struct providers *providers = gateway->providers;
    if (providers == NULL)
        return;
    if (providers->call == NULL &&
        providers->failed) /* it was asked before the gateway was there */
        ask(providers);
    while (providers->call != NULL && gateway->program.terms == 0)
        (void)osa_loop_run_once(gateway->program.loop, OSA_NEVER);
}

void providers_changed(struct gateway *gateway, uint64_t revision)
{
    struct providers *providers = gateway->providers;
    if (providers->call == NULL && (providers->failed || revision != providers->revision))
        ask(providers);
}

const struct provider_env *providers_env(const struct gateway *gateway)
{
    return gateway->providers != NULL ? gateway->providers->env : NULL;
}

void providers_free(struct gateway *gateway)
{
    if (gateway->providers == NULL)
        return;
    provider_env_free(gateway->providers->env);
    free(gateway->providers);
    gateway->providers = NULL;
}
