// SPDX-License-Identifier: Apache-2.0
/* Files with several names: under which the archive has them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* More files than that with several names are packed under each of them. */
#define TAR_LINKS_MAX 65536u

struct tar_link;

/** struct tar_links - Names by file; all zero is an empty table */
struct tar_links {
    struct tar_link *slots; /* owned; open addressing */
    size_t size;
    size_t count;
};

/**
 * tar_links_find() - The name that the file was added with. Return: NULL: none; borrowed until the next change
 */
const char *tar_links_find(const struct tar_links *links, dev_t device, ino_t inode);

/** tar_links_add() - Remember a file that is not in the table. Without memory, or when it is full, nothing is remembered */
void tar_links_add(struct tar_links *links, dev_t device, ino_t inode, const char *name);

/** tar_links_done() - Free the contents */
void tar_links_done(struct tar_links *links);
