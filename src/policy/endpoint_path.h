// SPDX-License-Identifier: Apache-2.0
/*
 * Paths that choose: an endpoint of a policy, or where a credential may be used. Everything for "",
 * a single "**" and one below the root; "/p/" with two stars is /p and all below it; else a glob
 * whose star crosses slashes, or the path as it is written.
 */
#pragma once

#include "base/arena.h"
#include "policy/request.h"

#include <stdbool.h>

struct policy_pattern;

/**
 * struct endpoint_path - Embedded; what it points to lives in the arena of its compilation
 * @any:     every path
 * @dir:     "/p" of a path that stands for itself and all below; NULL
 * @pattern: NULL: only @exact
 * @exact:   the path as it is written
 */
struct endpoint_path {
    bool any;
    const char *dir;
    const struct policy_pattern *pattern;
    const char *exact;
};

/** endpoint_path_compile() - A glob that cannot be read stands for itself. @path is copied */
void endpoint_path_compile(struct osa_arena *arena, const char *path, struct endpoint_path *ret);

/** endpoint_path_match() - Whether it chooses @path, which is canonical and without query */
bool endpoint_path_match(const struct endpoint_path *self, struct policy_text path);
