// SPDX-License-Identifier: Apache-2.0
/*
 * Document → message. The message is first put together from borrowed text in scratch memory, then
 * packed and unpacked, which makes a copy that the caller frees like any other message.
 */
#include "policy/document_build.h"
#include "wire/policy_wire.h"

/*
 * A document serves as the scratch memory: bounded, freed whole, and policy_document_finish() tells
 * whether anything was refused, so that the code between may go on with fewer elements.
 */
typedef struct policy_document scratch;

/* protobuf-c has no const text; packing only reads. */
static char *borrow(const char *text)
{
    return (char *)text;
}

/* One message of @type; NULL when refused. */
static void *make(scratch *mem, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = policy_alloc(mem, 1, type->sizeof_message);
    if (message != NULL)
        protobuf_c_message_init(type, message);
    return message;
}

/* A repeated field of @wanted messages; *ret_count is how many there are. */
static void *make_list(scratch *mem, const ProtobufCMessageDescriptor *type, size_t wanted,
                       size_t *ret_count)
{
    void **list = policy_alloc(mem, wanted, sizeof(*list));
    *ret_count = 0;
    for (size_t i = 0; list != NULL && i < wanted; i++) {
        list[i] = make(mem, type);
        if (list[i] == NULL)
            break;
        (*ret_count)++;
    }
    return list;
}

static void put_list(const struct policy_strings *list, char ***ret, size_t *ret_count)
{
    *ret = (char **)list->items;
    *ret_count = list->count;
}

static Openshell__Sandbox__V1__L7QueryMatcher *put_matcher(scratch *mem,
                                                           const struct policy_matcher *matcher)
{
    Openshell__Sandbox__V1__L7QueryMatcher *wire =
        make(mem, &openshell__sandbox__v1__l7_query_matcher__descriptor);
    if (wire == NULL)
        return NULL;
    if (matcher->any)
        put_list(&matcher->globs, &wire->any, &wire->n_any);
    else
        wire->glob = borrow(matcher->globs.items[0]);
    return wire;
}

/* As in policy_from_wire.c: two families of types with the same fields. */
#define PUT_MATCHERS(mem, matchers, wire, field, type)                                             \
    do {                                                                                           \
        (wire)->field = make_list((mem), &(type), (matchers)->count, &(wire)->n_##field);          \
        for (size_t m_ = 0; m_ < (wire)->n_##field; m_++) {                                        \
            (wire)->field[m_]->key = borrow((matchers)->items[m_].name);                           \
            (wire)->field[m_]->value = put_matcher((mem), &(matchers)->items[m_]);                 \
        }                                                                                          \
    } while (0)

#define DEFINE_PUT_RULE(name, wire_type, query_type, params_type)                                  \
    static void name(scratch *mem, const struct policy_l7_rule *rule, wire_type *wire)             \
    {                                                                                              \
        wire->method = borrow(rule->method);                                                       \
        wire->path = borrow(rule->path);                                                           \
        wire->command = borrow(rule->command);                                                     \
        wire->operation_type = borrow(rule->operation_type);                                       \
        wire->operation_name = borrow(rule->operation_name);                                       \
        put_list(&rule->fields, &wire->fields, &wire->n_fields);                                   \
        PUT_MATCHERS(mem, &rule->query, wire, query, query_type);                                  \
        PUT_MATCHERS(mem, &rule->params, wire, params, params_type);                               \
    }

DEFINE_PUT_RULE(put_allow, Openshell__Sandbox__V1__L7Allow,
                openshell__sandbox__v1__l7_allow__query_entry__descriptor,
                openshell__sandbox__v1__l7_allow__params_entry__descriptor)
DEFINE_PUT_RULE(put_deny, Openshell__Sandbox__V1__L7DenyRule,
                openshell__sandbox__v1__l7_deny_rule__query_entry__descriptor,
                openshell__sandbox__v1__l7_deny_rule__params_entry__descriptor)

static void put_requests(scratch *mem, const struct policy_endpoint *endpoint,
                         Openshell__Sandbox__V1__NetworkEndpoint *wire)
{
    wire->rules = make_list(mem, &openshell__sandbox__v1__l7_rule__descriptor,
                            endpoint->rules.count, &wire->n_rules);
    for (size_t i = 0; i < wire->n_rules; i++) {
        wire->rules[i]->allow = make(mem, &openshell__sandbox__v1__l7_allow__descriptor);
        if (wire->rules[i]->allow != NULL)
            put_allow(mem, &endpoint->rules.items[i], wire->rules[i]->allow);
    }
    wire->deny_rules = make_list(mem, &openshell__sandbox__v1__l7_deny_rule__descriptor,
                                 endpoint->deny_rules.count, &wire->n_deny_rules);
    for (size_t i = 0; i < wire->n_deny_rules; i++)
        put_deny(mem, &endpoint->deny_rules.items[i], wire->deny_rules[i]);
}

static void put_operations(scratch *mem, const struct policy_endpoint *endpoint,
                           Openshell__Sandbox__V1__NetworkEndpoint *wire)
{
    wire->graphql_persisted_queries = make_list(
        mem, &openshell__sandbox__v1__network_endpoint__graphql_persisted_queries_entry__descriptor,
        endpoint->graphql_operation_count, &wire->n_graphql_persisted_queries);
    for (size_t i = 0; i < wire->n_graphql_persisted_queries; i++) {
        const struct policy_graphql_operation *operation = &endpoint->graphql_operations[i];
        Openshell__Sandbox__V1__GraphqlOperation *value =
            make(mem, &openshell__sandbox__v1__graphql_operation__descriptor);
        wire->graphql_persisted_queries[i]->key = borrow(operation->id);
        wire->graphql_persisted_queries[i]->value = value;
        if (value == NULL)
            continue;
        value->operation_type = borrow(operation->operation_type);
        value->operation_name = borrow(operation->operation_name);
        put_list(&operation->fields, &value->fields, &value->n_fields);
    }
}

static void put_options(scratch *mem, const struct policy_endpoint *endpoint,
                        Openshell__Sandbox__V1__NetworkEndpoint *wire)
{
    if (endpoint->mcp_given)
        wire->mcp = make(mem, &openshell__sandbox__v1__mcp_options__descriptor);
    if (wire->mcp != NULL) {
        wire->mcp->_strict_tool_names_case =
            OPENSHELL__SANDBOX__V1__MCP_OPTIONS___STRICT_TOOL_NAMES_STRICT_TOOL_NAMES;
        wire->mcp->strict_tool_names = endpoint->mcp_strict_tool_names;
        wire->mcp->_allow_all_known_mcp_methods_case =
            OPENSHELL__SANDBOX__V1__MCP_OPTIONS___ALLOW_ALL_KNOWN_MCP_METHODS_ALLOW_ALL_KNOWN_MCP_METHODS;
        wire->mcp->allow_all_known_mcp_methods = endpoint->mcp_allow_all_known_methods;
    }
    if (endpoint->credential_binding_given)
        wire->credential_binding =
            make(mem, &openshell__sandbox__v1__network_credential_binding__descriptor);
    if (wire->credential_binding != NULL)
        wire->credential_binding->provider = borrow(endpoint->credential_provider);
    /* 0 stands for the default; some protocols refuse the field when it is there. */
    if (endpoint->graphql_max_body_bytes != POLICY_DEFAULT_BODY_BYTES)
        wire->graphql_max_body_bytes = endpoint->graphql_max_body_bytes;
    if (endpoint->json_rpc_max_body_bytes != POLICY_DEFAULT_BODY_BYTES)
        wire->json_rpc_max_body_bytes = endpoint->json_rpc_max_body_bytes;
}

static void put_endpoint(scratch *mem, const struct policy_endpoint *endpoint,
                         Openshell__Sandbox__V1__NetworkEndpoint *wire)
{
    wire->host = borrow(endpoint->host);
    wire->port = endpoint->port;
    wire->ports = endpoint->ports;
    wire->n_ports = endpoint->port_count;
    wire->path = borrow(endpoint->path);
    wire->protocol = borrow(endpoint->protocol_text);
    wire->tls = borrow(endpoint->tls_text);
    wire->enforcement = borrow(endpoint->enforcement_text);
    wire->access = borrow(endpoint->access_text);
    put_requests(mem, endpoint, wire);
    put_list(&endpoint->allowed_ips, &wire->allowed_ips, &wire->n_allowed_ips);
    wire->allow_encoded_slash = endpoint->allow_encoded_slash;
    wire->websocket_credential_rewrite = endpoint->websocket_credential_rewrite;
    wire->request_body_credential_rewrite = endpoint->request_body_credential_rewrite;
    wire->allow_uninspected_credentials = endpoint->allow_uninspected_credentials;
    wire->advisor_proposed = endpoint->advisor_proposed;
    wire->provider_credentialed = endpoint->provider_credentialed;
    wire->persisted_queries = borrow(endpoint->persisted_queries);
    put_operations(mem, endpoint, wire);
    put_options(mem, endpoint, wire);
    wire->credential_signing = borrow(endpoint->credential_signing);
    wire->signing_service = borrow(endpoint->signing_service);
    wire->signing_region = borrow(endpoint->signing_region);
}

static void put_rule(scratch *mem, const struct policy_rule *rule,
                     Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry *entry)
{
    Openshell__Sandbox__V1__NetworkPolicyRule *wire =
        make(mem, &openshell__sandbox__v1__network_policy_rule__descriptor);
    entry->key = borrow(rule->key);
    entry->value = wire;
    if (wire == NULL)
        return;
    wire->name = borrow(rule->name);
    wire->endpoints = make_list(mem, &openshell__sandbox__v1__network_endpoint__descriptor,
                                rule->endpoint_count, &wire->n_endpoints);
    for (size_t i = 0; i < wire->n_endpoints; i++)
        put_endpoint(mem, &rule->endpoints[i], wire->endpoints[i]);
    wire->binaries = make_list(mem, &openshell__sandbox__v1__network_binary__descriptor,
                               rule->binary_count, &wire->n_binaries);
    for (size_t i = 0; i < wire->n_binaries; i++) {
        wire->binaries[i]->path = borrow(rule->binaries[i].path);
        wire->binaries[i]->harness = rule->binaries[i].advisor_proposed;
    }
}

static void put_object(scratch *mem, const struct policy_value *value,
                       Google__Protobuf__Struct *wire);

/* The depth was bounded when the document was made. */
static void put_value(scratch *mem, const struct policy_value *value, Google__Protobuf__Value *wire)
{
    switch (value->kind) {
    case POLICY_VALUE_NULL:
        wire->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        break;
    case POLICY_VALUE_BOOL:
        wire->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        wire->bool_value = value->boolean;
        break;
    case POLICY_VALUE_NUMBER:
        wire->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        wire->number_value = value->number;
        break;
    case POLICY_VALUE_TEXT:
        wire->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        wire->string_value = borrow(value->text);
        break;
    case POLICY_VALUE_LIST:
        wire->list_value = make(mem, &google__protobuf__list_value__descriptor);
        if (wire->list_value == NULL)
            return;
        wire->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        wire->list_value->values = make_list(mem, &google__protobuf__value__descriptor,
                                             value->count, &wire->list_value->n_values);
        for (size_t i = 0; i < wire->list_value->n_values; i++)
            put_value(mem, &value->items[i], wire->list_value->values[i]);
        break;
    case POLICY_VALUE_OBJECT:
        wire->struct_value = make(mem, &google__protobuf__struct__descriptor);
        if (wire->struct_value == NULL)
            return;
        wire->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        put_object(mem, value, wire->struct_value);
        break;
    }
}

static void put_object(scratch *mem, const struct policy_value *value,
                       Google__Protobuf__Struct *wire)
{
    wire->fields = make_list(mem, &google__protobuf__struct__fields_entry__descriptor, value->count,
                             &wire->n_fields);
    for (size_t i = 0; i < wire->n_fields; i++) {
        wire->fields[i]->key = borrow(value->items[i].key);
        wire->fields[i]->value = make(mem, &google__protobuf__value__descriptor);
        if (wire->fields[i]->value != NULL)
            put_value(mem, &value->items[i], wire->fields[i]->value);
    }
}

static void put_middleware(scratch *mem, const struct policy_middleware *filter,
                           Openshell__Sandbox__V1__SandboxPolicy__NetworkMiddlewaresEntry *entry)
{
    Openshell__Sandbox__V1__NetworkMiddlewareConfig *wire =
        make(mem, &openshell__sandbox__v1__network_middleware_config__descriptor);
    entry->key = borrow(filter->key);
    entry->value = wire;
    if (wire == NULL)
        return;
    wire->name = borrow(filter->name);
    wire->middleware = borrow(filter->middleware);
    wire->on_error = borrow(filter->on_error);
    wire->order = filter->order;
    wire->config = make(mem, &google__protobuf__struct__descriptor);
    if (wire->config != NULL)
        put_object(mem, &filter->config, wire->config);
    wire->endpoints = make(mem, &openshell__sandbox__v1__middleware_endpoint_selector__descriptor);
    if (wire->endpoints == NULL)
        return;
    put_list(&filter->include, &wire->endpoints->include, &wire->endpoints->n_include);
    put_list(&filter->exclude, &wire->endpoints->exclude, &wire->endpoints->n_exclude);
}

static void put_static(scratch *mem, const struct policy_document *doc,
                       Openshell__Sandbox__V1__SandboxPolicy *wire)
{
    wire->version = doc->version;
    if (doc->filesystem.given)
        wire->filesystem = make(mem, &openshell__sandbox__v1__filesystem_policy__descriptor);
    if (wire->filesystem != NULL) {
        wire->filesystem->include_workdir = doc->filesystem.include_workdir;
        put_list(&doc->filesystem.read_only, &wire->filesystem->read_only,
                 &wire->filesystem->n_read_only);
        put_list(&doc->filesystem.read_write, &wire->filesystem->read_write,
                 &wire->filesystem->n_read_write);
    }
    if (doc->landlock.given)
        wire->landlock = make(mem, &openshell__sandbox__v1__landlock_policy__descriptor);
    if (wire->landlock != NULL)
        wire->landlock->compatibility = borrow(doc->landlock.compatibility);
    if (doc->process.given)
        wire->process = make(mem, &openshell__sandbox__v1__process_policy__descriptor);
    if (wire->process != NULL) {
        wire->process->run_as_user = borrow(doc->process.run_as_user);
        wire->process->run_as_group = borrow(doc->process.run_as_group);
    }
}

static enum osa_code copy_out(const Openshell__Sandbox__V1__SandboxPolicy *wire,
                              Openshell__Sandbox__V1__SandboxPolicy **ret, struct osa_error *err)
{
    size_t size = openshell__sandbox__v1__sandbox_policy__get_packed_size(wire);
    OSA_AUTO(osa_free) uint8_t *bytes = malloc(size + 1);
    Openshell__Sandbox__V1__SandboxPolicy *copy = NULL;
    if (bytes != NULL) {
        openshell__sandbox__v1__sandbox_policy__pack(wire, bytes);
        copy = openshell__sandbox__v1__sandbox_policy__unpack(NULL, size, bytes);
    }
    if (copy == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a policy");
    *ret = copy;
    return OSA_OK;
}

enum osa_code policy_to_wire(const struct policy_document *doc,
                             Openshell__Sandbox__V1__SandboxPolicy **ret, struct osa_error *err)
{
    scratch *mem = policy_document_new();
    if (mem == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a policy");
    Openshell__Sandbox__V1__SandboxPolicy wire = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
    put_static(mem, doc, &wire);
    wire.network_policies =
        make_list(mem, &openshell__sandbox__v1__sandbox_policy__network_policies_entry__descriptor,
                  doc->rule_count, &wire.n_network_policies);
    for (size_t i = 0; i < wire.n_network_policies; i++)
        put_rule(mem, &doc->rules[i], wire.network_policies[i]);
    wire.network_middlewares = make_list(
        mem, &openshell__sandbox__v1__sandbox_policy__network_middlewares_entry__descriptor,
        doc->middleware_count, &wire.n_network_middlewares);
    for (size_t i = 0; i < wire.n_network_middlewares; i++)
        put_middleware(mem, &doc->middlewares[i], wire.network_middlewares[i]);

    mem->version = 1;
    OSA_AUTO(policy_document_unrefp) const struct policy_document *complete = NULL;
    enum osa_code code = policy_document_finish(mem, NULL, &complete, err);
    return code != OSA_OK ? code : copy_out(&wire, ret, err);
}
