// SPDX-License-Identifier: Apache-2.0
/* forward: ports of a sandbox on this side's loopback. */
#include "cli/commands.h"
#include "cli/tunnel.h"
#include "cli/wire.h"

struct forward_options {
    const char *host;
};

static const struct osa_option forward_options[] = {
    { .flag = "host",
      .type = OSA_OPTION_STRING,
      .offset = offsetof(struct forward_options, host),
      .value = "ADDRESS",
      .help = "Loopback address in the sandbox: 127.0.0.0/8 or ::1. Default: 127.0.0.1" },
};

static int run_forward(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct forward_options *o = options;
    struct osa_error err = { 0 };
    struct cli_ports ports[CLI_FORWARD_MAX];
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(GetSandboxRequest) request = API_INIT(GET_SANDBOX_REQUEST);
    for (int i = 1; i < argc; i++) {
        if (cli_ports_parse(argv[i], &ports[i - 1], &err) != OSA_OK)
            return cli_usage_error(cli, &err);
    }
    request.sandbox_id = cli_string(&arena, argv[0]);
    int status = cli_call(cli, API_METHOD("GetSandbox"), &request.base,
                          API_TYPE(get_sandbox_response), cli_deadline(cli), NULL, NULL);
    if (status != CLI_DONE)
        return status;
    return cli_forward(cli, argv[0], o->host != NULL ? o->host : "", ports, (size_t)argc - 1);
}

const struct cli_command cli_command_forward = {
    .name = "forward",
    .operands = "SANDBOX [LOCAL:]PORT...",
    .summary = "Listen on this side's loopback for ports of a sandbox, until interrupted",
    .text = "Each connection to 127.0.0.1:LOCAL becomes one to PORT in the sandbox. Without LOCAL "
            "both have the same number; :PORT takes a free one. What is listened on is printed, "
            "one line for each port.",
    .complete = "sandbox",
    .min = 2,
    .max = 1 + CLI_FORWARD_MAX,
    .failed = CLI_FAILED,
    .options = forward_options,
    .option_count = OSA_ARRAY_LEN(forward_options),
    .target_size = sizeof(struct forward_options),
    .run = run_forward,
};
