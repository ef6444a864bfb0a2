// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include "base/clock.h"
#include "base/paths.h"
#include "io/option_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1024u * 1024u)
#define SECONDS(n) ((uint64_t)(n) * (uint64_t)OSA_NS_PER_SEC)
#define AT(field) offsetof(struct agent_config, field)

static const struct osa_option_name roles[] = {
    { "off", RPC_ROLE_NONE },
    { "anyone", RPC_ROLE_ANYONE },
    { "viewer", RPC_ROLE_VIEWER },
    { "operator", RPC_ROLE_OPERATOR },
    { 0 },
};
static const struct osa_option_name runtimes[] = {
    { "process", RUNTIME_KIND_PROCESS },
    { "boxlite", RUNTIME_KIND_BOXLITE },
    { 0 },
};
static const struct osa_option_name levels[] = {
    { "highest", ISOLATION_ANY },
    { "restricted", ISOLATION_RESTRICTED },
    { "rootless", ISOLATION_ROOTLESS },
    { "full", ISOLATION_FULL },
    { "vm", ISOLATION_VM },
    { 0 },
};
static const struct osa_option_name log_levels[] = {
    { "debug", OSA_LOG_DEBUG },
    { "info", OSA_LOG_INFO },
    { "warn", OSA_LOG_WARN },
    { "error", OSA_LOG_ERROR },
    { 0 },
};
static const struct osa_option_name log_formats[] = {
    { "text", OSA_LOG_TEXT },
    { "json", OSA_LOG_JSON },
    { 0 },
};

static const struct osa_option general[] = {
    { .flag = "config",
      .letter = 'c',
      .variable = "OPENSHELL_AGENT_CONFIG",
      .type = OSA_OPTION_PATH,
      .offset = AT(config),
      .value = "FILE",
      .help = "Configuration file: YAML, one key for each option" },
    { .flag = "log-level",
      .variable = "OPENSHELL_AGENT_LOG_LEVEL",
      .key = "log_level",
      .type = OSA_OPTION_ENUM,
      .offset = AT(log_level),
      .names = log_levels,
      .def = "info",
      .value = "LEVEL",
      .help = "Least important lines that are logged" },
    { .flag = "log-format",
      .variable = "OPENSHELL_AGENT_LOG_FORMAT",
      .key = "log_format",
      .type = OSA_OPTION_ENUM,
      .offset = AT(log_format),
      .names = log_formats,
      .def = "text",
      .value = "FORMAT",
      .help = "Form of log lines on standard error" },
    { .flag = "help",
      .letter = 'h',
      .type = OSA_OPTION_BOOL,
      .offset = AT(help),
      .help = "Show this text" },
    { .flag = "version",
      .letter = 'V',
      .type = OSA_OPTION_BOOL,
      .offset = AT(version),
      .help = "Show the version" },
};

static const struct osa_option serving[] = {
    { .flag = "listen",
      .letter = 'l',
      .variable = "OPENSHELL_AGENT_LISTEN",
      .key = "listen",
      .type = OSA_OPTION_LIST,
      .offset = AT(listen),
      .value = "ADDRESS",
      .help = "Serve on unix:PATH or HOST:PORT, without TLS on loopback addresses only; or on "
              "fd:NAME, a socket of that name from the service manager. Default: agent.sock in the "
              "runtime directory" },
    { .flag = "health-listen",
      .variable = "OPENSHELL_AGENT_HEALTH_LISTEN",
      .key = "health_listen",
      .type = OSA_OPTION_LIST,
      .offset = AT(health_listen),
      .value = "ADDRESS",
      .help = "Answer health checks, and nothing else, on HOST:PORT without TLS: for probes that "
              "have neither certificate nor token, such as the kubelet's" },
    { .flag = "metrics-listen",
      .variable = "OPENSHELL_AGENT_METRICS_LISTEN",
      .key = "metrics_listen",
      .type = OSA_OPTION_STRING,
      .offset = AT(metrics_listen),
      .value = "ADDRESS",
      .help = "Serve metrics for Prometheus at http://HOST:PORT/metrics, to whoever asks" },
    { .flag = "unix-mode",
      .variable = "OPENSHELL_AGENT_UNIX_MODE",
      .key = "unix_mode",
      .type = OSA_OPTION_MODE,
      .offset = AT(unix_mode),
      .max = 0777,
      .def = "0600",
      .value = "MODE",
      .help = "Permission bits of Unix sockets" },
    { .flag = "unix-uid",
      .variable = "OPENSHELL_AGENT_UNIX_UID",
      .key = "unix_uid",
      .type = OSA_OPTION_LIST,
      .offset = AT(unix_uid),
      .value = "UID",
      .help = "Let this user in as an operator over Unix sockets, beside root and the agent's own "
              "user" },
    { .flag = "max-message-bytes",
      .variable = "OPENSHELL_AGENT_MAX_MESSAGE_BYTES",
      .key = "max_message_bytes",
      .type = OSA_OPTION_BYTES,
      .offset = AT(max_message_bytes),
      .min = 65536,
      .max = 256ull * MIB,
      .def = "4Mi",
      .value = "BYTES",
      .help = "Largest request message" },
    { .flag = "reflection",
      .variable = "OPENSHELL_AGENT_REFLECTION",
      .key = "reflection",
      .type = OSA_OPTION_ENUM,
      .offset = AT(reflection),
      .names = roles,
      .def = "viewer",
      .value = "ROLE",
      .help = "Whom server reflection lets in" },
    { .flag = "health-access",
      .variable = "OPENSHELL_AGENT_HEALTH_ACCESS",
      .key = "health_access",
      .type = OSA_OPTION_ENUM,
      .offset = AT(health_access),
      .names = roles,
      .def = "anyone",
      .value = "ROLE",
      .help = "Whom the health service lets in" },
    { .flag = "drain-timeout",
      .variable = "OPENSHELL_AGENT_DRAIN_TIMEOUT",
      .key = "drain_timeout",
      .type = OSA_OPTION_DURATION,
      .offset = AT(drain_timeout_ns),
      .max = SECONDS(24 * 3600),
      .def = "30s",
      .value = "TIME",
      .help = "How long processes may go on after SIGTERM before they are killed" },
};

static const struct osa_option security[] = {
    { .flag = "token-file",
      .variable = "OPENSHELL_AGENT_TOKEN_FILE",
      .key = "token_file",
      .type = OSA_OPTION_PATH,
      .offset = AT(token_file),
      .value = "FILE",
      .help = "Bearer token of operators; made, with mode 0600, when it does not exist" },
    { .flag = "viewer-token-file",
      .variable = "OPENSHELL_AGENT_VIEWER_TOKEN_FILE",
      .key = "viewer_token_file",
      .type = OSA_OPTION_PATH,
      .offset = AT(viewer_token_file),
      .value = "FILE",
      .help = "Bearer token of viewers, who may look but change nothing" },
    { .flag = "tls-cert",
      .variable = "OPENSHELL_AGENT_TLS_CERT",
      .key = "tls_cert",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_cert),
      .value = "FILE",
      .help = "Certificate chain, PEM; read again when it changes" },
    { .flag = "tls-key",
      .variable = "OPENSHELL_AGENT_TLS_KEY",
      .key = "tls_key",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_key),
      .value = "FILE",
      .help = "Private key of the certificate, PEM" },
    { .flag = "tls-client-ca",
      .variable = "OPENSHELL_AGENT_TLS_CLIENT_CA",
      .key = "tls_client_ca",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_client_ca),
      .value = "FILE",
      .help = "Authority, PEM, that must have signed the certificate of every client: mutual TLS" },
};

static const struct osa_option asking[] = {
    { .flag = "tls-ca",
      .variable = "OPENSHELL_AGENT_TLS_CA",
      .key = "tls_ca",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_ca),
      .value = "FILE",
      .help = "Authority, PEM, that signed the agent's certificate; tls-cert and tls-key are then "
              "what the client shows. Default: the certificate in tls-cert is the agent's, and is "
              "trusted" },
    { .flag = "tls-server-name",
      .variable = "OPENSHELL_AGENT_TLS_SERVER_NAME",
      .key = "tls_server_name",
      .type = OSA_OPTION_STRING,
      .offset = AT(tls_server_name),
      .value = "NAME",
      .help = "Name that the agent's certificate must carry. Default: that of the address" },
};

static const struct osa_option sandboxes[] = {
    { .flag = "runtime",
      .variable = "OPENSHELL_RUNTIME",
      .key = "runtime",
      .type = OSA_OPTION_ENUM,
      .offset = AT(runtime),
      .names = runtimes,
      .def = "process",
      .value = "KIND",
      .help = "Kind of a sandbox whose request names none" },
    { .flag = "policy",
      .variable = "OPENSHELL_AGENT_POLICY",
      .key = "policy",
      .type = OSA_OPTION_PATH,
      .offset = AT(policy),
      .value = "FILE",
      .help = "Policy of a sandbox whose request has none. Default: the built-in policy" },
    { .flag = "min-isolation",
      .variable = "OPENSHELL_AGENT_MIN_ISOLATION",
      .key = "min_isolation",
      .type = OSA_OPTION_ENUM,
      .offset = AT(min_isolation),
      .names = levels,
      .def = "highest",
      .value = "LEVEL",
      .help = "Lowest level of isolation for a request that names none; highest is what the "
              "agent finds possible here" },
    { .flag = "cgroup-parent",
      .variable = "OPENSHELL_AGENT_CGROUP_PARENT",
      .key = "cgroup_parent",
      .type = OSA_OPTION_STRING,
      .offset = AT(cgroup_parent),
      .value = "PATH",
      .help =
          "Cgroup in which those of sandboxes are made, from the top of each hierarchy, such as "
          "/openshell; it or the one above must be the agent's to write. Default: the agent's "
          "own" },
    { .flag = "veth-pool",
      .variable = "OPENSHELL_AGENT_VETH_POOL",
      .key = "veth_pool",
      .type = OSA_OPTION_STRING,
      .offset = AT(veth_pool),
      .value = "NETWORK",
      .help = "IPv4 network, /8 to /21, such as 10.200.0.0/16: a process sandbox that may reach "
              "something gets an interface with an address of it, beside loopback, and its proxy "
              "listens at the other end. Takes level full. Default: loopback alone" },
    { .flag = "allow-loader-env",
      .variable = "OPENSHELL_AGENT_ALLOW_LOADER_ENV",
      .key = "allow_loader_env",
      .type = OSA_OPTION_BOOL,
      .offset = AT(allow_loader_env),
      .help = "Let requests set LD_PRELOAD and other variables that change what programs load" },
    { .flag = "sandbox",
      .variable = "OPENSHELL_AGENT_SANDBOX",
      .key = "sandbox",
      .type = OSA_OPTION_BOOL,
      .offset = AT(sandbox),
      .help = "Make one sandbox at the start; processes without a sandbox go there" },
    { .flag = "state-dir",
      .variable = "OPENSHELL_AGENT_STATE_DIR",
      .key = "state_dir",
      .type = OSA_OPTION_PATH,
      .offset = AT(state_dir),
      .value = "DIR",
      .help = "Directory for files of the agent's own, which no sandbox gets to see. Default: the "
              "runtime directory" },
};

#ifdef OSA_BOXLITE
static const struct osa_option boxlite[] = {
    { .flag = "boxlite-url",
      .variable = "BOXLITE_URL",
      .key = "boxlite_url",
      .type = OSA_OPTION_STRING,
      .offset = AT(boxlite_url),
      .value = "URL",
      .help = "Server of the microVMs. Default: http://localhost:8100, asked only when somebody "
              "looks" },
    { .flag = "boxlite-key-file",
      .variable = "OPENSHELL_AGENT_BOXLITE_KEY_FILE",
      .key = "boxlite_key_file",
      .type = OSA_OPTION_PATH,
      .offset = AT(boxlite_key_file),
      .value = "FILE",
      .help = "File with the server's API key on its first line" },
    { .flag = "boxlite-serve",
      .variable = "OPENSHELL_AGENT_BOXLITE_SERVE",
      .key = "boxlite_serve",
      .type = OSA_OPTION_PATH,
      .offset = AT(boxlite_serve),
      .value = "PROGRAM",
      .help = "Path of boxlite: start its server and look after it, in place of one at a URL. Its "
              "home is the folder boxlite in the state directory; as root it has a network of its "
              "own, from which nothing is reached" },
    { .flag = "boxlite-serve-user",
      .variable = "OPENSHELL_AGENT_BOXLITE_SERVE_USER",
      .key = "boxlite_serve_user",
      .type = OSA_OPTION_STRING,
      .offset = AT(boxlite_serve_user),
      .value = "UID:GID",
      .help = "User by whom that server runs, with his groups; he needs /dev/kvm. Takes root and "
              "setpriv(1)" },
    { .flag = "boxlite-serve-env",
      .variable = "OPENSHELL_AGENT_BOXLITE_SERVE_ENV",
      .key = "boxlite_serve_env",
      .type = OSA_OPTION_LIST,
      .offset = AT(boxlite_serve_env),
      .value = "NAME=VALUE",
      .help = "Variable of that server's environment; may be repeated" },
    { .flag = "boxlite-image",
      .variable = "OPENSHELL_AGENT_BOXLITE_IMAGE",
      .key = "boxlite_image",
      .type = OSA_OPTION_STRING,
      .offset = AT(boxlite_image),
      .def = "debian:bookworm-slim",
      .value = "IMAGE",
      .help = "Image of a box whose request names none: a reference, or an absolute folder of the "
              "server's host with an OCI layout" },
    { .flag = "boxlite-start-timeout",
      .variable = "OPENSHELL_AGENT_BOXLITE_START_TIMEOUT",
      .key = "boxlite_start_timeout",
      .type = OSA_OPTION_DURATION,
      .offset = AT(boxlite_start_timeout_ns),
      .min = SECONDS(1),
      .max = SECONDS(24 * 3600),
      .def = "5m",
      .value = "TIME",
      .help = "How long a box may take to start, the pull of its image included" },
};
#endif

static const struct osa_option limits[] = {
    { .flag = "capacity-cpu",
      .variable = "OPENSHELL_AGENT_CAPACITY_CPU",
      .key = "capacity_cpu",
      .type = OSA_OPTION_CPU,
      .offset = AT(capacity.cpu_millis),
      .def = "0",
      .value = "CPUS",
      .help = "CPUs for all sandboxes together; 0 sets no bound" },
    { .flag = "capacity-memory",
      .variable = "OPENSHELL_AGENT_CAPACITY_MEMORY",
      .key = "capacity_memory",
      .type = OSA_OPTION_BYTES,
      .offset = AT(capacity.memory_bytes),
      .def = "0",
      .value = "BYTES",
      .help = "Memory for all sandboxes together; 0 sets no bound" },
    { .flag = "max-sandboxes",
      .variable = "OPENSHELL_AGENT_MAX_SANDBOXES",
      .key = "max_sandboxes",
      .type = OSA_OPTION_U32,
      .offset = AT(max_sandboxes),
      .min = 1,
      .max = 100000,
      .def = "1000",
      .value = "N",
      .help = "Sandboxes at one time" },
    { .flag = "max-processes",
      .variable = "OPENSHELL_AGENT_MAX_PROCESSES",
      .key = "max_processes",
      .type = OSA_OPTION_U32,
      .offset = AT(max_processes),
      .min = 1,
      .max = 1000000,
      .def = "10000",
      .value = "N",
      .help = "Running processes that were spawned, at one time" },
    { .flag = "output-retain",
      .variable = "OPENSHELL_AGENT_OUTPUT_RETAIN",
      .key = "output_retain",
      .type = OSA_OPTION_BYTES,
      .offset = AT(output_retain_bytes),
      .min = 4096,
      .max = 64ull * MIB,
      .def = "1Mi",
      .value = "BYTES",
      .help = "Output kept for late readers of each process" },
    { .flag = "output-retain-total",
      .variable = "OPENSHELL_AGENT_OUTPUT_RETAIN_TOTAL",
      .key = "output_retain_total",
      .type = OSA_OPTION_BYTES,
      .offset = AT(output_retain_total_bytes),
      .min = 65536,
      .max = 1ull << 40,
      .def = "64Mi",
      .value = "BYTES",
      .help = "Memory for what exited processes leave, output and request; the oldest lose their "
              "output first, and are then forgotten" },
    { .flag = "exit-retain",
      .variable = "OPENSHELL_AGENT_EXIT_RETAIN",
      .key = "exit_retain",
      .type = OSA_OPTION_DURATION,
      .offset = AT(exit_retain_ns),
      .max = SECONDS(7 * 24 * 3600),
      .def = "10m",
      .value = "TIME",
      .help = "How long the exit and output of a process are kept" },
    { .flag = "exit-retain-count",
      .variable = "OPENSHELL_AGENT_EXIT_RETAIN_COUNT",
      .key = "exit_retain_count",
      .type = OSA_OPTION_U32,
      .offset = AT(exit_retain_count),
      .min = 1,
      .max = 1000000,
      .def = "1000",
      .value = "N",
      .help = "Exited processes kept at most; the oldest go first" },
};

static const struct osa_option_group groups[] = {
    { "General options", general, OSA_ARRAY_LEN(general), NULL },
    { "Serving", serving, OSA_ARRAY_LEN(serving), NULL },
    { "Who may call", security, OSA_ARRAY_LEN(security), NULL },
    { "Asking the agent (health, drain)", asking, OSA_ARRAY_LEN(asking), NULL },
    { "Sandboxes", sandboxes, OSA_ARRAY_LEN(sandboxes), NULL },
#ifdef OSA_BOXLITE
    { "BoxLite", boxlite, OSA_ARRAY_LEN(boxlite), NULL },
#endif
    { "What sandboxes may reach", egress_option_rows, EGRESS_OPTION_COUNT, NULL },
    { "Limits", limits, OSA_ARRAY_LEN(limits), NULL },
};

static enum osa_code parse_uids(struct agent_config *config, struct osa_error *err)
{
    config->unix_uids = calloc(OSA_MAX(config->unix_uid.count, (size_t)1), sizeof(uint32_t));
    if (config->unix_uids == NULL)
        return osa_fail_errno(err, ENOMEM, "unix-uid");
    for (size_t i = 0; i < config->unix_uid.count; i++) {
        const char *text = config->unix_uid.items[i];
        errno = 0;
        unsigned long long uid = strtoull(text, NULL, 10);
        /* 4294967295 is (uid_t)-1, "no user". */
        if (errno != 0 || text[strspn(text, "0123456789")] != '\0' || uid >= UINT32_MAX)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "unix-uid: '%.64s' is not a user id of 0 to 4294967294", text);
        config->unix_uids[config->unix_uid_count++] = (uint32_t)uid;
    }
    return OSA_OK;
}

/* Defaults that depend on who runs the agent take the way of all values. */
static enum osa_code fill_defaults(struct agent_config *config, const char *dir,
                                   const char *address, struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    if (config->listen.count == 0)
        code = osa_options_default(config->options, &config->listen, address, err);
    if (code == OSA_OK && config->state_dir == NULL)
        code = osa_options_default(config->options, &config->state_dir, dir, err);
    return code;
}

static enum osa_code check(const struct agent_config *config, struct osa_error *err)
{
    if ((config->tls_cert == NULL) != (config->tls_key == NULL))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "%s: needs %s too: a certificate goes with its key",
                        config->tls_cert != NULL ? "tls-cert" : "tls-key",
                        config->tls_cert != NULL ? "tls-key" : "tls-cert");
    if (config->tls_client_ca != NULL && config->tls_cert == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "tls-client-ca: needs tls-cert and tls-key");
    for (size_t i = 0; i < config->health_listen.count; i++)
        if (strncmp(config->health_listen.items[i], "unix:", 5) == 0 ||
            strncmp(config->health_listen.items[i], "fd:", 3) == 0)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "health-listen: '%.64s' is not HOST:PORT; who can connect to a Unix "
                            "socket needs no address for health alone",
                            config->health_listen.items[i]);
    if (config->health_listen.count > 0 && config->health_access != RPC_ROLE_ANYONE)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "health-listen: nobody could ask there; it needs health-access anyone");
#ifdef OSA_BOXLITE
    if (config->boxlite_serve != NULL && config->boxlite_url != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "boxlite-serve: the server is at boxlite-url, or it is started here; give "
                        "one of the two");
    if (config->boxlite_serve == NULL && config->boxlite_serve_user != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "boxlite-serve-user: needs boxlite-serve");
#endif
    if (config->state_dir[0] != '/')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "state-dir: '%.256s' is not absolute",
                        config->state_dir);
    return OSA_OK;
}

static enum osa_code load(struct agent_config *config, int argc, const char *const *argv,
                          struct osa_error *err)
{
    char dir[PATH_MAX];
    char address[PATH_MAX + 16];
    int used = 0;
    enum osa_code code =
        osa_options_new_into(groups, OSA_ARRAY_LEN(groups), config, &config->options, err);
    if (code == OSA_OK)
        code = osa_options_flags(config->options, argc, argv, &used, err);
    if (code == OSA_OK && (config->help || config->version))
        return OSA_OK;
    if (code == OSA_OK && used < argc)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s': serve takes options only",
                        argv[used]);
    if (code == OSA_OK)
        code = osa_options_environment(config->options, err);
    if (code == OSA_OK && config->config != NULL)
        code = io_option_file(config->options, config->config, err);
    osa_runtime_dir(dir, sizeof(dir));
    osa_default_address(address, sizeof(address));
    if (code == OSA_OK)
        code = fill_defaults(config, dir, address, err);
    if (code == OSA_OK)
        code = parse_uids(config, err);
    return code == OSA_OK ? check(config, err) : code;
}

enum osa_code agent_config_load(int argc, const char *const *argv, struct agent_config **ret_config,
                                struct osa_error *err)
{
    struct agent_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return osa_fail_errno(err, ENOMEM, "configuration");
    enum osa_code code = load(config, argc, argv, err);
    if (code != OSA_OK) {
        agent_config_free(config);
        return code;
    }
    *ret_config = config;
    return OSA_OK;
}

void agent_config_free(struct agent_config *config)
{
    if (config == NULL)
        return;
    osa_options_free(config->options);
    free(config->unix_uids);
    free(config);
}

void agent_config_help(unsigned width, struct osa_buf *out)
{
    osa_option_help_all(groups, OSA_ARRAY_LEN(groups), width, out);
}

void agent_config_man(struct osa_buf *out)
{
    osa_option_man_all(groups, OSA_ARRAY_LEN(groups), out);
}

const struct osa_option_group *agent_config_groups(size_t *ret_count)
{
    *ret_count = OSA_ARRAY_LEN(groups);
    return groups;
}
