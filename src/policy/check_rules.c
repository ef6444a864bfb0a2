// SPDX-License-Identifier: Apache-2.0
/* network_policies: binaries, and which fields of an endpoint go together. */
#include "policy/document_internal.h"
#include "policy/glob.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_ip_literal(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool has_byte_in(const char *text, const char *set)
{
    return text[strcspn(text, set)] != '\0';
}

static enum osa_code parse_words(struct policy_check *check, struct policy_endpoint *endpoint)
{
    enum policy_protocol protocol = POLICY_PROTOCOL_NONE;
    while (protocol < POLICY_PROTOCOL_COUNT &&
           strcmp(policy_protocol_name(protocol), endpoint->protocol_text) != 0)
        protocol++;
    if (protocol == POLICY_PROTOCOL_COUNT)
        return policy_reject(check, "protocol",
                             "'%s' is not known; write tcp, rest, websocket, graphql, sql, "
                             "json-rpc or mcp, in lower case",
                             POLICY_SHOW(endpoint->protocol_text));
    endpoint->protocol = protocol;

    const char *tls = endpoint->tls_text;
    endpoint->tls_skip = strcmp(tls, "skip") == 0;
    if (strcmp(tls, "terminate") == 0 || strcmp(tls, "passthrough") == 0)
        policy_warn(check, "tls", "'%s' is an old spelling without effect; leave it out", tls);
    else if (tls[0] != '\0' && !endpoint->tls_skip)
        policy_warn(check, "tls", "'%s' is not known and has no effect; write skip or leave it out",
                    POLICY_SHOW(tls));

    const char *enforcement = endpoint->enforcement_text;
    endpoint->enforce = strcmp(enforcement, "enforce") == 0;
    if (enforcement[0] != '\0' && !endpoint->enforce && strcmp(enforcement, "audit") != 0)
        policy_warn(check, "enforcement",
                    "'%s' is not known and means audit: violations pass; write enforce or audit",
                    POLICY_SHOW(enforcement));

    const char *queries = endpoint->persisted_queries;
    endpoint->persisted_queries_registered = strcmp(queries, "allow_registered") == 0;
    if (queries[0] != '\0' && !endpoint->persisted_queries_registered &&
        strcmp(queries, "deny") != 0)
        return policy_reject(check, "persisted_queries",
                             "'%s' is not known; write deny or allow_registered",
                             POLICY_SHOW(queries));
    return OSA_OK;
}

static enum policy_access parse_access(const char *text)
{
    if (text[0] == '\0')
        return POLICY_ACCESS_NONE;
    if (strcmp(text, "read-only") == 0)
        return POLICY_ACCESS_READ_ONLY;
    if (strcmp(text, "read-write") == 0)
        return POLICY_ACCESS_READ_WRITE;
    if (strcmp(text, "full") == 0)
        return POLICY_ACCESS_FULL;
    return POLICY_ACCESS_UNSUPPORTED;
}

static enum osa_code check_access(struct policy_check *check, struct policy_endpoint *endpoint)
{
    bool has_rules = endpoint->rules.count > 0;
    bool has_access = endpoint->access_text[0] != '\0';
    endpoint->access = parse_access(endpoint->access_text);
    if (has_rules && has_access)
        return policy_reject(check, "access", "cannot be given together with rules; keep one");
    switch (endpoint->protocol) {
    case POLICY_PROTOCOL_REST:
    case POLICY_PROTOCOL_WEBSOCKET:
    case POLICY_PROTOCOL_GRAPHQL:
    case POLICY_PROTOCOL_SQL:
        if (!has_rules && !has_access)
            return policy_reject(check, NULL,
                                 "allows no request; give rules, or access: read-only, "
                                 "read-write or full");
        break;
    case POLICY_PROTOCOL_JSON_RPC:
    case POLICY_PROTOCOL_MCP:
        if (has_access)
            return policy_reject(check, "access", "is not for %s; write rules",
                                 endpoint->protocol_text);
        if (!has_rules && !endpoint->mcp_allow_all_known_methods)
            return policy_reject(check, NULL, "allows no request; give rules");
        break;
    case POLICY_PROTOCOL_NONE:
        if (has_rules || has_access)
            policy_warn(check, has_rules ? "rules" : "access",
                        "is not looked at without a protocol: every request passes; name the "
                        "protocol");
        break;
    case POLICY_PROTOCOL_TCP:
    case POLICY_PROTOCOL_COUNT:
        break;
    }
    if (endpoint->deny_rules.count > 0 && endpoint->protocol == POLICY_PROTOCOL_NONE)
        return policy_reject(check, "deny_rules", "need a protocol; name it");
    if (endpoint->access == POLICY_ACCESS_UNSUPPORTED)
        policy_warn(check, "access",
                    "'%s' is not known, so nothing is allowed; write read-only, read-write or full",
                    POLICY_SHOW(endpoint->access_text));
    if (endpoint->protocol == POLICY_PROTOCOL_SQL && endpoint->enforce)
        return policy_reject(check, "enforcement",
                             "enforce is not possible for sql, which is not parsed; write audit");
    return OSA_OK;
}

static enum osa_code check_signing(struct policy_check *check, struct policy_endpoint *endpoint)
{
    static const struct {
        const char *text;
        enum policy_signing signing;
    } known[] = {
        { "", POLICY_SIGNING_NONE },
        { "sigv4", POLICY_SIGNING_SIGV4 },
        { "sigv4:body", POLICY_SIGNING_SIGV4_BODY },
        { "sigv4:no_body", POLICY_SIGNING_SIGV4_NO_BODY },
    };
    size_t i = 0;
    while (i < OSA_ARRAY_LEN(known) && strcmp(known[i].text, endpoint->credential_signing) != 0)
        i++;
    if (i == OSA_ARRAY_LEN(known))
        return policy_reject(check, "credential_signing",
                             "'%s' is not known; write sigv4, sigv4:body or sigv4:no_body",
                             POLICY_SHOW(endpoint->credential_signing));
    endpoint->signing = known[i].signing;
    if (endpoint->signing == POLICY_SIGNING_NONE)
        return OSA_OK;
    if (endpoint->signing_service[0] == '\0')
        return policy_reject(check, "signing_service",
                             "is needed with credential_signing; name the service");
    if (endpoint->request_body_credential_rewrite)
        return policy_reject(check, "request_body_credential_rewrite",
                             "cannot be used with credential_signing, which signs the body; drop "
                             "one");
    return OSA_OK;
}

/* A raw connection: nothing of a request may be asked for. */
static enum osa_code check_tcp(struct policy_check *check, const struct policy_endpoint *e)
{
    const struct {
        const char *name;
        bool given;
    } foreign[] = {
        { "access", e->access_text[0] != '\0' },
        { "rules", e->rules.count > 0 },
        { "deny_rules", e->deny_rules.count > 0 },
        { "enforcement", e->enforcement_text[0] != '\0' },
        { "path", e->path[0] != '\0' },
        { "allow_encoded_slash", e->allow_encoded_slash },
        { "websocket_credential_rewrite", e->websocket_credential_rewrite },
        { "request_body_credential_rewrite", e->request_body_credential_rewrite },
        { "persisted_queries", e->persisted_queries[0] != '\0' },
        { "graphql_persisted_queries", e->graphql_operation_count > 0 },
        { "graphql_max_body_bytes", e->graphql_max_body_bytes != 0 },
        { policy_is_wire(check) ? "json_rpc_max_body_bytes" : "json_rpc",
          e->json_rpc_max_body_bytes != 0 },
        { "mcp", e->mcp_given },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(foreign); i++)
        if (foreign[i].given)
            return policy_reject(check, foreign[i].name,
                                 "is about requests, which tcp does not look into; drop it or "
                                 "name another protocol");
    if (e->host[0] == '\0')
        return policy_reject(check, "host", "is missing, which tcp needs");
    if (is_ip_literal(e->host))
        return policy_reject(check, "host",
                             "'%s' is an address; tcp needs a name that the sandbox can look up",
                             e->host);
    if (has_byte_in(e->host, " \t\r\n{}") || e->host[strlen(e->host) - 1] == '.')
        return policy_reject(check, "host",
                             "'%s' has blanks, braces or a dot at its end, which tcp cannot look "
                             "up",
                             POLICY_SHOW(e->host));
    return OSA_OK;
}

static enum osa_code check_path(struct policy_check *check, const char *path)
{
    if (path[0] == '\0' || strcmp(path, "**") == 0)
        return OSA_OK;
    if (path[0] != '/')
        return policy_reject(check, "path", "'%s' must be ** or start with '/'", POLICY_SHOW(path));
    const char *fault = policy_glob_fault(path);
    if (fault != NULL)
        return policy_reject(check, "path", "'%s' has %s", POLICY_SHOW(path), fault);
    return OSA_OK;
}

static void fill_limits(struct policy_endpoint *endpoint)
{
    if (!endpoint->mcp_given) {
        endpoint->mcp_strict_tool_names = true;
        endpoint->mcp_allow_all_known_methods = false;
    }
    if (endpoint->graphql_max_body_bytes == 0)
        endpoint->graphql_max_body_bytes = POLICY_DEFAULT_BODY_BYTES;
    if (endpoint->json_rpc_max_body_bytes == 0)
        endpoint->json_rpc_max_body_bytes = POLICY_DEFAULT_BODY_BYTES;
}

static enum osa_code check_options(struct policy_check *check,
                                   const struct policy_endpoint *endpoint)
{
    if (endpoint->mcp_given && endpoint->protocol != POLICY_PROTOCOL_MCP)
        return policy_reject(check, "mcp", "is only for protocol mcp; drop it");
    if (endpoint->credential_binding_given && endpoint->credential_provider[0] == '\0') {
        policy_enter(check, "credential_binding");
        return policy_reject(check, "provider", "is missing; name the provider");
    }
    if (endpoint->protocol == POLICY_PROTOCOL_MCP && endpoint->host[0] == '\0')
        return policy_reject(check, "host", "is missing, which mcp needs");
    bool port_443 = false;
    for (size_t i = 0; i < endpoint->port_count; i++)
        port_443 = port_443 || endpoint->ports[i] == 443;
    if (endpoint->tls_skip && port_443 && endpoint->protocol > POLICY_PROTOCOL_TCP)
        policy_warn(check, "tls",
                    "skip leaves requests on port 443 unread, so rules cannot be applied");
    return OSA_OK;
}

static enum osa_code check_endpoint(struct policy_check *check, struct policy_endpoint *endpoint)
{
    enum osa_code code = parse_words(check, endpoint);
    if (code == OSA_OK && endpoint->protocol == POLICY_PROTOCOL_TCP)
        code = check_tcp(check, endpoint);
    if (code == OSA_OK)
        code = policy_check_host(check, endpoint);
    if (code == OSA_OK)
        code = policy_check_ports(check, endpoint);
    if (code == OSA_OK)
        code = check_path(check, endpoint->path);
    if (code == OSA_OK)
        code = check_options(check, endpoint);
    fill_limits(endpoint);
    if (code == OSA_OK)
        code = check_access(check, endpoint);
    if (code == OSA_OK)
        code = check_signing(check, endpoint);
    if (code == OSA_OK)
        code = policy_check_l7(check, endpoint);
    if (code == OSA_OK)
        policy_warn_of_ranges(check, &endpoint->allowed_ips);
    return code;
}

static enum osa_code check_binary(struct policy_check *check, const char *path)
{
    if (path[0] == '\0')
        return policy_reject(check, "path", "is missing; name the executable");
    bool pattern = strchr(path, '*') != NULL;
    const char *fault = pattern ? policy_glob_fault(path) : NULL;
    if (fault != NULL)
        return policy_reject(check, "path", "'%s' has %s", POLICY_SHOW(path), fault);
    if ((path[0] != '/' && strncmp(path, "**", 2) != 0) || strcmp(path, "*") == 0)
        policy_warn(check, "path",
                    "'%s' matches no executable, whose paths are absolute; write ** for all",
                    POLICY_SHOW(path));
    return OSA_OK;
}

static enum osa_code check_rule(struct policy_check *check, struct policy_rule *rule)
{
    enum osa_code code = OSA_OK;
    if (strncmp(rule->key, "_provider_", 10) == 0 && !policy_is_wire(check))
        return policy_reject(check, NULL,
                             "keys that start with _provider_ are the gateway's; choose another");
    policy_enter(check, "endpoints");
    for (size_t i = 0; code == OSA_OK && i < rule->endpoint_count; i++) {
        policy_enter_index(check, i);
        code = check_endpoint(check, &rule->endpoints[i]);
        policy_leave(check);
    }
    policy_leave(check);
    policy_enter(check, "binaries");
    for (size_t i = 0; code == OSA_OK && i < rule->binary_count; i++) {
        policy_enter_index(check, i);
        code = check_binary(check, policy_binary_path(&rule->binaries[i], NULL));
        policy_leave(check);
    }
    policy_leave(check);
    if (code == OSA_OK && rule->binary_count == 0)
        policy_warn(check, "binaries", "is empty, so the rule is for no executable; list some");
    return code;
}

enum osa_code policy_check_rules(struct policy_check *check)
{
    struct policy_document *doc = check->doc;
    policy_enter(check, "network_policies");
    for (size_t i = 0; i < doc->rule_count; i++) {
        struct policy_rule *rule = &doc->rules[i];
        policy_enter(check, rule->key);
        if (i > 0 && strcmp(doc->rules[i - 1].key, rule->key) == 0)
            return policy_reject(check, NULL, "appears twice; keep one");
        enum osa_code code = check_rule(check, rule);
        if (code != OSA_OK)
            return code;
        policy_leave(check);
    }
    policy_leave(check);
    return OSA_OK;
}
