// SPDX-License-Identifier: Apache-2.0
/*
 * A kernel with one system call less, for each call that sandboxes are made of: the call answers
 * ENOSYS to the launcher and the agent's side alike. Then an agent that is root with one capability
 * less, as containers have it. Whatever is missing, there are two good answers: a refusal that says
 * something, or a sandbox in which all that its isolation claims is true. Where a capability is
 * missing the refusal has to come from the probe: what GetInfo claims can be had.
 *
 *   process_without LEVEL          tries each, in a process of its own, and prints the table
 *   process_without LEVEL NUMBER   runs without that call, or from CAPABILITY on, capability
 */
#include "process_fixture.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(name)                                                                                 \
    {                                                                                              \
#name, SYS_##name                                                                          \
    }
static const struct {
    const char *name;
    int number;
} calls[] = {
    { "nothing", -1 }, /* the control */
    CALL(capset),
    CALL(chdir),
    CALL(clone),
    CALL(close_range),
    CALL(epoll_create1),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fsopen),
    CALL(keyctl),
    CALL(landlock_add_rule),
    CALL(landlock_create_ruleset),
    CALL(landlock_restrict_self),
    CALL(memfd_create),
    CALL(mount),
    CALL(mount_setattr),
    CALL(move_mount),
    CALL(open_tree),
    CALL(openat2),
    CALL(pidfd_open),
    CALL(pidfd_send_signal),
    CALL(pivot_root),
    CALL(prlimit64),
    CALL(seccomp),
    CALL(setgroups),
    CALL(sethostname),
    CALL(setresgid),
    CALL(setresuid),
    CALL(setsid),
    CALL(signalfd4),
    CALL(umount2),
    CALL(unshare),
    CALL(waitid),
};

#define CAPABILITY 10000
static const struct {
    const char *name;
    int number;
} capabilities[] = {
    { "CAP_CHOWN", CAP_CHOWN },
    { "CAP_DAC_OVERRIDE", CAP_DAC_OVERRIDE },
    { "CAP_FOWNER", CAP_FOWNER },
    { "CAP_KILL", CAP_KILL },
    { "CAP_MKNOD", CAP_MKNOD },
    { "CAP_NET_ADMIN", CAP_NET_ADMIN },
    { "CAP_NET_BIND_SERVICE", CAP_NET_BIND_SERVICE },
    { "CAP_SETGID", CAP_SETGID },
    { "CAP_SETPCAP", CAP_SETPCAP },
    { "CAP_SETUID", CAP_SETUID },
    { "CAP_SYS_ADMIN", CAP_SYS_ADMIN },
    { "CAP_SYS_CHROOT", CAP_SYS_CHROOT },
    { "CAP_SYS_PTRACE", CAP_SYS_PTRACE },
    { "CAP_SYS_RESOURCE", CAP_SYS_RESOURCE },
};

static char secret[] = "/var/tmp/osa-without-XXXXXX";
static char program[4096];
static const char *level_name;

/* ---- without one call ---- */

static int take_away(int number)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = { .len = OSA_ARRAY_LEN(code),
                                       .filter = (struct sock_filter *)(uintptr_t)code };
    /* By prctl, so that seccomp(2) itself can be taken away; needs no_new_privs or CAP_SYS_ADMIN. */
    if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return number < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ? 0 : -errno;
}

/* From the bounding set as well, from which a program that root runs would get it again. */
static int take_capability_away(int cap)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
    const uint32_t bit = CAP_TO_MASK((unsigned)cap);
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 || syscall(SYS_capget, &head, words) < 0)
        return -errno;
    words[CAP_TO_INDEX(cap)].effective &= ~bit;
    words[CAP_TO_INDEX(cap)].permitted &= ~bit;
    words[CAP_TO_INDEX(cap)].inheritable &= ~bit;
    return syscall(SYS_capset, &head, words) == 0 ? 0 : -errno;
}

/* The last line of the output is the row's end. */
static void answer(bool good, const char *what, const char *text)
{
    char line[300];
    (void)snprintf(line, sizeof(line), "%s", text);
    for (char *at = line; (at = strchr(at, '\n')) != NULL;)
        *at = ' ';
    print_message("\n%s%s %s\n", good ? "" : "WRONG: ", what, line);
    (void)fflush(NULL);
    _exit(good ? 0 : 1);
}

static void refuse(const struct osa_error *err)
{
    answer(err->code != OSA_OK && err->text[0] != '\0', "refused:", err->text);
}

/* Does what the sandbox says of itself hold? Return: what does not; NULL. */
static const char *find_lie(const struct isolation *isolation, const char *seen)
{
    unsigned long pid = strtoul(seen, NULL, 10);
    /* Without CAP_SETPCAP the bounding set stays, and no_new_privs makes it moot. */
    bool all = isolation->level > ISOLATION_RESTRICTED ||
               (geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SETPCAP) == 1);
    if (strstr(seen, "NoNewPrivs:\t1") == NULL ||
        strstr(seen, "CapEff:\t0000000000000000") == NULL ||
        (all && strstr(seen, "CapBnd:\t0000000000000000") == NULL))
        return "privileges are left";
    bool told = strstr(isolation->degraded, "nothing holds the filesystem policy") != NULL;
    if (strstr(seen, "leaked") != NULL && !told)
        return "the policy does not hold";
    if (isolation->seccomp_profile != NULL && strstr(seen, "unshared") != NULL)
        return "the filter does not hold";
    if ((isolation->namespaces & NAMESPACE_PID) != 0 && (pid == 0 || pid > 20))
        return "there is no pid namespace";
    if ((isolation->namespaces & NAMESPACE_NET) != 0 && strstr(seen, "1 interfaces") == NULL)
        return "there is no network namespace";
    return strstr(seen, "end") == NULL ? "the script did not come to its end" : NULL;
}

static void run_in(struct box *box)
{
    struct seen seen;
    char script[512];
    char text[128];
    (void)snprintf(script, sizeof(script),
                   "echo $$; grep -E '^(NoNewPrivs|CapEff|CapBnd)' /proc/self/status; "
                   "echo $(grep -c : /proc/net/dev) interfaces; cat %s 2>/dev/null && echo leaked; "
                   "unshare --user true 2>/dev/null && echo unshared; echo end",
                   secret);
    struct process_spec spec = shell(script);
    launch(box, &seen, &spec);
    if (seen.process == NULL)
        refuse(&seen.error);
    finish(&seen);
    const struct isolation *isolation = &seen.isolation;
    const char *lie = find_lie(isolation, seen.out.data == NULL ? "" : seen.out.data);
    if (lie != NULL)
        answer(false, lie, seen.out.data == NULL ? "" : seen.out.data);
    (void)snprintf(text, sizeof(text), "level %d, Landlock ABI %u, seccomp %s%s%s",
                   (int)isolation->level, isolation->landlock_abi,
                   isolation->seccomp_profile == NULL ? "none" : isolation->seccomp_profile,
                   isolation->degraded[0] == '\0' ? "" : "; ", isolation->degraded);
    answer(true, "runs:", text);
}

static int run_without(int number)
{
    struct osa_error err = { 0 };
    struct box box;
    (void)alarm(100); /* a hang is a wrong answer */
    int failed =
        number >= CAPABILITY ? take_capability_away(number - CAPABILITY) : take_away(number);
    if (failed != 0)
        answer(false, "it cannot be taken away", strerror(-failed));
    if (fixture_try_open(&err) != OSA_OK)
        refuse(&err);
    const struct backend_info *info = fixture_backend()->ops->info(fixture_backend());
    if (!info->available)
        answer(info->reason[0] != '\0', "not available:", info->reason);
    struct sandbox_spec spec = box_spec();
    box_try(&box, &spec);
    if (box.sandbox == NULL)
        refuse(&box.error);
    run_in(&box);
    return 1;
}

/* ---- all of them ---- */

/* Runs this program once more. Return: its exit status; @ret_line: the last line of its output. */
static int run_self(int number, char *ret_line, size_t size)
{
    int fds[2];
    char text[16];
    static char output[16384];
    (void)snprintf(text, sizeof(text), "%d", number);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)dup2(fds[1], 2);
        (void)setenv("OSA_WITHOUT_SECRET", secret, 1);
        (void)execl(program, program, level_name, text, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    ssize_t len = osa_read_full(fds[0], output, sizeof(output) - 1);
    close(fds[0]);
    output[len > 0 ? len : 0] = '\0';
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    output[strlen(output) - (len > 0 && output[len - 1] == '\n')] = '\0';
    const char *last = strrchr(output, '\n');
    (void)snprintf(ret_line, size, "%s", last == NULL ? output : last + 1);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool starts_with(const char *line, const char *start)
{
    return strncmp(line, start, strlen(start)) == 0;
}

static void one_call_missing(void **state)
{
    (void)state;
    unsigned wrong = 0;
    print_message("one call missing, at level %s\n", level_name);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(calls); i++) {
        char line[400];
        int status = run_self(calls[i].number, line, sizeof(line));
        bool control = calls[i].number >= 0 || starts_with(line, "runs:");
        bool good = status == 0 && control;
        print_message("%-24s %.150s%s\n", calls[i].name, line, good ? "" : "  <-- WRONG");
        wrong += !good;
    }
    assert_int_equal(wrong, 0);
}

static void one_capability_missing(void **state)
{
    (void)state;
    unsigned wrong = 0;
    if (strcmp(level_name, "full") != 0)
        skip(); /* there are none to take away */
    print_message("one capability missing, at level %s\n", level_name);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(capabilities); i++) {
        char line[400];
        int status = run_self(CAPABILITY + capabilities[i].number, line, sizeof(line));
        bool good =
            status == 0 && (starts_with(line, "runs:") || starts_with(line, "not available:"));
        if (capabilities[i].number == CAP_NET_ADMIN)
            good = good && strstr(line, "runs: level 1") != NULL &&
                   strstr(line, "level full is out of reach: network: lo") != NULL;
        if (capabilities[i].number == CAP_KILL)
            good = good && strstr(line, "give the agent CAP_KILL") != NULL;
        if (capabilities[i].number == CAP_SETUID)
            good = good && strstr(line, "no process can be confined: user: setresuid") != NULL;
        print_message("%-24s %.150s%s\n", capabilities[i].name, line, good ? "" : "  <-- WRONG");
        wrong += !good;
    }
    assert_int_equal(wrong, 0);
}

static int make_secret(void **state)
{
    (void)state;
    int fd = mkstemp(secret);
    if (fd < 0 || write(fd, "secret\n", 7) != 7 || fchmod(fd, 0644) < 0)
        return -1;
    return close(fd);
}

static int remove_secret(void **state)
{
    (void)state;
    return unlink(secret);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_call_missing),
                                        cmocka_unit_test(one_capability_missing) };
    level_name = argc > 1 ? argv[1] : "restricted";
    if (!fixture_level(argc, argv))
        return 77;
    if (argc == 3) {
        (void)snprintf(secret, sizeof(secret), "%s", getenv("OSA_WITHOUT_SECRET"));
        return run_without((int)strtol(argv[2], NULL, 10));
    }
    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
        return 1;
    return cmocka_run_group_tests(tests, make_secret, remove_secret);
}
