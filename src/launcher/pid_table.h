// SPDX-License-Identifier: Apache-2.0
/* The children that a process of the launcher has made on purpose, by pid; constant time at any size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* @tag is the owner's: kinds of children. */
struct pid_entry {
    pid_t pid;
    uint32_t tag;
    uint64_t key;
};

/** struct pid_table - Open addressing, linear probing; all zero is an empty table */
struct pid_table {
    struct pid_entry *slots; /* owned; pid 0: free */
    size_t size;             /* a power of two, or 0 */
    size_t count;
};

/** pid_table_reserve() - Make sure that one more entry fits. Return: false without memory */
bool pid_table_reserve(struct pid_table *table);

/** pid_table_put() - Add an entry after pid_table_reserve(); the pid must not be in it */
void pid_table_put(struct pid_table *table, struct pid_entry entry);

/** pid_table_find() - Return: the entry, valid until the next change; NULL */
struct pid_entry *pid_table_find(const struct pid_table *table, pid_t pid);

/** pid_table_remove() - Remove @entry, which pid_table_find() gave */
void pid_table_remove(struct pid_table *table, const struct pid_entry *entry);

/** pid_table_free() - Free the slots and leave an empty table */
void pid_table_free(struct pid_table *table);
