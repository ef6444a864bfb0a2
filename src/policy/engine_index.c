// SPDX-License-Identifier: Apache-2.0
/*
 * From host and port to endpoints. An endpoint without a star in its host is found by the whole
 * host. One with a star is found by the labels behind its last star, which nearly all patterns have
 * ("*.example.com"), and then matched. So a decision costs as many look-ups as its host has dots,
 * however many endpoints there are.
 */
#include "policy/engine_internal.h"

#include <ctype.h>
#include <string.h>

/* One endpoint under one key, while the index is built. */
struct entry {
    const char *host;
    uint32_t len;
    uint16_t port;
    uint8_t kind;
    uint32_t endpoint;
};

/* FNV-1a, from the end of the text to its start, so that one pass gives the hash of each suffix. */
static const uint32_t HASH_START = 2166136261u;

static inline uint32_t hash_byte(uint32_t hash, char byte)
{
    return (hash ^ (uint8_t)byte) * 16777619u;
}

static inline uint32_t hash_key(uint32_t hash, uint16_t port, uint8_t kind)
{
    uint32_t mixed = (hash ^ port ^ (uint32_t)kind << 24) * 2654435769u;
    return mixed ^ mixed >> 15;
}

static uint32_t hash_text(const char *text, size_t len)
{
    uint32_t hash = HASH_START;
    while (len > 0)
        hash = hash_byte(hash, text[--len]);
    return hash;
}

/* Return: where the labels behind the last special byte of a pattern begin; its end for none */
static const char *literal_suffix(const char *pattern)
{
    const char *last = pattern;
    for (const char *p = pattern; *p != '\0'; p++)
        if (strchr("*?[]{}\\", *p) != NULL)
            last = p + (*p == '\\' && p[1] != '\0');
    const char *dot = *last == '\0' ? NULL : strchr(last + 1, '.');
    return dot != NULL ? dot + 1 : pattern + strlen(pattern);
}

static void set_key(struct policy_engine *engine, const struct engine_endpoint *endpoint,
                    struct entry *entry)
{
    const char *host = endpoint->source->host;
    entry->kind = host[0] == '\0'          ? ENGINE_KEY_ANY
                  : endpoint->host != NULL ? ENGINE_KEY_SUFFIX
                                           : ENGINE_KEY_HOST;
    const char *key = entry->kind == ENGINE_KEY_SUFFIX ? literal_suffix(host) : host;
    size_t len = strlen(key);
    char *lower = osa_arena_alloc(&engine->arena, len + 1);
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)tolower((unsigned char)key[i]);
    entry->host = lower;
    entry->len = (uint32_t)len;
}

static int compare_keys(const struct entry *a, const struct entry *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    return strcmp(a->host, b->host);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = compare_keys(x, y);
    if (order == 0 && x->endpoint != y->endpoint)
        return x->endpoint < y->endpoint ? -1 : 1;
    return order;
}

/* Return: entries, sorted, without doubles; *ret_count of them, *ret_keys different keys */
static struct entry *list_entries(struct policy_engine *engine, struct osa_arena *scratch,
                                  size_t *ret_count, size_t *ret_keys)
{
    size_t count = 0;
    for (uint32_t i = 0; i < engine->endpoint_count; i++)
        count += engine->endpoints[i].source->port_count;
    struct entry *entries = osa_arena_alloc(scratch, sizeof(*entries) * (count + 1));
    count = 0;
    for (uint32_t i = 0; i < engine->endpoint_count; i++) {
        struct entry entry = { .endpoint = i };
        set_key(engine, &engine->endpoints[i], &entry);
        engine->index.suffixes = engine->index.suffixes || entry.kind == ENGINE_KEY_SUFFIX;
        for (size_t k = 0; k < engine->endpoints[i].source->port_count; k++) {
            entry.port = (uint16_t)engine->endpoints[i].source->ports[k];
            entries[count++] = entry;
        }
    }
    qsort(entries, count, sizeof(*entries), compare_entries);
    size_t kept = 0;
    size_t keys = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && compare_entries(&entries[kept - 1], &entries[i]) == 0)
            continue; /* a port twice */
        keys += kept == 0 || compare_keys(&entries[kept - 1], &entries[i]) != 0;
        entries[kept++] = entries[i];
    }
    *ret_count = kept;
    *ret_keys = keys;
    return entries;
}

/* Return: the bucket of the key, or the free one where it belongs */
static struct engine_bucket *find_bucket(const struct engine_index *index, uint32_t hash,
                                         const char *host, size_t len, uint16_t port, uint8_t kind)
{
    for (size_t at = hash_key(hash, port, kind);; at++) {
        struct engine_bucket *bucket = &index->buckets[at & index->mask];
        if (bucket->host == NULL || (bucket->port == port && bucket->kind == kind &&
                                     bucket->len == len && memcmp(bucket->host, host, len) == 0))
            return bucket;
    }
}

void engine_index_build(struct policy_engine *engine)
{
    OSA_AUTO(osa_arena_done) struct osa_arena scratch = { 0 };
    struct engine_index *index = &engine->index;
    size_t count = 0;
    size_t keys = 0;
    struct entry *entries = list_entries(engine, &scratch, &count, &keys);
    size_t size = 8;
    while (size < 2 * keys)
        size *= 2;
    index->mask = size - 1;
    index->buckets = osa_arena_alloc(&engine->arena, sizeof(*index->buckets) * size);
    index->ids = osa_arena_alloc(&engine->arena, sizeof(*index->ids) * (count + 1));
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &entries[i];
        struct engine_bucket *bucket =
            find_bucket(index, hash_text(e->host, e->len), e->host, e->len, e->port, e->kind);
        if (bucket->host == NULL)
            *bucket = (struct engine_bucket){ .host = e->host,
                                              .len = e->len,
                                              .port = e->port,
                                              .kind = e->kind,
                                              .first = (uint32_t)i };
        bucket->count++;
        index->ids[i] = e->endpoint;
    }
}

/* ---- looking up ---- */

static void visit(struct engine_walk *walk, uint32_t hash, const char *host, size_t len,
                  uint16_t port, uint8_t kind)
{
    const struct engine_index *index = &walk->engine->index;
    const struct engine_bucket *bucket = find_bucket(index, hash, host, len, port, kind);
    if (bucket->host == NULL)
        return;
    walk->at[walk->count] = index->ids + bucket->first;
    walk->left[walk->count++] = bucket->count;
}

void engine_walk_begin(const struct policy_engine *engine, const char *host, size_t host_len,
                       uint16_t port, struct engine_walk *ret)
{
    ret->engine = engine;
    ret->host = host;
    ret->host_len = host_len;
    ret->count = 0;
    if (engine->index.buckets == NULL)
        return;
    uint32_t hash = HASH_START;
    visit(ret, hash, "", 0, port, ENGINE_KEY_ANY);
    if (engine->index.suffixes)
        visit(ret, hash, "", 0, port, ENGINE_KEY_SUFFIX);
    for (size_t i = host_len; i > 0; i--) {
        if (host[i - 1] == '.' && i < host_len && engine->index.suffixes)
            visit(ret, hash, host + i, host_len - i, port, ENGINE_KEY_SUFFIX);
        hash = hash_byte(hash, host[i - 1]);
    }
    visit(ret, hash, host, host_len, port, ENGINE_KEY_HOST);
}

uint32_t engine_walk_next(struct engine_walk *walk)
{
    for (;;) {
        size_t best = walk->count;
        for (size_t i = 0; i < walk->count; i++)
            if (walk->left[i] > 0 && (best == walk->count || *walk->at[i] < *walk->at[best]))
                best = i;
        if (best == walk->count)
            return UINT32_MAX;
        uint32_t id = *walk->at[best]++;
        walk->left[best]--;
        const struct engine_endpoint *endpoint = &walk->engine->endpoints[id];
        if (endpoint->host == NULL ||
            policy_pattern_match(endpoint->host, walk->host, walk->host_len))
            return id;
    }
}
