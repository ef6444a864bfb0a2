// SPDX-License-Identifier: Apache-2.0
/* Attacks through files: the host's sockets and secrets, devices, /proc, cgroups, links. */
#include "attack/attacker.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED(arg) (void)(arg)

/* Return: 0 when @path opens. Nothing is read or written. */
static int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int verdict = passed(fd, 0);
    if (fd >= 0)
        close(fd);
    return verdict;
}

/* ---- 32: interpreters outside ---- */

/* Runs @path in a child. Return: 0 when exec worked; -errno of exec. */
static int run_child(const char *path)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl(path, path, (char *)NULL);
        _exit(errno); /* ENOENT, EACCES … are below 128; true(1) gives 0 */
    }
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* @arg: a directory outside the sandbox's paths that holds an executable "true". */
static int run_outside(const char *arg)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/true", arg);
    return run_child(path);
}

/* A script in /tmp whose interpreter is @arg/true. exec fails with the interpreter's error. */
static int script_outside(const char *arg)
{
    char text[PATH_MAX + 16];
    char path[] = "/tmp/osa-attack-XXXXXX";
    int len = snprintf(text, sizeof(text), "#!%s/true\n", arg);
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, (size_t)len) != len || fchmod(fd, 0700) < 0)
        return -errno;
    close(fd);
    int verdict = run_child(path);
    (void)unlink(path);
    return verdict;
}

static const struct attempt interpreters[] = {
    { "execute outside", run_outside, "a directory outside with an executable 'true'" },
    { "script with interpreter outside", script_outside, "the same directory" },
    { 0 },
};

/* ---- 36: what Landlock's later versions are about. @arg: a directory outside the paths ---- */

static int make_in(const char *arg)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/osa-attack-made", arg);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int verdict = passed(fd, 0);
    if (fd >= 0)
        close(fd);
    if (verdict == 0)
        (void)unlink(path);
    return verdict;
}

static int tmpfile_in(const char *arg)
{
    return opens(arg, O_TMPFILE | O_RDWR);
}

static int truncate_in(const char *arg)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/osa-attack-file", arg);
    struct stat st;
    off_t size = stat(path, &st) == 0 ? st.st_size : 0;
    return passed(truncate(path, size), 0);
}

static int link_from(const char *arg)
{
    char from[PATH_MAX];
    const char *to = "/tmp/osa-attack-link";
    (void)snprintf(from, sizeof(from), "%s/osa-attack-file", arg);
    (void)unlink(to);
    int verdict = passed(link(from, to), 0);
    (void)unlink(to);
    return verdict;
}

static int rename_from(const char *arg)
{
    char from[PATH_MAX];
    (void)snprintf(from, sizeof(from), "%s/osa-attack-file", arg);
    return passed(rename(from, from), 0);
}

static int list_in(const char *arg)
{
    return opens(arg, O_RDONLY | O_DIRECTORY);
}

static int chmod_in(const char *arg)
{
    char path[PATH_MAX];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/osa-attack-file", arg);
    mode_t mode = stat(path, &st) == 0 ? st.st_mode & 07777 : 0600;
    return passed(chmod(path, mode), 0);
}

static const struct attempt outside[] = {
    { "create", make_in, "a directory outside" },
    { "O_TMPFILE", tmpfile_in, "a directory outside" },
    { "truncate", truncate_in, "a directory outside with osa-attack-file" },
    { "hard link", link_from, "a directory outside with osa-attack-file" },
    { "rename", rename_from, "a directory outside with osa-attack-file" },
    { "chmod", chmod_in, "a directory outside with osa-attack-file" },
    { "list", list_in, "a directory outside" },
    { 0 },
};

/* ---- 37 and 38: links that swap, magic links ---- */

/* 2,000, or what OSA_RACE_ROUNDS says. */
static unsigned long swap_rounds(void)
{
    const char *text = getenv("OSA_RACE_ROUNDS");
    return text == NULL ? 2000 : strtoul(text, NULL, 10);
}

/* A link of the sandbox's own, swapped between a file of its own and one outside, opened all the
 * while: not one open may reach the outside file. */
static int swap_race(const char *arg)
{
    char outside_file[PATH_MAX];
    char dir[] = "/tmp/osa-swap-XXXXXX";
    struct stat want;
    int verdict = -EACCES;
    (void)snprintf(outside_file, sizeof(outside_file), "%s/osa-attack-file", arg);
    bool known = stat(outside_file, &want) == 0;
    if (mkdtemp(dir) == NULL || chdir(dir) < 0)
        return -errno;
    int fd = open("own", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            (void)!symlink("own", "new");
            (void)rename("new", "link");
            (void)!symlink(outside_file, "new");
            (void)rename("new", "link");
        }
    }
    for (unsigned long i = 0; i < swap_rounds() && verdict != 0; i++) {
        struct stat st;
        fd = open("link", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && st.st_size > 0 && (!known || st.st_ino == want.st_ino))
            verdict = 0;
        close(fd);
    }
    (void)kill(pid, 9);
    (void)waitpid(pid, NULL, 0);
    (void)unlink("own");
    (void)unlink("new");
    (void)unlink("link");
    (void)rmdir(dir);
    return verdict;
}

static const struct attempt swaps[] = {
    { "opens of a swapping link", swap_race, "a directory outside with osa-attack-file" },
    { 0 },
};

static int above_root(const char *arg)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "/../../../../..%s/osa-attack-file", arg);
    return opens(path, O_RDONLY);
}

static int init_root(const char *arg)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "/proc/1/root%s/osa-attack-file", arg);
    return opens(path, O_RDONLY);
}

static int init_cwd(const char *arg)
{
    UNUSED(arg);
    return opens("/proc/1/cwd/.", O_RDONLY | O_DIRECTORY);
}

/* Any directory that was left open to us is a way out (CVE-2024-21626). */
static int inherited_directory(const char *arg)
{
    UNUSED(arg);
    for (int fd = 3; fd < 1024; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
            return 0;
    }
    return -EBADF;
}

static const struct attempt magic_links[] = {
    { "above the root", above_root, "a directory outside with osa-attack-file" },
    { "/proc/1/root", init_root, "a directory outside with osa-attack-file" },
    { "/proc/1/cwd", init_cwd, NULL },
    { 0 },
};

static const struct attempt inherited[] = {
    { "directory left open", inherited_directory, NULL },
    { 0 },
};

/* ---- 42: what lies about on hosts ---- */

static int well_known(const char *arg)
{
    static const char *const paths[] = {
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/crio/crio.sock",
        "/run/podman/podman.sock",
        "/run/dbus/system_bus_socket",
        "/run/systemd/private",
        "/var/lib/kubelet",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        "/root/.ssh",
        "/root/.aws",
        "/root/.kube",
        "/etc/kubernetes",
    };
    struct stat st;
    UNUSED(arg);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (stat(paths[i], &st) == 0)
            return 0;
    }
    return -ENOENT;
}

static int home_of_root(const char *arg)
{
    UNUSED(arg);
    return opens("/root", O_RDONLY | O_DIRECTORY);
}

static int shadow(const char *arg)
{
    UNUSED(arg);
    return opens("/etc/shadow", O_RDONLY);
}

static int read_outside(const char *arg)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/osa-attack-file", arg);
    return opens(path, O_RDONLY);
}

static const struct attempt secrets[] = {
    { "sockets and tokens", well_known, NULL },
    { "/root", home_of_root, NULL },
    { "/etc/shadow", shadow, NULL },
    { "a file outside", read_outside, "a directory outside with osa-attack-file" },
    { 0 },
};

/* ---- 43: devices and the kernel's files ---- */

static int make_node(const char *arg)
{
    const char *path = "/tmp/osa-attack-node";
    UNUSED(arg);
    int verdict = passed(mknod(path, S_IFCHR | 0600, makedev(1, 1)), 0);
    if (verdict == 0)
        (void)unlink(path);
    return verdict;
}

#define OPEN_ATTEMPT(name, path, flags)                                                            \
    static int open_##name(const char *arg)                                                        \
    {                                                                                              \
        UNUSED(arg);                                                                               \
        return opens(path, flags);                                                                 \
    }

OPEN_ATTEMPT(mem, "/dev/mem", O_RDONLY)
OPEN_ATTEMPT(kmsg, "/dev/kmsg", O_RDONLY)
OPEN_ATTEMPT(port, "/dev/port", O_RDONLY)
OPEN_ATTEMPT(disk, "/dev/vda", O_RDONLY)
OPEN_ATTEMPT(kvm, "/dev/kvm", O_RDWR)
OPEN_ATTEMPT(kcore, "/proc/kcore", O_RDONLY)
OPEN_ATTEMPT(proc_keys, "/proc/keys", O_RDONLY)
OPEN_ATTEMPT(kallsyms, "/proc/kallsyms", O_RDONLY)
OPEN_ATTEMPT(sysrq, "/proc/sysrq-trigger", O_WRONLY)
OPEN_ATTEMPT(timer_list, "/proc/timer_list", O_RDONLY)
OPEN_ATTEMPT(core_pattern, "/proc/sys/kernel/core_pattern", O_WRONLY)
OPEN_ATTEMPT(modprobe, "/proc/sys/kernel/modprobe", O_WRONLY)
OPEN_ATTEMPT(binfmt, "/proc/sys/fs/binfmt_misc/register", O_WRONLY)
OPEN_ATTEMPT(drop_caches, "/proc/sys/vm/drop_caches", O_WRONLY)
OPEN_ATTEMPT(uevent_helper, "/sys/kernel/uevent_helper", O_WRONLY)
OPEN_ATTEMPT(power, "/sys/power/state", O_WRONLY)
OPEN_ATTEMPT(debugfs, "/sys/kernel/debug/.", O_RDONLY | O_DIRECTORY)
OPEN_ATTEMPT(security, "/sys/kernel/security/.", O_RDONLY | O_DIRECTORY)

static const struct attempt devices[] = {
    { "mknod /dev/mem", make_node, NULL },
    { "/dev/mem", open_mem, NULL },
    { "/dev/kmsg", open_kmsg, NULL },
    { "/dev/port", open_port, NULL },
    { "/dev/vda", open_disk, NULL },
    { "/dev/kvm", open_kvm, NULL },
    { "/proc/kcore", open_kcore, NULL },
    { "/proc/keys", open_proc_keys, NULL },
    { "/proc/kallsyms", open_kallsyms, NULL },
    { "/proc/sysrq-trigger", open_sysrq, NULL },
    { "/proc/timer_list", open_timer_list, NULL },
    { "write core_pattern", open_core_pattern, NULL },
    { "write modprobe", open_modprobe, NULL },
    { "write binfmt_misc", open_binfmt, NULL },
    { "write drop_caches", open_drop_caches, NULL },
    { "write uevent_helper", open_uevent_helper, NULL },
    { "write /sys/power/state", open_power, NULL },
    { "/sys/kernel/debug", open_debugfs, NULL },
    { "/sys/kernel/security", open_security, NULL },
    { 0 },
};

/* ---- 44: cgroups ---- */

static int write_one_of(const char *const *paths, size_t count)
{
    int verdict = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        verdict = opens(paths[i], O_WRONLY);
        if (verdict == 0)
            return 0;
    }
    return verdict;
}

static int leave_cgroup(const char *arg)
{
    static const char *const paths[] = { "/sys/fs/cgroup/cgroup.procs",
                                         "/sys/fs/cgroup/unified/cgroup.procs",
                                         "/sys/fs/cgroup/memory/cgroup.procs",
                                         "/sys/fs/cgroup/pids/tasks" };
    UNUSED(arg);
    return write_one_of(paths, sizeof(paths) / sizeof(paths[0]));
}

static int release_agent(const char *arg)
{
    static const char *const paths[] = { "/sys/fs/cgroup/memory/release_agent",
                                         "/sys/fs/cgroup/pids/release_agent",
                                         "/sys/fs/cgroup/systemd/release_agent" };
    UNUSED(arg);
    return write_one_of(paths, sizeof(paths) / sizeof(paths[0]));
}

static const struct attempt cgroups[] = {
    { "cgroup.procs", leave_cgroup, NULL },
    { "release_agent", release_agent, NULL },
    { 0 },
};

const struct attack attacks_on_files[] = {
    { 3, "inherited directories", inherited },
    { 32, "interpreters outside", interpreters },
    { 36, "changes outside", outside },
    { 37, "swapping links", swaps },
    { 38, "ways out of the root", magic_links },
    { 42, "secrets of the host", secrets },
    { 43, "devices and kernel files", devices },
    { 44, "cgroups", cgroups },
    { 0 },
};
