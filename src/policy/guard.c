// SPDX-License-Identifier: Apache-2.0
#include "policy/guard.h"

#include "base/macros.h"
#include "policy/engine_internal.h"
#include "policy/ranges.h"

#include <string.h>
#include <strings.h>

/* etcd's client and peer ports, the Kubernetes API server, the kubelet's two. */
static bool is_control_plane(uint16_t port)
{
    return port == 2379 || port == 2380 || port == 6443 || port == 10250 || port == 10255;
}

static bool is_alias(const char *host)
{
    static const char *const aliases[] = { "host.openshell.internal", "host.containers.internal",
                                           "host.docker.internal" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(aliases); i++)
        if (strcmp(host, aliases[i]) == 0)
            return true;
    return false;
}

static bool is_link_local(const struct policy_address *address)
{
    const uint8_t *b = address->bytes;
    if (address->size == 4)
        return b[0] == 169 && b[1] == 254;
    return b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

static bool is_trusted(const struct policy_address *address)
{
    static const struct policy_address metadata = { 4, { 169, 254, 169, 254 } };
    return is_link_local(address) &&
           !(address->size == 4 && memcmp(address->bytes, metadata.bytes, 4) == 0);
}

static enum policy_guard_mode choose(const struct policy_grant *grant, const char *host,
                                     const struct policy_address *gateway,
                                     enum policy_spelling spelling, struct policy_guard *guard)
{
    if (gateway != NULL && is_alias(host) && is_trusted(gateway)) {
        guard->address = *gateway;
        return POLICY_GUARD_GATEWAY;
    }
    if (grant->ranges != NULL)
        return POLICY_GUARD_ALLOWED_IPS;
    if (spelling == POLICY_SPELLING_PLAIN &&
        policy_address_class(&guard->address) != POLICY_ADDRESS_BLOCKED)
        return POLICY_GUARD_LITERAL;
    return grant->declared ? POLICY_GUARD_DECLARED : POLICY_GUARD_PUBLIC;
}

bool policy_guard_plan(const struct policy_connection *connection, const struct policy_grant *grant,
                       const struct policy_address *gateway, struct policy_guard *ret)
{
    *ret = (struct policy_guard){ .ranges = grant->ranges };
    char host[POLICY_MAX_HOST + 1] = "";
    if (engine_host(connection->host, host) == 0) {
        ret->reason = POLICY_REASON_HOST_INVALID;
        return false;
    }
    enum policy_spelling spelling = policy_address_parse(host, &ret->address);
    ret->literal = spelling == POLICY_SPELLING_PLAIN;
    ret->mode = choose(grant, host, gateway, spelling, ret);
    if (spelling == POLICY_SPELLING_ODD)
        ret->reason = policy_guard_reason(ret->mode);
    else if (ret->mode == POLICY_GUARD_ALLOWED_IPS && ret->ranges->bad != NULL)
        ret->reason = POLICY_REASON_ALLOWED_IPS_BAD;
    else if (ret->mode != POLICY_GUARD_PUBLIC && is_control_plane(connection->port))
        ret->reason = policy_guard_reason(ret->mode);
    return ret->reason == POLICY_REASON_NONE;
}

static bool same(const struct policy_address *a, const struct policy_address *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static bool is_good(const struct policy_guard *guard, const struct policy_address *address)
{
    enum policy_address_class class = policy_address_class(address);
    switch (guard->mode) {
    case POLICY_GUARD_GATEWAY:
        return same(address, &guard->address) && is_trusted(address);
    case POLICY_GUARD_ALLOWED_IPS:
        if (class == POLICY_ADDRESS_BLOCKED)
            return false;
        for (size_t i = 0; i < guard->ranges->count; i++)
            if (policy_range_has(&guard->ranges->items[i], address))
                return true;
        return false;
    case POLICY_GUARD_LITERAL:
        return class != POLICY_ADDRESS_BLOCKED && same(address, &guard->address);
    case POLICY_GUARD_DECLARED:
        /* A metadata service may be meant, but then by its address or by allowed_ips: whoever
         * answers for a name must not be able to lead there. */
        return class < POLICY_ADDRESS_METADATA;
    case POLICY_GUARD_PUBLIC:
        return class == POLICY_ADDRESS_PUBLIC;
    }
    return false;
}

enum policy_reason policy_guard_check(const struct policy_guard *guard,
                                      const struct policy_address *address)
{
    if (guard->reason != POLICY_REASON_NONE)
        return guard->reason;
    return is_good(guard, address) ? POLICY_REASON_NONE : policy_guard_reason(guard->mode);
}

enum policy_reason policy_guard_reason(enum policy_guard_mode mode)
{
    switch (mode) {
    case POLICY_GUARD_GATEWAY:
        return POLICY_REASON_GATEWAY;
    case POLICY_GUARD_ALLOWED_IPS:
    case POLICY_GUARD_LITERAL:
        return POLICY_REASON_ALLOWED_IPS;
    case POLICY_GUARD_DECLARED:
        return POLICY_REASON_DECLARED;
    case POLICY_GUARD_PUBLIC:
        break;
    }
    return POLICY_REASON_INTERNAL;
}

const char *policy_guard_mode_name(enum policy_guard_mode mode)
{
    switch (mode) {
    case POLICY_GUARD_GATEWAY:
        return "trusted gateway";
    case POLICY_GUARD_ALLOWED_IPS:
        return "allowed_ips";
    case POLICY_GUARD_LITERAL:
        return "address literal";
    case POLICY_GUARD_DECLARED:
        return "declared host";
    case POLICY_GUARD_PUBLIC:
        break;
    }
    return "public addresses";
}
