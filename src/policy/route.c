// SPDX-License-Identifier: Apache-2.0
/* Which endpoint of a connection a request is for. */
#include "policy/engine_internal.h"
#include "policy/request.h"

bool policy_route(const struct policy_engine *engine, const struct policy_connection *connection,
                  const struct policy_grant *grant, const struct policy_target *target,
                  bool compare, struct policy_route *ret)
{
    *ret = (struct policy_route){ .rule = grant->rule };
    struct engine_matches matches;
    const struct engine_endpoint *best = NULL;
    const struct engine_endpoint *only = NULL;
    size_t count = 0;
    engine_matches_begin(engine, connection, grant, &matches);
    for (uint32_t id; (id = engine_matches_next(&matches)) != UINT32_MAX;) {
        const struct engine_endpoint *endpoint = &engine->endpoints[id];
        if (!endpoint->inspect)
            continue;
        only = endpoint;
        count++;
        if (endpoint_path_match(&endpoint->route, target->path) &&
            (best == NULL || endpoint->specificity >= best->specificity))
            best = endpoint;
    }
    if (best == NULL && count == 1 && !compare && !engine->options.strict)
        best = only;
    if (best != NULL) {
        ret->endpoint = best->source;
        ret->rule = engine->rules[best->rule].source;
        ret->index = (uint32_t)(best - engine->endpoints);
    } else if (count > 0) {
        ret->reason = POLICY_REASON_ROUTE_MISS;
    }
    if (target->encoded_slash && (best == NULL || !best->source->allow_encoded_slash))
        ret->reason = POLICY_REASON_TARGET_INVALID;
    return ret->reason == POLICY_REASON_NONE;
}
