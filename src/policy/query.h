// SPDX-License-Identifier: Apache-2.0
/* Queries of request targets, read in place; private to src/policy. */
#pragma once

#include "policy/request.h"

/** policy_percent() - Value of the escape "%XX" at the start of @text; -1 when it is none */
int policy_percent(const char *text, size_t len);

/**
 * policy_query_decode() - Undo escapes, and '+' for a blank
 * @ret: as many bytes as @raw has
 * Return: false for a malformed escape.
 */
bool policy_query_decode(struct policy_text raw, char *ret, size_t *ret_len);

/**
 * policy_query_next() - Next pair of a query
 * @rest: what is left of it; moves on
 * Empty pairs are skipped; a pair without '=' has an empty value. Keys and values are still encoded.
 * Return: false at the end.
 */
bool policy_query_next(struct policy_text *rest, struct policy_text *ret_key,
                       struct policy_text *ret_value);

/** policy_query_is() - Whether an encoded key is @name. Return: true then */
bool policy_query_is(struct policy_text key, const char *name);
