// SPDX-License-Identifier: Apache-2.0
/*
 * Interfaces, addresses, neighbours and routes: rtnetlink(7), linux/if_link.h, linux/veth.h.
 *
 * Indexes and hardware addresses are chosen here, so that everything goes out in one piece with no
 * question in between, and neighbours are permanent: neither ARP nor neighbour discovery runs.
 * Link-local addresses are off, or the kernel would chat by itself and the rules would report it.
 */
#include "backends/process/network_internal.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define INSIDE_NAME "eth0"

static struct ifinfomsg link_header(int index, unsigned flags)
{
    return (struct ifinfomsg){
        .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = flags, .ifi_change = flags
    };
}

static void add_veth(struct netlink *nl, const struct network_pair *pair, int ns_fd)
{
    const struct ifinfomsg outer = link_header(pair->host_index, 0);
    const struct ifinfomsg inner = link_header(NETWORK_INDEX_INSIDE, 0);
    netlink_message(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &outer, sizeof(outer));
    netlink_put_string(nl, IFLA_IFNAME, pair->name);
    netlink_put(nl, IFLA_ADDRESS, pair->host_mac, NETWORK_MAC_SIZE);
    void *info = netlink_nest(nl, IFLA_LINKINFO);
    netlink_put_string(nl, IFLA_INFO_KIND, "veth");
    void *data = netlink_nest(nl, IFLA_INFO_DATA);
    /* The attribute starts with a struct of its own before the attributes of the peer. */
    _Static_assert(sizeof(inner) % NLMSG_ALIGNTO == 0, "attributes follow aligned");
    void *peer = netlink_nest_with(nl, VETH_INFO_PEER, &inner, sizeof(inner));
    netlink_put_string(nl, IFLA_IFNAME, INSIDE_NAME);
    netlink_put(nl, IFLA_ADDRESS, pair->inside_mac, NETWORK_MAC_SIZE);
    netlink_put_u32(nl, IFLA_NET_NS_FD, (uint32_t)ns_fd);
    netlink_nest_end(nl, peer);
    netlink_nest_end(nl, data);
    netlink_nest_end(nl, info);
}

/* Before the interface comes up, which a flag in the same message would do first. */
static void set_quiet(struct netlink *nl, int index, const char *alias)
{
    const struct ifinfomsg header = link_header(index, 0);
    netlink_message(nl, RTM_NEWLINK, 0, &header, sizeof(header));
    if (alias != NULL)
        netlink_put_string(nl, IFLA_IFALIAS, alias);
    void *spec = netlink_nest(nl, IFLA_AF_SPEC);
    void *inet6 = netlink_nest(nl, AF_INET6);
    netlink_put_u8(nl, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    netlink_nest_end(nl, inet6);
    netlink_nest_end(nl, spec);
}

static void set_up(struct netlink *nl, int index)
{
    const struct ifinfomsg header = link_header(index, IFF_UP);
    netlink_message(nl, RTM_NEWLINK, 0, &header, sizeof(header));
}

static void add_address(struct netlink *nl, int index, int family, const void *address, size_t len)
{
    const struct ifaddrmsg header = {
        .ifa_family = (uint8_t)family,
        .ifa_prefixlen = (uint8_t)(len * 8 - 1),
        .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0, /* nobody else can have it */
        .ifa_scope = RT_SCOPE_UNIVERSE,
        .ifa_index = (unsigned)index,
    };
    netlink_message(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
    netlink_put(nl, IFA_LOCAL, address, len);
    netlink_put(nl, IFA_ADDRESS, address, len);
}

static void add_neighbour(struct netlink *nl, int index, int family, const void *address,
                          size_t len, const uint8_t mac[NETWORK_MAC_SIZE])
{
    const struct ndmsg header = { .ndm_family = (uint8_t)family,
                                  .ndm_ifindex = index,
                                  .ndm_state = NUD_PERMANENT };
    netlink_message(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
    netlink_put(nl, NDA_DST, address, len);
    netlink_put(nl, NDA_LLADDR, mac, NETWORK_MAC_SIZE);
}

/* @gateway NULL: straight into the interface; @source NULL: the kernel's choice. */
static void add_default_route(struct netlink *nl, int index, int family, const void *gateway,
                              const void *source, size_t len)
{
    const struct rtmsg header = {
        .rtm_family = (uint8_t)family,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = gateway != NULL ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
        .rtm_type = RTN_UNICAST,
    };
    netlink_message(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
    if (gateway != NULL)
        netlink_put(nl, RTA_GATEWAY, gateway, len);
    if (source != NULL)
        netlink_put(nl, RTA_PREFSRC, source, len);
    netlink_put_u32(nl, RTA_OIF, (uint32_t)index);
}

/* Kernels and namespaces without IPv6 refuse with one of these. There is then nothing to close. */
static bool is_without_ipv6(const struct osa_error *err)
{
    return err->sys_errno == EOPNOTSUPP || err->sys_errno == EAFNOSUPPORT ||
           err->sys_errno == EACCES || err->sys_errno == ENODEV || err->sys_errno == EINVAL;
}

enum osa_code network_wire_host(struct netlink *route, const struct network_pair *pair, int ns_fd,
                                const char *sandbox_id, struct osa_error *err)
{
    char alias[96];
    (void)snprintf(alias, sizeof(alias), "openshell-agent sandbox %s", sandbox_id);
    add_veth(route, pair, ns_fd);
    struct osa_error refused = { 0 };
    enum osa_code code = netlink_commit(route, "make veth pair", &refused);
    if (refused.sys_errno == EEXIST || refused.sys_errno == EBUSY)
        return osa_fail(err, OSA_ALREADY_EXISTS, 0, "interface %s exists already", pair->name);
    if (code != OSA_OK) {
        if (err != NULL)
            *err = refused;
        return code;
    }
    set_quiet(route, pair->host_index, alias);
    set_up(route, pair->host_index);
    add_address(route, pair->host_index, AF_INET, &pair->gateway4, sizeof(pair->gateway4));
    add_neighbour(route, pair->host_index, AF_INET, &pair->inside4, sizeof(pair->inside4),
                  pair->inside_mac);
    code = netlink_commit(route, "configure veth on the host", err);
    struct osa_error no_ipv6 = { 0 };
    if (code == OSA_OK) {
        add_address(route, pair->host_index, AF_INET6, &pair->gateway6, sizeof(pair->gateway6));
        add_neighbour(route, pair->host_index, AF_INET6, &pair->inside6, sizeof(pair->inside6),
                      pair->inside_mac);
        code = netlink_commit(route, "configure IPv6 of veth on the host", &no_ipv6);
        if (code != OSA_OK && is_without_ipv6(&no_ipv6))
            code = OSA_OK;
        else if (code != OSA_OK && err != NULL)
            *err = no_ipv6;
    }
    if (code != OSA_OK)
        (void)network_wire_remove(route, pair->host_index, NULL);
    return code;
}

static void gather_inside_ipv6(struct netlink *route, const struct network_pair *pair)
{
    const size_t len = sizeof(struct in6_addr);
    if (pair == NULL) {
        add_default_route(route, NETWORK_INDEX_LO, AF_INET6, NULL, NULL, len);
        return;
    }
    add_address(route, NETWORK_INDEX_INSIDE, AF_INET6, &pair->inside6, len);
    add_neighbour(route, NETWORK_INDEX_INSIDE, AF_INET6, &pair->gateway6, len, pair->host_mac);
    add_default_route(route, NETWORK_INDEX_INSIDE, AF_INET6, &pair->gateway6, NULL, len);
}

enum osa_code network_wire_inside(struct netlink *route, const struct network_pair *pair,
                                  struct osa_error *err)
{
    const struct in_addr loopback = { .s_addr = htonl(INADDR_LOOPBACK) };
    const size_t len = sizeof(struct in_addr);
    set_up(route, NETWORK_INDEX_LO);
    if (pair == NULL) {
        add_default_route(route, NETWORK_INDEX_LO, AF_INET, NULL, &loopback, len);
    } else {
        set_quiet(route, NETWORK_INDEX_INSIDE, NULL);
        set_up(route, NETWORK_INDEX_INSIDE);
        add_address(route, NETWORK_INDEX_INSIDE, AF_INET, &pair->inside4, len);
        add_neighbour(route, NETWORK_INDEX_INSIDE, AF_INET, &pair->gateway4, len, pair->host_mac);
        add_default_route(route, NETWORK_INDEX_INSIDE, AF_INET, &pair->gateway4, NULL, len);
    }
    enum osa_code code = netlink_commit(route, "configure the sandbox's network", err);
    if (code != OSA_OK)
        return code;
    struct osa_error no_ipv6 = { 0 };
    gather_inside_ipv6(route, pair);
    code = netlink_commit(route, "configure IPv6 of the sandbox's network", &no_ipv6);
    if (code == OSA_OK || is_without_ipv6(&no_ipv6))
        return OSA_OK;
    if (err != NULL)
        *err = no_ipv6;
    return code;
}

enum osa_code network_wire_remove(struct netlink *route, int host_index, struct osa_error *err)
{
    struct osa_error failed = { 0 };
    const struct ifinfomsg header = link_header(host_index, 0);
    netlink_message(route, RTM_DELLINK, 0, &header, sizeof(header));
    enum osa_code code = netlink_commit(route, "remove veth pair", &failed);
    if (code == OSA_OK || failed.sys_errno == ENODEV)
        return OSA_OK; /* it went with the namespace */
    if (err != NULL)
        *err = failed;
    return code;
}

/* ---- what stands on the host ---- */

struct sweep {
    const char *prefix;
    int found[NETWORK_SLOTS];
    unsigned count;
};

static void note_link(uint16_t type, const void *body, size_t len, void *ctx)
{
    struct sweep *sweep = ctx;
    const struct ifinfomsg *header = body;
    size_t name_len;
    const char *name = netlink_attribute(body, len, sizeof(*header), IFLA_IFNAME, &name_len);
    if (type == RTM_NEWLINK && name != NULL && name_len > strlen(sweep->prefix) &&
        strncmp(name, sweep->prefix, strlen(sweep->prefix)) == 0 && sweep->count < NETWORK_SLOTS)
        sweep->found[sweep->count++] = header->ifi_index;
}

enum osa_code network_wire_sweep(struct netlink *route, const char *prefix, struct osa_error *err)
{
    struct sweep sweep = { .prefix = prefix };
    const struct ifinfomsg request = { .ifi_family = AF_UNSPEC };
    enum osa_code code =
        netlink_dump(route, RTM_GETLINK, &request, sizeof(request), note_link, &sweep, err);
    for (unsigned i = 0; i < sweep.count && code == OSA_OK; i++)
        code = network_wire_remove(route, sweep.found[i], err);
    return code;
}

struct overlap {
    uint32_t base; /* host order */
    unsigned prefix;
    bool found;
};

static void note_route(uint16_t type, const void *body, size_t len, void *ctx)
{
    struct overlap *overlap = ctx;
    const struct rtmsg *header = body;
    size_t dst_len;
    const void *dst = netlink_attribute(body, len, sizeof(*header), RTA_DST, &dst_len);
    /* Wider ones are ways to elsewhere (a VPN's 10.0.0.0/8), of which ours hides two addresses. */
    if (type != RTM_NEWROUTE || header->rtm_family != AF_INET || header->rtm_dst_len <= 8 ||
        dst == NULL || dst_len != sizeof(struct in_addr))
        return;
    struct in_addr address;
    memcpy(&address, dst, sizeof(address));
    unsigned common = OSA_MIN(overlap->prefix, (unsigned)header->rtm_dst_len);
    uint32_t mask = ~(uint32_t)0 << (32 - common);
    overlap->found |= (ntohl(address.s_addr) & mask) == (overlap->base & mask);
}

enum osa_code network_wire_overlaps(struct netlink *route, struct in_addr base, unsigned prefix,
                                    bool *ret_overlaps, struct osa_error *err)
{
    struct overlap overlap = { .base = ntohl(base.s_addr), .prefix = prefix };
    const struct rtmsg request = { .rtm_family = AF_INET };
    enum osa_code code =
        netlink_dump(route, RTM_GETROUTE, &request, sizeof(request), note_route, &overlap, err);
    if (code == OSA_OK)
        *ret_overlaps = overlap.found;
    return code;
}
