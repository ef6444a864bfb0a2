// SPDX-License-Identifier: Apache-2.0
/* Where an endpoint is: host or pattern, ports, and the addresses that the host may resolve to. */
#include "policy/document_internal.h"
#include "policy/glob.h"
#include "policy/ranges.h"

#include <string.h>

static bool is_ascii(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c >= 0x80)
            return false;
    return true;
}

static size_t count_labels(const char *host)
{
    size_t count = 0;
    for (const char *p = host; *p != '\0'; p += *p == '.') {
        size_t len = strcspn(p, ".");
        count += len > 0;
        p += len;
    }
    return count;
}

/* Where stars may stand: anywhere in the first label, else only as a whole label; ** first alone. */
static const char *star_fault(const char *host)
{
    bool first = true;
    for (const char *p = host; *p != '\0'; first = false) {
        size_t len = strcspn(p, ".");
        bool has_double = false;
        for (size_t i = 0; i + 1 < len; i++)
            has_double = has_double || (p[i] == '*' && p[i + 1] == '*');
        bool whole_double = len == 2 && p[0] == '*' && p[1] == '*';
        if (has_double && !(first && whole_double))
            return "has ** somewhere other than as its whole first label";
        if (!first && memchr(p, '*', len) != NULL && len != 1)
            return "has * beside other characters after its first label; write * as the whole "
                   "label";
        p += len;
        p += *p == '.';
    }
    return NULL;
}

static enum osa_code check_host_pattern(struct policy_check *check, const char *host)
{
    if (strcmp(host, "*") == 0 || strcmp(host, "**") == 0)
        return policy_reject(check, "host", "'%s' means every host; name the domains", host);
    bool leading = strncmp(host, "*.", 2) == 0 || strncmp(host, "**.", 3) == 0;
    if (leading && count_labels(host) <= 2)
        return policy_reject(check, "host",
                             "'%s' means a whole top-level domain; name the domain below it",
                             POLICY_SHOW(host));
    const char *fault = star_fault(host);
    if (fault != NULL)
        return policy_reject(check, "host", "'%s' %s", POLICY_SHOW(host), fault);
    fault = policy_glob_fault(host);
    if (fault != NULL)
        return policy_reject(check, "host", "'%s' has %s", POLICY_SHOW(host), fault);
    return OSA_OK;
}

enum osa_code policy_check_host(struct policy_check *check, const struct policy_endpoint *endpoint)
{
    const char *host = endpoint->host;
    if (host[0] == '\0') {
        if (endpoint->allowed_ips.count == 0)
            return policy_reject(check, "host", "is missing; name a host, or list allowed_ips");
        return OSA_OK;
    }
    if (!is_ascii(host))
        return policy_reject(check, "host", "'%s' is not ASCII; write the xn-- form",
                             POLICY_SHOW(host));
    if (strchr(host, '*') != NULL)
        return check_host_pattern(check, host);
    if (host[strcspn(host, " \t\r\n[]{}?\\/")] != '\0')
        policy_warn(check, "host",
                    "'%s' has characters that no host name has; it matches nothing unless the "
                    "pattern has a *",
                    POLICY_SHOW(host));
    return OSA_OK;
}

enum osa_code policy_check_ports(struct policy_check *check, struct policy_endpoint *endpoint)
{
    bool repeats =
        policy_is_wire(check) && endpoint->port_count > 0 && endpoint->port == endpoint->ports[0];
    if (endpoint->port != 0 && endpoint->port_count > 0 && !repeats)
        return policy_reject(check, "port", "cannot be given together with ports; keep one");
    if (endpoint->port_count == 0 && endpoint->port != 0) {
        endpoint->ports = policy_alloc(check->doc, 1, sizeof(*endpoint->ports));
        if (endpoint->ports == NULL)
            return OSA_RESOURCE_EXHAUSTED; /* policy_document_finish() words it */
        endpoint->ports[endpoint->port_count++] = endpoint->port;
        if (endpoint->port > UINT16_MAX)
            return policy_reject(check, "port", "%u is not a port; write 1 to 65535",
                                 endpoint->port);
    }
    if (endpoint->port_count == 0)
        return policy_reject(check, NULL, "has no port; give port or ports");
    policy_enter(check, "ports");
    for (size_t i = 0; i < endpoint->port_count; i++) {
        if (endpoint->ports[i] >= 1 && endpoint->ports[i] <= UINT16_MAX)
            continue;
        policy_enter_index(check, i);
        return policy_reject(check, NULL, "%u is not a port; write 1 to 65535", endpoint->ports[i]);
    }
    policy_leave(check);
    endpoint->port = endpoint->ports[0];
    return OSA_OK;
}

/* Accepted as upstream accepts it, but every connection would be refused. */
static void warn_of_range(struct policy_check *check, const char *text)
{
    struct policy_range range;
    if (!policy_range_parse(text, &range))
        policy_warn(check, NULL,
                    "'%s' is not an address or range, so every connection is refused; write "
                    "10.0.0.0/8 or fd00::1",
                    POLICY_SHOW(text));
    else if (policy_range_blocked(&range))
        policy_warn(check, NULL,
                    "'%s' covers loopback, link-local or unspecified addresses, which are never "
                    "allowed, so every connection is refused; narrow it",
                    POLICY_SHOW(text));
}

void policy_warn_of_ranges(struct policy_check *check, const struct policy_strings *ranges)
{
    policy_enter(check, "allowed_ips");
    for (size_t i = 0; i < ranges->count; i++) {
        policy_enter_index(check, i);
        warn_of_range(check, ranges->items[i]);
        policy_leave(check);
    }
    policy_leave(check);
}
