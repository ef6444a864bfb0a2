// SPDX-License-Identifier: Apache-2.0
/*
 * Drops privileges in forked children, as real root and as an ordinary user, and reads from /proc
 * what the kernel thinks of them afterwards. A child reports by exit code; the parent asserts.
 */
#include "launcher/privileges.h"

#include "base/fd.h"
#include "launcher/identity.h"

#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit codes of children beside those of enum osa_code. */
enum { CHILD_WRONG = 100 };

static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Does /proc/self/status say "@key:\t@value"? Complains on standard error when not. */
static bool status_is(const char *key, const char *value)
{
    char text[8192] = "";
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t len = osa_read_full(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    char wanted[256];
    (void)snprintf(wanted, sizeof(wanted), "\n%s:\t%s\n", key, value);
    if (strstr(text, wanted) != NULL)
        return true;
    (void)fprintf(stderr, "no '%s: %s' in\n%s", key, value, text);
    return false;
}

static bool nothing_is_left(void)
{
    static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
    bool good = true;
    for (size_t i = 0; i < OSA_ARRAY_LEN(sets); i++)
        good = status_is(sets[i], "0000000000000000") && good;
    return status_is("NoNewPrivs", "1") && good;
}

static int become_1234(void)
{
    struct identity id = { .uid = 1234, .gid = 1235, .groups = { 1235, 44 }, .group_count = 2 };
    struct osa_error err;
    unsigned leftover = 99;
    enum osa_code code = privileges_drop(&id, 0, &leftover, &err);
    if (code != OSA_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return (int)code;
    }
    bool good = leftover == 0 && nothing_is_left() && status_is("Uid", "1234\t1234\t1234\t1234") &&
                status_is("Gid", "1235\t1235\t1235\t1235") && status_is("Groups", "44 1235 ");
    good = good && prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0xef;
    return good ? OSA_OK : CHILD_WRONG;
}

static void test_drop_from_root(void **state)
{
    (void)state;
    assert_int_equal(in_child(become_1234), OSA_OK);
}

/* What a container runtime may leave behind (CVE-2022-29162): inheritable and ambient sets. */
static int become_with_ambient(void)
{
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 10, 0, 0);
    gid_t stray[] = { 0, 4, 27 };
    if (setgroups(3, stray) < 0)
        return CHILD_WRONG;
    return become_1234();
}

static void test_drop_with_ambient_and_groups(void **state)
{
    (void)state;
    assert_int_equal(in_child(become_with_ambient), OSA_OK);
}

static int become_nobody_then_other(void)
{
    struct identity own = { .uid = 65534, .gid = 65534, .groups = { 65534 }, .group_count = 1 };
    struct identity other = { .uid = 1, .gid = 1, .groups = { 1 }, .group_count = 1 };
    struct osa_error err;
    if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
        setresuid(65534, 65534, 65534) < 0)
        return CHILD_WRONG;
    if (privileges_drop(&other, 0, NULL, &err) != OSA_FAILED_PRECONDITION ||
        strcmp(err.stage, "user") != 0 || err.sys_errno != EPERM)
        return CHILD_WRONG;
    if (privileges_drop(&other, PRIVILEGES_KEEP_IDS, NULL, &err) != OSA_FAILED_PRECONDITION ||
        strstr(err.text, "run the agent as root") == NULL)
        return CHILD_WRONG;
    other = own;
    other.groups[other.group_count++] = 44;
    if (privileges_drop(&other, PRIVILEGES_KEEP_IDS, NULL, &err) != OSA_FAILED_PRECONDITION ||
        strstr(err.text, "group 44 cannot be given") == NULL)
        return CHILD_WRONG;
    unsigned leftover = 0;
    if (privileges_drop(&own, PRIVILEGES_KEEP_IDS, &leftover, &err) != OSA_OK)
        return CHILD_WRONG;
    if (leftover != (PRIVILEGES_LEFT_BOUNDING | PRIVILEGES_LEFT_SECUREBITS))
        return CHILD_WRONG;
    bool good = status_is("CapEff", "0000000000000000") &&
                status_is("CapPrm", "0000000000000000") && status_is("NoNewPrivs", "1") &&
                status_is("Uid", "65534\t65534\t65534\t65534");
    return good ? OSA_OK : CHILD_WRONG;
}

static void test_ordinary_user(void **state)
{
    (void)state;
    assert_int_equal(in_child(become_nobody_then_other), OSA_OK);
}

static int keep_with_strange_groups(void)
{
    struct identity own = { .uid = 65534, .gid = 65534, .groups = { 65534 }, .group_count = 1 };
    gid_t docker = 999;
    unsigned leftover = 0;
    if (setgroups(1, &docker) < 0 || setresgid(65534, 65534, 65534) < 0 ||
        setresuid(65534, 65534, 65534) < 0)
        return CHILD_WRONG;
    if (privileges_drop(&own, PRIVILEGES_KEEP_IDS, &leftover, NULL) != OSA_OK)
        return CHILD_WRONG;
    return (leftover & PRIVILEGES_LEFT_GROUPS) != 0 ? OSA_OK : CHILD_WRONG;
}

static void test_groups_that_stay_are_told(void **state)
{
    (void)state;
    assert_int_equal(in_child(keep_with_strange_groups), OSA_OK);
}

/* An ordinary user's namespace: one id each, mapped by its parent; inside all five sets empty. */
static int in_user_namespace(void)
{
    struct identity own = { .uid = 65534, .gid = 65534, .groups = { 65534 }, .group_count = 1 };
    struct privileges_id_range range = { .inside = 65534, .outside = 65534, .count = 1 };
    struct privileges_id_maps maps = {
        .uids = &range, .uid_count = 1, .gids = &range, .gid_count = 1, .deny_setgroups = true
    };
    struct osa_error err = { 0 };
    if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
        setresuid(65534, 65534, 65534) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return CHILD_WRONG;
    if (unshare(CLONE_NEWUSER) < 0)
        return 77;
    struct privileges_id_maps foreign = maps;
    struct privileges_id_range other = { .inside = 0, .outside = 0, .count = 1 };
    foreign.uids = &other;
    if (privileges_write_id_maps(0, &foreign, &err) != OSA_FAILED_PRECONDITION ||
        strstr(err.text, "refuses the map that starts '0 0 1'") == NULL)
        return CHILD_WRONG;
    maps.uid_count = 0;
    if (privileges_write_id_maps(0, &maps, &err) != OSA_INVALID_ARGUMENT)
        return CHILD_WRONG;
    maps.uid_count = 1;
    if (privileges_write_id_maps(0, &maps, &err) != OSA_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return CHILD_WRONG;
    }
    unsigned leftover = 99;
    if (privileges_drop(&own, PRIVILEGES_KEEP_IDS, &leftover, &err) != OSA_OK || leftover != 0) {
        (void)fprintf(stderr, "%s, left %u\n", err.text, leftover);
        return CHILD_WRONG;
    }
    return nothing_is_left() ? OSA_OK : CHILD_WRONG;
}

static void test_user_namespace(void **state)
{
    (void)state;
    int code = in_child(in_user_namespace);
    if (code == 77)
        skip(); /* user namespaces are off here */
    assert_int_equal(code, OSA_OK);
}

static int limit_core(void)
{
    struct rlimit limit;
    char filter[32] = "";
    bool open_pipe = true;
    privileges_empty_core_dumps();
    if (privileges_disable_core_dumps(&open_pipe, NULL) != OSA_OK || open_pipe)
        return CHILD_WRONG;
    if (getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_cur != 1 || limit.rlim_max != 1)
        return CHILD_WRONG;
    int fd = open("/proc/self/coredump_filter", O_RDONLY | O_CLOEXEC);
    if (osa_read_full(fd, filter, sizeof(filter) - 1) < 0 || strcmp(filter, "00000000\n") != 0)
        return CHILD_WRONG;
    return OSA_OK;
}

static int limit_core_at_zero(void)
{
    struct rlimit limit = { 0 };
    bool open_pipe = false;
    if (setresuid(65534, 65534, 65534) < 0 || setrlimit(RLIMIT_CORE, &limit) < 0)
        return CHILD_WRONG;
    if (privileges_disable_core_dumps(&open_pipe, NULL) != OSA_OK)
        return CHILD_WRONG;
    return open_pipe ? OSA_OK : CHILD_WRONG;
}

static void test_core_dumps(void **state)
{
    (void)state;
    assert_int_equal(in_child(limit_core), OSA_OK);
    assert_int_equal(in_child(limit_core_at_zero), OSA_OK);
}

/* A crash leaves no file where core_pattern names one. */
static int crash_in_directory(void)
{
    char dir[] = "/tmp/osa-core-XXXXXX";
    if (mkdtemp(dir) == NULL || chdir(dir) < 0)
        return CHILD_WRONG;
    struct rlimit all = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
    (void)setrlimit(RLIMIT_CORE, &all);
    pid_t pid = fork();
    if (pid == 0) {
        if (privileges_disable_core_dumps(NULL, NULL) == OSA_OK)
            (void)raise(SIGQUIT);
        _exit(0);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    bool good = WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT && !WCOREDUMP(status);
    return rmdir(dir) == 0 && good ? OSA_OK : CHILD_WRONG; /* rmdir fails on a core file */
}

static void test_no_core_file(void **state)
{
    (void)state;
    assert_int_equal(in_child(crash_in_directory), OSA_OK);
}

static int limits(void)
{
    const struct privileges_rlimit good[] = { { RLIMIT_NOFILE, 64, 128 }, { RLIMIT_FSIZE, 0, 0 } };
    const struct privileges_rlimit raise[] = { { RLIMIT_NOFILE, 64, 4096 } };
    const struct privileges_rlimit odd[] = { { RLIMIT_NOFILE, 65, 64 } };
    const struct privileges_rlimit unknown[] = { { 99, 1, 1 } };
    struct osa_error err;
    struct rlimit seen;
    if (setresuid(65534, 65534, 65534) < 0)
        return CHILD_WRONG;
    if (privileges_set_rlimits(good, 2, &err) != OSA_OK || getrlimit(RLIMIT_NOFILE, &seen) < 0 ||
        seen.rlim_cur != 64 || seen.rlim_max != 128)
        return CHILD_WRONG;
    if (privileges_set_rlimits(raise, 1, &err) != OSA_FAILED_PRECONDITION ||
        err.sys_errno != EPERM || strcmp(err.field, "spec.rlimits") != 0)
        return CHILD_WRONG;
    if (privileges_set_rlimits(odd, 1, &err) != OSA_INVALID_ARGUMENT)
        return CHILD_WRONG;
    return privileges_set_rlimits(unknown, 1, &err) == OSA_INVALID_ARGUMENT ? OSA_OK : CHILD_WRONG;
}

static void test_rlimits(void **state)
{
    (void)state;
    assert_int_equal(in_child(limits), OSA_OK);
}

static void test_small_ones(void **state)
{
    (void)state;
    struct osa_error err;
    assert_int_equal(privileges_set_hostname("", &err), OSA_INVALID_ARGUMENT);
    char name[66];
    memset(name, 'a', 65);
    name[65] = '\0';
    assert_int_equal(privileges_set_hostname(name, &err), OSA_INVALID_ARGUMENT);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)puts("skipped: needs root, to drop it");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_from_root), cmocka_unit_test(test_drop_with_ambient_and_groups),
        cmocka_unit_test(test_ordinary_user),  cmocka_unit_test(test_groups_that_stay_are_told),
        cmocka_unit_test(test_user_namespace), cmocka_unit_test(test_core_dumps),
        cmocka_unit_test(test_no_core_file),   cmocka_unit_test(test_rlimits),
        cmocka_unit_test(test_small_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
