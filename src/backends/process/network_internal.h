// SPDX-License-Identifier: Apache-2.0
/* What network.c, network_wire.c, network_rules.c, network_listen.c and network_log.c share; for them alone. */
#pragma once

#include "backends/process/network.h"
#include "io/netlink.h"

#include <net/if.h>

/* Interface indexes are free to choose when an interface is made. Ours are far from the kernel's. */
#define NETWORK_INDEX_BASE 0x4f000000
#define NETWORK_INDEX_INSIDE 0x4f000000
#define NETWORK_INDEX_LO 1
/* Sandboxes of one agent: an address pair each of a block of 2,048 addresses. */
#define NETWORK_SLOTS 1024u
#define NETWORK_MAC_SIZE 6

/**
 * struct network_pair - The two ends of a sandbox's veth pair
 * @name: of the host's interface: osaBBvSSS, block and slot in hexadecimal
 * @gateway4, @gateway6, @inside4, @inside6: neighbours in a /31 and a /127
 */
struct network_pair {
    char name[IFNAMSIZ];
    int host_index;
    struct in_addr gateway4;
    struct in_addr inside4;
    struct in6_addr gateway6;
    struct in6_addr inside6;
    uint8_t host_mac[NETWORK_MAC_SIZE];
    uint8_t inside_mac[NETWORK_MAC_SIZE];
};

/* ---- network_wire.c: interfaces, addresses, routes ---- */

/** network_wire_host() - Make the pair, its inner end in @ns_fd, and configure the outer one. Return: ALREADY_EXISTS: the slot's last one is not gone yet; else as netlink_commit(); nothing is left behind */
OSA_MUST_CHECK enum osa_code network_wire_host(struct netlink *route,
                                               const struct network_pair *pair, int ns_fd,
                                               const char *sandbox_id, struct osa_error *err);
/** network_wire_inside() - lo up; eth0 with addresses and default routes, or without @pair default routes into lo, so that everything meets the rules */
OSA_MUST_CHECK enum osa_code
network_wire_inside(struct netlink *route, const struct network_pair *pair, struct osa_error *err);
/** network_wire_remove() - Delete the pair by its outer end. Return: OSA_OK also when it is gone already */
enum osa_code network_wire_remove(struct netlink *route, int host_index, struct osa_error *err);
/** network_wire_sweep() - Delete all interfaces whose name starts with @prefix; the sandboxes behind them lose their way out */
OSA_MUST_CHECK enum osa_code network_wire_sweep(struct netlink *route, const char *prefix,
                                                struct osa_error *err);
/** network_wire_overlaps() - Is there a route other than the default ones into @base/@prefix (IPv4)? Return: OSA_OK */
OSA_MUST_CHECK enum osa_code network_wire_overlaps(struct netlink *route, struct in_addr base,
                                                   unsigned prefix, bool *ret_overlaps,
                                                   struct osa_error *err);

/* ---- network_rules.c: nf_tables ---- */

/** network_rules_probe() - Does nf_tables answer us? Return: OSA_OK or FAILED_PRECONDITION */
OSA_MUST_CHECK enum osa_code network_rules_probe(struct netlink *nft, struct osa_error *err);
/** network_rules_claim() - Make the table that stands for @block and lives as long as @nft. Return: ALREADY_EXISTS when another agent has it; FAILED_PRECONDITION */
OSA_MUST_CHECK enum osa_code network_rules_claim(struct netlink *nft, unsigned block,
                                                 struct osa_error *err);
/** network_rules_load() - Put the rules in force in a fresh namespace, all or none */
OSA_MUST_CHECK enum osa_code network_rules_load(struct netlink *nft,
                                                const struct network_pair *pair,
                                                uint16_t proxy_port, struct osa_error *err);
/** network_rules_replace() - The same over rules that are in force; in one step */
OSA_MUST_CHECK enum osa_code network_rules_replace(struct netlink *nft,
                                                   const struct network_pair *pair,
                                                   uint16_t proxy_port, struct osa_error *err);
/**
 * network_rules_redirect() - Lead what goes to any port 53 to @names_port, and TCP to SANDBOX_NAMES_NET
 * to @tcp_port, of the namespace's own loopback; after network_rules_load(). All or none
 */
OSA_MUST_CHECK enum osa_code network_rules_redirect(struct netlink *nft, uint16_t names_port,
                                                    uint16_t tcp_port, struct osa_error *err);
/** network_rules_denied() - Packets refused so far. Return: 0 when it cannot be read */
uint64_t network_rules_denied(struct netlink *nft);

/* The group of the rules' log, in the sandbox's own namespace. */
#define NETWORK_LOG_GROUP 1

/* ---- network_log.c: nfnetlink_log ---- */

/** network_log_start() - Have the kernel send what the rules log to @log */
OSA_MUST_CHECK enum osa_code network_log_start(struct netlink *log, struct osa_error *err);
/** network_log_parse() - One message that the kernel sent. Return: false when it is none that we understand */
bool network_log_parse(uint16_t type, const void *body, size_t len,
                       struct network_denial *ret_denial);

/* ---- network_listen.c ---- */

/** network_listen_at() - As network_listen(), at the outer end of a pair that is there */
OSA_MUST_CHECK enum osa_code network_listen_at(const struct network_pair *pair, uint16_t port,
                                               int ret_fds[2], struct osa_error *err);
