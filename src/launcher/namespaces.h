// SPDX-License-Identifier: Apache-2.0
/* Namespace bits of plans as the kernel wants them. */
#pragma once

#include "launcher/protocol.h"

#include <stdint.h>
#include <sys/types.h>

/** namespace_clone_flags() - CLONE_NEW* for PLAN_NS_* bits */
int namespace_clone_flags(uint32_t namespaces);

/**
 * namespace_map_self() - Map one user and one group into the caller's new user namespace, each to itself
 * The caller must be dumpable and alone in the namespace. setgroups(2) is given up, as
 * user_namespaces(7) demands of who has no privilege outside.
 * Return: 0 or -errno.
 */
int namespace_map_self(uid_t uid, gid_t gid);

/**
 * namespace_open_network() - netlink(7) sockets in the caller's network namespace: one of
 * NETLINK_ROUTE, two of NETLINK_NETFILTER, CLOEXEC
 * They stay bound to it, and with the caller's capabilities in it, wherever they are sent.
 * @ret_fds: those three are written, only on success
 * Return: 0 or -errno.
 */
int namespace_open_network(int ret_fds[NETWORK_FD_COUNT]);

/**
 * namespace_open_proxy() - Where the egress proxy listens for this network namespace: on its
 * addresses, which are all its own: 127.0.0.0/8, ::1 and SANDBOX_PROXY_ADDRESS; and a netlink socket that tells who has which connection (sock_diag(7))
 * Whoever accepts from them may live in another namespace.
 * @port:    of both listeners
 * @ret_fds: NETWORK_FD_DIAG to NETWORK_FD_PROXY6 are written, only on success; the last is -1 where
 *           the kernel has no IPv6. CLOEXEC; the listeners do not block
 * Return: 0 or -errno.
 */
int namespace_open_proxy(uint16_t port, int ret_fds[NETWORK_FD_COUNT]);

/**
 * namespace_open_names() - Where names are resolved for this network namespace, and where TCP arrives
 * that knows no proxy
 * @names_port: of a UDP and a TCP socket for both families where the kernel has IPv6
 * @tcp_port:   of a listener on 127.0.0.1
 * @ret_fds:    NETWORK_FD_NAMES_UDP to NETWORK_FD_TCP are written, only on success. CLOEXEC, and they
 *              do not block
 * Return: 0 or -errno.
 */
int namespace_open_names(uint16_t names_port, uint16_t tcp_port, int ret_fds[NETWORK_FD_COUNT]);

/** namespace_raise_loopback() - Bring lo up in the caller's new network namespace, with SANDBOX_PROXY_ADDRESS on it. Return: 0 or -errno */
int namespace_raise_loopback(void);
