// SPDX-License-Identifier: Apache-2.0
/* completion and man: texts that are made from the tables. */
#include "cli/commands.h"
#include "cli/manual.h"

static int run_completion(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    struct osa_error err;
    (void)options;
    (void)argc;
    osa_buf_init(&out, 1u << 20);
    if (cli_completion(argv[0], &out))
        return cli_print(&out);
    (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0,
                   "completion: '%.64s' is not one of bash, zsh, fish", argv[0]);
    return cli_usage_error(cli, &err);
}

const struct cli_command cli_command_completion = {
    .name = "completion",
    .operands = "SHELL",
    .summary = "Print the completion script for bash, zsh or fish",
    .text = "For the shell that runs: source <(" CLI_NAME " completion bash)",
    .complete = "shell",
    .min = 1,
    .max = 1,
    .failed = CLI_FAILED,
    .run = run_completion,
};

static int run_man(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    (void)cli;
    (void)options;
    (void)argc;
    (void)argv;
    osa_buf_init(&out, 1u << 20);
    cli_manual(&out);
    return cli_print(&out);
}

const struct cli_command cli_command_man = {
    .name = "man",
    .operands = "",
    .summary = "Print the man page, as source for man",
    .text = "To read it: " CLI_NAME " man | man -l -",
    .failed = CLI_FAILED,
    .run = run_man,
};
