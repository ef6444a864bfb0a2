// SPDX-License-Identifier: Apache-2.0
/* Request rules, compiled: presets become rules, globs become patterns. */
#include "policy/engine_internal.h"

#include <string.h>

#define PRESET_RULE(m, p, type)                                                                    \
    {                                                                                              \
        .method = (m), .path = (p), .command = "", .operation_type = (type), .operation_name = ""  \
    }
#define HTTP_RULE(name) PRESET_RULE(name, "**", "")
#define OPERATION_RULE(name) PRESET_RULE("", "", name)

static const struct policy_l7_rule http_some[] = {
    HTTP_RULE("GET"),  HTTP_RULE("HEAD"), HTTP_RULE("OPTIONS"),
    HTTP_RULE("POST"), HTTP_RULE("PUT"),  HTTP_RULE("PATCH"),
};
static const struct policy_l7_rule http_full[] = { HTTP_RULE("*") };
static const struct policy_l7_rule websocket_some[] = { HTTP_RULE("GET"),
                                                        HTTP_RULE("WEBSOCKET_TEXT") };
static const struct policy_l7_rule graphql_some[] = { OPERATION_RULE("query"),
                                                      OPERATION_RULE("mutation") };
static const struct policy_l7_rule graphql_full[] = { OPERATION_RULE("*") };
static const struct policy_l7_rule mcp_all[] = { PRESET_RULE("*", "", "") };

/* The first rules of @some are for each preset; read-write neither deletes nor subscribes. */
struct preset {
    const struct policy_l7_rule *some;
    size_t read_only;
    size_t read_write;
    const struct policy_l7_rule *full;
};

static const struct preset *find_preset(enum policy_protocol protocol)
{
    static const struct preset http = { http_some, 3, 6, http_full };
    static const struct preset websocket = { websocket_some, 1, 2, http_full };
    static const struct preset graphql = { graphql_some, 1, 2, graphql_full };
    switch (protocol) {
    case POLICY_PROTOCOL_NONE:
    case POLICY_PROTOCOL_REST:
    case POLICY_PROTOCOL_SQL:
        return &http;
    case POLICY_PROTOCOL_WEBSOCKET:
        return &websocket;
    case POLICY_PROTOCOL_GRAPHQL:
        return &graphql;
    case POLICY_PROTOCOL_TCP:
    case POLICY_PROTOCOL_JSON_RPC:
    case POLICY_PROTOCOL_MCP:
    case POLICY_PROTOCOL_COUNT:
        break;
    }
    return NULL;
}

/* Return: the rules that allow, with their number in *ret_count */
static const struct policy_l7_rule *find_allow(const struct policy_endpoint *endpoint,
                                               size_t *ret_count)
{
    *ret_count = endpoint->rules.count;
    if (endpoint->rules.count > 0)
        return endpoint->rules.items;
    if (endpoint->protocol == POLICY_PROTOCOL_MCP && endpoint->mcp_allow_all_known_methods) {
        *ret_count = 1;
        return mcp_all;
    }
    const struct preset *preset = find_preset(endpoint->protocol);
    if (preset == NULL)
        return NULL;
    switch (endpoint->access) {
    case POLICY_ACCESS_READ_ONLY:
        *ret_count = preset->read_only;
        return preset->some;
    case POLICY_ACCESS_READ_WRITE:
        *ret_count = preset->read_write;
        return preset->some;
    case POLICY_ACCESS_FULL:
        *ret_count = 1;
        return preset->full;
    case POLICY_ACCESS_NONE:
    case POLICY_ACCESS_UNSUPPORTED:
        break;
    }
    return NULL;
}

/**
 * struct compiler - The rules of one side of an endpoint
 * @value_separator: of globs over names and values: '.', which a strict engine ignores in deny rules
 */
struct compiler {
    struct policy_engine *engine;
    const struct policy_endpoint *endpoint;
    char value_separator;
    struct osa_error *err;
};

static enum osa_code compile_globs(struct compiler *c, const struct policy_strings *globs,
                                   struct engine_globs *ret)
{
    ret->count = globs->count;
    ret->items = osa_arena_alloc(&c->engine->arena, sizeof(const void *) * globs->count);
    for (size_t i = 0; i < globs->count; i++) {
        enum osa_code code = policy_pattern_compile(&c->engine->arena, globs->items[i],
                                                    c->value_separator, &ret->items[i], c->err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

static enum osa_code compile_path(struct compiler *c, const char *path, bool *ret_any,
                                  const struct policy_pattern **ret)
{
    *ret_any = strcmp(path, "**") == 0;
    if (*ret_any || path[0] == '\0')
        return OSA_OK;
    return policy_pattern_compile(&c->engine->arena, path, '/', ret, c->err);
}

static enum osa_code compile_query(struct compiler *c, const struct policy_matchers *matchers,
                                   struct engine_pattern *pattern)
{
    pattern->query_count = matchers->count;
    pattern->query = osa_arena_alloc(&c->engine->arena, sizeof(*pattern->query) * matchers->count);
    for (size_t i = 0; i < matchers->count; i++) {
        pattern->query[i].name = matchers->items[i].name;
        enum osa_code code = compile_globs(c, &matchers->items[i].globs, &pattern->query[i].globs);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

/* Validation lets through no other parameter than "name". */
static enum osa_code compile_mcp(struct compiler *c, struct engine_pattern *pattern)
{
    const struct policy_l7_rule *source = pattern->source;
    const char *method = source->method;
    pattern->names_tool = source->params.count > 0;
    if (method[0] == '\0')
        method = pattern->names_tool ? "tools/call" : "*";
    enum osa_code code =
        policy_pattern_compile(&c->engine->arena, method, '.', &pattern->method, c->err);
    if (code == OSA_OK && pattern->names_tool)
        code = compile_globs(c, &source->params.items[0].globs, &pattern->tool);
    return code;
}

static enum osa_code compile_pattern(struct compiler *c, const struct policy_l7_rule *source,
                                     struct engine_pattern *ret)
{
    ret->source = source;
    enum osa_code code = OSA_OK;
    if (c->endpoint->protocol == POLICY_PROTOCOL_MCP)
        code = compile_mcp(c, ret);
    if (code == OSA_OK)
        code = compile_path(c, source->path, &ret->any_path, &ret->path);
    if (code == OSA_OK)
        code = compile_query(c, &source->query, ret);
    if (code == OSA_OK && source->operation_name[0] != '\0')
        code = policy_pattern_compile(&c->engine->arena, source->operation_name, c->value_separator,
                                      &ret->operation_name, c->err);
    return code != OSA_OK ? code : compile_globs(c, &source->fields, &ret->fields);
}

static enum osa_code compile_side(struct compiler *c, const struct policy_l7_rule *rules,
                                  size_t count, struct engine_endpoint *endpoint,
                                  struct engine_patterns *ret)
{
    ret->items = osa_arena_alloc(&c->engine->arena, sizeof(*ret->items) * count);
    ret->count = count;
    for (size_t i = 0; i < count; i++) {
        enum osa_code code = compile_pattern(c, &rules[i], &ret->items[i]);
        if (code != OSA_OK)
            return code;
        endpoint->has_operation_rules =
            endpoint->has_operation_rules || rules[i].operation_type[0] != '\0';
    }
    return OSA_OK;
}

static void compile_route(struct compiler *c, const char *path, struct engine_endpoint *endpoint)
{
    for (const char *p = path; *p != '\0'; p++)
        endpoint->specificity += *p != '*';
    endpoint_path_compile(&c->engine->arena, path, &endpoint->route);
}

enum osa_code engine_compile_l7(struct policy_engine *engine, struct engine_endpoint *endpoint,
                                struct osa_error *err)
{
    const struct policy_endpoint *source = endpoint->source;
    struct compiler c = {
        .engine = engine, .endpoint = source, .value_separator = '.', .err = err
    };
    compile_route(&c, source->path, endpoint);
    enum osa_code code = compile_path(&c, source->path, &endpoint->any_path, &endpoint->path);
    endpoint->any_path = endpoint->any_path || source->path[0] == '\0';
    size_t count = 0;
    const struct policy_l7_rule *allow = find_allow(source, &count);
    if (code == OSA_OK)
        code = compile_side(&c, allow, count, endpoint, &endpoint->rules);
    if (engine->options.strict)
        c.value_separator = '\0';
    if (code == OSA_OK)
        code = compile_side(&c, source->deny_rules.items, source->deny_rules.count, endpoint,
                            &endpoint->deny);
    return code;
}
