// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's side: the block of addresses that it holds, and the network of each sandbox.
 */
#include "backends/process/network_internal.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define POOL4_DEFAULT "10.200.0.0/16"
#define POOL6_DEFAULT "fd6f:7361:6e64::/48"
/* A block is a /21: NETWORK_SLOTS pairs. */
#define BLOCK_PREFIX 21u
/* The block's number is one byte of names and hardware addresses. */
#define BLOCK_MAX 256u

struct network {
    struct osa_loop *loop;
    struct netlink *route; /* of the host's namespace */
    struct netlink *claim; /* owns the table that holds the block */
    unsigned block;
    struct in_addr pool4;
    struct in6_addr pool6;
    uint64_t used[NETWORK_SLOTS / 64];
    unsigned next; /* slots are handed out in turn, so that one just left rests for a while */
};

struct network_link {
    struct network *net; /* NULL: loopback alone */
    struct network_pair pair;
    unsigned slot;
    bool wired;            /* the slot is ours, the pair is there */
    struct netlink *rules; /* of the sandbox's namespace */
    struct netlink *log;
    struct osa_source log_source;
    struct network_events *events;
};

/* ---- the pool ---- */

static enum osa_code parse_pool(const char *text, int family, void *ret_address,
                                unsigned *ret_prefix, struct osa_error *err)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    char *end = NULL;
    unsigned long prefix = slash == NULL ? 0 : strtoul(slash + 1, &end, 10);
    bool valid = slash != NULL && (size_t)(slash - text) < sizeof(address) && end != slash + 1 &&
                 *end == '\0' && prefix <= 128;
    if (valid) {
        memcpy(address, text, (size_t)(slash - text));
        address[slash - text] = '\0';
        valid = inet_pton(family, address, ret_address) == 1;
    }
    if (valid && family == AF_INET)
        valid = prefix >= 8 && prefix <= BLOCK_PREFIX;
    else if (valid)
        valid = prefix == 48;
    if (!valid)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "address pool '%s' is not an %s", text,
                        family == AF_INET ? "IPv4 network from /8 to /21" : "IPv6 /48");
    *ret_prefix = (unsigned)prefix;
    return OSA_OK;
}

static struct in_addr block_base(const struct network *net, unsigned block)
{
    return (struct in_addr){ htonl(ntohl(net->pool4.s_addr) + (block << (32 - BLOCK_PREFIX))) };
}

static struct in6_addr inside6_of(const struct network *net, unsigned slot, unsigned end)
{
    struct in6_addr address = net->pool6;
    uint32_t low = htonl(slot * 2 + end);
    memset(address.s6_addr + 6, 0, 10);
    address.s6_addr[7] = (uint8_t)net->block;
    memcpy(address.s6_addr + 12, &low, sizeof(low));
    return address;
}

static void fill_pair(const struct network *net, unsigned slot, struct network_pair *ret_pair)
{
    uint32_t base = ntohl(block_base(net, net->block).s_addr) + slot * 2;
    /* 02: locally administered; 6f7361: "osa" */
    const uint8_t mac[NETWORK_MAC_SIZE] = {
        0x02, 0x6f, 0x73, (uint8_t)net->block, (uint8_t)(slot >> 7), (uint8_t)(slot << 1)
    };
    *ret_pair = (struct network_pair){
        .host_index = (int)(NETWORK_INDEX_BASE + (net->block << 16) + slot),
        .gateway4 = { htonl(base) },
        .inside4 = { htonl(base + 1) },
        .gateway6 = inside6_of(net, slot, 0),
        .inside6 = inside6_of(net, slot, 1),
    };
    (void)snprintf(ret_pair->name, sizeof(ret_pair->name), "osa%02xv%03x", net->block, slot);
    memcpy(ret_pair->host_mac, mac, sizeof(mac));
    memcpy(ret_pair->inside_mac, mac, sizeof(mac));
    ret_pair->inside_mac[NETWORK_MAC_SIZE - 1] |= 1;
}

static bool take_slot(struct network *net, unsigned *ret_slot)
{
    for (unsigned i = 0; i < NETWORK_SLOTS; i++) {
        unsigned slot = (net->next + i) % NETWORK_SLOTS;
        if ((net->used[slot / 64] & 1ull << slot % 64) != 0)
            continue;
        net->used[slot / 64] |= 1ull << slot % 64;
        net->next = slot + 1;
        *ret_slot = slot;
        return true;
    }
    return false;
}

static void give_slot_back(struct network *net, unsigned slot)
{
    net->used[slot / 64] &= ~(1ull << slot % 64);
}

/* ---- the agent's side ---- */

/* Takes @block if no agent has it, no route of somebody else leads there, and it can be cleaned. */
static enum osa_code try_block(struct network *net, unsigned block, bool *ret_taken,
                               struct osa_error *err)
{
    bool overlaps = false;
    char prefix[16];
    *ret_taken = false;
    enum osa_code code = netlink_open(NETLINK_NETFILTER, &net->claim, err);
    if (code != OSA_OK)
        return code;
    code = network_rules_claim(net->claim, block, err);
    if (code == OSA_OK) {
        (void)snprintf(prefix, sizeof(prefix), "osa%02xv", block);
        code = network_wire_sweep(net->route, prefix, err);
    }
    if (code == OSA_OK)
        code =
            network_wire_overlaps(net->route, block_base(net, block), BLOCK_PREFIX, &overlaps, err);
    if (code == OSA_OK && !overlaps) {
        net->block = block;
        *ret_taken = true;
        return OSA_OK;
    }
    netlink_free(OSA_TAKE(net->claim));
    return code == OSA_ALREADY_EXISTS ? OSA_OK : code;
}

static enum osa_code claim_block(struct network *net, unsigned count, struct osa_error *err)
{
    for (unsigned block = 0; block < OSA_MIN(count, BLOCK_MAX); block++) {
        bool taken;
        enum osa_code code = try_block(net, block, &taken, err);
        if (code != OSA_OK || taken)
            return code;
    }
    return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                    "every block of the IPv4 address pool is used by another agent or a route; "
                    "choose another pool");
}

static enum osa_code probe(struct osa_error *err)
{
    struct netlink *nft = NULL;
    enum osa_code code = netlink_open(NETLINK_NETFILTER, &nft, err);
    if (code == OSA_OK)
        code = network_rules_probe(nft, err);
    netlink_free(nft);
    return code;
}

enum osa_code network_open(const struct network_config *config, struct network **ret_network,
                           struct osa_error *err)
{
    struct network *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return osa_fail_errno(err, ENOMEM, "network");
    net->loop = config->loop;
    unsigned prefix4;
    unsigned prefix6;
    enum osa_code code = parse_pool(config->ipv4_pool != NULL ? config->ipv4_pool : POOL4_DEFAULT,
                                    AF_INET, &net->pool4, &prefix4, err);
    if (code == OSA_OK)
        code = parse_pool(config->ipv6_pool != NULL ? config->ipv6_pool : POOL6_DEFAULT, AF_INET6,
                          &net->pool6, &prefix6, err);
    if (code == OSA_OK) {
        net->pool4.s_addr &= htonl(~(uint32_t)0 << (32 - prefix4));
        code = netlink_open(NETLINK_ROUTE, &net->route, err);
    }
    if (code == OSA_OK)
        code = probe(err);
    if (code == OSA_OK)
        code = claim_block(net, 1u << (BLOCK_PREFIX - prefix4), err);
    if (code != OSA_OK) {
        network_close(net);
        return code;
    }
    *ret_network = net;
    return OSA_OK;
}

void network_close(struct network *net)
{
    if (net == NULL)
        return;
    if (net->claim != NULL) { /* what a namespace in its last throes still has */
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "osa%02xv", net->block);
        (void)!network_wire_sweep(net->route, prefix, NULL);
    }
    netlink_free(net->route);
    netlink_free(net->claim);
    free(net);
}

/* ---- one sandbox ---- */

static void on_logged(uint16_t type, const void *body, size_t len, void *ctx)
{
    struct network_link *link = ctx;
    struct network_denial denial;
    if (network_log_parse(type, body, len, &denial))
        link->events->denied(link->events, &denial);
}

static void log_ready(struct osa_source *self, unsigned events)
{
    (void)events;
    struct network_link *link = OSA_CONTAINER_OF(self, struct network_link, log_source);
    (void)netlink_receive(link->log, on_logged, link);
}

static enum osa_code start_log(struct network_link *link, struct osa_loop *loop,
                               struct osa_error *err)
{
    if (link->events == NULL || link->events->denied == NULL)
        return OSA_OK;
    enum osa_code code = network_log_start(link->log, err);
    if (code != OSA_OK)
        return code;
    link->log_source = (struct osa_source){ .fd = netlink_fd(link->log), .ready = log_ready };
    return osa_source_add(loop, &link->log_source, OSA_READ, err);
}

/* A slot's former interface goes with its namespace, which takes the kernel a while. */
static enum osa_code wire_host(struct network_link *link, int ns_fd, const char *sandbox_id,
                               struct osa_error *err)
{
    struct network *net = link->net;
    enum osa_code code = OSA_ALREADY_EXISTS;
    for (unsigned tries = 0; tries < NETWORK_SLOTS && code == OSA_ALREADY_EXISTS; tries++) {
        unsigned slot;
        if (!take_slot(net, &slot))
            break;
        fill_pair(net, slot, &link->pair);
        code = network_wire_host(net->route, &link->pair, ns_fd, sandbox_id, err);
        if (code == OSA_OK) {
            link->slot = slot;
            link->wired = true;
            return OSA_OK;
        }
        give_slot_back(net, slot);
    }
    if (code != OSA_ALREADY_EXISTS)
        return code;
    return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                    "all %u networks of this agent are in use; delete sandboxes", NETWORK_SLOTS);
}

/* Rules first: there is no moment in which the namespace is open. */
static enum osa_code attach(struct network_link *link, struct osa_loop *loop,
                            const char *sandbox_id, uint16_t proxy_port,
                            struct network_sockets *sockets, struct osa_error *err)
{
    struct netlink *route = NULL;
    const bool veth = link->net != NULL;
    enum osa_code code =
        netlink_adopt(NETLINK_NETFILTER, osa_take_fd(&sockets->rules_fd), &link->rules, err);
    if (code == OSA_OK)
        code = netlink_adopt(NETLINK_NETFILTER, osa_take_fd(&sockets->log_fd), &link->log, err);
    if (code == OSA_OK)
        code = netlink_adopt(NETLINK_ROUTE, osa_take_fd(&sockets->route_fd), &route, err);
    if (code == OSA_OK && veth)
        code = wire_host(link, sockets->ns_fd, sandbox_id, err);
    if (code == OSA_OK)
        code = network_rules_load(link->rules, veth ? &link->pair : NULL, proxy_port, err);
    if (code == OSA_OK)
        code = start_log(link, loop, err);
    if (code == OSA_OK)
        code = network_wire_inside(route, veth ? &link->pair : NULL, err);
    netlink_free(route);
    return code;
}

enum osa_code network_attach(struct network *net, struct osa_loop *loop, const char *sandbox_id,
                             uint16_t proxy_port, struct network_sockets *sockets,
                             struct network_events *events, struct network_link **ret_link,
                             struct osa_error *err)
{
    enum osa_code code;
    struct network_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        code = osa_fail_errno(err, ENOMEM, "network of '%s'", sandbox_id);
    } else {
        link->net = net;
        link->events = events;
        code = attach(link, loop, sandbox_id, proxy_port, sockets, err);
    }
    osa_replace_fd(&sockets->ns_fd, -1);
    osa_replace_fd(&sockets->route_fd, -1);
    osa_replace_fd(&sockets->rules_fd, -1);
    osa_replace_fd(&sockets->log_fd, -1);
    if (code != OSA_OK) {
        if (link != NULL && link->wired)
            (void)network_wire_remove(net->route, link->pair.host_index, NULL);
        network_detach(link);
        return code;
    }
    *ret_link = link;
    return OSA_OK;
}

enum osa_code network_set_proxy(struct network_link *link, uint16_t proxy_port,
                                struct osa_error *err)
{
    return network_rules_replace(link->rules, link->net != NULL ? &link->pair : NULL, proxy_port,
                                 err);
}

enum osa_code network_redirect(struct network_link *link, uint16_t names_port, uint16_t tcp_port,
                               struct osa_error *err)
{
    return network_rules_redirect(link->rules, names_port, tcp_port, err);
}

enum osa_code network_listen(const struct network_link *link, uint16_t port, int ret_fds[2],
                             struct osa_error *err)
{
    if (link->net == NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the sandbox has no veth pair");
    return network_listen_at(&link->pair, port, ret_fds, err);
}

bool network_gateway(const struct network_link *link, struct in_addr *ret_v4,
                     struct in6_addr *ret_v6)
{
    if (link->net == NULL)
        return false;
    *ret_v4 = link->pair.gateway4;
    *ret_v6 = link->pair.gateway6;
    return true;
}

uint64_t network_denied_total(struct network_link *link)
{
    return network_rules_denied(link->rules);
}

void network_drain(struct network_link *link)
{
    if (link != NULL && link->log_source.slot != 0)
        (void)netlink_receive(link->log, on_logged, link);
}

void network_detach(struct network_link *link)
{
    if (link == NULL)
        return;
    osa_source_remove(&link->log_source);
    netlink_free(link->rules);
    netlink_free(link->log);
    if (link->wired)
        give_slot_back(link->net, link->slot);
    free(link);
}
