// SPDX-License-Identifier: Apache-2.0
#include "driver/config_internal.h"

#include "base/paths.h"
#include "io/option_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A Unix socket's path has 107 bytes, and ours end in "/run/" and 16 digits and ".sock". */
#define STATE_DIR_BYTES 80

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
    enum osa_code code = osa_options_new_into(driver_option_groups, driver_option_group_count,
                                              config, &config->options, err);
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
    osa_option_help_all(driver_option_groups, driver_option_group_count, width, out);
}

void driver_config_man_options(struct osa_buf *out)
{
    osa_option_man_all(driver_option_groups, driver_option_group_count, out);
}
