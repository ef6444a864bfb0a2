// SPDX-License-Identifier: Apache-2.0
/* The agent's hold on the launcher's executable and process. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* The launcher's executable, part of this one. */
extern const unsigned char launcher_image[];
extern const unsigned char launcher_image_end[];

/**
 * launcher_open_image() - A descriptor that the launcher can be executed from
 * @use_memfd: false starts with the fallback, an unlinked file in one of the usual places
 * @ret_fd:    returned, read-only or sealed, CLOEXEC
 * Return: OSA_OK; FAILED_PRECONDITION: every place refused; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code launcher_open_image(bool use_memfd, int *ret_fd,
                                                 struct osa_error *err);

/**
 * launcher_take_socket() - The socket to the started launcher
 * Return: the descriptor, owned by the caller from now on; -1 when none was started or it was taken.
 */
int launcher_take_socket(void);

/** launcher_reap() - Wait for the launcher to end, after its socket was closed */
void launcher_reap(void);
