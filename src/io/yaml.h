// SPDX-License-Identifier: Apache-2.0
/*
 * YAML documents as an immutable tree whose nodes know their line and column. Wraps libyaml.
 *
 * The subset that configuration needs, so that one text has one meaning: a single document, string
 * keys, no key twice, no anchors, aliases, tags or directives, no NUL; bounded in bytes, depth and
 * nodes. Scalars keep their text; whether it is a number is for the reader of the field to say.
 */
#pragma once

#include "base/error.h"
#include "base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_yaml;

enum io_yaml_kind { IO_YAML_SCALAR, IO_YAML_SEQUENCE, IO_YAML_MAPPING };

/**
 * struct io_yaml_node - A value, owned by its document
 * @kind:   what it is; decides which fields below hold anything
 * @line, @column: of its first character, from 1
 * @quoted: scalar that was written in quotes or as a block: a string, whatever it looks like
 * @text, @len: scalar: its characters, UTF-8, NUL-terminated, no NUL inside; "" else
 * @key:    member of a mapping: its key, a scalar; NULL else
 * @count:  elements of a sequence, members of a mapping
 * @first:  first element or member, in the order of the text; NULL when there is none
 * @next:   next sibling
 */
struct io_yaml_node {
    enum io_yaml_kind kind;
    uint32_t line;
    uint32_t column;
    bool quoted;
    const char *text;
    size_t len;
    const struct io_yaml_node *key;
    uint32_t count;
    const struct io_yaml_node *first;
    const struct io_yaml_node *next;
};

/**
 * struct io_yaml_limits - Bounds of one document; more fails with RESOURCE_EXHAUSTED
 * @bytes: of the text
 * @depth: of nesting; a scalar alone has depth 1
 * @nodes: scalars (keys too), sequences and mappings together
 */
struct io_yaml_limits {
    size_t bytes;
    uint32_t depth;
    uint32_t nodes;
};

/* 1 MiB, 32 levels, 65536 nodes. */
extern const struct io_yaml_limits io_yaml_default;

/**
 * io_yaml_parse() - Parse one document
 * @source: what messages call the text: a path, "policy"; copied
 * @data:   bytes, UTF-8; borrowed for the call
 * @limits: NULL for io_yaml_default
 * @ret_doc: returned (free with io_yaml_free)
 * Return: OSA_OK; INVALID_ARGUMENT with "SOURCE:LINE:COLUMN: " before the text; RESOURCE_EXHAUSTED.
 * A text without any value is a document whose io_yaml_root() is NULL.
 */
OSA_MUST_CHECK enum osa_code io_yaml_parse(const char *source, const void *data, size_t len,
                                           const struct io_yaml_limits *limits,
                                           struct io_yaml **ret_doc, struct osa_error *err);

/** io_yaml_load() - Read and parse a file; also NOT_FOUND and what osa_read_file() says */
OSA_MUST_CHECK enum osa_code io_yaml_load(const char *path, const struct io_yaml_limits *limits,
                                          struct io_yaml **ret_doc, struct osa_error *err);

/** io_yaml_free() - Free the document and all of its nodes. NULL is fine */
void io_yaml_free(struct io_yaml *doc);

/** io_yaml_auto() - Cleanup function: OSA_AUTO(io_yaml_auto) struct io_yaml *doc = NULL; */
void io_yaml_auto(struct io_yaml **doc);

/** io_yaml_root() - The value of the document, NULL when it is empty; borrowed */
const struct io_yaml_node *io_yaml_root(const struct io_yaml *doc);

/** io_yaml_source() - The name it was parsed under; borrowed */
const char *io_yaml_source(const struct io_yaml *doc);

/** io_yaml_get() - Member @key of mapping @map, NULL when it has none; linear in the members */
const struct io_yaml_node *io_yaml_get(const struct io_yaml_node *map, const char *key);

/** io_yaml_is_null() - An unquoted "", ~, null, Null or NULL? */
bool io_yaml_is_null(const struct io_yaml_node *node);

/**
 * io_yaml_fail() - INVALID_ARGUMENT about a node: "SOURCE:LINE:COLUMN: text"
 * Also says "KEY: " before the text when @node is a member of a mapping.
 */
enum osa_code io_yaml_fail(const struct io_yaml *doc, const struct io_yaml_node *node,
                           struct osa_error *err, const char *fmt, ...) OSA_PRINTF(4, 5);

/** io_yaml_string() - The text of a scalar that is not null. *ret_text is borrowed from @doc */
OSA_MUST_CHECK enum osa_code io_yaml_string(const struct io_yaml *doc,
                                            const struct io_yaml_node *node, const char **ret_text,
                                            struct osa_error *err);

/** io_yaml_bool() - An unquoted true or false, as YAML 1.2 has it: yes and on are refused */
OSA_MUST_CHECK enum osa_code io_yaml_bool(const struct io_yaml *doc,
                                          const struct io_yaml_node *node, bool *ret_value,
                                          struct osa_error *err);

/** io_yaml_i64() - An unquoted decimal, 0x or 0o integer between @min and @max */
OSA_MUST_CHECK enum osa_code io_yaml_i64(const struct io_yaml *doc, const struct io_yaml_node *node,
                                         int64_t min, int64_t max, int64_t *ret_value,
                                         struct osa_error *err);
