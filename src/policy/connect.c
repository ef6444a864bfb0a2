// SPDX-License-Identifier: Apache-2.0
/* May this executable open this connection. */
#include "policy/engine_internal.h"

#include <string.h>

size_t engine_host(const char *host, char buf[POLICY_MAX_HOST + 1])
{
    size_t len = host != NULL ? strlen(host) : 0;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len > POLICY_MAX_HOST)
        return 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];
        /* Upstream compares case by Unicode's rules, where a Kelvin sign is a k; such names are
         * refused here, for no resolver takes them. */
        if (c <= ' ' || c >= 0x7f || strchr("/\\@?#[]", c) != NULL)
            return 0;
        buf[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    buf[len] = '\0';
    return len;
}

static bool matches_path(const struct engine_binary *binary, const char *path)
{
    if (binary->glob != NULL)
        return policy_pattern_match(binary->glob, path, strlen(path));
    return strcmp(binary->path, path) == 0;
}

bool engine_binary_allowed(const struct policy_engine *engine, const struct engine_rule *rule,
                           const struct policy_connection *connection, bool declared_only)
{
    if (engine->options.ignore_binaries)
        return true;
    size_t ancestors = OSA_MIN(connection->ancestor_count, (size_t)POLICY_MAX_ANCESTORS);
    for (size_t i = 0; i < rule->binary_count; i++) {
        const struct engine_binary *binary = &rule->binaries[i];
        if (declared_only && binary->source->advisor_proposed)
            continue;
        if (binary->host_identity && connection->told_by_guest)
            continue;
        if (matches_path(binary, connection->binary))
            return true;
        for (size_t k = 0; k < ancestors; k++)
            if (matches_path(binary, connection->ancestors[k]))
                return true;
    }
    return false;
}

/**
 * struct verdict - A grant while endpoints are looked at, in order
 * @listed:   some rule lists host and port
 * @exposed:  a credentialed endpoint that nobody inspects
 * @guarded:  each credentialed endpoint lets its credentials pass uninspected
 */
struct verdict {
    struct policy_grant *grant;
    bool listed;
    bool exposed;
    bool guarded;
};

static void take_endpoint(const struct policy_engine *engine, uint32_t id, bool declared_binary,
                          struct verdict *verdict)
{
    struct policy_grant *grant = verdict->grant;
    const struct engine_endpoint *endpoint = &engine->endpoints[id];
    const struct policy_endpoint *source = endpoint->source;
    if (grant->rule == NULL)
        grant->rule = engine->rules[endpoint->rule].source;
    if (declared_binary && !source->advisor_proposed && endpoint->host == NULL &&
        source->host[0] != '\0')
        grant->declared = true;
    if (endpoint->extended && grant->endpoint == NULL) {
        grant->endpoint = source;
        grant->ranges = endpoint->ranges;
        grant->tls_skip = source->tls_skip;
    }
    grant->inspect = grant->inspect || endpoint->inspect;
    if (source->provider_credentialed) {
        grant->credentialed = true;
        verdict->guarded = verdict->guarded && source->allow_uninspected_credentials;
        verdict->exposed =
            verdict->exposed || source->protocol == POLICY_PROTOCOL_NONE || source->tls_skip;
    }
    if (grant->endpoint_count < POLICY_INLINE_ENDPOINTS)
        grant->endpoints[grant->endpoint_count] = id;
    grant->endpoint_count++;
}

static enum policy_reason look_at_endpoints(const struct policy_engine *engine,
                                            const struct policy_connection *connection,
                                            const char *host, size_t len,
                                            struct policy_grant *grant)
{
    struct verdict verdict = { .grant = grant, .guarded = true };
    struct engine_walk walk;
    engine_walk_begin(engine, host, len, connection->port, &walk);
    uint32_t rule = UINT32_MAX;
    bool allowed = false;
    bool declared = false;
    for (uint32_t id; (id = engine_walk_next(&walk)) != UINT32_MAX;) {
        verdict.listed = true;
        if (engine->endpoints[id].rule != rule) {
            rule = engine->endpoints[id].rule;
            const struct engine_rule *r = &engine->rules[rule];
            allowed = engine_binary_allowed(engine, r, connection, /* declared_only= */ false);
            declared = allowed && engine_binary_allowed(engine, r, connection, true);
        }
        if (allowed)
            take_endpoint(engine, id, declared, &verdict);
    }
    grant->uninspected = grant->credentialed && verdict.exposed && !verdict.guarded;
    if (grant->rule != NULL)
        return POLICY_REASON_NONE;
    return verdict.listed ? POLICY_REASON_BINARY_MISS : POLICY_REASON_ENDPOINT_MISS;
}

bool policy_connect(const struct policy_engine *engine, const struct policy_connection *connection,
                    struct policy_grant *ret)
{
    *ret = (struct policy_grant){ 0 };
    char host[POLICY_MAX_HOST + 1];
    if (engine->doc == NULL)
        ret->reason = POLICY_REASON_QUARANTINE;
    else if (connection->identity != POLICY_REASON_NONE && !engine->options.ignore_binaries)
        ret->reason = connection->identity;
    else if (connection->host == NULL || connection->host[0] == '\0' || connection->port == 0 ||
             (connection->binary == NULL && !engine->options.ignore_binaries))
        ret->reason = POLICY_REASON_INPUT_MISSING;
    else if (engine->rule_count == 0)
        ret->reason = POLICY_REASON_NO_POLICIES;
    else {
        size_t len = engine_host(connection->host, host);
        ret->reason = len == 0 ? POLICY_REASON_HOST_INVALID
                               : look_at_endpoints(engine, connection, host, len, ret);
    }
    ret->allow = ret->reason == POLICY_REASON_NONE;
    return ret->allow;
}

bool policy_host_known(const struct policy_engine *engine, const char *host, uint16_t port,
                       enum policy_protocol protocol)
{
    char name[POLICY_MAX_HOST + 1];
    size_t len = engine_host(host, name);
    if (engine->doc == NULL || len == 0)
        return false;
    if (port != 0) {
        struct engine_walk walk;
        engine_walk_begin(engine, name, len, port, &walk);
        for (uint32_t id; (id = engine_walk_next(&walk)) != UINT32_MAX;)
            if (protocol == POLICY_PROTOCOL_COUNT ||
                engine->endpoints[id].source->protocol == protocol)
                return true;
        return false;
    }
    for (uint32_t i = 0; i < engine->endpoint_count; i++) {
        const struct engine_endpoint *e = &engine->endpoints[i];
        if (protocol != POLICY_PROTOCOL_COUNT && e->source->protocol != protocol)
            continue;
        if (e->host != NULL ? policy_pattern_match(e->host, name, len)
                            : strcasecmp(e->source->host, name) == 0)
            return true;
    }
    return false;
}

void engine_matches_begin(const struct policy_engine *engine,
                          const struct policy_connection *connection,
                          const struct policy_grant *grant, struct engine_matches *ret)
{
    ret->engine = engine;
    ret->connection = connection;
    ret->grant = grant;
    ret->next = 0;
    if (grant->endpoint_count <= POLICY_INLINE_ENDPOINTS)
        return;
    ret->rule = UINT32_MAX;
    size_t len = engine_host(connection->host, ret->host);
    engine_walk_begin(engine, ret->host, len, connection->port, &ret->walk);
}

uint32_t engine_matches_next(struct engine_matches *matches)
{
    const struct policy_engine *engine = matches->engine;
    const struct policy_grant *grant = matches->grant;
    if (grant->endpoint_count <= POLICY_INLINE_ENDPOINTS)
        return matches->next < grant->endpoint_count ? grant->endpoints[matches->next++]
                                                     : UINT32_MAX;
    for (uint32_t id; (id = engine_walk_next(&matches->walk)) != UINT32_MAX;) {
        uint32_t rule = engine->endpoints[id].rule;
        if (rule != matches->rule) {
            matches->rule = rule;
            matches->rule_allowed =
                engine_binary_allowed(engine, &engine->rules[rule], matches->connection, false);
        }
        if (matches->rule_allowed)
            return id;
    }
    return UINT32_MAX;
}
