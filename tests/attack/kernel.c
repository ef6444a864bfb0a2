// SPDX-License-Identifier: Apache-2.0
/* Attacks on the kernel's more dangerous doors: what the seccomp filter is there for. */
#include "attack/attacker.h"

#include "base/linux_sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define UNUSED(arg) (void)(arg)

/* ---- 39: file handles ---- */

static int handle_name(const char *arg)
{
    struct {
        struct file_handle head;
        unsigned char bytes[128];
    } handle = { .head = { .handle_bytes = 128 } };
    int mount_id;
    UNUSED(arg);
    return passed(name_to_handle_at(AT_FDCWD, "/", &handle.head, &mount_id, 0), EOPNOTSUPP);
}

static int handle_open(const char *arg)
{
    struct file_handle handle = { .handle_bytes = 0 }; /* EINVAL comes after the capability check */
    UNUSED(arg);
    return passed(open_by_handle_at(-1, &handle, O_RDONLY), EINVAL);
}

static const struct attempt handles[] = {
    { "name_to_handle_at", handle_name, NULL },
    { "open_by_handle_at", handle_open, NULL },
    { 0 },
};

/* ---- 40: mounts ---- */

static int do_mount(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_mount("none", "/proc/self", "osa-no-such-type", 0, NULL), ENODEV);
}

static int do_umount(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_umount2("/proc/self", MNT_DETACH), EINVAL); /* nothing is mounted there */
}

static int do_remount(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_mount(NULL, "/proc/self", NULL, MS_REMOUNT | MS_BIND, NULL), EINVAL);
}

static int do_fsopen(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_fsopen("tmpfs", 0), 0);
}

static int do_fsconfig(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_fsconfig(-1, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
}

static int do_fsmount(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_fsmount(-1, 0, 0), EBADF);
}

static int do_fspick(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_fspick, AT_FDCWD, "/no/such/directory", 0), ENOENT);
}

static int do_open_tree(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE), 0);
}

static int do_move_mount(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_move_mount(AT_FDCWD, "/no/such", AT_FDCWD, "/no/such", 0), ENOENT);
}

static int do_mount_setattr(const char *arg)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
    UNUSED(arg);
    return passed(osa_sys_mount_setattr(AT_FDCWD, "/no/such", 0, &attr, sizeof(attr)), ENOENT);
}

static int do_pivot_root(const char *arg)
{
    UNUSED(arg);
    return passed(osa_sys_pivot_root("/no/such", "/no/such"), ENOENT);
}

static int do_chroot(const char *arg)
{
    UNUSED(arg);
    return passed(chroot("/"), 0);
}

static const struct attempt mounting[] = {
    { "mount", do_mount, NULL },
    { "umount2", do_umount, NULL },
    { "remount", do_remount, NULL },
    { "fsopen", do_fsopen, NULL },
    { "fsconfig", do_fsconfig, NULL },
    { "fsmount", do_fsmount, NULL },
    { "fspick", do_fspick, NULL },
    { "open_tree", do_open_tree, NULL },
    { "move_mount", do_move_mount, NULL },
    { "mount_setattr", do_mount_setattr, NULL },
    { "pivot_root", do_pivot_root, NULL },
    { "chroot", do_chroot, NULL },
    { 0 },
};

/* ---- 47: the other ways into the kernel ---- */

/* getpid is allowed by every profile, so that only the way in can be what is refused. */
static int x32_getpid(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(0x40000000 + SYS_getpid), 0);
}

static int x32_mount(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(0x40000000 + SYS_mount, "n", "/no/such", "tmpfs", 0, NULL), ENOENT);
}

#ifdef __x86_64__
static long int80(long number)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0), "d"(0) : "memory");
    return result;
}

static int int80_getpid(const char *arg)
{
    UNUSED(arg);
    int result = (int)int80(20);
    return result > 0 ? 0 : result;
}

static int int80_mount(const char *arg)
{
    UNUSED(arg);
    int result = (int)int80(21); /* null pointers: EFAULT for who may mount */
    return result == -EFAULT || result >= 0 ? 0 : result;
}
#endif

static const struct attempt other_ways[] = {
    { "x32 getpid", x32_getpid, NULL },
    { "x32 mount", x32_mount, NULL },
#ifdef __x86_64__
    { "int80 getpid", int80_getpid, NULL },
    { "int80 mount", int80_mount, NULL },
#endif
    { 0 },
};

/* ---- 48: namespaces ---- */

static int try_unshare(int flags)
{
    return passed(unshare(flags), 0);
}

/* The child of a clone that worked ends at once. */
static int try_clone(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        (void)waitpid((pid_t)pid, NULL, 0);
    return passed(pid, 0);
}

static int clone3_plain(const char *arg)
{
    struct clone_args args = { .exit_signal = SIGCHLD };
    UNUSED(arg);
    pid_t pid = osa_sys_clone3(&args, sizeof(args));
    if (pid == 0)
        _exit(0);
    return passed(pid, 0);
}

static int setns_own(const char *arg)
{
    UNUSED(arg);
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : passed(setns(fd, 0), 0);
}

#define NAMESPACE_ATTEMPTS(name, flag)                                                             \
    static int unshare_##name(const char *arg)                                                     \
    {                                                                                              \
        UNUSED(arg);                                                                               \
        return try_unshare(flag);                                                                  \
    }                                                                                              \
    static int clone_##name(const char *arg)                                                       \
    {                                                                                              \
        UNUSED(arg);                                                                               \
        return try_clone(flag);                                                                    \
    }

NAMESPACE_ATTEMPTS(user, CLONE_NEWUSER)
NAMESPACE_ATTEMPTS(mnt, CLONE_NEWNS)
NAMESPACE_ATTEMPTS(pid, CLONE_NEWPID)
NAMESPACE_ATTEMPTS(net, CLONE_NEWNET)
NAMESPACE_ATTEMPTS(ipc, CLONE_NEWIPC)
NAMESPACE_ATTEMPTS(uts, CLONE_NEWUTS)
NAMESPACE_ATTEMPTS(cgroup, CLONE_NEWCGROUP)

static const struct attempt namespaces[] = {
    { "unshare user", unshare_user, NULL },
    { "clone user", clone_user, NULL },
    { "unshare mnt", unshare_mnt, NULL },
    { "clone mnt", clone_mnt, NULL },
    { "unshare pid", unshare_pid, NULL },
    { "clone pid", clone_pid, NULL },
    { "unshare net", unshare_net, NULL },
    { "clone net", clone_net, NULL },
    { "unshare ipc", unshare_ipc, NULL },
    { "clone ipc", clone_ipc, NULL },
    { "unshare uts", unshare_uts, NULL },
    { "clone uts", clone_uts, NULL },
    { "unshare cgroup", unshare_cgroup, NULL },
    { "clone cgroup", clone_cgroup, NULL },
    { "clone3", clone3_plain, NULL },
    { "setns", setns_own, NULL },
    { 0 },
};

/* ---- 49: io_uring ---- */

static int uring_setup(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(425, 0, NULL), EFAULT);
}

static int uring_enter(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(426, -1, 0, 0, 0, NULL, 0), EBADF);
}

static int uring_register(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(427, -1, 0, NULL, 0), EINVAL);
}

static const struct attempt uring[] = {
    { "io_uring_setup", uring_setup, NULL },
    { "io_uring_enter", uring_enter, NULL },
    { "io_uring_register", uring_register, NULL },
    { 0 },
};

/* ---- 50: sockets ---- */

/* A family that the kernel lacks is EAFNOSUPPORT to everybody; the control tells. */
#define SOCKET_ATTEMPT(name, family, type, protocol)                                               \
    static int socket_##name(const char *arg)                                                      \
    {                                                                                              \
        UNUSED(arg);                                                                               \
        return passed(socket(family, type, protocol), 0);                                          \
    }

SOCKET_ATTEMPT(packet, AF_PACKET, SOCK_RAW, 0)
SOCKET_ATTEMPT(vsock, AF_VSOCK, SOCK_STREAM, 0)
SOCKET_ATTEMPT(alg, AF_ALG, SOCK_SEQPACKET, 0)
SOCKET_ATTEMPT(key, AF_KEY, SOCK_RAW, 2)
SOCKET_ATTEMPT(xdp, AF_XDP, SOCK_RAW, 0)
SOCKET_ATTEMPT(tipc, AF_TIPC, SOCK_RDM, 0)
SOCKET_ATTEMPT(can, AF_CAN, SOCK_RAW, 1)
SOCKET_ATTEMPT(bluetooth, AF_BLUETOOTH, SOCK_RAW, 1)
SOCKET_ATTEMPT(raw4, AF_INET, SOCK_RAW, 1)
SOCKET_ATTEMPT(raw6, AF_INET6, SOCK_RAW, 58)
SOCKET_ATTEMPT(netfilter, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)
SOCKET_ATTEMPT(audit, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)
SOCKET_ATTEMPT(uevent, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)

static const struct attempt sockets[] = {
    { "AF_PACKET", socket_packet, NULL },
    { "AF_VSOCK", socket_vsock, NULL },
    { "AF_ALG", socket_alg, NULL },
    { "AF_KEY", socket_key, NULL },
    { "AF_XDP", socket_xdp, NULL },
    { "AF_TIPC", socket_tipc, NULL },
    { "AF_CAN", socket_can, NULL },
    { "AF_BLUETOOTH", socket_bluetooth, NULL },
    { "raw ICMP", socket_raw4, NULL },
    { "raw ICMPv6", socket_raw6, NULL },
    { "NETLINK_NETFILTER", socket_netfilter, NULL },
    { "NETLINK_AUDIT", socket_audit, NULL },
    { "NETLINK_KOBJECT_UEVENT", socket_uevent, NULL },
    { 0 },
};

/* ---- 51: keys ---- */

static int keys_add(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_add_key, "user", "osa-attack", "x", 1, KEY_SPEC_PROCESS_KEYRING), 0);
}

static int keys_request(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_request_key, "user", "osa-no-such-key", NULL, 0), ENOKEY);
}

static int keys_control(const char *arg)
{
    UNUSED(arg);
    return passed(
        osa_sys_keyctl(KEYCTL_GET_KEYRING_ID, (unsigned long)KEY_SPEC_SESSION_KEYRING, 0, 0, 0),
        ENOKEY);
}

static const struct attempt keys[] = {
    { "add_key", keys_add, NULL },
    { "request_key", keys_request, NULL },
    { "keyctl", keys_control, NULL },
    { 0 },
};

/* ---- 52: bpf, perf, faults, kexec, modules, other processes' insides ---- */

static int do_bpf(const char *arg)
{
    union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY };
    UNUSED(arg);
    return passed(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)), EINVAL);
}

static int do_perf(const char *arg)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr) };
    UNUSED(arg);
    return passed(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), 0);
}

static int do_userfaultfd(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_userfaultfd, O_CLOEXEC), 0);
}

static int do_kexec(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_kexec_load, 0, 0, NULL, ~0ul), EINVAL);
}

static int do_init_module(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_finit_module, -1, "", 0), EBADF);
}

static int do_delete_module(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_delete_module, "osa_no_such_module", O_NONBLOCK), ENOENT);
}

static int do_pidfd_getfd(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_pidfd_getfd, -1, 0, 0), EBADF);
}

static int do_kcmp(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0), 0);
}

static int do_reboot(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL); /* the magic numbers are wrong */
}

static int do_swapon(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_swapon, "/no/such/file", 0), ENOENT);
}

static int do_syslog(const char *arg)
{
    UNUSED(arg);
    return passed(syscall(SYS_syslog, 10, NULL, 0), 0);
}

static const struct attempt interfaces[] = {
    { "bpf", do_bpf, NULL },
    { "perf_event_open", do_perf, NULL },
    { "userfaultfd", do_userfaultfd, NULL },
    { "kexec_load", do_kexec, NULL },
    { "finit_module", do_init_module, NULL },
    { "delete_module", do_delete_module, NULL },
    { "pidfd_getfd", do_pidfd_getfd, NULL },
    { "kcmp", do_kcmp, NULL },
    { "reboot", do_reboot, NULL },
    { "swapon", do_swapon, NULL },
    { "syslog", do_syslog, NULL },
    { 0 },
};

/* ---- 53 and 54: filters of one's own, and threads ---- */

/* A filter that allows all must not open what an earlier one has closed. */
static int relax_filter(const char *arg)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = 1, .filter = &allow };
    UNUSED(arg);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    return do_chroot(NULL);
}

static int notify_filter(const char *arg)
{
    struct sock_filter notify = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = 1, .filter = &notify };
    UNUSED(arg);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return passed(
        osa_sys_seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program), 0);
}

static const struct attempt filters[] = {
    { "allow-all filter on top", relax_filter, NULL },
    { "USER_NOTIF listener", notify_filter, NULL },
    { 0 },
};

static void *thread_chroot(void *ret)
{
    *(int *)ret = do_chroot(NULL);
    return NULL;
}

static int from_thread(const char *arg)
{
    pthread_t thread;
    int verdict = -EIO;
    UNUSED(arg);
    if (pthread_create(&thread, NULL, thread_chroot, &verdict) != 0)
        return -EAGAIN;
    (void)pthread_join(thread, NULL);
    return verdict;
}

static int from_vfork(const char *arg)
{
    UNUSED(arg);
    volatile int verdict = -EIO;
    pid_t pid = vfork(); /* shares memory with us, so that the verdict arrives */
    if (pid == 0) {
        verdict = passed(syscall(SYS_chroot, "/"), 0);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    return verdict;
}

static const struct attempt threads[] = {
    { "chroot from a thread", from_thread, NULL },
    { "chroot from a vfork child", from_vfork, NULL },
    { 0 },
};

const struct attack attacks_on_kernel[] = {
    { 39, "file handles", handles },
    { 40, "mount family", mounting },
    { 47, "x32 and int 0x80", other_ways },
    { 48, "new namespaces", namespaces },
    { 49, "io_uring", uring },
    { 50, "socket families", sockets },
    { 51, "keyrings", keys },
    { 52, "kernel interfaces", interfaces },
    { 53, "own seccomp filters", filters },
    { 54, "threads and vfork", threads },
    { 0 },
};
