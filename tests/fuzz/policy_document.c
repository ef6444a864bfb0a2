// SPDX-License-Identifier: Apache-2.0
/* policy/document: any YAML gives a complete, sorted, valid document, or an error with its place. */
#include "fuzz/target.h"

#include "policy/document.h"

#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void walk_list(const struct policy_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        require(list->items[i] != NULL);
}

static void walk_rules(const struct policy_l7_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct policy_l7_rule *rule = &rules->items[i];
        require(rule->method && rule->path && rule->command);
        require(rule->operation_type && rule->operation_name);
        walk_list(&rule->fields);
        for (size_t k = 0; k < rule->query.count; k++)
            require(rule->query.items[k].name && rule->query.items[k].globs.count > 0);
    }
}

static void walk_endpoint(const struct policy_endpoint *endpoint)
{
    require(endpoint->host && endpoint->path && endpoint->signing_service);
    require(endpoint->host[0] != '\0' || endpoint->allowed_ips.count > 0);
    require(endpoint->port_count > 0 && endpoint->port == endpoint->ports[0]);
    for (size_t i = 0; i < endpoint->port_count; i++)
        require(endpoint->ports[i] >= 1 && endpoint->ports[i] <= UINT16_MAX);
    require(endpoint->protocol < POLICY_PROTOCOL_COUNT);
    require(endpoint->graphql_max_body_bytes > 0 && endpoint->json_rpc_max_body_bytes > 0);
    walk_rules(&endpoint->rules);
    walk_rules(&endpoint->deny_rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct policy_document *doc = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml((const char *)data, size, "fuzz", &doc, &err) != OSA_OK) {
        require(doc == NULL);
        require(err.code == OSA_INVALID_ARGUMENT || err.code == OSA_RESOURCE_EXHAUSTED);
        require(err.code == OSA_RESOURCE_EXHAUSTED || strncmp(err.text, "fuzz:", 5) == 0);
        return 0;
    }
    require(doc->version == 1);
    const struct policy_filesystem *files = &doc->filesystem;
    require(files->read_only.count + files->read_write.count <= POLICY_MAX_PATHS);
    for (size_t i = 0; i < files->read_write.count; i++)
        require(files->read_write.items[i][0] == '/' && files->read_write.items[i][1] != '\0');
    for (size_t i = 0; i < doc->rule_count; i++) {
        require(i == 0 || strcmp(doc->rules[i - 1].key, doc->rules[i].key) < 0);
        for (size_t k = 0; k < doc->rules[i].endpoint_count; k++)
            walk_endpoint(&doc->rules[i].endpoints[k]);
    }
    for (size_t i = 0; i < doc->middleware_count; i++)
        require(i == 0 || doc->middlewares[i - 1].order < doc->middlewares[i].order);
    walk_list(&doc->warnings);
    policy_document_unref(doc);
    return 0;
}
