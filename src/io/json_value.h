// SPDX-License-Identifier: Apache-2.0
/*
 * Reading JSON, from jansson. Getters take any value, NULL included, and say no by false or NULL: a
 * document of strangers is read without asking first what is there.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson's */

/**
 * io_json_parse() - Parse one whole document
 * @ret: returned (free with io_json_free)
 * Return: OSA_OK; INVALID_ARGUMENT with the position: syntax, UTF-8, NUL, a name twice, too deep.
 */
OSA_MUST_CHECK enum osa_code io_json_parse(const char *text, size_t len, struct json_t **ret,
                                           struct osa_error *err);

/** io_json_free() - NULL is fine */
void io_json_free(struct json_t *value);

enum io_json_kind {
    IO_JSON_NONE, /* there is no value */
    IO_JSON_NULL,
    IO_JSON_BOOL,
    IO_JSON_INTEGER,
    IO_JSON_REAL,
    IO_JSON_STRING,
    IO_JSON_ARRAY,
    IO_JSON_OBJECT
};

/** io_json_kind() - What a value is; NONE of NULL */
enum io_json_kind io_json_kind(const struct json_t *value);

/** io_json_string() - Text of a string. Return: borrowed; NULL when it is none */
const char *io_json_string(const struct json_t *value);

/** io_json_member() - Member @key of an object. Return: borrowed; NULL: none, or no object */
struct json_t *io_json_member(const struct json_t *object, const char *key);

/** io_json_text() - Member @key as text. Return: borrowed; NULL: none, or no string */
const char *io_json_text(const struct json_t *object, const char *key);

/** io_json_integer() - Member @key as an integer. Return: false: none, or not one; *ret is as before */
bool io_json_integer(const struct json_t *object, const char *key, int64_t *ret);

/** io_json_true() - Is member @key true? */
bool io_json_true(const struct json_t *object, const char *key);

/** io_json_each() - Call @fn for each member of an object, in no order; what it gets is borrowed */
void io_json_each(struct json_t *object,
                  void (*fn)(void *ctx, const char *key, struct json_t *value), void *ctx);

/** io_json_count() - Elements of an array; 0 for everything else */
size_t io_json_count(const struct json_t *array);

/** io_json_element() - Element of an array. Return: borrowed; NULL when there is none */
struct json_t *io_json_element(const struct json_t *array, size_t index);

/** io_json_pretty() - As text for people: two blanks of indent, members by name. Return: free(); NULL: no memory */
char *io_json_pretty(const struct json_t *value);
