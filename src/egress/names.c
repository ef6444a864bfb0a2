// SPDX-License-Identifier: Apache-2.0
#include "egress/names.h"

#include "base/macros.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct name {
    uint32_t address;
    int64_t confirmed_ns;
    int64_t used_ns;
    UT_hash_handle by_name;
    UT_hash_handle by_address;
    char text[];
};

/* @next: the address for the next name; they are used up after 131,070 names of a /15. */
struct names {
    struct name *by_name;
    struct name *by_address;
    uint32_t next;
    uint32_t last;
};

struct names *names_new(uint32_t net, unsigned prefix)
{
    struct names *names = calloc(1, sizeof(*names));
    if (names == NULL)
        abort();
    names->next = net + 1; /* the network's own address and its broadcast are left out */
    names->last = (net | (UINT32_MAX >> prefix)) - 1;
    return names;
}

static void forget(struct names *names, struct name *name)
{
    HASH_DELETE(by_name, names->by_name, name);
    HASH_DELETE(by_address, names->by_address, name);
    free(name);
}

void names_free(struct names *names)
{
    struct name *name;
    struct name *next;
    if (names == NULL)
        return;
    HASH_ITER(by_name, names->by_name, name, next)
    forget(names, name);
    free(names);
}

static struct name *find(struct names *names, const char *text)
{
    struct name *name;
    HASH_FIND(by_name, names->by_name, text, strlen(text), name);
    return name;
}

uint32_t names_fresh(struct names *names, const char *text, int64_t now_ns, int64_t max_age_ns)
{
    struct name *name = find(names, text);
    if (name == NULL || now_ns - name->confirmed_ns > max_age_ns)
        return 0;
    name->used_ns = now_ns;
    return name->address;
}

/* Return: there is room for one more. */
static bool make_room(struct names *names, int64_t now_ns, int64_t rest_ns)
{
    struct name *name;
    struct name *next;
    struct name *oldest = NULL;
    if (names->next > names->last)
        return false;
    if (HASH_CNT(by_name, names->by_name) < NAMES_MAX)
        return true;
    HASH_ITER(by_name, names->by_name, name, next)
    {
        if (oldest == NULL || name->used_ns < oldest->used_ns)
            oldest = name;
    }
    if (oldest == NULL || now_ns - oldest->used_ns < rest_ns)
        return false;
    forget(names, oldest);
    return true;
}

uint32_t names_confirm(struct names *names, const char *text, int64_t now_ns, int64_t rest_ns)
{
    size_t len = strlen(text);
    struct name *name = find(names, text);
    if (name == NULL) {
        if (!make_room(names, now_ns, rest_ns))
            return 0;
        name = calloc(1, sizeof(*name) + len + 1);
        if (name == NULL)
            return 0;
        memcpy(name->text, text, len + 1);
        name->address = names->next++;
        HASH_ADD_KEYPTR(by_name, names->by_name, name->text, len, name);
        HASH_ADD(by_address, names->by_address, address, sizeof(name->address), name);
    }
    name->confirmed_ns = name->used_ns = now_ns;
    return name->address;
}

const char *names_of(struct names *names, uint32_t address, int64_t now_ns)
{
    struct name *name;
    HASH_FIND(by_address, names->by_address, &address, sizeof(address), name);
    if (name == NULL)
        return NULL;
    name->used_ns = now_ns;
    return name->text;
}

void names_sweep(struct names *names, bool (*keep)(void *ctx, const char *name), void *ctx)
{
    struct name *name;
    struct name *next;
    HASH_ITER(by_name, names->by_name, name, next)
    {
        if (!keep(ctx, name->text))
            forget(names, name);
    }
}
