// SPDX-License-Identifier: Apache-2.0
#include "base/peer.h"

#include "base/fd.h"
#include "base/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/netfilter_ipv4.h> /* after netinet/in.h, which it clashes with else */

enum osa_code osa_peer_credentials(int fd, uint32_t *ret_uid, int32_t *ret_pid,
                                   struct osa_error *err)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return osa_fail_errno(err, errno, "getsockopt(SO_PEERCRED)");
    *ret_uid = peer.uid;
    *ret_pid = peer.pid;
    return OSA_OK;
}

#define GENERATIONS_MAX                                                                            \
    65536 /* a longer line of parents is one that changes while it is followed */

/* Return: 0 for a process that has no parent in our pid namespace, -1 for one that is not there. */
static int32_t parent_of(int32_t pid)
{
    char path[32];
    char text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (len <= 0)
        return -1;
    text[len] = '\0';
    const char *after = strrchr(text, ')'); /* the name before it may hold anything */
    int32_t parent = -1;
    if (after == NULL || sscanf(after, ") %*c %d", &parent) != 1)
        return -1;
    return parent;
}

enum osa_kin osa_process_descends(int32_t pid, int32_t ancestor)
{
    for (int i = 0; i < GENERATIONS_MAX; i++) {
        if (pid == ancestor)
            return OSA_KIN_YES;
        if (pid == 0)
            return OSA_KIN_NO;
        pid = parent_of(pid);
        if (pid < 0)
            return OSA_KIN_UNKNOWN;
    }
    return OSA_KIN_UNKNOWN;
}

int osa_accept(int fd)
{
    /* Not accept4(3): src/rpc wraps that for gRPC core, with another answer to EMFILE. */
    return (int)syscall(SYS_accept4, fd, /* addr= */ NULL, /* addrlen= */ NULL,
                        SOCK_CLOEXEC | SOCK_NONBLOCK);
}

enum osa_code osa_tcp_original(int fd, struct sockaddr_storage *ret, struct osa_error *err)
{
    struct sockaddr_in original;
    struct sockaddr_in local;
    socklen_t len = sizeof(original);
    socklen_t local_len = sizeof(local);
    /* Where connections are tracked, one that was not redirected has an original as well: itself. */
    if (getsockopt(fd, IPPROTO_IP, SO_ORIGINAL_DST, &original, &len) < 0 ||
        getsockname(fd, (struct sockaddr *)&local, &local_len) < 0)
        return osa_fail(err, OSA_NOT_FOUND, errno, "the connection's original destination");
    if (original.sin_addr.s_addr == local.sin_addr.s_addr && original.sin_port == local.sin_port)
        return osa_fail(err, OSA_NOT_FOUND, 0, "the connection was not redirected");
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, &original, sizeof(original));
    return OSA_OK;
}
