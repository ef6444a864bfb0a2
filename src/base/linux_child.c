// SPDX-License-Identifier: Apache-2.0
#include "base/child.h"

#include "base/fd.h"
#include "base/linux_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define STAT_BYTES 4096
#define RUN_FILE_BYTES 256
#define STATE_FIELD 3 /* in /proc/PID/stat, proc(5) */
#define START_FIELD 22

/* ---- start ---- */

static int prepare(const struct osa_child_spec *spec, posix_spawn_file_actions_t *actions,
                   posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, spec->log_fd, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, spec->log_fd, STDERR_FILENO);
    /* Whoever started us may have left descriptors without the flag that closes them. */
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attributes, &none);
    return rc != 0 ? rc : posix_spawnattr_setsigdefault(attributes, &all);
}

enum osa_code osa_child_start(const struct osa_child_spec *spec, pid_t *ret_pid,
                              struct osa_error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return osa_fail_errno(err, rc, "%s", spec->path);
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = prepare(spec, &actions, &attributes);
        if (rc == 0)
            rc = posix_spawn(ret_pid, spec->path, &actions, &attributes,
                             (char *const *)(uintptr_t)spec->argv,
                             (char *const *)(uintptr_t)spec->envp);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc == ENOENT)
        return osa_fail(err, OSA_NOT_FOUND, rc, "program '%s'", spec->path);
    if (rc == EACCES || rc == ENOEXEC)
        return osa_fail(err, OSA_FAILED_PRECONDITION, rc, "program '%s'", spec->path);
    if (rc != 0)
        return osa_fail_errno(err, rc, "program '%s' cannot be started", spec->path);
    return OSA_OK;
}

/* ---- marks ---- */

/* The program's name, in parentheses, may hold anything; the fields after it are counted from there. */
static bool read_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[64];
    OSA_AUTO(osa_free) char *text = NULL;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (osa_read_file(AT_FDCWD, path, STAT_BYTES, &text, NULL, NULL) != OSA_OK)
        return false;
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ')
        return false;
    at += 2;
    *ret_state = *at;
    for (int field = STATE_FIELD; field < START_FIELD; field++) {
        at = strchr(at, ' ');
        if (at == NULL)
            return false;
        at++;
    }
    *ret_start = strtoull(at, NULL, 10);
    return true;
}

bool osa_child_mark_of(pid_t pid, struct osa_child_mark *ret_mark)
{
    char state;
    ret_mark->pid = pid;
    return pid > 0 && read_stat(pid, &state, &ret_mark->start);
}

bool osa_child_alive(const struct osa_child_mark *mark)
{
    char state;
    uint64_t start;
    return mark->pid > 0 && read_stat(mark->pid, &state, &start) && start == mark->start &&
           state != 'Z' && state != 'X';
}

int osa_child_open(const struct osa_child_mark *mark)
{
    struct osa_child_mark now;
    if (mark->pid <= 0)
        return -1;
    OSA_AUTO(osa_close_fd) int fd = osa_sys_pidfd_open(mark->pid, 0);
    /* Looked at after the descriptor is there: from now on the number cannot change hands unseen. */
    if (fd < 0 || !osa_child_mark_of(mark->pid, &now) || now.start != mark->start)
        return -1;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return osa_take_fd(&fd);
}

void osa_child_signal(int fd, int signo)
{
    (void)osa_sys_pidfd_send_signal(fd, signo, NULL, 0);
}

int osa_child_reap(pid_t pid)
{
    int status;
    pid_t got;
    do
        got = waitpid(pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    return got == pid ? status : -1;
}

/* ---- run files ---- */

static enum osa_code write_marks(int fd, const struct osa_child_mark *helper, struct osa_error *err)
{
    char text[RUN_FILE_BYTES];
    struct osa_child_mark self;
    if (!osa_child_mark_of(getpid(), &self))
        return osa_fail(err, OSA_INTERNAL, 0, "/proc does not show this process");
    int len = snprintf(text, sizeof(text), "self %d %" PRIu64 "\nhelper %d %" PRIu64 "\n",
                       (int)self.pid, self.start, (int)helper->pid, helper->start);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len)
        return osa_fail_errno(err, errno, "run file cannot be written");
    return OSA_OK;
}

enum osa_code osa_run_file_take(const char *path, int *ret_fd, struct osa_error *err)
{
    static const struct osa_child_mark none;
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return osa_fail_errno(err, errno, "run file '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return osa_fail(err, errno == EWOULDBLOCK ? OSA_FAILED_PRECONDITION : OSA_INTERNAL, 0,
                        "run file '%s' is locked: another process runs already", path);
    enum osa_code code = write_marks(fd, &none, err);
    if (code == OSA_OK)
        *ret_fd = osa_take_fd(&fd);
    return code;
}

enum osa_code osa_run_file_helper(int fd, const struct osa_child_mark *helper,
                                  struct osa_error *err)
{
    return write_marks(fd, helper, err);
}

enum osa_code osa_run_file_ended(int fd, int status, struct osa_error *err)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "ended %d\n", status);
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0 || pwrite(fd, text, (size_t)len, end) != len)
        return osa_fail_errno(err, errno, "run file cannot be written");
    return OSA_OK;
}

/* "NAME PID START" at the beginning of @line. */
static struct osa_child_mark parse_mark(const char *line, const char *name)
{
    size_t len = strlen(name);
    if (line == NULL || strncmp(line, name, len) != 0)
        return (struct osa_child_mark){ 0 };
    char *end;
    long pid = strtol(line + len, &end, 10);
    uint64_t start = strtoull(end, NULL, 10);
    if (pid <= 0 || pid > INT32_MAX || *end != ' ')
        return (struct osa_child_mark){ 0 };
    return (struct osa_child_mark){ (pid_t)pid, start };
}

/* "ended STATUS", the third line. */
static int parse_status(const char *line)
{
    static const char name[] = "ended ";
    if (line == NULL || strncmp(line, name, sizeof(name) - 1) != 0)
        return -1;
    char *end;
    long status = strtol(line + sizeof(name) - 1, &end, 10);
    return *end == '\n' && status >= 0 && status <= 255 ? (int)status : -1;
}

static const char *next_line(const char *line)
{
    const char *end = line != NULL ? strchr(line, '\n') : NULL;
    return end != NULL ? end + 1 : NULL;
}

bool osa_run_file_read(const char *path, struct osa_run_report *ret_report)
{
    OSA_AUTO(osa_free) char *text = NULL;
    *ret_report = (struct osa_run_report){ .status = -1 };
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || osa_read_file(AT_FDCWD, path, RUN_FILE_BYTES, &text, NULL, NULL) != OSA_OK)
        return false;
    const char *second = next_line(text);
    ret_report->self = parse_mark(text, "self ");
    ret_report->helper = parse_mark(second, "helper ");
    ret_report->status = parse_status(next_line(second));
    return flock(fd, LOCK_SH | LOCK_NB) < 0;
}

void osa_run_file_forget(const char *path)
{
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)ftruncate(fd, 0);
}
