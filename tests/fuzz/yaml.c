// SPDX-License-Identifier: Apache-2.0
/* io/yaml: any bytes give a tree within the limits, or an error that names the place. */
#include "fuzz/target.h"

#include "io/yaml.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Walks the tree and counts its nodes, keys included; the limits bound the recursion. */
static uint32_t walk(const struct io_yaml_node *node, uint32_t depth)
{
    require(depth <= io_yaml_default.depth);
    require(node->line >= 1 && node->column >= 1);
    uint32_t nodes = node->key ? 2 : 1;
    uint32_t children = 0;
    if (node->kind == IO_YAML_SCALAR)
        require(strlen(node->text) == node->len);
    for (const struct io_yaml_node *child = node->first; child; child = child->next) {
        require((child->key != NULL) == (node->kind == IO_YAML_MAPPING));
        nodes += walk(child, depth + 1);
        children++;
    }
    require(children == node->count);
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct io_yaml *doc = NULL;
    struct osa_error err = { 0 };
    if (io_yaml_parse("fuzz", data, size, NULL, &doc, &err) != OSA_OK) {
        require(doc == NULL);
        require(err.code == OSA_INVALID_ARGUMENT || err.code == OSA_RESOURCE_EXHAUSTED);
        require(strncmp(err.text, "fuzz:", strlen("fuzz:")) == 0);
        return 0;
    }
    const struct io_yaml_node *root = io_yaml_root(doc);
    if (root)
        require(walk(root, 1) <= io_yaml_default.nodes);
    io_yaml_free(doc);
    return 0;
}
