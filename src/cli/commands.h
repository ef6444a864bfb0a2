// SPDX-License-Identifier: Apache-2.0
/* The rows of the commands, one file each; src/cli/commands.c lists them. */
#pragma once

#include "cli/cli.h"

extern const struct cli_command cli_command_info;
extern const struct cli_command cli_command_run;
extern const struct cli_command cli_command_ps;
extern const struct cli_command cli_command_logs;
extern const struct cli_command cli_command_attach;
extern const struct cli_command cli_command_wait;
extern const struct cli_command cli_command_signal;
extern const struct cli_command cli_command_kill;
extern const struct cli_command cli_command_inspect;
extern const struct cli_command cli_command_stats;
extern const struct cli_command cli_command_top;
extern const struct cli_command cli_command_events;
extern const struct cli_command cli_command_cp;
extern const struct cli_command cli_command_forward;
extern const struct cli_command cli_command_sandbox_create;
extern const struct cli_command cli_command_sandbox_ls;
extern const struct cli_command cli_command_sandbox_inspect;
extern const struct cli_command cli_command_sandbox_rm;
extern const struct cli_command cli_command_sandbox_pause;
extern const struct cli_command cli_command_sandbox_resume;
extern const struct cli_command cli_command_sandbox_update;
extern const struct cli_command cli_command_sandbox_policy;
extern const struct cli_command cli_command_drain;
extern const struct cli_command cli_command_policy_check;
extern const struct cli_command cli_command_policy_explain;
extern const struct cli_command cli_command_policy_test;
extern const struct cli_command cli_command_completion;
extern const struct cli_command cli_command_man;
/* Not in the table: for completion scripts. */
extern const struct cli_command cli_command_complete;
