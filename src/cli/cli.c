// SPDX-License-Identifier: Apache-2.0
/*
 * The command line is read twice: once for the options before the command's name, to find that name,
 * and once more whole, with the rows of that command, when options may stand on both sides of it and
 * between operands.
 */
#include "cli/commands.h"

#include "base/clock.h"
#include "base/paths.h"
#include "base/trace.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct cli_global, field)

static const struct osa_option global_options[] = {
    { .flag = "address",
      .letter = 'H',
      .variable = "OPENSHELL_AGENT_ADDRESS",
      .type = OSA_OPTION_STRING,
      .offset = AT(address),
      .value = "ADDRESS",
      .help = "Agent to talk to: unix:PATH, HOST:PORT, http:// or https://HOST:PORT. Default: "
              "agent.sock in the runtime directory" },
    { .flag = "token-file",
      .variable = "OPENSHELL_AGENT_TOKEN_FILE",
      .type = OSA_OPTION_PATH,
      .offset = AT(token_file),
      .value = "FILE",
      .help = "File with the bearer token" },
    { .flag = "tls",
      .type = OSA_OPTION_BOOL,
      .offset = AT(tls),
      .help = "Use TLS; implied by https:// and by each of the options below" },
    { .flag = "tls-ca",
      .variable = "OPENSHELL_AGENT_CLIENT_CA",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_ca),
      .value = "FILE",
      .help = "Authority, PEM, that signed the agent's certificate. Default: the system's" },
    { .flag = "tls-cert",
      .variable = "OPENSHELL_AGENT_CLIENT_CERT",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_cert),
      .value = "FILE",
      .help = "Certificate to show to the agent, PEM" },
    { .flag = "tls-key",
      .variable = "OPENSHELL_AGENT_CLIENT_KEY",
      .type = OSA_OPTION_PATH,
      .offset = AT(tls_key),
      .value = "FILE",
      .help = "Private key of that certificate, PEM" },
    { .flag = "tls-server-name",
      .variable = "OPENSHELL_AGENT_CLIENT_SERVER_NAME",
      .type = OSA_OPTION_STRING,
      .offset = AT(tls_server_name),
      .value = "NAME",
      .help = "Name that the agent's certificate must carry. Default: that of the address" },
    { .flag = "call-timeout",
      .variable = "OPENSHELL_AGENT_CALL_TIMEOUT",
      .type = OSA_OPTION_DURATION,
      .offset = AT(call_timeout_ns),
      .min = 1000000,
      .max = 86400ull * (uint64_t)OSA_NS_PER_SEC,
      .def = "1m",
      .value = "TIME",
      .help = "How long to wait for an answer that should come soon" },
    { .flag = "trace-parent",
      .variable = "TRACEPARENT",
      .type = OSA_OPTION_STRING,
      .offset = AT(trace_parent),
      .value = "CONTEXT",
      .help = "Trace of OpenTelemetry that the calls belong to, as W3C writes it: "
              "00-TRACE-SPAN-FLAGS. The agent's log names it. What cannot be read is ignored" },
    { .flag = "trace-state",
      .variable = "TRACESTATE",
      .type = OSA_OPTION_STRING,
      .offset = AT(trace_state),
      .value = "STATE",
      .help = "What goes with that trace, handed on as it is" },
    { .flag = "json",
      .type = OSA_OPTION_BOOL,
      .offset = AT(json),
      .help = "Write JSON for programs; streams one object a line" },
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

struct osa_option_group cli_global_group(struct cli_global *target)
{
    return (struct osa_option_group){ "Common options", global_options,
                                      OSA_ARRAY_LEN(global_options), target };
}

size_t cli_groups(const struct cli_command *command, void *target, struct cli_global *global,
                  struct osa_option_group ret_groups[CLI_GROUPS])
{
    size_t count = 0;
    if (command->option_count > 0)
        ret_groups[count++] =
            (struct osa_option_group){ "Options", command->options, command->option_count, target };
    if (command->shared_count > 0)
        ret_groups[count++] = (struct osa_option_group){ "Sandbox and limits", command->shared,
                                                         command->shared_count, target };
    ret_groups[count++] = cli_global_group(global);
    return count;
}

const struct cli_command *cli_command_find(int argc, const char *const *argv, int *ret_words)
{
    size_t count = 0;
    const struct cli_command *commands = cli_commands(&count);
    *ret_words = 1;
    if (argc > 0 && strcmp(argv[0], cli_command_complete.name) == 0)
        return &cli_command_complete;
    for (size_t i = 0; i < count; i++) {
        const char *space = strchr(commands[i].name, ' ');
        size_t first =
            space != NULL ? (size_t)(space - commands[i].name) : strlen(commands[i].name);
        if (argc < 1 || strlen(argv[0]) != first || strncmp(argv[0], commands[i].name, first) != 0)
            continue;
        if (space != NULL && (argc < 2 || strcmp(argv[1], space + 1) != 0))
            continue;
        *ret_words = space != NULL ? 2 : 1;
        return &commands[i];
    }
    return NULL;
}

static int unknown_command(const struct cli *cli, int argc, const char *const *argv)
{
    struct osa_error err;
    size_t count = 0;
    const struct cli_command *commands = cli_commands(&count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(argv[0]);
        if (strncmp(commands[i].name, argv[0], len) != 0 || commands[i].name[len] != ' ')
            continue;
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "%s: %s%s%s", argv[0],
                       argc > 1 ? "unknown subcommand '" : "needs a subcommand",
                       argc > 1 ? argv[1] : "", argc > 1 ? "'" : "");
        return cli_usage_error(cli, &err);
    }
    (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "unknown command '%.64s'", argv[0]);
    return cli_usage_error(cli, &err);
}

/* Options wherever they stand, operands into @operands, which has room for all of @argv. */
static enum osa_code read_operands(struct cli *cli, int argc, const char *const *argv,
                                   const char **operands, int *ret_count, struct osa_error *err)
{
    int count = 0;
    int at = 0;
    while (at < argc) {
        int used = 0;
        enum osa_code code = osa_options_flags(cli->options, argc - at, argv + at, &used, err);
        if (code != OSA_OK)
            return code;
        bool rest = cli->command->stops || (used > 0 && strcmp(argv[at + used - 1], "--") == 0);
        at += used;
        while (at < argc) {
            operands[count++] = argv[at++];
            if (!rest)
                break;
        }
    }
    *ret_count = count;
    return OSA_OK;
}

static int check_operands(const struct cli *cli, int count, const char *const *operands)
{
    struct osa_error err;
    if (count < cli->command->min)
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "%s: needs %s", cli->command->name,
                       cli->command->operands);
    else if (count > cli->command->max)
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "%s: unexpected operand '%.64s'",
                       cli->command->name, operands[cli->command->max]);
    else
        return CLI_DONE;
    return cli_usage_error(cli, &err);
}

static enum osa_code default_address(struct cli *cli, struct osa_error *err)
{
    char address[PATH_MAX + 64];
    if (cli->global.address != NULL && *cli->global.address != '\0')
        return OSA_OK;
    osa_default_address(address, sizeof(address));
    return osa_options_default(cli->options, &cli->global.address, address, err);
}

static int show_help(const struct cli *cli)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 1u << 20);
    if (cli->command != NULL)
        cli_command_usage(cli->command, cli_width(), &out);
    else
        cli_usage(cli_width(), &out);
    return cli_print(&out);
}

static int show_version(void)
{
    return printf(CLI_NAME " " OSA_VERSION "\n") > 0 && fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
}

/* @before: options left of the command's name; @after: what is right of it. */
static int run_command(struct cli *cli, int before, const char *const *argv, int after,
                       const char *const *rest)
{
    struct osa_error err = { 0 };
    int used = 0;
    int count = 0;
    OSA_AUTO(osa_free) void *target = calloc(1, OSA_MAX(cli->command->target_size, (size_t)1));
    OSA_AUTO(osa_free) const char **operands = calloc((size_t)after + 1, sizeof(*operands));
    if (target == NULL || operands == NULL) {
        (void)osa_fail_errno(&err, ENOMEM, "%s", cli->command->name);
        return cli_usage_error(cli, &err);
    }
    osa_options_free(OSA_TAKE(cli->options));
    cli->global = (struct cli_global){ 0 };
    struct osa_option_group groups[CLI_GROUPS];
    size_t group_count = cli_groups(cli->command, target, &cli->global, groups);
    enum osa_code code = osa_options_new(groups, group_count, &cli->options, &err);
    if (code == OSA_OK)
        code = osa_options_flags(cli->options, before, argv, &used, &err);
    if (code == OSA_OK)
        code = read_operands(cli, after, rest, operands, &count, &err);
    if (code == OSA_OK && cli->global.help)
        return show_help(cli);
    if (code == OSA_OK)
        code = osa_options_environment(cli->options, &err);
    if (code == OSA_OK)
        code = default_address(cli, &err);
    if (code != OSA_OK)
        return cli_usage_error(cli, &err);
    OSA_AUTO(osa_trace_free)
    struct osa_trace *trace = osa_trace_new(cli->global.trace_parent, cli->global.trace_state);
    OSA_AUTO(osa_trace_leave) struct osa_trace_scope scope = osa_trace_enter(trace);
    int status = check_operands(cli, count, operands);
    return status != CLI_DONE ? status : cli->command->run(cli, target, count, operands);
}

static int start(struct cli *cli, int argc, const char *const *argv)
{
    struct osa_error err = { 0 };
    int used = 0;
    int words = 0;
    struct osa_option_group group = cli_global_group(&cli->global);
    enum osa_code code = osa_options_new(&group, 1, &cli->options, &err);
    if (code == OSA_OK)
        code = osa_options_flags(cli->options, argc, argv, &used, &err);
    if (code != OSA_OK)
        return cli_usage_error(cli, &err);
    if (cli->global.version)
        return show_version();
    if (used == argc && cli->global.help)
        return show_help(cli);
    if (used == argc) {
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "which command?");
        return cli_usage_error(cli, &err);
    }
    cli->command = cli_command_find(argc - used, argv + used, &words);
    if (cli->command == NULL)
        return unknown_command(cli, argc - used, argv + used);
    return run_command(cli, used, argv, argc - used - words, argv + used + words);
}

int cli_main(int argc, const char *const *argv)
{
    struct cli cli = { 0 };
    int status = start(&cli, argc, argv);
    cli_disconnect(&cli);
    osa_options_free(cli.options);
    return status;
}
