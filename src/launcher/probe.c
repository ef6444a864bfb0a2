// SPDX-License-Identifier: Apache-2.0
#include "launcher/probe.h"

#include "base/macros.h"
#include "launcher/plan.h"
#include "launcher/rehearsal.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
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

/*
 * A user namespace gives an agent that is root nothing, for its user is still root outside; an agent
 * that is not can make no other namespace without one. A kernel may lack cgroup namespaces.
 */
static void probe_sandbox(struct launcher_probe *probe)
{
    const uint32_t core = PLAN_NS_MNT | PLAN_NS_PID | PLAN_NS_NET | PLAN_NS_IPC | PLAN_NS_UTS |
                          (geteuid() == 0 ? 0u : PLAN_NS_USER);
    const uint32_t sets[] = { core | PLAN_NS_CGROUP, core };
    struct start_report why;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(sets) && probe->namespaces == 0; i++) {
        if (rehearse(sets[i], &why))
            probe->namespaces = sets[i];
    }
    struct start_report unconfined;
    probe->confined = probe->namespaces != 0 || rehearse(0, &unconfined);
    if (probe->namespaces != 0)
        return;
    const struct start_report *told = probe->confined != 0 ? &why : &unconfined;
    probe->stage = told->stage;
    probe->sys_errno = told->sys_errno;
    probe->code = told->code;
    memcpy(probe->detail, told->detail, sizeof(probe->detail));
}

void probe_host(struct launcher_probe *ret_probe)
{
    memset(ret_probe, 0, sizeof(*ret_probe));
    probe_sandbox(ret_probe);
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    ret_probe->landlock_abi = abi > 0 ? (uint32_t)abi : 0;
    ret_probe->seccomp = try_in_child(attempt_seccomp, 0) == 0;
    ret_probe->seccomp_flags = find_listener_flags();
    ret_probe->group_pidfd = try_in_child(attempt_group_pidfd, 0) == 0;
}
