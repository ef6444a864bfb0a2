// SPDX-License-Identifier: Apache-2.0
#include "base/netns.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int own_namespace(void)
{
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int raise_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    OSA_AUTO(osa_close_fd) int fd = osa_socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -errno;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

enum osa_code osa_netns_new(int *ret_fd, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int fd = -1;
    int back = own_namespace();
    int rc = back < 0 || unshare(CLONE_NEWNET) < 0 ? -errno : 0;
    if (rc == 0) {
        fd = own_namespace();
        rc = fd < 0 ? -errno : raise_loopback();
        osa_netns_leave(osa_take_fd(&back));
    }
    osa_close_fd(&back);
    if (rc < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, -rc, "no network namespace can be made");
    *ret_fd = osa_take_fd(&fd);
    return OSA_OK;
}

int osa_netns_enter(int ns_fd)
{
    OSA_AUTO(osa_close_fd) int back = own_namespace();
    if (back < 0 || setns(ns_fd, CLONE_NEWNET) < 0)
        return -1;
    return osa_take_fd(&back);
}

void osa_netns_leave(int back_fd)
{
    if (setns(back_fd, CLONE_NEWNET) < 0)
        abort();
    osa_close_fd(&back_fd);
}

int osa_netns_socket(int ns_fd, int domain, int type, int protocol)
{
    int back = osa_netns_enter(ns_fd);
    if (back < 0)
        return -1;
    int fd = osa_socket(domain, type, protocol);
    osa_netns_leave(back);
    return fd;
}
