// SPDX-License-Identifier: Apache-2.0
#include "policy/pattern.h"
#include "policy/provider_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "openshell:resolve:env:"

/* ---- generations ---- */

static void generation_free(struct generation *generation)
{
    for (size_t i = 0; i < generation->count; i++)
        osa_wipe(generation->items[i].value, generation->items[i].len);
    osa_arena_done(&generation->arena);
    free(generation);
}

static void forget_from(struct generation **link)
{
    while (*link != NULL) {
        struct generation *next = (*link)->older;
        generation_free(*link);
        *link = next;
    }
}

const struct credential *provider_find_key(const struct generation *generation, const char *key,
                                           size_t len)
{
    for (size_t i = 0; generation != NULL && i < generation->count; i++) {
        const char *name = generation->items[i].key;
        if (strncmp(name, key, len) == 0 && name[len] == '\0')
            return &generation->items[i];
    }
    return NULL;
}

static enum osa_code compile_places(struct osa_arena *arena, const struct provider_variable *from,
                                    struct credential *to, struct osa_error *err)
{
    to->places = osa_arena_alloc(arena, (from->endpoint_count + 1) * sizeof(*to->places));
    for (size_t i = 0; i < from->endpoint_count; i++) {
        const struct provider_endpoint *endpoint = &from->endpoints[i];
        struct place *place = &to->places[i];
        char *host = osa_arena_copy(arena, endpoint->host, strlen(endpoint->host) + 1);
        for (char *p = host; *p != '\0'; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
        place->port = (uint16_t)endpoint->port;
        endpoint_path_compile(arena, endpoint->path, &place->path);
        enum osa_code code = policy_pattern_compile(arena, host, '.', &place->host, err);
        if (code != OSA_OK)
            return osa_wrap(err, "binding of %s", from->key);
    }
    to->place_count = from->endpoint_count;
    return OSA_OK;
}

static enum osa_code add_variable(struct generation *generation,
                                  const struct provider_variable *from, struct osa_error *err)
{
    struct osa_arena *arena = &generation->arena;
    if (!policy_placeholder_key(from->key))
        return OSA_OK;
    struct credential *to = &generation->items[generation->count++];
    to->key = osa_arena_strdup(arena, from->key);
    to->len = strlen(from->value);
    to->value = osa_arena_copy(arena, from->value, to->len + 1);
    to->expires_ms = from->expires_ms;
    to->bound = from->bound;
    to->identity = osa_arena_strdup(arena, from->bound ? from->identity : "");
    to->handle = osa_arena_strdup(arena, from->bound ? from->handle : "");
    return from->bound ? compile_places(arena, from, to, err) : OSA_OK;
}

static enum osa_code generation_make(uint64_t revision, const struct provider_variable *variables,
                                     size_t count, struct generation **ret, struct osa_error *err)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    enum osa_code code = provider_check(variables, count, err);
    if (generation == NULL)
        abort();
    generation->revision = revision;
    generation->items =
        osa_arena_alloc(&generation->arena, (count + 1) * sizeof(*generation->items));
    for (size_t i = 0; i < count && code == OSA_OK; i++)
        code = add_variable(generation, &variables[i], err);
    if (code == OSA_OK)
        *ret = generation;
    else
        generation_free(generation);
    return code;
}

/* ---- epochs ---- */

static void epoch_free(struct provider_env *env, struct epoch *epoch)
{
    HASH_DEL(env->epochs, epoch);
    free(epoch->key);
    free(epoch->identity);
    free(epoch);
}

struct epoch *provider_epoch(const struct provider_env *env, const char *key, size_t len)
{
    struct epoch *epoch;
    HASH_FIND(hh, env->epochs, key, len, epoch);
    return epoch;
}

static void note_epoch(struct provider_env *env, const struct credential *credential,
                       uint64_t revision)
{
    struct epoch *epoch = provider_epoch(env, credential->key, strlen(credential->key));
    if (epoch == NULL) {
        epoch = calloc(1, sizeof(*epoch));
        if (epoch == NULL || (epoch->key = strdup(credential->key)) == NULL)
            abort();
        HASH_ADD_KEYPTR(hh, env->epochs, epoch->key, strlen(epoch->key), epoch);
    }
    if (epoch->identity == NULL || strcmp(epoch->identity, credential->identity) != 0) {
        free(epoch->identity);
        epoch->identity = strdup(credential->identity);
        if (epoch->identity == NULL)
            abort();
        epoch->count = 0;
    }
    if (credential->handle[0] == '\0')
        epoch->revisions[epoch->count++ % REVISIONS_KEPT] = revision;
}

/* A key that is bound no longer keeps its place, without what its placeholders stood for. */
static void note_epochs(struct provider_env *env, const struct generation *generation)
{
    struct epoch *epoch;
    struct epoch *next;
    HASH_ITER(hh, env->epochs, epoch, next)
    {
        const struct credential *now =
            provider_find_key(generation, epoch->key, strlen(epoch->key));
        if (now == NULL || !now->bound || now->handle[0] != '\0')
            epoch->count = 0;
    }
    for (size_t i = 0; i < generation->count; i++)
        if (generation->items[i].bound)
            note_epoch(env, &generation->items[i], generation->revision);
}

/* ---- changes ---- */

static bool same_identities(const struct generation *a, const struct generation *b)
{
    size_t bound = 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct credential *here = &a->items[i];
        const struct credential *there = provider_find_key(b, here->key, strlen(here->key));
        if (!here->bound)
            continue;
        bound++;
        if (there == NULL || !there->bound || strcmp(here->identity, there->identity) != 0)
            return false;
    }
    for (size_t i = 0; i < b->count; i++)
        bound -= b->items[i].bound;
    return bound == 0;
}

struct provider_env *provider_env_new(void)
{
    struct provider_env *env = calloc(1, sizeof(*env));
    if (env == NULL)
        abort();
    return env;
}

void provider_env_free(struct provider_env *env)
{
    struct epoch *epoch;
    struct epoch *next;
    if (env == NULL)
        return;
    forget_from(&env->newest);
    HASH_ITER(hh, env->epochs, epoch, next)
    epoch_free(env, epoch);
    free(env);
}

void provider_env_revoke(struct provider_env *env)
{
    forget_from(&env->newest);
}

enum osa_code provider_env_install(struct provider_env *env, uint64_t revision,
                                   const struct provider_variable *variables, size_t count,
                                   struct osa_error *err)
{
    struct generation *generation = NULL;
    enum osa_code code = generation_make(revision, variables, count, &generation, err);
    env->revision = revision;
    if (code != OSA_OK) {
        provider_env_revoke(env);
        return code;
    }
    if (env->newest != NULL && (env->newest->revision == revision || env->newest->revision == 0)) {
        struct generation *replaced = env->newest;
        env->newest = replaced->older;
        bool same = same_identities(generation, replaced);
        generation_free(replaced);
        if (!same)
            forget_from(&env->newest);
    } else if (env->newest != NULL && !same_identities(generation, env->newest)) {
        forget_from(&env->newest);
    }
    generation->older = env->newest;
    env->newest = generation;
    struct generation **link = &env->newest;
    for (unsigned kept = 0; *link != NULL && kept < PROVIDER_GENERATIONS; kept++)
        link = &(*link)->older;
    forget_from(link);
    note_epochs(env, generation);
    return OSA_OK;
}

/* ---- what processes get ---- */

uint64_t provider_env_revision(const struct provider_env *env)
{
    return env->revision;
}

bool provider_env_active(const struct provider_env *env)
{
    return env != NULL && env->newest != NULL && env->newest->count > 0;
}

size_t provider_env_count(const struct provider_env *env)
{
    return provider_env_active(env) ? env->newest->count : 0;
}

/* Configuration of Google's clients, which read it before they send anything. */
static bool is_read_by_clients(const struct credential *item)
{
    static const char *const keys[] = { "GCP_PROJECT_ID",
                                        "GOOGLE_CLOUD_PROJECT",
                                        "CLOUD_ML_REGION",
                                        "GCP_LOCATION",
                                        "GCP_SERVICE_ACCOUNT_EMAIL",
                                        "GOOSE_PROVIDER",
                                        "ANTHROPIC_VERTEX_PROJECT_ID",
                                        "VERTEX_LOCATION" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(keys) && !item->bound; i++)
        if (strcmp(item->key, keys[i]) == 0)
            return true;
    return false;
}

const char *provider_env_variable(const struct provider_env *env, size_t index,
                                  struct osa_buf *value)
{
    const struct generation *now = env->newest;
    const struct credential *item = &now->items[index];
    bool added;
    osa_buf_reset(value);
    if (strncmp(item->key, "OPENSHELL_", 10) == 0 || strcmp(item->key, "GCE_METADATA_HOST") == 0)
        return NULL; /* our own, and a server that there is not */
    if (is_read_by_clients(item))
        added = osa_buf_add(value, item->value, item->len);
    else if (item->handle[0] != '\0')
        added = osa_buf_addf(value, PREFIX "s%s_%s", item->handle, item->key);
    else if (now->revision != 0)
        added =
            osa_buf_addf(value, PREFIX "v%llu_%s", (unsigned long long)now->revision, item->key);
    else
        added = osa_buf_addf(value, PREFIX "%s", item->key);
    return added ? item->key : NULL;
}
