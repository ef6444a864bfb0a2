// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/child.h"
#include "base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/osa-child-XXXXXX";
static char run_file[PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(run_file, sizeof(run_file), "%s/run", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(run_file);
    return rmdir(folder);
}

static pid_t start(const char *const *argv, int log_fd)
{
    const char *const envp[] = { "PATH=/usr/bin:/bin", "MARK=seen", NULL };
    const struct osa_child_spec spec = { argv[0], argv, envp, log_fd };
    struct osa_error err = { 0 };
    pid_t pid = 0;
    assert_int_equal(osa_child_start(&spec, &pid, &err), OSA_OK);
    return pid;
}

static void wait_for(int fd)
{
    struct pollfd end = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&end, 1, 60000), 1);
}

static void test_session_output_and_status(void **state)
{
    (void)state;
    const char *const argv[] = { "/bin/sh", "-c", "read x; echo $MARK $x; ps -o sid= -p $$; exit 7",
                                 NULL };
    struct osa_child_mark mark;
    char out[64] = "";
    char expected[64];
    int pipes[2];
    assert_int_equal(osa_pipe(pipes, NULL), OSA_OK);
    pid_t pid = start(argv, pipes[1]);
    (void)close(pipes[1]);
    assert_true(osa_child_mark_of(pid, &mark));
    int fd = osa_child_open(&mark);
    assert_true(fd >= 0);
    wait_for(fd);
    assert_false(osa_child_alive(&mark)); /* a zombie does not live */
    int status = osa_child_reap(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(osa_child_reap(pid), -1);
    assert_int_equal(osa_child_open(&mark), -1);
    (void)snprintf(expected, sizeof(expected), "seen\n%d\n", (int)pid);
    assert_true(osa_read_full(pipes[0], out, sizeof(out) - 1) > 0);
    char *blank;
    while ((blank = strchr(out, ' ')) != NULL)
        memmove(blank, blank + 1, strlen(blank));
    assert_string_equal(out, expected);
    (void)close(fd);
    (void)close(pipes[0]);
}

static void test_signals(void **state)
{
    (void)state;
    /* Our dispositions must not be the child's: an ignored TERM would be. */
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    const struct sigaction plain = { .sa_handler = SIG_DFL };
    const char *const argv[] = { "/bin/sleep", "60", NULL };
    struct osa_child_mark mark;
    (void)sigaction(SIGTERM, &ignore, NULL);
    pid_t pid = start(argv, STDERR_FILENO);
    (void)sigaction(SIGTERM, &plain, NULL);
    assert_true(osa_child_mark_of(pid, &mark));
    assert_true(osa_child_alive(&mark));
    int fd = osa_child_open(&mark);
    osa_child_signal(fd, SIGTERM);
    wait_for(fd);
    int status = osa_child_reap(pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    osa_child_signal(fd, SIGTERM); /* gone is fine */
    (void)close(fd);
}

static void test_another_process_with_the_number(void **state)
{
    (void)state;
    struct osa_child_mark mark;
    assert_true(osa_child_mark_of(getpid(), &mark));
    assert_true(osa_child_alive(&mark));
    mark.start++;
    assert_false(osa_child_alive(&mark));
    assert_int_equal(osa_child_open(&mark), -1);
    mark.pid = 0;
    assert_false(osa_child_alive(&mark));
    assert_int_equal(osa_child_open(&mark), -1);
}

static void test_program_that_is_missing(void **state)
{
    (void)state;
    const char *const argv[] = { "/nowhere/agent", NULL };
    const struct osa_child_spec missing = { argv[0], argv, argv + 1, STDERR_FILENO };
    const char *const text[] = { "/etc/passwd", NULL };
    const struct osa_child_spec no_program = { text[0], text, text + 1, STDERR_FILENO };
    struct osa_error err = { 0 };
    pid_t pid;
    assert_int_equal(osa_child_start(&missing, &pid, &err), OSA_NOT_FOUND);
    assert_string_equal(err.text, "program '/nowhere/agent': No such file or directory");
    assert_int_equal(osa_child_start(&no_program, &pid, &err), OSA_FAILED_PRECONDITION);
    assert_string_equal(err.text, "program '/etc/passwd': Permission denied");
}

static void test_run_file(void **state)
{
    (void)state;
    struct osa_child_mark self;
    struct osa_run_report report;
    struct osa_child_mark helper = { 4000000, 77 };
    struct osa_error err = { 0 };
    int fd = -1;
    int second = -1;
    assert_false(osa_run_file_read(run_file, &report));
    assert_int_equal(report.self.pid, 0);
    assert_int_equal(report.status, -1);
    assert_int_equal(osa_run_file_take(run_file, &fd, &err), OSA_OK);
    assert_true(osa_run_file_read(run_file, &report));
    assert_int_equal(report.helper.pid, 0);
    assert_int_equal(osa_run_file_helper(fd, &helper, &err), OSA_OK);
    assert_true(osa_child_mark_of(getpid(), &self));
    assert_true(osa_run_file_read(run_file, &report));
    assert_int_equal(report.self.pid, getpid());
    assert_int_equal(report.self.start, self.start);
    assert_int_equal(report.helper.pid, 4000000);
    assert_int_equal(report.helper.start, 77);
    assert_int_equal(osa_run_file_take(run_file, &second, &err), OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "is locked: another process runs already"));
    (void)close(fd);
    assert_false(osa_run_file_read(run_file, &report));
    assert_int_equal(report.helper.pid, 4000000); /* still to be waited for */
    assert_int_equal(osa_run_file_take(run_file, &fd, &err), OSA_OK);
    assert_true(osa_run_file_read(run_file, &report));
    assert_int_equal(report.helper.pid, 0);
    (void)close(fd);
}

static void test_run_file_tells_the_end(void **state)
{
    (void)state;
    struct osa_run_report report;
    struct osa_child_mark helper = { 4000000, 77 };
    struct osa_error err = { 0 };
    int fd = -1;
    assert_int_equal(osa_run_file_take(run_file, &fd, &err), OSA_OK);
    assert_int_equal(osa_run_file_helper(fd, &helper, &err), OSA_OK);
    assert_int_equal(osa_run_file_ended(fd, 143, &err), OSA_OK);
    osa_run_file_forget(run_file); /* somebody holds it */
    assert_true(osa_run_file_read(run_file, &report));
    assert_int_equal(report.status, 143);
    (void)close(fd);
    assert_false(osa_run_file_read(run_file, &report));
    assert_int_equal(report.status, 143);
    assert_int_equal(report.helper.pid, 4000000);
    osa_run_file_forget(run_file);
    assert_false(osa_run_file_read(run_file, &report));
    assert_int_equal(report.status, -1);
    assert_int_equal(report.self.pid, 0);
    assert_int_equal(osa_run_file_take(run_file, &fd, &err), OSA_OK);
    assert_int_equal(osa_run_file_ended(fd, 0, &err), OSA_OK);
    (void)close(fd);
    assert_int_equal(osa_run_file_take(run_file, &fd, &err), OSA_OK);
    assert_true(osa_run_file_read(run_file, &report));
    assert_int_equal(report.status, -1); /* the next one's end is its own */
    (void)close(fd);
}

static void test_run_file_of_nonsense(void **state)
{
    (void)state;
    static const char *const texts[] = { "",
                                         "self",
                                         "self x 1\n",
                                         "self -4 1\nhelper 1",
                                         "self 12",
                                         "helper 1 1\nself 1 1\n",
                                         "ended 1\n",
                                         "self\nhelper\nended -1\n",
                                         "self\nhelper\nended 256\n",
                                         "self\nhelper\nended 7" };
    struct osa_run_report report;
    for (size_t i = 0; i < OSA_ARRAY_LEN(texts); i++) {
        int fd = open(run_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(osa_write_all(fd, texts[i], strlen(texts[i])), 0);
        (void)close(fd);
        assert_false(osa_run_file_read(run_file, &report));
        assert_int_equal(report.self.pid, 0);
        assert_int_equal(report.helper.pid, 0);
        assert_int_equal(report.status, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_output_and_status),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_another_process_with_the_number),
        cmocka_unit_test(test_program_that_is_missing),
        cmocka_unit_test(test_run_file),
        cmocka_unit_test(test_run_file_tells_the_end),
        cmocka_unit_test(test_run_file_of_nonsense),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
