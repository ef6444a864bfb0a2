// SPDX-License-Identifier: Apache-2.0
#include "agent/aliases.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOPS_MAX 40

struct alias {
    char *path;       /* owned */
    const char *name; /* the document's */
};

/* Puts @name below @at, which is a path without links and without a final slash ("" is the root). */
static bool append(char *at, const char *name, size_t len)
{
    size_t used = strlen(at);
    if (len == 0 || (len == 1 && name[0] == '.'))
        return true;
    if (len == 2 && memcmp(name, "..", 2) == 0) {
        char *slash = strrchr(at, '/');
        if (slash != NULL)
            *slash = '\0';
        return true;
    }
    if (used + 1 + len >= PATH_MAX)
        return false;
    at[used] = '/';
    memcpy(at + used + 1, name, len);
    at[used + 1 + len] = '\0';
    return true;
}

/* The target of the link at @path below @root. Return: its length; -1 when it is no link */
static ssize_t read_link(const char *root, const char *path, char target[PATH_MAX])
{
    char whole[2 * PATH_MAX];
    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    ssize_t n = readlink(whole, target, PATH_MAX - 1);
    if (n >= 0)
        target[n] = '\0';
    return n;
}

/*
 * Follows links as a process whose root is @root does: none leads above it. Nothing of the sandbox
 * runs yet that could change them meanwhile.
 */
static bool follow(const char *root, const char *name, char ret[PATH_MAX])
{
    char rest[2 * PATH_MAX];
    char target[PATH_MAX];
    unsigned hops = 0;
    ret[0] = '\0';
    if ((size_t)snprintf(rest, sizeof(rest), "%s", name) >= sizeof(rest))
        return false;
    for (char *at = rest; *at != '\0';) {
        char before[PATH_MAX];
        at += strspn(at, "/");
        size_t len = strcspn(at, "/");
        memcpy(before, ret, strlen(ret) + 1);
        if (!append(ret, at, len))
            return false;
        at += len;
        ssize_t n = read_link(root, ret, target);
        if (n < 0)
            continue;
        char joined[2 * PATH_MAX];
        if (++hops > HOPS_MAX ||
            (size_t)snprintf(joined, sizeof(joined), "%s/%s", target, at) >= sizeof(joined))
            return false;
        memcpy(rest, joined, strlen(joined) + 1);
        at = rest;
        memcpy(ret, target[0] == '/' ? "" : before, target[0] == '/' ? 1 : strlen(before) + 1);
    }
    char whole[2 * PATH_MAX];
    (void)snprintf(whole, sizeof(whole), "%s%s", root, ret);
    return ret[0] != '\0' && access(whole, F_OK) == 0;
}

static void add(struct aliases *aliases, const char *path, const char *name)
{
    struct alias *grown = realloc(aliases->items, (aliases->count + 1) * sizeof(*aliases->items));
    char *copy = strdup(path);
    if (grown == NULL || copy == NULL)
        abort();
    aliases->items = grown;
    aliases->items[aliases->count++] = (struct alias){ .path = copy, .name = name };
}

static bool may_be_link(const char *name)
{
    return name[0] == '/' && strchr(name, '*') == NULL;
}

const char **aliases_names(const struct policy_document *doc)
{
    size_t count = 0;
    for (size_t i = 0; i < doc->rule_count; i++)
        count += doc->rules[i].binary_count;
    const char **names = calloc(count + 1, sizeof(*names));
    if (names == NULL)
        abort();
    count = 0;
    for (size_t i = 0; i < doc->rule_count; i++) {
        for (size_t k = 0; k < doc->rules[i].binary_count; k++) {
            const char *name = policy_binary_path(&doc->rules[i].binaries[k], NULL);
            if (may_be_link(name))
                names[count++] = name;
        }
    }
    return names;
}

void aliases_resolve(const struct policy_document *doc, const char *root, struct aliases *ret)
{
    char path[PATH_MAX];
    *ret = (struct aliases){ 0 };
    for (size_t i = 0; i < doc->rule_count; i++) {
        for (size_t k = 0; k < doc->rules[i].binary_count; k++) {
            const char *name = policy_binary_path(&doc->rules[i].binaries[k], NULL);
            if (may_be_link(name) && follow(root, name, path) && strcmp(path, name) != 0)
                add(ret, path, name);
        }
    }
}

void aliases_done(struct aliases *aliases)
{
    for (size_t i = 0; i < aliases->count; i++)
        free(aliases->items[i].path);
    free(aliases->items);
    *aliases = (struct aliases){ 0 };
}

const char *aliases_of(const struct aliases *aliases, const char *path, size_t *at)
{
    while (*at < aliases->count) {
        const struct alias *alias = &aliases->items[(*at)++];
        if (strcmp(alias->path, path) == 0)
            return alias->name;
    }
    return NULL;
}
