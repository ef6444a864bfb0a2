// SPDX-License-Identifier: Apache-2.0
/*
 * Landlock knows no exceptions: a rule is about everything beneath its path. Where mounts cannot hide the
 * agent's own files, a path that a policy shows and that holds some of them is replaced by what lies
 * beside them.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "policy/paths.h"

/**
 * struct carved - The result; zeroed by its owner at the start
 * @items: owned; the text is the arena's, or the input's where nothing was replaced
 */
struct carved {
    struct policy_path *items;
    size_t count;
    size_t room;
    struct osa_arena texts;
};

/**
 * carve_paths() - Take what is @hidden out of what is shown
 * @paths:  what the policy shows; borrowed, and must outlive the result
 * @hidden: absolute, without symbolic links, NULL-terminated, or NULL
 *
 * A directory that is replaced can neither be listed nor get new entries any more; symbolic links in it
 * stay out, for a rule would be about their targets. Paths that are shown writable are kept as they
 * are: programs need to make files there. See carve_find() for those.
 * Return: OSA_OK; FAILED_PRECONDITION, stage "landlock": a directory has too many entries.
 */
OSA_MUST_CHECK enum osa_code carve_paths(const struct policy_path *paths, size_t count,
                                         const char *const *hidden, struct carved *ret,
                                         struct osa_error *err);

/** carve_find() - The first of @hidden that lies at or below a path that is shown writable; NULL: none */
const char *carve_find(const struct policy_path *paths, size_t count, const char *const *hidden,
                       const char **ret_shown);

/** carved_done() - Free it */
void carved_done(struct carved *carved);
