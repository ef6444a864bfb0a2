// SPDX-License-Identifier: Apache-2.0
/* Parts of requests, from options. Everything lives in the arena; inputs are borrowed. */
#pragma once

#include "base/error.h"
#include "base/option.h"
#include "cli/api.h"
#include "cli/arena.h"

#include <stdint.h>

/** cli_wire_duration() - @ns ≥ 0 as a Duration */
Google__Protobuf__Duration *cli_wire_duration(struct cli_arena *arena, int64_t ns);

/** cli_duration_ns() - The reverse, cut to what fits; NULL is 0 */
int64_t cli_duration_ns(const Google__Protobuf__Duration *wire);

/** cli_timestamp_ns() - Nanoseconds since the epoch, cut to what fits; NULL is 0 */
int64_t cli_timestamp_ns(const Google__Protobuf__Timestamp *wire);

/** cli_wire_resources() - NULL when all are 0 */
Openshell__Agent__V1__Resources *cli_wire_resources(struct cli_arena *arena, uint64_t cpu_millis,
                                                    uint64_t memory_bytes, uint64_t pids_max,
                                                    uint64_t disk_bytes);

/**
 * struct cli_pair - KEY=VALUE; strings in the arena
 */
struct cli_pair {
    char *key;
    char *value;
};

/**
 * cli_pairs() - Split KEY=VALUE options; of a key given twice the last value counts
 * @flag:    for messages: "--label"
 * @inherit: a lone KEY takes its value from our environment, and is left out when not set there
 * @ret_pairs, @ret_count: in the arena
 * Return: OSA_OK or INVALID_ARGUMENT: no '=', empty key.
 */
OSA_MUST_CHECK enum osa_code cli_pairs(struct cli_arena *arena, const char *flag, bool inherit,
                                       const struct osa_strings *options,
                                       struct cli_pair **ret_pairs, size_t *ret_count,
                                       struct osa_error *err);

/** cli_rlimits() - TYPE=SOFT[:HARD] options; "unlimited" is a number. INVALID_ARGUMENT: not of that form */
OSA_MUST_CHECK enum osa_code cli_rlimits(struct cli_arena *arena, const struct osa_strings *options,
                                         API(Rlimit) * **ret_limits, size_t *ret_count,
                                         struct osa_error *err);

struct policy_document;

/**
 * cli_policy_document() - Read and check a policy file
 * @ret_doc: returned (release with policy_document_unref)
 * Return: OSA_OK; NOT_FOUND; INVALID_ARGUMENT with file:line:column; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code cli_policy_document(const char *path,
                                                 const struct policy_document **ret_doc,
                                                 struct osa_error *err);

/**
 * cli_policy_load() - cli_policy_document() as the message that carries it
 * Warnings of the check go to standard error.
 * @ret_policy: returned (free with openshell__sandbox__v1__sandbox_policy__free_unpacked)
 */
OSA_MUST_CHECK enum osa_code cli_policy_load(const char *path,
                                             Openshell__Sandbox__V1__SandboxPolicy **ret_policy,
                                             struct osa_error *err);
