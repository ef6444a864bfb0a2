// SPDX-License-Identifier: Apache-2.0
/* `openshell-agent health` and `drain`: clients of an agent with the same options; and texts for people. */
#pragma once

#include "agent/config.h"

#include <stdbool.h>

/** commands_show_help() - Print help or version when asked for. Return: it was */
bool commands_show_help(const struct agent_config *config);

/** commands_usage() - What there is. Return: exit status, 0 for --help, 2 for an unknown word */
int commands_usage(const char *command);

/**
 * commands_health() - Ask grpc.health.v1 on the first Unix socket, else the first address, that serve would listen on
 * Return: exit status: 0 SERVING, 1 not, 2 bad options, 3 no answer
 */
int commands_health(int argc, const char *const *argv);

/** commands_drain() - Drain it and wait. Return: exit status, as commands_health() */
int commands_drain(int argc, const char *const *argv);

/**
 * commands_copy_self() - Write the running program to the one path in @argv, mode 0755
 * A folder gets it under its own name; missing folders above are made. Atomic. Return: exit status
 */
int commands_copy_self(int argc, const char *const *argv);

/** commands_man() - Print openshell-agent(8) as man(7) source; @argc must be 0. Return: exit status */
int commands_man(int argc);
