// SPDX-License-Identifier: Apache-2.0
/* network_middlewares as YAML writes it. Settings of a filter are free: they become JSON. */
#include "policy/yaml_fields.h"

#include "base/buf.h"
#include "policy/json_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Larger settings than this fill the document alone. */
enum { CONFIG_MAX_BYTES = 1 << 20 };

/* A plain scalar that YAML's core schema takes for a number and that JSON can write. */
static bool add_number(struct osa_buf *out, const struct io_yaml_node *node)
{
    const char *text = node->text;
    size_t sign = text[0] == '-' || text[0] == '+';
    if (text[sign] < '0' || text[sign] > '9' || text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    char *end = NULL;
    double value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    if (fabs(value) < 1e15 && value == trunc(value))
        osa_buf_addf(out, "%.0f", value);
    else
        osa_buf_addf(out, "%.17g", value);
    return true;
}

static void add_scalar(struct osa_buf *out, const struct io_yaml_node *node)
{
    bool plain = !node->quoted;
    bool word = strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0;
    if (io_yaml_is_null(node))
        osa_buf_addf(out, "null");
    else if (plain && word)
        osa_buf_addf(out, "%s", node->text);
    else if (!plain || !add_number(out, node))
        policy_json_string(out, node->text);
}

/* Depth is bounded by the YAML parser. */
static void add_value(struct osa_buf *out, const struct io_yaml_node *node)
{
    if (node->kind == IO_YAML_SCALAR) {
        add_scalar(out, node);
        return;
    }
    bool map = node->kind == IO_YAML_MAPPING;
    osa_buf_addf(out, map ? "{" : "[");
    for (const struct io_yaml_node *item = node->first; item != NULL; item = item->next) {
        if (item != node->first)
            osa_buf_addf(out, ",");
        if (map) {
            policy_json_string(out, item->key->text);
            osa_buf_addf(out, ":");
        }
        add_value(out, item);
    }
    osa_buf_addf(out, map ? "}" : "]");
}

static enum osa_code read_config(struct policy_yaml *reader, const struct io_yaml_node *node,
                                 void *target)
{
    enum osa_code code = policy_yaml_need(reader, node, IO_YAML_MAPPING);
    if (code != OSA_OK)
        return code;
    OSA_AUTO(osa_buf_done) struct osa_buf json;
    osa_buf_init(&json, CONFIG_MAX_BYTES);
    add_value(&json, node);
    if (json.failed)
        return osa_fail(reader->err, OSA_RESOURCE_EXHAUSTED, 0,
                        "%s:%u:%u: config is larger than %d bytes", io_yaml_source(reader->yaml),
                        node->line, node->column, CONFIG_MAX_BYTES);
    *(const char **)target = policy_copy(reader->doc, json.data, json.len);
    return OSA_OK;
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
        { "config", FIELD_READ, AT(config_json), read_config },
        { "on_error", FIELD_TEXT, AT(on_error), NULL },
        { "endpoints", FIELD_READ, 0, read_selector },
    };
#undef AT
    struct policy_middleware *filter = target;
    filter->key = policy_copy(reader->doc, node->key->text, node->key->len);
    return READ_FIELDS(reader, node, fields, filter);
}
