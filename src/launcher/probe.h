// SPDX-License-Identifier: Apache-2.0
/* What this host lets the launcher do, found out by trying in forked children. */
#pragma once

#include "launcher/protocol.h"

/** probe_host() - Fill @ret_probe; forks, waits, and leaves nothing behind */
void probe_host(struct launcher_probe *ret_probe);
