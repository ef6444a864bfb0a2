// SPDX-License-Identifier: Apache-2.0
#include "base/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void osa_runtime_dir(char *ret_path, size_t size)
{
    const char *session = getenv("XDG_RUNTIME_DIR");
    /* Root's agent is the system's: a login session of root must not look elsewhere for it. */
    if (geteuid() == 0)
        (void)snprintf(ret_path, size, "/run/openshell-agent");
    else if (session != NULL && session[0] == '/')
        (void)snprintf(ret_path, size, "%s/openshell-agent", session);
    else
        (void)snprintf(ret_path, size, "/run/user/%u/openshell-agent", (unsigned)geteuid());
}

void osa_default_address(char *ret_address, size_t size)
{
    char dir[4096];
    osa_runtime_dir(dir, sizeof(dir));
    (void)snprintf(ret_address, size, "unix:%s/agent.sock", dir);
}
