// SPDX-License-Identifier: Apache-2.0
/* A directory of its own for each test, which is there and gone again. */
#pragma once

#include "cmocka_all.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Paths of the test's directory and of those in it: where to unpack, and what must stay as it is. */
static char tree[64];
static char inside[80];
static char outside[80];

/** tree_open() - For nftw(3): let a directory be read and emptied */
static inline int tree_open(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    (void)st;
    if (type == FTW_D || type == FTW_DNR)
        (void)chmod(path, 0700);
    return 0;
}

/** tree_unlink() - For nftw(3): remove what is there */
static inline int tree_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/** tree_set_up() - Make tree, inside and outside; a file "secret" is outside; cmocka test setup */
static inline int tree_set_up(void **state)
{
    char path[100];
    (void)state;
    (void)snprintf(tree, sizeof(tree), "/tmp/osa-tar-XXXXXX");
    if (mkdtemp(tree) == NULL)
        return -1;
    (void)snprintf(inside, sizeof(inside), "%s/in", tree);
    (void)snprintf(outside, sizeof(outside), "%s/out", tree);
    (void)snprintf(path, sizeof(path), "%s/secret", outside);
    if (mkdir(inside, 0755) != 0 || mkdir(outside, 0755) != 0)
        return -1;
    FILE *file = fopen(path, "w");
    return file != NULL && fputs("untouched", file) >= 0 && fclose(file) == 0 &&
                   chmod(path, 0644) == 0
               ? 0
               : -1;
}

/** tree_tear_down() - Remove it, following no link; cmocka test teardown */
static inline int tree_tear_down(void **state)
{
    (void)state;
    (void)nftw(tree, tree_open, 16, FTW_PHYS);
    return nftw(tree, tree_unlink, 16, FTW_PHYS | FTW_DEPTH);
}

/** tree_path() - Path of @name in @dir. Return: a static buffer; two calls back are still good */
static inline const char *tree_path(const char *dir, const char *name)
{
    static char paths[3][4400];
    static unsigned turn;
    char *path = paths[turn++ % 3];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

/** tree_put() - Write a file */
static inline void tree_put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/** tree_get() - Up to 255 bytes of a file. Return: a static buffer */
static inline const char *tree_get(const char *path)
{
    static char text[256];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

/** tree_stat() - lstat(2) that must succeed */
static inline struct stat tree_stat(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        fail_msg("no %s", path);
    return st;
}

/** tree_count() - Names in a directory */
static inline unsigned tree_count(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}
