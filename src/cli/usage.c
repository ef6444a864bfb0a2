// SPDX-License-Identifier: Apache-2.0
/* --help, from the tables. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SUMMARY_COLUMN 20

unsigned cli_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 40)
        return 80;
    return size.ws_col;
}

unsigned cli_table_width(void)
{
    return isatty(STDOUT_FILENO) ? cli_width() : 0;
}

int cli_print(const struct osa_buf *buf)
{
    if (buf->failed || (buf->len > 0 && fwrite(buf->data, 1, buf->len, stdout) != buf->len) ||
        fflush(stdout) != 0) {
        /* A reader that has seen enough, as in `ps | head`, is no failure of ours to talk about. */
        if (errno != EPIPE)
            cli_note("standard output: %s", buf->failed ? "too long" : osa_errno_name(errno));
        return CLI_FAILED;
    }
    return CLI_DONE;
}

void cli_usage(unsigned width, struct osa_buf *out)
{
    size_t count = 0;
    const struct cli_command *commands = cli_commands(&count);
    struct osa_option_group global = cli_global_group(NULL);
    (void)osa_buf_addf(out, "Usage: " CLI_NAME " [OPTION]... COMMAND [OPTION]... [OPERAND]...\n\n"
                            "Runs and watches processes in the sandboxes of an agent.\n\n"
                            "Commands:\n");
    for (size_t i = 0; i < count; i++) {
        (void)osa_buf_addf(out, "  %-*s", SUMMARY_COLUMN - 2, commands[i].name);
        osa_text_wrap(out, commands[i].summary, SUMMARY_COLUMN, SUMMARY_COLUMN, width);
    }
    (void)osa_buf_add(out, "\n", 1);
    osa_option_help(&global, width, out);
    (void)osa_buf_addf(out, "\n" CLI_NAME " COMMAND --help tells about one command.\n");
}

void cli_command_usage(const struct cli_command *command, unsigned width, struct osa_buf *out)
{
    struct osa_option_group groups[CLI_GROUPS];
    size_t count = cli_groups(command, NULL, NULL, groups);
    (void)osa_buf_addf(out, "Usage: " CLI_NAME " %s [OPTION]...%s%s\n\n", command->name,
                       *command->operands != '\0' ? " " : "", command->operands);
    (void)osa_buf_addf(out, "%s.\n\n", command->summary);
    for (const char *p = command->text; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, "\n");
        OSA_AUTO(osa_buf_done) struct osa_buf paragraph;
        osa_buf_init(&paragraph, 8192);
        (void)osa_buf_add(&paragraph, p, len);
        osa_text_wrap(out, paragraph.data, 0, 0, width);
        (void)osa_buf_add(out, "\n", 1);
        p += len + (p[len] == '\n');
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)osa_buf_add(out, "\n", 1);
        osa_option_help(&groups[i], width, out);
    }
}
