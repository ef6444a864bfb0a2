// SPDX-License-Identifier: Apache-2.0
/* Text for terminals: untrusted strings made harmless, and tables. */
#pragma once

#include "base/buf.h"

#include <stddef.h>

/**
 * cli_text_escape() - Append @text with everything escaped that a terminal could act on
 * C0 and C1 controls, DEL, and bytes that are not UTF-8 become \n, \t, \xNN; bidirectional controls,
 * which can reorder what one reads, become \uNNNN.
 */
void cli_text_escape(struct osa_buf *out, const char *text);

/** cli_text_command() - Append a command line, arguments quoted as a shell would need them */
void cli_text_command(struct osa_buf *out, size_t count, char *const *argv);

/** struct cli_table - Rows of cells, columns aligned when printed; in the caller's storage */
struct cli_table {
    struct osa_buf cells; /* NUL-terminated, one after the other */
    size_t columns;
    size_t count;
};

/** cli_table_init() - @titles: @columns column headings */
void cli_table_init(struct cli_table *table, size_t columns, const char *const *titles);
/** cli_table_done() - Free it; also a cleanup function */
void cli_table_done(struct cli_table *table);
/** cli_table_cell() - Next cell, escaped; "" and NULL show as "-" */
void cli_table_cell(struct cli_table *table, const char *text);
/** cli_table_cellf() - Next cell, formatted */
void cli_table_cellf(struct cli_table *table, const char *fmt, ...) OSA_PRINTF(2, 3);
/**
 * cli_table_write() - Append the table
 * @width: columns of the terminal, to which the last column is cut; 0 cuts nothing
 */
void cli_table_write(const struct cli_table *table, unsigned width, struct osa_buf *out);
