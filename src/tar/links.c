// SPDX-License-Identifier: Apache-2.0
#include "tar/links.h"

#include <stdlib.h>
#include <string.h>

struct tar_link {
    char *name; /* owned; NULL: free */
    dev_t device;
    ino_t inode;
};

static struct tar_link *slot_of(const struct tar_links *links, dev_t device, ino_t inode)
{
    uint64_t hash = ((uint64_t)inode ^ (uint64_t)device << 40) * 0x9e3779b97f4a7c15u;
    for (size_t at = (size_t)(hash >> 32);; at++) {
        struct tar_link *slot = &links->slots[at & (links->size - 1)];
        if (slot->name == NULL || (slot->device == device && slot->inode == inode))
            return slot;
    }
}

const char *tar_links_find(const struct tar_links *links, dev_t device, ino_t inode)
{
    return links->size == 0 ? NULL : slot_of(links, device, inode)->name;
}

/* At most half full. Return: false without memory. */
static bool make_room(struct tar_links *links)
{
    if (links->count * 2 < links->size)
        return true;
    struct tar_links larger = { .size = links->size == 0 ? 64 : links->size * 2 };
    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < links->size; i++) {
        const struct tar_link *old = &links->slots[i];
        if (old->name != NULL)
            *slot_of(&larger, old->device, old->inode) = *old;
    }
    larger.count = links->count;
    free(links->slots);
    *links = larger;
    return true;
}

void tar_links_add(struct tar_links *links, dev_t device, ino_t inode, const char *name)
{
    if (links->count >= TAR_LINKS_MAX || !make_room(links))
        return;
    char *copy = strdup(name);
    if (copy == NULL)
        return;
    *slot_of(links, device, inode) =
        (struct tar_link){ .name = copy, .device = device, .inode = inode };
    links->count++;
}

void tar_links_done(struct tar_links *links)
{
    for (size_t i = 0; i < links->size; i++)
        free(links->slots[i].name);
    free(links->slots);
    *links = (struct tar_links){ 0 };
}
