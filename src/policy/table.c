// SPDX-License-Identifier: Apache-2.0
#include "policy/table.h"

#include "policy/document_internal.h"
#include "policy/live.h"
#include "policy/yaml_fields.h"

#include <stdio.h>
#include <string.h>

/* What an answer is held against; NULL: not compared. */
struct expectation {
    const char *verdict;
    const char *reason;
    const char *rule;
    const char *path;
    const char *mode;
    const char *stage;
    bool hard;
};

/**
 * struct table_case
 * @rejected: failure mode under which a newer version was refused before; NULL: none was
 * @proposed, @credentialed: all endpoints are marked as only a gateway can mark them
 * @proxy:    what the proxy is to do; such a case is not for the engine
 * @tunnel, @send: with @proxy: what its client does
 */
struct table_case {
    const char *name;
    const char *policy;
    struct policy_trial trial;
    bool strict;
    bool relaxed;
    const char *rejected;
    bool proposed;
    bool credentialed;
    const char *proxy;
    bool tunnel;
    const char *send;
    bool expected;
    struct expectation expect;
};

struct table_policy {
    const char *key;
    const char *text;
};

/** struct policy_table - @memory: a document that is never finished, for its arena alone */
struct policy_table {
    struct policy_document *memory;
    char source[128];
    struct table_policy *policies;
    size_t policy_count;
    struct table_case *cases;
    size_t case_count;
};

/* ---- reading ---- */

static enum osa_code read_policy(struct policy_yaml *reader, const struct io_yaml_node *node,
                                 void *target)
{
    struct table_policy *policy = target;
    policy->key = policy_copy(reader->doc, node->key->text, node->key->len);
    return policy_yaml_text(reader, node, &policy->text);
}

/* An empty list says something else than none: the name has no address. */
static enum osa_code read_addresses(struct policy_yaml *reader, const struct io_yaml_node *node,
                                    void *target)
{
    struct policy_trial *trial = target;
    trial->resolved = true;
    return policy_yaml_strings(reader, node, &trial->addresses);
}

static enum osa_code read_expectation(struct policy_yaml *reader, const struct io_yaml_node *node,
                                      void *target)
{
#define AT(member) offsetof(struct expectation, member)
    static const struct policy_yaml_field fields[] = {
        { "verdict", FIELD_TEXT, AT(verdict), NULL }, { "reason", FIELD_TEXT, AT(reason), NULL },
        { "rule", FIELD_TEXT, AT(rule), NULL },       { "path", FIELD_TEXT, AT(path), NULL },
        { "mode", FIELD_TEXT, AT(mode), NULL },       { "stage", FIELD_TEXT, AT(stage), NULL },
        { "hard", FIELD_BOOL, AT(hard), NULL },
    };
#undef AT
    struct table_case *c = target;
    c->expected = true;
    return READ_FIELDS(reader, node, fields, &c->expect);
}

static enum osa_code read_case(struct policy_yaml *reader, const struct io_yaml_node *node,
                               void *target)
{
#define AT(member) offsetof(struct table_case, member)
    static const struct policy_yaml_field fields[] = {
        { "name", FIELD_TEXT, AT(name), NULL },
        { "policy", FIELD_TEXT, AT(policy), NULL },
        { "host", FIELD_TEXT, AT(trial.host), NULL },
        { "port", FIELD_U32, AT(trial.port), NULL },
        { "binary", FIELD_TEXT, AT(trial.binary), NULL },
        { "ancestors", FIELD_STRINGS, AT(trial.ancestors), NULL },
        { "argv", FIELD_STRINGS, AT(trial.argv), NULL },
        { "identity", FIELD_TEXT, AT(trial.identity), NULL },
        { "resolve", FIELD_READ, AT(trial), read_addresses },
        { "gateway", FIELD_TEXT, AT(trial.gateway), NULL },
        { "method", FIELD_TEXT, AT(trial.method), NULL },
        { "target", FIELD_TEXT, AT(trial.target), NULL },
        { "accept", FIELD_TEXT, AT(trial.accept), NULL },
        { "content_type", FIELD_TEXT, AT(trial.content_type), NULL },
        { "content_encoding", FIELD_TEXT, AT(trial.content_encoding), NULL },
        { "body", FIELD_TEXT, AT(trial.body), NULL },
        { "message", FIELD_TEXT, AT(trial.message), NULL },
        { "upgrade", FIELD_BOOL, AT(trial.upgrade), NULL },
        { "forward", FIELD_BOOL, AT(trial.forward), NULL },
        { "strict", FIELD_BOOL, AT(strict), NULL },
        { "relaxed", FIELD_BOOL, AT(relaxed), NULL },
        { "rejected", FIELD_TEXT, AT(rejected), NULL },
        { "proposed", FIELD_BOOL, AT(proposed), NULL },
        { "credentialed", FIELD_BOOL, AT(credentialed), NULL },
        { "proxy", FIELD_TEXT, AT(proxy), NULL },
        { "tunnel", FIELD_BOOL, AT(tunnel), NULL },
        { "send", FIELD_TEXT, AT(send), NULL },
        { "expect", FIELD_READ, 0, read_expectation },
    };
#undef AT
    struct table_case *c = target;
    enum osa_code code = READ_FIELDS(reader, node, fields, c);
    if (code == OSA_OK && c->proxy == NULL && (c->policy == NULL || !c->expected))
        return io_yaml_fail(reader->yaml, node, reader->err, "needs policy and expect");
    if (code == OSA_OK && c->proxy == NULL && (c->tunnel || c->send != NULL))
        return io_yaml_fail(reader->yaml, node, reader->err, "has tunnel or send without proxy");
    if (code == OSA_OK && c->trial.port > UINT16_MAX)
        return io_yaml_fail(reader->yaml, node, reader->err, "has port %u; write 1 to 65535",
                            c->trial.port);
    return code;
}

static enum osa_code read_policies(struct policy_yaml *reader, const struct io_yaml_node *node,
                                   void *target)
{
    struct policy_table *table = target;
    return READ_ARRAY(reader, node, IO_YAML_MAPPING, read_policy, &table->policies,
                      &table->policy_count);
}

static enum osa_code read_cases(struct policy_yaml *reader, const struct io_yaml_node *node,
                                void *target)
{
    struct policy_table *table = target;
    return READ_ARRAY(reader, node, IO_YAML_SEQUENCE, read_case, &table->cases, &table->case_count);
}

static enum osa_code read_table(struct policy_yaml *reader, struct policy_table *table)
{
    static const struct policy_yaml_field fields[] = {
        { "policies", FIELD_READ, 0, read_policies },
        { "cases", FIELD_READ, 0, read_cases },
    };
    const struct io_yaml_node *root = io_yaml_root(reader->yaml);
    if (root == NULL)
        return osa_fail(reader->err, OSA_INVALID_ARGUMENT, 0,
                        "%s:1:1: the table is empty; write policies and cases",
                        io_yaml_source(reader->yaml));
    return READ_FIELDS(reader, root, fields, table);
}

enum osa_code policy_table_parse(const char *text, size_t len, const char *source,
                                 struct policy_table **ret, struct osa_error *err)
{
    OSA_AUTO(io_yaml_auto) struct io_yaml *yaml = NULL;
    enum osa_code code = io_yaml_parse(source, text, len, NULL, &yaml, err);
    if (code != OSA_OK)
        return code;
    struct policy_table *table = calloc(1, sizeof(*table));
    struct policy_document *memory = policy_document_new();
    if (table == NULL || memory == NULL) {
        free(table);
        policy_document_unref(memory);
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a table");
    }
    table->memory = memory;
    snprintf(table->source, sizeof(table->source), "%s", source);
    struct policy_yaml reader = { .doc = memory, .yaml = yaml, .err = err };
    code = read_table(&reader, table);
    if (code == OSA_OK && policy_was_refused(memory))
        code = osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "%s: the table is too large", source);
    if (code != OSA_OK) {
        policy_table_free(table);
        return code;
    }
    *ret = table;
    return OSA_OK;
}

void policy_table_free(struct policy_table *table)
{
    if (table == NULL)
        return;
    policy_document_unref(table->memory);
    free(table);
}

size_t policy_table_count(const struct policy_table *table)
{
    return table->case_count;
}

const char *policy_table_name(const struct policy_table *table, size_t index)
{
    const char *name = table->cases[index].name;
    return name != NULL ? name : "(no name)";
}

/* ---- running ---- */

/* Nobody else has the document yet, so the marks that only a gateway sets can be made. */
static void mark(const struct policy_document *doc, const struct table_case *c)
{
    for (size_t i = 0; i < doc->rule_count; i++)
        for (size_t k = 0; k < doc->rules[i].endpoint_count; k++) {
            doc->rules[i].endpoints[k].advisor_proposed = c->proposed;
            doc->rules[i].endpoints[k].provider_credentialed = c->credentialed;
        }
}

/* Return: NULL when there is none of that name. */
static const char *policy_text_of(const struct policy_table *table, const char *key)
{
    for (size_t i = 0; i < table->policy_count; i++) {
        if (strcmp(table->policies[i].key, key) == 0)
            return table->policies[i].text;
    }
    return NULL;
}

bool policy_table_proxy(const struct policy_table *table, size_t index,
                        struct policy_proxy_case *ret)
{
    const struct table_case *c = &table->cases[index];
    if (c->proxy == NULL || c->send == NULL)
        return false;
    *ret = (struct policy_proxy_case){
        .policy = c->policy != NULL ? policy_text_of(table, c->policy) : NULL,
        .tunnel = c->tunnel,
        .send = c->send,
        .answer = c->proxy,
    };
    return true;
}

static enum osa_code load(const struct policy_table *table, const struct table_case *c,
                          const struct policy_document **ret, struct osa_error *err)
{
    const char *text = policy_text_of(table, c->policy);
    if (text == NULL)
        return osa_fail(err, OSA_NOT_FOUND, 0, "there is no policy '%.80s'", c->policy);
    char source[sizeof(table->source) + 96];
    snprintf(source, sizeof(source), "%s: policies.%.80s", table->source, c->policy);
    enum osa_code code = policy_document_parse_yaml(text, strlen(text), source, ret, err);
    if (code == OSA_OK && (c->proposed || c->credentialed))
        mark(*ret, c);
    return code;
}

/* The engine that a case is about, through the same gate as in the agent. */
static enum osa_code make_engine(const struct policy_table *table, const struct table_case *c,
                                 const struct policy_engine **ret, struct osa_error *err)
{
    OSA_AUTO(policy_document_unrefp) const struct policy_document *doc = NULL;
    enum osa_code code = load(table, c, &doc, err);
    if (code != OSA_OK)
        return code;
    struct policy_engine_options options = { .strict = c->strict, .ignore_binaries = c->relaxed };
    struct policy_live *live = policy_live_new(
        policy_failure_mode_parse(c->rejected != NULL ? c->rejected : ""), &options);
    code = policy_live_publish(live, doc, 1, err);
    if (code == OSA_OK && c->rejected != NULL)
        (void)policy_live_reject(live, 2, "a table's case says so");
    if (code == OSA_OK)
        *ret = policy_live_take(live);
    policy_live_free(live);
    return code;
}

static void compare(struct osa_buf *diff, const char *what, const char *expected, const char *got)
{
    if (expected == NULL || strcmp(expected, got) == 0)
        return;
    (void)osa_buf_addf(diff, "%s%s is %s, not %s", diff->len > 0 ? "; " : "", what,
                       got[0] != '\0' ? got : "nothing", expected);
}

enum policy_case_result policy_table_run(const struct policy_table *table, size_t index,
                                         struct osa_arena *arena, struct policy_trial_result *ret,
                                         struct osa_buf *diff)
{
    const struct table_case *c = &table->cases[index];
    const struct expectation *expect = &c->expect;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = NULL;
    struct osa_error err = { 0 };
    *ret = (struct policy_trial_result){
        .rule = "", .mode = "", .path = "", .explanation = "", .advice = ""
    };
    if (c->proxy != NULL)
        return POLICY_CASE_ELSEWHERE;
    if (make_engine(table, c, &engine, &err) != OSA_OK) {
        (void)osa_buf_addf(diff, "%s", err.text);
        return POLICY_CASE_FAILED;
    }
    size_t before = diff->len;
    policy_trial_run(engine, &c->trial, arena, ret);
    compare(diff, "verdict", expect->verdict, policy_verdict_name(ret->verdict));
    compare(diff, "reason", expect->reason, policy_reason_name(ret->reason));
    compare(diff, "stage", expect->stage, policy_stage_name(ret->stage));
    compare(diff, "rule", expect->rule, ret->rule);
    compare(diff, "path", expect->path, ret->path);
    compare(diff, "mode", expect->mode, ret->mode);
    if (expect->hard && !ret->hard)
        compare(diff, "hard", "true", "false");
    return diff->len == before ? POLICY_CASE_PASSED : POLICY_CASE_FAILED;
}
