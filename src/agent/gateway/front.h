// SPDX-License-Identifier: Apache-2.0
/* `openshell-agent sandbox`, which is also the program openshell-sandbox. */
#pragma once

/** gateway_main() - The whole program. @argv: as for gateway_config_load(). Return: exit status */
int gateway_main(int argc, const char *const *argv);
