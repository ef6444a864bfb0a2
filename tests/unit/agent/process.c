// SPDX-License-Identifier: Apache-2.0
#include "agent_fixture.h"

#include <signal.h>

static void test_spawn_wait(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct process *process = spawn_script(f, "", "out:hi err:no exit:3");
    assert_int_equal(process->state, PROCESS_RUNNING);
    assert_int_equal(process->kind, RUNTIME_KIND_PROCESS);
    assert_true(process->started_wall_ns > 0);
    struct process_exit exit = wait_exit(f, process);
    assert_int_equal(exit.reason, EXIT_REASON_EXITED);
    assert_int_equal(exit.code, 3);
    assert_int_equal(exit.signal, 0);
    wait_quiet(f);
    assert_true(process->output_done);
    assert_null(process->handle);
    assert_int_equal(process->log.end, 4);
    assert_int_equal(agent_state(f->agent).sandboxes, 0); /* its own went with it */
    assert_int_equal(agent_state(f->agent).processes, 0);
    assert_int_equal(fake_backend_processes(f->backend), 0);
    /* A late wait is answered at once. */
    exit = wait_exit(f, process);
    assert_int_equal(exit.code, 3);
}

static void test_many_waiters(void **state)
{
    struct fixture *f = *state;
    struct waited waited[100] = { 0 };
    fixture_start(f);
    struct process *process = spawn_script(f, "", "sleep:30 signal:11");
    for (size_t i = 0; i < OSA_ARRAY_LEN(waited); i++) {
        waited[i].waiter.exited = on_waited;
        process_wait(process, &waited[i].waiter);
    }
    process_wait_cancel(process, &waited[50].waiter);
    process_wait_cancel(process, &waited[50].waiter);
    turn_until(f, &waited[99].calls, 1);
    for (size_t i = 0; i < OSA_ARRAY_LEN(waited); i++) {
        assert_int_equal(waited[i].calls, i != 50);
        if (i != 50)
            assert_int_equal(waited[i].exit.signal, SIGSEGV);
    }
}

static void test_start_failure(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    uint64_t sequence = events_next(agent_events(f->agent));
    struct outcome outcome = spawn_request(f, make_request("fail:exec:2"));
    assert_null(outcome.process);
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(outcome.error.stage, "exec");
    assert_int_equal(outcome.error.sys_errno, 2);
    wait_quiet(f);
    assert_null(process_first(f->agent));
    assert_int_equal(agent_state(f->agent).sandboxes, 0);
    /* created, failed, deleted */
    const struct event *event = events_get(agent_events(f->agent), sequence + 1);
    assert_int_equal(event->type, EVENT_PROCESS_START_FAILED);
    assert_non_null(strstr(event->message, "exec failed"));
}

static void test_timeout(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct process_request *request = make_request("ignore:15 hang");
    request->timeout_ns = 20 * OSA_NS_PER_MS;
    struct process *process = spawn_request(f, request).process;
    struct process_exit exit = wait_exit(f, process);
    assert_int_equal(exit.reason, EXIT_REASON_TIMEOUT);
    assert_int_equal(exit.signal, SIGKILL);
    /* One that ends in time is not touched. */
    request = make_request("exit:0");
    request->timeout_ns = 3600 * OSA_NS_PER_SEC;
    assert_int_equal(wait_exit(f, spawn_request(f, request).process).reason, EXIT_REASON_EXITED);
}

static struct waited kill_and_wait(struct fixture *f, struct process *process, int64_t grace_ns)
{
    struct waited waited = { .waiter.exited = on_waited };
    process_kill(process, grace_ns, &waited.waiter);
    turn_until(f, &waited.calls, 1);
    return waited;
}

static void test_kill(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    (void)create_sandbox(f, "box");
    /* TERM is enough. */
    struct process *process = spawn_script(f, "box", "hang");
    struct waited waited = kill_and_wait(f, process, 10 * OSA_NS_PER_SEC);
    assert_int_equal(waited.exit.signal, SIGTERM);
    assert_int_equal(waited.exit.reason, EXIT_REASON_SIGNALED);
    /* Again: the same exit. */
    assert_int_equal(kill_and_wait(f, process, 0).exit.signal, SIGTERM);
    /* TERM is not enough. */
    process = spawn_script(f, "box", "ignore:15 hang");
    int64_t before = osa_now_ns();
    waited = kill_and_wait(f, process, 30 * OSA_NS_PER_MS);
    assert_int_equal(waited.exit.signal, SIGKILL);
    assert_true(osa_now_ns() - before >= 30 * OSA_NS_PER_MS);
    /* No grace. */
    process = spawn_script(f, "box", "hang");
    assert_int_equal(kill_and_wait(f, process, 0).exit.signal, SIGKILL);
    /* A later, shorter grace wins. */
    process = spawn_script(f, "box", "ignore:15 hang");
    struct waited first = { .waiter.exited = on_waited };
    process_kill(process, 3600 * OSA_NS_PER_SEC, &first.waiter);
    assert_int_equal(kill_and_wait(f, process, 10 * OSA_NS_PER_MS).exit.signal, SIGKILL);
    assert_int_equal(first.calls, 1);
    /* A child that outlives TERM goes with its parent. */
    process = spawn_script(f, "box", "hold hang");
    assert_int_equal(kill_and_wait(f, process, 3600 * OSA_NS_PER_SEC).exit.signal, SIGTERM);
    wait_quiet(f);
    assert_true(process->output_done);
}

/* Kill after the exit reaches what still holds the output; a second one has nothing to do. */
static void test_kill_of_what_is_left(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    (void)create_sandbox(f, "box");
    struct process *process = spawn_script(f, "box", "hold exit:3");
    assert_int_equal(wait_exit(f, process).code, 3);
    wait_quiet(f);
    assert_false(process->output_done);
    assert_int_equal(kill_and_wait(f, process, 3600 * OSA_NS_PER_SEC).exit.code, 3);
    assert_true(process->output_done);
    wait_quiet(f);
    assert_null(process->handle);
    assert_int_equal(kill_and_wait(f, process, 0).exit.code, 3);
}

static void test_background_child_holds_output(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    struct process *process = spawn_script(f, "box", "hold out:x exit:0");
    assert_int_equal(wait_exit(f, process).code, 0);
    wait_quiet(f);
    assert_false(process->output_done);
    assert_non_null(process->handle);
    assert_int_equal(sandbox->live, 0);
    struct outcome deleted = { 0 };
    sandbox_delete(sandbox, 0, on_sandbox, &deleted);
    turn_until(f, &deleted.calls, 1);
    assert_true(process->output_done);
    assert_null(process->handle);
    assert_null(process->sandbox);
}

static void test_signal(void **state)
{
    struct fixture *f = *state;
    struct osa_error err = { 0 };
    fixture_start(f);
    struct process *process = spawn_script(f, "", "hang");
    assert_int_equal(process_signal(process, 0, SIGNAL_PROCESS, &err), OSA_OK);
    assert_int_equal(process_signal(process, SIGUSR1, SIGNAL_GROUP, &err), OSA_OK);
    assert_int_equal(wait_exit(f, process).signal, SIGUSR1);
    assert_int_equal(process_signal(process, 0, SIGNAL_PROCESS, &err), OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "has exited"));
}

static void test_unknown(void **state)
{
    struct fixture *f = *state;
    struct osa_error err = { 0 };
    fixture_start(f);
    assert_null(process_find(f->agent, "p-none", &err));
    assert_int_equal(err.code, OSA_NOT_FOUND);
    assert_string_equal(err.text, "there is no process 'p-none'");
    assert_null(sandbox_find(f->agent, "", &err));
    assert_int_equal(err.code, OSA_NOT_FOUND);
}

static struct process_request *keyed(const char *script, const char *key, uint8_t digest)
{
    struct process_request *request = make_request(script);
    request->idempotency.key = osa_arena_strdup(&request->arena, key);
    request->idempotency.digest[0] = digest;
    return request;
}

static void test_idempotency(void **state)
{
    struct fixture *f = *state;
    struct outcome outcomes[100] = { 0 };
    f->options.spawn_ns = 10 * OSA_NS_PER_MS;
    fixture_start(f);
    for (size_t i = 0; i < OSA_ARRAY_LEN(outcomes); i++)
        process_spawn(f->agent, keyed("hang", "k", 1), on_process, &outcomes[i]);
    struct outcome other = spawn_request(f, keyed("hang", "k", 2));
    assert_int_equal(other.error.code, OSA_ALREADY_EXISTS);
    assert_non_null(strstr(other.error.text, "'k' was used"));
    turn_until(f, &outcomes[99].calls, 1);
    for (size_t i = 0; i < OSA_ARRAY_LEN(outcomes); i++)
        assert_ptr_equal(outcomes[i].process, outcomes[0].process);
    assert_int_equal(agent_state(f->agent).processes, 1);
    /* After the exit too, as long as it is kept; another key is another process. */
    process_kill(outcomes[0].process, 0, NULL);
    (void)wait_exit(f, outcomes[0].process);
    assert_ptr_equal(spawn_request(f, keyed("hang", "k", 1)).process, outcomes[0].process);
    assert_ptr_not_equal(spawn_request(f, keyed("hang", "l", 1)).process, outcomes[0].process);
    /* A start that failed leaves the key free. */
    assert_null(spawn_request(f, keyed("fail:exec:2", "m", 1)).process);
    assert_non_null(spawn_request(f, keyed("exit:0", "m", 2)).process);
}

static void test_retention_by_count(void **state)
{
    struct fixture *f = *state;
    f->setup.limits.exit_retain_count = 3;
    fixture_start(f);
    char ids[5][OSA_ID_SIZE];
    for (size_t i = 0; i < 5; i++) {
        struct process *process = spawn_script(f, "", "exit:0");
        memcpy(ids[i], process->id, sizeof(ids[i]));
        (void)wait_exit(f, process);
        wait_quiet(f);
    }
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(process_find(f->agent, ids[i], NULL) != NULL, i >= 2);
}

static void test_retention_by_time(void **state)
{
    struct fixture *f = *state;
    f->setup.limits.exit_retain_ns = 30 * OSA_NS_PER_MS;
    fixture_start(f);
    struct process *kept = process_ref(spawn_script(f, "", "out:x exit:0"));
    (void)wait_exit(f, kept);
    assert_non_null(process_find(f->agent, kept->id, NULL));
    int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC);
    while (process_find(f->agent, kept->id, NULL) != NULL && osa_now_ns() < deadline)
        (void)osa_loop_run_once(f->loop, deadline);
    assert_null(process_find(f->agent, kept->id, NULL));
    assert_int_equal(kept->log.end, 1); /* a reader can still finish */
    process_unref(kept);
}

static void test_retained_output_is_bounded(void **state)
{
    struct fixture *f = *state;
    f->setup.limits.output_total_bytes = 100000;
    f->setup.limits.output_retain_bytes = 60000;
    fixture_start(f);
    struct process *processes[4];
    for (size_t i = 0; i < 4; i++) {
        processes[i] = spawn_script(f, "", "outn:200000 exit:0");
        (void)wait_exit(f, processes[i]);
        wait_quiet(f);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(processes[i]->log.end, 200000);
        assert_int_equal(processes[i]->log.end - processes[i]->log.first, i == 3 ? 60000 : 0);
    }
}

/* What comes after the exits, from children in the background, counts, too. */
static void test_retained_output_is_bounded_after_the_exit(void **state)
{
    struct fixture *f = *state;
    f->setup.limits.output_total_bytes = 100000;
    f->setup.limits.output_retain_bytes = 60000;
    fixture_start(f);
    (void)create_sandbox(f, "box");
    struct process *processes[4];
    static const char noise[60000];
    size_t kept = 0;
    for (size_t i = 0; i < 4; i++) {
        processes[i] = spawn_script(f, "box", "hold exit:0");
        (void)wait_exit(f, processes[i]);
        wait_quiet(f);
    }
    for (size_t i = 0; i < 4; i++) {
        struct process_events *events = &processes[i]->events;
        events->output(events, OUTPUT_STDOUT, noise, sizeof(noise));
    }
    for (size_t i = 0; i < 4; i++) {
        kept += processes[i]->log.end - processes[i]->log.first;
        assert_int_equal(processes[i]->log.end, sizeof(noise));
    }
    assert_in_range(kept, sizeof(noise), 100000);
}

/* A request is kept with its process, and may be larger than all output. */
static void test_retained_requests_are_bounded(void **state)
{
    struct fixture *f = *state;
    f->setup.limits.output_total_bytes = 100000;
    fixture_start(f);
    char ids[4][OSA_ID_SIZE];
    for (size_t i = 0; i < 4; i++) {
        struct process_request *request = make_request("out:x exit:0");
        (void)osa_arena_alloc(&request->arena, 40000);
        struct process *process = spawn_request(f, request).process;
        memcpy(ids[i], process->id, sizeof(ids[i]));
        (void)wait_exit(f, process);
        wait_quiet(f);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(process_find(f->agent, ids[i], NULL) != NULL, i >= 2);
}

static void test_counts(void **state)
{
    struct fixture *f = *state;
    f->setup.limits.max_processes = 2;
    fixture_start(f);
    (void)spawn_script(f, "", "hang");
    (void)spawn_script(f, "", "hang");
    struct outcome outcome = spawn_request(f, make_request("hang"));
    assert_int_equal(outcome.error.code, OSA_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(outcome.error.text, "2 processes run"));
}

static void test_stdin(void **state)
{
    struct fixture *f = *state;
    struct osa_error err = { 0 };
    size_t taken = 0;
    f->options.stdin_bytes = 4;
    fixture_start(f);
    struct process_request *request = make_request("sleep:20 cat exit:0");
    request->stdin_open = true;
    struct process *process = spawn_request(f, request).process;
    assert_int_equal(process_write_stdin(process, "abcdef", 6, &taken, &err), OSA_OK);
    assert_int_equal(taken, 4);
    wait_quiet(f);
    assert_int_equal(process_write_stdin(process, "ef", 2, &taken, &err), OSA_OK);
    assert_int_equal(taken, 2);
    assert_int_equal(process_close_stdin(process, &err), OSA_OK);
    assert_int_equal(process_close_stdin(process, &err), OSA_OK);
    assert_int_equal(wait_exit(f, process).code, 0);
    assert_int_equal(process->log.end, 6);
    assert_int_equal(process_write_stdin(process, "x", 1, &taken, &err), OSA_FAILED_PRECONDITION);
    process = spawn_script(f, "", "hang");
    assert_int_equal(process_write_stdin(process, "x", 1, &taken, &err), OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "set spec.stdin"));
    assert_int_equal(process_resize(process, (struct terminal_size){ 1, 1 }, &err),
                     OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "no terminal"));
}

static void test_terminal(void **state)
{
    struct fixture *f = *state;
    struct osa_error err = { 0 };
    fixture_start(f);
    struct process_request *request = make_request("hang");
    request->tty = true;
    struct process *process = spawn_request(f, request).process;
    assert_int_equal(process_resize(process, (struct terminal_size){ 0, 80 }, &err),
                     OSA_INVALID_ARGUMENT);
    assert_int_equal(process_resize(process, (struct terminal_size){ 50, 132 }, &err), OSA_OK);
    assert_memory_equal(process->log.data, "50x132\n", 7);
    process_kill(process, 0, NULL);
    (void)wait_exit(f, process);
    wait_quiet(f);
    assert_true(process->output_done); /* one stream alone */
}

static void test_oom_and_stats(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = { 0 };
    fixture_start(f);
    struct process *process = spawn_script(f, "", "sleep:10 oom");
    process_stats(process, on_usage, &outcome);
    turn_until(f, &outcome.calls, 1);
    assert_int_equal(outcome.stats.pids, 1);
    assert_int_equal(wait_exit(f, process).reason, EXIT_REASON_OOM_KILLED);
    process_stats(process, on_usage, &outcome);
    turn_until(f, &outcome.calls, 2);
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    bool seen = false;
    for (uint64_t n = 1; n < events_next(agent_events(f->agent)); n++)
        seen |= events_get(agent_events(f->agent), n)->type == EVENT_OOM_KILL;
    assert_true(seen);
}

static void test_limits_of_an_ephemeral(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = { 0 };
    fixture_start(f);
    struct process_request *request = make_request("hang");
    request->resources = (struct resources){ .memory_bytes = 64 << 20, .pids_max = 9 };
    struct process *process = spawn_request(f, request).process;
    assert_int_equal(process->limits.memory_bytes, 64 << 20);
    assert_int_equal(process->limits.pids_max, 9);
    process_update(process, &(struct resources){ .pids_max = 20 }, on_done, &outcome);
    turn_until(f, &outcome.calls, 1);
    assert_int_equal(outcome.error.code, OSA_OK);
    assert_int_equal(process->limits.pids_max, 20);
    assert_int_equal(process->limits.memory_bytes, 64 << 20);
    assert_int_equal(agent_state(f->agent).allocated.pids_max, 20);
    process_kill(process, 0, NULL);
    (void)wait_exit(f, process);
    process_update(process, &(struct resources){ .pids_max = 30 }, on_done, &outcome);
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

static void on_reader(struct process_reader *reader)
{
    (void)reader;
}

static void turn(struct fixture *f, int ms)
{
    for (int64_t deadline = osa_deadline_after(ms * OSA_NS_PER_MS); osa_now_ns() < deadline;)
        (void)osa_loop_run_once(f->loop, deadline);
}

/* 700 bytes of 1000 that are kept, so that more than half waits for a reader. */
static struct process *spawn_holding(struct fixture *f, int64_t hold_ns)
{
    struct process_request *request = make_request("outn:700 hang");
    request->hold_output_ns = hold_ns;
    request->output_retain_bytes = 1000;
    struct process *process = spawn_request(f, request).process;
    assert_non_null(process);
    for (int i = 0; process->log.end < 700 && i < 100; i++)
        turn(f, 5);
    return process;
}

static void test_output_is_held_for_the_first_follower(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    assert_false(spawn_holding(f, 0)->held);

    struct process *process = spawn_holding(f, 3600 * OSA_NS_PER_SEC);
    assert_true(process->held);
    struct process_reader other = { .ready = on_reader };
    process_read(process, &other);
    assert_true(process->held);
    struct process_reader reader = { .ready = on_reader, .follows = true };
    process_read(process, &reader);
    assert_true(process->held); /* as for any follower that lags */
    process_reader_moved(process, &reader, 700, /* sending= */ false);
    assert_false(process->held);
    process_read_cancel(process, &reader);
    process_read_cancel(process, &other);
    assert_false(process->held); /* the first has been here */
    (void)kill_and_wait(f, process, 0);

    process = spawn_holding(f, 500 * OSA_NS_PER_MS);
    assert_true(process->held);
    for (unsigned i = 0; i < 3000 && process->held; i++)
        turn(f, 20);
    assert_false(process->held);
    process = spawn_holding(f, 3600 * OSA_NS_PER_SEC);
    (void)kill_and_wait(f, process, 0);
    assert_false(process->held);
}

/* While a follower sends, output gathers in its pipe, but not for long. */
static void test_output_is_paced_by_sends(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct process *process = spawn_script(f, "", "outn:10 hang");
    for (int i = 0; process->log.end < 10 && i < 100; i++)
        turn(f, 5);
    struct process_reader reader = { .ready = on_reader, .follows = true };
    process_read(process, &reader);
    process_reader_moved(process, &reader, 5, /* sending= */ true);
    assert_true(process->paced);
    assert_true(process->unread);
    assert_false(process->held);
    process_reader_moved(process, &reader, 5, /* sending= */ false);
    assert_false(process->paced);
    assert_false(process->unread);

    process_reader_moved(process, &reader, 6, /* sending= */ true);
    assert_true(process->paced);
    turn(f, 10);
    assert_false(process->paced); /* it takes too long */
    process_reader_moved(process, &reader, 7, /* sending= */ true);
    assert_false(process->paced); /* the same send */
    process_reader_moved(process, &reader, 7, /* sending= */ false);
    process_reader_moved(process, &reader, 8, /* sending= */ true);
    assert_true(process->paced);
    process_read_cancel(process, &reader);
    assert_false(process->unread);

    process_read(process, &reader);
    process_reader_moved(process, &reader, 9, /* sending= */ true);
    assert_true(process->unread);
    (void)kill_and_wait(f, process, 0);
    assert_false(process->unread);
    process_read_cancel(process, &reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spawn_wait),
        TEST(test_many_waiters),
        TEST(test_start_failure),
        TEST(test_timeout),
        TEST(test_kill),
        TEST(test_background_child_holds_output),
        TEST(test_output_is_held_for_the_first_follower),
        TEST(test_output_is_paced_by_sends),
        TEST(test_signal),
        TEST(test_unknown),
        TEST(test_idempotency),
        TEST(test_retention_by_count),
        TEST(test_retention_by_time),
        TEST(test_retained_output_is_bounded),
        TEST(test_retained_output_is_bounded_after_the_exit),
        TEST(test_retained_requests_are_bounded),
        TEST(test_kill_of_what_is_left),
        TEST(test_counts),
        TEST(test_stdin),
        TEST(test_terminal),
        TEST(test_oom_and_stats),
        TEST(test_limits_of_an_ephemeral),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
