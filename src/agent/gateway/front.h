// SPDX-License-Identifier: Apache-2.0
/* `openshell-agent sandbox`, which is also the program openshell-sandbox. */
#pragma once

/* Exit status with a run file, when the gateway does not know the sandbox; else that is 1. */
#define GATEWAY_STATUS_UNKNOWN 5

/** gateway_main() - The whole program. @argv: as for gateway_config_load(). Return: exit status */
int gateway_main(int argc, const char *const *argv);
