// SPDX-License-Identifier: Apache-2.0
#include "backends/process/carve.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES_MAX 8192 /* Landlock opens each; /etc has some hundreds */

static bool is_below(const char *path, const char *dir)
{
    size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && path[len + 1] != '\0';
}

/* Is there something to hide strictly below @dir? */
static bool holds_hidden(const char *dir, const char *const *hidden)
{
    for (; *hidden != NULL; hidden++)
        if (is_below(*hidden, dir))
            return true;
    return false;
}

/* Is @path hidden, or in a directory that is? */
static bool is_hidden(const char *path, const char *const *hidden)
{
    for (; *hidden != NULL; hidden++)
        if (strcmp(path, *hidden) == 0 || is_below(path, *hidden))
            return true;
    return false;
}

static enum osa_code add(struct carved *self, const struct policy_path *item, const char *shown,
                         struct osa_error *err)
{
    if (self->count == self->room) {
        if (self->room >= ENTRIES_MAX) {
            enum osa_code code = osa_fail(
                err, OSA_FAILED_PRECONDITION, 0,
                "landlock: '%.128s' holds files of the agent and too much beside them; move "
                "them, or list less of it in the policy",
                shown);
            if (err != NULL)
                err->stage = "landlock";
            return code;
        }
        size_t room = self->room == 0 ? 64 : self->room * 2;
        struct policy_path *items = realloc(self->items, room * sizeof(*items));
        if (items == NULL)
            return osa_fail_errno(err, ENOMEM, "policy paths");
        self->items = items;
        self->room = room;
    }
    self->items[self->count++] = *item;
    return OSA_OK;
}

/* Everything in @dir but what is hidden; @dir is an absolute real path. */
static enum osa_code add_beside(struct carved *self, const char *dir, const char *const *hidden,
                                struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    DIR *stream = opendir(dir);
    if (stream == NULL)
        return OSA_OK; /* what we cannot list stays out as a whole */
    for (struct dirent *entry; code == OSA_OK && (entry = readdir(stream)) != NULL;) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *path = osa_arena_printf(&self->texts, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir,
                                            entry->d_name);
        if (is_hidden(path, hidden) || lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
            continue;
        if (holds_hidden(path, hidden))
            code = add_beside(self, path, hidden, err);
        else
            code = add(self, &(struct policy_path){ .path = path, .optional = true }, dir, err);
    }
    (void)closedir(stream);
    return code;
}

enum osa_code carve_paths(const struct policy_path *paths, size_t count, const char *const *hidden,
                          struct carved *ret, struct osa_error *err)
{
    static const char *const nothing[] = { NULL };
    enum osa_code code = OSA_OK;
    if (hidden == NULL)
        hidden = nothing;
    for (size_t i = 0; i < count && code == OSA_OK; i++) {
        char real[PATH_MAX];
        const char *path = realpath(paths[i].path, real) != NULL ? real : paths[i].path;
        if (!paths[i].writable && is_hidden(path, hidden))
            continue;
        if (!paths[i].writable && holds_hidden(path, hidden))
            code = add_beside(ret, path, hidden, err);
        else
            code = add(ret, &paths[i], path, err);
    }
    return code;
}

const char *carve_find(const struct policy_path *paths, size_t count, const char *const *hidden,
                       const char **ret_shown)
{
    for (size_t i = 0; hidden != NULL && i < count; i++) {
        char real[PATH_MAX];
        if (!paths[i].writable)
            continue;
        const char *path = realpath(paths[i].path, real) != NULL ? real : paths[i].path;
        for (const char *const *at = hidden; *at != NULL; at++) {
            if (is_below(*at, path) || strcmp(*at, path) == 0 || is_below(path, *at)) {
                *ret_shown = paths[i].path;
                return *at;
            }
        }
    }
    return NULL;
}

void carved_done(struct carved *carved)
{
    free(carved->items);
    osa_arena_done(&carved->texts);
    *carved = (struct carved){ 0 };
}
