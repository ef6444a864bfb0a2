// SPDX-License-Identifier: Apache-2.0
/*
 * Archives for tests, put together byte by byte and without the code under test, so that they can be
 * wrong in any way. All asserts are cmocka's.
 */
#pragma once

#include "cmocka_all.h"

#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BUILD_MAX ((size_t)8 << 20)

/* One member. Fields that are NULL or 0 get what a plain file would have. */
struct member {
    const char *name;
    char type; /* 0: '0' */
    const char *link;
    const char *data;
    size_t data_len;  /* 0: strlen(data) */
    const char *mode; /* octal digits; NULL: "0000644" */
    const char *size; /* the field's text, instead of the data's length */
    const char *mtime;
};

/** build_init() - An empty archive; osa_buf_done() frees it */
static inline void build_init(struct osa_buf *tar)
{
    osa_buf_init(tar, BUILD_MAX);
}

/** build_pad() - Zeros up to a whole block */
static inline void build_pad(struct osa_buf *tar)
{
    static const char zero[512];
    assert_true(osa_buf_add(tar, zero, (512 - tar->len % 512) % 512));
}

/** build_seal() - Write the checksum of a header block, with the field itself counted as blanks */
static inline void build_seal(char *block)
{
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    (void)snprintf(block + 148, 8, "%06o", sum);
}

/** build_member() - Append a header and its data */
static inline void build_member(struct osa_buf *tar, struct member m)
{
    char block[512] = { 0 };
    size_t len = m.data_len != 0 ? m.data_len : m.data != NULL ? strlen(m.data) : 0;
    assert_true(strlen(m.name) <= 100);
    memcpy(block, m.name, strlen(m.name));
    (void)snprintf(block + 100, 8, "%s", m.mode != NULL ? m.mode : "0000644");
    (void)snprintf(block + 108, 8, "%s", "0001750");
    (void)snprintf(block + 116, 8, "%s", "0001750");
    if (m.size != NULL)
        memcpy(block + 124, m.size, strnlen(m.size, 12));
    else
        (void)snprintf(block + 124, 12, "%011zo", len);
    (void)snprintf(block + 136, 12, "%s", m.mtime != NULL ? m.mtime : "00000001750");
    block[156] = m.type != 0 ? m.type : '0';
    if (m.link != NULL)
        memcpy(block + 157, m.link, strnlen(m.link, 100));
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    build_seal(block);
    assert_true(osa_buf_add(tar, block, sizeof(block)));
    if (len > 0)
        assert_true(osa_buf_add(tar, m.data, len));
    build_pad(tar);
}

/** build_end() - The end mark */
static inline void build_end(struct osa_buf *tar)
{
    static const char zero[1024];
    assert_true(osa_buf_add(tar, zero, sizeof(zero)));
}

/** build_one() - An archive of one member */
static inline void build_one(struct osa_buf *tar, struct member m)
{
    build_init(tar);
    build_member(tar, m);
    build_end(tar);
}
