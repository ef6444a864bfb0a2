// SPDX-License-Identifier: Apache-2.0
/* Writing JSON (RFC 8259): commas, escapes and UTF-8 are right whatever the text holds. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct osa_json - A writer over a buffer; in the caller's storage, owns nothing
 * @out:    borrowed; refusals of its bound show in out->failed
 * @pretty: one member or element a line, two blanks of indent
 * @depth, @empty, @after_key: private
 */
struct osa_json {
    struct osa_buf *out;
    bool pretty;
    unsigned depth;
    bool empty;
    bool after_key;
};

/** osa_json_init() - A writer for one value */
void osa_json_init(struct osa_json *json, struct osa_buf *out, bool pretty);

/** osa_json_open() - Begin an object ('{') or array ('[') */
void osa_json_open(struct osa_json *json, char bracket);
/** osa_json_close() - End it with '}' or ']' */
void osa_json_close(struct osa_json *json, char bracket);
/** osa_json_key() - Name of the next member */
void osa_json_key(struct osa_json *json, const char *key);
/** osa_json_string() - @len bytes; what is not UTF-8 becomes U+FFFD */
void osa_json_string(struct osa_json *json, const char *text, size_t len);
/** osa_json_text() - A NUL-terminated string; NULL gives "" */
void osa_json_text(struct osa_json *json, const char *text);
/** osa_json_i64() - A number */
void osa_json_i64(struct osa_json *json, int64_t value);
/** osa_json_u64() - A number */
void osa_json_u64(struct osa_json *json, uint64_t value);
/** osa_json_double() - A number that reads back to the same value; not finite: a string, as protobuf has it */
void osa_json_double(struct osa_json *json, double value);
/** osa_json_bool() - true or false */
void osa_json_bool(struct osa_json *json, bool value);
/** osa_json_null() - null */
void osa_json_null(struct osa_json *json);
