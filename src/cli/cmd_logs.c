// SPDX-License-Identifier: Apache-2.0
/* logs and attach: what a process says, and to say something to it. */
#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/wire.h"

#include <unistd.h>

struct logs_options {
    bool follow;
    uint64_t offset;
};

static const struct osa_option logs_options[] = {
    { .flag = "follow",
      .letter = 'f',
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct logs_options, follow),
      .help = "Go on with what comes, until the process has exited" },
    { .flag = "offset",
      .type = OSA_OPTION_U64,
      .offset = offsetof(struct logs_options, offset),
      .value = "N",
      .help = "Begin at this byte of the output" },
};

static int run_logs(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct logs_options *o = options;
    struct cli_attach what = {
        .process_id = argv[0],
        .offset = o->offset,
        .follow = o->follow,
    };
    (void)argc;
    int status = cli_attach(cli, &what);
    /* Following is looking on: how the process ended is not how we did. */
    return o->follow && status != cli->command->failed && status != CLI_NOT_RUN ? CLI_DONE : status;
}

const struct cli_command cli_command_logs = {
    .name = "logs",
    .operands = "PROCESS",
    .summary = "Show the output of a process, as far as the agent has kept it",
    .text = "Standard output goes to standard output, standard error to standard error.",
    .complete = "process",
    .min = 1,
    .max = 1,
    .failed = CLI_FAILED,
    .options = logs_options,
    .option_count = OSA_ARRAY_LEN(logs_options),
    .target_size = sizeof(struct logs_options),
    .run = run_logs,
};

struct attach_options {
    bool no_input;
    bool replay;
    bool signals;
};

static const struct osa_option attach_options[] = {
    { .flag = "output-only",
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct attach_options, no_input),
      .help = "Do not send standard input" },
    { .flag = "replay",
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct attach_options, replay),
      .help = "Begin with the output that is kept" },
    { .flag = "signals",
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct attach_options, signals),
      .def = "true",
      .help = "Pass on the signals that come here" },
};

static bool takes_input(void *ctx, const ProtobufCMessage *message)
{
    const API(GetResponse) *got = (const void *)message;
    bool *open = ctx;
    *open = got->process != NULL && got->process->spec != NULL &&
            (got->process->spec->stdin || got->process->spec->tty != NULL);
    return true;
}

static int run_attach(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct attach_options *o = options;
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(GetRequest) request = API_INIT(GET_REQUEST);
    bool open = false;
    (void)argc;
    request.process_id = cli_string(&arena, argv[0]);
    int status = cli_call(cli, API_METHOD("Get"), &request.base, API_TYPE(get_response),
                          cli_deadline(cli), takes_input, &open);
    if (status != CLI_DONE)
        return status;
    struct cli_attach what = {
        .process_id = argv[0],
        .from_end = !o->replay,
        .follow = true,
        .input = open && !o->no_input,
        .signals = o->signals,
    };
    return cli_attach(cli, &what);
}

const struct cli_command cli_command_attach = {
    .name = "attach",
    .operands = "PROCESS",
    .summary = "Connect to a running process: its output, its input, its terminal",
    .text = "In a terminal ctrl-p ctrl-q detaches and lets the process go on. The exit status is "
            "that of the process, as run gives it.",
    .complete = "process",
    .min = 1,
    .max = 1,
    .failed = CLI_NOT_RUN,
    .options = attach_options,
    .option_count = OSA_ARRAY_LEN(attach_options),
    .target_size = sizeof(struct attach_options),
    .run = run_attach,
};
