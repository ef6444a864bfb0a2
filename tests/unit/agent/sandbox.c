// SPDX-License-Identifier: Apache-2.0
#include "agent_fixture.h"

#include <signal.h>

static struct outcome create(struct fixture *f, struct sandbox_request *request)
{
    struct outcome outcome = { 0 };
    sandbox_create(f->agent, request, on_sandbox, &outcome);
    turn_until(f, &outcome.calls, 1);
    return outcome;
}

static void test_create_and_delete(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    assert_int_equal(sandbox->state, SANDBOX_READY);
    assert_int_equal(sandbox->isolation.level, ISOLATION_FULL);
    assert_ptr_equal(sandbox_find(f->agent, "box", NULL), sandbox);
    struct sandbox_request *again = sandbox_request_new();
    again->id = "box";
    struct outcome outcome = create(f, again);
    assert_int_equal(outcome.error.code, OSA_ALREADY_EXISTS);
    assert_string_equal(outcome.error.text, "sandbox_id: 'box' exists");

    struct process *process = spawn_script(f, "box", "hang");
    struct outcome deleted = { 0 };
    sandbox_delete(sandbox, 0, on_sandbox, &deleted);
    sandbox_delete(sandbox, 0, on_sandbox, &deleted);
    outcome = spawn_request(f, ({
                                struct process_request *request = make_request("hang");
                                request->sandbox_id = "box";
                                request;
                            }));
    assert_int_equal(outcome.error.code, OSA_ABORTED);
    turn_until(f, &deleted.calls, 2);
    assert_null(sandbox_find(f->agent, "box", NULL));
    assert_int_equal(wait_exit(f, process).reason, EXIT_REASON_SANDBOX_LOST);
    assert_string_equal(process->sandbox_id, "box");
}

static void test_delete_with_grace(void **state)
{
    struct fixture *f = *state;
    struct outcome deleted = { 0 };
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    struct process *gentle = spawn_script(f, "box", "hang");
    struct process *stubborn = spawn_script(f, "box", "ignore:15 hang");
    sandbox_delete(sandbox, 30 * OSA_NS_PER_MS, on_sandbox, &deleted);
    turn_until(f, &deleted.calls, 1);
    assert_int_equal(gentle->exit.signal, SIGTERM);
    assert_int_equal(gentle->exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(stubborn->exit.reason, EXIT_REASON_SANDBOX_LOST);
    /* When all obey, nobody waits for the grace to pass. */
    sandbox = create_sandbox(f, "box");
    (void)spawn_script(f, "box", "hang");
    int64_t before = osa_now_ns();
    sandbox_delete(sandbox, 3600 * OSA_NS_PER_SEC, on_sandbox, &deleted);
    turn_until(f, &deleted.calls, 2);
    assert_true(osa_now_ns() - before < 2 * OSA_NS_PER_SEC);
}

static void test_delete_while_creating(void **state)
{
    struct fixture *f = *state;
    struct outcome created = { 0 }, deleted = { 0 };
    f->options.create_ns = 10 * OSA_NS_PER_MS;
    fixture_start(f);
    struct sandbox_request *request = sandbox_request_new();
    request->id = "box";
    sandbox_create(f->agent, request, on_sandbox, &created);
    struct sandbox *sandbox = sandbox_find(f->agent, "box", NULL);
    assert_int_equal(sandbox->state, SANDBOX_CREATING);
    assert_int_equal(sandbox_usable(sandbox, true, NULL), OSA_UNAVAILABLE);
    sandbox_delete(sandbox, 0, on_sandbox, &deleted);
    turn_until(f, &deleted.calls, 1);
    assert_int_equal(created.calls, 1);
    assert_null(sandbox_find(f->agent, "box", NULL));
}

static void test_create_failure(void **state)
{
    struct fixture *f = *state;
    f->options.create_error = OSA_FAILED_PRECONDITION;
    fixture_start(f);
    struct outcome outcome = create(f, sandbox_request_new());
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(outcome.error.stage, "namespace");
    outcome = spawn_request(f, make_request("exit:0"));
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    assert_int_equal(agent_state(f->agent).sandboxes, 0);
    assert_int_equal(agent_state(f->agent).processes, 0);
}

static void test_lost(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    struct process *process = spawn_script(f, "box", "hang");
    assert_true(fake_backend_lose(f->backend, "box"));
    assert_int_equal(wait_exit(f, process).reason, EXIT_REASON_SANDBOX_LOST);
    assert_int_equal(sandbox->state, SANDBOX_FAILED);
    assert_string_equal(sandbox->message, "init was killed");
    struct osa_error err = { 0 };
    assert_int_equal(sandbox_usable(sandbox, true, &err), OSA_ABORTED);
    assert_non_null(strstr(err.text, "can only be deleted: init was killed"));
    /* A process's own sandbox is cleared away. */
    process = spawn_script(f, "", "hang");
    assert_true(fake_backend_lose(f->backend, process->sandbox_id));
    wait_quiet(f);
    assert_int_equal(agent_state(f->agent).sandboxes, 1);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = { 0 };
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    for (unsigned i = 0; i < 2; i++) { /* idempotent */
        sandbox_pause(sandbox, true, on_done, &outcome);
        turn_until(f, &outcome.calls, i + 1);
        assert_int_equal(outcome.error.code, OSA_OK);
        assert_int_equal(sandbox->state, SANDBOX_PAUSED);
    }
    struct process_request *request = make_request("exit:0");
    request->sandbox_id = "box";
    struct outcome spawned = spawn_request(f, request);
    assert_int_equal(spawned.error.code, OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(spawned.error.text, "resume it first"));
    sandbox_pause(sandbox, false, on_done, &outcome);
    turn_until(f, &outcome.calls, 3);
    assert_int_equal(wait_exit(f, spawn_script(f, "box", "exit:0")).code, 0);
}

static void test_kill_paused(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = { 0 };
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    struct process *process = spawn_script(f, "box", "hang");
    sandbox_pause(sandbox, true, on_done, &outcome);
    turn_until(f, &outcome.calls, 1);
    process_kill(process, 0, NULL);
    assert_int_equal(wait_exit(f, process).signal, SIGKILL);
}

static void test_capacity(void **state)
{
    struct fixture *f = *state;
    f->setup.capacity = (struct resources){ .cpu_millis = 1000, .memory_bytes = 100 << 20 };
    fixture_start(f);
    struct sandbox_request *request = sandbox_request_new();
    request->id = "a";
    request->resources = (struct resources){ .cpu_millis = 700, .memory_bytes = 10 << 20 };
    struct sandbox *sandbox = create(f, request).sandbox;
    assert_int_equal(agent_state(f->agent).allocated.cpu_millis, 700);
    request = sandbox_request_new();
    request->resources.cpu_millis = 301;
    struct outcome outcome = create(f, request);
    assert_int_equal(outcome.error.code, OSA_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(outcome.error.text, "301 wanted, 300 of 1000 are free"));
    /* Updates count as well; what is refused changes nothing. */
    struct outcome updated = { 0 };
    sandbox_update(sandbox, &(struct resources){ .memory_bytes = 101 << 20 }, on_done, &updated);
    assert_int_equal(updated.error.code, OSA_RESOURCE_EXHAUSTED);
    sandbox_update(sandbox, &(struct resources){ .cpu_millis = 1000 }, on_done, &updated);
    turn_until(f, &updated.calls, 2);
    assert_int_equal(sandbox->limits.cpu_millis, 1000);
    assert_int_equal(sandbox->limits.memory_bytes, 10 << 20);
    assert_int_equal(agent_state(f->agent).allocated.cpu_millis, 1000);
    /* A Spawn without sandbox needs its share too. */
    struct process_request *spawn = make_request("exit:0");
    spawn->resources.cpu_millis = 10;
    assert_int_equal(spawn_request(f, spawn).error.code, OSA_RESOURCE_EXHAUSTED);
    struct outcome deleted = { 0 };
    sandbox_delete(sandbox, 0, on_sandbox, &deleted);
    turn_until(f, &deleted.calls, 1);
    assert_int_equal(agent_state(f->agent).allocated.cpu_millis, 0);
    assert_int_equal(agent_state(f->agent).allocated.memory_bytes, 0);
}

static void test_lacking_backend(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = { 0 };
    f->options.lacks = BACKEND_CAP_PAUSE | BACKEND_CAP_UPDATE_RESOURCES |
                       BACKEND_CAP_PROCESS_LIMITS | BACKEND_CAP_TTY | BACKEND_CAP_CPU_LIMIT |
                       BACKEND_CAP_TREE_SIGNAL;
    fixture_start(f);
    struct sandbox *sandbox = create_sandbox(f, "box");
    sandbox_pause(sandbox, true, on_done, &outcome);
    turn_until(f, &outcome.calls, 1);
    assert_int_equal(outcome.error.code, OSA_UNIMPLEMENTED);
    assert_int_equal(sandbox->state, SANDBOX_READY);
    sandbox_update(sandbox, &(struct resources){ .pids_max = 4 }, on_done, &outcome);
    assert_int_equal(outcome.error.code, OSA_UNIMPLEMENTED);
    struct process_request *request = make_request("exit:0");
    request->tty = true;
    outcome = spawn_request(f, request);
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(outcome.error.field, "spec.tty");
    request = make_request("exit:0");
    request->resources.cpu_millis = 100;
    outcome = spawn_request(f, request);
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(outcome.error.field, "spec.resources.cpu_millis");
    request = make_request("exit:0");
    request->sandbox_id = "box";
    request->resources.pids_max = 100;
    outcome = spawn_request(f, request);
    assert_string_equal(outcome.error.field, "spec.resources");
    request = make_request("exit:0");
    request->kind = RUNTIME_KIND_BOXLITE;
    outcome = spawn_request(f, request);
    assert_int_equal(outcome.error.code, OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(outcome.error.text, "no boxlite backend"));
    /* Kill falls back to TERM for the process alone. */
    struct process *process = spawn_script(f, "box", "hang");
    process_kill(process, 10 * OSA_NS_PER_SEC, NULL);
    assert_int_equal(wait_exit(f, process).signal, SIGTERM);
}

static void test_unavailable_backend(void **state)
{
    struct fixture *f = *state;
    f->options.unavailable = "no user namespaces";
    fixture_start(f);
    struct outcome outcome = spawn_request(f, make_request("exit:0"));
    assert_int_equal(outcome.error.code, OSA_UNAVAILABLE);
    assert_string_equal(outcome.error.text,
                        "runtime process is not available here: no user namespaces");
}

static void test_sandbox_fields(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    (void)create_sandbox(f, "box");
    struct process_request *request = make_request("exit:0");
    request->sandbox_id = "box";
    request->sandbox_fields = "spec.image";
    struct outcome outcome = spawn_request(f, request);
    assert_int_equal(outcome.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(outcome.error.field, "spec.image");
    request = make_request("exit:0");
    request->sandbox_id = "other";
    assert_int_equal(spawn_request(f, request).error.code, OSA_NOT_FOUND);
    /* The default sandbox is one that exists, too. */
    agent_set_default_sandbox(f->agent, "box");
    request = make_request("exit:0");
    request->sandbox_fields = "spec.policy";
    assert_int_equal(spawn_request(f, request).error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(spawn_script(f, "", "exit:0")->sandbox_id, "box");
}

static void test_idle_timeout(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    struct sandbox_request *request = sandbox_request_new();
    request->id = "box";
    request->idle_timeout_ns = 40 * OSA_NS_PER_MS;
    (void)create(f, request);
    struct process *process = spawn_script(f, "box", "sleep:120 exit:0");
    (void)wait_exit(f, process);
    assert_non_null(sandbox_find(f->agent, "box", NULL));
    int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC);
    while (sandbox_find(f->agent, "box", NULL) != NULL && osa_now_ns() < deadline)
        (void)osa_loop_run_once(f->loop, deadline);
    assert_null(sandbox_find(f->agent, "box", NULL));
}

static void test_idempotent_create(void **state)
{
    struct fixture *f = *state;
    struct outcome outcomes[3] = { 0 };
    f->options.create_ns = 5 * OSA_NS_PER_MS;
    fixture_start(f);
    for (size_t i = 0; i < 3; i++) {
        struct sandbox_request *request = sandbox_request_new();
        request->idempotency.key = "key";
        request->idempotency.digest[31] = i == 2;
        sandbox_create(f->agent, request, on_sandbox, &outcomes[i]);
    }
    assert_int_equal(outcomes[2].error.code, OSA_ALREADY_EXISTS);
    turn_until(f, &outcomes[1].calls, 1);
    assert_ptr_equal(outcomes[0].sandbox, outcomes[1].sandbox);
    assert_int_equal(agent_state(f->agent).sandboxes, 1);
}

static void test_denied_event(void **state)
{
    struct fixture *f = *state;
    fixture_start(f);
    (void)create_sandbox(f, "box");
    assert_true(fake_backend_deny(f->backend, "box", "seccomp", "mount by bash"));
    const struct event *event =
        events_get(agent_events(f->agent), events_next(agent_events(f->agent)) - 1);
    assert_int_equal(event->type, EVENT_DENIED);
    assert_string_equal(event->control, "seccomp");
    assert_string_equal(event->message, "mount by bash");
    assert_string_equal(event->sandbox_id, "box");
}

struct drained {
    unsigned calls;
    uint32_t ended;
    uint32_t killed;
};

static void on_drained(void *ctx, uint32_t ended, uint32_t killed)
{
    *(struct drained *)ctx = (struct drained){ ((struct drained *)ctx)->calls + 1, ended, killed };
}

static void test_drain(void **state)
{
    struct fixture *f = *state;
    struct drained drained = { 0 }, second = { 0 };
    fixture_start(f);
    (void)create_sandbox(f, "box");
    (void)spawn_script(f, "box", "sleep:20 exit:0");
    (void)spawn_script(f, "", "ignore:15 hang");
    agent_drain(f->agent, 3600 * OSA_NS_PER_SEC, on_drained, &drained);
    assert_true(agent_state(f->agent).draining);
    assert_int_equal(f->draining_calls, 1);
    struct outcome outcome = spawn_request(f, make_request("exit:0"));
    assert_int_equal(outcome.error.code, OSA_UNAVAILABLE);
    assert_non_null(strstr(outcome.error.text, "draining"));
    agent_drain(f->agent, 100 * OSA_NS_PER_MS, on_drained, &second);
    turn_until(f, &second.calls, 1);
    assert_int_equal(drained.calls, 1);
    assert_int_equal(second.ended, 1);
    assert_int_equal(second.killed, 1);
    assert_int_equal(f->draining_calls, 1);
    assert_non_null(sandbox_find(f->agent, "box", NULL));
}

static void test_drain_while_starting(void **state)
{
    struct fixture *f = *state;
    struct drained drained = { 0 };
    struct outcome outcome = { 0 };
    f->options.spawn_ns = 50 * OSA_NS_PER_MS;
    fixture_start(f);
    process_spawn(f->agent, make_request("hang"), on_process, &outcome);
    agent_drain(f->agent, 0, on_drained, &drained);
    turn_until(f, &drained.calls, 1);
    assert_non_null(outcome.process);
    assert_int_equal(drained.killed, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create_and_delete),
        TEST(test_delete_with_grace),
        TEST(test_delete_while_creating),
        TEST(test_create_failure),
        TEST(test_lost),
        TEST(test_pause),
        TEST(test_kill_paused),
        TEST(test_capacity),
        TEST(test_lacking_backend),
        TEST(test_unavailable_backend),
        TEST(test_sandbox_fields),
        TEST(test_idle_timeout),
        TEST(test_idempotent_create),
        TEST(test_denied_event),
        TEST(test_drain),
        TEST(test_drain_while_starting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
