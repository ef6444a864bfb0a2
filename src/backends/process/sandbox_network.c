// SPDX-License-Identifier: Apache-2.0
/*
 * The network of a sandbox: no way out but the egress proxy.
 *
 * A namespace with loopback alone serves both privileged and rootless sandboxes. Nothing leads out
 * of it whether the rules are there or not; what they add is the refusal at once and the record.
 * The proxy's listeners stand on that loopback; init opens them before anything of the workload
 * runs, and the agent accepts from them where it is. So no packet crosses a namespace, the host has
 * no interface, address or port for a sandbox, and nobody outside can reach its proxy. A veth pair
 * (network.h) would do the same with all of these, and a second of delay while its link comes up.
 */
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "backends/process/plan_build.h"
#include "base/fd.h"

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

void sandbox_network_want_door(struct sandbox *s)
{
    if ((s->isolation.namespaces & NAMESPACE_NET) != 0)
        s->isolation.network = NETWORK_PROXY;
    else
        isolation_add_degraded(&s->isolation,
                               "what the policy lets out is refused: no network namespace, so no "
                               "way that leads to the egress proxy alone");
}

/* Descriptor @which of READY; -1 when init had none. */
static int take_network_fd(struct wire_packet *packet, unsigned which)
{
    const struct launcher_ready *ready = packet->body;
    if ((ready->network_fds & 1u << which) == 0)
        return -1;
    return wire_take_fd(packet,
                        (unsigned)__builtin_popcount(ready->network_fds & ((1u << which) - 1)));
}

static void attach_rules(struct sandbox *s, struct wire_packet *packet)
{
    struct osa_error err = { 0 };
    struct network_sockets sockets = {
        .ns_fd = -1,
        .route_fd = take_network_fd(packet, NETWORK_FD_ROUTE),
        .rules_fd = take_network_fd(packet, NETWORK_FD_RULES),
        .log_fd = take_network_fd(packet, NETWORK_FD_LOG),
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

static void attach_names(struct sandbox *s, struct wire_packet *packet)
{
    struct osa_error err = { 0 };
    s->names_fds[0] = take_network_fd(packet, NETWORK_FD_NAMES_UDP);
    s->names_fds[1] = take_network_fd(packet, NETWORK_FD_NAMES_TCP);
    s->names_fds[2] = take_network_fd(packet, NETWORK_FD_TCP);
    if (s->names_fds[2] < 0)
        return;
    if (s->network != NULL &&
        network_redirect(s->network, SANDBOX_NAMES_PORT, SANDBOX_TCP_PORT, &err) == OSA_OK)
        return;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(s->names_fds); i++)
        osa_replace_fd(&s->names_fds[i], -1);
    isolation_add_degraded(&s->isolation, "endpoints of protocol tcp are refused to programs that "
                                          "know no proxy: nf_tables cannot redirect here");
}

void sandbox_network_attach(struct sandbox *s, struct wire_packet *packet)
{
    if ((s->isolation.namespaces & NAMESPACE_NET) == 0)
        return;
    attach_rules(s, packet);
    if (s->isolation.network != NETWORK_PROXY)
        return;
    if (s->backend->owner_worker == NULL)
        s->backend->owner_worker = owner_worker_new(s->backend->loop);
    s->door_fds[0] = take_network_fd(packet, NETWORK_FD_PROXY4);
    s->door_fds[1] = take_network_fd(packet, NETWORK_FD_PROXY6);
    s->owners = owners_new(s->backend->owner_worker, take_network_fd(packet, NETWORK_FD_DIAG));
    attach_names(s, packet);
}

void sandbox_network_close(struct sandbox *s)
{
    network_detach(OSA_TAKE(s->network));
    owners_free(OSA_TAKE(s->owners));
    osa_replace_fd(&s->door_fds[0], -1);
    osa_replace_fd(&s->door_fds[1], -1);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(s->names_fds); i++)
        osa_replace_fd(&s->names_fds[i], -1);
}

enum osa_code sandbox_door_op(struct backend_sandbox *base, struct sandbox_door *ret_door,
                              struct osa_error *err)
{
    struct sandbox *s = OSA_CONTAINER_OF(base, struct sandbox, base);
    if (s->door_fds[0] < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the sandbox has no egress proxy");
    *ret_door = (struct sandbox_door){ .fds = { osa_take_fd(&s->door_fds[0]),
                                                osa_take_fd(&s->door_fds[1]) },
                                       .hosts = { "127.0.0.1", "" },
                                       .port = SANDBOX_PROXY_PORT,
                                       .names = s->names_fds[2] >= 0,
                                       .names_udp = osa_take_fd(&s->names_fds[0]),
                                       .names_tcp = osa_take_fd(&s->names_fds[1]),
                                       .tcp = osa_take_fd(&s->names_fds[2]) };
    if (ret_door->fds[1] >= 0)
        (void)snprintf(ret_door->hosts[1], sizeof(ret_door->hosts[1]), "::1");
    return OSA_OK;
}

void sandbox_owner_op(struct backend_sandbox *base, const struct door_visit *visit, owner_fn done,
                      void *ctx)
{
    struct sandbox *s = OSA_CONTAINER_OF(base, struct sandbox, base);
    struct osa_error error;
    if (s->state == SANDBOX_READY && s->owners != NULL) {
        owners_find(s->owners, pidfd_pid(s->init_pidfd), visit, done, ctx);
        return;
    }
    (void)osa_fail(&error, OSA_ABORTED, 0, "the sandbox has ended");
    defer_owner(s->backend->loop, done, ctx, &error);
}
