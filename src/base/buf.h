// SPDX-License-Identifier: Apache-2.0
/* A growing byte buffer with a hard upper bound. The text is always NUL-terminated beyond len. */
#pragma once

#include "base/macros.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct osa_buf - Bytes in the caller's storage struct, contents on the heap
 * @data: NULL while empty; owned
 * @len:  bytes in use; data[len] is NUL when data is not NULL
 * @size: bytes allocated
 * @max:  len never exceeds this
 * @failed: an append was refused (bound or memory); sticky until osa_buf_reset()
 */
struct osa_buf {
    char *data;
    size_t len;
    size_t size;
    size_t max;
    bool failed;
};

/** osa_buf_init() - An empty buffer that will refuse to grow past @max bytes; allocates nothing */
void osa_buf_init(struct osa_buf *buf, size_t max);

/** osa_buf_done() - Free the contents; also a cleanup function */
void osa_buf_done(struct osa_buf *buf);

/** osa_buf_reset() - len = 0 and failed = false; keeps the memory */
void osa_buf_reset(struct osa_buf *buf);

/** osa_buf_reserve() - Room for @more bytes after len. Return: pointer to them, NULL when refused */
char *osa_buf_reserve(struct osa_buf *buf, size_t more);

/** osa_buf_add() - Append bytes. Return: false, with the buffer as before and failed set, when refused */
bool osa_buf_add(struct osa_buf *buf, const void *data, size_t len);

/** osa_buf_addf() - Append formatted text. Return: as osa_buf_add() */
bool osa_buf_addf(struct osa_buf *buf, const char *fmt, ...) OSA_PRINTF(2, 3);

/** osa_buf_vaddf() - osa_buf_addf() with a va_list */
bool osa_buf_vaddf(struct osa_buf *buf, const char *fmt, va_list args) OSA_PRINTF(2, 0);

/** osa_buf_consume() - Drop @len bytes from the front; @len ≤ buf->len */
void osa_buf_consume(struct osa_buf *buf, size_t len);
