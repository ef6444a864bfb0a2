// SPDX-License-Identifier: Apache-2.0
/* Attacks on other processes, on the own confinement, and on what is shared: memory, disk, network. */
#include "attack/attacker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/tiocl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED(arg) (void)(arg)

/* ---- 21: descriptors ---- */

static int stray_descriptor(const char *arg)
{
    UNUSED(arg);
    for (int fd = 3; fd < 4096; fd++) {
        int flags = fcntl(fd, F_GETFD);
        /* The pipe of our own parent is numbered below 8; the harness closes nothing for us. */
        struct stat st;
        if (flags >= 0 && fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode))
            return 0;
    }
    return -EBADF;
}

static const struct attempt descriptors[] = {
    { "a descriptor beside 0, 1, 2", stray_descriptor, NULL },
    { 0 },
};

/* ---- 22: the agent's own program ---- */

static int overwrite_parent(const char *arg)
{
    UNUSED(arg);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/exe", 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return passed(fd, 0);
}

static const struct attempt programs[] = {
    { "open /proc/1/exe", overwrite_parent, NULL },
    { 0 },
};

/* ---- 23: another process's insides. @arg: pid on the host ---- */

static pid_t victim(const char *arg)
{
    return (pid_t)strtol(arg, NULL, 10);
}

static int open_of(const char *arg, const char *file)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)victim(arg), file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return passed(fd, 0);
}

static int victim_mem(const char *arg)
{
    return open_of(arg, "mem");
}

static int victim_environ(const char *arg)
{
    return open_of(arg, "environ");
}

static int victim_maps(const char *arg)
{
    return open_of(arg, "maps");
}

static int victim_root(const char *arg)
{
    return open_of(arg, "root/.");
}

static int victim_ptrace(const char *arg)
{
    long result = ptrace(PTRACE_SEIZE, victim(arg), NULL, NULL);
    int verdict = passed(result, 0);
    if (result == 0)
        (void)ptrace(PTRACE_DETACH, victim(arg), NULL, NULL);
    return verdict;
}

static int victim_readv(const char *arg)
{
    char byte;
    struct iovec local = { &byte, 1 };
    struct iovec remote = { (void *)16, 1 }; /* not mapped: EFAULT for who may look */
    return passed(process_vm_readv(victim(arg), &local, 1, &remote, 1, 0), EFAULT);
}

static int victim_signal(const char *arg)
{
    return passed(kill(victim(arg), 0), 0);
}

static int victim_pidfd(const char *arg)
{
    long fd = syscall(SYS_pidfd_open, victim(arg), 0);
    return passed(fd, 0);
}

static int victim_limits(const char *arg)
{
    struct rlimit limit;
    return passed(prlimit(victim(arg), RLIMIT_NOFILE, NULL, &limit), 0);
}

static int parent_ptrace(const char *arg)
{
    UNUSED(arg);
    return passed(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
}

static const struct attempt insides[] = {
    { "mem", victim_mem, "a pid of the host" },
    { "environ", victim_environ, "a pid of the host" },
    { "maps", victim_maps, "a pid of the host" },
    { "root", victim_root, "a pid of the host" },
    { "ptrace", victim_ptrace, "a pid of the host" },
    { "process_vm_readv", victim_readv, "a pid of the host" },
    { "pidfd_open", victim_pidfd, "a pid of the host" },
    { "prlimit", victim_limits, "a pid of the host" },
    { "PTRACE_TRACEME", parent_ptrace, NULL },
    { 0 },
};

static const struct attempt signals[] = {
    { "kill", victim_signal, "a pid of the host" },
    { 0 },
};

/* ---- 24, 25: privileges ---- */

static int become_root(const char *arg)
{
    UNUSED(arg);
    if (geteuid() == 0)
        return 0;
    return passed(setresuid(0, 0, 0), 0);
}

static int no_new_privs_unset(const char *arg)
{
    UNUSED(arg);
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -EPERM : 0;
}

static const struct attempt promotions[] = {
    { "become user 0", become_root, NULL },
    { "no_new_privs is unset", no_new_privs_unset, NULL },
    { 0 },
};

static int any_capability(const char *arg)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2];
    UNUSED(arg);
    if (syscall(SYS_capget, &head, caps) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        if ((caps[i].effective | caps[i].permitted | caps[i].inheritable) != 0)
            return 0;
    }
    return -EPERM;
}

static int bounding_capability(const char *arg)
{
    UNUSED(arg);
    for (int cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            return 0;
    }
    return -EPERM;
}

static int root_group(const char *arg)
{
    gid_t groups[256];
    int count = getgroups(256, groups);
    UNUSED(arg);
    for (int i = 0; i < count; i++) {
        if (groups[i] == 0)
            return 0;
    }
    return getegid() == 0 ? 0 : -EPERM;
}

static const struct attempt capabilities[] = {
    { "a capability held", any_capability, NULL },
    { "a capability in the bounding set", bounding_capability, NULL },
    { "group 0", root_group, NULL },
    { 0 },
};

/* ---- 26: terminals ---- */

static int push_input(const char *arg)
{
    char c = 'x';
    UNUSED(arg);
    return passed(ioctl(0, TIOCSTI, &c), ENOTTY);
}

static int push_input_high_bits(const char *arg)
{
    char c = 'x';
    UNUSED(arg);
    /* The kernel looks at the low 32 bits alone; a filter that compares 64 lets this through. */
    return passed(syscall(SYS_ioctl, 0, 0x100000000ul | TIOCSTI, &c), ENOTTY);
}

static int console_paste(const char *arg)
{
    char code = TIOCL_PASTESEL;
    UNUSED(arg);
    return passed(ioctl(0, TIOCLINUX, &code), ENOTTY);
}

static const struct attempt terminals[] = {
    { "TIOCSTI", push_input, NULL },
    { "TIOCSTI with high bits", push_input_high_bits, NULL },
    { "TIOCLINUX", console_paste, NULL },
    { 0 },
};

/* ---- 31, 33: programs from memory, process flags ---- */

static int run_from_memory(const char *arg)
{
    char program[256] = "\x7f"
                        "ELF";
    UNUSED(arg);
    int fd = (int)syscall(SYS_memfd_create, "osa-attack", 0);
    if (fd < 0 || write(fd, program, sizeof(program)) < 0)
        return -errno;
    char *const argv[] = { "x", NULL };
    return passed(syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH), ENOEXEC);
}

static const struct attempt memory_programs[] = {
    { "memfd and execveat", run_from_memory, NULL },
    { 0 },
};

static int set_personality(const char *arg)
{
    UNUSED(arg);
    return passed(personality(READ_IMPLIES_EXEC), 0);
}

static int set_mm(const char *arg)
{
    UNUSED(arg);
    return passed(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0), EINVAL);
}

static const struct attempt flags[] = {
    { "personality", set_personality, NULL },
    { "PR_SET_MM", set_mm, NULL },
    { 0 },
};

/* ---- 41: sockets of others. @arg: name of an abstract socket, or a path ---- */

static int connect_unix(const char *name, bool abstract)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(name);
    if (len + 2 > sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path + (abstract ? 1 : 0), name, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return passed(fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, size), 0);
}

static int connect_abstract(const char *arg)
{
    return connect_unix(arg, true);
}

static int connect_path(const char *arg)
{
    return connect_unix(arg, false);
}

static const struct attempt foreign_sockets[] = {
    { "abstract", connect_abstract, "name of a socket on the host" },
    { "pathname", connect_path, "path of a socket on the host" },
    { 0 },
};

/* ---- 45: cores ---- */

static int raise_core_limit(const char *arg)
{
    struct rlimit limit = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };
    UNUSED(arg);
    return passed(setrlimit(RLIMIT_CORE, &limit), 0);
}

/* 0 would bring a piped core handler back, fs/coredump.c. */
static int lower_core_limit(const char *arg)
{
    struct rlimit limit = { 0 };
    UNUSED(arg);
    return passed(setrlimit(RLIMIT_CORE, &limit), 0);
}

static int dump_core(const char *arg)
{
    struct rlimit limit = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
    char dir[] = "/tmp/osa-core-XXXXXX";
    int status = 0;
    UNUSED(arg);
    (void)setrlimit(RLIMIT_CORE, &limit);
    if (mkdtemp(dir) == NULL || chdir(dir) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        abort();
    (void)waitpid(pid, &status, 0);
    (void)unlink("core");
    (void)rmdir(dir);
    return WCOREDUMP(status) ? 0 : -EPERM;
}

static const struct attempt cores[] = {
    { "raise RLIMIT_CORE", raise_core_limit, NULL },
    { "lower RLIMIT_CORE to 0", lower_core_limit, NULL },
    { "dump", dump_core, NULL },
    { 0 },
};

/* ---- 55: the network, past the proxy ---- */

static int reach(const char *ip, uint16_t port, int family, int type)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    const struct sockaddr *address =
        family == AF_INET ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    socklen_t size = family == AF_INET ? sizeof(v4) : sizeof(v6);
    (void)inet_pton(family, ip, family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr);
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (type == SOCK_DGRAM)
        return passed(sendto(fd, "x", 1, 0, address, size), 0);
    if (connect(fd, address, size) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    int failed = ETIMEDOUT;
    socklen_t len = sizeof(failed);
    if (poll(&wait, 1, 2000) == 1)
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len);
    return -failed;
}

/* Documentation addresses: nobody is there, but a packet leaves where a route does. */
static int udp4(const char *arg)
{
    UNUSED(arg);
    return reach("192.0.2.1", 53, AF_INET, SOCK_DGRAM);
}

static int udp6(const char *arg)
{
    UNUSED(arg);
    return reach("2001:db8::1", 53, AF_INET6, SOCK_DGRAM);
}

static int tcp4(const char *arg)
{
    UNUSED(arg);
    return reach("192.0.2.1", 443, AF_INET, SOCK_STREAM);
}

static int metadata(const char *arg)
{
    UNUSED(arg);
    return reach("169.254.169.254", 80, AF_INET, SOCK_STREAM);
}

static const struct attempt network[] = {
    { "UDP over IPv4", udp4, NULL },
    { "UDP over IPv6", udp6, NULL },
    { "TCP over IPv4", tcp4, NULL },
    { "cloud metadata", metadata, NULL },
    { 0 },
};

const struct attack attacks_on_processes[] = {
    { 21, "inherited descriptors", descriptors },
    { 22, "the agent's program", programs },
    { 23, "other processes' insides", insides },
    { 24, "promotions", promotions },
    { 25, "capabilities and groups", capabilities },
    { 26, "terminal input", terminals },
    { 28, "signals to others", signals },
    { 31, "programs from memory", memory_programs },
    { 33, "process flags", flags },
    { 41, "others' sockets", foreign_sockets },
    { 45, "core dumps", cores },
    { 55, "the network past the proxy", network },
    { 0 },
};
