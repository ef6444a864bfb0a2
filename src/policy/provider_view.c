// SPDX-License-Identifier: Apache-2.0
/* What the proxy gets of the providers' environment, for one endpoint. */
#include "policy/provider_internal.h"

#include "base/clock.h"
#include "policy/pattern.h"

#include <string.h>

static bool is_bound_here(const struct provider_view *view, const struct credential *item)
{
    for (size_t i = 0; item != NULL && i < item->place_count; i++) {
        const struct place *place = &item->places[i];
        if (place->port == view->port &&
            policy_pattern_match(place->host, view->host.data, view->host.len) &&
            endpoint_path_match(&place->path, view->path))
            return true;
    }
    return false;
}

static enum osa_code give(const struct credential *item, struct policy_text *ret_value)
{
    if (item == NULL || (item->expires_ms > 0 && item->expires_ms <= osa_wall_ns() / OSA_NS_PER_MS))
        return OSA_NOT_FOUND;
    *ret_value = (struct policy_text){ item->value, item->len };
    return OSA_OK;
}

static uint64_t number(struct policy_text digits)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits.data[i] - '0'), &value))
            return 0;
    return value;
}

static bool epoch_has(const struct epoch *epoch, uint64_t revision)
{
    for (size_t i = 0; i < epoch->count && i < REVISIONS_KEPT; i++)
        if (epoch->revisions[i] == revision)
            return true;
    return false;
}

/* @epoch: NULL for what was never bound. */
static const struct credential *of_revision(const struct provider_env *env,
                                            const struct epoch *epoch,
                                            const struct policy_placeholder *what)
{
    const struct credential *now = provider_find_key(env->newest, what->key.data, what->key.len);
    uint64_t revision = number(what->mark);
    if (revision == 0 || (now != NULL && now->handle[0] != '\0'))
        return NULL;
    for (const struct generation *g = env->newest; g != NULL; g = g->older)
        if (g->revision == revision)
            return provider_find_key(g, what->key.data, what->key.len);
    return epoch == NULL || epoch_has(epoch, revision) ? now : NULL;
}

static enum osa_code view_find(struct policy_credentials *self,
                               const struct policy_placeholder *what, struct policy_text *ret_value)
{
    const struct provider_view *view = OSA_CONTAINER_OF(self, struct provider_view, credentials);
    const struct provider_env *env = view->env;
    const struct epoch *epoch = provider_epoch(env, what->key.data, what->key.len);
    const struct credential *now = provider_find_key(env->newest, what->key.data, what->key.len);
    if (!provider_env_active(env))
        return OSA_NOT_FOUND;
    if (epoch != NULL && !is_bound_here(view, now))
        return OSA_PERMISSION_DENIED;
    switch (what->kind) {
    case POLICY_PLACEHOLDER_PLAIN:
    case POLICY_PLACEHOLDER_ALIAS: /* they do not say whose credential they were */
        return epoch != NULL ? OSA_NOT_FOUND : give(now, ret_value);
    case POLICY_PLACEHOLDER_HANDLE:
        if (now == NULL || strlen(now->handle) != what->mark.len ||
            memcmp(now->handle, what->mark.data, what->mark.len) != 0)
            return OSA_NOT_FOUND;
        return give(now, ret_value);
    case POLICY_PLACEHOLDER_REVISION:
        break;
    }
    return give(of_revision(env, epoch, what), ret_value);
}

void provider_view_init(struct provider_view *view, const struct provider_env *env,
                        struct policy_text host, uint16_t port, struct policy_text path)
{
    *view = (struct provider_view){
        .credentials = { .find = view_find }, .env = env, .host = host, .port = port, .path = path
    };
}

enum osa_code provider_view_key(const struct provider_view *view, const char *key,
                                struct policy_text *ret_value)
{
    const struct credential *now = provider_find_key(view->env->newest, key, strlen(key));
    if (provider_epoch(view->env, key, strlen(key)) != NULL && !is_bound_here(view, now))
        return OSA_PERMISSION_DENIED;
    return give(now, ret_value);
}
