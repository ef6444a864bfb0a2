// SPDX-License-Identifier: Apache-2.0
/*
 * Landlock plans by their effect: each attempt runs in a forked child under the rules of each ABI
 * up to the kernel's, and once without rules as the control. Needs no privileges.
 */
#include "backends/process/landlock_plan.h"
#include "base/linux_sys.h"

#include "cmocka_all.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static char base[] = "/tmp/osa-landlock-XXXXXX";
static uint32_t kernel_abi;

static const char *at(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", base, name);
    return path;
}

static int touch(const char *path)
{
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0755);
    if (fd < 0)
        return -1;
    (void)!write(fd, "#!/bin/true\n", 12);
    return close(fd);
}

/* Fresh for each attempt: ro/{file,sub}, rw/{file,sub}, out/file. */
static void make_tree(void)
{
    static const char *const dirs[] = { "ro", "rw", "out", "ro/sub", "rw/sub" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(dirs); i++)
        assert_true(mkdir(at(dirs[i]), 0755) == 0 || errno == EEXIST);
    assert_int_equal(touch(at("ro/file")), 0);
    assert_int_equal(touch(at("rw/file")), 0);
    assert_int_equal(touch(at("out/file")), 0);
    (void)unlink(at("rw/new"));
    (void)unlink(at("rw/sub/file"));
    (void)unlink(at("out/new"));
}

/* Attempts: 0 or the errno. */
static int try_open(const char *name, int flags)
{
    int fd = open(at(name), flags | O_CLOEXEC, 0644);
    int error = errno;
    if (fd < 0)
        return error;
    (void)close(fd);
    return 0;
}
static int read_ro(void)
{
    return try_open("ro/file", O_RDONLY);
}
static int list_ro(void)
{
    return try_open("ro/sub", O_RDONLY | O_DIRECTORY);
}
static int write_ro(void)
{
    return try_open("ro/file", O_WRONLY);
}
static int create_ro(void)
{
    return try_open("ro/new", O_WRONLY | O_CREAT);
}
static int tmpfile_ro(void)
{
    return try_open("ro", O_TMPFILE | O_WRONLY);
}
static int unlink_ro(void)
{
    return unlink(at("ro/file")) == 0 ? 0 : errno;
}
static int truncate_ro(void)
{
    return truncate(at("ro/file"), 0) == 0 ? 0 : errno;
}
static int read_out(void)
{
    return try_open("out/file", O_RDONLY);
}
static int read_out_by_dots(void)
{
    return try_open("ro/../out/file", O_RDONLY);
}
static int truncate_out(void)
{
    return truncate(at("out/file"), 0) == 0 ? 0 : errno;
}
static int exec_out(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl(at("out/file"), "file", (char *)NULL);
        _exit(errno);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}
static int write_rw(void)
{
    return try_open("rw/new", O_WRONLY | O_CREAT | O_TRUNC);
}
static int move_within_rw(void)
{
    return rename(at("rw/file"), at("rw/sub/file")) == 0 ? 0 : errno;
}
static int link_out(void)
{
    return link(at("rw/file"), at("out/new")) == 0 ? 0 : errno;
}
static int device_file(void)
{
    return try_open("../../dev/null", O_RDWR);
}
static int device_ioctl(void)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    int bits = 0;
    if (fd < 0)
        return errno;
    int error = ioctl(fd, 0x80045200 /* RNDGETENTCNT */, &bits) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}
static int signal_parent(void)
{
    return kill(getppid(), 0) == 0 ? 0 : errno;
}
static int mount_anything(void)
{
    return osa_sys_mount("none", at("rw"), "tmpfs", 0, NULL) == 0 ? 0 : errno;
}
static int connect_abstract(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%s", base);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    int error = connect(fd, (struct sockaddr *)&name, size) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}
static int bind_tcp(void)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}
static int connect_tcp(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}
static int connect_listed(void)
{
    return connect_tcp(9); /* nothing listens */
}
static int connect_other(void)
{
    return connect_tcp(10);
}

/* @before: what happens with an ABI below @since; @after: from it on; @free: without rules. */
static const struct attempt {
    const char *name;
    int (*run)(void);
    uint32_t since;
    int before;
    int after;
    int free;
} attempts[] = {
    { "read a read-only file", read_ro, 1, 0, 0, 0 },
    { "list a read-only directory", list_ro, 1, 0, 0, 0 },
    { "write a read-only file", write_ro, 1, 0, EACCES, 0 },
    { "create beneath read-only", create_ro, 1, 0, EACCES, 0 },
    { "O_TMPFILE beneath read-only", tmpfile_ro, 1, 0, EACCES, 0 },
    { "unlink beneath read-only", unlink_ro, 1, 0, EACCES, 0 },
    { "truncate a read-only file", truncate_ro, 3, 0, EACCES, 0 },
    { "read outside", read_out, 1, 0, EACCES, 0 },
    { "read outside through ..", read_out_by_dots, 1, 0, EACCES, 0 },
    { "truncate outside", truncate_out, 3, 0, EACCES, 0 },
    { "execute outside", exec_out, 1, 0, EACCES, 0 },
    { "create beneath read-write", write_rw, 1, 0, 0, 0 },
    { "move between read-write directories", move_within_rw, 2, EXDEV, 0, 0 },
    { "link to outside", link_out, 1, 0, EACCES, 0 },
    { "open /dev/null", device_file, 1, 0, 0, 0 },
    { "ioctl on a read-only device", device_ioctl, 5, 0, EACCES, 0 },
    { "signal the parent", signal_parent, 6, 0, EPERM, 0 },
    { "connect to an abstract socket", connect_abstract, 6, 0, EPERM, 0 },
    { "bind a TCP port", bind_tcp, 4, 0, EACCES, 0 },
    { "connect to a listed TCP port", connect_listed, 4, ECONNREFUSED, ECONNREFUSED, ECONNREFUSED },
    { "connect to another TCP port", connect_other, 4, ECONNREFUSED, EACCES, ECONNREFUSED },
    { "mount", mount_anything, 1, 0, EPERM, -1 },
};

static struct landlock_report last_report;

static void compile(uint32_t abi, bool hard, const char *extra, struct osa_buf *out)
{
    static const uint16_t ports[] = { 9 };
    static char ro[64];
    static char rw[64];
    (void)snprintf(ro, sizeof(ro), "%s/ro", base);
    (void)snprintf(rw, sizeof(rw), "%s/rw", base);
    const struct policy_path paths[] = {
        { ro, false, false },    { rw, true, false },       { "/bin/true", false, false },
        { "/lib", false, true }, { "/lib64", false, true }, { extra, false, false },
    };
    const struct landlock_spec spec = { .abi = abi,
                                        .paths = paths,
                                        .path_count = OSA_ARRAY_LEN(paths) - (extra ? 0 : 1),
                                        .hard = hard,
                                        .tcp = LANDLOCK_TCP_CLOSED,
                                        .connect_ports = ports,
                                        .connect_port_count = 1 };
    struct osa_error err = { 0 };
    struct osa_buf degraded;
    osa_buf_init(&degraded, 512);
    osa_buf_init(out, LANDLOCK_PLAN_MAX_BYTES);
    if (landlock_compile(&spec, out, &degraded, &err) != OSA_OK)
        fail_msg("%s", err.text);
    osa_buf_done(&degraded);
}

/* Return: the attempt's errno under the rules of @abi, or without any for 0. */
static int run_under(uint32_t abi, int (*run)(void))
{
    struct osa_buf bytes = { 0 };
    if (abi > 0)
        compile(abi, /* hard= */ true, NULL, &bytes);
    make_tree();
    pid_t pid = fork();
    if (pid == 0) {
        int fd = -1;
        const struct landlock_plan *plan = landlock_plan_check(bytes.data, bytes.len);
        if (abi > 0 &&
            (plan == NULL || landlock_prepare(plan, &fd, &last_report) != 0 ||
             prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || landlock_enforce(plan, fd) != 0))
            _exit(255);
        _exit(run());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    osa_buf_done(&bytes);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 255);
    return WEXITSTATUS(status);
}

static void test_effect(void **state)
{
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(attempts); i++) {
        const struct attempt *a = &attempts[i];
        if (a->free >= 0) {
            int seen = run_under(0, a->run);
            if (seen != a->free)
                fail_msg("control: %s: errno %d, expected %d", a->name, seen, a->free);
        }
        for (uint32_t abi = 1; abi <= kernel_abi; abi++) {
            int want = abi < a->since ? a->before : a->after;
            int seen = run_under(abi, a->run);
            if (seen != want)
                fail_msg("ABI %u: %s: errno %d, expected %d", abi, a->name, seen, want);
        }
    }
}

static void test_missing_path(void **state)
{
    (void)state;
    struct osa_buf bytes;
    struct landlock_report report;
    int fd = -1;
    compile(kernel_abi, /* hard= */ false, "/no/such/path", &bytes);
    const struct landlock_plan *plan = landlock_plan_check(bytes.data, bytes.len);
    assert_int_equal(landlock_prepare(plan, &fd, &report), 0);
    assert_int_equal(report.skipped, 1);
    assert_in_range(report.applied, 4, 20);
    (void)close(fd);
    osa_buf_done(&bytes);

    compile(kernel_abi, /* hard= */ true, "/no/such/path", &bytes);
    plan = landlock_plan_check(bytes.data, bytes.len);
    int failed = landlock_prepare(plan, &fd, &report);
    assert_int_equal(failed, -ENOENT);
    struct osa_error err;
    assert_int_equal(landlock_failure(plan, &report, -failed, &err), OSA_FAILED_PRECONDITION);
    assert_string_equal(err.text, "path '/no/such/path' of the policy cannot be opened, and it is "
                                  "a hard_requirement; remove it or create it: No such file or "
                                  "directory");
    assert_string_equal(err.stage, "landlock");
    osa_buf_done(&bytes);
}

/* A magic link in /proc would give a rule for a tree that the policy does not name. */
static void test_magic_link(void **state)
{
    (void)state;
    struct osa_buf bytes;
    struct landlock_report report;
    int fd = -1;
    compile(kernel_abi, /* hard= */ true, "/proc/self/root/etc", &bytes);
    assert_int_equal(landlock_prepare(landlock_plan_check(bytes.data, bytes.len), &fd, &report),
                     -ELOOP);
    osa_buf_done(&bytes);
}

static int abstract_listener(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%s", base);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    return bind(fd, (struct sockaddr *)&name, size) == 0 && listen(fd, 64) == 0 ? fd : -1;
}

int main(void)
{
    int abi = osa_sys_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi <= 0) {
        printf("skipped: this kernel has no Landlock\n");
        return 77;
    }
    kernel_abi = OSA_MIN((uint32_t)abi, LANDLOCK_NEWEST_ABI);
    if (mkdtemp(base) == NULL || abstract_listener() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_effect),
        cmocka_unit_test(test_missing_path),
        cmocka_unit_test(test_magic_link),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    const char *const argv[] = { "rm", "-rf", base, NULL };
    pid_t pid = fork();
    if (pid == 0) {
        execv("/bin/rm", (char *const *)argv);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    return failed;
}
