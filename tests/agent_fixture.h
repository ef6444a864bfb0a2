// SPDX-License-Identifier: Apache-2.0
/* An agent over the fake backend, with a loop that tests turn until something has happened. */
#pragma once

#include "agent/agent.h"
#include "agent/process.h"
#include "agent/sandbox.h"
#include "backends/fake/fake.h"
#include "base/clock.h"
#include "policy/document.h"

#include "cmocka_all.h"

#include <string.h>

struct fixture {
    struct osa_loop *loop;
    struct backend *backend;
    struct agent *agent;
    struct fake_options options;
    struct agent_setup setup;
    const struct policy_document *policy;
    unsigned draining_calls;
};

/* What came of an asynchronous operation. */
struct outcome {
    unsigned calls;
    struct process *process;
    struct sandbox *sandbox;
    struct usage_stats stats;
    struct osa_error error;
};

/* What came of a wait. */
struct waited {
    struct process_waiter waiter;
    unsigned calls;
    struct process_exit exit;
};

/** turn_until() - Run the loop until *@counter reaches @value; fails the test after five seconds */
static inline void turn_until(struct fixture *f, const unsigned *counter, unsigned value)
{
    int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC);
    while (*counter < value) {
        if (osa_now_ns() > deadline)
            fail_msg("nothing happened for five seconds");
        (void)osa_loop_run_once(f->loop, deadline);
    }
}

/** on_draining() - Counts */
static inline void on_draining(void *ctx)
{
    ((struct fixture *)ctx)->draining_calls++;
}

/** fixture_start() - Make backend and agent of f->options and f->setup */
static inline void fixture_start(struct fixture *f)
{
    f->backend = fake_backend_new(f->loop, &f->options);
    f->setup.loop = f->loop;
    f->setup.default_kind = f->backend->ops->kind;
    f->setup.backends[f->backend->ops->kind] = f->backend;
    f->setup.policy = f->policy;
    f->setup.draining = on_draining;
    f->setup.ctx = f;
    f->agent = agent_new(&f->setup);
}

/** fixture_setup() - A loop and a policy; the test calls fixture_start() */
static inline int fixture_setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){ .setup.limits = agent_limits_default() };
    if (osa_loop_new(&fixture.loop, NULL) != OSA_OK ||
        policy_document_default(&fixture.policy, NULL) != OSA_OK)
        return -1;
    *state = &fixture;
    return 0;
}

/** on_stopped() - Counts */
static inline void on_stopped(void *ctx)
{
    (*(unsigned *)ctx)++;
}

/** fixture_teardown() - Shut the agent down; nothing may be left in the backend */
static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    unsigned stopped = 0;
    agent_shutdown(f->agent, on_stopped, &stopped);
    turn_until(f, &stopped, 1);
    agent_free(f->agent);
    assert_int_equal(fake_backend_sandboxes(f->backend), 0);
    assert_int_equal(fake_backend_processes(f->backend), 0);
    f->backend->ops->close(f->backend);
    policy_document_unref(f->policy);
    osa_loop_free(f->loop);
    return 0;
}

/** on_process() - Fills a struct outcome */
static inline void on_process(void *ctx, struct process *process, const struct osa_error *error)
{
    struct outcome *outcome = ctx;
    outcome->calls++;
    outcome->process = process;
    if (error != NULL)
        outcome->error = *error;
    assert_true((process == NULL) == (error != NULL));
}

/** on_sandbox() - Fills a struct outcome */
static inline void on_sandbox(void *ctx, struct sandbox *sandbox, const struct osa_error *error)
{
    struct outcome *outcome = ctx;
    outcome->calls++;
    outcome->sandbox = sandbox;
    if (error != NULL)
        outcome->error = *error;
}

/** on_done() - Fills a struct outcome */
static inline void on_done(void *ctx, const struct osa_error *error)
{
    struct outcome *outcome = ctx;
    outcome->calls++;
    if (error != NULL)
        outcome->error = *error;
}

/** on_usage() - Fills a struct outcome */
static inline void on_usage(void *ctx, const struct usage_stats *stats,
                            const struct osa_error *error)
{
    struct outcome *outcome = ctx;
    outcome->calls++;
    if (error != NULL)
        outcome->error = *error;
    else
        outcome->stats = *stats;
}

/** on_waited() - Fills a struct waited */
static inline void on_waited(struct process_waiter *waiter, struct process *process)
{
    struct waited *waited = (struct waited *)waiter;
    waited->calls++;
    waited->exit = process->exit;
}

/** make_request() - A Spawn of a script: words separated by blanks, after a program name */
static inline struct process_request *make_request(const char *script)
{
    struct process_request *request = process_request_new();
    char *words = (char *)osa_arena_strdup(&request->arena, script);
    const char **argv = osa_arena_alloc(&request->arena, 64 * sizeof(*argv));
    argv[request->argc++] = "fake";
    for (char *word = strtok_r(words, " ", &words); word != NULL;
         word = strtok_r(NULL, " ", &words))
        argv[request->argc++] = word;
    request->argv = argv;
    return request;
}

/** spawn_request() - Spawn and wait for the answer */
static inline struct outcome spawn_request(struct fixture *f, struct process_request *request)
{
    struct outcome outcome = { 0 };
    process_spawn(f->agent, request, on_process, &outcome);
    turn_until(f, &outcome.calls, 1);
    return outcome;
}

/** spawn_script() - Spawn that must succeed */
static inline struct process *spawn_script(struct fixture *f, const char *sandbox_id,
                                           const char *script)
{
    struct process_request *request = make_request(script);
    request->sandbox_id = osa_arena_strdup(&request->arena, sandbox_id);
    struct outcome outcome = spawn_request(f, request);
    if (outcome.process == NULL)
        fail_msg("spawn failed: %s", outcome.error.text);
    return outcome.process;
}

/** create_sandbox() - CreateSandbox that must succeed */
static inline struct sandbox *create_sandbox(struct fixture *f, const char *id)
{
    struct outcome outcome = { 0 };
    struct sandbox_request *request = sandbox_request_new();
    request->id = osa_arena_strdup(&request->arena, id);
    sandbox_create(f->agent, request, on_sandbox, &outcome);
    turn_until(f, &outcome.calls, 1);
    if (outcome.sandbox == NULL)
        fail_msg("create failed: %s", outcome.error.text);
    return outcome.sandbox;
}

/** wait_exit() - Wait for the exit */
static inline struct process_exit wait_exit(struct fixture *f, struct process *process)
{
    struct waited waited = { .waiter.exited = on_waited };
    process_wait(process, &waited.waiter);
    turn_until(f, &waited.calls, 1);
    return waited.exit;
}

/** wait_quiet() - Turn the loop until nothing happens for a while */
static inline void wait_quiet(struct fixture *f)
{
    while (osa_loop_run_once(f->loop, osa_deadline_after(20 * OSA_NS_PER_MS)))
        continue;
}
