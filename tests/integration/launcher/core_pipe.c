// SPDX-License-Identifier: Apache-2.0
/*
 * A piped core handler and what keeps it from being run. core_pattern belongs to the whole machine, so
 * this runs only where the machine is the test's own: in the guest of tests/vm, whose root is its
 * initramfs. The program is its own handler: "… handler PID" notes the pid.
 */
#include "launcher/privileges.h"

#include "base/clock.h"
#include "base/fd.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char notes[] = "/tmp/osa-core-handler";

/* The kernel gives the core on standard input. */
static int handle(const char *pid)
{
    char block[4096];
    int fd = open(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char line[32];
    int len = snprintf(line, sizeof(line), "%s\n", pid);
    while (read(0, block, sizeof(block)) > 0)
        ;
    return fd < 0 || osa_write_all(fd, line, (size_t)len) < 0;
}

/* Crashes a child; returns its pid. Its limit is 0, or what privileges_disable_core_dumps() sets. */
static pid_t crash(bool disabled)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, RLIM_INFINITY };
        if (disabled ? privileges_disable_core_dumps(NULL, NULL) == OSA_OK
                     : setrlimit(RLIMIT_CORE, &none) == 0)
            (void)raise(SIGQUIT);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGQUIT);
    return pid;
}

static bool is_noted(pid_t pid)
{
    char text[1024] = "\n";
    char wanted[32];
    int fd = open(notes, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : osa_read_full(fd, text + 1, sizeof(text) - 2);
    osa_close_fd(&fd);
    text[1 + (len > 0 ? len : 0)] = '\0';
    (void)snprintf(wanted, sizeof(wanted), "\n%d\n", (int)pid);
    return strstr(text, wanted) != NULL;
}

/* The kernel does not wait for a handler; there is no event to wait for but its note. */
static bool is_noted_soon(pid_t pid)
{
    int64_t deadline = osa_deadline_after(30 * OSA_NS_PER_SEC);
    const struct timespec pause_time = { .tv_nsec = 50000000 };
    while (!is_noted(pid) && osa_now_ns() < deadline)
        (void)nanosleep(&pause_time, NULL);
    return is_noted(pid);
}

static void test_handler_is_not_run(void **state)
{
    (void)state;
    char self[PATH_MAX] = "";
    char pattern[PATH_MAX + 32];
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    (void)snprintf(pattern, sizeof(pattern), "|%s handler %%P", self);
    assert_int_equal(osa_write_file(AT_FDCWD, "/proc/sys/kernel/core_pattern", pattern), 0);
    pid_t quiet = crash(/* disabled= */ true);
    pid_t loud = crash(/* disabled= */ false);
    assert_true(is_noted_soon(loud)); /* a limit of 0 does not stop it */
    assert_false(is_noted(quiet));    /* it crashed first */
    assert_int_equal(osa_write_file(AT_FDCWD, "/proc/sys/kernel/core_pattern", "core"), 0);
}

int main(int argc, char **argv)
{
    struct statfs fs;
    if (argc == 3 && strcmp(argv[1], "handler") == 0)
        return handle(argv[2]);
    bool guest = geteuid() == 0 && statfs("/", &fs) == 0 &&
                 (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC);
    if (!guest) {
        (void)puts("skipped: changes the machine's core_pattern; runs in the guest of tests/vm");
        return 77;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_handler_is_not_run) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
