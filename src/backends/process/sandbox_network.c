// SPDX-License-Identifier: Apache-2.0
/*
 * The network of a sandbox: no way out but the egress proxy.
 *
 * A namespace with loopback alone serves both privileged and rootless sandboxes. Nothing leads out
 * of it whether the rules are there or not; what they add is the refusal at once and the record.
 * The proxy's listeners stand on that loopback; init opens them before anything of the workload
 * runs, and the agent accepts from them where it is. So no packet crosses a namespace, the host has
 * no interface, address or port for a sandbox, and nobody outside can reach its proxy.
 *
 * A veth pair (network.h) is for programs that want an interface with an address that is not the
 * loopback's, and for who wants to watch a sandbox's traffic from the host. It takes FULL, and a second
 * of delay for a connection that is made before its link is up.
 */
#include "backends/defer.h"
#include "backends/process/internal.h"
#include "backends/process/plan_build.h"
#include "base/fd.h"

#include <arpa/inet.h>
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

/* With a veth pair it is all or nothing; without one rules are there for the refusal and the record. */
static enum osa_code attach_rules(struct sandbox *s, struct wire_packet *packet,
                                  struct osa_error *err)
{
    const char *missing = "refused connections are not reported: no nf_tables rules";
    struct network_sockets sockets = {
        .ns_fd = take_network_fd(packet, NETWORK_FD_NS),
        .route_fd = take_network_fd(packet, NETWORK_FD_ROUTE),
        .rules_fd = take_network_fd(packet, NETWORK_FD_RULES),
        .log_fd = take_network_fd(packet, NETWORK_FD_LOG),
    };
    struct network *pairs = s->isolation.network == NETWORK_PROXY ? s->backend->network : NULL;
    enum osa_code code = OSA_OK;
    s->network_events.denied = on_denied;
    if (sockets.route_fd >= 0)
        code = network_attach(pairs, s->backend->loop, s->id, SANDBOX_PROXY_PORT, &sockets,
                              &s->network_events, &s->network, err);
    else
        missing = "refused connections are not reported: netfilter has no netlink";
    if (pairs != NULL && code == OSA_OK && s->network == NULL)
        code = osa_fail(err, OSA_FAILED_PRECONDITION, 0, "veth pair: %s", missing);
    if (pairs != NULL && code != OSA_OK) {
        err->stage = "network";
        return code;
    }
    if (s->network == NULL)
        isolation_add_degraded(&s->isolation, missing);
    return OSA_OK;
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

/* With a veth pair the proxy listens on its outer end; what init has opened on loopback goes. */
static enum osa_code open_listeners(struct sandbox *s, struct wire_packet *packet,
                                    struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    s->door_fds[0] = take_network_fd(packet, NETWORK_FD_PROXY4);
    s->door_fds[1] = take_network_fd(packet, NETWORK_FD_PROXY6);
    if (s->backend->network != NULL) {
        osa_replace_fd(&s->door_fds[0], -1);
        osa_replace_fd(&s->door_fds[1], -1);
        code = network_listen(s->network, SANDBOX_PROXY_PORT, s->door_fds, err);
    }
    if (code != OSA_OK)
        err->stage = "network";
    return code;
}

enum osa_code sandbox_network_attach(struct sandbox *s, struct wire_packet *packet,
                                     struct osa_error *err)
{
    if ((s->isolation.namespaces & NAMESPACE_NET) == 0)
        return OSA_OK;
    enum osa_code code = attach_rules(s, packet, err);
    if (code != OSA_OK || s->isolation.network != NETWORK_PROXY)
        return code;
    code = open_listeners(s, packet, err);
    if (code != OSA_OK)
        return code;
    if (s->backend->owner_worker == NULL)
        s->backend->owner_worker = owner_worker_new(s->backend->loop);
    s->owners = owners_new(s->backend->owner_worker, take_network_fd(packet, NETWORK_FD_DIAG));
    attach_names(s, packet);
    return OSA_OK;
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

/* What processes inside call the addresses of the listeners. */
static void name_hosts(const struct sandbox *s, struct sandbox_door *door)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (s->network == NULL || !network_gateway(s->network, &v4, &v6)) {
        v4 = (struct in_addr){ htonl(INADDR_LOOPBACK) };
        v6 = in6addr_loopback;
    }
    (void)inet_ntop(AF_INET, &v4, door->hosts[0], sizeof(door->hosts[0]));
    if (door->fds[1] >= 0)
        (void)inet_ntop(AF_INET6, &v6, door->hosts[1], sizeof(door->hosts[1]));
}

enum osa_code sandbox_door_op(struct backend_sandbox *base, struct sandbox_door *ret_door,
                              struct osa_error *err)
{
    struct sandbox *s = OSA_CONTAINER_OF(base, struct sandbox, base);
    if (s->door_fds[0] < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the sandbox has no egress proxy");
    *ret_door = (struct sandbox_door){ .fds = { osa_take_fd(&s->door_fds[0]),
                                                osa_take_fd(&s->door_fds[1]) },
                                       .port = SANDBOX_PROXY_PORT,
                                       .names = s->names_fds[2] >= 0,
                                       .names_udp = osa_take_fd(&s->names_fds[0]),
                                       .names_tcp = osa_take_fd(&s->names_fds[1]),
                                       .tcp = osa_take_fd(&s->names_fds[2]) };
    name_hosts(s, ret_door);
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
