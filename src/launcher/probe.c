// SPDX-License-Identifier: Apache-2.0
#include "launcher/probe.h"

#include "base/macros.h"
#include "launcher/namespaces.h"
#include "launcher/plan.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2) /* Linux 6.9 */
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1u << 5) /* Linux 5.19 */
#endif

static const uint32_t kinds[] = { PLAN_NS_MNT, PLAN_NS_PID, PLAN_NS_NET,
                                  PLAN_NS_IPC, PLAN_NS_UTS, PLAN_NS_CGROUP };

/* Runs @attempt in a child. Return: the errno that it gave, or EIO when it did not get that far. */
static int try_in_child(int (*attempt)(uint32_t), uint32_t arg)
{
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(attempt(arg));
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

/* A namespace that can be made but not populated is of no use, hence the fork, mount and map. */
static int attempt_unshare(uint32_t namespaces)
{
    if (unshare(namespace_clone_flags(namespaces)) < 0)
        return errno;
    if ((namespaces & PLAN_NS_USER) != 0) {
        int rc = namespace_map_self(getuid(), getgid());
        if (rc < 0)
            return -rc;
    }
    if ((namespaces & PLAN_NS_MNT) != 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return errno;
    return 0;
}

static int attempt_pts(uint32_t namespaces)
{
    int rc = attempt_unshare(namespaces);
    if (rc != 0)
        return rc;
    return mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                 "newinstance,ptmxmode=0666") == 0
               ? 0
               : errno;
}

static int attempt_seccomp(uint32_t unused)
{
    (void)unused;
    /* A NULL filter is looked at only by a kernel that has them, seccomp(2). */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return errno;
    (void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, NULL);
    return errno == EFAULT ? 0 : ENOSYS;
}

/* Return: 0 when a filter with these flags of seccomp(2) can be loaded. */
static int attempt_listener(uint32_t flags)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = { .len = 1, .filter = &allow };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0)
        return errno;
    return 0;
}

/*
 * Refused where somebody around us listens already (a thread has one listener at most, EBUSY), and
 * below Linux 5.0. Linux 5.19 spares a refused call a signal's interruption while it is answered.
 */
static uint32_t find_listener_flags(void)
{
    const uint32_t listen = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    const uint32_t best = listen | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    if (try_in_child(attempt_listener, best) == 0)
        return best;
    return try_in_child(attempt_listener, listen) == 0 ? listen : 0;
}

static int attempt_group_pidfd(uint32_t unused)
{
    (void)unused;
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd < 0)
        return errno;
    return syscall(SYS_pidfd_send_signal, fd, 0, NULL, PIDFD_SIGNAL_PROCESS_GROUP) == 0 ? 0 : errno;
}

void probe_host(struct launcher_probe *ret_probe)
{
    struct launcher_probe probe = { 0 };
    uint32_t all = PLAN_NS_USER;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(kinds); i++) {
        int rc = try_in_child(attempt_unshare, kinds[i]);
        if (rc == 0)
            probe.namespaces_direct |= kinds[i];
        else if (probe.direct_errno == 0)
            probe.direct_errno = rc;
    }
    probe.user_errno = try_in_child(attempt_unshare, PLAN_NS_USER);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(kinds) && probe.user_errno == 0; i++) {
        if (try_in_child(attempt_unshare, PLAN_NS_USER | kinds[i]) == 0)
            all |= kinds[i];
    }
    probe.namespaces_user = probe.user_errno == 0 ? all : 0;
    probe.private_pts =
        try_in_child(attempt_pts, PLAN_NS_MNT) == 0 ||
        (probe.user_errno == 0 && try_in_child(attempt_pts, PLAN_NS_USER | PLAN_NS_MNT) == 0);
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    probe.landlock_abi = abi > 0 ? (uint32_t)abi : 0;
    probe.seccomp = try_in_child(attempt_seccomp, 0) == 0;
    probe.seccomp_flags = find_listener_flags();
    probe.group_pidfd = try_in_child(attempt_group_pidfd, 0) == 0;
    *ret_probe = probe;
}
