// SPDX-License-Identifier: Apache-2.0
/*
 * YAML text → policy document: the top level. The tree stays alive while the document is finished,
 * so that a complaint about a field can be traced back to a line.
 */
#include "policy/yaml_fields.h"

#include <stdio.h>
#include <string.h>

static enum osa_code read_filesystem(struct policy_yaml *reader, const struct io_yaml_node *node,
                                     void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "include_workdir", FIELD_BOOL, offsetof(struct policy_filesystem, include_workdir),
          NULL },
        { "read_only", FIELD_STRINGS, offsetof(struct policy_filesystem, read_only), NULL },
        { "read_write", FIELD_STRINGS, offsetof(struct policy_filesystem, read_write), NULL },
    };
    ((struct policy_filesystem *)target)->given = true;
    return READ_FIELDS(reader, node, fields, target);
}

static enum osa_code read_landlock(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "compatibility", FIELD_TEXT, offsetof(struct policy_landlock, compatibility), NULL },
    };
    ((struct policy_landlock *)target)->given = true;
    return READ_FIELDS(reader, node, fields, target);
}

static enum osa_code read_process(struct policy_yaml *reader, const struct io_yaml_node *node,
                                  void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "run_as_user", FIELD_TEXT, offsetof(struct policy_process, run_as_user), NULL },
        { "run_as_group", FIELD_TEXT, offsetof(struct policy_process, run_as_group), NULL },
    };
    ((struct policy_process *)target)->given = true;
    return READ_FIELDS(reader, node, fields, target);
}

static enum osa_code read_rules(struct policy_yaml *reader, const struct io_yaml_node *node,
                                void *target)
{
    struct policy_document *doc = target;
    return READ_ARRAY(reader, node, IO_YAML_MAPPING, policy_yaml_rule, &doc->rules,
                      &doc->rule_count);
}

static enum osa_code read_middlewares(struct policy_yaml *reader, const struct io_yaml_node *node,
                                      void *target)
{
    struct policy_document *doc = target;
    return READ_ARRAY(reader, node, IO_YAML_MAPPING, policy_yaml_middleware, &doc->middlewares,
                      &doc->middleware_count);
}

static enum osa_code read_document(struct policy_yaml *reader, const struct io_yaml_node *root)
{
#define AT(member) offsetof(struct policy_document, member)
    static const struct policy_yaml_field fields[] = {
        { "version", FIELD_U32, AT(version), NULL },
        { "filesystem_policy", FIELD_READ, AT(filesystem), read_filesystem },
        { "landlock", FIELD_READ, AT(landlock), read_landlock },
        { "process", FIELD_READ, AT(process), read_process },
        { "network_policies", FIELD_READ, 0, read_rules },
        { "network_middlewares", FIELD_READ, 0, read_middlewares },
    };
#undef AT
    const char *source = io_yaml_source(reader->yaml);
    if (root == NULL)
        return osa_fail(reader->err, OSA_INVALID_ARGUMENT, 0,
                        "%s:1:1: the policy is empty; write at least version: 1", source);
    enum osa_code code = READ_FIELDS(reader, root, fields, reader->doc);
    if (code == OSA_OK && io_yaml_get(root, "version") == NULL)
        return osa_fail(reader->err, OSA_INVALID_ARGUMENT, 0,
                        "%s:%u:%u: version is missing; write version: 1", source, root->line,
                        root->column);
    return code;
}

/* The position of a field, or of the deepest thing around it that the text has. */
static void locate(void *ctx, const struct policy_step *steps, size_t count, char *buf, size_t size)
{
    const struct io_yaml *yaml = ctx;
    const struct io_yaml_node *node = io_yaml_root(yaml);
    for (size_t i = 0; i < count; i++) {
        const struct io_yaml_node *next = NULL;
        if (steps[i].name != NULL && node->kind == IO_YAML_MAPPING)
            next = io_yaml_get(node, steps[i].name);
        if (steps[i].name == NULL && node->kind == IO_YAML_SEQUENCE) {
            next = node->first;
            for (size_t k = 0; next != NULL && k < steps[i].index; k++)
                next = next->next;
        }
        if (next == NULL)
            break;
        node = next;
    }
    (void)snprintf(buf, size, "%.100s:%u:%u", io_yaml_source(yaml), node->line, node->column);
}

enum osa_code policy_document_parse_yaml(const char *text, size_t len, const char *source,
                                         const struct policy_document **ret, struct osa_error *err)
{
    static const struct io_yaml_limits limits = {
        .bytes = POLICY_MAX_TEXT_BYTES,
        .depth = 32,
        .nodes = POLICY_MAX_TEXT_BYTES / 4,
    };
    OSA_AUTO(io_yaml_auto) struct io_yaml *yaml = NULL;
    enum osa_code code = io_yaml_parse(source, text, len, &limits, &yaml, err);
    if (code != OSA_OK)
        return code;
    struct policy_yaml reader = { .doc = policy_document_new(), .yaml = yaml, .err = err };
    if (reader.doc == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a policy");
    code = read_document(&reader, io_yaml_root(yaml));
    if (code != OSA_OK) {
        policy_document_unref(reader.doc);
        return code;
    }
    const struct policy_origin origin = { .locate = locate, .ctx = yaml };
    return policy_document_finish(reader.doc, &origin, ret, err);
}
