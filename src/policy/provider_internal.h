// SPDX-License-Identifier: Apache-2.0
/* Within policy/provider*.c. */
#pragma once

#include "policy/endpoint_path.h"
#include "policy/provider.h"

#include <uthash.h>

#define REVISIONS_KEPT 64 /* of one identity that placeholders of running processes may carry */

/** struct place - An endpoint, compiled */
struct place {
    const struct policy_pattern *host;
    uint16_t port;
    struct endpoint_path path;
};

/** struct credential - One variable of one generation; all in the generation's arena */
struct credential {
    const char *key;
    char *value;
    size_t len;
    int64_t expires_ms;
    bool bound;
    const char *identity;
    const char *handle;
    struct place *places;
    size_t place_count;
};

struct generation {
    struct osa_arena arena;
    uint64_t revision;
    struct credential *items;
    size_t count;
    struct generation *older;
};

/**
 * struct epoch - What is remembered of a key that was ever bound
 * @identity:  of the credential that @revisions are of
 * @revisions: a ring; the oldest are forgotten
 */
struct epoch {
    char *key;
    char *identity;
    uint64_t revisions[REVISIONS_KEPT];
    size_t count;
    UT_hash_handle hh;
};

/**
 * struct provider_env
 * @newest: the present one, and behind it those that are kept; NULL: revoked, or nothing yet
 * @epochs: by key; never shrinks while credentials of the key exist or may come back
 */
struct provider_env {
    struct generation *newest;
    struct epoch *epochs;
    uint64_t revision;
};

/** provider_find_key() - The variable of @generation; NULL when there is none, or no generation */
const struct credential *provider_find_key(const struct generation *generation, const char *key,
                                           size_t len);

/** provider_epoch() - What is remembered of a key; NULL: it was never bound */
struct epoch *provider_epoch(const struct provider_env *env, const char *key, size_t len);

/** provider_check() - INVALID_ARGUMENT unless every variable is whole: names the key, never a value */
OSA_MUST_CHECK enum osa_code provider_check(const struct provider_variable *variables, size_t count,
                                            struct osa_error *err);
