// SPDX-License-Identifier: Apache-2.0
#include "policy/yaml_fields.h"

#include "base/buf.h"

#include <string.h>

enum osa_code policy_yaml_need(struct policy_yaml *reader, const struct io_yaml_node *node,
                               enum io_yaml_kind kind)
{
    static const char *const names[] = {
        [IO_YAML_SCALAR] = "a single value",
        [IO_YAML_SEQUENCE] = "a list",
        [IO_YAML_MAPPING] = "a mapping (key: value)",
    };
    if (node->kind == kind)
        return OSA_OK;
    return io_yaml_fail(reader->yaml, node, reader->err, "must be %s, not %s", names[kind],
                        names[node->kind]);
}

enum osa_code policy_yaml_text(struct policy_yaml *reader, const struct io_yaml_node *node,
                               const char **target)
{
    const char *text = NULL;
    enum osa_code code = io_yaml_string(reader->yaml, node, &text, reader->err);
    if (code == OSA_OK)
        *target = policy_copy(reader->doc, text, node->len);
    return code;
}

enum osa_code policy_yaml_integer(struct policy_yaml *reader, const struct io_yaml_node *node,
                                  int64_t min, int64_t max, int64_t *ret)
{
    return io_yaml_i64(reader->yaml, node, min, max, ret, reader->err);
}

enum osa_code policy_yaml_strings(struct policy_yaml *reader, const struct io_yaml_node *node,
                                  struct policy_strings *list)
{
    enum osa_code code = policy_yaml_need(reader, node, IO_YAML_SEQUENCE);
    if (code != OSA_OK)
        return code;
    list->items = policy_alloc(reader->doc, node->count, sizeof(*list->items));
    for (const struct io_yaml_node *item = node->first; item != NULL; item = item->next) {
        const char *text = NULL;
        code = policy_yaml_text(reader, item, &text);
        if (code != OSA_OK)
            return code;
        if (list->items != NULL)
            list->items[list->count++] = text;
    }
    return OSA_OK;
}

static enum osa_code read_value(struct policy_yaml *reader, const struct io_yaml_node *node,
                                const struct policy_yaml_field *field, void *object)
{
    void *target = (char *)object + field->offset;
    int64_t number = 0;
    enum osa_code code = OSA_OK;
    switch (field->kind) {
    case FIELD_BOOL:
        return io_yaml_bool(reader->yaml, node, target, reader->err);
    case FIELD_TEXT:
        return policy_yaml_text(reader, node, target);
    case FIELD_U32:
        code = policy_yaml_integer(reader, node, 0, UINT32_MAX, &number);
        *(uint32_t *)target = (uint32_t)number;
        return code;
    case FIELD_I32:
        code = policy_yaml_integer(reader, node, INT32_MIN, INT32_MAX, &number);
        *(int32_t *)target = (int32_t)number;
        return code;
    case FIELD_STRINGS:
        return policy_yaml_strings(reader, node, target);
    case FIELD_READ:
        return field->read(reader, node, target);
    }
    return OSA_OK;
}

/* All known names, for the message about an unknown one. */
static enum osa_code unknown_field(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   const struct policy_yaml_field *fields, size_t count)
{
    OSA_AUTO(osa_buf_done) struct osa_buf names;
    osa_buf_init(&names, 1024);
    for (size_t i = 0; i < count; i++)
        osa_buf_addf(&names, "%s%s", i > 0 ? ", " : "", fields[i].name);
    return io_yaml_fail(reader->yaml, node, reader->err, "is not known here; known are %s",
                        names.data != NULL ? names.data : "");
}

enum osa_code policy_yaml_fields(struct policy_yaml *reader, const struct io_yaml_node *node,
                                 const struct policy_yaml_field *fields, size_t count, void *object)
{
    enum osa_code code = policy_yaml_need(reader, node, IO_YAML_MAPPING);
    for (const struct io_yaml_node *member = node->first; code == OSA_OK && member != NULL;
         member = member->next) {
        size_t i = 0;
        while (i < count && strcmp(fields[i].name, member->key->text) != 0)
            i++;
        if (i == count)
            return unknown_field(reader, member, fields, count);
        if (!io_yaml_is_null(member))
            code = read_value(reader, member, &fields[i], object);
    }
    return code;
}

enum osa_code policy_yaml_array(struct policy_yaml *reader, const struct io_yaml_node *node,
                                enum io_yaml_kind kind, size_t size, policy_yaml_fn read,
                                void *items, size_t *ret_count)
{
    enum osa_code code = policy_yaml_need(reader, node, kind);
    if (code != OSA_OK)
        return code;
    char *array = policy_alloc(reader->doc, node->count, size);
    memcpy(items, &array, sizeof(array)); /* an array pointer of any type */
    if (array == NULL)
        return OSA_OK; /* empty, or refused: policy_document_finish() tells */
    for (const struct io_yaml_node *item = node->first; item != NULL; item = item->next) {
        code = read(reader, item, array + *ret_count * size);
        if (code != OSA_OK)
            return code;
        (*ret_count)++;
    }
    return OSA_OK;
}
