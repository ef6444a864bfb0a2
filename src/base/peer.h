// SPDX-License-Identifier: Apache-2.0
/* Sockets: who is at the other end, and accepting without leaking descriptors. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/**
 * osa_peer_credentials() - The user and process that connected a Unix socket
 * @fd: a connected AF_UNIX stream socket
 * @ret_pid: at the time of connect(2); only for logs, because it may be somebody else's by now
 * Return: OSA_OK or INTERNAL. Source: unix(7), SO_PEERCRED
 */
OSA_MUST_CHECK enum osa_code osa_peer_credentials(int fd, uint32_t *ret_uid, int32_t *ret_pid,
                                                  struct osa_error *err);

enum osa_kin { OSA_KIN_NO, OSA_KIN_YES, OSA_KIN_UNKNOWN };

/**
 * osa_process_descends() - Does @pid stem from @ancestor, or is it that process itself?
 * Only where @ancestor adopts orphans below it (or all below it do) is a NO worth anything.
 * Return: UNKNOWN for a process that has gone or that /proc does not show. Source: proc(5), "stat"
 */
enum osa_kin osa_process_descends(int32_t pid, int32_t ancestor);

/** osa_accept() - accept(2) with CLOEXEC and O_NONBLOCK set on the result. Return: descriptor or -1 with errno */
int osa_accept(int fd);
