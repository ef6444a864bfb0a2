// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Blanks between two columns. */
#define GAP 2
#define MAX_COLUMNS 16

void cli_text_escape(struct osa_buf *out, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t step = osa_utf8_length(text + i, len - i);
        uint32_t point = step > 0 ? osa_utf8_point(text + i, step) : 0;
        if (step == 0)
            (void)osa_buf_addf(out, "\\x%02x", (unsigned char)text[i]);
        else if (point == '\n')
            (void)osa_buf_addf(out, "\\n");
        else if (point == '\t')
            (void)osa_buf_addf(out, "\\t");
        else if (point < 0x20 || (point >= 0x7f && point < 0xa0))
            (void)osa_buf_addf(out, "\\x%02x", (unsigned)point);
        else if (osa_utf8_is_obeyed(point))
            (void)osa_buf_addf(out, "\\u%04x", (unsigned)point);
        else
            (void)osa_buf_add(out, text + i, step);
        i += step > 0 ? step : 1;
    }
}

static bool is_plain(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:,=+@%";
    return *text != '\0' && text[strspn(text, plain)] == '\0';
}

void cli_text_command(struct osa_buf *out, size_t count, char *const *argv)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)osa_buf_add(out, " ", 1);
        if (is_plain(argv[i])) {
            (void)osa_buf_addf(out, "%s", argv[i]);
            continue;
        }
        (void)osa_buf_add(out, "'", 1);
        for (const char *p = argv[i]; *p != '\0'; p++) {
            if (*p == '\'')
                (void)osa_buf_addf(out, "'\\''");
            else
                (void)osa_buf_add(out, p, 1);
        }
        (void)osa_buf_add(out, "'", 1);
    }
}

void cli_table_init(struct cli_table *table, size_t columns, const char *const *titles)
{
    *table = (struct cli_table){ .columns = OSA_MIN(columns, (size_t)MAX_COLUMNS) };
    osa_buf_init(&table->cells, SIZE_MAX / 4);
    for (size_t i = 0; i < table->columns; i++)
        cli_table_cell(table, titles[i]);
}

void cli_table_done(struct cli_table *table)
{
    osa_buf_done(&table->cells);
}

void cli_table_cell(struct cli_table *table, const char *text)
{
    cli_text_escape(&table->cells, text != NULL && *text != '\0' ? text : "-");
    (void)osa_buf_add(&table->cells, "", 1);
    table->count++;
}

void cli_table_cellf(struct cli_table *table, const char *fmt, ...)
{
    OSA_AUTO(osa_buf_done) struct osa_buf text;
    va_list args;
    osa_buf_init(&text, 1u << 20);
    va_start(args, fmt);
    (void)osa_buf_vaddf(&text, fmt, args);
    va_end(args);
    cli_table_cell(table, text.len > 0 ? text.data : "");
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Bytes of the first @limit characters. */
static size_t prefix_bytes(const char *text, size_t limit)
{
    size_t i = 0;
    for (size_t count = 0; text[i] != '\0'; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80 && count++ == limit)
            break;
    }
    return i;
}

static void add_last(struct osa_buf *out, const char *cell, size_t room)
{
    if (room == 0 || characters(cell) <= room) {
        (void)osa_buf_addf(out, "%s\n", cell);
        return;
    }
    (void)osa_buf_add(out, cell, prefix_bytes(cell, room - 1));
    (void)osa_buf_addf(out, "…\n");
}

void cli_table_write(const struct cli_table *table, unsigned width, struct osa_buf *out)
{
    size_t widths[MAX_COLUMNS] = { 0 };
    const char *cell = table->cells.data;
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        widths[column] = OSA_MAX(widths[column], characters(cell));
        cell += strlen(cell) + 1;
    }
    size_t used = 0;
    for (size_t column = 0; column + 1 < table->columns; column++)
        used += widths[column] + GAP;
    /* A terminal too narrow for even a stump of the last column wraps it instead. */
    size_t room = width > used + 8 ? width - used : 0;
    cell = table->cells.data;
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        if (column + 1 == table->columns) {
            add_last(out, cell, room);
        } else {
            size_t pad = widths[column] - characters(cell) + GAP;
            (void)osa_buf_addf(out, "%s%*s", cell, (int)pad, "");
        }
        cell += strlen(cell) + 1;
    }
}
