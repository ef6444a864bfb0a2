// SPDX-License-Identifier: Apache-2.0
/* UTF-8, as strangers send it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * osa_utf8_length() - Bytes of the character at @text: 1 to 4; 0 when it is not well-formed UTF-8
 * Source: RFC 3629, 4: no overlong form, no surrogate, nothing above U+10FFFF
 */
size_t osa_utf8_length(const char *text, size_t len);

/** osa_utf8_point() - The code point of a character of @len bytes, as osa_utf8_length() has found it */
uint32_t osa_utf8_point(const char *text, size_t len);

/**
 * osa_utf8_is_obeyed() - Would a terminal act on it instead of showing it?
 * C0 and C1 controls, DEL, and what turns the direction of writing (Unicode Standard Annex 9).
 */
bool osa_utf8_is_obeyed(uint32_t point);
