// SPDX-License-Identifier: Apache-2.0
/*
 * Signal names and numbers as Linux has them, whatever host this runs on: sandboxes are Linux.
 * Source: signal(7); real-time signals count from the C library's SIGRTMIN, 34, to SIGRTMAX, 64.
 */
#pragma once

#include <stdbool.h>

#define OSA_SIGNAL_MAX 64
#define OSA_SIGNAL_NAME_SIZE 16

/**
 * osa_signal_parse() - "TERM", "SIGTERM", "term", "15", "RTMIN+3", "RTMAX-1", "0" to a number
 * @ret_signo: 0 to OSA_SIGNAL_MAX; 0 only for "0"
 * Return: false for anything else
 */
bool osa_signal_parse(const char *text, int *ret_signo);

/**
 * osa_signal_name() - "SIGKILL", "SIGRTMIN+3"; the number where there is no name (32 and 33)
 * @ret_name: at least OSA_SIGNAL_NAME_SIZE bytes; "" for 0
 */
void osa_signal_name(int signo, char *ret_name);
