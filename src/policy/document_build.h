// SPDX-License-Identifier: Apache-2.0
/*
 * How parsers (YAML here, the wire in src/wire) make a policy document.
 *
 * A builder fills struct policy_document from policy_document_new() and finishes it. All functions
 * that return memory return NULL when the document would grow past its bound or memory is short;
 * a builder may go on regardless: policy_document_finish() then fails with RESOURCE_EXHAUSTED.
 */
#pragma once

#include "policy/document.h"

/* One step of the way to a field: a map key or field name, or an index when @name is NULL. */
struct policy_step {
    const char *name;
    size_t index;
};

/* Deepest field: network_policies.KEY.endpoints[0].deny_rules[0].params.KEY */
#define POLICY_MAX_STEPS 12

/**
 * struct policy_origin - Where the document came from, for messages
 * @locate: writes "source:line:column" of a field into @buf, or nothing; NULL when the origin has
 *          no positions
 * @ctx:    for @locate
 * @wire:   fields are called as in the .proto, not as in YAML, and the sender's defaults apply
 * @field_prefix: prefix of struct osa_error's field ("spec.policy"); "" for none
 */
struct policy_origin {
    void (*locate)(void *ctx, const struct policy_step *steps, size_t count, char *buf,
                   size_t size);
    void *ctx;
    bool wire;
    const char *field_prefix;
};

/**
 * policy_document_new() - An empty document for a builder
 * Return: to be finished, or dropped with policy_document_unref(); NULL without memory.
 */
struct policy_document *policy_document_new(void);

/** policy_alloc() - Zeroed array of @count elements of @size bytes, freed with @doc. Return: NULL when refused or @count is 0 */
void *policy_alloc(struct policy_document *doc, size_t count, size_t size);

/** policy_copy() - NUL-terminated copy of @len bytes, freed with @doc. Return: the copy, "" when refused */
const char *policy_copy(struct policy_document *doc, const char *text, size_t len);

/** policy_copyf() - policy_copy() of formatted text */
const char *policy_copyf(struct policy_document *doc, const char *fmt, ...) OSA_PRINTF(2, 3);

/**
 * policy_document_finish() - Fill in defaults, sort, validate, freeze
 * @doc:    taken, also on failure
 * @origin: for messages; NULL for none
 * @ret:    returned (release with policy_document_unref())
 * Return: OSA_OK; INVALID_ARGUMENT with the field and what to change; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_document_finish(struct policy_document *doc,
                                                    const struct policy_origin *origin,
                                                    const struct policy_document **ret,
                                                    struct osa_error *err);
