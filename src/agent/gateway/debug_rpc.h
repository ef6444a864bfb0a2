// SPDX-License-Identifier: Apache-2.0
/* `openshell-sandbox debug-rpc`: asks the gateway what a sandbox's supervisor would, for people and scripts. */
#pragma once

/**
 * debug_rpc() - One command: get-sandbox-config, refresh, show-token, show-principal
 * @argv: what follows debug-rpc
 * Return: exit status: 0; of get-sandbox-config 5 NOT_FOUND, 7 PERMISSION_DENIED, 16 UNAUTHENTICATED;
 * 1 for everything else.
 */
int debug_rpc(int argc, const char *const *argv);
