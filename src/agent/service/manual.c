// SPDX-License-Identifier: Apache-2.0
/* openshell-agent(8), from the table of options. */
#include "agent/service/commands.h"

#include "base/buf.h"

#include <stdio.h>

static const char head[] =
    ".TH OPENSHELL\\-AGENT 8 \"\" \"openshell\\-agent " OSA_VERSION "\"\n"
    ".SH NAME\n"
    "openshell-agent \\- run commands for others over gRPC, each confined in a sandbox\n"
    ".SH SYNOPSIS\n"
    ".B openshell-agent serve\n[\\fIOPTION\\fR]...\n"
    ".br\n.B openshell-agent health\n[\\fIOPTION\\fR]...\n"
    ".br\n.B openshell-agent drain\n[\\fIOPTION\\fR]...\n"
    ".br\n.B openshell-agent copy-self\n\\fIPATH\\fR\n"
    ".br\n.B openshell-agent man\n"
    ".SH DESCRIPTION\n"
    "\\fBserve\\fR runs the agent in the foreground, until SIGTERM or SIGINT makes it drain: "
    "health "
    "turns NOT_SERVING, new work is refused, and what runs may go on for "
    "\\fB\\-\\-drain\\-timeout\\fR; "
    "a second signal ends it at once. Files of certificates and tokens are read again when they "
    "change.\n"
    ".PP\n"
    "\\fBhealth\\fR asks a running agent whether it serves, as a probe does where there is no "
    "other "
    "program. \\fBdrain\\fR lets it finish its work and take no more. Both find the agent by the "
    "same options and variables as serve, and prefer its Unix socket.\n"
    ".PP\n"
    "\\fBcopy-self\\fR writes this program to PATH, or into the directory PATH, with mode 0755: an "
    "init container does so for an image that lacks it. \\fBman\\fR prints this page.\n"
    ".PP\n"
    "How much isolation there is depends on who runs it: root gets all of it, an ordinary user "
    "gets "
    "what user namespaces allow, and a pod that grants nothing gets Landlock, seccomp and "
    "no_new_privs. \\fBopenshell\\-agentctl info\\fR shows what was found; "
    "\\fB\\-\\-min\\-isolation\\fR refuses less.\n"
    ".SH OPTIONS\n"
    "Every option can stand in the configuration file, in the environment or on the command line; "
    "the later of these wins.\n";

static const char tail[] =
    ".SH ENVIRONMENT\n"
    "Each option names its variable above. A variable that is set but empty counts as not set; "
    "lists "
    "are separated by commas.\n"
    ".TP\n.B XDG_RUNTIME_DIR\nwhere the runtime directory is, for users other than root\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nserve: drained and stopped. health: SERVING. drain: drained.\n"
    ".TP\n.B 1\nserve: it could not start; the reason is on standard error. health: NOT_SERVING.\n"
    ".TP\n.B 2\nAn option is wrong; nothing was done.\n"
    ".TP\n.B 3\nhealth and drain: no answer, or a refusal.\n"
    ".SH SEE ALSO\n.BR openshell\\-agentctl (1)\n";

int commands_man(int argc)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    if (argc > 0)
        return commands_usage("man with operands");
    osa_buf_init(&out, (size_t)1 << 20);
    (void)osa_buf_addf(&out, "%s", head);
    agent_config_man(&out);
    (void)osa_buf_addf(&out, "%s", tail);
    /* A full disk or a closed pipe shows at the flush. */
    return fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0 ? 0 : 1;
}
