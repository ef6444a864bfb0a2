// SPDX-License-Identifier: Apache-2.0
/* From what a builder filled in to a document that can be relied on: no NULL text, sorted, valid. */
#include "policy/document_internal.h"

#include <stdio.h>
#include <string.h>

static void fill_text(const char **text)
{
    if (*text == NULL)
        *text = "";
}

static void fill_list(struct policy_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        fill_text(&list->items[i]);
}

static int compare_matchers(const void *a, const void *b)
{
    return strcmp(((const struct policy_matcher *)a)->name,
                  ((const struct policy_matcher *)b)->name);
}

static void fill_matchers(struct policy_matchers *matchers)
{
    for (size_t i = 0; i < matchers->count; i++) {
        fill_text(&matchers->items[i].name);
        fill_list(&matchers->items[i].globs);
    }
    if (matchers->count > 1)
        qsort(matchers->items, matchers->count, sizeof(*matchers->items), compare_matchers);
}

static void fill_l7_rules(struct policy_l7_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct policy_l7_rule *rule = &rules->items[i];
        fill_text(&rule->method);
        fill_text(&rule->path);
        fill_text(&rule->command);
        fill_text(&rule->operation_type);
        fill_text(&rule->operation_name);
        fill_list(&rule->fields);
        fill_matchers(&rule->query);
        fill_matchers(&rule->params);
    }
}

static int compare_operations(const void *a, const void *b)
{
    return strcmp(((const struct policy_graphql_operation *)a)->id,
                  ((const struct policy_graphql_operation *)b)->id);
}

static void fill_operations(struct policy_endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->graphql_operation_count; i++) {
        struct policy_graphql_operation *operation = &endpoint->graphql_operations[i];
        fill_text(&operation->id);
        fill_text(&operation->operation_type);
        fill_text(&operation->operation_name);
        fill_list(&operation->fields);
    }
    if (endpoint->graphql_operation_count > 1)
        qsort(endpoint->graphql_operations, endpoint->graphql_operation_count,
              sizeof(*endpoint->graphql_operations), compare_operations);
}

static void fill_endpoint(struct policy_endpoint *endpoint)
{
    fill_text(&endpoint->host);
    fill_text(&endpoint->path);
    fill_text(&endpoint->protocol_text);
    fill_text(&endpoint->tls_text);
    fill_text(&endpoint->enforcement_text);
    fill_text(&endpoint->access_text);
    fill_text(&endpoint->persisted_queries);
    fill_text(&endpoint->credential_signing);
    fill_text(&endpoint->signing_service);
    fill_text(&endpoint->signing_region);
    fill_text(&endpoint->credential_provider);
    fill_list(&endpoint->allowed_ips);
    fill_l7_rules(&endpoint->rules);
    fill_l7_rules(&endpoint->deny_rules);
    fill_operations(endpoint);
}

static int compare_rules(const void *a, const void *b)
{
    return strcmp(((const struct policy_rule *)a)->key, ((const struct policy_rule *)b)->key);
}

static void fill_rules(struct policy_document *doc)
{
    for (size_t i = 0; i < doc->rule_count; i++) {
        struct policy_rule *rule = &doc->rules[i];
        fill_text(&rule->key);
        fill_text(&rule->name);
        if (rule->name[0] == '\0')
            rule->name = rule->key;
        for (size_t k = 0; k < rule->endpoint_count; k++)
            fill_endpoint(&rule->endpoints[k]);
        for (size_t k = 0; k < rule->binary_count; k++)
            fill_text(&rule->binaries[k].path);
    }
    if (doc->rule_count > 1)
        qsort(doc->rules, doc->rule_count, sizeof(*doc->rules), compare_rules);
}

/* Parsers bound the depth. */
static void fill_value(struct policy_value *value)
{
    fill_text(&value->key);
    fill_text(&value->text);
    for (size_t i = 0; i < value->count; i++)
        fill_value(&value->items[i]);
}

static int compare_middlewares(const void *a, const void *b)
{
    const struct policy_middleware *x = a;
    const struct policy_middleware *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return strcmp(x->key, y->key);
}

static void fill_middlewares(struct policy_document *doc)
{
    for (size_t i = 0; i < doc->middleware_count; i++) {
        struct policy_middleware *filter = &doc->middlewares[i];
        fill_text(&filter->key);
        fill_text(&filter->name);
        fill_text(&filter->middleware);
        fill_text(&filter->on_error);
        fill_list(&filter->include);
        fill_list(&filter->exclude);
        if (filter->name[0] == '\0')
            filter->name = filter->key;
        if (filter->config.kind == POLICY_VALUE_NULL)
            filter->config.kind = POLICY_VALUE_OBJECT;
        fill_value(&filter->config);
    }
    if (doc->middleware_count > 1)
        qsort(doc->middlewares, doc->middleware_count, sizeof(*doc->middlewares),
              compare_middlewares);
}

static void fill(struct policy_document *doc)
{
    if (!doc->filesystem.given)
        doc->filesystem.include_workdir = true;
    fill_list(&doc->filesystem.read_only);
    fill_list(&doc->filesystem.read_write);
    if (doc->landlock.compatibility == NULL || doc->landlock.compatibility[0] == '\0')
        doc->landlock.compatibility = "best_effort";
    doc->landlock.hard_requirement = strcmp(doc->landlock.compatibility, "hard_requirement") == 0;
    fill_text(&doc->process.run_as_user);
    fill_text(&doc->process.run_as_group);
    fill_rules(doc);
    fill_middlewares(doc);
}

static enum osa_code check_all(struct policy_check *check)
{
    enum osa_code code = policy_check_static(check);
    if (code == OSA_OK)
        code = policy_check_rules(check);
    if (code == OSA_OK)
        code = policy_check_ambiguity(check);
    if (code == OSA_OK)
        code = policy_check_middlewares(check);
    return code;
}

enum osa_code policy_document_finish(struct policy_document *doc,
                                     const struct policy_origin *origin,
                                     const struct policy_document **ret, struct osa_error *err)
{
    struct osa_error ignored;
    struct policy_check check = { .doc = doc, .origin = origin, .err = err ? err : &ignored };
    enum osa_code code = OSA_RESOURCE_EXHAUSTED;
    /* A refused allocation may have left lists with a count and no items. */
    if (!policy_was_refused(doc)) {
        fill(doc);
        code = check_all(&check);
        policy_set_warnings(doc);
    }
    if (policy_was_refused(doc))
        code = osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "the policy takes more memory than a policy may; write fewer rules");
    if (code != OSA_OK) {
        policy_document_unref(doc);
        return code;
    }
    *ret = doc;
    return OSA_OK;
}
