// SPDX-License-Identifier: Apache-2.0
/*
 * C core 1.51 stops listening for good when accept4(2) fails with anything but EINTR and EAGAIN, so
 * a moment without free descriptors would leave a server that nobody can reach. Its archives are
 * part of this program, so the linker can put a function of ours between it and libc (--wrap=accept4).
 *
 * A descriptor in reserve is given up to take the connection and close it: the client hears at
 * once that there is no room, the backlog empties, and nothing spins. Our own listeners do not come
 * here (osa_accept()); they let connections wait.
 * Source: accept(2), "Error handling"; grpc tcp_server_posix.cc, on_read()
 */
#include "rpc/accept_guard.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int reserve = -1; /* guarded by lock */

int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

static int spare_descriptor(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

void rpc_accept_guard_init(void)
{
    (void)pthread_mutex_lock(&lock);
    osa_replace_fd(&reserve, spare_descriptor());
    (void)pthread_mutex_unlock(&lock);
}

/* Return: a connection was turned away. */
static bool turn_one_away(int fd)
{
    (void)pthread_mutex_lock(&lock);
    osa_replace_fd(&reserve, -1);
    OSA_AUTO(osa_close_fd) int refused = __real_accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    bool done = refused >= 0;
    osa_replace_fd(&refused, -1);
    reserve = spare_descriptor();
    (void)pthread_mutex_unlock(&lock);
    return done;
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    int accepted = __real_accept4(fd, address, len, flags);
    if (accepted >= 0)
        return accepted;
    switch (errno) {
    case EMFILE:
    case ENFILE:
        osa_log(OSA_LOG_WARN, "rpc", "connection turned away: no descriptor is free",
                OSA_I("listener", fd));
        errno = turn_one_away(fd) ? EINTR : EAGAIN;
        break;
    case ENOBUFS:
    case ENOMEM:
        errno = EAGAIN; /* the next connection wakes core again */
        break;
    case ECONNABORTED: /* what the network did to this connection; the next one may be fine */
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
        errno = EINTR;
        break;
    default:
        break;
    }
    return -1;
}
