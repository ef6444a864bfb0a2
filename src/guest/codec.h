// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies of frames: numbers and strings one after another. Both ends are the same build on the same
 * kind of machine, so numbers have its order. Reading never runs past the end: the first shortage
 * makes all further reads give nothing, and is asked for once.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/** struct codec_reader - Where reading is; in the caller's storage. @failed: the body was too short or not well-formed */
struct codec_reader {
    const char *at;
    size_t left;
    bool failed;
};

/** codec_u64() - Append a number */
void codec_u64(struct osa_buf *buf, uint64_t value);
/** codec_bytes() - Append a block with its length */
void codec_bytes(struct osa_buf *buf, const void *data, size_t len);
/** codec_text() - Append a string; NULL counts as "" */
void codec_text(struct osa_buf *buf, const char *text);
/** codec_list() - Append a NULL-terminated list of strings; NULL is kept apart from an empty one */
void codec_list(struct osa_buf *buf, const char *const *list);
/** codec_error() - Append an error; NULL counts as success */
void codec_error(struct osa_buf *buf, const struct osa_error *error);

/** codec_read_u64() - The next number; 0 when there is none */
uint64_t codec_read_u64(struct codec_reader *reader);
/** codec_read_bytes() - The next block, of exactly @len bytes, copied to @ret; zeros when there is none */
void codec_read_bytes(struct codec_reader *reader, void *ret, size_t len);
/** codec_read_block() - The next block, of any length. Return: within the body; "" and length 0 when there is none */
const char *codec_read_block(struct codec_reader *reader, size_t *ret_len);
/** codec_read_text() - The next string. Return: within the body; "" when there is none */
const char *codec_read_text(struct codec_reader *reader);
/** codec_read_list() - The next list. Return: owned (one free); its strings are within the body; NULL: it was NULL, or none */
const char **codec_read_list(struct codec_reader *reader);
/** codec_read_error() - The next error. Return: false: success. @ret: its stage is a constant that both ends know, else NULL */
bool codec_read_error(struct codec_reader *reader, struct osa_error *ret);
