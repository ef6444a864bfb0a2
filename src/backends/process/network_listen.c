// SPDX-License-Identifier: Apache-2.0
/* Where a sandbox's proxy listens on the host's end of the veth pair. */
#include "backends/process/network_internal.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.0 */
#endif

/*
 * To be bound to an interface is not enough: the kernel lets in what the host sends to that interface's
 * own address, though it comes by lo. So a filter looks where packets really come from.
 */
static int accept_from(int fd, int interface)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)interface, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog filter = { .len = OSA_ARRAY_LEN(code), .filter = code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

/* The slot's last user may have connections in TIME_WAIT. Return: a descriptor or -errno. */
static int listen_on(int interface, const struct sockaddr *address, socklen_t len)
{
    const int one = 1;
    OSA_AUTO(osa_close_fd)
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &interface, sizeof(interface)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        (address->sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
        accept_from(fd, interface) < 0 || bind(fd, address, len) < 0 || listen(fd, SOMAXCONN) < 0)
        return -errno;
    return osa_take_fd(&fd);
}

enum osa_code network_listen_at(const struct network_pair *pair, uint16_t port, int ret_fds[2],
                                struct osa_error *err)
{
    const struct sockaddr_in v4 = { .sin_family = AF_INET,
                                    .sin_port = htons(port),
                                    .sin_addr = pair->gateway4 };
    const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                     .sin6_port = htons(port),
                                     .sin6_addr = pair->gateway6 };
    OSA_AUTO(osa_close_fd)
    int four = listen_on(pair->host_index, (const struct sockaddr *)&v4, sizeof(v4));
    if (four == -EADDRINUSE)
        return osa_fail(
            err, OSA_FAILED_PRECONDITION, EADDRINUSE,
            "port %u of %s, for the proxy: does a program of the host listen on that port "
            "of every address?",
            port, pair->name);
    if (four < 0)
        return osa_fail_errno(err, -four, "listener on %s", pair->name);
    int six = listen_on(pair->host_index, (const struct sockaddr *)&v6, sizeof(v6));
    if (six < 0 && six != -EAFNOSUPPORT && six != -EADDRNOTAVAIL)
        return osa_fail_errno(err, -six, "IPv6 listener on %s", pair->name);
    ret_fds[0] = osa_take_fd(&four);
    ret_fds[1] = six < 0 ? -1 : six;
    return OSA_OK;
}
