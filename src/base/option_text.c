// SPDX-License-Identifier: Apache-2.0
/* What people read about options: --help and man pages, from the same rows that the parser reads. */
#include "base/option_internal.h"
#include "base/quantity.h"

#include <stdio.h>
#include <string.h>

/* Column where the descriptions of --help begin. */
#define HELP_COLUMN 30

void osa_text_wrap(struct osa_buf *out, const char *text, unsigned used, unsigned indent,
                   unsigned width)
{
    unsigned column = used;
    const char *p = text;
    while (*p != '\0') {
        size_t word = strcspn(p, " ");
        if (column > indent && column + 1 + word > width) {
            (void)osa_buf_addf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (p != text) {
            (void)osa_buf_add(out, " ", 1);
            column++;
        }
        (void)osa_buf_add(out, p, word);
        column += (unsigned)word;
        p += word;
        p += strspn(p, " ");
    }
    (void)osa_buf_add(out, "\n", 1);
}

static bool is_number(enum osa_option_type type)
{
    return type == OSA_OPTION_U32 || type == OSA_OPTION_U64 || type == OSA_OPTION_MODE ||
           type == OSA_OPTION_DURATION || type == OSA_OPTION_BYTES || type == OSA_OPTION_CPU;
}

/* What follows the help sentence: words of an enum, bounds, default, repeatable. */
static void add_facts(const struct osa_option *option, struct osa_buf *out)
{
    if (option->type == OSA_OPTION_ENUM) {
        for (const struct osa_option_name *name = option->names; name->name != NULL; name++)
            (void)osa_buf_addf(out, "%s%s", name == option->names ? ": " : ", ", name->name);
    }
    if (option->type == OSA_OPTION_LIST)
        (void)osa_buf_addf(out, "; repeatable");
    if (is_number(option->type) && option->max != 0) {
        char low[OSA_QUANTITY_SIZE];
        char high[OSA_QUANTITY_SIZE];
        osa_option_format(option->type, option->min, low);
        osa_option_format(option->type, osa_option_max(option), high);
        if (!osa_option_is_unbounded(option))
            (void)osa_buf_addf(out, "; %s to %s", low, high);
        else if (option->min > 1)
            (void)osa_buf_addf(out, "; at least %s", low);
    }
    if (option->def != NULL && option->type != OSA_OPTION_BOOL && *option->def != '\0')
        (void)osa_buf_addf(out, " [%s]", option->def);
    else if (option->type == OSA_OPTION_BOOL && option->def != NULL &&
             strcmp(option->def, "true") == 0)
        (void)osa_buf_addf(out, " [on; --no-%s switches it off]", option->flag);
}

void osa_option_help(const struct osa_option_group *group, unsigned width, struct osa_buf *out)
{
    (void)osa_buf_addf(out, "%s:\n", group->title);
    for (size_t i = 0; i < group->count; i++) {
        const struct osa_option *option = &group->options[i];
        char head[96];
        int used =
            snprintf(head, sizeof(head), "  %s%c%s--%s%s%s", option->letter != 0 ? "-" : " ",
                     option->letter != 0 ? option->letter : ' ', option->letter != 0 ? ", " : "  ",
                     option->flag, option->value != NULL ? " " : "",
                     option->value != NULL ? option->value : "");
        OSA_AUTO(osa_buf_done) struct osa_buf text;
        osa_buf_init(&text, 2048);
        (void)osa_buf_addf(&text, "%s", option->help);
        add_facts(option, &text);
        (void)osa_buf_addf(out, "%s", head);
        if (used + 2 > HELP_COLUMN)
            (void)osa_buf_addf(out, "\n%*s", HELP_COLUMN, "");
        else
            (void)osa_buf_addf(out, "%*s", HELP_COLUMN - used, "");
        osa_text_wrap(out, text.data, HELP_COLUMN, HELP_COLUMN, width);
    }
}

void osa_option_help_all(const struct osa_option_group *groups, size_t group_count, unsigned width,
                         struct osa_buf *out)
{
    for (size_t i = 0; i < group_count; i++) {
        if (i > 0)
            (void)osa_buf_addf(out, "\n");
        osa_option_help(&groups[i], width, out);
    }
}

void osa_man_escape(struct osa_buf *out, const char *text)
{
    /* A period or apostrophe that begins a line is a request; \& makes it text. */
    if (*text == '.' || *text == '\'')
        (void)osa_buf_addf(out, "\\&");
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\')
            (void)osa_buf_addf(out, "\\e");
        else if (*p == '-')
            (void)osa_buf_addf(out, "\\-");
        else if (*p == '\'')
            (void)osa_buf_addf(out, "\\(aq");
        else
            (void)osa_buf_add(out, p, 1);
    }
}

void osa_option_man(const struct osa_option_group *group, struct osa_buf *out)
{
    (void)osa_buf_addf(out, ".SS %s\n", group->title);
    osa_option_man_rows(group, out);
}

void osa_option_man_all(const struct osa_option_group *groups, size_t group_count,
                        struct osa_buf *out)
{
    for (size_t i = 0; i < group_count; i++)
        osa_option_man(&groups[i], out);
}

void osa_option_man_rows(const struct osa_option_group *group, struct osa_buf *out)
{
    for (size_t i = 0; i < group->count; i++) {
        const struct osa_option *option = &group->options[i];
        (void)osa_buf_addf(out, ".TP\n");
        if (option->letter != 0)
            (void)osa_buf_addf(out, "\\fB\\-%c\\fR, ", option->letter);
        (void)osa_buf_addf(out, "\\fB\\-\\-");
        osa_man_escape(out, option->flag);
        (void)osa_buf_addf(out, "\\fR");
        if (option->value != NULL)
            (void)osa_buf_addf(out, " \\fI%s\\fR", option->value);
        (void)osa_buf_addf(out, "\n");
        OSA_AUTO(osa_buf_done) struct osa_buf text;
        osa_buf_init(&text, 2048);
        (void)osa_buf_addf(&text, "%s", option->help);
        add_facts(option, &text);
        osa_man_escape(out, text.data);
        (void)osa_buf_addf(out, ".\n");
        if (option->variable != NULL || option->key != NULL)
            (void)osa_buf_addf(out, ".br\n");
        if (option->variable != NULL)
            (void)osa_buf_addf(out, "Variable: \\fB%s\\fR%s\n", option->variable,
                               option->key != NULL ? ";" : ".");
        if (option->key != NULL)
            (void)osa_buf_addf(out, "%s: \\fB%s\\fR.\n",
                               option->variable != NULL ? "in the file" : "In the file",
                               option->key);
    }
}
