// SPDX-License-Identifier: Apache-2.0
/*
 * The packet filter of a sandbox's network namespace, as nf_tables messages of our own
 * (linux/netfilter/nf_tables.h). In the notation of nft(8):
 *
 *   table inet openshell {
 *     counter denied { }
 *     chain out { type filter hook output priority 0; policy drop;
 *       oif lo ip daddr 127.0.0.0/8 accept
 *       oif lo ip6 daddr ::1 accept
 *       oif lo ip daddr 10.200.0.1 accept          # SANDBOX_PROXY_ADDRESS
 *       oif lo ip daddr INSIDE4 accept             # to oneself by the own address
 *       oif lo ip6 daddr INSIDE6 accept
 *       ip daddr GATEWAY4 tcp dport PROXY accept
 *       ip6 daddr GATEWAY6 tcp dport PROXY accept
 *       icmpv6 type 130-143 drop                   # the kernel's own: multicast, discovery
 *       limit rate 5/second burst 10 packets log group 1
 *       counter name denied
 *       meta l4proto tcp reject with tcp reset
 *       reject with icmpx port-unreachable
 *     }
 *     chain in { type filter hook input priority 0; policy drop;
 *       iif lo accept
 *       iif eth0 ip saddr GATEWAY4 tcp sport PROXY accept
 *       iif eth0 ip6 saddr GATEWAY6 tcp sport PROXY accept
 *     }
 *     chain forward { type filter hook forward priority 0; policy drop; }
 *   }
 *
 *     chain redirect { type nat hook output priority -100; policy accept;   # with a resolver only
 *       ip daddr 198.18.0.0/15 tcp redirect to :TCP
 *       udp dport 53 redirect to :NAMES
 *       tcp dport 53 redirect to :NAMES
 *     }
 *
 * No connection tracking but for the last: the two ends of the one allowed flow are known, so no state is needed,
 * and namespaces come and go faster without it.
 *
 * The table has no owner, for the rules must outlive the agent.
 */
#include "backends/process/network_internal.h"

#include "backends/backend.h"
#include "launcher/plan.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TABLE "openshell"
#define CHAIN_OUT "out"
#define CHAIN_IN "in"
#define CHAIN_FORWARD "forward"
#define CHAIN_REDIRECT "redirect"
#define COUNTER "denied"

/* Offsets in the network and transport headers: RFC 791, 8200, 9293. */
#define IP4_SADDR 12
#define IP4_DADDR 16
#define IP6_SADDR 8
#define IP6_DADDR 24
#define TCP_SPORT 0
#define TCP_DPORT 2
#define UDP_DPORT 2
#define NAMES_PORT 53
/* RFC 4443, 2710, 3810, 4861: listener reports, router and neighbour discovery. */
#define ICMPV6_FIRST_OWN 130
#define ICMPV6_LAST_OWN 143

/* ---- messages ---- */

static uint16_t nft_type(unsigned type)
{
    return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

static void message(struct netlink *nl, unsigned type, unsigned flags)
{
    const struct nfgenmsg header = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };
    netlink_message(nl, nft_type(type), (uint16_t)flags, &header, sizeof(header));
}

/* All that stands between the two is one transaction. */
static void bracket(struct netlink *nl, uint16_t type)
{
    const struct nfgenmsg header = { .version = NFNETLINK_V0,
                                     .res_id = htons(NFNL_SUBSYS_NFTABLES) };
    netlink_bracket(nl, type, &header, sizeof(header));
}

/* ---- expressions ---- */

struct expression {
    void *element;
    void *data;
};

static struct expression begin_expression(struct netlink *nl, const char *name)
{
    struct expression e;
    e.element = netlink_nest(nl, NFTA_LIST_ELEM);
    netlink_put_string(nl, NFTA_EXPR_NAME, name);
    e.data = netlink_nest(nl, NFTA_EXPR_DATA);
    return e;
}

static void end_expression(struct netlink *nl, struct expression e)
{
    netlink_nest_end(nl, e.data);
    netlink_nest_end(nl, e.element);
}

static void put_value(struct netlink *nl, uint16_t attribute, const void *value, size_t len)
{
    void *nest = netlink_nest(nl, attribute);
    netlink_put(nl, NFTA_DATA_VALUE, value, len);
    netlink_nest_end(nl, nest);
}

static void load_meta(struct netlink *nl, enum nft_meta_keys key)
{
    struct expression e = begin_expression(nl, "meta");
    netlink_put_be32(nl, NFTA_META_KEY, key);
    netlink_put_be32(nl, NFTA_META_DREG, NFT_REG_1);
    end_expression(nl, e);
}

static void load_payload(struct netlink *nl, enum nft_payload_bases base, uint32_t offset,
                         uint32_t len)
{
    struct expression e = begin_expression(nl, "payload");
    netlink_put_be32(nl, NFTA_PAYLOAD_DREG, NFT_REG_1);
    netlink_put_be32(nl, NFTA_PAYLOAD_BASE, base);
    netlink_put_be32(nl, NFTA_PAYLOAD_OFFSET, offset);
    netlink_put_be32(nl, NFTA_PAYLOAD_LEN, len);
    end_expression(nl, e);
}

static void compare(struct netlink *nl, enum nft_cmp_ops op, const void *value, size_t len)
{
    struct expression e = begin_expression(nl, "cmp");
    netlink_put_be32(nl, NFTA_CMP_SREG, NFT_REG_1);
    netlink_put_be32(nl, NFTA_CMP_OP, op);
    put_value(nl, NFTA_CMP_DATA, value, len);
    end_expression(nl, e);
}

static void mask(struct netlink *nl, const void *bits, const void *zero, size_t len)
{
    struct expression e = begin_expression(nl, "bitwise");
    netlink_put_be32(nl, NFTA_BITWISE_SREG, NFT_REG_1);
    netlink_put_be32(nl, NFTA_BITWISE_DREG, NFT_REG_1);
    netlink_put_be32(nl, NFTA_BITWISE_LEN, (uint32_t)len);
    put_value(nl, NFTA_BITWISE_MASK, bits, len);
    put_value(nl, NFTA_BITWISE_XOR, zero, len);
    end_expression(nl, e);
}

static void verdict(struct netlink *nl, int code)
{
    struct expression e = begin_expression(nl, "immediate");
    netlink_put_be32(nl, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    void *data = netlink_nest(nl, NFTA_IMMEDIATE_DATA);
    void *nest = netlink_nest(nl, NFTA_DATA_VERDICT);
    netlink_put_be32(nl, NFTA_VERDICT_CODE, (uint32_t)code);
    netlink_nest_end(nl, nest);
    netlink_nest_end(nl, data);
    end_expression(nl, e);
}

static void reject(struct netlink *nl, enum nft_reject_types type, uint8_t code)
{
    struct expression e = begin_expression(nl, "reject");
    netlink_put_be32(nl, NFTA_REJECT_TYPE, type);
    netlink_put_u8(nl, NFTA_REJECT_ICMP_CODE, code);
    end_expression(nl, e);
}

static void log_limited(struct netlink *nl)
{
    struct expression e = begin_expression(nl, "limit");
    netlink_put_be64(nl, NFTA_LIMIT_RATE, 5);
    netlink_put_be64(nl, NFTA_LIMIT_UNIT, 1); /* seconds */
    netlink_put_be32(nl, NFTA_LIMIT_BURST, 10);
    netlink_put_be32(nl, NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
    end_expression(nl, e);
    e = begin_expression(nl, "log");
    netlink_put_be16(nl, NFTA_LOG_GROUP, NETWORK_LOG_GROUP);
    netlink_put_be32(nl, NFTA_LOG_SNAPLEN, 128);
    netlink_put_be16(nl, NFTA_LOG_QTHRESHOLD, 1);
    end_expression(nl, e);
}

static void count_denied(struct netlink *nl)
{
    struct expression e = begin_expression(nl, "objref");
    netlink_put_be32(nl, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
    netlink_put_string(nl, NFTA_OBJREF_IMM_NAME, COUNTER);
    end_expression(nl, e);
}

/* ---- matches ---- */

static void match_interface(struct netlink *nl, enum nft_meta_keys key, int index)
{
    load_meta(nl, key);
    compare(nl, NFT_CMP_EQ, &index, sizeof(index));
}

static void match_byte(struct netlink *nl, enum nft_meta_keys key, uint8_t value)
{
    load_meta(nl, key);
    compare(nl, NFT_CMP_EQ, &value, sizeof(value));
}

static void match_address(struct netlink *nl, int family, bool source, const void *address)
{
    match_byte(nl, NFT_META_NFPROTO, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    uint32_t len = family == AF_INET ? 4 : 16;
    uint32_t offset =
        family == AF_INET ? (source ? IP4_SADDR : IP4_DADDR) : (source ? IP6_SADDR : IP6_DADDR);
    load_payload(nl, NFT_PAYLOAD_NETWORK_HEADER, offset, len);
    compare(nl, NFT_CMP_EQ, address, len);
}

static void match_tcp_port(struct netlink *nl, uint32_t offset, uint16_t port)
{
    match_byte(nl, NFT_META_L4PROTO, IPPROTO_TCP);
    const uint16_t value = htons(port);
    load_payload(nl, NFT_PAYLOAD_TRANSPORT_HEADER, offset, sizeof(value));
    compare(nl, NFT_CMP_EQ, &value, sizeof(value));
}

/* ---- rules ---- */

struct rule {
    void *expressions;
};

static struct rule begin_rule(struct netlink *nl, const char *chain)
{
    message(nl, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    netlink_put_string(nl, NFTA_RULE_TABLE, TABLE);
    netlink_put_string(nl, NFTA_RULE_CHAIN, chain);
    return (struct rule){ netlink_nest(nl, NFTA_RULE_EXPRESSIONS) };
}

static void end_rule(struct netlink *nl, struct rule rule)
{
    netlink_nest_end(nl, rule.expressions);
}

static void allow_to_self(struct netlink *nl, int family, const void *address)
{
    struct rule rule = begin_rule(nl, CHAIN_OUT);
    match_interface(nl, NFT_META_OIF, NETWORK_INDEX_LO);
    match_address(nl, family, /* source= */ false, address);
    verdict(nl, NF_ACCEPT);
    end_rule(nl, rule);
}

static void allow_loopback(struct netlink *nl)
{
    static const uint8_t net_mask[4] = { 255, 0, 0, 0 };
    static const uint8_t net[4] = { 127, 0, 0, 0 };
    static const uint8_t zero[4];
    struct rule rule = begin_rule(nl, CHAIN_OUT);
    match_interface(nl, NFT_META_OIF, NETWORK_INDEX_LO);
    match_byte(nl, NFT_META_NFPROTO, NFPROTO_IPV4);
    load_payload(nl, NFT_PAYLOAD_NETWORK_HEADER, IP4_DADDR, sizeof(net));
    mask(nl, net_mask, zero, sizeof(net));
    compare(nl, NFT_CMP_EQ, net, sizeof(net));
    verdict(nl, NF_ACCEPT);
    end_rule(nl, rule);
    allow_to_self(nl, AF_INET6, &in6addr_loopback);
}

static void allow_proxy(struct netlink *nl, int family, const void *gateway, uint16_t port)
{
    struct rule rule = begin_rule(nl, CHAIN_OUT);
    match_address(nl, family, /* source= */ false, gateway);
    match_tcp_port(nl, TCP_DPORT, port);
    verdict(nl, NF_ACCEPT);
    end_rule(nl, rule);
    rule = begin_rule(nl, CHAIN_IN);
    match_interface(nl, NFT_META_IIF, NETWORK_INDEX_INSIDE);
    match_address(nl, family, /* source= */ true, gateway);
    match_tcp_port(nl, TCP_SPORT, port);
    verdict(nl, NF_ACCEPT);
    end_rule(nl, rule);
}

static void drop_the_kernels_own(struct netlink *nl)
{
    const uint8_t first = ICMPV6_FIRST_OWN;
    const uint8_t last = ICMPV6_LAST_OWN;
    struct rule rule = begin_rule(nl, CHAIN_OUT);
    match_byte(nl, NFT_META_L4PROTO, IPPROTO_ICMPV6);
    load_payload(nl, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    compare(nl, NFT_CMP_GTE, &first, 1);
    compare(nl, NFT_CMP_LTE, &last, 1);
    verdict(nl, NF_DROP);
    end_rule(nl, rule);
}

static void refuse_the_rest(struct netlink *nl)
{
    struct rule rule = begin_rule(nl, CHAIN_OUT);
    log_limited(nl);
    end_rule(nl, rule);
    rule = begin_rule(nl, CHAIN_OUT);
    count_denied(nl);
    end_rule(nl, rule);
    rule = begin_rule(nl, CHAIN_OUT);
    match_byte(nl, NFT_META_L4PROTO, IPPROTO_TCP);
    reject(nl, NFT_REJECT_TCP_RST, 0);
    end_rule(nl, rule);
    rule = begin_rule(nl, CHAIN_OUT);
    reject(nl, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
    end_rule(nl, rule);
}

static void add_rules(struct netlink *nl, const struct network_pair *pair, uint16_t proxy_port)
{
    const struct in_addr proxy = { htonl(SANDBOX_PROXY_ADDRESS) };
    allow_loopback(nl);
    allow_to_self(nl, AF_INET, &proxy);
    if (pair != NULL) {
        allow_to_self(nl, AF_INET, &pair->inside4);
        allow_to_self(nl, AF_INET6, &pair->inside6);
    }
    if (pair != NULL && proxy_port != 0) {
        allow_proxy(nl, AF_INET, &pair->gateway4, proxy_port);
        allow_proxy(nl, AF_INET6, &pair->gateway6, proxy_port);
    }
    drop_the_kernels_own(nl);
    refuse_the_rest(nl);
    struct rule rule = begin_rule(nl, CHAIN_IN);
    match_interface(nl, NFT_META_IIF, NETWORK_INDEX_LO);
    verdict(nl, NF_ACCEPT);
    end_rule(nl, rule);
}

struct chain {
    const char *name;
    const char *type;
    uint32_t hook;
    int priority;
    uint32_t policy;
};

static void add_chain(struct netlink *nl, const struct chain *chain)
{
    message(nl, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
    netlink_put_string(nl, NFTA_CHAIN_TABLE, TABLE);
    netlink_put_string(nl, NFTA_CHAIN_NAME, chain->name);
    void *nest = netlink_nest(nl, NFTA_CHAIN_HOOK);
    netlink_put_be32(nl, NFTA_HOOK_HOOKNUM, chain->hook);
    netlink_put_be32(nl, NFTA_HOOK_PRIORITY, (uint32_t)chain->priority);
    netlink_nest_end(nl, nest);
    netlink_put_be32(nl, NFTA_CHAIN_POLICY, chain->policy);
    netlink_put_string(nl, NFTA_CHAIN_TYPE, chain->type);
}

static void add_filter(struct netlink *nl, const char *name, uint32_t hook)
{
    const struct chain chain = { .name = name, .type = "filter", .hook = hook, .policy = NF_DROP };
    add_chain(nl, &chain);
}

static void flush_chain(struct netlink *nl, const char *name)
{
    message(nl, NFT_MSG_DELRULE, 0);
    netlink_put_string(nl, NFTA_RULE_TABLE, TABLE);
    netlink_put_string(nl, NFTA_RULE_CHAIN, name);
}

static enum osa_code finish(struct netlink *nl, struct osa_error *err)
{
    bracket(nl, NFNL_MSG_BATCH_END);
    enum osa_code code = netlink_commit(nl, "set packet filter rules", err);
    if (code == OSA_INTERNAL && err != NULL)
        err->code = code = OSA_FAILED_PRECONDITION; /* fail closed: the kernel lacks a part */
    return code;
}

enum osa_code network_rules_load(struct netlink *nft, const struct network_pair *pair,
                                 uint16_t proxy_port, struct osa_error *err)
{
    bracket(nft, NFNL_MSG_BATCH_BEGIN);
    message(nft, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    netlink_put_string(nft, NFTA_TABLE_NAME, TABLE);
    message(nft, NFT_MSG_NEWOBJ, NLM_F_CREATE | NLM_F_EXCL);
    netlink_put_string(nft, NFTA_OBJ_TABLE, TABLE);
    netlink_put_string(nft, NFTA_OBJ_NAME, COUNTER);
    netlink_put_be32(nft, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    netlink_nest_end(nft, netlink_nest(nft, NFTA_OBJ_DATA));
    add_filter(nft, CHAIN_OUT, NF_INET_LOCAL_OUT);
    add_filter(nft, CHAIN_IN, NF_INET_LOCAL_IN);
    add_filter(nft, CHAIN_FORWARD, NF_INET_FORWARD);
    add_rules(nft, pair, proxy_port);
    return finish(nft, err);
}

enum osa_code network_rules_replace(struct netlink *nft, const struct network_pair *pair,
                                    uint16_t proxy_port, struct osa_error *err)
{
    bracket(nft, NFNL_MSG_BATCH_BEGIN);
    flush_chain(nft, CHAIN_OUT);
    flush_chain(nft, CHAIN_IN);
    add_rules(nft, pair, proxy_port);
    return finish(nft, err);
}

/* ---- what knows no proxy ---- */

static void redirect_to(struct netlink *nl, uint16_t port)
{
    const uint16_t value = htons(port);
    struct expression e = begin_expression(nl, "immediate");
    netlink_put_be32(nl, NFTA_IMMEDIATE_DREG, NFT_REG_1);
    put_value(nl, NFTA_IMMEDIATE_DATA, &value, sizeof(value));
    end_expression(nl, e);
    e = begin_expression(nl, "redir");
    netlink_put_be32(nl, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
    netlink_put_be32(nl, NFTA_REDIR_REG_PROTO_MAX, NFT_REG_1);
    netlink_put_be32(nl, NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
    end_expression(nl, e);
}

/* Before the questions: TCP to port 53 of an address that stands for a name is data. */
static void redirect_named(struct netlink *nl, uint16_t port)
{
    const uint32_t bits = htonl(~0u << (32 - SANDBOX_NAMES_PREFIX));
    const uint32_t net = htonl(SANDBOX_NAMES_NET);
    const uint32_t zero = 0;
    struct rule rule = begin_rule(nl, CHAIN_REDIRECT);
    match_byte(nl, NFT_META_NFPROTO, NFPROTO_IPV4);
    load_payload(nl, NFT_PAYLOAD_NETWORK_HEADER, IP4_DADDR, sizeof(net));
    mask(nl, &bits, &zero, sizeof(net));
    compare(nl, NFT_CMP_EQ, &net, sizeof(net));
    match_byte(nl, NFT_META_L4PROTO, IPPROTO_TCP);
    redirect_to(nl, port);
    end_rule(nl, rule);
}

static void redirect_questions(struct netlink *nl, uint8_t protocol, uint16_t port)
{
    const uint16_t asked = htons(NAMES_PORT);
    struct rule rule = begin_rule(nl, CHAIN_REDIRECT);
    match_byte(nl, NFT_META_L4PROTO, protocol);
    load_payload(nl, NFT_PAYLOAD_TRANSPORT_HEADER, UDP_DPORT, sizeof(asked));
    compare(nl, NFT_CMP_EQ, &asked, sizeof(asked));
    redirect_to(nl, port);
    end_rule(nl, rule);
}

enum osa_code network_rules_redirect(struct netlink *nft, uint16_t names_port, uint16_t tcp_port,
                                     struct osa_error *err)
{
    const struct chain chain = { .name = CHAIN_REDIRECT,
                                 .type = "nat",
                                 .hook = NF_INET_LOCAL_OUT,
                                 .priority = NF_IP_PRI_NAT_DST,
                                 .policy = NF_ACCEPT };
    bracket(nft, NFNL_MSG_BATCH_BEGIN);
    add_chain(nft, &chain);
    redirect_named(nft, tcp_port);
    redirect_questions(nft, IPPROTO_UDP, names_port);
    redirect_questions(nft, IPPROTO_TCP, names_port);
    return finish(nft, err);
}

/* ---- the claim of a block, on the host ---- */

enum osa_code network_rules_claim(struct netlink *nft, unsigned block, struct osa_error *err)
{
    char name[32];
    struct osa_error failed = { 0 };
    (void)snprintf(name, sizeof(name), "openshell-agent-%02x", block);
    bracket(nft, NFNL_MSG_BATCH_BEGIN);
    message(nft, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    netlink_put_string(nft, NFTA_TABLE_NAME, name);
    netlink_put_be32(nft, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
    bracket(nft, NFNL_MSG_BATCH_END);
    if (netlink_commit(nft, "claim an address block", &failed) == OSA_OK)
        return OSA_OK;
    /* EPERM: it has an owner. Lack of privilege was seen by network_rules_probe(). */
    if (failed.sys_errno == EPERM || failed.sys_errno == EEXIST)
        return osa_fail(err, OSA_ALREADY_EXISTS, 0, "address block %u is taken", block);
    return osa_fail(err, OSA_FAILED_PRECONDITION, failed.sys_errno,
                    "nf_tables cannot be used (it takes Linux 5.12)");
}

enum osa_code network_rules_probe(struct netlink *nft, struct osa_error *err)
{
    struct osa_error failed = { 0 };
    message(nft, NFT_MSG_GETGEN, 0);
    if (netlink_commit(nft, "nf_tables", &failed) == OSA_OK)
        return OSA_OK;
    return osa_fail(err, OSA_FAILED_PRECONDITION, failed.sys_errno, "nf_tables cannot be used%s",
                    failed.sys_errno == EPERM ? " without CAP_NET_ADMIN" : " on this kernel");
}

/* ---- the counter ---- */

static void read_counter(uint16_t type, const void *body, size_t len, void *ctx)
{
    uint64_t *packets = ctx;
    size_t data_len;
    size_t value_len;
    const void *data =
        netlink_attribute(body, len, sizeof(struct nfgenmsg), NFTA_OBJ_DATA, &data_len);
    if (type != nft_type(NFT_MSG_NEWOBJ) || data == NULL)
        return;
    const uint8_t *value =
        netlink_attribute(data, data_len, /* header_len= */ 0, NFTA_COUNTER_PACKETS, &value_len);
    for (size_t i = 0; value != NULL && value_len == 8 && i < 8; i++)
        *packets = *packets << 8 | value[i];
}

uint64_t network_rules_denied(struct netlink *nft)
{
    uint64_t packets = 0;
    message(nft, NFT_MSG_GETOBJ, 0);
    netlink_put_string(nft, NFTA_OBJ_TABLE, TABLE);
    netlink_put_string(nft, NFTA_OBJ_NAME, COUNTER);
    netlink_put_be32(nft, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    if (netlink_query(nft, read_counter, &packets, "read the counter of denied packets", NULL) !=
        OSA_OK)
        return 0;
    return packets;
}
