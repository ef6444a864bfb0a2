// SPDX-License-Identifier: Apache-2.0
/* `openshell-agent sandbox`, which is also the program openshell-sandbox. */
#pragma once

#include <signal.h>

/*
 * By this the program ends itself when it has a run file and the gateway does not know the sandbox; without
 * one, with status 1. A signal, because a status could be the main process's.
 */
#define GATEWAY_SIGNAL_UNKNOWN SIGUSR2

/** gateway_main() - The whole program. @argv: as for gateway_config_load(). Return: exit status */
int gateway_main(int argc, const char *const *argv);
