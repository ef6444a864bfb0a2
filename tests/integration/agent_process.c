// SPDX-License-Identifier: Apache-2.0
/* The agent over the process backend: what one of them alone cannot show. */
#include "agent/agent.h"
#include "agent/process.h"
#include "agent/sandbox.h"
#include "backends/process/process.h"
#include "base/clock.h"
#include "policy/document.h"

#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct osa_loop *loop;
static struct backend *backend;
static struct agent *agent;
static const struct policy_document *policy;

/* One Spawn and its exit. */
struct job {
    struct process_waiter waiter;
    struct process *process;
    struct osa_error error;
    struct process_exit exit;
    unsigned *finished;
};

static void on_exited(struct process_waiter *waiter, struct process *process)
{
    struct job *job = OSA_CONTAINER_OF(waiter, struct job, waiter);
    job->exit = process->exit;
    (*job->finished)++;
}

static void on_spawned(void *ctx, struct process *process, const struct osa_error *error)
{
    struct job *job = ctx;
    if (error != NULL) {
        job->error = *error;
        (*job->finished)++;
        return;
    }
    job->process = process_ref(process);
    process_wait(process, &job->waiter);
}

static void turn_until(const unsigned *counter, unsigned value)
{
    int64_t deadline = osa_deadline_after(60 * OSA_NS_PER_SEC);
    while (*counter < value) {
        if (osa_now_ns() > deadline)
            fail_msg("%u of %u after a minute", *counter, value);
        (void)osa_loop_run_once(loop, deadline);
    }
}

static void turn_until_quiet(void)
{
    while (osa_loop_run_once(loop, osa_deadline_after(100 * OSA_NS_PER_MS)))
        continue;
}

static void begin(struct job *job, unsigned *finished, const char *sandbox_id, const char *script)
{
    struct process_request *request = process_request_new();
    const char **argv = osa_arena_alloc(&request->arena, 4 * sizeof(*argv));
    argv[0] = "/bin/sh";
    argv[1] = "-c";
    argv[2] = osa_arena_strdup(&request->arena, script);
    request->argv = argv;
    request->argc = 3;
    request->sandbox_id = osa_arena_strdup(&request->arena, sandbox_id);
    *job = (struct job){ .waiter.exited = on_exited, .finished = finished };
    process_spawn(agent, request, on_spawned, job);
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void on_sandbox(void *ctx, struct sandbox *sandbox, const struct osa_error *error)
{
    (void)sandbox;
    if (error != NULL)
        fail_msg("sandbox: %s", error->text);
    (*(unsigned *)ctx)++;
}

static void create_box(void)
{
    unsigned created = 0;
    struct sandbox_request *request = sandbox_request_new();
    request->id = "box";
    request->min_isolation = ISOLATION_RESTRICTED;
    sandbox_create(agent, request, on_sandbox, &created);
    turn_until(&created, 1);
}

static void delete_box(void)
{
    unsigned deleted = 0;
    sandbox_delete(sandbox_find(agent, "box", NULL), 0, on_sandbox, &deleted);
    turn_until(&deleted, 1);
}

static void spawn_one(void)
{
    struct job job;
    unsigned finished = 0;
    begin(&job, &finished, "box", "exit 3");
    turn_until(&finished, 1);
    if (job.process == NULL)
        fail_msg("%s", job.error.text);
    assert_int_equal(job.exit.code, 3);
    process_unref(job.process);
}

static void test_many_in_a_row(void **state)
{
    enum { MANY = 300 };
    (void)state;
    create_box(); /* what the first one makes for all */
    spawn_one();
    delete_box();
    turn_until_quiet();
    unsigned before = open_fds();
    create_box();
    for (unsigned i = 0; i < MANY; i++)
        spawn_one();
    turn_until_quiet();
    assert_int_equal(agent_state(agent).processes, 0);
    delete_box();
    turn_until_quiet();
    assert_int_equal(open_fds(), before);
}

static void test_many_at_once(void **state)
{
    enum { MANY = 60 };
    static struct job jobs[MANY];
    unsigned finished = 0;
    (void)state;
    turn_until_quiet();
    unsigned before = open_fds();
    for (unsigned i = 0; i < MANY; i++)
        begin(&jobs[i], &finished, "", "echo $$; exit 4");
    turn_until(&finished, MANY);
    turn_until_quiet();
    for (unsigned i = 0; i < MANY; i++) {
        if (jobs[i].process == NULL)
            fail_msg("spawn %u: %s", i, jobs[i].error.text);
        assert_int_equal(jobs[i].exit.code, 4);
        assert_true(jobs[i].process->output_done);
        assert_true(jobs[i].process->log.end > 1);
        process_unref(jobs[i].process);
    }
    assert_int_equal(agent_state(agent).sandboxes, 0);
    assert_int_equal(agent_state(agent).processes, 0);
    assert_int_equal(open_fds(), before);
}

/* All that a process wrote is there, though its sandbox goes with it. */
static void test_last_words_of_an_ephemeral(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct job job;
        unsigned finished = 0;
        begin(&job, &finished, "", "head -c 300000 /dev/zero; printf end >&2");
        turn_until(&finished, 1);
        if (job.process == NULL)
            fail_msg("spawn: %s", job.error.text);
        turn_until_quiet();
        assert_true(job.process->output_done);
        assert_int_equal(job.process->log.end, 300003);
        process_unref(job.process);
    }
}

static void test_timeout_kills_the_tree(void **state)
{
    struct job job;
    unsigned finished = 0;
    (void)state;
    create_box();
    struct process_request *request = process_request_new();
    const char *argv[] = { "/bin/sh", "-c", "trap '' TERM; (setsid sleep 1000 &); sleep 1000",
                           NULL };
    request->argv = osa_arena_copy(&request->arena, argv, sizeof(argv));
    request->argc = 3;
    request->sandbox_id = "box";
    request->timeout_ns = 200 * OSA_NS_PER_MS;
    job = (struct job){ .waiter.exited = on_exited, .finished = &finished };
    process_spawn(agent, request, on_spawned, &job);
    turn_until(&finished, 1);
    if (job.process == NULL)
        fail_msg("spawn: %s", job.error.text);
    assert_int_equal(job.exit.reason, EXIT_REASON_TIMEOUT);
    assert_int_equal(job.exit.signal, SIGKILL);
    turn_until_quiet();
    assert_true(job.process->output_done); /* the escapee held it */
    process_unref(job.process);
    delete_box();
}

static void set_clock(const struct timespec *from, time_t seconds)
{
    const struct timespec to = { .tv_sec = from->tv_sec + seconds, .tv_nsec = from->tv_nsec };
    if (clock_settime(CLOCK_REALTIME, &to) < 0)
        fail_msg("the clock cannot be set: %s", strerror(errno));
}

static void begin_limited(struct job *job, unsigned *finished, int64_t timeout_ns)
{
    struct process_request *request = process_request_new();
    const char *argv[] = { "/bin/sleep", "1000", NULL };
    request->argv = osa_arena_copy(&request->arena, argv, sizeof(argv));
    request->argc = 2;
    request->sandbox_id = "box";
    request->timeout_ns = timeout_ns;
    *job = (struct job){ .waiter.exited = on_exited, .finished = finished };
    process_spawn(agent, request, on_spawned, job);
    while (job->process == NULL && *finished == 0)
        (void)osa_loop_run_once(loop, osa_deadline_after(OSA_NS_PER_SEC));
    if (job->process == NULL)
        fail_msg("spawn: %s", job->error.text);
}

/* Ten years on and back: nobody's time is up early, nor late. */
static void test_clock_that_jumps(void **state)
{
    const time_t years = 10 * 365 * 24 * 3600;
    struct timespec now;
    struct job patient;
    struct job brief;
    unsigned patient_ended = 0;
    unsigned brief_ended = 0;
    (void)state;
    if (getenv("OSA_EMULATED") == NULL) {
        print_message("skipped: this machine's clock is everybody's; a guest sets its own\n");
        skip();
    }
    create_box();
    begin_limited(&patient, &patient_ended, 3600 * OSA_NS_PER_SEC);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    set_clock(&now, years);
    turn_until_quiet();
    assert_int_equal(patient_ended, 0);
    begin_limited(&brief, &brief_ended, OSA_NS_PER_SEC);
    set_clock(&now, -years);
    turn_until(&brief_ended, 1);
    set_clock(&now, 0);
    assert_int_equal(patient_ended, 0);
    assert_int_equal(brief.exit.reason, EXIT_REASON_TIMEOUT);
    assert_true(brief.exit.usage.wall_ns >= OSA_NS_PER_SEC);
    assert_true(brief.exit.usage.wall_ns < 60 * OSA_NS_PER_SEC);
    delete_box();
    turn_until(&patient_ended, 1);
    process_unref(patient.process);
    process_unref(brief.process);
}

static void test_start_failures(void **state)
{
    static const struct {
        const char *program;
        const char *cwd;
        const char *stage;
        int sys_errno;
    } rows[] = {
        { "/no/such", "/", "exec", 2 },
        { "no-such-program", "/", "exec", 2 },
        { "/usr", "/", "exec", 13 },
        { "/bin/true", "/no/such", "cwd", 2 },
    };
    (void)state;
    create_box();
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        struct job job;
        unsigned finished = 0;
        struct process_request *request = process_request_new();
        const char *argv[] = { rows[i].program, NULL };
        request->argv = osa_arena_copy(&request->arena, argv, sizeof(argv));
        request->argc = 1;
        request->cwd = rows[i].cwd;
        request->sandbox_id = "box";
        job = (struct job){ .waiter.exited = on_exited, .finished = &finished };
        process_spawn(agent, request, on_spawned, &job);
        turn_until(&finished, 1);
        assert_null(job.process);
        assert_string_equal(job.error.stage, rows[i].stage);
        assert_int_equal(job.error.sys_errno, rows[i].sys_errno);
    }
    delete_box();
}

static void on_stopped(void *ctx)
{
    (*(unsigned *)ctx)++;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_in_a_row),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_last_words_of_an_ephemeral),
        cmocka_unit_test(test_timeout_kills_the_tree),
        cmocka_unit_test(test_start_failures),
        cmocka_unit_test(test_clock_that_jumps),
    };
    static const struct process_backend_config config;
    struct osa_error err = { 0 };
    unsigned stopped = 0;
    if (process_backend_start_launcher(&err) != OSA_OK || osa_loop_new(&loop, &err) != OSA_OK ||
        process_backend_open(loop, &config, &backend, &err) != OSA_OK ||
        policy_document_default(&policy, &err) != OSA_OK) {
        print_error("%s\n", err.text);
        return 1;
    }
    if (!backend->ops->info(backend)->available) {
        print_message("skipped: %s\n", backend->ops->info(backend)->reason);
        return 77;
    }
    const struct agent_setup setup = { .loop = loop,
                                       .backends[RUNTIME_KIND_PROCESS] = backend,
                                       .default_kind = RUNTIME_KIND_PROCESS,
                                       .limits = agent_limits_default(),
                                       .policy = policy,
                                       .min_isolation = ISOLATION_RESTRICTED };
    agent = agent_new(&setup);
    int failed = cmocka_run_group_tests_name("agent_process", tests, NULL, NULL);
    agent_shutdown(agent, on_stopped, &stopped);
    turn_until(&stopped, 1);
    agent_free(agent);
    backend->ops->close(backend);
    policy_document_unref(policy);
    osa_loop_free(loop);
    return failed;
}
