// SPDX-License-Identifier: Apache-2.0
/* Between the files of the option parser. */
#pragma once

#include "base/option.h"

/* A converted value of any type; a string is borrowed from the text it came from. */
union osa_option_cell {
    const char *string;
    bool boolean;
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
    int number;
};

/** osa_option_convert() - Text to value. Return: OSA_OK or INVALID_ARGUMENT that begins with @where */
OSA_MUST_CHECK enum osa_code osa_option_convert(const struct osa_option *option, const char *value,
                                                const char *where, union osa_option_cell *ret_cell,
                                                struct osa_error *err);

/** osa_option_max() - The largest number that a row takes: its own bound or its type's */
uint64_t osa_option_max(const struct osa_option *option);

/** osa_option_is_unbounded() - Is its largest number only that of the type, and so of no interest? */
bool osa_option_is_unbounded(const struct osa_option *option);

/** osa_option_format() - A number as users write it for @type; @ret_text has OSA_QUANTITY_SIZE bytes */
void osa_option_format(enum osa_option_type type, uint64_t bound, char *ret_text);
