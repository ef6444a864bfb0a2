// SPDX-License-Identifier: Apache-2.0
/*
 * Options of the gateway's front. The first group has the names, variables and defaults that drivers
 * and pods use for OpenShell's supervisor; the second is ours.
 */
#pragma once

#include "agent/config.h"

/**
 * struct gateway_config - Filled once, then const
 * @options: owner of strings and lists
 * @command, @command_count: the main process from the command line; borrowed from argv
 * @token, @token_file: one of them, or neither
 * @endpoint: http://HOST:PORT or https://HOST:PORT; NULL: there is no gateway
 * @policy_data: policy by file instead of from the gateway; NULL
 * @main_spec: JSON, or base64url:… of it; NULL
 * @user_environment: JSON; NULL
 * @uid, @gid: text of numbers; NULL or "" for none
 * @trace_parent, @trace_state: trace that this start belongs to, as osa_trace_new() takes it; NULL
 */
struct gateway_config {
    struct osa_options *options; /* owned */
    bool help;
    bool version;
    const char *const *command;
    size_t command_count;

    const char *workdir;
    uint64_t timeout_s;
    bool interactive;
    const char *sandbox_id;
    const char *sandbox_name;
    const char *endpoint;
    const char *policy_rules;
    const char *policy_data;
    const char *log_level;
    const char *ssh_socket;
    const char *inference_routes;
    bool health_check;
    uint32_t health_port;
    const char *mode;

    const char *token;
    const char *token_file;
    const char *service_account_file;
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name;
    const char *main_spec;
    const char *user_environment;
    const char *uid;
    const char *gid;
    const char *image_user; /* NULL: no driver speaks of one */
    const char *path;
    const char *trace_parent;
    const char *trace_state;
    uint64_t poll_s;
    const char *log_push_level;
    uint64_t denial_flush_s;
    uint64_t activity_flush_s;

    const char *upstream_proxy; /* this and the next four: as the agent's options of these names */
    const char *upstream_no_proxy;
    const char *upstream_auth_file;
    bool upstream_auth_allow_insecure;
    bool upstream_by_hostname;

    const char *listen;
    const char *state_dir;
    const char *run_file;
    enum runtime_kind runtime;
    const char *image;
    const char *root;
    const char *changes;
    struct resources limits;
    const char *seccomp_profile;
    enum isolation_level min_isolation;
};

/**
 * gateway_config_load() - Read flags and environment
 * @argc, @argv: what follows the program's name, or the word "sandbox"; outlives the result
 * @ret_config: returned (free with gateway_config_free)
 * Return: OSA_OK; INVALID_ARGUMENT that begins with flag or variable; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code gateway_config_load(int argc, const char *const *argv,
                                                 struct gateway_config **ret_config,
                                                 struct osa_error *err);

/** gateway_config_free() - NULL is fine */
void gateway_config_free(struct gateway_config *config);

/** gateway_config_help() - Text of --help */
void gateway_config_help(unsigned width, struct osa_buf *out);

/** gateway_config_agent() - The options of the agent inside, as `serve` would have them. @ret: returned (free with agent_config_free) */
OSA_MUST_CHECK enum osa_code gateway_config_agent(const struct gateway_config *config,
                                                  struct agent_config **ret, struct osa_error *err);

/**
 * gateway_config_inherit() - This program's own variables, for the main process: in a container they are the image's
 * Names that begin OPENSHELL_ are left out: identity, credentials and addresses of the gateway.
 * @add: called for each; what it gets is borrowed for the call
 */
void gateway_config_inherit(void (*add)(void *ctx, const char *key, size_t key_len,
                                        const char *value),
                            void *ctx);
