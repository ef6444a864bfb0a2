// SPDX-License-Identifier: Apache-2.0
/*
 * Filters by their effect: every attempt runs in a forked child under the filter, and where it is
 * harmless also without it, as the control that the kernel would have done something else.
 */
#include "integration/process/seccomp_load.h"

#include "base/linux_sys.h"

#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct osa_buf filters[SECCOMP_PROFILE_COUNT][2];
static bool is_root;

#define OUTCOME_SIGNAL 1000 /* + number: the child was killed */
#define ANYTHING (-1)
#define NO_CONTROL (-2) /* would do something outside of the child, or its outcome varies */

/* Return: errno of the call, 0 when it succeeded, or OUTCOME_SIGNAL + n. */
static int outcome_of(const struct osa_buf *filter, long number, const long args[6])
{
    pid_t pid = fork();
    if (pid == 0) {
        if (filter != NULL && filter_load(filter) != 0)
            _exit(255);
        errno = 0;
        long result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
        if (result == 0 && (number == SYS_clone || number == SYS_clone3))
            _exit(0); /* the grandchild */
        _exit(result == -1 ? errno : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return OUTCOME_SIGNAL + WTERMSIG(status);
    assert_int_not_equal(WEXITSTATUS(status), 255);
    return WEXITSTATUS(status);
}

#define BAD ((long)-1)
#define HIGH (1L << 32) /* bits that the kernel does not look at */

/* @control: errno without the filter; @filtered: with "default" and inet sockets. */
static const struct attempt {
    const char *what;
    long number;
    long args[6];
    int control;
    int filtered;
} attempts[] = {
    { "getppid", SYS_getppid, { 0 }, 0, 0 },
    { "clone of a process", SYS_clone, { SIGCHLD, 0, 0, 0, 0, 0 }, 0, 0 },
    { "clone3", SYS_clone3, { 0, 0, 0, 0, 0, 0 }, EINVAL, ENOSYS },
    { "clone, new user namespace", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, NO_CONTROL, EPERM },
    { "clone, new network", SYS_clone, { CLONE_NEWNET | SIGCHLD }, NO_CONTROL, EPERM },
    { "clone, new mounts among others",
      SYS_clone,
      { CLONE_NEWNS | CLONE_FS | SIGCHLD },
      EINVAL,
      EPERM },
    { "unshare, new user namespace", SYS_unshare, { CLONE_NEWUSER }, NO_CONTROL, EPERM },
    { "unshare, new pids", SYS_unshare, { CLONE_NEWPID }, NO_CONTROL, EPERM },
    { "unshare, new cgroup", SYS_unshare, { CLONE_NEWCGROUP }, NO_CONTROL, EPERM },
    { "unshare, new uts", SYS_unshare, { CLONE_NEWUTS }, NO_CONTROL, EPERM },
    { "unshare, new ipc", SYS_unshare, { CLONE_NEWIPC }, NO_CONTROL, EPERM },
    { "unshare, new time", SYS_unshare, { 0x80 }, NO_CONTROL, EPERM },
    { "unshare of open files", SYS_unshare, { CLONE_FILES }, 0, 0 },
    { "setns", SYS_setns, { BAD, 0 }, EBADF, EPERM },

    { "io_uring_setup", SYS_io_uring_setup, { 0, 0 }, NO_CONTROL, EPERM },
    { "io_uring_enter", SYS_io_uring_enter, { BAD }, NO_CONTROL, EPERM },
    { "io_uring_register", SYS_io_uring_register, { BAD }, NO_CONTROL, EPERM },
    { "bpf", SYS_bpf, { BAD, 0, 0 }, EINVAL, EPERM },
    { "userfaultfd", SYS_userfaultfd, { BAD }, EINVAL, EPERM },
    { "keyctl", SYS_keyctl, { BAD }, EOPNOTSUPP, EPERM },
    { "add_key", SYS_add_key, { 0, 0, 0, 0, 0 }, EFAULT, EPERM },
    { "request_key", SYS_request_key, { 0, 0, 0, 0 }, EFAULT, EPERM },
    { "init_module", SYS_init_module, { 0, 0, 0 }, NO_CONTROL, EPERM },
    { "finit_module", SYS_finit_module, { BAD, 0, 0 }, NO_CONTROL, EPERM },
    { "kexec_load", SYS_kexec_load, { 0, BAD, 0, 0 }, NO_CONTROL, EPERM },
    { "mount", SYS_mount, { 0, 0, 0, 0, 0 }, EFAULT, EPERM },
    { "umount2", SYS_umount2, { 0, 0 }, EFAULT, EPERM },
    { "pivot_root", SYS_pivot_root, { 0, 0 }, EFAULT, EPERM },
    { "chroot", SYS_chroot, { 0 }, EFAULT, EPERM },
    { "fsopen", SYS_fsopen, { 0, 0 }, EFAULT, EPERM },
    { "fsconfig", SYS_fsconfig, { BAD, 0, 0, 0, 0 }, EINVAL, EPERM },
    { "fsmount", SYS_fsmount, { BAD, 0, 0 }, EBADF, EPERM },
    { "open_tree", SYS_open_tree, { BAD, 0, 0 }, EFAULT, EPERM },
    { "move_mount", SYS_move_mount, { BAD, 0, BAD, 0, 0 }, NO_CONTROL, EPERM },
    { "mount_setattr", SYS_mount_setattr, { BAD, 0, 0, 0, 0 }, EINVAL, EPERM },
    { "name_to_handle_at", SYS_name_to_handle_at, { BAD, 0, 0, 0, 0 }, EFAULT, EPERM },
    { "open_by_handle_at", SYS_open_by_handle_at, { BAD, 0, 0 }, NO_CONTROL, EPERM },
    { "perf_event_open", SYS_perf_event_open, { 0, 0, 0, 0, 0 }, EFAULT, EPERM },
    { "pidfd_getfd", SYS_pidfd_getfd, { BAD, 0, 0 }, EBADF, EPERM },
    { "pidfd_open", SYS_pidfd_open, { BAD, 0 }, EINVAL, EPERM },
    { "process_vm_readv", SYS_process_vm_readv, { BAD, 0, 1, 0, 1, 0 }, EFAULT, EPERM },
    { "process_vm_writev", SYS_process_vm_writev, { BAD, 0, 1, 0, 1, 0 }, EFAULT, EPERM },
    { "ptrace", SYS_ptrace, { BAD, BAD }, ESRCH, EPERM },
    { "kcmp", SYS_kcmp, { BAD, BAD, 0 }, ESRCH, EPERM },
    { "personality, asked", SYS_personality, { 0xffffffff }, 0, 0 },
    { "personality, without randomisation", SYS_personality, { 0x0040000 }, 0, ENOSYS },
    { "personality, high bits", SYS_personality, { HIGH | 0x0040000 }, 0, ENOSYS },

    { "TIOCGWINSZ", SYS_ioctl, { BAD, TIOCGWINSZ, 0 }, EBADF, EBADF },
    { "TIOCSTI", SYS_ioctl, { BAD, TIOCSTI, 0 }, EBADF, EPERM },
    { "TIOCSTI, high bits", SYS_ioctl, { BAD, HIGH | TIOCSTI, 0 }, EBADF, EPERM },
    { "TIOCLINUX", SYS_ioctl, { BAD, 0x541c, 0 }, EBADF, EPERM },
    { "TIOCLINUX, all high bits", SYS_ioctl, { BAD, -1L << 32 | 0x541c, 0 }, EBADF, EPERM },
    { "TIOCCONS", SYS_ioctl, { BAD, 0x541d, 0 }, EBADF, EPERM },
    { "TIOCSETD", SYS_ioctl, { BAD, 0x5423, 0 }, EBADF, EPERM },

    { "socket AF_UNIX", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, 0, 0 },
    { "socket AF_INET", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, 0, 0 },
    { "socket AF_INET6, datagrams", SYS_socket, { AF_INET6, SOCK_DGRAM, 0 }, ANYTHING, ANYTHING },
    { "socket AF_NETLINK, route", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, 0, 0 },
    { "socket AF_NETLINK, audit", SYS_socket, { AF_NETLINK, SOCK_RAW, 9 }, 0, EPERM },
    { "socket AF_NETLINK, high bits", SYS_socket, { AF_NETLINK, SOCK_RAW, HIGH }, 0, EPERM },
    { "socket AF_INET, raw", SYS_socket, { AF_INET, SOCK_RAW, 1 }, 0, EPERM },
    { "socket AF_INET, raw, flags", SYS_socket, { AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1 }, 0, EPERM },
    { "socket AF_INET, SCTP", SYS_socket, { AF_INET, SOCK_STREAM, 132 }, NO_CONTROL, EPERM },
    { "socket AF_PACKET", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, 0, EPERM },
    { "socket AF_PACKET, high bits", SYS_socket, { HIGH | AF_PACKET, SOCK_RAW, 0 }, 0, EPERM },
    { "socket AF_VSOCK", SYS_socket, { 40, SOCK_STREAM, 0 }, NO_CONTROL, EPERM },
    { "socket AF_ALG", SYS_socket, { 38, SOCK_SEQPACKET, 0 }, NO_CONTROL, EPERM },
    { "socket AF_KEY", SYS_socket, { 15, SOCK_RAW, 2 }, NO_CONTROL, EPERM },
    { "socket AF_XDP", SYS_socket, { 44, SOCK_RAW, 0 }, NO_CONTROL, EPERM },
    { "socket AF_TIPC", SYS_socket, { 30, SOCK_RDM, 0 }, NO_CONTROL, EPERM },
    { "socket AF_RDS", SYS_socket, { 21, SOCK_SEQPACKET, 0 }, NO_CONTROL, EPERM },
    { "socket AF_CAN", SYS_socket, { 29, SOCK_RAW, 1 }, NO_CONTROL, EPERM },
    { "socket AF_AX25", SYS_socket, { 3, SOCK_DGRAM, 0 }, NO_CONTROL, EPERM },
    { "socket of an unknown family", SYS_socket, { 200, SOCK_DGRAM, 0 }, EAFNOSUPPORT, EPERM },
    { "socketpair AF_TIPC", SYS_socketpair, { 30, SOCK_RDM, 0, 0 }, NO_CONTROL, EPERM },
    { "socketpair AF_UNIX", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, 0 }, EFAULT, EFAULT },

    { "memfd_create", SYS_memfd_create, { 0, 0 }, EFAULT, EPERM },
    { "memfd_create, sealed", SYS_memfd_create, { 0, 8 }, EFAULT, EPERM },
    { "execveat by path", SYS_execveat, { BAD, 0, 0, 0, 0 }, EFAULT, EFAULT },
    { "execveat of a descriptor", SYS_execveat, { BAD, 0, 0, 0, 0x1000 }, EFAULT, EPERM },
    { "seccomp, filter", SYS_seccomp, { 1, 0, 0 }, EFAULT, EPERM },
    { "seccomp, listener", SYS_seccomp, { 1, 8, 0 }, EFAULT, EPERM },
    { "seccomp, ask for an action", SYS_seccomp, { 2, 0, 0 }, EFAULT, EFAULT },
    { "PR_SET_MM", SYS_prctl, { 35, 0, 0, 0, 0 }, NO_CONTROL, EPERM },
    { "PR_SET_TSC", SYS_prctl, { 26, 1, 0, 0, 0 }, 0, EPERM },
    { "PR_SET_DUMPABLE", SYS_prctl, { 4, 1, 0, 0, 0 }, 0, 0 },
    { "limit of core files", SYS_prlimit64, { 0, RLIMIT_CORE, BAD, 0 }, EFAULT, ENOSYS },
    { "limit of core files, high bits",
      SYS_prlimit64,
      { 0, HIGH | RLIMIT_CORE, BAD, 0 },
      EFAULT,
      ENOSYS },
    { "limit of core files, asked", SYS_prlimit64, { 0, RLIMIT_CORE, 0, 0 }, 0, 0 },
    { "limit of open files", SYS_prlimit64, { 0, RLIMIT_NOFILE, BAD, 0 }, EFAULT, EFAULT },
    { "mknodat, device", SYS_mknodat, { BAD, 0, S_IFCHR | 0600, 0x103 }, EFAULT, EPERM },
    { "mknodat, fifo", SYS_mknodat, { BAD, 0, S_IFIFO | 0600, 0 }, EFAULT, EFAULT },
    { "an unknown call", 999, { 0 }, ENOSYS, ENOSYS },
    { "a call younger than the table", 467, { BAD, 0, 0, 0, 0 }, NO_CONTROL, ENOSYS },
};

static void test_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(attempts); i++) {
        const struct attempt *a = &attempts[i];
        if (a->control >= 0 && is_root) {
            int seen = outcome_of(NULL, a->number, a->args);
            if (seen != a->control)
                fail_msg("control: %s: %d, expected %d", a->what, seen, a->control);
        }
        int seen = outcome_of(&filters[SECCOMP_PROFILE_DEFAULT][1], a->number, a->args);
        if (a->filtered >= 0 && seen != a->filtered)
            fail_msg("%s: %d, expected %d", a->what, seen, a->filtered);
    }
}

/* Whatever the arguments: no row that refuses lets anything through, under any profile. */
static void test_every_refused_row(void **state)
{
    (void)state;
    static const long args[6] = { BAD, BAD, BAD, BAD, BAD, BAD };
    for (size_t i = 0; i < seccomp_call_count; i++) {
        const struct seccomp_call *call = &seccomp_calls[i];
        int number = seccomp_syscall_resolve_name(call->name);
        if (number < 0 || call->verdict < SECCOMP_CALL_DENY)
            continue;
        int want = call->verdict == SECCOMP_CALL_DENY ? EPERM : ENOSYS;
        for (int profile = 0; profile < SECCOMP_PROFILE_COUNT; profile++) {
            int seen = outcome_of(&filters[profile][1], number, args);
            if (seen != want)
                fail_msg("%s under %s: %d, expected %d", call->name,
                         seccomp_profile_name((enum seccomp_profile)profile), seen, want);
        }
    }
}

static void expect(enum seccomp_profile profile, bool inet, long number, long a, long b, int want)
{
    const long args[6] = { a, b, 0, 0, 0, 0 };
    int seen = outcome_of(&filters[profile][inet], number, args);
    if (seen != want)
        fail_msg("call %ld(%lx, %lx): %d, expected %d", number, a, b, seen, want);
}

static void test_profiles(void **state)
{
    (void)state;
    expect(SECCOMP_PROFILE_DEFAULT, false, SYS_socket, AF_INET, SOCK_STREAM, EPERM);
    expect(SECCOMP_PROFILE_DEFAULT, false, SYS_socket, AF_INET6, SOCK_DGRAM, EPERM);
    expect(SECCOMP_PROFILE_DEFAULT, false, SYS_socket, HIGH | AF_INET, SOCK_STREAM, EPERM);
    expect(SECCOMP_PROFILE_DEFAULT, false, SYS_socket, AF_UNIX, SOCK_STREAM, 0);

    expect(SECCOMP_PROFILE_STRICT, true, SYS_shmget, BAD, 0, EPERM);
    expect(SECCOMP_PROFILE_STRICT, true, SYS_unshare, CLONE_FILES, 0, EPERM);
    expect(SECCOMP_PROFILE_STRICT, true, SYS_personality, 0xffffffff, 0, EPERM);
    expect(SECCOMP_PROFILE_STRICT, true, SYS_getppid, 0, 0, 0);
#ifdef SYS_mknod /* fifos and sockets are files like others; arm64 has mknodat(2) alone */
    expect(SECCOMP_PROFILE_STRICT, true, SYS_mknod, BAD, S_IFIFO | 0600, EFAULT);
    expect(SECCOMP_PROFILE_STRICT, true, SYS_mknod, BAD, S_IFBLK | 0600, EPERM);
#endif

    expect(SECCOMP_PROFILE_GPU, true, SYS_memfd_create, 0, 8, EFAULT);
    expect(SECCOMP_PROFILE_GPU, true, SYS_memfd_create, 0, 0, EPERM);
    expect(SECCOMP_PROFILE_GPU, true, SYS_memfd_create, 0, 8 | 16, EPERM);
    expect(SECCOMP_PROFILE_GPU, true, SYS_memfd_create, 0, HIGH, EPERM);
    expect(SECCOMP_PROFILE_GPU, true, SYS_mbind, 0, 0, 0);
    expect(SECCOMP_PROFILE_GPU, true, SYS_socket, AF_PACKET, SOCK_RAW, EPERM);
}

#ifdef __x86_64__
/* 32-bit entry: number in eax. Return: what the kernel says, if it lets the caller live. */
static long call_int80(long number)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(0L), "c"(0L), "d"(0L)
                     : "memory");
    return result;
}

static int int80_outcome(const struct osa_buf *filter)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (filter != NULL && filter_load(filter) != 0)
            _exit(255);
        (void)call_int80(64); /* getppid of i386 */
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? OUTCOME_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}
#endif

static void test_foreign_numbers(void **state)
{
    (void)state;
#ifdef __x86_64__
    static const long none[6] = { 0 };
    static const long x32[] = { SYS_getppid, SYS_ptrace, 512, 547 };
    for (int profile = 0; profile < SECCOMP_PROFILE_COUNT; profile++) {
        for (size_t i = 0; i < OSA_ARRAY_LEN(x32); i++)
            assert_int_equal(outcome_of(&filters[profile][1], 0x40000000 | x32[i], none),
                             OUTCOME_SIGNAL + SIGSYS);
        assert_int_equal(int80_outcome(&filters[profile][1]), OUTCOME_SIGNAL + SIGSYS);
    }
    int control = int80_outcome(NULL); /* SIGSEGV: a kernel without the 32-bit entry */
    assert_true(control == 0 || control == OUTCOME_SIGNAL + SIGSEGV);
#else
    skip();
#endif
}

/* A child may make it stricter for itself, and nothing looser. */
static void test_own_filter(void **state)
{
    (void)state;
    struct sock_filter allow_all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_filter deny_getppid[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter trace_mount[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter notify_mount[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct {
        struct sock_filter *code;
        unsigned short len;
        long number;
        int want;
    } cases[] = {
        { allow_all, 1, SYS_mount, EPERM },       { allow_all, 1, SYS_getppid, 0 },
        { deny_getppid, 4, SYS_getppid, EACCES }, { trace_mount, 4, SYS_mount, EPERM },
        { notify_mount, 4, SYS_mount, EPERM },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            const struct sock_fprog program = { cases[i].len, cases[i].code };
            if (filter_load(&filters[SECCOMP_PROFILE_DEFAULT][1]) != 0 ||
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
                _exit(255);
            long result = syscall(cases[i].number, 0, 0, 0, 0, 0);
            _exit(result == -1 ? errno : 0);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), cases[i].want);
    }
}

int main(void)
{
    is_root = geteuid() == 0;
    for (int profile = 0; profile < SECCOMP_PROFILE_COUNT; profile++)
        for (int inet = 0; inet < 2; inet++)
            filter_make((enum seccomp_profile)profile, inet, &filters[profile][inet]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),    cmocka_unit_test(test_every_refused_row),
        cmocka_unit_test(test_profiles),   cmocka_unit_test(test_foreign_numbers),
        cmocka_unit_test(test_own_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
