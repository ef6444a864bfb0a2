// SPDX-License-Identifier: Apache-2.0
/*
 * Two endpoints that can apply to one connection, or to one request, must not say different things
 * about how it is treated; which of them would win is nothing that an author can see.
 *
 * Endpoints with an exact host are sorted by it, so only neighbours are compared; those with a
 * pattern or without a host are compared with all.
 */
#include "policy/document_internal.h"
#include "policy/glob.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Steps of comparison that one document may cost: well below a second. */
enum { COMPARE_BUDGET = 50000000 };

struct place {
    const struct policy_rule *rule;
    const struct policy_endpoint *endpoint;
    size_t index;
    bool exact;
};

static bool is_pattern(const char *host)
{
    return host[0] == '\0' || strchr(host, '*') != NULL;
}

static int compare_written(const struct place *x, const struct place *y)
{
    int order = strcmp(x->rule->key, y->rule->key);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->exact != y->exact)
        return x->exact ? -1 : 1;
    int order = strcasecmp(x->endpoint->host, y->endpoint->host);
    return order != 0 ? order : compare_written(x, y);
}

static bool ports_meet(const struct policy_endpoint *a, const struct policy_endpoint *b,
                       size_t *budget)
{
    size_t cost = a->port_count * b->port_count;
    *budget -= OSA_MIN(*budget, cost);
    for (size_t i = 0; i < a->port_count; i++)
        for (size_t k = 0; k < b->port_count; k++)
            if (a->ports[i] == b->ports[k])
                return true;
    return false;
}

/* Whether what follows the last special byte of each already tells two hosts apart: nearly always. */
static bool ends_differ(const char *a, const char *b)
{
    static const char special[] = "*?[]{}\\";
    size_t i = strlen(a);
    size_t k = strlen(b);
    while (i > 0 && k > 0 && strchr(special, a[i - 1]) == NULL &&
           strchr(special, b[k - 1]) == NULL) {
        if (tolower((unsigned char)a[--i]) != tolower((unsigned char)b[--k]))
            return strchr(a, '\\') == NULL && strchr(b, '\\') == NULL;
    }
    return false;
}

static bool hosts_meet(const struct policy_endpoint *a, const struct policy_endpoint *b,
                       size_t *budget)
{
    if (a->host[0] == '\0' || b->host[0] == '\0')
        return true;
    if (!is_pattern(a->host) && !is_pattern(b->host))
        return strcasecmp(a->host, b->host) == 0;
    if (ends_differ(a->host, b->host))
        return false;
    return policy_globs_overlap(a->host, b->host, '.', budget);
}

/* A path P followed by a last component ** selects P as well. Return: length of P, 0 for others */
static size_t stem_len(const char *path)
{
    size_t len = strlen(path);
    return len > 3 && len < POLICY_MAX_PATH_BYTES && strcmp(path + len - 3, "/**") == 0 ? len - 3
                                                                                        : 0;
}

static bool stem_meets(const char *a, const char *b, size_t *budget)
{
    char stem[POLICY_MAX_PATH_BYTES];
    size_t len = stem_len(a);
    memcpy(stem, a, len);
    stem[len] = '\0';
    return len > 0 && policy_globs_overlap(stem, b, '\0', budget);
}

/* When a request is routed to its endpoint, * crosses "/". */
static bool paths_meet(const char *a, const char *b, size_t *budget)
{
    if (a[0] == '\0' || b[0] == '\0')
        return true;
    return policy_globs_overlap(a, b, '\0', budget) || stem_meets(a, b, budget) ||
           stem_meets(b, a, budget);
}

static size_t specificity(const char *path)
{
    size_t count = 0;
    for (; *path != '\0'; path++)
        count += *path != '*';
    return count;
}

static bool has_request_metadata(const struct policy_endpoint *e)
{
    return e->protocol > POLICY_PROTOCOL_TCP || e->allowed_ips.count > 0 ||
           e->tls_text[0] != '\0' || e->credential_binding_given;
}

static bool has_strings(const struct policy_strings *all, const struct policy_strings *some)
{
    for (size_t i = 0; i < some->count; i++) {
        bool found = false;
        for (size_t k = 0; !found && k < all->count; k++)
            found = strcmp(all->items[k], some->items[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool has_graphql_messages(const struct policy_endpoint *e)
{
    if (e->protocol != POLICY_PROTOCOL_WEBSOCKET)
        return false;
    for (size_t i = 0; i < e->rules.count; i++)
        if (e->rules.items[i].operation_type[0] != '\0')
            return true;
    return false;
}

/* Return: the field that connections cannot have both ways; NULL when they agree. */
static const char *connection_conflict(const struct policy_endpoint *a,
                                       const struct policy_endpoint *b)
{
    if ((a->protocol == POLICY_PROTOCOL_TCP) != (b->protocol == POLICY_PROTOCOL_TCP))
        return "protocol";
    if (a->tls_skip != b->tls_skip)
        return "tls";
    if (!has_strings(&a->allowed_ips, &b->allowed_ips) ||
        !has_strings(&b->allowed_ips, &a->allowed_ips))
        return "allowed_ips";
    if (a->advisor_proposed != b->advisor_proposed)
        return "advisor_proposed";
    return NULL;
}

static const char *request_conflict(const struct policy_endpoint *a,
                                    const struct policy_endpoint *b)
{
    if (a->protocol != b->protocol)
        return "protocol";
    if (a->enforce != b->enforce)
        return "enforcement";
    if (a->allow_encoded_slash != b->allow_encoded_slash)
        return "allow_encoded_slash";
    if (a->websocket_credential_rewrite != b->websocket_credential_rewrite)
        return "websocket_credential_rewrite";
    if (a->request_body_credential_rewrite != b->request_body_credential_rewrite)
        return "request_body_credential_rewrite";
    if (has_graphql_messages(a) != has_graphql_messages(b))
        return "rules";
    if (a->signing != b->signing)
        return "credential_signing";
    if (strcmp(a->signing_service, b->signing_service) != 0)
        return "signing_service";
    if (strcmp(a->signing_region, b->signing_region) != 0)
        return "signing_region";
    if (strcmp(a->credential_provider, b->credential_provider) != 0)
        return "credential_binding";
    if (a->graphql_max_body_bytes != b->graphql_max_body_bytes)
        return "graphql_max_body_bytes";
    if (a->json_rpc_max_body_bytes != b->json_rpc_max_body_bytes)
        return "json_rpc";
    if (a->mcp_strict_tool_names != b->mcp_strict_tool_names)
        return "mcp";
    return NULL;
}

static enum osa_code compare(struct policy_check *check, const struct place *x,
                             const struct place *y, size_t *budget)
{
    const struct policy_endpoint *a = x->endpoint;
    const struct policy_endpoint *b = y->endpoint;
    if (!ports_meet(a, b, budget) || !hosts_meet(a, b, budget))
        return OSA_OK;
    const char *field = connection_conflict(a, b);
    if (field == NULL && has_request_metadata(a) && has_request_metadata(b) &&
        specificity(a->path) == specificity(b->path) && paths_meet(a->path, b->path, budget))
        field = request_conflict(a, b);
    if (field == NULL)
        return OSA_OK;
    if (compare_written(x, y) > 0) {
        const struct place *first = y;
        y = x;
        x = first;
    }
    policy_enter(check, "network_policies");
    policy_enter(check, y->rule->key);
    policy_enter(check, "endpoints");
    policy_enter_index(check, y->index);
    return policy_reject(check, NULL,
                         "differs in %s from endpoints[%zu] of rule '%s', which covers the same "
                         "host and port; make them agree",
                         field, x->index, POLICY_SHOW(x->rule->key));
}

static struct place *collect(const struct policy_document *doc, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < doc->rule_count; i++)
        count += doc->rules[i].endpoint_count;
    struct place *places = calloc(count + 1, sizeof(*places));
    if (places == NULL)
        return NULL;
    count = 0;
    for (size_t i = 0; i < doc->rule_count; i++)
        for (size_t k = 0; k < doc->rules[i].endpoint_count; k++) {
            const struct policy_endpoint *endpoint = &doc->rules[i].endpoints[k];
            places[count++] =
                (struct place){ &doc->rules[i], endpoint, k, !is_pattern(endpoint->host) };
        }
    qsort(places, count, sizeof(*places), compare_places);
    *ret_count = count;
    return places;
}

enum osa_code policy_check_ambiguity(struct policy_check *check)
{
    size_t count = 0;
    size_t budget = COMPARE_BUDGET;
    OSA_AUTO(osa_free) struct place *places = collect(check->doc, &count);
    if (places == NULL)
        return osa_fail(check->err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a policy");
    for (size_t k = 1; k < count; k++) {
        /* Backwards: an exact host meets only the neighbours that share it. */
        for (size_t i = k; i-- > 0;) {
            if (places[k].exact &&
                strcasecmp(places[i].endpoint->host, places[k].endpoint->host) != 0)
                break;
            enum osa_code code = compare(check, &places[i], &places[k], &budget);
            if (code != OSA_OK)
                return code;
            if (budget == 0)
                return osa_fail(check->err, OSA_RESOURCE_EXHAUSTED, 0,
                                "network_policies: too many patterns and ports to compare; write "
                                "fewer endpoints with * in their hosts");
            budget--;
        }
    }
    return OSA_OK;
}
