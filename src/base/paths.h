// SPDX-License-Identifier: Apache-2.0
/* Where agent and client meet when nobody says where. */
#pragma once

#include <stddef.h>

/**
 * osa_runtime_dir() - Directory of the socket and of state that a reboot may lose
 * Root: /run/openshell-agent. Others: $XDG_RUNTIME_DIR/openshell-agent, which the session made for
 * them alone; without the variable /run/user/UID/openshell-agent.
 * @ret_path: @size bytes; a longer path is cut, which no use of it survives
 */
void osa_runtime_dir(char *ret_path, size_t size);

/** osa_default_address() - "unix:" + osa_runtime_dir() + "/agent.sock" */
void osa_default_address(char *ret_address, size_t size);

/** osa_driver_socket() - Where openshell-driver meets the gateway: driver.sock in a directory as above */
void osa_driver_socket(char *ret_path, size_t size);

/**
 * osa_driver_state_dir() - What openshell-driver must not lose at a reboot
 * Root: /var/lib/openshell-driver. Others: $XDG_STATE_HOME/openshell-driver, else ~/.local/state.
 */
void osa_driver_state_dir(char *ret_path, size_t size);
