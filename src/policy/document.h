// SPDX-License-Identifier: Apache-2.0
/*
 * The policy document of a sandbox: what it may touch, as one domain model that knows neither YAML
 * nor protobuf.
 *
 * A document is built once, by a parser that fills the structs and takes all memory from the
 * document itself (policy_alloc() and friends), then frozen by policy_document_finish(), which
 * fills in defaults, sorts, validates and collects warnings. From then on nobody changes it; it is
 * shared by reference, also between threads, and freed whole with its last reference.
 *
 * Text is never NULL: "" says that a field was not given. Lists are items and count.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POLICY_MAX_PATHS = 256,            /* read_only and read_write together */
    POLICY_MAX_PATH_BYTES = 4096,      /* PATH_MAX, its NUL included or not: upstream's bound */
    POLICY_MAX_TEXT_BYTES = 256 << 10, /* of YAML or of the wire message; as the gateway's bound */
    POLICY_MAX_MIDDLEWARES = 10,
    POLICY_MAX_SELECTORS = 32,         /* include and exclude of one middleware together */
    POLICY_MAX_WARNINGS = 64,          /* further ones are counted only */
    POLICY_DEFAULT_BODY_BYTES = 65536, /* of a request that is inspected */
};

struct policy_strings {
    const char **items;
    size_t count;
};

/**
 * struct policy_filesystem - Files
 * @given:           the section was in the document; if not, @include_workdir is true and the lists
 *                   are empty
 * @include_workdir: the working directory is read-write too
 * @read_only:       absolute paths to read and execute from, without ".." components
 * @read_write:      absolute paths to change as well; never "/" alone
 */
struct policy_filesystem {
    bool given;
    bool include_workdir;
    struct policy_strings read_only;
    struct policy_strings read_write;
};

/**
 * struct policy_landlock - How strictly Landlock is applied
 * @compatibility:    as written; "best_effort" when the document had none
 * @hard_requirement: @compatibility is exactly "hard_requirement"
 */
struct policy_landlock {
    bool given;
    bool hard_requirement;
    const char *compatibility;
};

/**
 * struct policy_process - Whom processes run as
 * @run_as_user, @run_as_group: "", "sandbox" or a decimal number of 1 to 4294967294
 */
struct policy_process {
    bool given;
    const char *run_as_user;
    const char *run_as_group;
};

enum policy_protocol {
    POLICY_PROTOCOL_NONE, /* connections only */
    POLICY_PROTOCOL_TCP,
    POLICY_PROTOCOL_REST,
    POLICY_PROTOCOL_WEBSOCKET,
    POLICY_PROTOCOL_GRAPHQL,
    POLICY_PROTOCOL_SQL,
    POLICY_PROTOCOL_JSON_RPC,
    POLICY_PROTOCOL_MCP,
    POLICY_PROTOCOL_COUNT
};

/* Presets of rules. UNSUPPORTED: not a preset of this protocol, so nothing is allowed. */
enum policy_access {
    POLICY_ACCESS_NONE,
    POLICY_ACCESS_READ_ONLY,
    POLICY_ACCESS_READ_WRITE,
    POLICY_ACCESS_FULL,
    POLICY_ACCESS_UNSUPPORTED,
};

enum policy_signing {
    POLICY_SIGNING_NONE,
    POLICY_SIGNING_SIGV4,
    POLICY_SIGNING_SIGV4_BODY,
    POLICY_SIGNING_SIGV4_NO_BODY,
};

/**
 * struct policy_matcher - Globs for one named value (a query key, an MCP parameter)
 * @name:  the key; parameters of nested maps are dotted
 * @globs: any of them; never empty
 * @any:   written as a list; a single glob otherwise
 */
struct policy_matcher {
    const char *name;
    bool any;
    struct policy_strings globs;
};

struct policy_matchers {
    struct policy_matcher *items; /* by name */
    size_t count;
};

/* A pattern over requests; "" and empty lists are parts that were not given. */
struct policy_l7_rule {
    const char *method;
    const char *path;
    const char *command;
    struct policy_matchers query;
    const char *operation_type;
    const char *operation_name;
    struct policy_strings fields;
    struct policy_matchers params;
};

struct policy_l7_rules {
    struct policy_l7_rule *items;
    size_t count;
};

struct policy_graphql_operation {
    const char *id;
    const char *operation_type;
    const char *operation_name;
    struct policy_strings fields;
};

/**
 * struct policy_endpoint - Where a rule lets connections go, and what may be asked there
 * @port:       the first of @ports
 * @ports:      effective ports, each 1 to 65535; at least one
 * @protocol_text, @tls_text, @enforcement_text, @access_text: as written
 * @tls_skip:   TLS is passed through unopened
 * @enforce:    violations of rules are refused; otherwise they are recorded and pass
 * @graphql_max_body_bytes, @json_rpc_max_body_bytes: effective, never 0
 * @mcp_strict_tool_names, @mcp_allow_all_known_methods: effective
 * @mcp_given:  MCP options were written
 * @credential_provider: "" without a credential binding
 */
struct policy_endpoint {
    const char *host;
    uint32_t port;
    uint32_t *ports;
    size_t port_count;
    const char *path;
    enum policy_protocol protocol;
    enum policy_access access;
    enum policy_signing signing;
    bool tls_skip;
    bool enforce;
    const char *protocol_text;
    const char *tls_text;
    const char *enforcement_text;
    const char *access_text;
    struct policy_l7_rules rules;
    struct policy_l7_rules deny_rules;
    struct policy_strings allowed_ips;
    bool allow_encoded_slash;
    bool websocket_credential_rewrite;
    bool request_body_credential_rewrite;
    bool allow_uninspected_credentials;
    bool advisor_proposed;
    bool provider_credentialed;
    bool persisted_queries_registered;                   /* "allow_registered" */
    const char *persisted_queries;                       /* as written */
    struct policy_graphql_operation *graphql_operations; /* by id */
    size_t graphql_operation_count;
    uint32_t graphql_max_body_bytes;
    uint32_t json_rpc_max_body_bytes;
    bool mcp_given;
    bool mcp_strict_tool_names;
    bool mcp_allow_all_known_methods;
    const char *credential_signing; /* as written */
    const char *signing_service;
    const char *signing_region;
    bool credential_binding_given;
    const char *credential_provider;
};

/*
 * Before a binary's path: only where this host's kernel says who asks, and so never in a microVM.
 * Readers who do not know it take it for a path that no executable has, and grant nothing.
 */
#define POLICY_HOST_IDENTITY "host:"

/**
 * struct policy_binary - An executable that a rule is for
 * @path: may begin with POLICY_HOST_IDENTITY; policy_binary_path() leaves that out
 * @advisor_proposed: the wire's `harness`
 */
struct policy_binary {
    const char *path;
    bool advisor_proposed;
};

/** policy_binary_path() - The path alone. @ret_host: must it be known from the host? May be NULL */
const char *policy_binary_path(const struct policy_binary *binary, bool *ret_host);

/**
 * struct policy_rule - One entry of network_policies
 * @key:  its map key, which decisions report
 * @name: for display; the key when none was given
 */
struct policy_rule {
    const char *key;
    const char *name;
    struct policy_endpoint *endpoints;
    size_t endpoint_count;
    struct policy_binary *binaries;
    size_t binary_count;
};

enum policy_value_kind {
    POLICY_VALUE_NULL,
    POLICY_VALUE_BOOL,
    POLICY_VALUE_NUMBER,
    POLICY_VALUE_TEXT,
    POLICY_VALUE_LIST,
    POLICY_VALUE_OBJECT,
};

/**
 * struct policy_value - A free value, as JSON has them
 * @key:    of a member of an object; "" else
 * @items:  elements of a list, members of an object in the order of the document
 */
struct policy_value {
    enum policy_value_kind kind;
    const char *key;
    bool boolean;
    double number;
    const char *text;
    struct policy_value *items;
    size_t count;
};

/**
 * struct policy_middleware - A filter of network traffic
 * @config:      its settings, an object
 * @fail_open:   what happens when it fails
 */
struct policy_middleware {
    const char *key;
    const char *name;
    const char *middleware;
    int32_t order;
    struct policy_value config;
    const char *on_error; /* as written */
    bool fail_open;
    struct policy_strings include;
    struct policy_strings exclude;
};

/**
 * struct policy_document - The whole document
 * @rules:       by key, byte order
 * @middlewares: by order
 * @warnings:    what is accepted but probably not meant, "where: what", for a person
 * @priv:        memory and reference count
 */
struct policy_document {
    uint32_t version;
    struct policy_filesystem filesystem;
    struct policy_landlock landlock;
    struct policy_process process;
    struct policy_rule *rules;
    size_t rule_count;
    struct policy_middleware *middlewares;
    size_t middleware_count;
    struct policy_strings warnings;
    struct policy_private *priv;
};

/**
 * policy_document_default() - The document where none was given
 * @ret: returned (release with policy_document_unref()): /usr /lib /proc /dev/urandom /app /etc
 *       /var/log to read, /tmp and /dev/null to write, the working directory included, best effort,
 *       no network
 * Thread: any. Return: OSA_OK; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_document_default(const struct policy_document **ret,
                                                     struct osa_error *err);

/**
 * policy_document_parse_yaml() - A document from YAML text
 * @text, @len: the whole text; at most POLICY_MAX_TEXT_BYTES
 * @source:     name of the text in messages ("policy.yaml"), which read source:line:column: path: …
 * @ret:        returned (release with policy_document_unref())
 * Thread: any. Return: OSA_OK; INVALID_ARGUMENT; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_document_parse_yaml(const char *text, size_t len,
                                                        const char *source,
                                                        const struct policy_document **ret,
                                                        struct osa_error *err);

/** policy_document_has_tcp() - Does an endpoint have protocol tcp, so that programs reach it that know no proxy? */
bool policy_document_has_tcp(const struct policy_document *doc);

/** policy_document_ref() - One more owner. Thread: any. Return: @doc */
const struct policy_document *policy_document_ref(const struct policy_document *doc);

/** policy_document_unref() - One owner less; the last one frees. NULL is fine. Thread: any */
void policy_document_unref(const struct policy_document *doc);

/** policy_document_unrefp() - Cleanup function: OSA_AUTO(policy_document_unrefp) const struct policy_document *doc = NULL; */
static inline void policy_document_unrefp(const struct policy_document **doc)
{
    policy_document_unref(*doc);
}

/** policy_protocol_name() - "rest" and so on; "" for POLICY_PROTOCOL_NONE. Return: a constant */
const char *policy_protocol_name(enum policy_protocol protocol);
