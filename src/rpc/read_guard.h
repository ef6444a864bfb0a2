// SPDX-License-Identifier: Apache-2.0
/*
 * Watches what C core reads from the connections of its servers, and cuts those off that use what
 * core 1.51 does not withstand. On Linux, where core's archives are part of the program; elsewhere
 * nothing is watched (read_guard_none.c).
 */
#pragma once

#include <stdbool.h>

/** rpc_read_guard_init() - From rpc_init(), once */
void rpc_read_guard_init(void);

/**
 * rpc_read_guard_watch() - Watch an accepted connection, which core will get; until it is closed
 * @known: whoever is there has shown who they are, as on a Unix socket. Of strangers, only so many
 *         are kept: the oldest goes when one more comes
 */
void rpc_read_guard_watch(int fd, bool known);

/** rpc_read_guard_known() - A call on this connection has been authenticated. Thread: any */
void rpc_read_guard_known(int fd);
