// SPDX-License-Identifier: Apache-2.0
#include "launcher/wire.h"

#include "base/fd.h"
#include "launcher/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static const char *const stage_names[LAUNCH_STAGE_COUNT] = {
    [LAUNCH_STAGE_NONE] = "none",
    [LAUNCH_STAGE_PROTOCOL] = "protocol",
    [LAUNCH_STAGE_FORK] = "fork",
    [LAUNCH_STAGE_NAMESPACE] = "namespace",
    [LAUNCH_STAGE_MOUNT] = "mount",
    [LAUNCH_STAGE_USER] = "user",
    [LAUNCH_STAGE_TTY] = "tty",
    [LAUNCH_STAGE_CGROUP] = "cgroup",
    [LAUNCH_STAGE_STDIO] = "stdio",
    [LAUNCH_STAGE_RLIMIT] = "rlimit",
    [LAUNCH_STAGE_PRIVILEGES] = "privileges",
    [LAUNCH_STAGE_CWD] = "cwd",
    [LAUNCH_STAGE_LANDLOCK] = "landlock",
    [LAUNCH_STAGE_SECCOMP] = "seccomp",
    [LAUNCH_STAGE_EXEC] = "exec",
    [LAUNCH_STAGE_NETWORK] = "network",
    [LAUNCH_STAGE_CAPABILITIES] = "capabilities",
    [LAUNCH_STAGE_KEYRING] = "keyring",
};

enum launch_stage launch_stage_parse(const char *name)
{
    for (unsigned i = 1; name != NULL && i < LAUNCH_STAGE_COUNT; i++) {
        if (strcmp(name, stage_names[i]) == 0)
            return (enum launch_stage)i;
    }
    return LAUNCH_STAGE_NONE;
}

const char *launch_stage_name(uint32_t stage)
{
    return stage < LAUNCH_STAGE_COUNT ? stage_names[stage] : "unknown";
}

static int body_to_memfd(const void *body, size_t length, int *ret_fd)
{
    OSA_AUTO(osa_close_fd) int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int rc = osa_write_all(fd, body, length);
    if (rc < 0)
        return rc;
    if (fcntl(fd, F_ADD_SEALS, BODY_SEALS) < 0)
        return -errno;
    *ret_fd = osa_take_fd(&fd);
    return 0;
}

int wire_send(int sock, struct launcher_message *head, const void *body, size_t length,
              const int *fds, unsigned fd_count, int flags)
{
    if (length > PLAN_MAX_BYTES || fd_count >= LAUNCHER_FDS_MAX)
        return -E2BIG;
    head->length = (uint32_t)length;
    OSA_AUTO(osa_close_fd) int body_fd = -1;
    int all[LAUNCHER_FDS_MAX];
    unsigned count = 0;
    if (length > LAUNCHER_BODY_MAX) {
        int rc = body_to_memfd(body, length, &body_fd);
        if (rc < 0)
            return rc;
        head->flags |= LAUNCHER_BODY_IN_FD;
        all[count++] = body_fd;
        length = 0;
    }
    for (unsigned i = 0; i < fd_count; i++)
        all[count++] = fds[i];

    struct iovec parts[2] = { { head, sizeof(*head) }, { (void *)(uintptr_t)body, length } };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(all))];
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = length > 0 ? 2 : 1 };
    if (count > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        memset(control, 0, msg.msg_controllen);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), all, count * sizeof(int));
    }
    ssize_t put;
    do
        put = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : 0;
}

static void take_descriptors(struct msghdr *msg, struct wire_packet *packet)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned count = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(packet->fds, CMSG_DATA(cmsg), count * sizeof(int));
        packet->fd_count = count;
    }
}

/* Sealed against writing: what is checked stays what is used. */
static bool map_body(struct wire_packet *packet)
{
    struct stat st;
    if (packet->fd_count == 0 || packet->head.length > PLAN_MAX_BYTES)
        return false;
    int fd = packet->fds[0];
    if (fcntl(fd, F_GET_SEALS) != BODY_SEALS || fstat(fd, &st) < 0 ||
        st.st_size != (off_t)packet->head.length)
        return false;
    void *map = mmap(NULL, packet->head.length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return false;
    packet->body = map;
    packet->mapped = true;
    (void)close(fd);
    packet->fd_count--;
    memmove(packet->fds, packet->fds + 1, packet->fd_count * sizeof(int));
    return true;
}

int wire_recv(int sock, struct wire_buffer *buffer, struct wire_packet *ret_packet, int flags)
{
    struct iovec parts[2] = { { &ret_packet->head, sizeof(ret_packet->head) },
                              { buffer->bytes, LAUNCHER_BODY_MAX } };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(LAUNCHER_FDS_MAX * sizeof(int))];
    struct msghdr msg = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t got;
    do
        got = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    ret_packet->fd_count = 0;
    ret_packet->mapped = false;
    ret_packet->body = buffer->bytes;
    if (got <= 0)
        return got < 0 ? -errno : 0;
    take_descriptors(&msg, ret_packet);
    size_t body = (size_t)got - sizeof(ret_packet->head);
    bool good =
        (size_t)got >= sizeof(ret_packet->head) && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (good && (ret_packet->head.flags & LAUNCHER_BODY_IN_FD) != 0)
        good = body == 0 && map_body(ret_packet);
    else if (good)
        good = body == ret_packet->head.length;
    if (!good) {
        wire_packet_done(ret_packet);
        return -EBADMSG;
    }
    return 1;
}

void wire_packet_done(struct wire_packet *packet)
{
    for (unsigned i = 0; i < packet->fd_count; i++)
        osa_close_fd(&packet->fds[i]);
    packet->fd_count = 0;
    if (packet->mapped)
        (void)munmap((void *)(uintptr_t)packet->body, packet->head.length);
    packet->mapped = false;
}

int wire_take_fd(struct wire_packet *packet, unsigned i)
{
    return i < packet->fd_count ? osa_take_fd(&packet->fds[i]) : -1;
}
