// SPDX-License-Identifier: Apache-2.0
#include "base/peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int osa_accept(int fd)
{
    /* Not accept4(3): src/rpc wraps that for gRPC core, with another answer to EMFILE. */
    return (int)syscall(SYS_accept4, fd, /* addr= */ NULL, /* addrlen= */ NULL,
                        SOCK_CLOEXEC | SOCK_NONBLOCK);
}
