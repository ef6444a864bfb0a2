// SPDX-License-Identifier: Apache-2.0
#include "policy/endpoint_path.h"

#include "policy/pattern.h"

#include <string.h>

void endpoint_path_compile(struct osa_arena *arena, const char *path, struct endpoint_path *ret)
{
    size_t len = strlen(path);
    struct osa_error ignored;
    *ret = (struct endpoint_path){ .exact = osa_arena_strdup(arena, path) };
    ret->any = len == 0 || strcmp(path, "**") == 0 || strcmp(path, "/**") == 0;
    if (ret->any)
        return;
    if (len > 3 && strcmp(path + len - 3, "/**") == 0 && strcspn(path, "*?[") == len - 2) {
        char *dir = osa_arena_copy(arena, path, len + 1);
        dir[len - 3] = '\0';
        ret->dir = dir;
        return;
    }
    if (policy_pattern_compile_route(arena, path, &ret->pattern, &ignored) != OSA_OK)
        ret->pattern = NULL;
}

bool endpoint_path_match(const struct endpoint_path *self, struct policy_text path)
{
    if (self->any)
        return true;
    if (self->dir != NULL) {
        size_t len = strlen(self->dir);
        return path.len >= len && memcmp(path.data, self->dir, len) == 0 &&
               (path.len == len || path.data[len] == '/');
    }
    if (self->pattern != NULL && policy_pattern_match(self->pattern, path.data, path.len))
        return true;
    return strlen(self->exact) == path.len && memcmp(self->exact, path.data, path.len) == 0;
}
