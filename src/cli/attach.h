// SPDX-License-Identifier: Apache-2.0
/* One Attach stream between a process and our standard input, output and error. */
#pragma once

#include "cli/cli.h"

/**
 * struct cli_attach - What to do
 * @process_id: borrowed
 * @offset, @from_end, @follow: as in AttachStart
 * @input:   send our standard input, and its end
 * @signals: pass on HUP, INT, QUIT, TERM, USR1 and USR2; the third INT or TERM kills the process
 * @owns:    the process is ours (run): when our output's reader has gone it gets SIGPIPE
 */
struct cli_attach {
    const char *process_id;
    uint64_t offset;
    bool from_end;
    bool follow;
    bool input;
    bool signals;
    bool owns;
};

/**
 * cli_attach() - Run the stream to its end
 * With a terminal at both ends the keys go through raw; ctrl-p ctrl-q detaches. A connection that
 * breaks is made again and continues where the output ended.
 * Return: exit status of the process as cli_exit_status() gives it; CLI_DONE when detached or when
 * the output that exists has been shown; CLI_NOT_RUN when the agent could not go on.
 */
int cli_attach(struct cli *cli, const struct cli_attach *what);
