// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* environ(7): POSIX leaves its declaration to the program. */
extern char **environ;

#define AT(field) offsetof(struct gateway_config, field)

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

#define TEXT(FLAG, VARIABLE, FIELD, VALUE, HELP)                                                   \
    {                                                                                              \
        .flag = FLAG, .variable = VARIABLE, .type = OSA_OPTION_STRING, .offset = AT(FIELD),        \
        .value = VALUE, .help = HELP                                                               \
    }
#define FILE_NAME(FLAG, VARIABLE, FIELD, HELP)                                                     \
    {                                                                                              \
        .flag = FLAG, .variable = VARIABLE, .type = OSA_OPTION_PATH, .offset = AT(FIELD),          \
        .value = "FILE", .help = HELP                                                              \
    }

static const struct osa_option general[] = {
    { .flag = "workdir",
      .letter = 'w',
      .type = OSA_OPTION_PATH,
      .offset = AT(workdir),
      .value = "DIR",
      .help = "Working directory of the main process and of sessions" },
    { .flag = "timeout",
      .letter = 't',
      .type = OSA_OPTION_U64,
      .offset = AT(timeout_s),
      .max = 315360000,
      .def = "0",
      .value = "SECONDS",
      .help = "Kill the main process after this time, and end with 124; 0 is never" },
    { .flag = "interactive",
      .letter = 'i',
      .type = OSA_OPTION_BOOL,
      .offset = AT(interactive),
      .help = "A terminal for the main process that the command line names" },
    TEXT("sandbox-id", "OPENSHELL_SANDBOX_ID", sandbox_id, "ID", "The sandbox, as the gateway's"),
    TEXT("sandbox", "OPENSHELL_SANDBOX", sandbox_name, "NAME", "Name of the sandbox"),
    TEXT("openshell-endpoint", "OPENSHELL_ENDPOINT", endpoint, "URL",
         "The gateway: http://HOST:PORT or https://HOST:PORT"),
    FILE_NAME("policy-rules", "OPENSHELL_POLICY_RULES", policy_rules,
              "Refused: there is no engine for Rego; decisions on a document are built in"),
    FILE_NAME("policy-data", "OPENSHELL_POLICY_DATA", policy_data,
              "Policy document, YAML, in place of the gateway's"),
    { .flag = "log-level",
      .variable = "OPENSHELL_LOG_LEVEL",
      .type = OSA_OPTION_STRING,
      .offset = AT(log_level),
      .def = "warn",
      .value = "LEVEL",
      .help = "Least important lines on standard error: error, warn, info, debug, trace" },
    TEXT("ssh-socket-path", "OPENSHELL_SSH_SOCKET_PATH", ssh_socket, "PATH",
         "Serve SSH there too, beside relays; @NAME is an abstract one"),
    FILE_NAME("inference-routes", "OPENSHELL_INFERENCE_ROUTES", inference_routes,
              "Taken for compatibility"),
    { .flag = "health-check",
      .type = OSA_OPTION_BOOL,
      .offset = AT(health_check),
      .help = "Taken for compatibility" },
    { .flag = "health-port",
      .type = OSA_OPTION_U32,
      .offset = AT(health_port),
      .max = 65535,
      .def = "8080",
      .value = "PORT",
      .help = "Taken for compatibility" },
    { .flag = "mode",
      .type = OSA_OPTION_STRING,
      .offset = AT(mode),
      .def = "network,process",
      .value = "MODES",
      .help = "Only network,process: one agent does both" },
    TEXT("upstream-proxy", NULL, upstream_proxy, "URL",
         "A proxy, http://HOST:PORT, that tunnels take on their way out; never from a variable"),
    TEXT("upstream-no-proxy", NULL, upstream_no_proxy, "LIST",
         "What goes out directly all the same"),
    FILE_NAME("upstream-proxy-auth-file", NULL, upstream_auth_file,
              "File with one line, user:password, for that proxy"),
    { .flag = "upstream-proxy-auth-allow-insecure",
      .type = OSA_OPTION_BOOL,
      .offset = AT(upstream_auth_allow_insecure),
      .help = "Say with such a file that the password may travel in the clear" },
    { .flag = "upstream-proxy-connect-by-hostname",
      .type = OSA_OPTION_BOOL,
      .offset = AT(upstream_by_hostname),
      .help = "Tell that proxy names instead of addresses" },
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

/* Flags of their own for what the supervisor has as variables only, so that every value has one table. */
static const struct osa_option identity[] = {
    TEXT("token", "OPENSHELL_SANDBOX_TOKEN", token, "TOKEN",
         "The sandbox's token; as a variable, never on a command line"),
    FILE_NAME("token-file", "OPENSHELL_SANDBOX_TOKEN_FILE", token_file,
              "File with the sandbox's token"),
    FILE_NAME("service-account-file", "OPENSHELL_K8S_SA_TOKEN_FILE", service_account_file,
              "File with a Kubernetes token that is exchanged for the sandbox's"),
    FILE_NAME("tls-ca", "OPENSHELL_TLS_CA", tls_ca, "Authority of the gateway's certificate, PEM"),
    FILE_NAME("tls-cert", "OPENSHELL_TLS_CERT", tls_cert, "Client certificate, PEM"),
    FILE_NAME("tls-key", "OPENSHELL_TLS_KEY", tls_key, "Its key, PEM"),
    TEXT("tls-server-name", "OPENSHELL_GATEWAY_TLS_SERVER_NAME", tls_server_name, "NAME",
         "Name in the gateway's certificate, when it is not the endpoint's"),
    TEXT("main-process-spec", "OPENSHELL_MAIN_PROCESS_SPEC", main_spec, "JSON",
         "The main process: version, command, tty; or base64url: of that"),
    TEXT("user-environment", "OPENSHELL_USER_ENVIRONMENT", user_environment, "JSON",
         "Environment of the sandbox's processes; as a variable"),
    TEXT("sandbox-uid", "OPENSHELL_SANDBOX_UID", uid, "UID", "User of the sandbox's processes"),
    TEXT("sandbox-gid", "OPENSHELL_SANDBOX_GID", gid, "GID", "Group of the sandbox's processes"),
    TEXT("oci-image-user", "OPENSHELL_OCI_IMAGE_USER", image_user, "USER",
         "User of the image, where neither these nor the policy name one"),
    TEXT("path", "PATH", path, "DIRS", "Where the sandbox's processes look for programs"),
    TEXT("trace-parent", "TRACEPARENT", trace_parent, "CONTEXT",
         "Trace of OpenTelemetry that this start belongs to; first calls to the gateway carry it"),
    TEXT("trace-state", "TRACESTATE", trace_state, "STATE", "What goes with that trace"),
    { .flag = "policy-poll-interval",
      .variable = "OPENSHELL_POLICY_POLL_INTERVAL_SECS",
      .type = OSA_OPTION_U64,
      .offset = AT(poll_s),
      .min = 1,
      .max = 86400,
      .def = "10",
      .value = "SECONDS",
      .help = "Time between two looks at the gateway's configuration" },
    { .flag = "log-push-level",
      .variable = "OPENSHELL_LOG_PUSH_LEVEL",
      .type = OSA_OPTION_STRING,
      .offset = AT(log_push_level),
      .def = "INFO",
      .value = "LEVEL",
      .help = "Least important lines that the gateway gets" },
    { .flag = "denial-flush-interval",
      .variable = "OPENSHELL_DENIAL_FLUSH_INTERVAL_SECS",
      .type = OSA_OPTION_U64,
      .offset = AT(denial_flush_s),
      .min = 1,
      .max = 86400,
      .def = "10",
      .value = "SECONDS",
      .help = "Time between two summaries of what the sandbox was refused" },
    { .flag = "activity-flush-interval",
      .variable = "OPENSHELL_ACTIVITY_FLUSH_INTERVAL_SECS",
      .type = OSA_OPTION_U64,
      .offset = AT(activity_flush_s),
      .min = 1,
      .max = 86400,
      .def = "10",
      .value = "SECONDS",
      .help = "Time between two counts of what went out and what did not" },
};

static const struct osa_option ours[] = {
    TEXT("listen", "OPENSHELL_AGENT_LISTEN", listen, "ADDRESS",
         "Serve the agent's own API there too. Default: agent.sock in the runtime directory"),
    FILE_NAME("state-dir", "OPENSHELL_AGENT_STATE_DIR", state_dir,
              "What a restarted agent needs to clean up. Default: the runtime directory"),
    FILE_NAME("run-file", "OPENSHELL_AGENT_RUN_FILE", run_file,
              "Run only if no other agent holds this file"),
    { .flag = "runtime",
      .variable = "OPENSHELL_RUNTIME",
      .type = OSA_OPTION_ENUM,
      .offset = AT(runtime),
      .names = runtimes,
      .def = "process",
      .value = "KIND",
      .help = "Kind of the sandbox" },
    TEXT("image", "OPENSHELL_RUNTIME_IMAGE", image, "IMAGE",
         "Image of the sandbox, where its kind has images"),
    FILE_NAME("root", "OPENSHELL_RUNTIME_ROOT", root, "Directory that becomes the sandbox's root"),
    FILE_NAME("root-changes", "OPENSHELL_RUNTIME_ROOT_CHANGES", changes,
              "Directory with \"upper\" and \"work\" that keeps what is changed in that root. "
              "Default: it goes with the sandbox"),
    { .flag = "cpu",
      .variable = "OPENSHELL_RUNTIME_CPU",
      .type = OSA_OPTION_CPU,
      .offset = AT(limits.cpu_millis),
      .def = "0",
      .value = "CPUS",
      .help = "CPUs of the sandbox; 0 is no limit" },
    { .flag = "memory",
      .variable = "OPENSHELL_RUNTIME_MEMORY",
      .type = OSA_OPTION_BYTES,
      .offset = AT(limits.memory_bytes),
      .def = "0",
      .value = "BYTES",
      .help = "Memory of the sandbox; 0 is no limit" },
    { .flag = "disk",
      .variable = "OPENSHELL_RUNTIME_DISK",
      .type = OSA_OPTION_BYTES,
      .offset = AT(limits.disk_bytes),
      .def = "0",
      .value = "BYTES",
      .help = "Scratch space of the sandbox; 0 is no limit" },
    { .flag = "pids",
      .variable = "OPENSHELL_RUNTIME_PIDS",
      .type = OSA_OPTION_U64,
      .offset = AT(limits.pids_max),
      .max = 4194304,
      .def = "0",
      .value = "N",
      .help = "Processes and threads of the sandbox; 0 is no limit" },
    TEXT("seccomp-profile", "OPENSHELL_RUNTIME_SECCOMP", seccomp_profile, "NAME",
         "seccomp profile: default, strict or gpu"),
    { .flag = "min-isolation",
      .variable = "OPENSHELL_RUNTIME_MIN_ISOLATION",
      .type = OSA_OPTION_ENUM,
      .offset = AT(min_isolation),
      .names = levels,
      .def = "highest",
      .value = "LEVEL",
      .help = "Lowest level of isolation to accept" },
};

static const struct osa_option_group groups[] = {
    { "As OpenShell's supervisor", general, OSA_ARRAY_LEN(general), NULL },
    { "The gateway and the workload", identity, OSA_ARRAY_LEN(identity), NULL },
    { "This agent", ours, OSA_ARRAY_LEN(ours), NULL },
};

static enum osa_code check(const struct gateway_config *config, struct osa_error *err)
{
    bool https = config->endpoint != NULL && strncmp(config->endpoint, "https://", 8) == 0;
    if (config->endpoint != NULL && !https && strncmp(config->endpoint, "http://", 7) != 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "openshell-endpoint: '%.128s' begins with neither http:// nor https://",
                        config->endpoint);
    if (https && (config->tls_ca == NULL || config->tls_cert == NULL || config->tls_key == NULL))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "openshell-endpoint: https needs OPENSHELL_TLS_CA, OPENSHELL_TLS_CERT and "
                        "OPENSHELL_TLS_KEY");
    if (strcmp(config->mode, "network,process") != 0 &&
        strcmp(config->mode, "process,network") != 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "mode: '%.64s' is not had here; leave it out: one agent does both halves",
                        config->mode);
    if (config->policy_rules != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "policy-rules: '%.200s' would be Rego, and there is no engine for it here; "
                        "decisions on a policy document are built in, so give policy-data alone",
                        config->policy_rules);
    return OSA_OK;
}

static enum osa_code load(struct gateway_config *config, int argc, const char *const *argv,
                          struct osa_error *err)
{
    int used = 0;
    enum osa_code code =
        osa_options_new_into(groups, OSA_ARRAY_LEN(groups), config, &config->options, err);
    if (code == OSA_OK)
        code = osa_options_flags(config->options, argc, argv, &used, err);
    if (code == OSA_OK && (config->help || config->version))
        return OSA_OK;
    if (code == OSA_OK)
        code = osa_options_environment(config->options, err);
    config->command = argv + used;
    config->command_count = (size_t)(argc - used);
    return code == OSA_OK ? check(config, err) : code;
}

enum osa_code gateway_config_load(int argc, const char *const *argv,
                                  struct gateway_config **ret_config, struct osa_error *err)
{
    struct gateway_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return osa_fail_errno(err, ENOMEM, "configuration");
    enum osa_code code = load(config, argc, argv, err);
    if (code != OSA_OK) {
        gateway_config_free(config);
        return code;
    }
    *ret_config = config;
    return OSA_OK;
}

void gateway_config_free(struct gateway_config *config)
{
    if (config == NULL)
        return;
    osa_options_free(config->options);
    free(config);
}

void gateway_config_help(unsigned width, struct osa_buf *out)
{
    osa_option_help_all(groups, OSA_ARRAY_LEN(groups), width, out);
}

/* Levels of the supervisor, which knows one more and takes directives that name modules. */
static const char *log_level(const char *level)
{
    static const char *const known[] = { "error", "warn", "info", "debug" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(known); i++) {
        if (strcasecmp(level, known[i]) == 0)
            return known[i];
    }
    return strcasecmp(level, "trace") == 0 ? "debug" : "info";
}

enum osa_code gateway_config_agent(const struct gateway_config *config, struct agent_config **ret,
                                   struct osa_error *err)
{
    const char *const given[][2] = {
        { "--listen", config->listen },
        { "--state-dir", config->state_dir },
        { "--upstream-proxy", config->upstream_proxy },
        { "--upstream-no-proxy", config->upstream_no_proxy },
        { "--upstream-proxy-auth-file", config->upstream_auth_file },
    };
    const char *argv[8 + 2 * OSA_ARRAY_LEN(given)];
    int argc = 0;
    argv[argc++] = "--log-level";
    argv[argc++] = log_level(config->log_level);
    argv[argc++] = "--runtime";
    argv[argc++] = config->runtime == RUNTIME_KIND_BOXLITE ? "boxlite" : "process";
    argv[argc++] = "--allow-loader-env"; /* the environment is that of the sandbox's owner */
    if (config->upstream_auth_allow_insecure)
        argv[argc++] = "--upstream-proxy-auth-allow-insecure";
    if (config->upstream_by_hostname)
        argv[argc++] = "--upstream-proxy-connect-by-hostname";
    for (size_t i = 0; i < OSA_ARRAY_LEN(given); i++) {
        if (given[i][1] == NULL)
            continue;
        argv[argc++] = given[i][0];
        argv[argc++] = given[i][1];
    }
    return agent_config_load(argc, argv, ret, err);
}

void gateway_config_inherit(void (*add)(void *ctx, const char *key, size_t key_len,
                                        const char *value),
                            void *ctx)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        size_t len = strcspn(*entry, "=");
        if (len > 0 && (*entry)[len] == '=' && strncmp(*entry, "OPENSHELL_", 10) != 0)
            add(ctx, *entry, len, *entry + len + 1);
    }
}
