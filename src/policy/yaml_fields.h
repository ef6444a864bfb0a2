// SPDX-License-Identifier: Apache-2.0
/*
 * Objects of the YAML format as tables of their fields; private to src/policy. What is not in a
 * table is refused, at every level. A null value is a field that was not given.
 */
#pragma once

#include "policy/document_build.h"

#include "io/yaml.h"

/* One run of the parser: the tree, the document that grows from it, and where errors go. */
struct policy_yaml {
    struct policy_document *doc;
    struct io_yaml *yaml;
    struct osa_error *err;
};

/* Reads @node into @target. */
typedef enum osa_code (*policy_yaml_fn)(struct policy_yaml *reader, const struct io_yaml_node *node,
                                        void *target);

/* bool, const char *, uint32_t, int32_t, struct policy_strings; READ calls a function. */
enum policy_yaml_kind { FIELD_BOOL, FIELD_TEXT, FIELD_U32, FIELD_I32, FIELD_STRINGS, FIELD_READ };

/**
 * struct policy_yaml_field - One field of an object
 * @offset: of its value in the object's struct
 * @read:   for FIELD_READ; gets the address at @offset
 */
struct policy_yaml_field {
    const char *name;
    enum policy_yaml_kind kind;
    size_t offset;
    policy_yaml_fn read;
};

/** policy_yaml_need() - INVALID_ARGUMENT unless @node is of @kind */
OSA_MUST_CHECK enum osa_code policy_yaml_need(struct policy_yaml *reader,
                                              const struct io_yaml_node *node,
                                              enum io_yaml_kind kind);

/** policy_yaml_text() - Copy of a scalar's text. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_yaml_text(struct policy_yaml *reader,
                                              const struct io_yaml_node *node, const char **target);

/** policy_yaml_strings() - Copy of a list of scalars. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_yaml_strings(struct policy_yaml *reader,
                                                 const struct io_yaml_node *node,
                                                 struct policy_strings *list);

/** policy_yaml_integer() - An integer from @min to @max. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_yaml_integer(struct policy_yaml *reader,
                                                 const struct io_yaml_node *node, int64_t min,
                                                 int64_t max, int64_t *ret);

/** policy_yaml_fields() - Members of a mapping into @object by a table; READ_FIELDS counts it. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_yaml_fields(struct policy_yaml *reader,
                                                const struct io_yaml_node *node,
                                                const struct policy_yaml_field *fields,
                                                size_t count, void *object);

/**
 * policy_yaml_array() - Elements of a list, or members of a mapping, into an array
 * @kind:  IO_YAML_SEQUENCE or IO_YAML_MAPPING
 * @size:  of an element
 * @read:  reads one
 * @items: address of the pointer that gets the array, which has room for all, before any is read
 * @ret_count: grows with each element that is complete
 * Return: OSA_OK or INVALID_ARGUMENT.
 */
OSA_MUST_CHECK enum osa_code policy_yaml_array(struct policy_yaml *reader,
                                               const struct io_yaml_node *node,
                                               enum io_yaml_kind kind, size_t size,
                                               policy_yaml_fn read, void *items, size_t *ret_count);

#define READ_FIELDS(reader, node, fields, object)                                                  \
    policy_yaml_fields((reader), (node), (fields), OSA_ARRAY_LEN(fields), (object))
#define READ_ARRAY(reader, node, kind, read, items, count)                                         \
    policy_yaml_array((reader), (node), (kind), sizeof(**(items)), (read), (items), (count))

/** policy_yaml_rule() - An entry of network_policies into struct policy_rule. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_yaml_rule(struct policy_yaml *reader,
                                              const struct io_yaml_node *node, void *target);

/** policy_yaml_middleware() - An entry of network_middlewares into struct policy_middleware. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code policy_yaml_middleware(struct policy_yaml *reader,
                                                    const struct io_yaml_node *node, void *target);
