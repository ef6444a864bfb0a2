// SPDX-License-Identifier: Apache-2.0
/* Random bytes and opaque identifiers. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of an identifier's text, its NUL included: one prefix letter, '-', 26 characters. */
#define OSA_ID_SIZE 32

/** osa_random() - Fill @data from the kernel's generator; aborts when it has none (never on Linux ≥ 3.17) */
void osa_random(void *data, size_t len);

/**
 * osa_id_new() - A fresh identifier such as "p-0f3k…": 128 random bits in lower-case base 32
 * @prefix: one letter that tells a reader what it names: p process, s sandbox, a agent instance
 * @ret_id: at least OSA_ID_SIZE bytes
 * The alphabet [a-z0-9] suits cgroup, interface and file names, of which identifiers become part.
 */
void osa_id_new(char prefix, char *ret_id);

/** osa_id_is_valid() - Is @text a name that a client may choose: [a-z0-9] then [a-z0-9-], at most 63 bytes (RFC 1123 label)? */
bool osa_id_is_valid(const char *text);

/** osa_equal_secret() - Compare @len bytes in time that does not depend on them */
bool osa_equal_secret(const void *a, const void *b, size_t len);
