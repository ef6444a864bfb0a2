// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include "cli/cli.h"

#include <string.h>

static void add_paragraphs(struct osa_buf *out, const char *text)
{
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, "\n");
        OSA_AUTO(osa_buf_done) struct osa_buf paragraph;
        osa_buf_init(&paragraph, 8192);
        (void)osa_buf_add(&paragraph, p, len);
        (void)osa_buf_addf(out, ".PP\n");
        osa_man_escape(out, paragraph.data);
        (void)osa_buf_add(out, "\n", 1);
        p += len + (p[len] == '\n');
    }
}

static void add_command(struct osa_buf *out, const struct cli_command *command)
{
    struct osa_option_group groups[CLI_GROUPS];
    size_t count = cli_groups(command, NULL, NULL, groups);
    (void)osa_buf_addf(out, ".SS \"");
    osa_man_escape(out, command->name);
    (void)osa_buf_addf(out, "\"\n.B " CLI_NAME " ");
    osa_man_escape(out, command->name);
    (void)osa_buf_addf(out, "\n[\\fIOPTION\\fR]... ");
    osa_man_escape(out, command->operands);
    (void)osa_buf_addf(out, "\n.PP\n");
    osa_man_escape(out, command->summary);
    (void)osa_buf_addf(out, ".\n");
    add_paragraphs(out, command->text);
    for (size_t i = 0; i + 1 < count; i++) /* the last are the common ones */
        osa_option_man_rows(&groups[i], out);
}

static void add_environment(struct osa_buf *out, const struct osa_option_group *group)
{
    (void)osa_buf_addf(out, ".SH ENVIRONMENT\nFlags win over variables. A variable that is set but "
                            "empty counts as not set.\n");
    for (size_t i = 0; i < group->count; i++) {
        if (group->options[i].variable == NULL)
            continue;
        (void)osa_buf_addf(out, ".TP\n.B %s\nas \\fB\\-\\-", group->options[i].variable);
        osa_man_escape(out, group->options[i].flag);
        (void)osa_buf_addf(out, "\\fR\n");
    }
    (void)osa_buf_addf(out, ".TP\n.B XDG_RUNTIME_DIR\ndirectory of the default address, for users "
                            "other than root\n");
}

void cli_manual(struct osa_buf *out)
{
    size_t count = 0;
    const struct cli_command *commands = cli_commands(&count);
    struct osa_option_group global = cli_global_group(NULL);
    (void)osa_buf_addf(out,
                       ".TH OPENSHELL\\-AGENTCTL 1 \"\" \"openshell\\-agent " OSA_VERSION "\"\n"
                       ".SH NAME\n" CLI_NAME
                       " \\- run and watch processes in the sandboxes of an openshell\\-agent\n"
                       ".SH SYNOPSIS\n.B " CLI_NAME
                       "\n[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIOPTION\\fR]... "
                       "[\\fIOPERAND\\fR]...\n"
                       ".SH DESCRIPTION\n"
                       "Talks to one agent over a Unix socket or TCP, and shows answers as tables "
                       "for people or, with \\fB\\-\\-json\\fR, as JSON for programs.\n"
                       ".SH COMMANDS\n");
    for (size_t i = 0; i < count; i++)
        add_command(out, &commands[i]);
    (void)osa_buf_addf(out, ".SH OPTIONS\n");
    osa_option_man_rows(&global, out);
    add_environment(out, &global);
    (void)osa_buf_addf(out,
                       ".SH EXIT STATUS\n"
                       ".TP\n.B 0\nDone.\n.TP\n.B 1\nThe agent refused, or was not reached; its "
                       "message and a hint are on standard error.\n"
                       ".TP\n.B 2\nThe command line is wrong; nothing was sent.\n"
                       ".PP\n\\fBrun\\fR, \\fBattach\\fR and \\fBwait\\fR exit as the process did; "
                       "with 124 when its timeout ended it, 137 when it ran out of memory, 125 "
                       "when the agent refused or was lost. \\fBrun\\fR exits with 126 when the "
                       "program cannot be executed and 127 when there is none.\n"
                       ".SH SEE ALSO\n.BR openshell\\-agent (8)\n");
}
