// SPDX-License-Identifier: Apache-2.0
#include "launcher/children.h"

#include "base/fd.h"
#include "launcher/listeners.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A socket that does not take a report is one whose agent has gone: its end of file follows. */
static void send_or_ignore(int sock, struct launcher_message *head, const void *body, size_t length,
                           const int *fds, unsigned fd_count)
{
    (void)wire_send(sock, head, body, length, fds, fd_count, 0);
}

void report_failed(int sock, uint64_t key, const struct start_report *report)
{
    struct launcher_message head = { .type = LAUNCHER_FAILED,
                                     .key = key,
                                     .stage = report->stage,
                                     .code = report->code,
                                     .sys_errno = report->sys_errno };
    send_or_ignore(sock, &head, report->detail, strlen(report->detail) + 1, NULL, 0);
}

void report_started(int sock, uint64_t key, struct started *started, int keeper_pidfd)
{
    struct launcher_message head = { .type = LAUNCHER_SPAWNED, .key = key };
    struct launcher_spawned body = { .has_keeper = keeper_pidfd >= 0,
                                     .has_terminal = started->terminal >= 0,
                                     .pid = started->pid };
    int fds[3];
    unsigned count = 0;
    fds[count++] = started->pidfd;
    if (keeper_pidfd >= 0)
        fds[count++] = keeper_pidfd;
    if (started->terminal >= 0)
        fds[count++] = started->terminal;
    send_or_ignore(sock, &head, &body, sizeof(body), fds, count);
    osa_close_fd(&started->pidfd);
    osa_close_fd(&started->terminal);
}

/* Signals are blocked here as they are in init. */
static int watch_children(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Return: false when the last child has been reaped. */
static bool reap_tree(int sock, uint64_t key, pid_t main_pid, const struct listeners *listeners)
{
    int status;
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        if (pid != main_pid)
            continue;
        listeners_exiting(listeners, sock, key);
        report_exited(sock, key, status, &usage);
    }
    return pid == 0;
}

static void watch_tree(int sock, uint64_t key, pid_t main_pid, int signals,
                       struct listeners *listeners)
{
    struct pollfd fds[2] = { { .fd = signals, .events = POLLIN },
                             { .fd = listeners->fd, .events = POLLIN } };
    do {
        struct signalfd_siginfo info;
        int timeout = listeners_timeout_ms(listeners);
        (void)poll(fds, timeout < 0 ? 2 : 1, timeout);
        while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        }
        listeners_serve(listeners, sock);
    } while (reap_tree(sock, key, main_pid, listeners));
}

static int64_t to_ns(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

bool has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

void report_exited(int sock, uint64_t key, int status, const struct rusage *usage)
{
    const uint64_t block = 512; /* getrusage(2): ru_inblock and ru_oublock count these */
    struct launcher_message head = { .type = LAUNCHER_EXITED, .key = key };
    struct launcher_exited body = {
        .status = status,
        .last = !has_children(),
        .user_ns = to_ns(usage->ru_utime),
        .system_ns = to_ns(usage->ru_stime),
        .peak_memory_bytes = (uint64_t)usage->ru_maxrss * 1024,
        .read_bytes = (uint64_t)usage->ru_inblock * block,
        .write_bytes = (uint64_t)usage->ru_oublock * block,
        .voluntary_switches = (uint64_t)usage->ru_nvcsw,
        .involuntary_switches = (uint64_t)usage->ru_nivcsw,
        .minor_faults = (uint64_t)usage->ru_minflt,
        .major_faults = (uint64_t)usage->ru_majflt,
    };
    send_or_ignore(sock, &head, &body, sizeof(body), NULL, 0);
}

void keeper_run(int sock, uint64_t key, const struct sandbox_plan *sandbox,
                const struct identity *identity, const struct launch_plan *plan,
                struct wire_packet *packet, pid_t parent)
{
    struct started started;
    struct start_report report = { .stage = LAUNCH_STAGE_FORK };
    OSA_AUTO(osa_close_fd) int self = -1;
    OSA_AUTO(osa_close_fd) int signals = -1;
    OSA_AUTO(listeners_forget) struct listeners listeners = { .fd = -1 };
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        _exit(1);
    self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    signals = watch_children();
    if (self < 0 || signals < 0 || !listeners_open(&listeners) ||
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        report.sys_errno = errno;
        report_failed(sock, key, &report);
        _exit(0);
    }
    if (process_start(sandbox, identity, plan, packet, &started, &report) < 0) {
        report_failed(sock, key, &report);
        _exit(0);
    }
    wire_packet_done(packet);
    listeners_add(&listeners, started.listener, key);
    report_started(sock, key, &started, self);
    osa_replace_fd(&self, -1);
    watch_tree(sock, key, started.pid, signals, &listeners);
    _exit(0);
}
