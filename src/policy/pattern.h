// SPDX-License-Identifier: Apache-2.0
/*
 * Globs, compiled. Matching is bytewise and takes time linear in the text: a table of states where
 * the pattern has few of them, a walk over sets of states else. Nothing ever backtracks.
 *
 * The language is that of upstream's matcher: * and ? do not match the separator, ** as a whole
 * component does, [class] may, {a,b} and \x are known. With '.' as separator ** crosses dots only
 * at the start or end, and a dot counts as three bytes for ? and [class], as it does upstream.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>

struct policy_pattern;

enum { POLICY_MAX_PATTERN_STEPS = 2000 /* about the bytes of a pattern, more for stars */ };

/**
 * policy_pattern_compile() - A pattern from a glob
 * @arena: takes the pattern and frees it
 * @separator: '/', '.', or 0: none, * and ? match every byte
 * @ret: lives as long as @arena
 * Thread: any. Return: OSA_OK; INVALID_ARGUMENT for a malformed or too large one.
 */
OSA_MUST_CHECK enum osa_code policy_pattern_compile(struct osa_arena *arena, const char *glob,
                                                    char separator,
                                                    const struct policy_pattern **ret,
                                                    struct osa_error *err);

/**
 * policy_pattern_compile_route() - A pattern for choosing an endpoint by path
 * In this language * and ? match every byte, ** stands only as a whole component, braces are plain.
 * Return: as policy_pattern_compile()
 */
OSA_MUST_CHECK enum osa_code policy_pattern_compile_route(struct osa_arena *arena, const char *glob,
                                                          const struct policy_pattern **ret,
                                                          struct osa_error *err);

/** policy_pattern_match() - Whether all of @text matches. Thread: any; allocates nothing */
bool policy_pattern_match(const struct policy_pattern *pattern, const char *text, size_t len);
