// SPDX-License-Identifier: Apache-2.0
/* Scratch space, /tmp, /dev, /proc and /sys of a sandbox's root. */
#include "launcher/mounts_internal.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/mount_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* Directories of the scratch tmpfs. "mask" covers directories, the file "mask-file" files. */
static const struct {
    const char *name;
    mode_t mode;
} scratch_dirs[] = {
    { "tmp", 01777 },  { "vartmp", 01777 }, { "shm", 01777 }, { "run", 0755 },
    { "upper", 0755 }, { "work", 0700 },    { "mask", 0 },
};

/* The nodes that programs expect everywhere. Bound from the host, for mknod(2) needs the first
 * user namespace; each must be what its name says (Documentation/admin-guide/devices.txt). */
static const struct {
    const char *name;
    unsigned major;
    unsigned minor;
} nodes[] = {
    { "null", 1, 3 },   { "zero", 1, 5 },    { "full", 1, 7 },
    { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
    const char *name;
    const char *target;
} dev_links[] = {
    { "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
    { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
    { "ptmx", "pts/ptmx" },
};

/* Parts of /proc that show or change the host: covered, or only made read-only. What a kernel does
 * not have is passed over. */
static const struct {
    const char *name;
    bool cover;
} proc_rules[] = {
    { "acpi", true },          { "asound", true },     { "bus", false },
    { "dynamic_debug", true }, { "fs", false },        { "interrupts", true },
    { "irq", false },          { "kallsyms", true },   { "kcore", true },
    { "key-users", true },     { "keys", true },       { "kmsg", true },
    { "kpagecgroup", true },   { "kpagecount", true }, { "kpageflags", true },
    { "latency_stats", true }, { "mtrr", true },       { "sched_debug", true },
    { "scsi", true },          { "slabinfo", true },   { "sys", false },
    { "sysrq-trigger", true }, { "timer_list", true }, { "timer_stats", true },
    { "vmallocinfo", true },   { "vmcore", true },
};

bool mounts_is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

enum osa_code mounts_make_scratch(struct mounts_build *b)
{
    char size[32];
    char inodes[32];
    /* A file costs memory that its size does not tell: an inode for each page, within reason. */
    uint64_t files = OSA_MIN(OSA_MAX(b->spec->scratch_bytes / 4096, 1024), 1u << 20);
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)b->spec->scratch_bytes);
    (void)snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)files);
    const struct mount_option options[] = { { "mode", "0755" },
                                            { "size", size },
                                            { "nr_inodes", inodes } };
    size_t count = b->spec->scratch_bytes == MOUNTS_SCRATCH_UNLIMITED ? 1 : 3;
    int failed = mount_ops_create("tmpfs", options, count, MOUNTS_ATTR_BASE, &b->scratch_fd);
    /* Attached, because older kernels copy only what is part of the namespace. */
    if (failed == 0)
        failed = mount_ops_attach(b->scratch_fd, b->host_fd);
    for (size_t i = 0; failed == 0 && i < OSA_ARRAY_LEN(scratch_dirs); i++) {
        if (mkdirat(b->scratch_fd, scratch_dirs[i].name, scratch_dirs[i].mode) < 0)
            failed = -errno;
    }
    if (failed == 0 && mknodat(b->scratch_fd, "mask-file", S_IFREG, 0) < 0)
        failed = -errno;
    return failed < 0 ? mounts_failed(b, failed, "tmpfs for scratch space") : OSA_OK;
}

/* Opens a directory of the new root to mount a file system of ours on. A link is a trick. */
static enum osa_code open_mount_point(const struct mounts_build *b, const char *name, int *ret_fd)
{
    int fd = mounts_make_dir(b->root_fd, name);
    if (fd == -ELOOP || fd == -ENOTDIR)
        return osa_fail(b->err, OSA_FAILED_PRECONDITION, 0,
                        "/%s of the root is not a directory (a link is refused); make it one",
                        name);
    if (fd < 0)
        return osa_fail(b->err, OSA_FAILED_PRECONDITION, -fd,
                        "/%s of the root; it must exist there as a directory", name);
    *ret_fd = fd;
    return OSA_OK;
}

/* Binds one node of the host, if it is the device that it should be. */
static int bind_node(const struct mounts_build *b, const char *name, dev_t device)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof(path), "dev/%s", name);
    OSA_AUTO(osa_close_fd) int source = mounts_lookup(b->host_fd, path, 0);
    if (source < 0)
        return source;
    if (fstat(source, &st) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode) || st.st_rdev != device)
        return -ENODEV;
    OSA_AUTO(osa_close_fd) int copy = -1;
    int failed = mount_ops_clone(source, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &copy);
    if (failed < 0)
        return failed;
    if (mknodat(b->dev_fd, name, S_IFREG | 0444, 0) < 0)
        return -errno;
    OSA_AUTO(osa_close_fd) int target = mounts_lookup(b->dev_fd, name, 0);
    return target < 0 ? target : mount_ops_attach(copy, target);
}

/* Terminals of the sandbox's own; nobody else's can be named. */
static int make_terminals(const struct mounts_build *b)
{
    static const struct mount_option options[] = { { "newinstance", NULL },
                                                   { "ptmxmode", "0666" },
                                                   { "mode", "0620" } };
    OSA_AUTO(osa_close_fd) int pts = -1;
    OSA_AUTO(osa_close_fd) int target = mounts_make_dir(b->dev_fd, "pts");
    if (target < 0)
        return target;
    int failed = mount_ops_create("devpts", options, OSA_ARRAY_LEN(options),
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &pts);
    return failed < 0 ? failed : mount_ops_attach(pts, target);
}

/* What the agent has for the sandbox's processes to read. Return: 0 or -errno */
static int bind_shared(const struct mounts_build *b)
{
    const char *shared = b->spec->shared;
    if (shared == NULL || shared[0] == '\0')
        return 0;
    OSA_AUTO(osa_close_fd)
    int source = openat(b->host_fd, shared + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (source < 0)
        return -errno;
    OSA_AUTO(osa_close_fd) int target = mounts_make_dir(b->dev_fd, "openshell");
    OSA_AUTO(osa_close_fd) int copy = -1;
    if (target < 0)
        return target;
    int failed = mount_ops_clone(source, /* recursive= */ false,
                                 MOUNTS_ATTR_QUIET | MOUNT_ATTR_RDONLY, &copy);
    return failed < 0 ? failed : mount_ops_attach(copy, target);
}

static enum osa_code make_dev(struct mounts_build *b)
{
    static const struct mount_option options[] = { { "mode", "0755" },
                                                   { "size", "64k" },
                                                   { "nr_inodes", "1024" } };
    OSA_AUTO(osa_close_fd) int target = -1;
    enum osa_code code = open_mount_point(b, "dev", &target);
    if (code != OSA_OK)
        return code;
    int failed = mount_ops_create("tmpfs", options, OSA_ARRAY_LEN(options),
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &b->dev_fd);
    if (failed == 0)
        failed = mount_ops_attach(b->dev_fd, target);
    for (size_t i = 0; failed == 0 && i < OSA_ARRAY_LEN(nodes); i++) {
        if (bind_node(b, nodes[i].name, makedev(nodes[i].major, nodes[i].minor)) < 0)
            b->report.missing |= MOUNTS_NO_NODE;
    }
    for (size_t i = 0; failed == 0 && i < OSA_ARRAY_LEN(dev_links); i++) {
        if (symlinkat(dev_links[i].target, b->dev_fd, dev_links[i].name) < 0)
            failed = -errno;
    }
    if (failed == 0 && make_terminals(b) < 0)
        b->report.missing |= MOUNTS_NO_PTS;
    OSA_AUTO(osa_close_fd) int shm = failed == 0 ? mounts_make_dir(b->dev_fd, "shm") : -1;
    if (failed == 0)
        failed = shm < 0 ? shm : mounts_bind_scratch(b, "shm", MOUNTS_ATTR_BASE, shm);
    if (failed == 0)
        failed = bind_shared(b);
    return failed < 0 ? mounts_failed(b, failed, "private /dev") : OSA_OK;
}

/* Covers one entry of our /proc with something empty, or copies it onto itself read-only. */
static int guard_proc_entry(struct mounts_build *b, int proc_fd, const char *name, bool cover)
{
    struct stat st;
    OSA_AUTO(osa_close_fd) int entry = mounts_lookup(proc_fd, name, 0);
    if (entry == -ENOENT)
        return 0;
    if (entry < 0)
        return entry;
    if (fstat(entry, &st) < 0)
        return -errno;
    if (cover)
        return mounts_cover(b, S_ISDIR(st.st_mode), entry);
    OSA_AUTO(osa_close_fd) int copy = -1;
    int failed = mount_ops_clone(entry, false, MOUNTS_ATTR_QUIET | MOUNT_ATTR_RDONLY, &copy);
    return failed < 0 ? failed : mount_ops_attach(copy, entry);
}

/* hidepid=2 as a number, which kernels before 5.8 want; those before 3.3 have none. */
static int create_proc(struct mounts_build *b, int *ret_fd)
{
    static const struct mount_option options[] = { { "hidepid", "2" } };
    int failed = mount_ops_create("proc", options, 1, MOUNTS_ATTR_QUIET, ret_fd);
    if (failed != -EINVAL)
        return failed;
    b->report.missing |= MOUNTS_NO_HIDEPID;
    return mount_ops_create("proc", NULL, 0, MOUNTS_ATTR_QUIET, ret_fd);
}

static enum osa_code make_proc(struct mounts_build *b)
{
    struct statfs fs;
    OSA_AUTO(osa_close_fd) int target = -1;
    OSA_AUTO(osa_close_fd) int proc = -1;
    enum osa_code code = open_mount_point(b, "proc", &target);
    if (code != OSA_OK)
        return code;
    int failed = b->spec->own_pid_namespace ? create_proc(b, &proc) : -EPERM;
    if (failed == -EPERM || failed == -EBUSY) {
        /* Within a container that masks parts of its /proc the kernel gives out no other. The
         * host's is no substitute; an empty directory is. */
        b->report.missing |= MOUNTS_NO_PROC;
        failed = mounts_cover(b, /* is_dir= */ true, target);
        return failed < 0 ? mounts_failed(b, failed, "covering /proc") : OSA_OK;
    }
    if (failed == 0)
        failed = mount_ops_attach(proc, target);
    if (failed == 0 && (fstatfs(proc, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC))
        failed = -EXDEV;
    for (size_t i = 0; failed == 0 && i < OSA_ARRAY_LEN(proc_rules); i++)
        failed = guard_proc_entry(b, proc, proc_rules[i].name, proc_rules[i].cover);
    return failed < 0 ? mounts_failed(b, failed, "private /proc") : OSA_OK;
}

/* Listing "/" lists all of it, and so does listing nothing. */
static bool policy_lists(const struct mounts_build *b, const char *dir)
{
    const struct mounts_spec *spec = b->spec;
    if (b->shape == MOUNTS_WHOLE)
        return true;
    for (size_t i = 0; i < spec->path_count; i++) {
        if (mounts_is_below(spec->paths[i].path, dir))
            return true;
    }
    return false;
}

/* A fresh sysfs, without the cgroup, debug and security file systems that sit on the host's. */
static enum osa_code make_sys(struct mounts_build *b)
{
    OSA_AUTO(osa_close_fd) int target = -1;
    OSA_AUTO(osa_close_fd) int sys = -1;
    bool listed = policy_lists(b, "/sys");
    if (!listed && b->shape == MOUNTS_VIEW)
        return OSA_OK;
    enum osa_code code = open_mount_point(b, "sys", &target);
    if (code != OSA_OK)
        return code;
    unsigned attrs = MOUNTS_ATTR_QUIET | MOUNT_ATTR_RDONLY;
    int failed = listed && b->spec->own_net_namespace
                     ? mount_ops_create("sysfs", NULL, 0, attrs, &sys)
                     : -EPERM;
    if (failed == 0)
        failed = mount_ops_attach(sys, target);
    else
        failed = mounts_cover(b, /* is_dir= */ true, target);
    if (sys < 0 && listed)
        b->report.missing |= MOUNTS_NO_SYS;
    return failed < 0 ? mounts_failed(b, failed, "private /sys") : OSA_OK;
}

enum osa_code mounts_make_system(struct mounts_build *b)
{
    enum osa_code code = make_dev(b);
    if (code == OSA_OK)
        code = make_proc(b);
    return code == OSA_OK ? make_sys(b) : code;
}
