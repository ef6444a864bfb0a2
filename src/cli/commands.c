// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <string.h>

enum { COMMAND_COUNT = 28 };

const struct cli_command *cli_commands(size_t *ret_count)
{
    /* In the order of --help: what one does first, first. Copied once, so that the rows can stand
     * beside their code and still be one array. */
    static const struct cli_command *const rows[COMMAND_COUNT] = {
        &cli_command_run,
        &cli_command_ps,
        &cli_command_logs,
        &cli_command_attach,
        &cli_command_wait,
        &cli_command_signal,
        &cli_command_kill,
        &cli_command_inspect,
        &cli_command_stats,
        &cli_command_top,
        &cli_command_events,
        &cli_command_cp,
        &cli_command_forward,
        &cli_command_sandbox_create,
        &cli_command_sandbox_ls,
        &cli_command_sandbox_inspect,
        &cli_command_sandbox_rm,
        &cli_command_sandbox_pause,
        &cli_command_sandbox_resume,
        &cli_command_sandbox_update,
        &cli_command_sandbox_policy,
        &cli_command_info,
        &cli_command_drain,
        &cli_command_policy_check,
        &cli_command_policy_explain,
        &cli_command_policy_test,
        &cli_command_completion,
        &cli_command_man,
    };
    static struct cli_command all[COMMAND_COUNT];
    if (all[0].name == NULL) {
        for (size_t i = 0; i < COMMAND_COUNT; i++)
            memcpy(&all[i], rows[i], sizeof(all[i]));
    }
    *ret_count = COMMAND_COUNT;
    return all;
}
