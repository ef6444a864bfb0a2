// SPDX-License-Identifier: Apache-2.0
#include "io/option_file.h"

#include <stdio.h>

static enum osa_code read_scalar(struct osa_options *options, const struct io_yaml *doc,
                                 const char *key, const struct io_yaml_node *node,
                                 struct osa_error *err)
{
    char where[512];
    const char *text = NULL;
    (void)snprintf(where, sizeof(where), "%s:%u:%u", io_yaml_source(doc), node->line, node->column);
    if (node->kind != IO_YAML_SCALAR)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: %s: must be one value", where, key);
    enum osa_code code = io_yaml_string(doc, node, &text, NULL);
    if (code != OSA_OK)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: %s: has no value; leave the key out",
                        where, key);
    return osa_options_file_value(options, key, text, where, err);
}

static enum osa_code read_member(struct osa_options *options, const struct io_yaml *doc,
                                 const struct io_yaml_node *member, struct osa_error *err)
{
    const char *key = member->key->text;
    int list = osa_options_key_is_list(options, key);
    if (list < 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s:%u:%u: unknown key '%.64s'",
                        io_yaml_source(doc), member->key->line, member->key->column, key);
    if (list == 0 || member->kind != IO_YAML_SEQUENCE)
        return read_scalar(options, doc, key, member, err);
    enum osa_code code = OSA_OK;
    for (const struct io_yaml_node *item = member->first; item != NULL && code == OSA_OK;
         item = item->next)
        code = read_scalar(options, doc, key, item, err);
    return code;
}

enum osa_code io_option_document(struct osa_options *options, const struct io_yaml *doc,
                                 struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    const struct io_yaml_node *root = io_yaml_root(doc);
    if (root == NULL)
        return OSA_OK;
    if (root->kind != IO_YAML_MAPPING)
        return io_yaml_fail(doc, root, err, "must be a mapping: lines of key: value");
    for (const struct io_yaml_node *member = root->first; member != NULL && code == OSA_OK;
         member = member->next)
        code = read_member(options, doc, member, err);
    return code;
}

enum osa_code io_option_file(struct osa_options *options, const char *path, struct osa_error *err)
{
    OSA_AUTO(io_yaml_auto) struct io_yaml *doc = NULL;
    enum osa_code code = io_yaml_load(path, NULL, &doc, err);
    return code != OSA_OK ? code : io_option_document(options, doc, err);
}
