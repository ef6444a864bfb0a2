// SPDX-License-Identifier: Apache-2.0
/* Message → document. Validation is policy_document_finish()'s; this only copies. */
#include "policy/document_build.h"
#include "wire/policy_wire.h"

#include <string.h>

typedef struct policy_document builder;

static const char *copy_text(builder *doc, const char *text)
{
    return text == NULL || text[0] == '\0' ? "" : policy_copy(doc, text, strlen(text));
}

static void copy_list(builder *doc, char *const *items, size_t count, struct policy_strings *ret)
{
    ret->items = policy_alloc(doc, count, sizeof(*ret->items));
    if (ret->items == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        ret->items[ret->count++] = copy_text(doc, items[i]);
}

/* Neither form, or both: no glob at all, which validation refuses. */
static void copy_matcher(builder *doc, const char *key,
                         const Openshell__Sandbox__V1__L7QueryMatcher *wire,
                         struct policy_matcher *ret)
{
    ret->name = copy_text(doc, key);
    if (wire == NULL)
        return;
    bool has_glob = wire->glob[0] != '\0';
    char *glob = wire->glob;
    if (has_glob && wire->n_any == 0) {
        copy_list(doc, &glob, 1, &ret->globs);
    } else if (!has_glob) {
        ret->any = true;
        copy_list(doc, wire->any, wire->n_any, &ret->globs);
    }
}

/*
 * Allowed and refused requests are two message types with the same fields, and each has map entry
 * types of its own; the generated code shares nothing, so the copying is written once as text.
 */
#define COPY_MATCHERS(doc, wire_items, wire_count, ret)                                            \
    do {                                                                                           \
        (ret)->items = policy_alloc((doc), (wire_count), sizeof(*(ret)->items));                   \
        for (size_t m_ = 0; (ret)->items != NULL && m_ < (wire_count); m_++)                       \
            copy_matcher((doc), (wire_items)[m_]->key, (wire_items)[m_]->value,                    \
                         &(ret)->items[(ret)->count++]);                                           \
    } while (0)

#define DEFINE_COPY_RULE(name, type)                                                               \
    static void name(builder *doc, const type *wire, struct policy_l7_rule *ret)                   \
    {                                                                                              \
        if (wire == NULL)                                                                          \
            return;                                                                                \
        ret->method = copy_text(doc, wire->method);                                                \
        ret->path = copy_text(doc, wire->path);                                                    \
        ret->command = copy_text(doc, wire->command);                                              \
        ret->operation_type = copy_text(doc, wire->operation_type);                                \
        ret->operation_name = copy_text(doc, wire->operation_name);                                \
        copy_list(doc, wire->fields, wire->n_fields, &ret->fields);                                \
        COPY_MATCHERS(doc, wire->query, wire->n_query, &ret->query);                               \
        COPY_MATCHERS(doc, wire->params, wire->n_params, &ret->params);                            \
    }

DEFINE_COPY_RULE(copy_allow, Openshell__Sandbox__V1__L7Allow)
DEFINE_COPY_RULE(copy_deny, Openshell__Sandbox__V1__L7DenyRule)

static void copy_requests(builder *doc, const Openshell__Sandbox__V1__NetworkEndpoint *wire,
                          struct policy_endpoint *ret)
{
    ret->rules.items = policy_alloc(doc, wire->n_rules, sizeof(*ret->rules.items));
    for (size_t i = 0; ret->rules.items != NULL && i < wire->n_rules; i++)
        copy_allow(doc, wire->rules[i]->allow, &ret->rules.items[ret->rules.count++]);
    ret->deny_rules.items = policy_alloc(doc, wire->n_deny_rules, sizeof(*ret->deny_rules.items));
    for (size_t i = 0; ret->deny_rules.items != NULL && i < wire->n_deny_rules; i++)
        copy_deny(doc, wire->deny_rules[i], &ret->deny_rules.items[ret->deny_rules.count++]);
}

static void copy_operations(builder *doc, const Openshell__Sandbox__V1__NetworkEndpoint *wire,
                            struct policy_endpoint *ret)
{
    ret->graphql_operations =
        policy_alloc(doc, wire->n_graphql_persisted_queries, sizeof(*ret->graphql_operations));
    for (size_t i = 0; ret->graphql_operations && i < wire->n_graphql_persisted_queries; i++) {
        const Openshell__Sandbox__V1__GraphqlOperation *value =
            wire->graphql_persisted_queries[i]->value;
        struct policy_graphql_operation *operation =
            &ret->graphql_operations[ret->graphql_operation_count++];
        operation->id = copy_text(doc, wire->graphql_persisted_queries[i]->key);
        if (value == NULL)
            continue;
        operation->operation_type = copy_text(doc, value->operation_type);
        operation->operation_name = copy_text(doc, value->operation_name);
        copy_list(doc, value->fields, value->n_fields, &operation->fields);
    }
}

static void copy_mcp(const Openshell__Sandbox__V1__McpOptions *wire, struct policy_endpoint *ret)
{
    if (wire == NULL)
        return;
    ret->mcp_given = true;
    ret->mcp_strict_tool_names =
        wire->_strict_tool_names_case ==
            OPENSHELL__SANDBOX__V1__MCP_OPTIONS___STRICT_TOOL_NAMES__NOT_SET ||
        wire->strict_tool_names;
    ret->mcp_allow_all_known_methods =
        wire->_allow_all_known_mcp_methods_case !=
            OPENSHELL__SANDBOX__V1__MCP_OPTIONS___ALLOW_ALL_KNOWN_MCP_METHODS__NOT_SET &&
        wire->allow_all_known_mcp_methods;
}

static void copy_endpoint(builder *doc, const Openshell__Sandbox__V1__NetworkEndpoint *wire,
                          struct policy_endpoint *ret)
{
    ret->host = copy_text(doc, wire->host);
    ret->port = wire->port;
    ret->ports = policy_alloc(doc, wire->n_ports, sizeof(*ret->ports));
    for (size_t i = 0; ret->ports != NULL && i < wire->n_ports; i++)
        ret->ports[ret->port_count++] = wire->ports[i];
    ret->path = copy_text(doc, wire->path);
    ret->protocol_text = copy_text(doc, wire->protocol);
    ret->tls_text = copy_text(doc, wire->tls);
    ret->enforcement_text = copy_text(doc, wire->enforcement);
    ret->access_text = copy_text(doc, wire->access);
    copy_requests(doc, wire, ret);
    copy_list(doc, wire->allowed_ips, wire->n_allowed_ips, &ret->allowed_ips);
    ret->allow_encoded_slash = wire->allow_encoded_slash;
    ret->websocket_credential_rewrite = wire->websocket_credential_rewrite;
    ret->request_body_credential_rewrite = wire->request_body_credential_rewrite;
    ret->allow_uninspected_credentials = wire->allow_uninspected_credentials;
    ret->advisor_proposed = wire->advisor_proposed;
    ret->provider_credentialed = wire->provider_credentialed;
    ret->persisted_queries = copy_text(doc, wire->persisted_queries);
    copy_operations(doc, wire, ret);
    ret->graphql_max_body_bytes = wire->graphql_max_body_bytes;
    ret->json_rpc_max_body_bytes = wire->json_rpc_max_body_bytes;
    copy_mcp(wire->mcp, ret);
    ret->credential_signing = copy_text(doc, wire->credential_signing);
    ret->signing_service = copy_text(doc, wire->signing_service);
    ret->signing_region = copy_text(doc, wire->signing_region);
    if (wire->credential_binding != NULL) {
        ret->credential_binding_given = true;
        ret->credential_provider = copy_text(doc, wire->credential_binding->provider);
    }
}

static void copy_rule(builder *doc,
                      const Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry *entry,
                      struct policy_rule *ret)
{
    const Openshell__Sandbox__V1__NetworkPolicyRule *wire = entry->value;
    ret->key = copy_text(doc, entry->key);
    if (wire == NULL)
        return;
    ret->name = copy_text(doc, wire->name);
    ret->endpoints = policy_alloc(doc, wire->n_endpoints, sizeof(*ret->endpoints));
    for (size_t i = 0; ret->endpoints != NULL && i < wire->n_endpoints; i++)
        copy_endpoint(doc, wire->endpoints[i], &ret->endpoints[ret->endpoint_count++]);
    ret->binaries = policy_alloc(doc, wire->n_binaries, sizeof(*ret->binaries));
    for (size_t i = 0; ret->binaries != NULL && i < wire->n_binaries; i++)
        ret->binaries[ret->binary_count++] = (struct policy_binary){
            .path = copy_text(doc, wire->binaries[i]->path),
            .advisor_proposed = wire->binaries[i]->harness,
        };
}

static void copy_object(builder *doc, const Google__Protobuf__Struct *wire,
                        struct policy_value *ret);

/* rpc_message_scan() bounds the depth. */
static void copy_value(builder *doc, const Google__Protobuf__Value *wire, struct policy_value *ret)
{
    switch (wire != NULL ? wire->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        ret->kind = POLICY_VALUE_NUMBER;
        ret->number = wire->number_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        ret->kind = POLICY_VALUE_TEXT;
        ret->text = copy_text(doc, wire->string_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        ret->kind = POLICY_VALUE_BOOL;
        ret->boolean = wire->bool_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        copy_object(doc, wire->struct_value, ret);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        ret->kind = POLICY_VALUE_LIST;
        ret->items = policy_alloc(doc, wire->list_value->n_values, sizeof(*ret->items));
        for (size_t i = 0; ret->items != NULL && i < wire->list_value->n_values; i++)
            copy_value(doc, wire->list_value->values[i], &ret->items[ret->count++]);
        break;
    default:
        ret->kind = POLICY_VALUE_NULL;
    }
}

static void copy_object(builder *doc, const Google__Protobuf__Struct *wire,
                        struct policy_value *ret)
{
    ret->kind = POLICY_VALUE_OBJECT;
    ret->items = policy_alloc(doc, wire->n_fields, sizeof(*ret->items));
    for (size_t i = 0; ret->items != NULL && i < wire->n_fields; i++) {
        struct policy_value *item = &ret->items[ret->count++];
        item->key = copy_text(doc, wire->fields[i]->key);
        copy_value(doc, wire->fields[i]->value, item);
    }
}

static void
copy_middleware(builder *doc,
                const Openshell__Sandbox__V1__SandboxPolicy__NetworkMiddlewaresEntry *entry,
                struct policy_middleware *ret)
{
    const Openshell__Sandbox__V1__NetworkMiddlewareConfig *wire = entry->value;
    ret->key = copy_text(doc, entry->key);
    if (wire == NULL)
        return;
    ret->name = copy_text(doc, wire->name);
    ret->middleware = copy_text(doc, wire->middleware);
    ret->on_error = copy_text(doc, wire->on_error);
    ret->order = wire->order;
    if (wire->config != NULL)
        copy_object(doc, wire->config, &ret->config);
    if (wire->endpoints != NULL) {
        copy_list(doc, wire->endpoints->include, wire->endpoints->n_include, &ret->include);
        copy_list(doc, wire->endpoints->exclude, wire->endpoints->n_exclude, &ret->exclude);
    }
}

static void copy_static(builder *doc, const Openshell__Sandbox__V1__SandboxPolicy *wire)
{
    doc->version = wire->version;
    if (wire->filesystem != NULL) {
        doc->filesystem.given = true;
        doc->filesystem.include_workdir = wire->filesystem->include_workdir;
        copy_list(doc, wire->filesystem->read_only, wire->filesystem->n_read_only,
                  &doc->filesystem.read_only);
        copy_list(doc, wire->filesystem->read_write, wire->filesystem->n_read_write,
                  &doc->filesystem.read_write);
    }
    if (wire->landlock != NULL) {
        doc->landlock.given = true;
        doc->landlock.compatibility = copy_text(doc, wire->landlock->compatibility);
    }
    if (wire->process != NULL) {
        doc->process.given = true;
        doc->process.run_as_user = copy_text(doc, wire->process->run_as_user);
        doc->process.run_as_group = copy_text(doc, wire->process->run_as_group);
    }
}

enum osa_code policy_from_wire(const Openshell__Sandbox__V1__SandboxPolicy *wire, const char *field,
                               const struct policy_document **ret, struct osa_error *err)
{
    builder *doc = policy_document_new();
    if (doc == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a policy");
    copy_static(doc, wire);
    doc->rules = policy_alloc(doc, wire->n_network_policies, sizeof(*doc->rules));
    for (size_t i = 0; doc->rules != NULL && i < wire->n_network_policies; i++)
        copy_rule(doc, wire->network_policies[i], &doc->rules[doc->rule_count++]);
    doc->middlewares = policy_alloc(doc, wire->n_network_middlewares, sizeof(*doc->middlewares));
    for (size_t i = 0; doc->middlewares != NULL && i < wire->n_network_middlewares; i++)
        copy_middleware(doc, wire->network_middlewares[i],
                        &doc->middlewares[doc->middleware_count++]);
    const struct policy_origin origin = { .wire = true, .field_prefix = field };
    return policy_document_finish(doc, &origin, ret, err);
}
