// SPDX-License-Identifier: Apache-2.0
/*
 * The environment of providers: variables whose values a workload never has. It gets placeholders,
 * which the proxy exchanges for the values at the endpoints that each is bound to, and nowhere else.
 *
 * Each change is a generation with a revision of its own. A placeholder of one of the last
 * PROVIDER_GENERATIONS stands for the value of its generation; an older one for the present value, as
 * long as the credential is still the same one (its identity). A handle always stands for the present
 * value. When the gateway cannot be asked, everything is revoked until it can.
 *
 * Threads: one, its owner's.
 */
#pragma once

#include "policy/placeholder.h"

#include <stdint.h>

#define PROVIDER_GENERATIONS 8
#define PROVIDER_KEYS_MAX 1024

struct provider_env;

/**
 * struct provider_endpoint - Where a credential may be used
 * @host: a pattern as in a policy's endpoints
 * @path: of the request, as policy/endpoint_path.h has it; "": any
 */
struct provider_endpoint {
    const char *host;
    uint32_t port;
    const char *path;
};

/**
 * struct provider_variable - One
 * @bound:      a credential of @endpoints; else configuration that is no secret
 * @expires_ms: wall clock; 0: never
 * @identity:   of the credential; another one under the same key is another credential
 * @handle:     64 hexadecimal digits in lower case, or ""
 */
struct provider_variable {
    const char *key;
    const char *value;
    bool bound;
    int64_t expires_ms;
    const char *identity;
    const char *handle;
    const struct provider_endpoint *endpoints;
    size_t endpoint_count;
};

/** provider_env_new() - An empty one. Return: returned (free with provider_env_free()) */
struct provider_env *provider_env_new(void);

/** provider_env_free() - Overwrites the values. NULL is fine */
void provider_env_free(struct provider_env *env);

/**
 * provider_env_install() - The environment from now on
 * @revision:  of the gateway; 0: not known
 * @variables: copied; a key that looks like a placeholder's mark is left out
 * Return: OSA_OK; INVALID_ARGUMENT: a binding is not complete, and the environment is empty now.
 */
OSA_MUST_CHECK enum osa_code provider_env_install(struct provider_env *env, uint64_t revision,
                                                  const struct provider_variable *variables,
                                                  size_t count, struct osa_error *err);

/** provider_env_revoke() - Nothing can be exchanged until the next provider_env_install() */
void provider_env_revoke(struct provider_env *env);

/** provider_env_revision() - Of the present environment; 0 before the first one */
uint64_t provider_env_revision(const struct provider_env *env);

/** provider_env_active() - Whether any placeholder can be exchanged now; false for NULL */
bool provider_env_active(const struct provider_env *env);

/** provider_env_count() - Variables of the present environment */
size_t provider_env_count(const struct provider_env *env);

/**
 * provider_env_variable() - What a new process gets
 * @index: below provider_env_count()
 * @value: room for the text: a placeholder, or the value of configuration that clients must read
 * Return: the variable's name; NULL: processes do not get it.
 */
const char *provider_env_variable(const struct provider_env *env, size_t index,
                                  struct osa_buf *value);

/**
 * struct provider_view - The environment as one endpoint may have it; on the caller's stack or embedded
 * @credentials: for policy_credentials_*(); its find follows this file's rules
 */
struct provider_view {
    struct policy_credentials credentials;
    const struct provider_env *env;
    struct policy_text host;
    uint16_t port;
    struct policy_text path;
};

/**
 * provider_view_init() - For requests to @host:@port with @path
 * @env:  borrowed; values that it has given out are gone with the next install or revoke
 * @host: in lower case; borrowed like @path
 * @path: canonical, without query, with POLICY_CREDENTIAL_SHOWN for placeholders
 */
void provider_view_init(struct provider_view *view, const struct provider_env *env,
                        struct policy_text host, uint16_t port, struct policy_text path);

/**
 * provider_view_key() - The present value of @key, for what the proxy itself signs
 * Return: OSA_OK; NOT_FOUND; PERMISSION_DENIED as policy_credentials
 */
OSA_MUST_CHECK enum osa_code provider_view_key(const struct provider_view *view, const char *key,
                                               struct policy_text *ret_value);
