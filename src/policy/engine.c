// SPDX-License-Identifier: Apache-2.0
#include "policy/engine_internal.h"

#include <ctype.h>
#include <string.h>

/* Hosts are compared in lower case, so patterns are too; a class [A-Z] becomes [a-z]. */
static enum osa_code compile_host(struct policy_engine *engine, struct engine_endpoint *endpoint,
                                  struct osa_error *err)
{
    const char *host = endpoint->source->host;
    if (strchr(host, '*') == NULL)
        return OSA_OK;
    char *lower = osa_arena_copy(&engine->arena, host, strlen(host) + 1);
    for (char *c = lower; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return policy_pattern_compile(&engine->arena, lower, '.', &endpoint->host, err);
}

static bool is_inspected(enum policy_protocol protocol)
{
    switch (protocol) {
    case POLICY_PROTOCOL_REST:
    case POLICY_PROTOCOL_WEBSOCKET:
    case POLICY_PROTOCOL_GRAPHQL:
    case POLICY_PROTOCOL_JSON_RPC:
    case POLICY_PROTOCOL_MCP:
        return true;
    case POLICY_PROTOCOL_SQL: /* its bytes are not parsed */
    case POLICY_PROTOCOL_NONE:
    case POLICY_PROTOCOL_TCP:
    case POLICY_PROTOCOL_COUNT:
        break;
    }
    return false;
}

static enum osa_code compile_endpoint(struct policy_engine *engine,
                                      struct engine_endpoint *endpoint,
                                      const struct policy_endpoint *source, uint32_t rule,
                                      struct osa_error *err)
{
    endpoint->source = source;
    endpoint->rule = rule;
    endpoint->inspect = is_inspected(source->protocol);
    endpoint->extended = endpoint->inspect || source->protocol == POLICY_PROTOCOL_SQL ||
                         source->allowed_ips.count > 0 || source->tls_text[0] != '\0';
    endpoint->enforce =
        source->enforce || (engine->options.strict && source->enforcement_text[0] == '\0' &&
                            source->protocol != POLICY_PROTOCOL_SQL);
    if (source->allowed_ips.count > 0)
        endpoint->ranges = engine_ranges(&engine->arena, &source->allowed_ips);
    enum osa_code code = compile_host(engine, endpoint, err);
    return code != OSA_OK ? code : engine_compile_l7(engine, endpoint, err);
}

static enum osa_code compile_binaries(struct policy_engine *engine, struct engine_rule *rule,
                                      struct osa_error *err)
{
    const struct policy_rule *source = rule->source;
    rule->binary_count = source->binary_count;
    rule->binaries = osa_arena_alloc(&engine->arena, sizeof(*rule->binaries) * rule->binary_count);
    for (size_t i = 0; i < rule->binary_count; i++) {
        struct engine_binary *binary = &rule->binaries[i];
        binary->source = &source->binaries[i];
        binary->path = policy_binary_path(binary->source, &binary->host_identity);
        if (strchr(binary->path, '*') == NULL)
            continue;
        enum osa_code code =
            policy_pattern_compile(&engine->arena, binary->path, '/', &binary->glob, err);
        if (code != OSA_OK)
            return osa_wrap(err, "network_policies.%.80s.binaries[%zu]", source->key, i);
    }
    return OSA_OK;
}

static enum osa_code compile(struct policy_engine *engine, struct osa_error *err)
{
    const struct policy_document *doc = engine->doc;
    size_t endpoints = 0;
    for (size_t i = 0; i < doc->rule_count; i++)
        endpoints += doc->rules[i].endpoint_count;
    engine->rule_count = (uint32_t)doc->rule_count;
    engine->rules = osa_arena_alloc(&engine->arena, sizeof(*engine->rules) * doc->rule_count);
    engine->endpoints = osa_arena_alloc(&engine->arena, sizeof(*engine->endpoints) * endpoints);
    for (uint32_t i = 0; i < engine->rule_count; i++) {
        struct engine_rule *rule = &engine->rules[i];
        rule->source = &doc->rules[i];
        enum osa_code code = compile_binaries(engine, rule, err);
        for (size_t k = 0; k < rule->source->endpoint_count && code == OSA_OK; k++) {
            code = compile_endpoint(engine, &engine->endpoints[engine->endpoint_count++],
                                    &rule->source->endpoints[k], i, err);
            if (code != OSA_OK)
                return osa_wrap(err, "network_policies.%.80s.endpoints[%zu]", rule->source->key, k);
        }
        if (code != OSA_OK)
            return code;
    }
    engine_index_build(engine);
    return OSA_OK;
}

static struct policy_engine *new_engine(void)
{
    struct policy_engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        abort(); /* as an arena does */
    atomic_init(&engine->refs, 1);
    return engine;
}

enum osa_code policy_engine_compile(const struct policy_document *doc,
                                    const struct policy_engine_options *options,
                                    const struct policy_engine **ret, struct osa_error *err)
{
    struct policy_engine *engine = new_engine();
    engine->doc = policy_document_ref(doc);
    if (options != NULL)
        engine->options = *options;
    struct osa_error ignored = { 0 };
    enum osa_code code = compile(engine, err != NULL ? err : &ignored);
    if (code != OSA_OK) {
        policy_engine_unref(engine);
        return code;
    }
    *ret = engine;
    return OSA_OK;
}

const struct policy_engine *policy_engine_quarantine(const char *why, uint64_t generation)
{
    struct policy_engine *engine = new_engine();
    engine->why = osa_arena_strdup(&engine->arena, why);
    engine->options.generation = generation;
    return engine;
}

/* The count is the only part that changes, and belongs to all owners of a const engine. */
static struct policy_engine *counted(const struct policy_engine *engine)
{
    return (struct policy_engine *)(uintptr_t)engine;
}

const struct policy_engine *policy_engine_ref(const struct policy_engine *engine)
{
    atomic_fetch_add_explicit(&counted(engine)->refs, 1, memory_order_relaxed);
    return engine;
}

void policy_engine_unref(const struct policy_engine *engine)
{
    if (engine == NULL)
        return;
    struct policy_engine *last = counted(engine);
    if (atomic_fetch_sub_explicit(&last->refs, 1, memory_order_acq_rel) != 1)
        return;
    policy_document_unref(last->doc);
    osa_arena_done(&last->arena);
    free(last);
}

uint64_t policy_engine_generation(const struct policy_engine *engine)
{
    return engine->options.generation;
}

const struct policy_document *policy_engine_document(const struct policy_engine *engine)
{
    return engine->doc;
}
