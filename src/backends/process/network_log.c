// SPDX-License-Identifier: Apache-2.0
/* What the rules log, from nfnetlink_log (linux/netfilter/nfnetlink_log.h). */
#include "backends/process/network_internal.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>

/* Extension headers that a packet of ours may start with; more are not looked through. */
#define EXTENSIONS_MAX 4

static void config_message(struct netlink *log)
{
    const struct nfgenmsg header = { .version = NFNETLINK_V0, .res_id = htons(NETWORK_LOG_GROUP) };
    netlink_message(log, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0, &header, sizeof(header));
}

enum osa_code network_log_start(struct netlink *log, struct osa_error *err)
{
    config_message(log);
    netlink_put_u8(log, NFULA_CFG_CMD, NFULNL_CFG_CMD_BIND);
    config_message(log);
    const struct nfulnl_msg_config_mode mode = { .copy_range = htonl(128),
                                                 .copy_mode = NFULNL_COPY_PACKET };
    netlink_put(log, NFULA_CFG_MODE, &mode, sizeof(mode));
    netlink_put_be32(log, NFULA_CFG_QTHRESH, 1); /* tell at once */
    return netlink_commit(log, "read the packet filter's log", err);
}

static uint16_t port_at(const uint8_t *transport, size_t len, uint8_t protocol)
{
    bool has_ports = protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ||
                     protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP ||
                     protocol == IPPROTO_UDPLITE;
    return has_ports && len >= 4 ? (uint16_t)(transport[2] << 8 | transport[3]) : 0;
}

static bool parse_ipv4(const uint8_t *packet, size_t len, struct network_denial *denial)
{
    struct iphdr ip;
    if (len < sizeof(ip))
        return false;
    memcpy(&ip, packet, sizeof(ip));
    size_t header_len = (size_t)ip.ihl * 4;
    denial->family = AF_INET;
    denial->protocol = ip.protocol;
    (void)inet_ntop(AF_INET, &ip.daddr, denial->address, sizeof(denial->address));
    if (header_len >= sizeof(ip) && header_len <= len && (ntohs(ip.frag_off) & IP_OFFMASK) == 0)
        denial->port = port_at(packet + header_len, len - header_len, ip.protocol);
    return true;
}

static bool parse_ipv6(const uint8_t *packet, size_t len, struct network_denial *denial)
{
    struct ip6_hdr ip;
    if (len < sizeof(ip))
        return false;
    memcpy(&ip, packet, sizeof(ip));
    denial->family = AF_INET6;
    (void)inet_ntop(AF_INET6, &ip.ip6_dst, denial->address, sizeof(denial->address));
    uint8_t next = ip.ip6_nxt;
    size_t at = sizeof(ip);
    for (int i = 0; i < EXTENSIONS_MAX && at + 8 <= len; i++) {
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
            break;
        next = packet[at];
        at += ((size_t)packet[at + 1] + 1) * 8;
    }
    denial->protocol = next;
    if (at <= len)
        denial->port = port_at(packet + at, len - at, next);
    return true;
}

bool network_log_parse(uint16_t type, const void *body, size_t len,
                       struct network_denial *ret_denial)
{
    size_t packet_len;
    size_t uid_len;
    if (type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
        return false;
    const uint8_t *packet =
        netlink_attribute(body, len, sizeof(struct nfgenmsg), NFULA_PAYLOAD, &packet_len);
    if (packet == NULL || packet_len == 0)
        return false;
    struct network_denial denial = { .uid = UINT32_MAX };
    const void *uid = netlink_attribute(body, len, sizeof(struct nfgenmsg), NFULA_UID, &uid_len);
    if (uid != NULL && uid_len == sizeof(uint32_t)) {
        uint32_t value;
        memcpy(&value, uid, sizeof(value));
        denial.uid = ntohl(value);
    }
    unsigned version = packet[0] >> 4;
    bool known = version == 4   ? parse_ipv4(packet, packet_len, &denial)
                 : version == 6 ? parse_ipv6(packet, packet_len, &denial)
                                : false;
    if (known)
        *ret_denial = denial;
    return known;
}
