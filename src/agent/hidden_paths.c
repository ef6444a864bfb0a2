// SPDX-License-Identifier: Apache-2.0
#include "agent/hidden_paths.h"

#include "base/macros.h"
#include "base/paths.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Return: the copy that the list has. */
static const char *add(struct hidden_paths *self, const char *path)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->items[i], path) == 0)
            return self->items[i];
    char **items = realloc(self->items, (self->count + 2) * sizeof(char *));
    char *copy = strdup(path);
    if (items == NULL || copy == NULL)
        abort(); /* at the start, a few hundred bytes */
    self->items = items;
    self->items[self->count++] = copy;
    self->items[self->count] = NULL;
    return copy;
}

/*
 * The directory's real path and the last part as given: the file itself need not be there yet.
 * Return: what was added; NULL: nothing, for there is no such directory.
 */
static const char *add_file(struct hidden_paths *files, const char *path)
{
    char dir[PATH_MAX] = ".";
    char real[PATH_MAX];
    char whole[2 * PATH_MAX];
    if (path == NULL || path[0] == '\0')
        return NULL;
    const char *slash = strrchr(path, '/');
    if (slash != NULL)
        (void)snprintf(dir, sizeof(dir), "%.*s", (int)OSA_MAX(slash - path, (ptrdiff_t)1), path);
    if (realpath(dir, real) == NULL)
        return NULL; /* whoever opens the file says so */
    (void)snprintf(whole, sizeof(whole), "%s/%s", strcmp(real, "/") == 0 ? "" : real,
                   slash != NULL ? slash + 1 : path);
    return add(files, whole);
}

static size_t dir_len(const char *file)
{
    return (size_t)(strrchr(file, '/') - file);
}

/* Is DIR/NAME one of the files, or what stands beside a socket? */
static bool is_ours(const struct hidden_paths *files, const char *dir, size_t len, const char *name)
{
    for (size_t i = 0; i < files->count; i++) {
        const char *file = files->items[i];
        if (dir_len(file) != len || strncmp(file, dir, len) != 0)
            continue;
        const char *own = file + len + 1;
        size_t own_len = strlen(own);
        if (strncmp(name, own, own_len) == 0 &&
            (name[own_len] == '\0' || strcmp(name + own_len, ".lock") == 0 ||
             strcmp(name + own_len, ".new") == 0))
            return true;
    }
    return false;
}

/* Is the directory of @file private, and for nothing else? */
static bool in_own_dir(const struct hidden_paths *files, const char *file)
{
    char path[PATH_MAX];
    struct stat st;
    size_t len = dir_len(file);
    (void)snprintf(path, sizeof(path), "%.*s", (int)len, file);
    if (len == 0 || stat(path, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0077) != 0)
        return false;
    DIR *dir = opendir(path);
    bool ours = dir != NULL;
    for (struct dirent *entry; ours && (entry = readdir(dir)) != NULL;)
        ours = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
               is_ours(files, file, len, entry->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    return ours;
}

/* A link to a secret hides nothing unless what it leads to is hidden as well. */
static void add_secret(struct hidden_paths *self, const char *path)
{
    char real[PATH_MAX];
    const char *file = add_file(self, path);
    if (file == NULL || realpath(path, real) == NULL || strcmp(real, file) == 0)
        return;
    size_t len = dir_len(file);
    if (len > 0 && strncmp(real, file, len) == 0 && real[len] == '/')
        real[len] = '\0';
    (void)add(self, real);
}

void hidden_paths_secrets(struct hidden_paths *self, const struct agent_config *config,
                          const char *token_file)
{
    *self = (struct hidden_paths){ 0 };
    add_secret(self, token_file);
    add_secret(self, config->viewer_token_file);
    add_secret(self, config->tls_key);
    add_secret(self, config->egress.parent.auth_file);
}

/* Is @path in a directory that is hidden whole? */
static bool is_covered(const struct hidden_paths *self, const char *path)
{
    for (size_t i = 0; i < self->count; i++) {
        size_t len = strlen(self->items[i]);
        if (strncmp(path, self->items[i], len) == 0 && path[len] == '/')
            return true;
    }
    return false;
}

void hidden_paths_init(struct hidden_paths *self, const struct agent_config *config,
                       const char *token_file)
{
    struct hidden_paths files = { 0 };
    char path[PATH_MAX];
    *self = (struct hidden_paths){ 0 };
    for (size_t i = 0; i < config->listen.count; i++)
        if (strncmp(config->listen.items[i], "unix:", 5) == 0)
            (void)add_file(&files, config->listen.items[i] + 5);
    (void)add_file(&files, token_file);
    (void)add_file(&files, config->viewer_token_file);
    (void)add_file(&files, config->tls_key);
    (void)add_file(&files, config->egress.parent.auth_file);
    (void)add_file(&files, config->egress.ocsf_file);
    (void)add_file(&files, config->state_dir);
    for (size_t i = 0; i < files.count; i++) {
        const char *file = files.items[i];
        (void)snprintf(path, sizeof(path), "%.*s",
                       in_own_dir(&files, file) ? (int)dir_len(file) : (int)strlen(file), file);
        (void)add(self, path);
    }
    osa_runtime_dir(path, sizeof(path));
    (void)add(self, path);
    hidden_paths_done(&files);
    hidden_paths_secrets(&files, config, token_file);
    for (size_t i = 0; i < files.count; i++)
        if (!is_covered(self, files.items[i]))
            (void)add(self, files.items[i]);
    hidden_paths_done(&files);
}

void hidden_paths_done(struct hidden_paths *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
    *self = (struct hidden_paths){ 0 };
}
