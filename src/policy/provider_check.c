// SPDX-License-Identifier: Apache-2.0
/* Bindings are all there and all readable, or none of them counts: a hole would be a way out. */
#include "policy/glob.h"
#include "policy/provider_internal.h"

#include <string.h>

#define HANDLE_DIGITS 64

static enum osa_code check_endpoint(const char *key, const struct provider_endpoint *endpoint,
                                    struct osa_error *err)
{
    const char *host = endpoint->host;
    size_t len = strlen(host);
    if (endpoint->port < 1 || endpoint->port > 65535)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "binding of %s: its port is %u", key,
                        endpoint->port);
    if (len == 0 || host[0] == '.' || host[len - 1] == '.' || strstr(host, "..") != NULL ||
        host[strcspn(host, " \t\r\n{}")] != '\0' || policy_glob_fault(host) != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "binding of %s: its host is no pattern", key);
    return OSA_OK;
}

static enum osa_code check_bound(const struct provider_variable *variable, struct osa_error *err)
{
    const char *key = variable->key;
    size_t handle = strlen(variable->handle);
    if (variable->identity[0] == '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "binding of %s: it has no identity", key);
    if (variable->endpoint_count == 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "binding of %s: it has no endpoint", key);
    if (handle > 0 &&
        (handle != HANDLE_DIGITS || strspn(variable->handle, "0123456789abcdef") != HANDLE_DIGITS))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "binding of %s: its handle is malformed",
                        key);
    for (size_t i = 0; i < variable->endpoint_count; i++) {
        enum osa_code code = check_endpoint(key, &variable->endpoints[i], err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

enum osa_code provider_check(const struct provider_variable *variables, size_t count,
                             struct osa_error *err)
{
    if (count > PROVIDER_KEYS_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "more than %d variables of providers",
                        PROVIDER_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!variables[i].bound)
            continue;
        enum osa_code code = check_bound(&variables[i], err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}
