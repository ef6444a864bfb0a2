// SPDX-License-Identifier: Apache-2.0
/* Spawn, the table, waiting, forgetting. What happens in between: process_events.c and process_ops.c. */
#include "agent/agent_internal.h"
#include "agent/egress.h"
#include "agent/output_hold.h"

#include "base/clock.h"
#include "policy/document.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#define DEFAULT_ROWS 24
#define DEFAULT_COLUMNS 80

/* ---- the table ---- */

struct process *process_find(struct agent *agent, const char *id, struct osa_error *err)
{
    struct process *process = NULL;
    HASH_FIND(by_id, agent->processes, id, strlen(id), process);
    if (process == NULL || process->state == PROCESS_STARTING) {
        (void)osa_fail(err, OSA_NOT_FOUND, 0, "there is no process '%.64s'", id);
        return NULL;
    }
    return process;
}

static struct process *skip_starting(struct process *process)
{
    while (process != NULL && process->state == PROCESS_STARTING)
        process = process->by_id.next;
    return process;
}

struct process *process_first(struct agent *agent)
{
    return skip_starting(agent->processes);
}

struct process *process_next(struct process *process)
{
    return skip_starting(process->by_id.next);
}

struct process *process_ref(struct process *process)
{
    process->refs++;
    return process;
}

void process_unref(struct process *process)
{
    if (process == NULL || --process->refs > 0)
        return;
    output_log_done(&process->log);
    process_request_free(process->request);
    free(process);
}

static void unhash(struct process *process)
{
    struct agent *agent = process->agent;
    HASH_DELETE(by_id, agent->processes, process);
    if (process->request->idempotency.key[0] != '\0')
        HASH_DELETE(by_key, agent->processes_by_key, process);
}

void process_evict(struct process *process)
{
    struct agent *agent = process->agent;
    if (process->listed) {
        DL_DELETE(agent->exited, process);
        agent->exited_count--;
        agent->exited_bytes -= process->retained_bytes;
        process->listed = false;
    }
    if (process->handle != NULL) { /* a stranger still holds the output open */
        process->handle->ops->process_free(process->handle);
        process->handle = NULL;
    }
    if (process->sandbox != NULL)
        sandbox_forget_process(process->sandbox, process);
    unhash(process);
    process->output_done = true;
    process_wake_readers(process);
    process_unref(process);
}

/* ---- waiting ---- */

void process_wait(struct process *process, struct process_waiter *waiter)
{
    if (process->state == PROCESS_EXITED)
        waiter->exited(waiter, process);
    else
        DL_APPEND(process->waiters, waiter);
}

void process_wait_cancel(struct process *process, struct process_waiter *waiter)
{
    if (waiter->prev == NULL)
        return;
    struct process_waiter *member;
    DL_FOREACH(process->waiters, member)
    {
        if (member == waiter) {
            DL_DELETE(process->waiters, waiter);
            waiter->prev = NULL;
            return;
        }
    }
    DL_DELETE(process->kill_waiters, waiter);
    waiter->prev = NULL;
}

/* ---- Spawn ---- */

static void answer(struct process *process, const struct osa_error *error)
{
    struct process_pending *pending = process->pending;
    process->pending = NULL;
    while (pending != NULL) {
        struct process_pending *next = pending->next;
        pending->done(pending->ctx, error == NULL ? process : NULL, error);
        free(pending);
        pending = next;
    }
}

static void add_pending(struct process *process, process_done_fn done, void *ctx)
{
    struct process_pending *pending = calloc(1, sizeof(*pending));
    if (pending == NULL)
        abort();
    *pending = (struct process_pending){ .done = done, .ctx = ctx };
    LL_APPEND(process->pending, pending);
}

void process_fail(struct process *process, const struct osa_error *error)
{
    struct osa_error copy = *error;
    struct agent *agent = process->agent;
    struct sandbox *sandbox = process->sandbox;
    agent_emit(agent, EVENT_PROCESS_START_FAILED, process->sandbox_id, process->id, copy.text);
    unhash(process);
    answer(process, &copy);
    agent_process_ended(agent, process);
    if (sandbox != NULL)
        sandbox_process_ended(sandbox, process, /* gone= */ true);
    process_unref(process);
}

static void on_spawned(void *ctx, struct backend_process *handle, const struct isolation *isolation,
                       const struct resources *effective, const struct osa_error *error)
{
    struct process *process = ctx;
    struct agent *agent = process->agent;
    if (error != NULL) {
        process_fail(process, error);
        return;
    }
    process->handle = handle;
    process->isolation = *isolation;
    /* A sandbox of its own has the limits that the request asked for. */
    process->limits = process->ephemeral ? process->sandbox->limits : *effective;
    process->state = PROCESS_RUNNING;
    process->started_wall_ns = osa_wall_ns();
    process->streams = process->request->tty ? OUTPUT_STDOUT : OUTPUT_STDOUT | OUTPUT_STDERR;
    output_hold_start(process);
    if (process->request->timeout_ns > 0)
        osa_timer_arm(agent->setup.loop, &process->timeout,
                      osa_deadline_after(process->request->timeout_ns));
    agent_emit(agent, EVENT_PROCESS_STARTED, process->sandbox_id, process->id,
               process->request->argv[0]);
    (void)process_ref(process);
    answer(process, NULL);
    if (agent->drain_expired) {
        process->drain_killed = true;
        process_kill_tree(process);
    }
    process_unref(process);
}

static struct rlimit_spec *make_rlimits(struct osa_arena *scratch,
                                        const struct process_request *request)
{
    struct rlimit_spec *limits =
        osa_arena_alloc(scratch, (request->rlimit_count + 1) * sizeof(*limits));
    for (size_t i = 0; i < request->rlimit_count; i++)
        limits[i] = (struct rlimit_spec){
            .resource = spec_rlimit_number(request->rlimits[i].type),
            .soft = request->rlimits[i].soft,
            .hard = request->rlimits[i].hard,
        };
    return limits;
}

void process_start(struct process *process, struct sandbox *sandbox)
{
    const struct process_request *request = process->request;
    const struct sandbox_request *shared = sandbox->request;
    struct osa_arena scratch = { 0 };
    struct terminal_size size = request->tty_size;
    if (size.rows == 0)
        size.rows = DEFAULT_ROWS;
    if (size.columns == 0)
        size.columns = DEFAULT_COLUMNS;
    const char *workdir = shared->workdir[0] != '\0' ? shared->workdir : "/";
    const struct process_spec spec = {
        .id = process->id,
        .argv = request->argv,
        .env =
            spec_environment(&scratch, egress_environment(sandbox->egress), &shared->env, request),
        .cwd = request->cwd[0] != '\0' ? request->cwd : workdir,
        .user = request->user,
        .groups = request->group_count > 0 ? request->groups : NULL,
        .tty = request->tty,
        .tty_size = size,
        .stdin_open = request->stdin_open || request->tty,
        .rlimits = make_rlimits(&scratch, request),
        .rlimit_count = request->rlimit_count,
        .resources = process->ephemeral ? (struct resources){ 0 } : request->resources,
    };
    process->kind = sandbox->kind;
    if (process->sandbox == NULL)
        sandbox_add_process(sandbox, process);
    sandbox->backend->ops->spawn(sandbox->handle, &spec, &process->events, on_spawned, process);
    osa_arena_done(&scratch);
}

static void on_own_sandbox(void *ctx, struct sandbox *sandbox, const struct osa_error *error)
{
    struct process *process = ctx;
    if (error != NULL)
        process_fail(process, error);
    else
        process_start(process, sandbox);
}

/* The sandbox of a Spawn without one: what the process request says about it, and no more. */
static struct sandbox_request *own_sandbox(struct process_request *request)
{
    struct sandbox_request *own = sandbox_request_new();
    own->kind = request->kind;
    own->image = osa_arena_strdup(&own->arena, request->image);
    own->root = osa_arena_strdup(&own->arena, request->root);
    own->seccomp_profile = osa_arena_strdup(&own->arena, request->seccomp_profile);
    own->min_isolation = request->min_isolation;
    own->resources = request->resources;
    own->policy = request->policy != NULL ? policy_document_ref(request->policy) : NULL;
    /* The sandbox's working directory, which policies can include, is the process's. */
    own->workdir = osa_arena_strdup(&own->arena, request->cwd);
    return own;
}

static struct process *add_process(struct agent *agent, struct process_request *request)
{
    struct process *process = calloc(1, sizeof(*process));
    if (process == NULL)
        abort();
    process->agent = agent;
    process->request = request;
    process->refs = 1;
    osa_id_new('p', process->id);
    process_events_init(process);
    uint64_t retain = request->output_retain_bytes;
    output_log_init(&process->log,
                    (size_t)(retain != 0 ? retain : agent->setup.limits.output_retain_bytes));
    agent->live++;
    HASH_ADD_KEYPTR(by_id, agent->processes, process->id, strlen(process->id), process);
    const char *key = request->idempotency.key;
    if (key[0] != '\0')
        HASH_ADD_KEYPTR(by_key, agent->processes_by_key, key, strlen(key), process);
    return process;
}

static void replay(struct process *process, const struct spec_idempotency *want,
                   process_done_fn done, void *ctx)
{
    if (memcmp(process->request->idempotency.digest, want->digest, sizeof(want->digest)) != 0) {
        struct osa_error err = { 0 };
        (void)osa_fail(&err, OSA_ALREADY_EXISTS, 0,
                       "idempotency_key '%.64s' was used for process '%s' with another request",
                       want->key, process->id);
        done(ctx, NULL, &err);
    } else if (process->state == PROCESS_STARTING) {
        add_pending(process, done, ctx);
    } else {
        done(ctx, process, NULL);
    }
}

/* Finds the sandbox that the request names; *ret_sandbox is NULL when it wants one of its own. */
static enum osa_code choose_sandbox(struct agent *agent, const struct process_request *request,
                                    struct sandbox **ret_sandbox, struct osa_error *err)
{
    const char *id =
        request->sandbox_id[0] != '\0' ? request->sandbox_id : agent->default_sandbox_id;
    *ret_sandbox = NULL;
    if (id[0] == '\0')
        return OSA_OK;
    struct sandbox *sandbox = sandbox_find(agent, id, err);
    if (sandbox == NULL)
        return OSA_NOT_FOUND;
    if (request->sandbox_fields != NULL)
        return osa_fail_field(err, request->sandbox_fields,
                              "belongs to the sandbox; leave it out, or Spawn without sandbox_id");
    enum osa_code code = sandbox_usable(sandbox, /* paused_too= */ false, err);
    if (code != OSA_OK)
        return code;
    *ret_sandbox = sandbox;
    return OSA_OK;
}

static enum osa_code check(struct agent *agent, const struct process_request *request,
                           struct sandbox **ret_sandbox, struct osa_error *err)
{
    enum osa_code code = process_request_check(request, &agent->rules, err);
    if (code != OSA_OK || (code = agent_check_accepting(agent, err)) != OSA_OK ||
        (code = choose_sandbox(agent, request, ret_sandbox, err)) != OSA_OK)
        return code;
    if (agent->live >= agent->setup.limits.max_processes)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "%u processes run, which is the most that this agent takes", agent->live);
    enum runtime_kind kind = request->kind;
    if (*ret_sandbox != NULL)
        kind = (*ret_sandbox)->kind;
    else if (kind == RUNTIME_KIND_DEFAULT)
        kind = agent->setup.default_kind;
    struct backend *backend =
        kind > 0 && kind < RUNTIME_KIND_COUNT ? agent->setup.backends[kind] : NULL;
    if (backend == NULL)
        return OSA_OK; /* the creation of its sandbox says what is wrong */
    return process_request_check_backend(request, *ret_sandbox != NULL, kind,
                                         backend->ops->info(backend), err);
}

static struct process *find_by_key(struct agent *agent, const struct spec_idempotency *want)
{
    struct process *process = NULL;
    if (want->key[0] != '\0')
        HASH_FIND(by_key, agent->processes_by_key, want->key, strlen(want->key), process);
    return process;
}

void process_spawn(struct agent *agent, struct process_request *request, process_done_fn done,
                   void *ctx)
{
    struct osa_error err = { 0 };
    struct sandbox *sandbox = NULL;
    struct process *same = find_by_key(agent, &request->idempotency);
    if (same != NULL) {
        replay(same, &request->idempotency, done, ctx);
        process_request_free(request);
        return;
    }
    if (check(agent, request, &sandbox, &err) != OSA_OK) {
        process_request_free(request);
        done(ctx, NULL, &err);
        return;
    }
    struct process *process = add_process(agent, request);
    add_pending(process, done, ctx);
    if (sandbox != NULL) {
        process_start(process, sandbox);
        return;
    }
    process->ephemeral = true;
    sandbox_create_for(process, own_sandbox(request), on_own_sandbox, process);
}
