// SPDX-License-Identifier: Apache-2.0
#include "driver/config.h"

#include "base/clock.h"
#include "base/paths.h"
#include "io/option_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS(n) ((uint64_t)(n) * (uint64_t)OSA_NS_PER_SEC)
#define AT(field) offsetof(struct driver_config, field)
/* A Unix socket's path has 107 bytes, and ours end in "/run/" and 16 digits and ".sock". */
#define STATE_DIR_BYTES 80

static const struct osa_option_name runtimes[] = {
    { "auto", RUNTIME_KIND_DEFAULT },
    { "process", RUNTIME_KIND_PROCESS },
    { "boxlite", RUNTIME_KIND_BOXLITE },
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
      .variable = "OPENSHELL_DRIVER_CONFIG",
      .type = OSA_OPTION_PATH,
      .offset = AT(config),
      .value = "FILE",
      .help = "Configuration file: YAML, one key for each option" },
    { .flag = "state-dir",
      .variable = "OPENSHELL_DRIVER_STATE_DIR",
      .key = "state_dir",
      .type = OSA_OPTION_PATH,
      .offset = AT(state_dir),
      .value = "DIR",
      .help = "Where sandboxes are remembered; must survive a reboot. Default: "
              "/var/lib/openshell-driver, or in the user's state directory" },
    { .flag = "agent",
      .variable = "OPENSHELL_DRIVER_AGENT",
      .key = "agent",
      .type = OSA_OPTION_PATH,
      .offset = AT(agent),
      .value = "FILE",
      .help = "The program openshell-agent. Default: beside this one" },
    { .flag = "log-level",
      .variable = "OPENSHELL_DRIVER_LOG_LEVEL",
      .key = "log_level",
      .type = OSA_OPTION_ENUM,
      .offset = AT(log_level),
      .names = log_levels,
      .def = "info",
      .value = "LEVEL",
      .help = "Least important lines that are logged" },
    { .flag = "log-format",
      .variable = "OPENSHELL_DRIVER_LOG_FORMAT",
      .key = "log_format",
      .type = OSA_OPTION_ENUM,
      .offset = AT(log_format),
      .names = log_formats,
      .def = "text",
      .value = "FORMAT",
      .help = "Form of log lines on standard error" },
    { .flag = "agent-log-level",
      .variable = "OPENSHELL_DRIVER_AGENT_LOG_LEVEL",
      .key = "agent_log_level",
      .type = OSA_OPTION_STRING,
      .offset = AT(agent_log_level),
      .def = "info",
      .value = "LEVEL",
      .help = "Level of an agent's log where the sandbox names none" },
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

static const struct osa_option gateway[] = {
    { .flag = "name",
      .variable = "OPENSHELL_DRIVER_NAME",
      .key = "name",
      .type = OSA_OPTION_STRING,
      .offset = AT(name),
      .def = "openshell-agent",
      .value = "NAME",
      .help = "Name under which the gateway was told of this driver (its --drivers)" },
    { .flag = "socket",
      .variable = "OPENSHELL_DRIVER_SOCKET",
      .key = "socket",
      .type = OSA_OPTION_PATH,
      .offset = AT(socket),
      .value = "FILE",
      .help = "Unix socket to which the gateway connects (its --compute-driver-socket). Default: "
              "driver.sock in the runtime directory" },
    { .flag = "endpoint",
      .variable = "OPENSHELL_DRIVER_ENDPOINT",
      .key = "endpoint",
      .type = OSA_OPTION_STRING,
      .offset = AT(endpoint),
      .def = "http://127.0.0.1:17670",
      .value = "URL",
      .help = "Where agents reach the gateway: http://HOST:PORT or https://HOST:PORT" },
    { .flag = "tls-ca",
      .variable = "OPENSHELL_DRIVER_TLS_CA",
      .key = "tls_ca",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_ca),
      .value = "FILE",
      .help = "Authority, PEM, of the gateway's certificate, for agents" },
    { .flag = "tls-cert",
      .variable = "OPENSHELL_DRIVER_TLS_CERT",
      .key = "tls_cert",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_cert),
      .value = "FILE",
      .help = "Client certificate, PEM, for agents" },
    { .flag = "tls-key",
      .variable = "OPENSHELL_DRIVER_TLS_KEY",
      .key = "tls_key",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_key),
      .value = "FILE",
      .help = "Private key of that certificate, PEM" },
    { .flag = "tls-server-name",
      .variable = "OPENSHELL_DRIVER_TLS_SERVER_NAME",
      .key = "tls_server_name",
      .type = OSA_OPTION_STRING,
      .offset = AT(tls_server_name),
      .value = "NAME",
      .help = "Name in the gateway's certificate, when it is not the endpoint's" },
    { .flag = "listener",
      .variable = "OPENSHELL_DRIVER_LISTENER",
      .key = "listener",
      .type = OSA_OPTION_LIST,
      .offset = AT(listeners),
      .value = "IP:PORT",
      .help = "Address that the gateway is asked to serve for agents, beside its own" },
};

static const struct osa_option sandboxes[] = {
    { .flag = "default-image",
      .variable = "OPENSHELL_DRIVER_DEFAULT_IMAGE",
      .key = "default_image",
      .type = OSA_OPTION_STRING,
      .offset = AT(default_image),
      .def = "host",
      .value = "IMAGE",
      .help = "Image of a sandbox that names none; 'host' is this machine's own root" },
    { .flag = "runtime",
      .variable = "OPENSHELL_DRIVER_RUNTIME",
      .key = "runtime",
      .type = OSA_OPTION_ENUM,
      .offset = AT(runtime),
      .names = runtimes,
      .def = "auto",
      .value = "KIND",
      .help = "Kind of a sandbox for which neither its driver_config nor a rule decides" },
    { .flag = "rule",
      .variable = "OPENSHELL_DRIVER_RULES",
      .key = "rules",
      .type = OSA_OPTION_LIST,
      .offset = AT(rules),
      .value = "RULE",
      .help = "How kinds are chosen, the first that matches: 'CONDITION & CONDITION... -> KIND | "
              "KIND'. "
              "Conditions: *, image=GLOB, class=GLOB, label:KEY=GLOB, cpu>=CPUS, memory>=BYTES" },
    { .flag = "capacity-cpu",
      .variable = "OPENSHELL_DRIVER_CAPACITY_CPU",
      .key = "capacity_cpu",
      .type = OSA_OPTION_CPU,
      .offset = AT(capacity.cpu_millis),
      .def = "0",
      .value = "CPUS",
      .help = "CPUs that running sandboxes may reserve together; 0 sets no bound" },
    { .flag = "capacity-memory",
      .variable = "OPENSHELL_DRIVER_CAPACITY_MEMORY",
      .key = "capacity_memory",
      .type = OSA_OPTION_BYTES,
      .offset = AT(capacity.memory_bytes),
      .def = "0",
      .value = "BYTES",
      .help = "Memory that running sandboxes may reserve together; 0 sets no bound" },
    { .flag = "max-sandboxes",
      .variable = "OPENSHELL_DRIVER_MAX_SANDBOXES",
      .key = "max_sandboxes",
      .type = OSA_OPTION_U32,
      .offset = AT(max_sandboxes),
      .min = 1,
      .max = 10000,
      .def = "500",
      .value = "N",
      .help = "Sandboxes kept at one time, stopped ones included" },
    { .flag = "user",
      .variable = "OPENSHELL_DRIVER_USER",
      .key = "user",
      .type = OSA_OPTION_STRING,
      .offset = AT(user),
      .value = "UID:GID",
      .help = "Whom sandboxes run as. Default: 65534:65534 (nobody) when root runs the driver, "
              "else its own user" },
    { .flag = "start-timeout",
      .variable = "OPENSHELL_DRIVER_START_TIMEOUT",
      .key = "start_timeout",
      .type = OSA_OPTION_DURATION,
      .offset = AT(start_timeout_ns),
      .min = SECONDS(1),
      .max = SECONDS(3600),
      .def = "2m",
      .value = "TIME",
      .help = "How long an agent may take until its sandbox runs" },
    { .flag = "stop-grace",
      .variable = "OPENSHELL_DRIVER_STOP_GRACE",
      .key = "stop_grace",
      .type = OSA_OPTION_DURATION,
      .offset = AT(stop_grace_ns),
      .max = SECONDS(600),
      .def = "10s",
      .value = "TIME",
      .help = "How long the main process may take to end when its sandbox is stopped" },
};

static const struct osa_option_group groups[] = {
    { "General options", general, OSA_ARRAY_LEN(general), NULL },
    { "The gateway", gateway, OSA_ARRAY_LEN(gateway), NULL },
    { "Sandboxes", sandboxes, OSA_ARRAY_LEN(sandboxes), NULL },
};

static enum osa_code fill_defaults(struct driver_config *config, struct osa_error *err)
{
    char text[PATH_MAX];
    enum osa_code code = OSA_OK;
    if (config->socket == NULL) {
        osa_driver_socket(text, sizeof(text));
        code = osa_options_default(config->options, &config->socket, text, err);
    }
    if (code == OSA_OK && config->state_dir == NULL) {
        osa_driver_state_dir(text, sizeof(text));
        code = osa_options_default(config->options, &config->state_dir, text, err);
    }
    if (code == OSA_OK && config->user == NULL) {
        bool root = geteuid() == 0;
        (void)snprintf(text, sizeof(text), "%u:%u", root ? 65534u : geteuid(),
                       root ? 65534u : getegid());
        code = osa_options_default(config->options, &config->user, text, err);
    }
    if (code == OSA_OK && config->agent == NULL) {
        ssize_t len = readlink("/proc/self/exe", text, sizeof(text) - 1);
        text[OSA_MAX(len, 0)] = '\0';
        char *slash = strrchr(text, '/');
        char path[PATH_MAX + 32];
        (void)snprintf(path, sizeof(path), "%.*s/openshell-agent",
                       slash != NULL ? (int)(slash - text) : 0, text);
        code = osa_options_default(config->options, &config->agent, path, err);
    }
    return code;
}

/* Return: false unless @text is "UID:GID" with numbers of 1 to 2^32-2. */
static bool is_user(const char *text)
{
    for (int i = 0; i < 2; i++) {
        char *end;
        errno = 0;
        unsigned long long id = strtoull(text, &end, 10);
        if (errno != 0 || end == text || text[0] < '0' || text[0] > '9' || id == 0 ||
            id >= UINT32_MAX || *end != (i == 0 ? ':' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

static enum osa_code check(const struct driver_config *config, struct osa_error *err)
{
    bool https = strncmp(config->endpoint, "https://", 8) == 0;
    if (!https && strncmp(config->endpoint, "http://", 7) != 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "endpoint: '%.128s' begins with neither http:// nor https://",
                        config->endpoint);
    if (https && (config->tls_ca == NULL || config->tls_cert == NULL || config->tls_key == NULL))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "endpoint: https needs tls-ca, tls-cert and tls-key");
    if (config->state_dir[0] != '/' || strlen(config->state_dir) > STATE_DIR_BYTES)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "state-dir: '%.128s' is not absolute, or longer than %d bytes",
                        config->state_dir, STATE_DIR_BYTES);
    if (config->socket[0] != '/')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "socket: '%.128s' is not absolute",
                        config->socket);
    if (!is_user(config->user))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "user: '%.64s' is not UID:GID with numbers of 1 to 4294967294",
                        config->user);
    return OSA_OK;
}

static enum osa_code load(struct driver_config *config, int argc, const char *const *argv,
                          struct osa_error *err)
{
    int used = 0;
    enum osa_code code =
        osa_options_new_into(groups, OSA_ARRAY_LEN(groups), config, &config->options, err);
    if (code == OSA_OK)
        code = osa_options_flags(config->options, argc, argv, &used, err);
    if (code == OSA_OK && (config->help || config->version))
        return OSA_OK;
    if (code == OSA_OK && used < argc)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.64s': there are options only",
                        argv[used]);
    if (code == OSA_OK)
        code = osa_options_environment(config->options, err);
    if (code == OSA_OK && config->config != NULL)
        code = io_option_file(config->options, config->config, err);
    if (code == OSA_OK)
        code = fill_defaults(config, err);
    return code == OSA_OK ? check(config, err) : code;
}

enum osa_code driver_config_load(int argc, const char *const *argv,
                                 struct driver_config **ret_config, struct osa_error *err)
{
    struct driver_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return osa_fail_errno(err, ENOMEM, "configuration");
    enum osa_code code = load(config, argc, argv, err);
    if (code != OSA_OK) {
        driver_config_free(config);
        return code;
    }
    *ret_config = config;
    return OSA_OK;
}

void driver_config_free(struct driver_config *config)
{
    if (config == NULL)
        return;
    osa_options_free(config->options);
    free(config);
}

void driver_config_help(unsigned width, struct osa_buf *out)
{
    osa_option_help_all(groups, OSA_ARRAY_LEN(groups), width, out);
}

void driver_config_man_options(struct osa_buf *out)
{
    osa_option_man_all(groups, OSA_ARRAY_LEN(groups), out);
}
