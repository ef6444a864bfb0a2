// SPDX-License-Identifier: Apache-2.0
#include "launcher/pid_table.h"

#include <stdlib.h>

static size_t slot_of(const struct pid_table *table, pid_t pid)
{
    return ((uint32_t)pid * 2654435769u >> 7) & (table->size - 1); /* Knuth's multiplicative hash */
}

bool pid_table_reserve(struct pid_table *table)
{
    if (table->count * 2 < table->size)
        return true;
    struct pid_table grown = { .size = table->size == 0 ? 32 : table->size * 2 };
    grown.slots = calloc(grown.size, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return false;
    for (size_t i = 0; i < table->size; i++) {
        if (table->slots[i].pid != 0)
            pid_table_put(&grown, table->slots[i]);
    }
    free(table->slots);
    *table = grown;
    return true;
}

void pid_table_put(struct pid_table *table, struct pid_entry entry)
{
    size_t i = slot_of(table, entry.pid);
    while (table->slots[i].pid != 0)
        i = (i + 1) & (table->size - 1);
    table->slots[i] = entry;
    table->count++;
}

struct pid_entry *pid_table_find(const struct pid_table *table, pid_t pid)
{
    if (table->size == 0)
        return NULL;
    for (size_t i = slot_of(table, pid); table->slots[i].pid != 0;
         i = (i + 1) & (table->size - 1)) {
        if (table->slots[i].pid == pid)
            return &table->slots[i];
    }
    return NULL;
}

/* Entries behind the hole move up when their own place is at or before it, so that no chain breaks. */
void pid_table_remove(struct pid_table *table, const struct pid_entry *entry)
{
    size_t mask = table->size - 1;
    size_t hole = (size_t)(entry - table->slots);
    for (size_t i = (hole + 1) & mask; table->slots[i].pid != 0; i = (i + 1) & mask) {
        size_t home = slot_of(table, table->slots[i].pid);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = (struct pid_entry){ 0 };
    table->count--;
}

void pid_table_free(struct pid_table *table)
{
    free(table->slots);
    *table = (struct pid_table){ 0 };
}
