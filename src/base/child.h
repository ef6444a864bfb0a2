// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that outlive whoever started them, and the file by which they are found again.
 *
 * A program that must run at most once holds a lock on its *run file* for as long as it lives, and
 * has its marks in there. Whether it lives is what the kernel says about the lock, so a file that is
 * left over means nothing, and a pid that was given to another process is noticed.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct osa_child_mark - A process, told apart from later ones with its number
 * @pid:   0 when there is none
 * @start: when it started, in the kernel's ticks since boot
 */
struct osa_child_mark {
    pid_t pid;
    uint64_t start;
};

/**
 * struct osa_child_spec - What to start; all borrowed
 * @path: of the program
 * @log_fd: becomes standard output and error; standard input is /dev/null
 */
struct osa_child_spec {
    const char *path;
    const char *const *argv;
    const char *const *envp;
    int log_fd;
};

/**
 * osa_child_start() - Start a program in a session of its own, with no descriptor of ours
 * Signals are as after boot. Safe with threads: nothing of ours runs in the child.
 * Return: OSA_OK; NOT_FOUND, FAILED_PRECONDITION: it cannot be executed; RESOURCE_EXHAUSTED.
 * Source: posix_spawn(3)
 */
OSA_MUST_CHECK enum osa_code osa_child_start(const struct osa_child_spec *spec, pid_t *ret_pid,
                                             struct osa_error *err);

/** osa_child_mark_of() - The mark of a process that runs, or is a zombie. Return: false when it is gone */
bool osa_child_mark_of(pid_t pid, struct osa_child_mark *ret_mark);

/** osa_child_alive() - Does the marked process still run? A zombie does not */
bool osa_child_alive(const struct osa_child_mark *mark);

/**
 * osa_child_open() - A descriptor that becomes readable when the marked process ends
 * Return: the descriptor (pidfd), CLOEXEC; -1 when the process is gone already.
 */
int osa_child_open(const struct osa_child_mark *mark);

/** osa_child_signal() - Signal the process of such a descriptor; one that has ended is fine */
void osa_child_signal(int fd, int signo);

/**
 * osa_child_reap() - Take the status of a child of ours that has ended; never waits
 * Return: what waitpid(2) gives; -1 when it is no child of ours, as after our restart, or still runs.
 */
int osa_child_reap(pid_t pid);

/**
 * osa_run_file_take() - Become the one who runs: lock @path and put our mark there
 * @ret_fd: holds the lock until it is closed, which is at our death
 * Return: OSA_OK; FAILED_PRECONDITION when somebody else runs; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code osa_run_file_take(const char *path, int *ret_fd,
                                               struct osa_error *err);

/**
 * osa_run_file_helper() - Name a process that must be gone before we count as ended
 * @fd: from osa_run_file_take()
 */
OSA_MUST_CHECK enum osa_code osa_run_file_helper(int fd, const struct osa_child_mark *helper,
                                                 struct osa_error *err);

/**
 * osa_run_file_ended() - Say how what we ran has ended, for whoever was not there
 * @fd:     from osa_run_file_take()
 * @status: 0 to 255
 */
OSA_MUST_CHECK enum osa_code osa_run_file_ended(int fd, int status, struct osa_error *err);

/**
 * struct osa_run_report - What a run file says
 * @self, @helper: pid 0 when it names none
 * @status: from osa_run_file_ended(); -1 when nothing was said
 */
struct osa_run_report {
    struct osa_child_mark self;
    struct osa_child_mark helper;
    int status;
};

/**
 * osa_run_file_read() - Who runs?
 * Return: true when somebody holds the lock. False: nobody does, but the helper may still run.
 */
bool osa_run_file_read(const char *path, struct osa_run_report *ret_report);

/**
 * osa_run_file_forget() - What the last one said does not count any more
 * Nothing happens while somebody holds the lock. The file stays: without it, two could run.
 */
void osa_run_file_forget(const char *path);
