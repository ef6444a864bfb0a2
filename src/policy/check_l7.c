// SPDX-License-Identifier: Apache-2.0
/* Request rules of one endpoint: what each protocol understands, and what contradicts itself. */
#include "policy/document_internal.h"
#include "policy/glob.h"

#include <string.h>
#include <strings.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

static bool has_graphql_keys(const struct policy_l7_rule *rule)
{
    return rule->operation_type[0] != '\0' || rule->operation_name[0] != '\0' ||
           rule->fields.count > 0;
}

static bool has_http_keys(const struct policy_l7_rule *rule)
{
    return rule->method[0] != '\0' || rule->path[0] != '\0' || rule->query.count > 0;
}

static bool is_empty_rule(const struct policy_l7_rule *rule)
{
    return !has_http_keys(rule) && !has_graphql_keys(rule) && rule->command[0] == '\0' &&
           rule->params.count == 0;
}

static bool has_glob_bytes(const char *text)
{
    return text[strcspn(text, "*?[]{}\\")] != '\0';
}

static enum osa_code check_glob(struct policy_check *check, const char *name, const char *glob)
{
    const char *fault = policy_glob_fault(glob);
    if (fault == NULL)
        return OSA_OK;
    return policy_reject(check, name, "'%s' has %s", POLICY_SHOW(glob), fault);
}

static enum osa_code check_matcher(struct policy_check *check, const struct policy_matcher *matcher)
{
    if (matcher->globs.count == 0)
        return policy_reject(check, NULL, "needs exactly one of: a glob, or any with a list");
    for (size_t i = 0; i < matcher->globs.count; i++) {
        if (matcher->globs.items[i][0] == '\0')
            return policy_reject(check, NULL, "has an empty glob; write ** for any value");
        enum osa_code code = check_glob(check, NULL, matcher->globs.items[i]);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

static enum osa_code check_matchers(struct policy_check *check, const char *name,
                                    const struct policy_matchers *matchers)
{
    policy_enter(check, name);
    for (size_t i = 0; i < matchers->count; i++) {
        policy_enter(check, matchers->items[i].name);
        if (i > 0 && strcmp(matchers->items[i - 1].name, matchers->items[i].name) == 0)
            return policy_reject(check, NULL,
                                 "is given twice (tool is another name of "
                                 "params.name); keep one");
        enum osa_code code = check_matcher(check, &matchers->items[i]);
        if (code != OSA_OK)
            return code;
        policy_leave(check);
    }
    policy_leave(check);
    return OSA_OK;
}

static enum osa_code check_globs(struct policy_check *check, const struct policy_l7_rule *rule)
{
    for (const char *c = rule->method; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            return policy_reject(check, "method", "'%s' is not ASCII", POLICY_SHOW(rule->method));
    enum osa_code code = check_glob(check, "path", rule->path);
    if (code == OSA_OK)
        code = check_glob(check, "operation_name", rule->operation_name);
    if (code == OSA_OK)
        code = check_matchers(check, "query", &rule->query);
    if (code == OSA_OK)
        code = check_matchers(check, "params", &rule->params);
    if (code != OSA_OK)
        return code;
    policy_enter(check, "fields");
    for (size_t i = 0; i < rule->fields.count; i++) {
        policy_enter_index(check, i);
        code = check_glob(check, NULL, rule->fields.items[i]);
        if (code != OSA_OK)
            return code;
        policy_leave(check);
    }
    policy_leave(check);
    return OSA_OK;
}

static void warn_of_path(struct policy_check *check, const struct policy_l7_rule *rule)
{
    if (rule->path[0] == '\0')
        policy_warn(check, NULL, "has no path and so matches nothing; write path: /**");
    else if (rule->path[0] != '/' && strncmp(rule->path, "**", 2) != 0)
        policy_warn(check, "path",
                    "'%s' matches nothing, because paths start with '/'; write /** for all",
                    POLICY_SHOW(rule->path));
}

static void warn_of_ignored(struct policy_check *check, const struct policy_l7_rule *rule,
                            bool http, bool graphql, bool params)
{
    if (!http && has_http_keys(rule))
        policy_warn(check, NULL, "method, path and query are not looked at for this protocol");
    if (!graphql && has_graphql_keys(rule))
        policy_warn(check, NULL,
                    "operation_type, operation_name and fields are not looked at for this "
                    "protocol");
    if (!params && rule->params.count > 0)
        policy_warn(check, "params", "is not looked at for this protocol");
}

static enum osa_code check_rest(struct policy_check *check, const struct policy_l7_rule *rule)
{
    static const char *const methods[] = { "GET",   "HEAD",    "POST", "PUT", "DELETE",
                                           "PATCH", "OPTIONS", "*",    NULL };
    if (!is_one_of(rule->method, methods))
        policy_warn(check, "method", "'%s' is not a method that rest knows",
                    POLICY_SHOW(rule->method));
    warn_of_path(check, rule);
    warn_of_ignored(check, rule, /* http= */ true, /* graphql= */ false, /* params= */ false);
    return OSA_OK;
}

static enum osa_code check_operation_type(struct policy_check *check,
                                          const struct policy_l7_rule *rule)
{
    static const char *const types[] = { "query", "mutation", "subscription" };
    if (rule->operation_type[0] == '\0')
        return OSA_OK;
    for (size_t i = 0; i < OSA_ARRAY_LEN(types); i++)
        if (strcmp(rule->operation_type, types[i]) == 0)
            return OSA_OK;
    return policy_reject(check, "operation_type",
                         "'%s' is not known; write query, mutation or subscription, one rule for "
                         "each",
                         POLICY_SHOW(rule->operation_type));
}

static enum osa_code check_websocket(struct policy_check *check, const struct policy_l7_rule *rule,
                                     bool endpoint_has_graphql)
{
    static const char *const methods[] = { "GET", "WEBSOCKET_TEXT", "*", NULL };
    if (has_graphql_keys(rule)) {
        if (has_http_keys(rule))
            return policy_reject(check, NULL,
                                 "mixes GraphQL keys with method, path or query; write two rules");
        return OSA_OK;
    }
    if (endpoint_has_graphql && strcasecmp(rule->method, "WEBSOCKET_TEXT") == 0)
        return policy_reject(check, "method",
                             "WEBSOCKET_TEXT would bypass the GraphQL rules of this endpoint; "
                             "drop one kind");
    if (!is_one_of(rule->method, methods))
        policy_warn(check, "method", "'%s' is not a method that websocket knows",
                    POLICY_SHOW(rule->method));
    warn_of_path(check, rule);
    warn_of_ignored(check, rule, /* http= */ true, /* graphql= */ true, /* params= */ false);
    return OSA_OK;
}

static enum osa_code check_json_rpc(struct policy_check *check, const struct policy_l7_rule *rule)
{
    if (rule->method[0] == '\0')
        return policy_reject(check, "method", "is missing; name it, or write *");
    if (has_glob_bytes(rule->method) && strcmp(rule->method, "*") != 0)
        return policy_reject(check, "method",
                             "'%s' is a pattern, which json-rpc has not; name the method, or "
                             "write * alone",
                             POLICY_SHOW(rule->method));
    if (rule->params.count > 0)
        return policy_reject(check, "params", "are not looked at for json-rpc; drop them");
    if (rule->path[0] != '\0')
        return policy_reject(check, "path", "is not for json-rpc; drop it");
    if (rule->query.count > 0)
        return policy_reject(check, "query", "is not for json-rpc; drop it");
    return OSA_OK;
}

static enum osa_code check_tool(struct policy_check *check, const struct policy_endpoint *endpoint,
                                const struct policy_l7_rule *rule)
{
    if (rule->method[0] != '\0' && strcmp(rule->method, "tools/call") != 0)
        return policy_reject(check, "method", "'%s' takes no tool; write tools/call",
                             POLICY_SHOW(rule->method));
    policy_enter(check, "params");
    for (size_t i = 0; i < rule->params.count; i++) {
        const struct policy_matcher *matcher = &rule->params.items[i];
        if (strcmp(matcher->name, "name") != 0)
            return policy_reject(check, matcher->name,
                                 "is not looked at; the tool's name is the only parameter that "
                                 "rules know");
        for (size_t k = 0; k < matcher->globs.count; k++)
            if (!endpoint->mcp_strict_tool_names && has_glob_bytes(matcher->globs.items[k]))
                return policy_reject(check, matcher->name,
                                     "'%s' is a pattern, which needs strict_tool_names: true",
                                     POLICY_SHOW(matcher->globs.items[k]));
    }
    policy_leave(check);
    return OSA_OK;
}

static enum osa_code check_mcp(struct policy_check *check, const struct policy_endpoint *endpoint,
                               const struct policy_l7_rule *rule, bool side_names_tools)
{
    bool pattern = has_glob_bytes(rule->method);
    if (rule->method[0] == '\0' && !endpoint->mcp_allow_all_known_methods)
        return policy_reject(check, "method", "is missing; name it, such as tools/call");
    if (pattern && strcmp(rule->method, "*") != 0 && strncmp(rule->method, "tools/", 6) != 0)
        return policy_reject(check, "method", "'%s' is a pattern outside tools/; name each method",
                             POLICY_SHOW(rule->method));
    enum osa_code code = check_glob(check, "method", rule->method);
    if (code != OSA_OK)
        return code;
    if (rule->params.count > 0)
        return check_tool(check, endpoint, rule);
    size_t budget = SIZE_MAX;
    if (side_names_tools && pattern &&
        policy_globs_overlap(rule->method, "tools/call", /* separator= */ '.', &budget))
        return policy_reject(check, "method",
                             "'%s' covers tools/call for all tools, beside rules that name tools; "
                             "name the methods",
                             POLICY_SHOW(rule->method));
    if (side_names_tools && strcmp(rule->method, "tools/call") == 0)
        policy_warn(check, "method",
                    "tools/call without a tool is for all tools, whatever the other rules name");
    warn_of_ignored(check, rule, /* http= */ rule->path[0] == '\0' && rule->query.count == 0,
                    /* graphql= */ false, /* params= */ true);
    return OSA_OK;
}

static enum osa_code check_rule(struct policy_check *check, const struct policy_endpoint *endpoint,
                                const struct policy_l7_rule *rule, bool graphql, bool tools)
{
    enum osa_code code = check_globs(check, rule);
    if (code != OSA_OK)
        return code;
    switch (endpoint->protocol) {
    case POLICY_PROTOCOL_REST:
        return check_rest(check, rule);
    case POLICY_PROTOCOL_WEBSOCKET:
        return check_websocket(check, rule, graphql);
    case POLICY_PROTOCOL_GRAPHQL:
        if (rule->operation_type[0] == '\0' && has_graphql_keys(rule))
            policy_warn(check, "operation_type", "is missing, so no operation matches");
        return check_operation_type(check, rule);
    case POLICY_PROTOCOL_JSON_RPC:
        return check_json_rpc(check, rule);
    case POLICY_PROTOCOL_MCP:
        return check_mcp(check, endpoint, rule, tools);
    case POLICY_PROTOCOL_SQL:
        if (rule->command[0] == '\0')
            policy_warn(check, "command", "is missing, so no command matches");
        return OSA_OK;
    case POLICY_PROTOCOL_NONE:
    case POLICY_PROTOCOL_TCP:
    case POLICY_PROTOCOL_COUNT:
        break;
    }
    return OSA_OK;
}

/* A value with a dot escapes a lone star, which upstream's matcher takes for one component. */
static void warn_of_stars(struct policy_check *check, const char *name,
                          const struct policy_matchers *matchers)
{
    policy_enter(check, name);
    for (size_t i = 0; i < matchers->count; i++) {
        const struct policy_matcher *matcher = &matchers->items[i];
        for (size_t k = 0; k < matcher->globs.count; k++) {
            const char *glob = matcher->globs.items[k];
            if (strchr(glob, '*') != NULL && strstr(glob, "**") == NULL)
                policy_warn(check, matcher->name,
                            "'%s' denies no value with a dot where the * stands; write ** for any "
                            "value",
                            POLICY_SHOW(glob));
        }
    }
    policy_leave(check);
}

/* @name is "rules", whose elements hold their pattern under "allow", or "deny_rules". */
static enum osa_code check_side(struct policy_check *check, const char *name,
                                const struct policy_endpoint *endpoint,
                                const struct policy_l7_rules *rules, bool graphql)
{
    bool allow = rules == &endpoint->rules;
    bool tools = false;
    bool constrained = false;
    for (size_t i = 0; i < rules->count; i++) {
        tools = tools || rules->items[i].params.count > 0;
        constrained = constrained || !is_empty_rule(&rules->items[i]);
    }
    policy_enter(check, name);
    if (rules->count > 0 && !constrained)
        return policy_reject(check, NULL, "say nothing about requests; add method and path");
    for (size_t i = 0; i < rules->count; i++) {
        policy_enter_index(check, i);
        if (allow)
            policy_enter(check, "allow");
        enum osa_code code = check_rule(check, endpoint, &rules->items[i], graphql, tools);
        if (code != OSA_OK)
            return code;
        if (!allow) {
            warn_of_stars(check, "query", &rules->items[i].query);
            warn_of_stars(check, "params", &rules->items[i].params);
        } else {
            policy_leave(check);
        }
        policy_leave(check);
    }
    policy_leave(check);
    return OSA_OK;
}

enum osa_code policy_check_l7(struct policy_check *check, const struct policy_endpoint *endpoint)
{
    bool graphql = false;
    for (size_t i = 0; i < endpoint->rules.count; i++)
        graphql = graphql || has_graphql_keys(&endpoint->rules.items[i]);
    for (size_t i = 0; i < endpoint->deny_rules.count; i++)
        graphql = graphql || has_graphql_keys(&endpoint->deny_rules.items[i]);
    if (endpoint->protocol > POLICY_PROTOCOL_TCP && endpoint->protocol != POLICY_PROTOCOL_SQL &&
        endpoint->enforcement_text[0] == '\0')
        policy_warn(check, "enforcement",
                    "is missing and means audit: violations pass and are recorded; write enforce");
    if (endpoint->mcp_allow_all_known_methods)
        policy_warn(check, "mcp",
                    "allow_all_known_mcp_methods allows methods that MCP does not have as well, as "
                    "upstream reads it");
    enum osa_code code = check_side(check, "rules", endpoint, &endpoint->rules, graphql);
    if (code == OSA_OK)
        code = check_side(check, "deny_rules", endpoint, &endpoint->deny_rules, graphql);
    return code;
}
