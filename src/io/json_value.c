// SPDX-License-Identifier: Apache-2.0
#include "io/json_value.h"

#include <jansson.h>
#include <string.h>

enum osa_code io_json_parse(const char *text, size_t len, struct json_t **ret,
                            struct osa_error *err)
{
    json_error_t problem;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (value == NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "not JSON: line %d, column %d: %s",
                        problem.line, problem.column, problem.text);
    *ret = value;
    return OSA_OK;
}

void io_json_free(struct json_t *value)
{
    json_decref(value);
}

enum io_json_kind io_json_kind(const struct json_t *value)
{
    if (value == NULL)
        return IO_JSON_NONE;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return IO_JSON_OBJECT;
    case JSON_ARRAY:
        return IO_JSON_ARRAY;
    case JSON_STRING:
        return IO_JSON_STRING;
    case JSON_INTEGER:
        return IO_JSON_INTEGER;
    case JSON_REAL:
        return IO_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return IO_JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return IO_JSON_NULL;
}

const char *io_json_string(const struct json_t *value)
{
    return json_string_value(value);
}

struct json_t *io_json_member(const struct json_t *object, const char *key)
{
    return json_object_get(object, key);
}

const char *io_json_text(const struct json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool io_json_integer(const struct json_t *object, const char *key, int64_t *ret)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return false;
    *ret = json_integer_value(value);
    return true;
}

bool io_json_true(const struct json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

void io_json_each(struct json_t *object,
                  void (*fn)(void *ctx, const char *key, struct json_t *value), void *ctx)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) fn(ctx, key, value);
}

size_t io_json_count(const struct json_t *array)
{
    return json_array_size(array);
}

struct json_t *io_json_element(const struct json_t *array, size_t index)
{
    return json_array_get(array, index);
}

char *io_json_pretty(const struct json_t *value)
{
    return json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}
