// SPDX-License-Identifier: Apache-2.0
/* Listeners on the loopback whose connections become PortForward streams. */
#pragma once

#include "cli/cli.h"
#include "cli/place.h"

/* Ports of one forward. */
#define CLI_FORWARD_MAX 16

/**
 * cli_forward() - Listen and forward until HUP, INT or TERM
 * Prints what it listens on when it does. A connection that fails is told, and ends with a reset.
 * @sandbox, @host: borrowed
 * Return: exit status; CLI_DONE after a signal.
 */
int cli_forward(struct cli *cli, const char *sandbox, const char *host,
                const struct cli_ports *ports, size_t count);
