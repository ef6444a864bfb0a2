// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a program on a kernel whose Landlock is older: landlock_abi ABI PROGRAM [ARGUMENT]…
 *
 * The program's calls of landlock_create_ruleset and landlock_restrict_self ask this one by a seccomp
 * notification. Who asks for the version hears ABI (0: ENOSYS); who uses what came later gets the
 * errors of that kernel (landlock(7)); all else goes on to the real one. What a ruleset does not
 * handle the kernel does not restrict, so that the rest behaves as the older kernel did. Needs root.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

enum { ABI_MAX = 6 };

/* struct landlock_ruleset_attr as it grew */
struct ruleset {
    uint64_t fs;
    uint64_t net;    /* ABI 4 */
    uint64_t scoped; /* ABI 6 */
};

/* What each ABI knows. */
static const struct ruleset known[ABI_MAX + 1] = {
    [1] = { (1u << 13) - 1, 0, 0 }, [2] = { (1u << 14) - 1, 0, 0 }, [3] = { (1u << 15) - 1, 0, 0 },
    [4] = { (1u << 15) - 1, 3, 0 }, [5] = { (1u << 16) - 1, 3, 0 }, [6] = { (1u << 16) - 1, 3, 3 },
};

static unsigned abi;

/* Return: 0: let it go on; else the errno of that kernel */
static int judge_ruleset(pid_t caller, uint64_t address, uint64_t size)
{
    struct ruleset wanted = { 0 };
    const size_t length = size < sizeof(wanted) ? size : sizeof(wanted);
    const struct iovec here = { &wanted, length };
    const struct iovec there = { (void *)(uintptr_t)address, length };
    if (process_vm_readv(caller, &here, 1, &there, 1, 0) != (ssize_t)length)
        return EFAULT;
    /* Fields that the kernel has not must be zero. */
    if ((abi < 4 && wanted.net != 0) || (abi < 6 && wanted.scoped != 0))
        return E2BIG;
    const struct ruleset *may = &known[abi];
    return (wanted.fs & ~may->fs) != 0 || (wanted.net & ~may->net) != 0 ||
                   (wanted.scoped & ~may->scoped) != 0
               ? EINVAL
               : 0;
}

static void answer(int listener)
{
    struct seccomp_notif ask = { 0 };
    struct seccomp_notif_resp reply = { 0 };
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) < 0)
        return; /* it has died meanwhile */
    const __u64 *args = ask.data.args;
    int refused = 0;
    reply.id = ask.id;
    if (abi == 0)
        refused = ENOSYS;
    else if (ask.data.nr == SYS_landlock_restrict_self)
        refused = args[1] != 0 ? EINVAL : 0; /* flags came with ABI 7 */
    else if (args[2] == LANDLOCK_CREATE_RULESET_VERSION && args[0] == 0)
        reply.val = abi;
    else if (args[2] != 0)
        refused = EINVAL;
    else
        refused = judge_ruleset((pid_t)ask.pid, args[0], args[1]);
    reply.error = -refused;
    if (refused == 0 && reply.val == 0)
        reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

/* In the child, which shares its descriptors with the parent until the exec. */
static int listen_for_landlock(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_restrict_self, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = { .len = sizeof(code) / sizeof(*code), .filter = code };
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &filter);
}

static void serve(int listener, int ended)
{
    struct pollfd fds[2] = { { .fd = listener, .events = POLLIN },
                             { .fd = ended, .events = POLLIN } };
    while (fds[1].revents == 0) {
        (void)poll(fds, 2, -1);
        if ((fds[0].revents & POLLIN) != 0)
            answer(listener);
    }
}

int main(int argc, char **argv)
{
    int pipe_fds[2];
    int listener = -1;
    int status = 0;
    abi = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : ABI_MAX + 1;
    if (abi > ABI_MAX) {
        (void)fprintf(stderr, "usage: landlock_abi 0…%d PROGRAM [ARGUMENT]…\n", ABI_MAX);
        return 2;
    }
    if (geteuid() != 0 || syscall(SYS_landlock_create_ruleset, NULL, 0,
                                  LANDLOCK_CREATE_RULESET_VERSION) < (long)abi) {
        (void)printf("skipped: needs root, and a kernel whose Landlock is no older than that\n");
        return 77;
    }
    if (pipe(pipe_fds) < 0)
        return 1;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0) {
        listener = listen_for_landlock();
        (void)!write(pipe_fds[1], &listener, sizeof(listener));
        /* From here on with descriptors of its own: the listener and the pipe are the parent's. */
        if (listener < 0 || syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_UNSHARE) < 0)
            _exit(1);
        (void)execv(argv[2], argv + 2);
        _exit(127);
    }
    int ended = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (ended < 0 || read(pipe_fds[0], &listener, sizeof(listener)) != sizeof(listener))
        return 1;
    if (listener >= 0)
        serve(listener, ended);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
