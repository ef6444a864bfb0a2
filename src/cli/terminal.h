// SPDX-License-Identifier: Apache-2.0
/* The terminal that a person sits at, and the signals that come from it. */
#pragma once

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/** cli_terminal_size() - Rows and columns of the terminal at @fd. Return: false when it is none */
bool cli_terminal_size(int fd, uint32_t *ret_rows, uint32_t *ret_columns);

/**
 * cli_terminal_raw() - Hand every key through, as the terminal at the other end wants; idempotent
 * Undone by cli_terminal_restore(), also at exit(3).
 * Return: false when standard input is no terminal.
 */
bool cli_terminal_raw(void);

/** cli_terminal_restore() - As it was before cli_terminal_raw(); idempotent */
void cli_terminal_restore(void);

/**
 * cli_signals_open() - From now on the signals of the list arrive as bytes, the signal's number each
 * @signals: ended by 0
 * @ret_fd:  non-blocking, CLOEXEC; of the process as long as it lives; do not close
 */
OSA_MUST_CHECK enum osa_code cli_signals_open(const int *signals, int *ret_fd,
                                              struct osa_error *err);

/** cli_signal_word() - "TERM" for SIGTERM, for the signals that are forwarded; NULL for others */
const char *cli_signal_word(int signo);
