// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include "base/fd.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char file_path[] = "/tmp/osa-config-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(file_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

static void write_file(const char *text)
{
    int fd = open(file_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(osa_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static enum osa_code load(const char *const *argv, struct agent_config **ret, struct osa_error *err)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    *ret = NULL;
    *err = (struct osa_error){ 0 };
    return agent_config_load(argc, argv, ret, err);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_defaults(void **state)
{
    (void)state;
    struct agent_config *config;
    struct osa_error err;
    setenv("XDG_RUNTIME_DIR", "/run/user/77", 1);
    assert_int_equal(load(ARGS(NULL), &config, &err), OSA_OK);
    bool root = geteuid() == 0;
    assert_int_equal(config->listen.count, 1);
    assert_string_equal(config->listen.items[0],
                        root ? "unix:/run/openshell-agent/agent.sock"
                             : "unix:/run/user/77/openshell-agent/agent.sock");
    assert_string_equal(config->state_dir,
                        root ? "/run/openshell-agent" : "/run/user/77/openshell-agent");
    assert_int_equal(config->unix_mode, 0600);
    assert_int_equal(config->runtime, RUNTIME_KIND_PROCESS);
    assert_int_equal(config->min_isolation, ISOLATION_ANY);
    assert_int_equal(config->reflection, RPC_ROLE_VIEWER);
    assert_int_equal(config->health_access, RPC_ROLE_ANYONE);
    assert_int_equal(config->max_message_bytes, 4194304);
    assert_int_equal(config->output_retain_bytes, 1048576);
    assert_int_equal(config->exit_retain_ns, 600000000000);
    assert_int_equal(config->drain_timeout_ns, 30000000000);
    assert_int_equal(config->log_level, OSA_LOG_INFO);
    assert_false(config->sandbox);
    assert_null(config->token_file);
    agent_config_free(config);
}

static void test_all_sources(void **state)
{
    (void)state;
    struct agent_config *config;
    struct osa_error err;
    write_file("listen:\n  - unix:/a\n  - '[::1]:0'\nmax_processes: 50\nunix_uid: 1000\n"
               "runtime: boxlite\nsandbox: true\ncapacity_cpu: 1500m\nunix_mode: '0660'\n");
    setenv("OPENSHELL_AGENT_MAX_PROCESSES", "60", 1);
    setenv("OPENSHELL_AGENT_CONFIG", file_path, 1);
    assert_int_equal(load(ARGS("--runtime", "process"), &config, &err), OSA_OK);
    unsetenv("OPENSHELL_AGENT_MAX_PROCESSES");
    unsetenv("OPENSHELL_AGENT_CONFIG");
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(config->listen.items[1], "[::1]:0");
    assert_int_equal(config->max_processes, 60);
    assert_int_equal(config->unix_uid_count, 1);
    assert_int_equal(config->unix_uids[0], 1000);
    assert_int_equal(config->runtime, RUNTIME_KIND_PROCESS);
    assert_true(config->sandbox);
    assert_int_equal(config->capacity.cpu_millis, 1500);
    assert_int_equal(config->unix_mode, 0660);
    agent_config_free(config);
}

static void test_bad_file(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message; /* after the path */
    } cases[] = {
        { "listne: x\n", ":1:1: unknown key 'listne'" },
        { "config: /x\n", ":1:1: unknown key 'config'" },
        { "a: 1\na: 2\n", ":2:1: key 'a' is here twice, first in line 1" },
        { "\nmax_processes: 0\n",
          ":2:16: max_processes: '0' is out of range; allowed: 1 to 1000000" },
        { "max_processes: [1]\n", ":1:16: max_processes: must be one value" },
        { "listen: {a: b}\n", ":1:9: listen: must be one value" },
        { "listen: [[a]]\n", ":1:10: listen: must be one value" },
        { "policy:\n", ":1:8: policy: has no value; leave the key out" },
        { "- a\n", ":1:1: must be a mapping: lines of key: value" },
        { "runtime: vm\n", ":1:10: runtime: 'vm' is not one of process, boxlite" },
        { "sandbox: yes\n", ":1:10: sandbox: 'yes' is neither true nor false" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct agent_config *config;
        struct osa_error err;
        char message[512];
        write_file(cases[i].text);
        assert_int_equal(load(ARGS("--config", file_path), &config, &err), OSA_INVALID_ARGUMENT);
        (void)snprintf(message, sizeof(message), "%s%s", file_path, cases[i].message);
        assert_string_equal(err.text, message);
        assert_null(config);
    }
}

static void test_bad_flags(void **state)
{
    (void)state;
    static const struct {
        const char *argv[5];
        enum osa_code code;
        const char *message;
    } cases[] = {
        { { "--config", "/nonexistent" }, OSA_NOT_FOUND, "/nonexistent" },
        { { "extra" }, OSA_INVALID_ARGUMENT, "'extra': serve takes options only" },
        { { "--tls-cert", "/c" },
          OSA_INVALID_ARGUMENT,
          "tls-cert: needs tls-key too: a certificate goes with its key" },
        { { "--tls-key", "/k" },
          OSA_INVALID_ARGUMENT,
          "tls-key: needs tls-cert too: a certificate goes with its key" },
        { { "--health-listen", "unix:/k" },
          OSA_INVALID_ARGUMENT,
          "health-listen: 'unix:/k' is not HOST:PORT; who can connect to a Unix socket needs no "
          "address for health alone" },
        { { "--health-listen", "0.0.0.0:1", "--health-access", "viewer" },
          OSA_INVALID_ARGUMENT,
          "health-listen: nobody could ask there; it needs health-access anyone" },
        { { "--tls-client-ca", "/k" },
          OSA_INVALID_ARGUMENT,
          "tls-client-ca: needs tls-cert and tls-key" },
        { { "--unix-uid", "4294967295" },
          OSA_INVALID_ARGUMENT,
          "unix-uid: '4294967295' is not a user id of 0 to 4294967294" },
        { { "--unix-uid", "-1" }, OSA_INVALID_ARGUMENT, "unix-uid: '-1' is not a user id" },
        { { "--unix-uid", "1x" }, OSA_INVALID_ARGUMENT, "unix-uid: '1x' is not a user id" },
        { { "--state-dir", "x" }, OSA_INVALID_ARGUMENT, "state-dir: 'x' is not absolute" },
        { { "--unix-mode", "1777" },
          OSA_INVALID_ARGUMENT,
          "--unix-mode: '1777' is out of range; allowed: 0000 to 0777" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct agent_config *config;
        struct osa_error err;
        assert_int_equal(load(cases[i].argv, &config, &err), cases[i].code);
        if (strstr(err.text, cases[i].message) == NULL)
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].message);
    }
}

/* --help must work with an environment or a file that would not. */
static void test_help_first(void **state)
{
    (void)state;
    struct agent_config *config;
    struct osa_error err;
    setenv("OPENSHELL_AGENT_MAX_PROCESSES", "junk", 1);
    assert_int_equal(load(ARGS("--help"), &config, &err), OSA_OK);
    assert_true(config->help);
    agent_config_free(config);
    assert_int_equal(load(ARGS(NULL), &config, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "OPENSHELL_AGENT_MAX_PROCESSES: 'junk' is not a whole number");
    unsetenv("OPENSHELL_AGENT_MAX_PROCESSES");
}

/* Two names that others know and that the driver and the field's tools set. */
static const char *variable_of(const char *flag, const char *usual)
{
    if (strcmp(flag, "runtime") == 0)
        return "OPENSHELL_RUNTIME";
    return strcmp(flag, "boxlite-url") == 0 ? "BOXLITE_URL" : usual;
}

/*
 * Every row can come from all three sources, under one spelling. Kubernetes sets variables for each
 * Service, for one called openshell-agent OPENSHELL_AGENT_PORT and the like: no row may have those.
 */
static void test_rows(void **state)
{
    (void)state;
    size_t count = 0;
    const struct osa_option_group *groups = agent_config_groups(&count);
    struct osa_buf help;
    struct osa_buf man;
    osa_buf_init(&help, 1u << 20);
    osa_buf_init(&man, 1u << 20);
    agent_config_help(80, &help);
    agent_config_man(&man);
    assert_true(count > 0);
    for (size_t g = 0; g < count; g++) {
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct osa_option *row = &groups[g].options[i];
            char text[128];
            (void)snprintf(text, sizeof(text), "--%s", row->flag);
            assert_non_null(strstr(help.data, text));
            assert_true(row->help[strlen(row->help) - 1] != '.');
            if (strcmp(row->flag, "help") == 0 || strcmp(row->flag, "version") == 0)
                continue;
            assert_non_null(row->value == NULL && row->type != OSA_OPTION_BOOL ? NULL : row);
            (void)snprintf(text, sizeof(text), "OPENSHELL_AGENT_%s", row->flag);
            for (char *p = text + strlen("OPENSHELL_AGENT_"); *p != '\0'; p++)
                *p = *p == '-' ? '_' : (char)(*p - 'a' + 'A');
            assert_string_equal(row->variable, variable_of(row->flag, text));
            assert_non_null(strstr(man.data, row->variable));
            assert_null(strstr(row->variable, "_SERVICE_"));
            assert_null(strstr(row->variable, "_PORT"));
            if (strcmp(row->flag, "config") == 0)
                continue;
            (void)snprintf(text, sizeof(text), "%s", row->flag);
            for (char *p = text; *p != '\0'; p++)
                *p = *p == '-' ? '_' : *p;
            assert_string_equal(row->key, text);
        }
    }
    osa_buf_done(&help);
    osa_buf_done(&man);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_all_sources),
        cmocka_unit_test(test_bad_file),   cmocka_unit_test(test_bad_flags),
        cmocka_unit_test(test_help_first), cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
