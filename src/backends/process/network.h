// SPDX-License-Identifier: Apache-2.0
/*
 * The network of a sandbox: a namespace of its own, whose only way out is the egress proxy.
 *
 * Inside stand lo and, when the agent is privileged, eth0: the end of a veth pair whose other end
 * (the gateway address) the agent has. nf_tables rules accept loopback and TCP to the gateway's
 * proxy port; everything else is refused at once (TCP reset, ICMP port unreachable) and reported.
 *
 * The agent's threads never enter a namespace. The sandbox's init opens netlink sockets in it,
 * which stay bound to it, and hands them out over SCM_RIGHTS; the agent configures through them.
 *
 * Every agent holds one block of the address pool, claimed by an nf_tables table that vanishes with
 * its owner (NFT_TABLE_F_OWNER, Linux 5.12). An interface of a block that nobody held before is
 * what a dead agent left, and goes. The kernel is the only record, so nothing can get out of step.
 *
 * Threads: the loop thread.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct network;      /* the agent's side */
struct network_link; /* one sandbox's network */

/**
 * struct network_config - The agent's side
 * @loop:      borrowed; outlives the network
 * @ipv4_pool: "10.200.0.0/16" and so on: /8 to /21; NULL for that default. Cut in blocks of 2,048
 * @ipv6_pool: a /48, "fd6f:7361:6e64::/48"; NULL for that default
 */
struct network_config {
    struct osa_loop *loop;
    const char *ipv4_pool;
    const char *ipv6_pool;
};

/**
 * network_open() - Claim a block and remove what dead agents left in it
 * Return: OSA_OK; FAILED_PRECONDITION: no CAP_NET_ADMIN, no veth, no nf_tables, which the text names
 * (network_attach() without a veth is still possible: pass NULL); RESOURCE_EXHAUSTED: no block is
 * free; INVALID_ARGUMENT: a pool that cannot be used.
 */
OSA_MUST_CHECK enum osa_code network_open(const struct network_config *config,
                                          struct network **ret_network, struct osa_error *err);

/** network_close() - Give the block back; every link was freed. NULL is fine */
void network_close(struct network *net);

/**
 * struct network_sockets - What the init of the sandbox opens in its new network namespace while it
 * still has CAP_NET_ADMIN there, and sends out. All CLOEXEC
 * @ns_fd:    /proc/self/ns/net, O_RDONLY; needed for a veth only, else -1
 * @route_fd: socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
 * @rules_fd: socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)
 * @log_fd:   one more like @rules_fd
 */
struct network_sockets {
    int ns_fd;
    int route_fd;
    int rules_fd;
    int log_fd;
};

/**
 * struct network_denial - One refused packet
 * @family:   AF_INET or AF_INET6
 * @protocol: IPPROTO_*
 * @address:  of the destination, as text
 * @port:     0 when the protocol has none
 * @uid:      of the socket's owner; UINT32_MAX when unknown
 */
struct network_denial {
    int family;
    uint8_t protocol;
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
    uint32_t uid;
};

/**
 * struct network_events - What the network of a sandbox reports; outlives the link
 * @denied: at most 10 at once and 5 a second; network_denied_total() counts all. Must not detach
 */
struct network_events {
    void (*denied)(struct network_events *self, const struct network_denial *denial);
};

/**
 * network_attach() - Configure a sandbox's fresh network namespace from outside
 * @net:        NULL: no veth, loopback alone (rootless)
 * @loop:       borrowed
 * @sandbox_id: kept as the alias of the host's interface
 * @proxy_port: TCP port of the proxy on the gateway address; 0: no way out
 * @sockets:    taken, also on failure
 * @events:     borrowed; NULL for none
 * Afterwards lo is up, the rules are in force, and eth0 has its addresses. The host's end carries
 * packets a moment later, when the kernel's link watch has run (IFF_RUNNING): what is sent before
 * is lost, and TCP tries again after a second. On failure nothing is
 * left behind on the host; the namespace is of no use.
 * Return: OSA_OK; RESOURCE_EXHAUSTED: the block is used up; FAILED_PRECONDITION: rules cannot be set.
 */
OSA_MUST_CHECK enum osa_code network_attach(struct network *net, struct osa_loop *loop,
                                            const char *sandbox_id, uint16_t proxy_port,
                                            struct network_sockets *sockets,
                                            struct network_events *events,
                                            struct network_link **ret_link, struct osa_error *err);

/** network_set_proxy() - Change the proxy's port, or 0 to close the way out; in one step */
OSA_MUST_CHECK enum osa_code network_set_proxy(struct network_link *link, uint16_t proxy_port,
                                               struct osa_error *err);

/** network_redirect() - Lead questions about names, and TCP to the addresses that stand for names, to these ports of the loopback; once. Return: as network_attach() */
OSA_MUST_CHECK enum osa_code network_redirect(struct network_link *link, uint16_t names_port,
                                              uint16_t tcp_port, struct osa_error *err);

/**
 * network_listen() - Listeners on the gateway's addresses that nobody but this sandbox can reach
 * What the host itself sends to its own address goes unanswered.
 * @ret_fds: IPv4 and IPv6; non-blocking, CLOEXEC; the second is -1 where the host has no IPv6
 * Return: OSA_OK; FAILED_PRECONDITION: no veth; RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code network_listen(const struct network_link *link, uint16_t port,
                                            int ret_fds[2], struct osa_error *err);

/** network_gateway() - The gateway's addresses, where a proxy listens for this sandbox alone. Return: false without a veth */
bool network_gateway(const struct network_link *link, struct in_addr *ret_v4,
                     struct in6_addr *ret_v6);

/** network_denied_total() - Refused packets so far, from the kernel's counter; 0 when it cannot be read */
uint64_t network_denied_total(struct network_link *link);

/** network_drain() - Report at once what was refused so far; for the end of a sandbox. NULL is fine */
void network_drain(struct network_link *link);

/**
 * network_detach() - Forget the network, give the addresses back. NULL is fine
 * The veth pair goes with the namespace: soon after its last process and descriptor are gone. To
 * delete it by hand would stop the loop for some 10 ms (the kernel waits for RCU).
 */
void network_detach(struct network_link *link);
