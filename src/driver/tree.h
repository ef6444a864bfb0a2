// SPDX-License-Identifier: Apache-2.0
/* Trees of files that a sandbox, or an image's maker, has filled: no link is followed, however deep. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/**
 * tree_remove() - Remove a file, or a directory with all that is below it
 * One that is not there is fine. Thread: any. Takes as long as there are files.
 * Return: OSA_OK; INTERNAL with the path.
 */
OSA_MUST_CHECK enum osa_code tree_remove(const char *path, struct osa_error *err);

/**
 * tree_bytes() - What a tree occupies on its disk
 * A file with several names counts for each. Thread: any. Return: OSA_OK; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code tree_bytes(const char *path, uint64_t *ret_bytes,
                                        struct osa_error *err);
