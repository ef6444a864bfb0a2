// SPDX-License-Identifier: Apache-2.0
/* Paths inside archives, and how directories are opened. */
#pragma once

#include "tar/format.h"

#include <fcntl.h>

/* For a directory that is only passed through: its contents need not be readable. */
#if defined(O_PATH)
#define TAR_OPEN_PATH O_PATH
#elif defined(O_SEARCH)
#define TAR_OPEN_PATH O_SEARCH
#else
#define TAR_OPEN_PATH O_RDONLY
#endif

/**
 * tar_path_check() - An archive's path as components that only lead down
 * @path: "./a//b/" becomes "a/b"; "." and "./" become ""
 * @ret:  TAR_PATH_MAX + 1 bytes
 * Return: OSA_OK; INVALID_ARGUMENT: absolute, with a "..", empty, too long.
 */
OSA_MUST_CHECK enum osa_code tar_path_check(const char *path, char *ret, struct osa_error *err);
