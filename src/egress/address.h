// SPDX-License-Identifier: Apache-2.0
/* Addresses between sockets and the policy. Ports are not part of them. */
#pragma once

#include "policy/guard.h"

#include <sys/socket.h>

/** address_from() - Return: false for a family that no policy speaks of */
bool address_from(const struct sockaddr_storage *from, struct policy_address *ret);

/** address_to() - With port 0 */
void address_to(const struct policy_address *address, struct sockaddr_storage *ret);
