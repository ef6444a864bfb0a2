// SPDX-License-Identifier: Apache-2.0
/* network_policies as YAML writes it. */
#include "policy/yaml_fields.h"

#include <string.h>

/* ---- rules over requests ---- */

static enum osa_code read_glob_or_any(struct policy_yaml *reader, const struct io_yaml_node *node,
                                      struct policy_matcher *matcher)
{
    static const struct policy_yaml_field fields[] = {
        { "any", FIELD_STRINGS, offsetof(struct policy_matcher, globs), NULL },
    };
    if (node->kind != IO_YAML_SCALAR) {
        matcher->any = true;
        return READ_FIELDS(reader, node, fields, matcher);
    }
    matcher->globs.items = policy_alloc(reader->doc, 1, sizeof(char *));
    const char *text = NULL;
    enum osa_code code = policy_yaml_text(reader, node, &text);
    if (code == OSA_OK && matcher->globs.items != NULL)
        matcher->globs.items[matcher->globs.count++] = text;
    return code;
}

static enum osa_code read_matcher(struct policy_yaml *reader, const struct io_yaml_node *node,
                                  void *target)
{
    struct policy_matcher *matcher = target;
    matcher->name = policy_copy(reader->doc, node->key->text, node->key->len);
    return read_glob_or_any(reader, node, matcher);
}

static enum osa_code read_query(struct policy_yaml *reader, const struct io_yaml_node *node,
                                void *target)
{
    struct policy_matchers *matchers = target;
    return READ_ARRAY(reader, node, IO_YAML_MAPPING, read_matcher, &matchers->items,
                      &matchers->count);
}

/* Leaves of a nested mapping; {any: […]} is a leaf. */
static bool is_leaf(const struct io_yaml_node *node)
{
    return node->kind != IO_YAML_MAPPING ||
           (node->count == 1 && strcmp(node->first->key->text, "any") == 0);
}

static size_t count_leaves(const struct io_yaml_node *map)
{
    size_t count = 0;
    for (const struct io_yaml_node *member = map->first; member != NULL; member = member->next)
        count += is_leaf(member) ? 1 : count_leaves(member);
    return count;
}

static enum osa_code flatten(struct policy_yaml *reader, const struct io_yaml_node *map,
                             const char *prefix, struct policy_matchers *matchers)
{
    for (const struct io_yaml_node *member = map->first; member != NULL; member = member->next) {
        const char *name = policy_copyf(reader->doc, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
                                        member->key->text);
        enum osa_code code = OSA_OK;
        if (!is_leaf(member)) {
            code = flatten(reader, member, name, matchers);
        } else {
            struct policy_matcher *matcher = &matchers->items[matchers->count++];
            matcher->name = name;
            code = read_glob_or_any(reader, member, matcher);
        }
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

/* `params` and `tool` end in one list; whichever comes first makes it, with room for the other. */
static enum osa_code read_params(struct policy_yaml *reader, const struct io_yaml_node *node,
                                 void *target)
{
    struct policy_matchers *matchers = target;
    enum osa_code code = policy_yaml_need(reader, node, IO_YAML_MAPPING);
    if (code != OSA_OK)
        return code;
    struct policy_matcher *before = matchers->items;
    size_t had = matchers->count;
    matchers->items = policy_alloc(reader->doc, had + count_leaves(node) + 1, sizeof(*before));
    matchers->count = 0;
    if (matchers->items == NULL)
        return OSA_OK;
    for (size_t i = 0; i < had; i++)
        matchers->items[matchers->count++] = before[i];
    return flatten(reader, node, "", matchers);
}

static enum osa_code read_tool(struct policy_yaml *reader, const struct io_yaml_node *node,
                               void *target)
{
    struct policy_matchers *matchers = target;
    if (matchers->items == NULL)
        matchers->items = policy_alloc(reader->doc, 1, sizeof(*matchers->items));
    if (matchers->items == NULL)
        return OSA_OK;
    struct policy_matcher *matcher = &matchers->items[matchers->count++];
    matcher->name = "name";
    return read_glob_or_any(reader, node, matcher);
}

static enum osa_code read_l7_rule(struct policy_yaml *reader, const struct io_yaml_node *node,
                                  void *target)
{
#define AT(member) offsetof(struct policy_l7_rule, member)
    static const struct policy_yaml_field fields[] = {
        { "method", FIELD_TEXT, AT(method), NULL },
        { "path", FIELD_TEXT, AT(path), NULL },
        { "command", FIELD_TEXT, AT(command), NULL },
        { "query", FIELD_READ, AT(query), read_query },
        { "operation_type", FIELD_TEXT, AT(operation_type), NULL },
        { "operation_name", FIELD_TEXT, AT(operation_name), NULL },
        { "fields", FIELD_STRINGS, AT(fields), NULL },
        { "params", FIELD_READ, AT(params), read_params },
        { "tool", FIELD_READ, AT(params), read_tool },
    };
#undef AT
    return READ_FIELDS(reader, node, fields, target);
}

static enum osa_code read_allow_rule(struct policy_yaml *reader, const struct io_yaml_node *node,
                                     void *target)
{
    static const struct policy_yaml_field fields[] = { { "allow", FIELD_READ, 0, read_l7_rule } };
    enum osa_code code = READ_FIELDS(reader, node, fields, target);
    if (code == OSA_OK && node->count == 0)
        return io_yaml_fail(reader->yaml, node, reader->err, "needs allow: with a rule below it");
    return code;
}

static enum osa_code read_rules(struct policy_yaml *reader, const struct io_yaml_node *node,
                                void *target)
{
    struct policy_l7_rules *rules = target;
    return READ_ARRAY(reader, node, IO_YAML_SEQUENCE, read_allow_rule, &rules->items,
                      &rules->count);
}

static enum osa_code read_deny_rules(struct policy_yaml *reader, const struct io_yaml_node *node,
                                     void *target)
{
    struct policy_l7_rules *rules = target;
    return READ_ARRAY(reader, node, IO_YAML_SEQUENCE, read_l7_rule, &rules->items, &rules->count);
}

/* ---- endpoints ---- */

static enum osa_code read_port(struct policy_yaml *reader, const struct io_yaml_node *node,
                               void *target)
{
    int64_t port = 0;
    enum osa_code code = policy_yaml_integer(reader, node, 1, UINT16_MAX, &port);
    *(uint32_t *)target = (uint32_t)port;
    return code;
}

static enum osa_code read_ports(struct policy_yaml *reader, const struct io_yaml_node *node,
                                void *target)
{
    struct policy_endpoint *endpoint = target;
    return READ_ARRAY(reader, node, IO_YAML_SEQUENCE, read_port, &endpoint->ports,
                      &endpoint->port_count);
}

static enum osa_code read_operation(struct policy_yaml *reader, const struct io_yaml_node *node,
                                    void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "operation_type", FIELD_TEXT, offsetof(struct policy_graphql_operation, operation_type),
          NULL },
        { "operation_name", FIELD_TEXT, offsetof(struct policy_graphql_operation, operation_name),
          NULL },
        { "fields", FIELD_STRINGS, offsetof(struct policy_graphql_operation, fields), NULL },
    };
    struct policy_graphql_operation *operation = target;
    operation->id = policy_copy(reader->doc, node->key->text, node->key->len);
    return READ_FIELDS(reader, node, fields, operation);
}

static enum osa_code read_operations(struct policy_yaml *reader, const struct io_yaml_node *node,
                                     void *target)
{
    struct policy_endpoint *endpoint = target;
    return READ_ARRAY(reader, node, IO_YAML_MAPPING, read_operation, &endpoint->graphql_operations,
                      &endpoint->graphql_operation_count);
}

/* mcp.max_body_bytes beats json_rpc.max_body_bytes, whichever is written first. */
static enum osa_code read_json_rpc(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   void *target)
{
    struct policy_endpoint *endpoint = target;
    uint32_t max_bytes = 0;
    static const struct policy_yaml_field fields[] = { { "max_body_bytes", FIELD_U32, 0, NULL } };
    enum osa_code code = READ_FIELDS(reader, node, fields, &max_bytes);
    if (!endpoint->mcp_given || endpoint->json_rpc_max_body_bytes == 0)
        endpoint->json_rpc_max_body_bytes = max_bytes;
    return code;
}

static enum osa_code read_mcp(struct policy_yaml *reader, const struct io_yaml_node *node,
                              void *target)
{
    struct mcp {
        uint32_t max_body_bytes;
        bool strict_tool_names;
        bool allow_all;
    } mcp = { .strict_tool_names = true };
    static const struct policy_yaml_field fields[] = {
        { "max_body_bytes", FIELD_U32, offsetof(struct mcp, max_body_bytes), NULL },
        { "strict_tool_names", FIELD_BOOL, offsetof(struct mcp, strict_tool_names), NULL },
        { "allow_all_known_mcp_methods", FIELD_BOOL, offsetof(struct mcp, allow_all), NULL },
    };
    struct policy_endpoint *endpoint = target;
    enum osa_code code = READ_FIELDS(reader, node, fields, &mcp);
    endpoint->mcp_given = true;
    endpoint->mcp_strict_tool_names = mcp.strict_tool_names;
    endpoint->mcp_allow_all_known_methods = mcp.allow_all;
    if (mcp.max_body_bytes != 0)
        endpoint->json_rpc_max_body_bytes = mcp.max_body_bytes;
    return code;
}

static enum osa_code read_binding(struct policy_yaml *reader, const struct io_yaml_node *node,
                                  void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "provider", FIELD_TEXT, offsetof(struct policy_endpoint, credential_provider), NULL },
    };
    struct policy_endpoint *endpoint = target;
    endpoint->credential_binding_given = true;
    return READ_FIELDS(reader, node, fields, endpoint);
}

static enum osa_code read_endpoint(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   void *target)
{
#define AT(member) offsetof(struct policy_endpoint, member)
    static const struct policy_yaml_field fields[] = {
        { "host", FIELD_TEXT, AT(host), NULL },
        { "port", FIELD_READ, AT(port), read_port },
        { "ports", FIELD_READ, 0, read_ports },
        { "protocol", FIELD_TEXT, AT(protocol_text), NULL },
        { "tls", FIELD_TEXT, AT(tls_text), NULL },
        { "enforcement", FIELD_TEXT, AT(enforcement_text), NULL },
        { "access", FIELD_TEXT, AT(access_text), NULL },
        { "rules", FIELD_READ, AT(rules), read_rules },
        { "allowed_ips", FIELD_STRINGS, AT(allowed_ips), NULL },
        { "deny_rules", FIELD_READ, AT(deny_rules), read_deny_rules },
        { "allow_encoded_slash", FIELD_BOOL, AT(allow_encoded_slash), NULL },
        { "persisted_queries", FIELD_TEXT, AT(persisted_queries), NULL },
        { "graphql_persisted_queries", FIELD_READ, 0, read_operations },
        { "graphql_max_body_bytes", FIELD_U32, AT(graphql_max_body_bytes), NULL },
        { "path", FIELD_TEXT, AT(path), NULL },
        { "websocket_credential_rewrite", FIELD_BOOL, AT(websocket_credential_rewrite), NULL },
        { "request_body_credential_rewrite", FIELD_BOOL, AT(request_body_credential_rewrite),
          NULL },
        { "credential_signing", FIELD_TEXT, AT(credential_signing), NULL },
        { "signing_service", FIELD_TEXT, AT(signing_service), NULL },
        { "signing_region", FIELD_TEXT, AT(signing_region), NULL },
        { "json_rpc", FIELD_READ, 0, read_json_rpc },
        { "mcp", FIELD_READ, 0, read_mcp },
        { "credential_binding", FIELD_READ, 0, read_binding },
        { "allow_uninspected_credentials", FIELD_BOOL, AT(allow_uninspected_credentials), NULL },
    };
#undef AT
    return READ_FIELDS(reader, node, fields, target);
}

static enum osa_code read_endpoints(struct policy_yaml *reader, const struct io_yaml_node *node,
                                    void *target)
{
    struct policy_rule *rule = target;
    return READ_ARRAY(reader, node, IO_YAML_SEQUENCE, read_endpoint, &rule->endpoints,
                      &rule->endpoint_count);
}

static enum osa_code read_binary(struct policy_yaml *reader, const struct io_yaml_node *node,
                                 void *target)
{
    struct written {
        const char *path;
        bool harness; /* accepted for old files; says nothing */
    } written = { .path = NULL };
    static const struct policy_yaml_field fields[] = {
        { "path", FIELD_TEXT, offsetof(struct written, path), NULL },
        { "harness", FIELD_BOOL, offsetof(struct written, harness), NULL },
    };
    enum osa_code code = READ_FIELDS(reader, node, fields, &written);
    ((struct policy_binary *)target)->path = written.path;
    return code;
}

static enum osa_code read_binaries(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   void *target)
{
    struct policy_rule *rule = target;
    return READ_ARRAY(reader, node, IO_YAML_SEQUENCE, read_binary, &rule->binaries,
                      &rule->binary_count);
}

enum osa_code policy_yaml_rule(struct policy_yaml *reader, const struct io_yaml_node *node,
                               void *target)
{
    static const struct policy_yaml_field fields[] = {
        { "name", FIELD_TEXT, offsetof(struct policy_rule, name), NULL },
        { "endpoints", FIELD_READ, 0, read_endpoints },
        { "binaries", FIELD_READ, 0, read_binaries },
    };
    struct policy_rule *rule = target;
    rule->key = policy_copy(reader->doc, node->key->text, node->key->len);
    return READ_FIELDS(reader, node, fields, rule);
}
