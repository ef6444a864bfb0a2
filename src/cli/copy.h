// SPDX-License-Identifier: Apache-2.0
/* The two directions of cp. Both tell failures on standard error and return the exit status. */
#pragma once

#include "cli/cli.h"
#include "cli/place.h"

/**
 * cli_copy_out() - From a sandbox to this side
 * Unpacking trusts nobody: one tree with the name that was asked for, no path out of it, and no
 * symbolic link that leads out of it; those are left out and told, and the status is then CLI_FAILED.
 * @from: CLI_PLACE_SANDBOX
 * @to:   anything else
 * @user: whom the sandbox reads as; "" for its own
 */
int cli_copy_out(struct cli *cli, const struct cli_place *from, const struct cli_place *to,
                 const char *user);

/**
 * cli_copy_in() - From this side to a sandbox
 * Where the target is a directory the copy goes into it; else it gets the target's name.
 * @from: anything but CLI_PLACE_SANDBOX
 * @to:   CLI_PLACE_SANDBOX
 */
int cli_copy_in(struct cli *cli, const struct cli_place *from, const struct cli_place *to,
                const char *user);
