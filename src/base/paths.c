// SPDX-License-Identifier: Apache-2.0
#include "base/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void runtime_dir(const char *program, char *ret_path, size_t size)
{
    const char *session = getenv("XDG_RUNTIME_DIR");
    /* Root's agent is the system's: a login session of root must not look elsewhere for it. */
    if (geteuid() == 0)
        (void)snprintf(ret_path, size, "/run/%s", program);
    else if (session != NULL && session[0] == '/')
        (void)snprintf(ret_path, size, "%s/%s", session, program);
    else
        (void)snprintf(ret_path, size, "/run/user/%u/%s", (unsigned)geteuid(), program);
}

void osa_runtime_dir(char *ret_path, size_t size)
{
    runtime_dir("openshell-agent", ret_path, size);
}

void osa_default_address(char *ret_address, size_t size)
{
    char dir[4096];
    osa_runtime_dir(dir, sizeof(dir));
    (void)snprintf(ret_address, size, "unix:%s/agent.sock", dir);
}

void osa_driver_socket(char *ret_path, size_t size)
{
    char dir[4096];
    runtime_dir("openshell-driver", dir, sizeof(dir));
    (void)snprintf(ret_path, size, "%s/driver.sock", dir);
}

void osa_driver_state_dir(char *ret_path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        (void)snprintf(ret_path, size, "/var/lib/openshell-driver");
    else if (state != NULL && state[0] == '/')
        (void)snprintf(ret_path, size, "%s/openshell-driver", state);
    else
        (void)snprintf(ret_path, size, "%s/.local/state/openshell-driver",
                       home != NULL ? home : "");
}
