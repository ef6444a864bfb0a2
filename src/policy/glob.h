// SPDX-License-Identifier: Apache-2.0
/* Syntax and overlap of the patterns in policy documents. Bytewise; knows nothing of Unicode. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * policy_glob_fault() - What makes a pattern unusable
 * @pattern: as policy_pattern_compile() takes it
 * Return: a constant for messages ("a [ without ]"); NULL when the pattern is good.
 */
const char *policy_glob_fault(const char *pattern);

/**
 * policy_globs_overlap() - Whether some text matches both patterns, letters compared without case
 * @separator: what * and ? do not match (** matches it); 0: they match everything
 * @budget:    steps left for the whole caller; lowered. At 0 the answer is true
 *
 * Errs on the side of true: a class is taken for any byte, and braces for anything.
 * Return: false only when no text matches both.
 */
bool policy_globs_overlap(const char *a, const char *b, char separator, size_t *budget);
