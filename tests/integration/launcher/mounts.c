// SPDX-License-Identifier: Apache-2.0
/*
 * Enters roots in fresh namespaces, as real root and as an ordinary user in a user namespace, and
 * looks around. The child in the namespaces is pid 1 there; it reports by exit code and says on
 * standard error what it did not find as it should be.
 */
#include "launcher/mounts.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/privileges.h"

#include "cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_NAMESPACE = 77 };

static char base[64]; /* directory of this run on the host */
static bool good;     /* in the child: nothing was wrong so far */

#define CHECK_ERRNO(call, expected)                                                                \
    do {                                                                                           \
        int got_ = (call);                                                                         \
        if (got_ != (expected)) {                                                                  \
            good = false;                                                                          \
            (void)fprintf(stderr, "%d: %s is %s\n", __LINE__, #call, strerror(got_));              \
        }                                                                                          \
    } while (0)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            good = false;                                                                          \
            (void)fprintf(stderr, "%d: %s: %s\n", __LINE__, #cond, strerror(errno));               \
        }                                                                                          \
    } while (0)

static int open_errno(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int failed = fd < 0 ? errno : 0;
    osa_close_fd(&fd);
    return failed;
}

static bool is_missing(const char *path)
{
    struct stat st;
    return lstat(path, &st) < 0 && errno == ENOENT;
}

static bool has_flags(const char *path, unsigned long flags)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 && (fs.f_flag & flags) == flags;
}

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry = NULL; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

/* ---- namespaces ---- */

typedef void (*body_fn)(const struct mounts_report *report);

struct scene {
    struct mounts_spec spec;
    body_fn body;       /* after success; NULL when failure is expected */
    enum osa_code code; /* expected */
    const char *part;   /* of the expected error */
    long missing_call;  /* answered with ENOSYS, as an older kernel does; 0 for none */
};

/* Makes one system call fail with ENOSYS in this process. */
static bool take_call_away(long number)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = OSA_ARRAY_LEN(code), .filter = code };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

static int be_init(const struct scene *scene)
{
    struct mounts_report report = { 0 };
    struct osa_error err = { 0 };
    good = true;
    if (scene->missing_call != 0 && !take_call_away(scene->missing_call))
        return 3;
    enum osa_code code = mounts_enter(&scene->spec, &report, &err);
    if (code != scene->code) {
        (void)fprintf(stderr, "%s: %s\n", osa_code_name(code), err.text);
        return 1;
    }
    if (code != OSA_OK) {
        CHECK(strstr(err.text, scene->part) != NULL && strcmp(err.stage, "mount") == 0);
        if (!good)
            (void)fprintf(stderr, "%s\n", err.text);
    } else {
        scene->body(&report);
    }
    return good ? 0 : 1;
}

static int become_rootless(void)
{
    struct privileges_id_range range = { .inside = 65534, .outside = 65534, .count = 1 };
    struct privileges_id_maps maps = {
        .uids = &range, .uid_count = 1, .gids = &range, .gid_count = 1, .deny_setgroups = true
    };
    struct osa_error err;
    if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
        setresuid(65534, 65534, 65534) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return 1;
    if (unshare(CLONE_NEWUSER) < 0)
        return NO_NAMESPACE;
    return privileges_write_id_maps(0, &maps, &err) == OSA_OK ? 0 : 1;
}

static int enter_namespaces(const struct scene *scene, bool rootless)
{
    int failed = rootless ? become_rootless() : 0;
    if (failed != 0)
        return failed;
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return NO_NAMESPACE;
    pid_t pid = fork();
    if (pid == 0)
        _exit(be_init(scene));
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static void play(const struct scene *scene, bool rootless)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(enter_namespaces(scene, rootless));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_NAMESPACE)
        skip(); /* namespaces are refused here */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void play_both(const struct scene *scene)
{
    play(scene, false);
    play(scene, true);
}

static struct scene scene_of(const struct mounts_path *paths, size_t count, body_fn body)
{
    return (struct scene){
        .spec = { .root = "",
                  .root_fd = -1,
                  .paths = paths,
                  .path_count = count,
                  .owner_uid = 65534,
                  .owner_gid = 65534,
                  .own_pid_namespace = true,
                  .own_net_namespace = true },
        .body = body,
    };
}

static const char *in_base(const char *name)
{
    static char paths[16][160];
    static unsigned next;
    char *path = paths[next++ % 16];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", base, name);
    return path;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(osa_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

/* ---- what each shape shows ---- */

static void check_system(void)
{
    CHECK(has_flags("/dev", ST_RDONLY | ST_NOSUID));
    CHECK_ERRNO(open_errno("/dev/null", O_RDWR), 0);
    CHECK_ERRNO(open_errno("/dev/urandom", O_RDONLY), 0);
    CHECK_ERRNO(open_errno("/dev/made", O_WRONLY | O_CREAT), EROFS);
    CHECK(is_missing("/dev/mem") && is_missing("/dev/kmsg") && is_missing("/dev/vda"));
    CHECK_ERRNO(open_errno("/dev/ptmx", O_RDWR | O_NOCTTY), 0);
    CHECK(count_entries("/dev/pts") == 1); /* ptmx: no terminal of the host */
    CHECK_ERRNO(open_errno("/dev/shm/x", O_WRONLY | O_CREAT), 0);

    CHECK(getpid() == 1);
    CHECK(has_flags("/proc", ST_NOSUID | ST_NODEV | ST_NOEXEC));
    CHECK_ERRNO(open_errno("/proc/self/status", O_RDONLY), 0);
    CHECK_ERRNO(open_errno("/proc/meminfo", O_RDONLY), 0);
    CHECK(has_flags("/proc/sys", ST_RDONLY) && has_flags("/proc/irq", ST_RDONLY));
    CHECK(open_errno("/proc/sys/kernel/hostname", O_WRONLY) != 0);
    struct stat st;
    CHECK(stat("/proc/keys", &st) == 0 && (st.st_mode & 0777) == 0 && st.st_size == 0);
    CHECK(stat("/proc/timer_list", &st) == 0 && (st.st_mode & 0777) == 0);
    CHECK(stat("/proc/acpi", &st) < 0 || (st.st_mode & 0777) == 0);
    CHECK(chmod("/proc/keys", 0777) < 0 && errno == EROFS);

    CHECK_ERRNO(open_errno("/tmp/x", O_WRONLY | O_CREAT), 0);
    CHECK(stat("/tmp", &st) == 0 && (st.st_mode & 07777) == 01777);
    CHECK(has_flags("/tmp", ST_NOSUID | ST_NODEV));
    CHECK(is_missing(base)); /* the host's /tmp */
}

static void check_view(const struct mounts_report *report)
{
    CHECK(report->missing == 0);
    CHECK(report->paths_applied == 5 && report->paths_skipped == 1);
    check_system();
    CHECK(has_flags("/", ST_RDONLY));
    CHECK(has_flags("/usr", ST_RDONLY | ST_NOSUID | ST_NODEV));
    CHECK_ERRNO(open_errno("/usr/made", O_WRONLY | O_CREAT), EROFS);
    CHECK_ERRNO(open_errno("/bin/sh", O_RDONLY), 0);
    CHECK_ERRNO(open_errno("/etc/hosts", O_RDONLY), 0);
    CHECK(is_missing("/root") && is_missing("/run") && is_missing("/home") &&
          is_missing("/var/lib"));
    CHECK(is_missing("/sys"));
    CHECK_ERRNO(open_errno("/made", O_WRONLY | O_CREAT), EROFS);
    CHECK_ERRNO(open_errno("/var/tmp/x", O_WRONLY | O_CREAT), 0);
    char text[64] = "";
    CHECK(readlink("/sandbox", text, sizeof(text) - 1) == 8 && strcmp(text, "/tmp/any") == 0);
}

static void test_view(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = {
        { "/usr", false }, { "/etc", false },     { "/proc", false },
        { "/tmp", true },  { "/dev/null", true }, { "/no/such/path", false },
    };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_view);
    scene.spec.workspace = "/tmp/any";
    play_both(&scene);
}

static void check_nested(const struct mounts_report *report)
{
    CHECK(report->paths_skipped == 0);
    CHECK_ERRNO(open_errno(in_base("data/file"), O_RDONLY), 0);
    CHECK_ERRNO(open_errno(in_base("data/file"), O_WRONLY), EROFS);
    CHECK_ERRNO(open_errno(in_base("data/rw/file"), O_WRONLY | O_CREAT), 0);
    CHECK(chmod(in_base("data/rw/file"), 0666) == 0 || geteuid() != 0);
    CHECK_ERRNO(open_errno(in_base("data/rw/ro/file"), O_WRONLY | O_CREAT), EROFS);
    CHECK_ERRNO(open_errno(in_base("link/file"), O_RDONLY), 0);
    CHECK_ERRNO(open_errno(in_base("link/file"), O_WRONLY), EROFS);
    CHECK_ERRNO(open_errno(in_base("single"), O_WRONLY), 0);
    CHECK(is_missing(in_base("other")));
    CHECK(open_errno(in_base("state/secret"), O_RDONLY) != 0);
    CHECK(count_entries(in_base("state")) == 0);
    /* /tmp itself is still private */
    CHECK_ERRNO(open_errno("/tmp/x", O_WRONLY | O_CREAT), 0);
    CHECK(is_missing("/sandbox"));
}

/* The child lists before the parent, a link, a single file, a hidden directory. */
static void test_nested_paths(void **state)
{
    (void)state;
    const struct mounts_path paths[] = {
        { in_base("data/rw/ro"), false },
        { in_base("data/rw"), true },
        { in_base("data"), false },
        { in_base("link"), false },
        { in_base("single"), true },
        { in_base("state"), true },
        { "/usr", false },
        { "/proc", false },
        { "//lib/../lib", false },
    };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths) - 1, check_nested);
    const char *const hidden[] = { in_base("state"), in_base("not-there"), NULL };
    scene.spec.hidden = hidden;
    play_both(&scene);
    assert_int_equal(open_errno(in_base("data/rw/file"), O_RDONLY), 0); /* written to the host */

    scene.spec.path_count++; /* ".." is not for policies */
    scene.code = OSA_INVALID_ARGUMENT;
    scene.part = "path 8 of the policy is not absolute";
    play(&scene, false);
}

static void check_whole(const struct mounts_report *report)
{
    CHECK(report->missing == 0 && report->paths_skipped == 0);
    check_system();
    CHECK(has_flags("/", ST_RDONLY | ST_NOSUID | ST_NODEV));
    CHECK_ERRNO(open_errno("/etc/hosts", O_RDONLY), 0);
    CHECK_ERRNO(open_errno("/made", O_WRONLY | O_CREAT), EROFS);
    CHECK_ERRNO(open_errno("/var/lib/made", O_WRONLY | O_CREAT), EROFS);
    CHECK(count_entries("/run") == 0);
    CHECK(has_flags("/sys", ST_RDONLY));
    CHECK(count_entries("/sys/class/net") == 1); /* lo of the own namespace */
    CHECK(count_entries("/sys/fs/cgroup") == 0); /* the host's cgroups are not on this sysfs */
}

static void test_whole(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = { { "/", false }, { "/proc", false } };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_whole);
    play_both(&scene);
}

static void check_unlisted(const struct mounts_report *report)
{
    CHECK(report->paths_applied == 0);
    check_system();
    CHECK(has_flags("/", ST_NOSUID | ST_NODEV) && !has_flags("/", ST_RDONLY));
}

static void test_nothing_listed(void **state)
{
    (void)state;
    struct scene scene = scene_of(NULL, 0, check_unlisted);
    play_both(&scene);
}

/* ---- devices ---- */

static void check_devices(const struct mounts_report *report)
{
    CHECK(report->paths_applied == 2 && report->paths_skipped == 3);
    CHECK(is_missing("/dev/kmsg") && is_missing("/dev/vda") && is_missing("/dev/mapper"));
    CHECK(!is_missing("/dev/fuse"));
}

static void test_devices(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = {
        { "/usr", false },    { "/dev/fuse", true },   { "/dev/kmsg", true },
        { "/dev/vda", true }, { "/dev/mapper", true },
    };
    if (access("/dev/fuse", F_OK) < 0 || access("/dev/kmsg", F_OK) < 0)
        skip(); /* no such device here to be listed */
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_devices);
    play_both(&scene);
}

/* ---- images ---- */

static void check_image(const struct mounts_report *report)
{
    struct stat st;
    CHECK(report->missing == 0);
    CHECK(report->paths_applied == 4 && report->paths_skipped == 1);
    CHECK_ERRNO(open_errno("/etc/passwd", O_RDONLY), 0);
    CHECK_ERRNO(open_errno("/etc/passwd", O_WRONLY), EROFS);
    CHECK(is_missing("/usr"));
    CHECK_ERRNO(open_errno("/data/file", O_WRONLY | O_CREAT), 0);
    CHECK_ERRNO(open_errno("/made/deep/file", O_WRONLY | O_CREAT), 0);
    CHECK(stat("/made/deep", &st) == 0 && st.st_uid == 65534 && st.st_gid == 65534);
    CHECK_ERRNO(open_errno("/made/file", O_WRONLY | O_CREAT), EROFS);
    CHECK_ERRNO(open_errno("/tmp/x", O_WRONLY | O_CREAT), 0);
    CHECK_ERRNO(open_errno("/proc/self/status", O_RDONLY), 0);
    CHECK_ERRNO(open_errno("/dev/null", O_RDWR), 0);
    CHECK(is_missing("/dev/made-by-image"));
    CHECK_ERRNO(open_errno("/out", O_RDONLY), 0); /* a link to /etc/passwd: the image's */
    char text[8] = "";
    int fd = open("/out", O_RDONLY | O_CLOEXEC);
    CHECK(osa_read_full(fd, text, 5) == 5 && strcmp(text, "image") == 0);
    close(fd);
}

static void make_image(void)
{
    static const char *const dirs[] = { "image", "image/etc", "image/data", "image/dev" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(dirs); i++)
        assert_int_equal(mkdir(in_base(dirs[i]), 0755), 0);
    assert_int_equal(chmod(in_base("image/data"), 0777), 0);
    put(in_base("image/etc/passwd"), "image:x:1:1::/:/bin/sh\n");
    put(in_base("image/dev/made-by-image"), "");
    assert_int_equal(symlink("../../../../etc/passwd", in_base("image/out")), 0);
}

static void test_image(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = {
        { "/etc", false },       { "/data", true }, { "/made/deep", true },
        { "/not/there", false }, { "/tmp", true },
    };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_image);
    scene.spec.root = in_base("image");
    scene.spec.scratch_bytes = 1 << 20;
    play(&scene, false);
    /* An ordinary user's image is that user's: the overlay cannot copy files of an unmapped owner. */
    static const char *const own[] = { "image", "image/etc", "image/etc/passwd", "image/data" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(own); i++)
        assert_int_equal(chown(in_base(own[i]), 65534, 65534), 0);
    play(&scene, true);
    assert_true(is_missing(in_base("image/data/file"))); /* written to the scratch */
    assert_true(is_missing(in_base("image/made")));
    assert_true(is_missing(in_base("image/proc")));
}

/* Links where our mounts go (CVE-2025-52881 and its kind): refused, and nothing is mounted there. */
static void test_image_with_links(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *target;
        const char *part;
    } tricks[] = {
        { "image/dev", "/etc", "/dev of the root is not a directory" },
        { "image/proc", "/tmp", "/proc of the root is not a directory" },
        { "image/proc", "/proc/self/fd/3", "/proc of the root is not a directory" },
        { "image/tmp", "../../../../../tmp", "/tmp of the root is not a directory" },
        { "image/sys", "/", "/sys of the root is not a directory" },
    };
    assert_int_equal(rename(in_base("image/dev"), in_base("image-dev")), 0);
    for (size_t i = 0; i < OSA_ARRAY_LEN(tricks); i++) {
        static const struct mounts_path paths[] = { { "/data", true } };
        struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), NULL);
        scene.spec.root = in_base("image");
        scene.code = OSA_FAILED_PRECONDITION;
        scene.part = tricks[i].part;
        assert_int_equal(symlink(tricks[i].target, in_base(tricks[i].name)), 0);
        play_both(&scene);
        assert_int_equal(unlink(in_base(tricks[i].name)), 0);
    }
    assert_int_equal(rename(in_base("image-dev"), in_base("image/dev")), 0);
}

static void check_link_paths(const struct mounts_report *report)
{
    CHECK(report->paths_skipped == 2); /* no place in the image */
    CHECK(is_missing("/usr") && is_missing("/root"));
}

/* A policy path that the image makes a link leads inside the image or nowhere. */
static void test_image_paths_that_are_links(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = { { "/escape", true },
                                                { "/loop", false },
                                                { "/data", true } };
    assert_int_equal(symlink("/../../root/nothing", in_base("image/escape")), 0);
    assert_int_equal(symlink("loop", in_base("image/loop")), 0);
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_link_paths);
    scene.spec.root = in_base("image");
    play_both(&scene);
    assert_int_equal(unlink(in_base("image/escape")), 0);
    assert_int_equal(unlink(in_base("image/loop")), 0);
}

static void test_bad_roots(void **state)
{
    (void)state;
    struct scene scene = scene_of(NULL, 0, NULL);
    scene.code = OSA_FAILED_PRECONDITION;
    scene.spec.root = in_base("nowhere");
    scene.part = "nowhere': No such file or directory";
    play_both(&scene);
    scene.spec.root = in_base("single");
    scene.part = "single': Not a directory";
    play_both(&scene);
}

/* ---- bounds ---- */

static void fill(const char *path, size_t megabytes, int *ret_errno)
{
    static char block[1 << 20];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    *ret_errno = fd < 0 ? errno : 0;
    for (size_t i = 0; fd >= 0 && *ret_errno == 0 && i < megabytes; i++)
        *ret_errno = -osa_write_all(fd, block, sizeof(block));
    osa_close_fd(&fd);
}

/* One bound for all that can be written: what /tmp has taken, /dev/shm has not. */
static void check_bound(const struct mounts_report *report)
{
    int failed = 0;
    (void)report;
    fill("/tmp/half", 2, &failed);
    CHECK(failed == 0);
    fill("/dev/shm/rest", 3, &failed);
    CHECK(failed == ENOSPC);
    CHECK(unlink("/dev/shm/rest") == 0 && unlink("/tmp/half") == 0);
    fill("/var/tmp/all", 3, &failed);
    CHECK(failed == 0);
    char name[32];
    for (unsigned i = 0; i < 2000 && failed == 0; i++) {
        (void)snprintf(name, sizeof(name), "/tmp/%u", i);
        failed = open_errno(name, O_WRONLY | O_CREAT);
    }
    CHECK(failed == ENOSPC); /* inodes are bounded as well */
}

static void test_scratch_is_bounded(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = { { "/usr", false }, { "/tmp", true } };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_bound);
    scene.spec.scratch_bytes = 4 << 20;
    play_both(&scene);
}

/* ---- without a pid or network namespace of its own ---- */

static void check_without(const struct mounts_report *report)
{
    CHECK(report->missing == (MOUNTS_NO_PROC | MOUNTS_NO_SYS));
    CHECK(is_missing("/proc/self") && is_missing("/sys/class"));
    CHECK(mounts_missing_text(MOUNTS_NO_PROC) != NULL && mounts_missing_text(1u << 30) == NULL);
}

static void test_missing_parts_are_told(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = { { "/usr", false }, { "/sys", false } };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_without);
    scene.spec.own_pid_namespace = false;
    scene.spec.own_net_namespace = false;
    play_both(&scene);
}

/* No directory of the old root may be open in init: it would be a way out (CVE-2024-21626). */
static void check_no_way_out(const struct mounts_report *report)
{
    struct stat st;
    char cwd[PATH_MAX];
    (void)report;
    for (int fd = 0; fd < 256; fd++)
        CHECK(fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode));
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL && strcmp(cwd, "/") == 0);
    CHECK(chdir("../../..") == 0 && getcwd(cwd, sizeof(cwd)) != NULL && strcmp(cwd, "/") == 0);
    CHECK_ERRNO(open_errno("etc", O_RDONLY), ENOENT);
}

static void test_no_way_out(void **state)
{
    (void)state;
    static const struct mounts_path paths[] = { { "/usr", false } };
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), check_no_way_out);
    play_both(&scene);
}

/* Without one of the calls there is no root, and no weaker one either. */
static void test_older_kernels_are_refused(void **state)
{
    (void)state;
    static const long calls[] = { SYS_open_tree, SYS_move_mount,    SYS_fsopen, SYS_fsconfig,
                                  SYS_fsmount,   SYS_mount_setattr, SYS_openat2 };
    static const struct mounts_path paths[] = { { "/usr", false } };
    for (size_t i = 0; i < OSA_ARRAY_LEN(calls); i++) {
        struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), NULL);
        scene.code = OSA_FAILED_PRECONDITION;
        scene.part = strerror(ENOSYS);
        scene.missing_call = calls[i];
        play_both(&scene);
    }
    struct scene scene = scene_of(paths, OSA_ARRAY_LEN(paths), NULL);
    scene.code = OSA_FAILED_PRECONDITION;
    scene.part = "pivot_root";
    scene.missing_call = SYS_pivot_root;
    play_both(&scene);
}

/* ---- the host afterwards ---- */

static size_t read_mounts(char *text, size_t size)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    ssize_t len = osa_read_full(fd, text, size);
    close(fd);
    return len > 0 ? (size_t)len : 0;
}

static char mounts_before[1 << 16];
static size_t mounts_before_len;

static void test_nothing_left_on_host(void **state)
{
    (void)state;
    static char after[sizeof(mounts_before)];
    size_t len = read_mounts(after, sizeof(after));
    assert_int_equal(len, mounts_before_len);
    assert_memory_equal(after, mounts_before, len);
}

static int setup(void **state)
{
    (void)state;
    /* A table of its own: shared, so that a leak shows, with nobody else's mounts in it. */
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(osa_sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(osa_sys_mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
    mounts_before_len = read_mounts(mounts_before, sizeof(mounts_before));
    (void)snprintf(base, sizeof(base), "/tmp/osa-mounts-XXXXXX");
    assert_non_null(mkdtemp(base));
    assert_int_equal(chmod(base, 0755), 0);
    static const char *const dirs[] = { "data", "data/rw", "data/rw/ro", "other", "state" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(dirs); i++) {
        assert_int_equal(mkdir(in_base(dirs[i]), 0755), 0);
        assert_int_equal(chmod(in_base(dirs[i]), 0777), 0);
    }
    put(in_base("data/file"), "x");
    put(in_base("state/secret"), "x");
    put(in_base("single"), "x");
    assert_int_equal(chmod(in_base("single"), 0666), 0);
    assert_int_equal(chmod(in_base("data/file"), 0666), 0);
    assert_int_equal(symlink("data", in_base("link")), 0);
    make_image();
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)puts("skipped: needs root, to be both root and somebody else");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_nested_paths),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_nothing_listed),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_image),
        cmocka_unit_test(test_image_with_links),
        cmocka_unit_test(test_image_paths_that_are_links),
        cmocka_unit_test(test_bad_roots),
        cmocka_unit_test(test_scratch_is_bounded),
        cmocka_unit_test(test_missing_parts_are_told),
        cmocka_unit_test(test_no_way_out),
        cmocka_unit_test(test_older_kernels_are_refused),
        cmocka_unit_test(test_nothing_left_on_host),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
