// SPDX-License-Identifier: Apache-2.0
/* network_middlewares: filters by name, order and the hosts that pass through them. */
#include "policy/document_internal.h"
#include "policy/glob.h"

#include <string.h>

/* Steps of pattern comparison in one document; beyond it the answer is "overlap". */
enum { OVERLAP_BUDGET = 4000000 };

static enum osa_code check_selectors(struct policy_check *check, const char *name,
                                     const struct policy_strings *patterns)
{
    policy_enter(check, name);
    for (size_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        size_t len = strlen(pattern);
        const char *fault = policy_glob_fault(pattern);
        policy_enter_index(check, i);
        if (len == 0 || pattern[0] == '.' || pattern[len - 1] == '.' ||
            strstr(pattern, "..") != NULL)
            fault = "an empty label";
        else if (pattern[strcspn(pattern, " \t\r\n")] != '\0')
            fault = "blanks";
        else if (pattern[strcspn(pattern, "{}")] != '\0')
            fault = "braces; write one pattern for each";
        if (fault != NULL)
            return policy_reject(check, NULL, "'%s' has %s", POLICY_SHOW(pattern), fault);
        policy_leave(check);
    }
    policy_leave(check);
    return OSA_OK;
}

static bool selects(const struct policy_middleware *filter, const char *host, size_t *budget)
{
    for (size_t i = 0; i < filter->exclude.count; i++)
        if (strcmp(filter->exclude.items[i], "**") == 0 ||
            strcmp(filter->exclude.items[i], host) == 0)
            return false;
    for (size_t i = 0; i < filter->include.count; i++)
        if (policy_globs_overlap(filter->include.items[i], host, '.', budget))
            return true;
    return false;
}

/* A filter that must see the traffic cannot be combined with TLS that is passed through unopened. */
static enum osa_code check_tls_skip(struct policy_check *check,
                                    const struct policy_middleware *filter)
{
    size_t budget = OVERLAP_BUDGET;
    const struct policy_document *doc = check->doc;
    for (size_t i = 0; i < doc->rule_count; i++)
        for (size_t k = 0; k < doc->rules[i].endpoint_count; k++) {
            const struct policy_endpoint *endpoint = &doc->rules[i].endpoints[k];
            const char *host = endpoint->host[0] != '\0' ? endpoint->host : "**";
            if (endpoint->tls_skip && selects(filter, host, &budget))
                return policy_reject(check, "endpoints",
                                     "include '%s', where rule '%s' has tls: skip, so the filter "
                                     "could not see it; exclude it, or set on_error: fail_open",
                                     POLICY_SHOW(host), POLICY_SHOW(doc->rules[i].key));
        }
    return OSA_OK;
}

static enum osa_code check_on_error(struct policy_check *check, struct policy_middleware *filter)
{
    const char *text = filter->on_error;
    filter->fail_open = strcmp(text, "fail_open") == 0;
    if (filter->fail_open || text[0] == '\0' || strcmp(text, "fail_closed") == 0)
        return OSA_OK;
    return policy_reject(check, "on_error", "'%s' is not known; write fail_closed or fail_open",
                         POLICY_SHOW(text));
}

static enum osa_code check_middleware(struct policy_check *check, struct policy_middleware *filter)
{
    static const char reserved[] = "openshell/";
    if (filter->middleware[0] == '\0')
        return policy_reject(check, "middleware", "is missing; name the registered filter");
    if (strncmp(filter->middleware, reserved, sizeof(reserved) - 1) == 0 &&
        strcmp(filter->middleware, "openshell/regex") != 0)
        return policy_reject(check, "middleware",
                             "'%s' is not built in; the only built-in filter is openshell/regex",
                             POLICY_SHOW(filter->middleware));
    enum osa_code code = check_on_error(check, filter);
    if (code != OSA_OK)
        return code;
    policy_enter(check, "endpoints");
    size_t count = filter->include.count + filter->exclude.count;
    if (filter->include.count == 0)
        return policy_reject(check, "include", "is missing; list host patterns, ** for all");
    if (count > POLICY_MAX_SELECTORS)
        return policy_reject(check, NULL, "lists %zu patterns; at most %d are allowed", count,
                             POLICY_MAX_SELECTORS);
    code = check_selectors(check, "include", &filter->include);
    if (code == OSA_OK)
        code = check_selectors(check, "exclude", &filter->exclude);
    if (code != OSA_OK)
        return code;
    policy_leave(check);
    return filter->fail_open ? OSA_OK : check_tls_skip(check, filter);
}

enum osa_code policy_check_middlewares(struct policy_check *check)
{
    struct policy_document *doc = check->doc;
    policy_enter(check, "network_middlewares");
    if (doc->middleware_count > POLICY_MAX_MIDDLEWARES)
        return policy_reject(check, NULL, "lists %zu filters; at most %d are allowed",
                             doc->middleware_count, POLICY_MAX_MIDDLEWARES);
    for (size_t i = 0; i < doc->middleware_count; i++) {
        struct policy_middleware *filter = &doc->middlewares[i];
        for (size_t k = 0; k < i; k++) {
            if (strcmp(doc->middlewares[k].key, filter->key) == 0)
                return policy_reject(check, filter->key, "appears twice; keep one");
        }
        policy_enter(check, filter->key);
        if (i > 0 && doc->middlewares[i - 1].order == filter->order)
            return policy_reject(check, "order",
                                 "%d is also the order of '%s'; give each filter its own",
                                 filter->order, POLICY_SHOW(doc->middlewares[i - 1].key));
        enum osa_code code = check_middleware(check, filter);
        if (code != OSA_OK)
            return code;
        policy_leave(check);
    }
    policy_leave(check);
    return OSA_OK;
}
