// SPDX-License-Identifier: Apache-2.0
/* network_middlewares as YAML writes it. Settings of a filter are free. */
#include "policy/yaml_fields.h"

#include <math.h>
#include <string.h>

/* A plain scalar that YAML's core schema takes for a number. */
static bool is_number(const struct io_yaml_node *node, double *ret)
{
    const char *text = node->text;
    size_t sign = text[0] == '-' || text[0] == '+';
    if (text[sign] < '0' || text[sign] > '9' || text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    char *end = NULL;
    double number = strtod(text, &end);
    if (*end != '\0' || !isfinite(number))
        return false;
    *ret = number;
    return true;
}

static void read_scalar(struct policy_yaml *reader, const struct io_yaml_node *node,
                        struct policy_value *value)
{
    bool yes = strcmp(node->text, "true") == 0;
    if (io_yaml_is_null(node)) {
        value->kind = POLICY_VALUE_NULL;
    } else if (!node->quoted && (yes || strcmp(node->text, "false") == 0)) {
        value->kind = POLICY_VALUE_BOOL;
        value->boolean = yes;
    } else if (!node->quoted && is_number(node, &value->number)) {
        value->kind = POLICY_VALUE_NUMBER;
    } else {
        value->kind = POLICY_VALUE_TEXT;
        value->text = policy_copy(reader->doc, node->text, node->len);
    }
}

/* Depth is bounded by the YAML parser. */
static enum osa_code read_free(struct policy_yaml *reader, const struct io_yaml_node *node,
                               void *target)
{
    struct policy_value *value = target;
    if (node->key != NULL)
        value->key = policy_copy(reader->doc, node->key->text, node->key->len);
    if (node->kind == IO_YAML_SCALAR) {
        read_scalar(reader, node, value);
        return OSA_OK;
    }
    value->kind = node->kind == IO_YAML_MAPPING ? POLICY_VALUE_OBJECT : POLICY_VALUE_LIST;
    return READ_ARRAY(reader, node, node->kind, read_free, &value->items, &value->count);
}

static enum osa_code read_config(struct policy_yaml *reader, const struct io_yaml_node *node,
                                 void *target)
{
    enum osa_code code = policy_yaml_need(reader, node, IO_YAML_MAPPING);
    return code != OSA_OK ? code : read_free(reader, node, target);
}

static enum osa_code read_selector(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "include", FIELD_STRINGS, offsetof(struct policy_middleware, include), NULL },
        { "exclude", FIELD_STRINGS, offsetof(struct policy_middleware, exclude), NULL },
    };
    return READ_FIELDS(reader, node, fields, target);
}

enum osa_code policy_yaml_middleware(struct policy_yaml *reader, const struct io_yaml_node *node,
                                     void *target)
{
#define AT(member) offsetof(struct policy_middleware, member)
    static const struct policy_yaml_field fields[] = {
        { "name", FIELD_TEXT, AT(name), NULL },
        { "middleware", FIELD_TEXT, AT(middleware), NULL },
        { "order", FIELD_I32, AT(order), NULL },
        { "config", FIELD_READ, AT(config), read_config },
        { "on_error", FIELD_TEXT, AT(on_error), NULL },
        { "endpoints", FIELD_READ, 0, read_selector },
    };
#undef AT
    struct policy_middleware *filter = target;
    filter->key = policy_copy(reader->doc, node->key->text, node->key->len);
    return READ_FIELDS(reader, node, fields, filter);
}
