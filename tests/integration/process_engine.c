// SPDX-License-Identifier: Apache-2.0
/* Spawn, exit, signals, trees, terminals and stdin of the process backend, at whatever level this host gives. */
#include "process_fixture.h"

#include "backends/process/internal.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct backend_ops *ops(void)
{
    return fixture_backend()->ops;
}

/* Runs a script to its end in a box of its own. */
static void run(struct box *box, struct seen *seen, const char *script)
{
    struct process_spec spec = shell(script);
    launch(box, seen, &spec);
    finish(seen);
}

static void output_and_code_arrive(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    run(&box, &seen, "echo out; echo err >&2; exit 7");
    assert_int_equal(seen.exit.reason, EXIT_REASON_EXITED);
    assert_int_equal(seen.exit.code, 7);
    assert_int_equal(seen.exit.signal, 0);
    assert_string_equal(seen.out.data, "out\n");
    assert_string_equal(seen.err.data, "err\n");
    assert_int_equal(seen.ended, 2);
    assert_true(seen.exit.usage.wall_ns > 0);
    assert_true(seen.exit.usage.peak_memory_bytes > 100000);
    assert_true(seen.isolation.no_new_privs);
    seen_done(&seen);
    box_close(&box);
}

static void signal_death_is_told_apart(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    run(&box, &seen, "kill -SEGV $$");
    assert_int_equal(seen.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(seen.exit.signal, SIGSEGV);
    assert_false(seen.exit.core_dumped);
    seen_done(&seen);
    box_close(&box);
}

/* What a child inherits: descriptors, signal state, session, limits, environment. */
static void child_starts_clean(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    run(&box, &seen,
        "ls -m /proc/self/fd; grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status;"
        "ulimit -Hc; env | grep -v -E '^(_|PWD|OLDPWD|SHLVL)=' | sort;"
        "[ \"$(ps -o sid= -p $$ | tr -d ' ')\" = $$ ] && echo leader; umask;"
        "cat /proc/self/coredump_filter");
    assert_string_equal(seen.err.data == NULL ? "" : seen.err.data, "");
    assert_string_equal(seen.out.data, "0, 1, 2, 3\n" /* 3 is ls reading the directory */
                                       "SigBlk:\t0000000000000000\n"
                                       "SigIgn:\t0000000000000000\n"
                                       "NoNewPrivs:\t1\n"
                                       "0\n"
                                       "LANG=C\nPATH=/usr/bin:/bin\n"
                                       "leader\n"
                                       "0022\n"
                                       "00000000\n");
    seen_done(&seen);
    box_close(&box);
}

static void failed_start_names_stage_and_errno(void **state)
{
    (void)state;
    static const char plain_file[] = "/usr/lib/os-release";
    const struct {
        const char *program;
        const char *cwd;
        const char *stage;
        int sys_errno;
    } cases[] = {
        { "/does/not/exist", "/", "exec", ENOENT },
        { plain_file, "/", "exec", EACCES },
        { "no-such-program", "/", "exec", ENOENT },
        { "/bin/true", "/none", "cwd", ENOENT },
        { "/etc", "/", "exec", EACCES },
        { "/bin/true", plain_file, "cwd", ENOTDIR },
        { "", "/", "exec", ENOENT },
    };
    struct box box;
    box_open(&box);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct seen seen;
        struct process_spec spec = shell("");
        const char *argv[] = { cases[i].program, NULL };
        spec.argv = argv;
        spec.cwd = cases[i].cwd;
        launch(&box, &seen, &spec);
        assert_null(seen.process);
        if (seen.error.sys_errno != cases[i].sys_errno)
            fail_msg("case %u: %s", i, seen.error.text);
        assert_int_equal(seen.error.code, OSA_FAILED_PRECONDITION);
        assert_string_equal(seen.error.stage, cases[i].stage);
        assert_non_null(strstr(seen.error.text, cases[i].stage));
        seen_done(&seen);
    }
    struct seen after; /* and the sandbox is as good as before */
    run(&box, &after, "echo fine");
    assert_string_equal(after.out.data, "fine\n");
    seen_done(&after);
    box_close(&box);
}

static void program_is_looked_up_in_its_own_path(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    const char *argv[] = { "true", NULL };
    const char *const wrong[] = { "PATH=/nowhere", NULL };
    const char *const right[] = { "PATH=/nowhere:/usr/bin:/bin", NULL };
    const char *const none[] = { NULL };
    box_open(&box);
    struct process_spec spec = shell("");
    spec.argv = argv;
    spec.env = wrong;
    launch(&box, &seen, &spec);
    assert_null(seen.process);
    assert_int_equal(seen.error.sys_errno, ENOENT);
    seen_done(&seen);
    spec.env = right;
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_int_equal(seen.exit.code, 0);
    seen_done(&seen);
    spec.env = none;
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_int_equal(seen.exit.code, 0);
    seen_done(&seen);
    box_close(&box);
}

/* argv and env beyond what a packet takes travel in a memfd. */
static void large_arguments_arrive(void **state)
{
    (void)state;
    enum { BIG = 100000 };
    static char big[BIG + 1];
    memset(big, 'x', BIG);
    struct box box;
    struct seen seen;
    box_open(&box);
    struct process_spec spec = shell("");
    const char *argv[] = { "/bin/sh", "-c", "echo ${#1} $2", "sh", big, "end", NULL };
    spec.argv = argv;
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data, "100000 end\n");
    seen_done(&seen);
    box_close(&box);
}

static void stdin_flows_with_back_pressure(void **state)
{
    (void)state;
    enum { TOTAL = 1 << 20 };
    static char data[TOTAL];
    memset(data, 'd', sizeof(data));
    struct box box;
    struct seen seen;
    struct osa_error err;
    box_open(&box);
    struct process_spec spec = shell("sleep 0.1; wc -c");
    spec.stdin_open = true;
    launch(&box, &seen, &spec);
    size_t sent = 0;
    unsigned waits = 0;
    while (sent < TOTAL) {
        size_t taken;
        seen.stdin_ready = false;
        assert_int_equal(ops()->write_stdin(seen.process, data + sent, TOTAL - sent, &taken, &err),
                         OSA_OK);
        sent += taken;
        if (sent < TOTAL) {
            waits++;
            assert_true(until(&seen.stdin_ready));
        }
    }
    assert_true(waits > 0);
    assert_int_equal(ops()->close_stdin(seen.process, &err), OSA_OK);
    assert_int_equal(ops()->close_stdin(seen.process, &err), OSA_OK);
    finish(&seen);
    assert_string_equal(seen.out.data, "1048576\n");
    size_t taken;
    assert_int_equal(ops()->write_stdin(seen.process, "x", 1, &taken, &err),
                     OSA_FAILED_PRECONDITION);
    assert_string_equal(err.text, "stdin is closed");
    seen_done(&seen);
    box_close(&box);
}

static void stdin_without_reader_is_told(void **state)
{
    (void)state;
    static char data[1 << 20];
    struct box box;
    struct seen seen;
    struct osa_error err;
    size_t taken;
    box_open(&box);
    struct process_spec spec = shell("sleep 0.3; exec <&-; exec sleep 30");
    spec.stdin_open = true;
    launch(&box, &seen, &spec);
    assert_int_equal(ops()->write_stdin(seen.process, data, sizeof(data), &taken, &err), OSA_OK);
    assert_true(taken < sizeof(data));
    assert_true(until(&seen.stdin_ready));
    assert_int_equal(ops()->write_stdin(seen.process, data, sizeof(data), &taken, &err),
                     OSA_FAILED_PRECONDITION);
    kill_tree_and_wait(&seen);
    finish(&seen);
    seen_done(&seen);
    box_close(&box);
}

static void no_stdin_is_an_empty_one(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    struct osa_error err;
    size_t taken;
    box_open(&box);
    run(&box, &seen, "wc -c");
    assert_string_equal(seen.out.data, "0\n");
    assert_int_equal(ops()->write_stdin(seen.process, "x", 1, &taken, &err),
                     OSA_FAILED_PRECONDITION);
    seen_done(&seen);
    box_close(&box);
}

/* Until its standard output ends like that. */
static void await_output(const struct seen *seen, const char *end)
{
    const size_t len = strlen(end);
    for (unsigned tries = 0; tries < 3000; tries++) {
        if (seen->out.len >= len && memcmp(seen->out.data + seen->out.len - len, end, len) == 0)
            return;
        run_for_ms(20);
    }
    fail_msg("no '%s' after a minute", end);
}

static void terminal_has_size_and_control(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    struct osa_error err;
    size_t taken;
    box_open(&box);
    struct process_spec spec = shell(
        "stty size; tty >/dev/null && echo is-tty; read line; stty size; echo got $line; cat");
    spec.tty = true;
    spec.tty_size = (struct terminal_size){ .rows = 33, .columns = 111 };
    launch(&box, &seen, &spec);
    await_output(&seen, "is-tty\r\n");
    assert_int_equal(ops()->resize(seen.process, (struct terminal_size){ 44, 99 }, &err), OSA_OK);
    assert_int_equal(ops()->write_stdin(seen.process, "abc\n", 4, &taken, &err), OSA_OK);
    assert_int_equal(taken, 4);
    await_output(&seen, "got abc\r\n");
    assert_int_equal(ops()->close_stdin(seen.process, &err), OSA_OK); /* ends cat */
    finish(&seen);
    assert_int_equal(seen.exit.code, 0);
    assert_string_equal(seen.out.data, "33 111\r\nis-tty\r\nabc\r\n44 99\r\ngot abc\r\n");
    assert_int_equal(seen.ended, 1);
    assert_int_equal(ops()->resize(seen.process, (struct terminal_size){ 1, 1 }, &err),
                     OSA_NOT_FOUND);
    seen_done(&seen);
    box_close(&box);
}

static void signals_reach_process_group_and_tree(void **state)
{
    (void)state;
    static const struct {
        enum signal_scope scope;
        const char *expected;
    } cases[] = {
        { SIGNAL_PROCESS, "main\n" },
        { SIGNAL_GROUP, "group main\n" },
        { SIGNAL_TREE, "escaped group main\n" },
    };
    /* Three shells: the main one, one in its group, one in a session of its own. Each says on stderr
     * that it listens. */
    const char *script = "trap 'echo main; exit 0' USR1\n"
                         "sh -c 'trap \"echo group; exit\" USR1; echo >&2; "
                         "while :; do sleep 0.02; done' &\n"
                         "setsid sh -c 'trap \"echo escaped; exit\" USR1; echo >&2; "
                         "while :; do sleep 0.02; done' &\n"
                         "echo >&2; while :; do sleep 0.02; done";
    for (unsigned i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct box box;
        struct seen seen;
        struct osa_error err;
        box_open(&box);
        struct process_spec spec = shell(script);
        launch(&box, &seen, &spec);
        for (unsigned tries = 0; seen.err.len < 3 && tries < 3000; tries++)
            run_for_ms(20);
        assert_int_equal(ops()->signal(seen.process, SIGUSR1, cases[i].scope, &err), OSA_OK);
        assert_true(until(&seen.exited));
        for (unsigned tries = 0; seen.out.len < strlen(cases[i].expected) && tries < 3000; tries++)
            run_for_ms(20);
        run_for_ms(100); /* for those that should not have heard it */
        const char *words[] = { "escaped", "group", "main" };
        for (unsigned w = 0; w < 3; w++)
            assert_int_equal(strstr(seen.out.data, words[w]) != NULL,
                             strstr(cases[i].expected, words[w]) != NULL);
        assert_int_equal(ops()->signal(seen.process, SIGUSR1, SIGNAL_PROCESS, &err), OSA_NOT_FOUND);
        kill_tree_and_wait(&seen);
        seen_done(&seen);
        box_close(&box);
    }
}

static void signal_zero_probes_and_wrong_ones_are_refused(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    struct osa_error err;
    box_open(&box);
    struct process_spec spec = shell("exec sleep 30");
    launch(&box, &seen, &spec);
    assert_int_equal(ops()->signal(seen.process, 0, SIGNAL_PROCESS, &err), OSA_OK);
    assert_int_equal(ops()->signal(seen.process, 65, SIGNAL_PROCESS, &err), OSA_INVALID_ARGUMENT);
    assert_int_equal(ops()->signal(seen.process, -1, SIGNAL_PROCESS, &err), OSA_INVALID_ARGUMENT);
    assert_int_equal(ops()->signal(seen.process, 64, SIGNAL_PROCESS, &err), OSA_OK);
    finish(&seen);
    assert_int_equal(seen.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(seen.exit.signal, 64);
    seen_done(&seen);
    box_close(&box);
}

/* Two processes in a box: the second has a keeper. Killing one tree leaves the other alone. */
static void trees_are_killed_apart(void **state)
{
    (void)state;
    /* setsid, double fork, ignored TERM, a stopped member */
    char script[256];
    (void)snprintf(script, sizeof(script),
                   "setsid sleep %s & (setsid sh -c 'trap \"\" TERM; sleep %s & wait' &) ;"
                   "sh -c 'kill -STOP $$' & sleep 0.2; echo up; sleep %s",
                   nap(), nap(), nap());
    struct box box;
    struct seen first;
    struct seen second;
    struct osa_error err;
    box_open(&box);
    struct process_spec spec = shell(script);
    launch(&box, &first, &spec);
    spec.id = "p-second";
    launch(&box, &second, &spec);
    for (unsigned tries = 0; count_naps() < 6 && tries < 3000; tries++)
        run_for_ms(20);
    assert_int_equal(count_naps(), 6);
    kill_tree_and_wait(&second);
    assert_true(until(&second.exited));
    assert_int_equal(second.exit.signal, SIGKILL);
    assert_int_equal(count_naps(), 3);
    assert_false(first.exited);
    assert_int_equal(ops()->signal(first.process, 0, SIGNAL_PROCESS, &err), OSA_OK);
    kill_tree_and_wait(&first);
    assert_true(until(&first.exited));
    assert_int_equal(count_naps(), 0);
    kill_tree_and_wait(&first); /* again: nothing to do */
    seen_done(&first);
    seen_done(&second);
    box_close(&box);
}

static void on_first_killed(void *ctx, const struct osa_error *error)
{
    assert_null(error);
    *(bool *)ctx = true;
}

/* Nothing that starts while a tree dies is taken along, and neither keeps the other from its answer. */
static void starts_while_another_tree_dies(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    for (unsigned i = 0; i < 20; i++) {
        struct seen first;
        struct seen second;
        struct osa_error err;
        char ids[2][16];
        bool killed = false;
        struct process_spec spec = shell("exec sleep 1000");
        (void)snprintf(ids[0], sizeof(ids[0]), "p-%u-first", i);
        (void)snprintf(ids[1], sizeof(ids[1]), "p-%u-second", i);
        spec.id = ids[0];
        launch(&box, &first, &spec);
        ops()->kill_tree(first.process, on_first_killed, &killed);
        spec.id = ids[1];
        launch(&box, &second, &spec);
        if (second.process == NULL)
            fail_msg("spawn %u: %s", i, second.error.text);
        assert_true(until(&killed));
        assert_true(until(&first.exited));
        assert_false(box.lost);
        assert_int_equal(ops()->signal(second.process, 0, SIGNAL_PROCESS, &err), OSA_OK);
        kill_tree_and_wait(&second);
        assert_true(until(&second.exited));
        seen_done(&first);
        seen_done(&second);
    }
    assert_false(box.lost);
    box_close(&box);
}

static void exit_is_told_while_a_child_holds_the_output(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    struct process_spec spec = shell("sleep 1235 & echo parent; exit 3");
    launch(&box, &seen, &spec);
    assert_true(until(&seen.exited));
    assert_int_equal(seen.exit.code, 3);
    await_output(&seen, "parent\n");
    assert_int_equal(seen.ended, 0);
    kill_tree_and_wait(&seen);
    for (unsigned tries = 0; seen.ended < 2 && tries < 3000; tries++)
        run_for_ms(20);
    assert_int_equal(seen.ended, 2);
    seen_done(&seen);
    box_close(&box);
}

static void destroy_ends_everything_and_reports_it(void **state)
{
    (void)state;
    struct box box;
    struct seen seen[3];
    box_open(&box);
    char script[128];
    (void)snprintf(script, sizeof(script), "setsid sleep %s & setsid sleep %s & sleep %s", nap(),
                   nap(), nap());
    for (unsigned i = 0; i < 3; i++) {
        struct process_spec spec = shell(script);
        launch(&box, &seen[i], &spec);
    }
    for (unsigned tries = 0; count_naps() < 9 && tries < 3000; tries++)
        run_for_ms(20);
    assert_int_equal(count_naps(), 9);
    box_close(&box);
    assert_int_equal(count_naps(), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(seen[i].exited);
        assert_int_equal(seen[i].exit.reason, EXIT_REASON_SANDBOX_LOST);
        seen_done(&seen[i]);
    }
}

static void rlimits_are_set_and_cores_stay_off(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    struct process_spec spec = shell("ulimit -n; ulimit -Hn; ulimit -c");
    const struct rlimit_spec limits[] = { { RLIMIT_NOFILE, 77, 88 } };
    spec.rlimits = limits;
    spec.rlimit_count = 1;
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data, "77\n88\n0\n");
    seen_done(&seen);
    box_close(&box);
}

static void orphans_leave_no_zombies(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    run(&box, &seen,
        "i=0; while [ $i -lt 200 ]; do (setsid true &) ; i=$((i+1)); done;"
        "n=1; while [ $i -gt 0 ] && [ $n -gt 0 ]; do i=$((i-1)); sleep 0.05;"
        "n=$(ps --ppid $PPID -o stat= | grep -c '^Z'); done; echo $n");
    assert_int_equal(seen.exit.code, 0);
    assert_string_equal(seen.out.data, "0\n");
    seen_done(&seen);
    box_close(&box);
}

static void many_spawns_leave_nothing(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    const char *argv[] = { "/bin/true", NULL };
    struct process_spec spec = shell("");
    spec.argv = argv;
    int64_t start = osa_now_ns();
    for (unsigned i = 0; i < 300; i++) {
        struct seen seen;
        launch(&box, &seen, &spec);
        finish(&seen);
        assert_int_equal(seen.exit.code, 0);
        seen_done(&seen);
    }
    print_message("spawn and exit of /bin/true: %.2f ms\n",
                  (double)(osa_now_ns() - start) / 300 / OSA_NS_PER_MS);
    box_close(&box);
}

static void min_isolation_above_the_host_is_refused(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_spec spec = box_spec();
    spec.min_isolation = ISOLATION_VM;
    box_try(&box, &spec);
    assert_null(box.sandbox);
    assert_int_equal(box.error.code, OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(box.error.text, "min_isolation"));
}

/* The init is the launcher's child that is the parent of the process, which has no keeper. */
static int kill_init(const struct seen *seen)
{
    const struct process *p = OSA_CONTAINER_OF(seen->process, struct process, base);
    pid_t init = pidfd_pid(p->sandbox->init_pidfd);
    return init > 0 ? kill(init, SIGKILL) : -1;
}

static const char *program;
static const char *level;

/* In a process of its own: a box with two sleepers, and then nothing but waiting. */
static int be_doomed_agent(const char *nap_text)
{
    struct box box;
    struct seen seen;
    char script[128];
    if (fixture_open(NULL) != 0)
        return 1;
    box_open(&box);
    (void)snprintf(script, sizeof(script), "setsid sleep %s & sleep %s", nap_text, nap_text);
    struct process_spec spec = shell(script);
    launch(&box, &seen, &spec);
    run_for_ms(60000);
    return 0;
}

static pid_t start_doomed_agent(void)
{
    pid_t pid;
    char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)level,
                           (char *)(uintptr_t)nap(), NULL };
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    return pid;
}

/* Its init killed from outside: everything of it dies, and every process is told so. */
static void killed_init_loses_the_sandbox(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    char script[128];
    box_open(&box);
    (void)snprintf(script, sizeof(script), "setsid sleep %s & echo $PPID; sleep %s", nap(), nap());
    struct process_spec spec = shell(script);
    launch(&box, &seen, &spec);
    for (unsigned tries = 0; (seen.out.len == 0 || count_naps() < 2) && tries < 3000; tries++)
        run_for_ms(20);
    assert_int_equal(count_naps(), 2);
    assert_int_equal(kill_init(&seen), 0);
    assert_true(until(&box.lost));
    assert_int_equal(count_naps(), 0);
    assert_true(seen.exited);
    assert_int_equal(seen.exit.reason, EXIT_REASON_SANDBOX_LOST);
    struct seen late;
    launch(&box, &late, &spec);
    assert_null(late.process);
    assert_int_equal(late.error.code, OSA_ABORTED);
    seen_done(&late);
    seen_done(&seen);
    box_close(&box);
}

/* A second agent process is killed; its launcher, init and processes must follow. */
static void killed_agent_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(count_naps(), 0);
    pid_t agent = start_doomed_agent();
    for (unsigned tries = 0; count_naps() < 2 && tries < 3000; tries++)
        run_for_ms(20);
    assert_int_equal(count_naps(), 2);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    for (unsigned tries = 0; count_naps() > 0 && tries < 3000; tries++)
        run_for_ms(20);
    assert_int_equal(count_naps(), 0);
}

int main(int argc, char **argv)
{
    if (!fixture_level(argc, argv))
        return 77;
    if (argc == 3)
        return be_doomed_agent(argv[2]);
    program = argv[0];
    level = argc > 1 ? argv[1] : "restricted";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_code_arrive),
        cmocka_unit_test(signal_death_is_told_apart),
        cmocka_unit_test(child_starts_clean),
        cmocka_unit_test(failed_start_names_stage_and_errno),
        cmocka_unit_test(program_is_looked_up_in_its_own_path),
        cmocka_unit_test(large_arguments_arrive),
        cmocka_unit_test(stdin_flows_with_back_pressure),
        cmocka_unit_test(stdin_without_reader_is_told),
        cmocka_unit_test(no_stdin_is_an_empty_one),
        cmocka_unit_test(terminal_has_size_and_control),
        cmocka_unit_test(signals_reach_process_group_and_tree),
        cmocka_unit_test(signal_zero_probes_and_wrong_ones_are_refused),
        cmocka_unit_test(trees_are_killed_apart),
        cmocka_unit_test(starts_while_another_tree_dies),
        cmocka_unit_test(exit_is_told_while_a_child_holds_the_output),
        cmocka_unit_test(destroy_ends_everything_and_reports_it),
        cmocka_unit_test(rlimits_are_set_and_cores_stay_off),
        cmocka_unit_test(orphans_leave_no_zombies),
        cmocka_unit_test(many_spawns_leave_nothing),
        cmocka_unit_test(killed_init_loses_the_sandbox),
        cmocka_unit_test(killed_agent_leaves_nothing),
        cmocka_unit_test(min_isolation_above_the_host_is_refused),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
