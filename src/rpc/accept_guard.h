// SPDX-License-Identifier: Apache-2.0
/* Keeps C core's listeners alive when descriptors run out. Linux only. */
#pragma once

/** rpc_accept_guard_init() - Set the spare descriptor aside; from rpc_init(), once */
void rpc_accept_guard_init(void);
