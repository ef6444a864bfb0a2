// SPDX-License-Identifier: Apache-2.0
/*
 * Tables of decisions: policies, and questions with the answers that are expected. YAML:
 *
 *     policies:
 *       web: |
 *         version: 1
 *         network_policies: …
 *     cases:
 *       - {name: may read, policy: web, host: a.test, port: 443, binary: /bin/cli,
 *          expect: {verdict: allow, rule: web}}
 *
 * docs/policy.md has all keys.
 */
#pragma once

#include "base/buf.h"
#include "policy/trial.h"

struct policy_table;

/**
 * policy_table_parse() - A table from YAML text
 * @source: name of the text in messages
 * @ret:    returned (free with policy_table_free())
 * Return: OSA_OK; INVALID_ARGUMENT with the position, also for a policy that is not valid;
 * RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_table_parse(const char *text, size_t len, const char *source,
                                                struct policy_table **ret, struct osa_error *err);

/** policy_table_free() - NULL is fine */
void policy_table_free(struct policy_table *table);

/** policy_table_count() - Number of cases */
size_t policy_table_count(const struct policy_table *table);

/** policy_table_name() - Name of a case; its number when it has none */
const char *policy_table_name(const struct policy_table *table, size_t index);

/**
 * struct policy_proxy_case - What a client does to a proxy, and what comes of it; borrowed from the table
 * @policy: text of a policy; NULL: the case has none
 * @tunnel: the client begins with a CONNECT that is allowed, and sends inside
 * @send:   what it sends
 * @answer: a status, and behind a blank what else the answer has in it; "close": none
 */
struct policy_proxy_case {
    const char *policy;
    bool tunnel;
    const char *send;
    const char *answer;
};

/** policy_table_proxy() - A case that a proxy can be tried with. Return: false when it is none */
bool policy_table_proxy(const struct policy_table *table, size_t index,
                        struct policy_proxy_case *ret);

enum policy_case_result {
    POLICY_CASE_PASSED,
    POLICY_CASE_FAILED,
    POLICY_CASE_ELSEWHERE /* the proxy decides this, not the engine */
};

/**
 * policy_table_run() - Ask the question of a case
 * @ret:  the answer; texts in @arena
 * @diff: what was not as expected, one clause each; borrowed
 * Return: PASSED; FAILED, also when its policy cannot be compiled.
 */
enum policy_case_result policy_table_run(const struct policy_table *table, size_t index,
                                         struct osa_arena *arena, struct policy_trial_result *ret,
                                         struct osa_buf *diff);
