// SPDX-License-Identifier: Apache-2.0
/* Options from a configuration file: one YAML mapping, keys as in the option table. */
#pragma once

#include "base/option.h"
#include "io/yaml.h"

/**
 * io_option_file() - Read @path into @options
 * Values are scalars, and sequences of scalars for lists. Unknown keys, keys given twice, empty
 * values and values out of range are errors that begin "PATH:LINE:COLUMN: KEY".
 * Return: OSA_OK; INVALID_ARGUMENT; NOT_FOUND; RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code io_option_file(struct osa_options *options, const char *path,
                                            struct osa_error *err);

/** io_option_document() - As io_option_file(), from a document that has been parsed */
OSA_MUST_CHECK enum osa_code io_option_document(struct osa_options *options,
                                                const struct io_yaml *doc, struct osa_error *err);
