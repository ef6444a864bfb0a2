// SPDX-License-Identifier: Apache-2.0
/*
 * The network of a sandbox, as the backend wants it: no way out but a proxy, and no proxy yet.
 *
 * So a namespace with loopback alone serves both privileged and rootless sandboxes. Nothing leads
 * out of it whether the rules are there or not; what they add is the refusal at once and the record.
 */
#include "backends/process/internal.h"
#include "backends/process/plan_build.h"

#include <netinet/in.h>
#include <stdio.h>

static const char *protocol_name(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return "icmp";
    case IPPROTO_SCTP:
        return "sctp";
    default:
        return "ip";
    }
}

static void on_denied(struct network_events *events, const struct network_denial *denial)
{
    struct sandbox *s = OSA_CONTAINER_OF(events, struct sandbox, network_events);
    char text[128];
    char user[32] = "";
    const char *left = denial->family == AF_INET6 ? "[" : "";
    const char *right = denial->family == AF_INET6 ? "]" : "";
    if (s->events->denied == NULL)
        return;
    if (denial->uid != UINT32_MAX)
        (void)snprintf(user, sizeof(user), " by uid %u", denial->uid);
    if (denial->port != 0)
        (void)snprintf(text, sizeof(text), "%s to %s%s%s:%u%s", protocol_name(denial->protocol),
                       left, denial->address, right, denial->port, user);
    else
        (void)snprintf(text, sizeof(text), "%s to %s%s", protocol_name(denial->protocol),
                       denial->address, user);
    s->events->denied(s->events, "network", text);
}

void sandbox_network_attach(struct sandbox *s, struct wire_packet *packet)
{
    if ((s->isolation.namespaces & NAMESPACE_NET) == 0)
        return;
    struct osa_error err = { 0 };
    struct network_sockets sockets = {
        .ns_fd = -1,
        .route_fd = wire_take_fd(packet, NETWORK_FD_ROUTE),
        .rules_fd = wire_take_fd(packet, NETWORK_FD_RULES),
        .log_fd = wire_take_fd(packet, NETWORK_FD_LOG),
    };
    s->network_events.denied = on_denied;
    if (sockets.route_fd < 0)
        isolation_add_degraded(&s->isolation,
                               "refused connections are not reported: netfilter has no netlink");
    else if (network_attach(NULL, s->backend->loop, "", /* proxy_port= */ 0, &sockets,
                            &s->network_events, &s->network, &err) != OSA_OK)
        isolation_add_degraded(&s->isolation,
                               "refused connections are not reported: no nf_tables rules");
}
