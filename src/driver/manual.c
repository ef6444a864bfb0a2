// SPDX-License-Identifier: Apache-2.0
/* openshell-driver(8), from the table of options. */
#include "driver/config.h"

static const char head[] =
    ".TH OPENSHELL\\-DRIVER 8 \"\" \"openshell\\-driver " OSA_VERSION "\"\n"
    ".SH NAME\n"
    "openshell-driver \\- let OpenShell's gateway have its sandboxes made by openshell-agent\n"
    ".SH SYNOPSIS\n"
    ".B openshell-driver\n[\\fIOPTION\\fR]...\n"
    ".br\n.B openshell-driver man\n"
    ".SH DESCRIPTION\n"
    "A compute driver of openshell\\-server. The gateway connects to its Unix socket and says what "
    "it "
    "wants; the driver keeps one openshell\\-agent for each sandbox. SIGTERM ends the driver and "
    "leaves "
    "agents and sandboxes running; the next driver with the same \\fB\\-\\-state\\-dir\\fR finds "
    "them.\n"
    ".SH OPTIONS\n"
    "Every option can stand in the configuration file, in the environment or on the command line; "
    "the later of these wins.\n";

static const char tail[] =
    ".SH FILES\n"
    ".TP\n.I STATE\\-DIR/sandboxes/ID/\nrecord, token, run file and log of a sandbox\n"
    ".TP\n.I STATE\\-DIR/work/ID/\nits working directory\n"
    ".TP\n.I STATE\\-DIR/run/HASH.sock\nwhere its agent serves openshell\\-agentctl\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nIt was told to leave.\n"
    ".TP\n.B 1\nIt could not start; the reason is on standard error.\n"
    ".TP\n.B 2\nAn option is wrong; nothing was done.\n"
    ".SH SEE ALSO\n.BR openshell\\-agent (8),\n.BR openshell\\-agentctl (1)\n";

void driver_config_man(struct osa_buf *out)
{
    (void)osa_buf_addf(out, "%s", head);
    driver_config_man_options(out);
    (void)osa_buf_addf(out, "%s", tail);
}
