// SPDX-License-Identifier: Apache-2.0
#include "launcher/namespaces.h"
#include "launcher/plan.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const struct {
    uint32_t bit;
    int flag;
} table[] = {
    { PLAN_NS_USER, CLONE_NEWUSER },     { PLAN_NS_MNT, CLONE_NEWNS },
    { PLAN_NS_PID, CLONE_NEWPID },       { PLAN_NS_NET, CLONE_NEWNET },
    { PLAN_NS_IPC, CLONE_NEWIPC },       { PLAN_NS_UTS, CLONE_NEWUTS },
    { PLAN_NS_CGROUP, CLONE_NEWCGROUP },
};

int namespace_clone_flags(uint32_t namespaces)
{
    int flags = 0;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(table); i++) {
        if ((namespaces & table[i].bit) != 0)
            flags |= table[i].flag;
    }
    return flags;
}

int namespace_map_self(uid_t uid, gid_t gid)
{
    char text[64];
    int rc = osa_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
    if (rc < 0 && rc != -ENOENT) /* ENOENT: Linux before 3.19 has no such file */
        return rc;
    (void)snprintf(text, sizeof(text), "%u %u 1", uid, uid);
    rc = osa_write_file(AT_FDCWD, "/proc/self/uid_map", text);
    if (rc < 0)
        return rc;
    (void)snprintf(text, sizeof(text), "%u %u 1", gid, gid);
    return osa_write_file(AT_FDCWD, "/proc/self/gid_map", text);
}

static int set_address(int fd, unsigned long which, const char *label, in_addr_t address)
{
    struct ifreq request = { 0 };
    const struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { address } };
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", label);
    memcpy(&request.ifr_addr, &in, sizeof(in));
    return ioctl(fd, which, &request) < 0 ? -errno : 0;
}

int namespace_raise_loopback(void)
{
    OSA_AUTO(osa_close_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { .ifr_name = "lo" };
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -errno;
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return -errno;
    /*
     * "lo:0" is a label of one address more, not a device: netdevice(7). A kernel that has no such thing
     * is no reason to refuse the sandbox: programs are told 127.0.0.1.
     */
    if (set_address(fd, SIOCSIFADDR, "lo:0", htonl(SANDBOX_PROXY_ADDRESS)) == 0)
        (void)set_address(fd, SIOCSIFNETMASK, "lo:0", INADDR_BROADCAST);
    return 0;
}

int namespace_open_network(int ret_fds[NETWORK_FD_COUNT])
{
    static const int protocols[] = {
        [NETWORK_FD_ROUTE] = NETLINK_ROUTE,
        [NETWORK_FD_RULES] = NETLINK_NETFILTER,
        [NETWORK_FD_LOG] = NETLINK_NETFILTER,
    };
    int fds[OSA_ARRAY_LEN(protocols)];
    for (unsigned i = 0; i < OSA_ARRAY_LEN(protocols); i++) {
        fds[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocols[i]);
        if (fds[i] >= 0)
            continue;
        int saved = errno;
        while (i > 0)
            osa_close_fd(&fds[--i]);
        return -saved;
    }
    memcpy(ret_fds, fds, sizeof(fds));
    return 0;
}

/* @six_only: of an IPv6 socket. Return: a descriptor or -errno. */
static int bind_to(int type, const struct sockaddr *address, socklen_t len, int six_only)
{
    OSA_AUTO(osa_close_fd)
    int fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (address->sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof(six_only)) < 0)
        return -errno;
    if (bind(fd, address, len) < 0 || (type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0))
        return -errno;
    return osa_take_fd(&fd);
}

static int listen_on(const struct sockaddr *address, socklen_t len)
{
    return bind_to(SOCK_STREAM, address, len, /* six_only= */ 1);
}

/* On every address, of both families where there are both. */
static int bind_everywhere(int type, uint16_t port)
{
    const struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int fd = bind_to(type, (const struct sockaddr *)&v6, sizeof(v6), /* six_only= */ 0);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
        fd = bind_to(type, (const struct sockaddr *)&v4, sizeof(v4), /* six_only= */ 0);
    return fd;
}

int namespace_open_proxy(uint16_t port, int ret_fds[NETWORK_FD_COUNT])
{
    const struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                     .sin6_port = htons(port),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    OSA_AUTO(osa_close_fd)
    int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (diag < 0)
        return -errno;
    OSA_AUTO(osa_close_fd) int four = listen_on((const struct sockaddr *)&v4, sizeof(v4));
    if (four < 0)
        return four;
    int six = listen_on((const struct sockaddr *)&v6, sizeof(v6));
    if (six < 0 && six != -EAFNOSUPPORT && six != -EADDRNOTAVAIL)
        return six;
    ret_fds[NETWORK_FD_DIAG] = osa_take_fd(&diag);
    ret_fds[NETWORK_FD_PROXY4] = osa_take_fd(&four);
    ret_fds[NETWORK_FD_PROXY6] = six < 0 ? -1 : six;
    return 0;
}

int namespace_open_names(uint16_t names_port, uint16_t tcp_port, int ret_fds[NETWORK_FD_COUNT])
{
    const struct sockaddr_in loopback = { .sin_family = AF_INET,
                                          .sin_port = htons(tcp_port),
                                          .sin_addr = { htonl(INADDR_LOOPBACK) } };
    OSA_AUTO(osa_close_fd) int udp = bind_everywhere(SOCK_DGRAM, names_port);
    if (udp < 0)
        return udp;
    OSA_AUTO(osa_close_fd) int tcp = bind_everywhere(SOCK_STREAM, names_port);
    if (tcp < 0)
        return tcp;
    int redirected = listen_on((const struct sockaddr *)&loopback, sizeof(loopback));
    if (redirected < 0)
        return redirected;
    ret_fds[NETWORK_FD_NAMES_UDP] = osa_take_fd(&udp);
    ret_fds[NETWORK_FD_NAMES_TCP] = osa_take_fd(&tcp);
    ret_fds[NETWORK_FD_TCP] = redirected;
    return 0;
}
