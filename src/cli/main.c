// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "cli/cli.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    /* A pipe that its reader has left gives EPIPE, which each writer looks at. */
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    /* What core has to say about a connection is in the error that is shown, too. */
    osa_log_setup(OSA_LOG_ERROR, OSA_LOG_TEXT, STDERR_FILENO);
    return argc > 0 ? cli_main(argc - 1, (const char *const *)argv + 1) : CLI_USAGE;
}
