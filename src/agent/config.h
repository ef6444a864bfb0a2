// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent was told: filled once by default < file < environment < flag, then const.
 */
#pragma once

#include "agent/egress_options.h"
#include "backends/backend.h"
#include "base/log.h"
#include "base/option.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * struct agent_config - Options of `openshell-agent serve`; docs and bounds are in the table
 * @options: owner of all strings and lists here
 * @help, @version: print that and do nothing else; the other fields are not checked then
 * @listen: at least one "unix:PATH" or "HOST:PORT"
 * @token_file, @viewer_token_file, @tls_…, @policy, @config: NULL when not given
 * @unix_uids: users beside root and the agent's own who may connect to a Unix socket; owned
 * @health_listen: addresses that answer health checks alone
 * @metrics_listen: HTTP address of the metrics; NULL: none
 * @reflection, @health_access: whom these services let in; RPC_ROLE_NONE: off
 * @runtime: kind that a request without one gets; never RUNTIME_KIND_DEFAULT
 * @boxlite_…: of a build with the BoxLite backend; url is NULL unless given, key_file as well
 * @allow_loader_env: let LD_PRELOAD and its like into environments
 * @sandbox: make a sandbox at the start, into which spawns without sandbox_id go
 * @capacity: what all sandboxes may use together; 0 is no bound
 * @egress: agent/egress_options.h
 * @state_dir: absolute directory for files of the agent's own; hidden from sandboxes
 */
struct agent_config {
    struct osa_options *options; /* owned */
    bool help;
    bool version;
    const char *config;

    struct osa_strings listen;
    struct osa_strings health_listen;
    const char *metrics_listen;
    uint32_t unix_mode;
    struct osa_strings unix_uid; /* as given; read unix_uids */
    uint32_t *unix_uids;
    size_t unix_uid_count;

    const char *token_file;
    const char *viewer_token_file;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_client_ca;
    const char *tls_ca;          /* of health and drain; NULL when not given */
    const char *tls_server_name; /* the same */
    enum rpc_role reflection;
    enum rpc_role health_access;

    enum runtime_kind runtime;
    const char *boxlite_url;
    const char *boxlite_key_file;
    const char *boxlite_serve;
    const char *boxlite_serve_user;
    struct osa_strings boxlite_serve_env;
    const char *boxlite_image;
    int64_t boxlite_start_timeout_ns;
    const char *policy;
    enum isolation_level min_isolation;
    bool sandbox;
    bool allow_loader_env;
    struct egress_options egress;
    const char *state_dir;
    const char *cgroup_parent; /* NULL: the agent's own */
    const char *veth_pool;     /* NULL: no veth pairs */

    struct resources capacity;
    uint32_t max_sandboxes;
    uint32_t max_processes;
    uint64_t max_message_bytes;
    uint64_t output_retain_bytes;
    uint64_t output_retain_total_bytes;
    int64_t exit_retain_ns;
    uint32_t exit_retain_count;
    int64_t drain_timeout_ns;

    enum osa_log_level log_level;
    enum osa_log_format log_format;
};

/**
 * agent_config_load() - Read flags, environment and the file that they name
 * @argc, @argv: what follows the word "serve"; borrowed for the call
 * @ret_config: returned (free with agent_config_free)
 * Return: OSA_OK; INVALID_ARGUMENT whose text begins with flag, variable or file:line; NOT_FOUND
 * when the file is missing; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code agent_config_load(int argc, const char *const *argv,
                                               struct agent_config **ret_config,
                                               struct osa_error *err);

/** agent_config_free() - NULL is fine */
void agent_config_free(struct agent_config *config);

/** agent_config_help() - Text of `serve --help` for a terminal of @width columns */
void agent_config_help(unsigned width, struct osa_buf *out);

/** agent_config_man() - The options as man(7) source, for openshell-agent(8) */
void agent_config_man(struct osa_buf *out);

/** agent_config_groups() - The option rows, without targets; for completion. *ret_count: groups */
const struct osa_option_group *agent_config_groups(size_t *ret_count);
