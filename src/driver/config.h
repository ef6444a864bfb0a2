// SPDX-License-Identifier: Apache-2.0
/* What the driver was told: filled once by default < file < environment < flag, then const. */
#pragma once

#include "backends/backend.h"
#include "base/log.h"
#include "base/option.h"

#include <stdbool.h>
#include <stdint.h>

/* When an image's registry is asked. */
enum image_pull {
    IMAGE_PULL_DEFAULT, /* in a sandbox: as the driver was told */
    IMAGE_PULL_MISSING, /* when its name is not known here */
    IMAGE_PULL_ALWAYS,
    IMAGE_PULL_NEVER,
};

/**
 * struct driver_config - Options of openshell-driver; docs and bounds are in the table
 * @options: owner of all strings and lists here
 * @help, @version: print that and do nothing else; the other fields are not checked then
 * @name:      under which the gateway knows this driver; the source of its events
 * @socket:    where the gateway connects, without "unix:"
 * @state_dir: absolute
 * @agent:     the program openshell-agent
 * @endpoint:  where sandboxes reach the gateway: http:// or https://
 * @tls_ca, @tls_cert, @tls_key: given to agents for an https endpoint; NULL: none
 * @image_pull: when a sandbox does not say
 * @image_layouts: directory of "oci:NAME"; NULL: none
 * @image_insecure: registries, HOST or HOST:PORT, that are asked without TLS
 * @image_auth_file: containers-auth.json(5) for skopeo; NULL: none
 * @image_proxy: for skopeo; NULL: none
 * @image_pulls: programs at one time
 * @image_cache_bytes: what kept images may occupy beyond those in use
 * @image_min_free_bytes: that a pull must leave on the disk
 * @image_timeout_ns: for the pull, and for the unpacking
 * @skopeo, @umoci: the programs
 * @boxlite_layout: a microVM's server gets the kept layout, and not the name
 * @runtime:   kind of a sandbox that neither it nor a rule decides for; RUNTIME_KIND_DEFAULT: the one
 *             that agents have as theirs
 * @rules:     as written, "CONDITIONS -> KINDS"; schedule_parse() reads them
 * @capacity:  what all running sandboxes may have reserved; 0: no bound
 * @listeners: IP:PORT that the gateway is asked to serve for sandboxes
 * @user:      "UID:GID" as which sandboxes run
 * @start_timeout_ns: from the start of an agent until it must serve
 * @stop_grace_ns: between TERM and KILL
 */
struct driver_config {
    struct osa_options *options; /* owned */
    bool help;
    bool version;
    const char *config;

    const char *name;
    const char *socket;
    const char *state_dir;
    const char *agent;
    const char *endpoint;
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name;
    struct osa_strings listeners;

    const char *default_image;
    enum image_pull image_pull;
    const char *image_layouts;
    struct osa_strings image_insecure;
    const char *image_auth_file;
    const char *image_proxy;
    uint32_t image_pulls;
    uint64_t image_cache_bytes;
    uint64_t image_min_free_bytes;
    int64_t image_timeout_ns;
    const char *skopeo;
    const char *umoci;
    bool boxlite_layout;
    enum runtime_kind runtime;
    struct osa_strings rules;
    struct resources capacity;
    uint32_t max_sandboxes;
    const char *user;
    int64_t start_timeout_ns;
    int64_t stop_grace_ns;

    enum osa_log_level log_level;
    enum osa_log_format log_format;
    const char *agent_log_level;
};

/**
 * driver_config_load() - Read flags, environment and the file that they name
 * @argc, @argv: without the program's name; borrowed for the call
 * @ret_config: returned (free with driver_config_free)
 * Return: OSA_OK; INVALID_ARGUMENT whose text begins with flag, variable or file:line; NOT_FOUND
 * when the file is missing; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code driver_config_load(int argc, const char *const *argv,
                                                struct driver_config **ret_config,
                                                struct osa_error *err);

/** driver_config_free() - NULL is fine */
void driver_config_free(struct driver_config *config);

/** driver_config_help() - Text of --help for a terminal of @width columns */
void driver_config_help(unsigned width, struct osa_buf *out);

/** driver_config_man() - openshell-driver(8) as man(7) source */
void driver_config_man(struct osa_buf *out);

/** driver_config_man_options() - The options in it */
void driver_config_man_options(struct osa_buf *out);
