// SPDX-License-Identifier: Apache-2.0
/* The bearer token that the agent makes when nobody gave it one. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * token_file_make() - Make sure that there is a token in @path
 * A file that exists is left alone; the server judges it. A new one has mode 0600 and holds 256
 * random bits in hex; it appears whole or not at all. Missing directories on the way to it are made
 * with mode 0700, the last one only.
 * @ret_made: a new one was written
 * Return: OSA_OK; FAILED_PRECONDITION when it cannot be made there.
 */
OSA_MUST_CHECK enum osa_code token_file_make(const char *path, bool *ret_made,
                                             struct osa_error *err);
