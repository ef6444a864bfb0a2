// SPDX-License-Identifier: Apache-2.0
/* The compiled form, shared by the files that make it and decide with it; private to src/policy. */
#pragma once

#include "policy/endpoint_path.h"
#include "policy/engine.h"
#include "policy/guard.h"
#include "policy/pattern.h"

#include "base/arena.h"

#include <stdatomic.h>

struct engine_globs {
    const struct policy_pattern **items;
    size_t count;
};

struct engine_matcher {
    const char *name;
    struct engine_globs globs;
};

/**
 * struct engine_pattern - A policy_l7_rule, compiled
 * @source: of the document, or of a preset
 * @path:   NULL: never matches
 * @any_path: "**"
 * @method: of MCP, a glob; NULL elsewhere
 * @names_tool, @tool: globs for the tool's name
 */
struct engine_pattern {
    const struct policy_l7_rule *source;
    const struct policy_pattern *path;
    bool any_path;
    struct engine_matcher *query;
    size_t query_count;
    const struct policy_pattern *operation_name;
    struct engine_globs fields;
    const struct policy_pattern *method;
    bool names_tool;
    struct engine_globs tool;
};

struct engine_patterns {
    struct engine_pattern *items;
    size_t count;
};

/**
 * struct engine_endpoint
 * @rule:      index of its rule
 * @host:      of a host with a star; NULL: it is found by the index alone
 * @path:      for the decision; NULL with @any_path
 * @route:     for choosing
 * @specificity: of its path; the highest wins
 * @extended:  it says something about requests, TLS or addresses
 * @inspect:   it takes part in routing
 */
struct engine_endpoint {
    const struct policy_endpoint *source;
    uint32_t rule;
    const struct policy_pattern *host;
    const struct policy_pattern *path;
    bool any_path;
    struct endpoint_path route;
    unsigned specificity;
    bool extended;
    bool inspect;
    bool enforce;
    bool has_operation_rules;
    const struct policy_ranges *ranges;
    struct engine_patterns rules;
    struct engine_patterns deny;
};

struct engine_binary {
    const struct policy_binary *source;
    const char *path;
    bool host_identity;                /* of no use where a guest says who asks */
    const struct policy_pattern *glob; /* NULL: the path as it is written */
};

struct engine_rule {
    const struct policy_rule *source;
    struct engine_binary *binaries;
    size_t binary_count;
};

/* Where endpoints are looked up: by the whole host, by its end, or by port alone. */
enum engine_key_kind { ENGINE_KEY_HOST, ENGINE_KEY_SUFFIX, ENGINE_KEY_ANY };

/* Endpoints of one key: index.ids[first … first + count - 1], ascending. */
struct engine_bucket {
    const char *host; /* lower case; NULL: free */
    uint32_t len;
    uint16_t port;
    uint8_t kind;
    uint32_t first;
    uint32_t count;
};

/**
 * struct engine_index - Open addressing, a power of two, never full
 * @suffixes: some bucket is ENGINE_KEY_SUFFIX
 */
struct engine_index {
    struct engine_bucket *buckets;
    size_t mask;
    uint32_t *ids;
    bool suffixes;
};

/**
 * struct policy_engine
 * @doc:   one reference; NULL of a quarantine
 * @why:   of a quarantine
 * @arena: everything below
 */
struct policy_engine {
    atomic_size_t refs;
    struct policy_engine_options options;
    const struct policy_document *doc;
    const char *why;
    struct osa_arena arena;
    struct engine_endpoint *endpoints;
    uint32_t endpoint_count;
    struct engine_rule *rules;
    uint32_t rule_count;
    struct engine_index index;
};

/** engine_index_build() - Fill engine->index from the endpoints */
void engine_index_build(struct policy_engine *engine);

enum { ENGINE_MAX_BUCKETS = POLICY_MAX_HOST / 2 + 4 };

/**
 * struct engine_walk - Endpoints that match a host and port, in order of rule and place
 * @at, @left: what is left of each bucket that was found
 */
struct engine_walk {
    const struct policy_engine *engine;
    const char *host;
    size_t host_len;
    const uint32_t *at[ENGINE_MAX_BUCKETS];
    uint32_t left[ENGINE_MAX_BUCKETS];
    size_t count;
};

/** engine_walk_begin() - @host is lower case and lives as long as the walk */
void engine_walk_begin(const struct policy_engine *engine, const char *host, size_t host_len,
                       uint16_t port, struct engine_walk *ret);

/** engine_walk_next() - Return: the next endpoint's index; UINT32_MAX at the end */
uint32_t engine_walk_next(struct engine_walk *walk);

/**
 * engine_host() - A host in lower case, without brackets
 * Return: its length; 0 when it is empty, too long, or has bytes that no host has
 */
size_t engine_host(const char *host, char buf[POLICY_MAX_HOST + 1]);

/**
 * engine_binary_allowed() - Whether a rule is for this executable or one of its ancestors
 * @declared_only: entries that an advisor proposed do not count
 */
bool engine_binary_allowed(const struct policy_engine *engine, const struct engine_rule *rule,
                           const struct policy_connection *connection, bool declared_only);

/** engine_ranges() - allowed_ips compiled into @arena; also when entries cannot be used, which the guard then says */
const struct policy_ranges *engine_ranges(struct osa_arena *arena,
                                          const struct policy_strings *texts);

/** engine_compile_l7() - Path and request rules of one endpoint. Return: OSA_OK or INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code engine_compile_l7(struct policy_engine *engine,
                                               struct engine_endpoint *endpoint,
                                               struct osa_error *err);

/**
 * struct engine_matches - The endpoints of an allowed connection, in order; from the grant, or
 * looked up again where it has no room for all
 */
struct engine_matches {
    const struct policy_engine *engine;
    const struct policy_connection *connection;
    const struct policy_grant *grant;
    uint32_t next;
    uint32_t rule;
    bool rule_allowed;
    char host[POLICY_MAX_HOST + 1];
    struct engine_walk walk;
};

/** engine_matches_begin() - Start over the endpoints of an allowed connection */
void engine_matches_begin(const struct policy_engine *engine,
                          const struct policy_connection *connection,
                          const struct policy_grant *grant, struct engine_matches *ret);

/** engine_matches_next() - Return: index of an endpoint, UINT32_MAX at the end */
uint32_t engine_matches_next(struct engine_matches *matches);
