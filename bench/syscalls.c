// SPDX-License-Identifier: Apache-2.0
/*
 * What confinement costs a system call: loops of getppid, read, open and stat under no filter, a
 * filter that allows all, and the default one; and open under Landlock by path depth and number of
 * rules. Prints the best of several rounds in nanoseconds, all in one run. Needs no privileges.
 */
#include "backends/process/landlock_plan.h"
#include "backends/process/seccomp_compile.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, CALLS = 50000 };

static int zero_fd;
static const char *open_path = "/etc/passwd";

static void call_getppid(void)
{
    (void)syscall(SYS_getppid);
}

static void call_read(void)
{
    char byte;
    (void)!read(zero_fd, &byte, 1);
}

static void call_open(void)
{
    (void)close(open(open_path, O_RDONLY | O_CLOEXEC));
}

static void call_stat(void)
{
    struct stat st;
    (void)stat(open_path, &st);
}

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double best_of(void (*call)(void))
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < CALLS; i++)
            call();
        double each = (now_ns() - start) / CALLS;
        if (round == 0 || each < best)
            best = each;
    }
    return best;
}

static void load(const struct osa_buf *filter)
{
    const struct sock_fprog program = {
        .len = (unsigned short)(filter->len / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(void *)filter->data,
    };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &program) != 0) {
        perror("seccomp");
        _exit(1);
    }
}

static void wait_for(pid_t child)
{
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        exit(1);
}

static void measure_filter(const char *name, const struct osa_buf *filter)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (filter != NULL)
            load(filter);
        printf("seccomp %-10s getppid %6.1f  read %6.1f  open+close %7.1f  stat %6.1f\n", name,
               best_of(call_getppid), best_of(call_read), best_of(call_open), best_of(call_stat));
        (void)fflush(stdout);
        _exit(0);
    }
    wait_for(pid);
}

/* A rule for "/" and @rules - 1 others, at most as many as are listed. */
static void confine(size_t rules)
{
    static const char *const others[] = {
        "/usr",     "/usr/lib", "/usr/bin", "/usr/share", "/var",
        "/var/lib", "/dev",     "/proc",    "/sys",       "/etc"
    };
    struct policy_path *paths = calloc(rules, sizeof(*paths));
    struct osa_buf plan;
    struct osa_buf degraded;
    struct landlock_report report;
    struct osa_error err;
    int fd = -1;
    osa_buf_init(&plan, LANDLOCK_PLAN_MAX_BYTES);
    osa_buf_init(&degraded, 512);
    for (size_t i = 0; paths != NULL && i < rules; i++)
        paths[i].path = i == 0 ? "/" : others[(i - 1) % OSA_ARRAY_LEN(others)];
    const struct landlock_spec spec = { .abi = 1, .paths = paths, .path_count = rules };
    if (paths == NULL || landlock_compile(&spec, &plan, &degraded, &err) != OSA_OK ||
        landlock_prepare((struct landlock_plan *)(void *)plan.data, &fd, &report) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        landlock_enforce((struct landlock_plan *)(void *)plan.data, fd) != 0) {
        fprintf(stderr, "Landlock cannot be applied\n");
        _exit(1);
    }
}

static void measure_landlock(const char *path, size_t rules)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (rules > 0)
            confine(rules);
        open_path = path;
        printf("landlock rules %2zu  open+close %7.1f  %s\n", rules, best_of(call_open), path);
        (void)fflush(stdout);
        _exit(0);
    }
    wait_for(pid);
}

int main(void)
{
    const struct seccomp_spec spec = { SECCOMP_PROFILE_DEFAULT, /* inet= */ true,
                                       /* notify= */ false };
    const struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct osa_buf filter;
    struct osa_buf allow_all;
    struct osa_error err;
    zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    osa_buf_init(&filter, 1 << 20);
    osa_buf_init(&allow_all, 64);
    double start = now_ns();
    if (seccomp_compile(&spec, &filter, &err) != OSA_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("seccomp compile %.2f ms, %zu instructions\n", (now_ns() - start) / 1e6,
           filter.len / sizeof(struct sock_filter));
    (void)osa_buf_add(&allow_all, &pass, sizeof(pass));
    measure_filter("none", NULL);
    measure_filter("allow-all", &allow_all);
    measure_filter("default", &filter);
    static const char *const paths[] = { "/etc/passwd",
                                         "/sys/kernel/mm/transparent_hugepage/enabled",
                                         "/usr/share/zoneinfo/Etc/../Etc/../Etc/../Etc/UTC" };
    static const size_t rules[] = { 0, 1, 4, 10 };
    for (size_t i = 0; i < OSA_ARRAY_LEN(paths); i++)
        for (size_t k = 0; k < OSA_ARRAY_LEN(rules); k++)
            measure_landlock(paths[i], rules[k]);
    return 0;
}
