// SPDX-License-Identifier: Apache-2.0
#include "agent/agent_internal.h"
#include "agent/authority.h"
#include "agent/egress.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "policy/document.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

static const struct resources no_limits;

static void add_waiter(struct sandbox_waiter **list, sandbox_done_fn done, void *ctx)
{
    if (done == NULL)
        return;
    struct sandbox_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL)
        abort();
    *waiter = (struct sandbox_waiter){ .done = done, .ctx = ctx };
    LL_APPEND(*list, waiter);
}

static void answer(struct sandbox_waiter *list, struct sandbox *sandbox,
                   const struct osa_error *error)
{
    while (list != NULL) {
        struct sandbox_waiter *waiter = list;
        list = list->next;
        waiter->done(waiter->ctx, sandbox, error);
        free(waiter);
    }
}

struct sandbox *sandbox_find(struct agent *agent, const char *id, struct osa_error *err)
{
    struct sandbox *sandbox = NULL;
    HASH_FIND(by_id, agent->sandboxes, id, strlen(id), sandbox);
    if (sandbox == NULL)
        (void)osa_fail(err, OSA_NOT_FOUND, 0, "there is no sandbox '%.64s'", id);
    return sandbox;
}

struct sandbox *sandbox_first(struct agent *agent)
{
    return agent->sandboxes;
}

struct sandbox *sandbox_next(struct sandbox *sandbox)
{
    return sandbox->by_id.next;
}

enum osa_code sandbox_usable(const struct sandbox *sandbox, bool paused_too, struct osa_error *err)
{
    switch (sandbox->state) {
    case SANDBOX_READY:
        return OSA_OK;
    case SANDBOX_PAUSED:
        if (paused_too)
            return OSA_OK;
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "sandbox '%s' is paused; resume it first",
                        sandbox->id);
    case SANDBOX_CREATING:
        return osa_fail(err, OSA_UNAVAILABLE, 0, "sandbox '%s' is still being made; try again",
                        sandbox->id);
    case SANDBOX_DELETING:
        return osa_fail(err, OSA_ABORTED, 0, "sandbox '%s' is being deleted", sandbox->id);
    case SANDBOX_FAILED:
        return osa_fail(err, OSA_ABORTED, 0, "sandbox '%s' has failed and can only be deleted: %s",
                        sandbox->id, sandbox->message);
    }
    return osa_fail(err, OSA_INTERNAL, 0, "sandbox '%s' is in no known state", sandbox->id);
}

uint32_t sandbox_capabilities(const struct sandbox *sandbox)
{
    return sandbox->backend->ops->info(sandbox->backend)->capabilities;
}

static void remove_sandbox(struct sandbox *sandbox)
{
    struct agent *agent = sandbox->agent;
    osa_timer_disarm(&sandbox->timer);
    agent_release(agent, &sandbox->reserved, &no_limits);
    authority_free(sandbox->authority);
    HASH_DELETE(by_id, agent->sandboxes, sandbox);
    if (sandbox->request->idempotency.key[0] != '\0')
        HASH_DELETE(by_key, agent->sandboxes_by_key, sandbox);
    sandbox_request_free(sandbox->request);
    free(sandbox);
    agent_sandbox_gone(agent);
}

/* ---- deletion ---- */

static void on_destroyed(void *ctx, const struct osa_error *error)
{
    struct sandbox *sandbox = ctx;
    struct agent *agent = sandbox->agent;
    if (error != NULL)
        osa_log_error(OSA_LOG_ERROR, "agent", "sandbox left something behind", error,
                      OSA_S("sandbox", sandbox->id));
    struct process *process, *after;
    DL_FOREACH_SAFE2(sandbox->processes, process, after, sandbox_next)
    process_sandbox_gone(process);
    agent_emit(agent, EVENT_SANDBOX_DELETED, sandbox->id, NULL, NULL);
    struct sandbox_waiter *deleted = sandbox->deleted;
    remove_sandbox(sandbox);
    answer(deleted, NULL, NULL);
}

static void destroy(struct sandbox *sandbox)
{
    if (sandbox->destroying)
        return;
    sandbox->destroying = true;
    egress_close(OSA_TAKE(sandbox->egress));
    osa_timer_disarm(&sandbox->timer);
    sandbox->backend->ops->sandbox_destroy(sandbox->handle, on_destroyed, sandbox);
}

static void on_timer(struct osa_timer *timer)
{
    struct sandbox *sandbox = OSA_CONTAINER_OF(timer, struct sandbox, timer);
    if (sandbox->state == SANDBOX_DELETING)
        destroy(sandbox);
    else
        sandbox_delete(sandbox, 0, NULL, NULL);
}

void sandbox_delete(struct sandbox *sandbox, int64_t grace_ns, sandbox_done_fn done, void *ctx)
{
    add_waiter(&sandbox->deleted, done, ctx);
    if (sandbox->state == SANDBOX_CREATING) {
        sandbox->delete_wanted = true;
        return;
    }
    bool first = sandbox->state != SANDBOX_DELETING;
    sandbox->state = SANDBOX_DELETING;
    if (grace_ns <= 0 || sandbox->live == 0) {
        destroy(sandbox);
        return;
    }
    if (!first)
        return;
    struct process *process;
    DL_FOREACH2(sandbox->processes, process, sandbox_next)
    {
        if (process->state == PROCESS_RUNNING)
            (void)process_signal(process, SIGTERM, SIGNAL_TREE, NULL);
    }
    osa_timer_arm(sandbox->agent->setup.loop, &sandbox->timer, osa_deadline_after(grace_ns));
}

/* ---- processes of it ---- */

void sandbox_add_process(struct sandbox *sandbox, struct process *process)
{
    process->sandbox = sandbox;
    (void)snprintf(process->sandbox_id, sizeof(process->sandbox_id), "%s", sandbox->id);
    DL_APPEND2(sandbox->processes, process, sandbox_prev, sandbox_next);
    sandbox->live++;
    sandbox_unsettle(sandbox);
}

void sandbox_unsettle(struct sandbox *sandbox)
{
    sandbox->unsettled++;
    if (sandbox->state != SANDBOX_DELETING)
        osa_timer_disarm(&sandbox->timer);
}

static void arm_idle(struct sandbox *sandbox)
{
    if (sandbox->request->idle_timeout_ns > 0)
        osa_timer_arm(sandbox->agent->setup.loop, &sandbox->timer,
                      osa_deadline_after(sandbox->request->idle_timeout_ns));
}

void sandbox_settle(struct sandbox *sandbox)
{
    sandbox->unsettled--;
    if (sandbox->unsettled > 0)
        return;
    if (sandbox->state == SANDBOX_DELETING)
        destroy(sandbox);
    else if (sandbox->ephemeral)
        sandbox_delete(sandbox, 0, NULL, NULL);
    else
        arm_idle(sandbox);
}

void sandbox_forget_process(struct sandbox *sandbox, struct process *process)
{
    DL_DELETE2(sandbox->processes, process, sandbox_prev, sandbox_next);
    process->sandbox = NULL;
}

void sandbox_process_ended(struct sandbox *sandbox, struct process *process, bool gone)
{
    if (gone)
        sandbox_forget_process(sandbox, process);
    sandbox->live--;
    sandbox_settle(sandbox);
}

/* ---- what the backend reports ---- */

static void on_lost(struct sandbox_events *events, const char *reason)
{
    struct sandbox *sandbox = OSA_CONTAINER_OF(events, struct sandbox, events);
    (void)snprintf(sandbox->message, sizeof(sandbox->message), "%s", reason);
    agent_emit(sandbox->agent, EVENT_SANDBOX_FAILED, sandbox->id, NULL, reason);
    osa_log(OSA_LOG_ERROR, "agent", "sandbox lost; only its deletion is left",
            OSA_S("sandbox", sandbox->id), OSA_S("reason", reason));
    if (sandbox->state == SANDBOX_DELETING)
        return;
    sandbox->state = SANDBOX_FAILED;
    if (sandbox->ephemeral && sandbox->unsettled == 0)
        sandbox_delete(sandbox, 0, NULL, NULL);
}

static void on_denied(struct sandbox_events *events, const char *control, const char *text)
{
    struct sandbox *sandbox = OSA_CONTAINER_OF(events, struct sandbox, events);
    const struct event event = {
        .type = EVENT_DENIED, .sandbox_id = sandbox->id, .control = control, .message = text
    };
    events_add(sandbox->agent->events, &event);
}

static void on_visitor(struct sandbox_events *events, int fd, const struct door_visit *visit)
{
    struct sandbox *sandbox = OSA_CONTAINER_OF(events, struct sandbox, events);
    if (sandbox->egress != NULL)
        egress_visit(sandbox->egress, fd, visit);
    else
        osa_close_fd(&fd);
}

static const struct policy_document *policy_of(const struct sandbox *sandbox)
{
    return sandbox->request->policy != NULL ? sandbox->request->policy
                                            : sandbox->agent->setup.policy;
}

/* Without it everything else works, so its lack is told and no more. */
static void make_authority(struct sandbox *sandbox)
{
    struct osa_error err = { 0 };
    struct agent *agent = sandbox->agent;
    const char *state_dir = agent->setup.state_dir;
    if (state_dir == NULL || policy_of(sandbox)->rule_count == 0)
        return;
    if (agent->store == NULL)
        agent->store = authority_store();
    if (authority_new(state_dir, sandbox->id, agent->store, &sandbox->authority, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "agent", "TLS that leaves the sandbox is not looked into", &err,
                      OSA_S("sandbox", sandbox->id));
}

/* A way out that cannot be served stays shut. */
static void open_egress(struct sandbox *sandbox)
{
    struct osa_error err = { 0 };
    if (sandbox->isolation.network != NETWORK_PROXY ||
        egress_open(sandbox, policy_of(sandbox), &sandbox->egress, &err) == OSA_OK)
        return;
    agent_emit(sandbox->agent, EVENT_DENIED, sandbox->id, NULL, err.text);
    osa_log_error(OSA_LOG_ERROR, "agent", "the sandbox's way out stays shut", &err,
                  OSA_S("sandbox", sandbox->id));
}

static void on_created(void *ctx, struct backend_sandbox *handle, const struct isolation *isolation,
                       const struct resources *effective, const struct osa_error *error)
{
    struct sandbox *sandbox = ctx;
    struct agent *agent = sandbox->agent;
    struct sandbox_waiter *created = sandbox->created;
    sandbox->created = NULL;
    if (error != NULL) {
        struct sandbox_waiter *deleted = sandbox->deleted;
        struct osa_error copy = *error;
        remove_sandbox(sandbox);
        answer(created, NULL, &copy);
        answer(deleted, NULL, NULL);
        return;
    }
    sandbox->handle = handle;
    sandbox->isolation = *isolation;
    sandbox->limits = *effective;
    sandbox->state = SANDBOX_READY;
    open_egress(sandbox);
    agent_emit(agent, EVENT_SANDBOX_CREATED, sandbox->id, NULL, NULL);
    arm_idle(sandbox);
    answer(created, sandbox, NULL); /* an ephemeral one starts its process here */
    if (sandbox->delete_wanted || agent->stopping)
        sandbox_delete(sandbox, 0, NULL, NULL);
}

/* ---- creation ---- */

static struct sandbox *find_by_key(struct agent *agent, const struct spec_idempotency *want)
{
    struct sandbox *sandbox = NULL;
    if (want->key[0] != '\0')
        HASH_FIND(by_key, agent->sandboxes_by_key, want->key, strlen(want->key), sandbox);
    return sandbox;
}

static void replay(struct sandbox *sandbox, const struct spec_idempotency *want,
                   sandbox_done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (memcmp(sandbox->request->idempotency.digest, want->digest, sizeof(want->digest)) != 0)
        (void)osa_fail(&err, OSA_ALREADY_EXISTS, 0,
                       "idempotency_key '%.64s' was used for sandbox '%s' with another request",
                       want->key, sandbox->id);
    else if (sandbox->state == SANDBOX_CREATING) {
        add_waiter(&sandbox->created, done, ctx);
        return;
    }
    done(ctx, err.code == OSA_OK ? sandbox : NULL, err.code == OSA_OK ? NULL : &err);
}

static enum osa_code choose_backend(struct agent *agent, enum runtime_kind kind,
                                    struct backend **ret_backend, struct osa_error *err)
{
    if (kind == RUNTIME_KIND_DEFAULT)
        kind = agent->setup.default_kind;
    if (kind < 0 || kind >= RUNTIME_KIND_COUNT)
        return osa_fail_field(err, "spec.runtime", "%d is not a known runtime kind", (int)kind);
    if (agent->setup.backends[kind] == NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "spec.runtime: this agent has no %s backend: %s", runtime_kind_name(kind),
                        runtime_kind_absent(kind));
    *ret_backend = agent->setup.backends[kind];
    return OSA_OK;
}

static enum osa_code check(struct agent *agent, const struct sandbox_request *request,
                           struct backend **ret_backend, struct osa_error *err)
{
    struct backend *backend = NULL;
    enum osa_code code = sandbox_request_check(request, &agent->rules, err);
    if (code != OSA_OK || (code = choose_backend(agent, request->kind, &backend, err)) != OSA_OK ||
        (code = agent_check_accepting(agent, err)) != OSA_OK)
        return code;
    code = sandbox_request_check_backend(request, backend->ops->kind, backend->ops->info(backend),
                                         err);
    if (code != OSA_OK)
        return code;
    struct sandbox *taken = NULL;
    HASH_FIND(by_id, agent->sandboxes, request->id, strlen(request->id), taken);
    if (taken != NULL)
        return osa_fail(err, OSA_ALREADY_EXISTS, 0, "sandbox_id: '%s' exists", request->id);
    if (HASH_CNT(by_id, agent->sandboxes) >= agent->setup.limits.max_sandboxes)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "%u sandboxes exist, which is the most that this agent keeps; delete one",
                        agent->setup.limits.max_sandboxes);
    *ret_backend = backend;
    return agent_reserve(agent, &no_limits, &request->resources, err);
}

static struct sandbox *add_sandbox(struct agent *agent, struct sandbox_request *request,
                                   struct backend *backend)
{
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
    if (sandbox == NULL)
        abort();
    sandbox->agent = agent;
    sandbox->request = request;
    sandbox->kind = backend->ops->kind;
    sandbox->backend = backend;
    sandbox->state = SANDBOX_CREATING;
    sandbox->reserved = request->resources;
    sandbox->created_wall_ns = osa_wall_ns();
    sandbox->events =
        (struct sandbox_events){ .lost = on_lost, .denied = on_denied, .visitor = on_visitor };
    sandbox->timer.fire = on_timer;
    if (request->id[0] != '\0')
        (void)snprintf(sandbox->id, sizeof(sandbox->id), "%s", request->id);
    else
        osa_id_new('s', sandbox->id);
    HASH_ADD_KEYPTR(by_id, agent->sandboxes, sandbox->id, strlen(sandbox->id), sandbox);
    const char *key = request->idempotency.key;
    if (key[0] != '\0')
        HASH_ADD_KEYPTR(by_key, agent->sandboxes_by_key, key, strlen(key), sandbox);
    return sandbox;
}

static void attach(struct sandbox *sandbox)
{
    struct sandbox_request *request = sandbox->request;
    struct osa_arena scratch = { 0 };
    const char **env = osa_arena_alloc(&scratch, (request->env.count + 1) * sizeof(*env));
    for (size_t i = 0; i < request->env.count; i++)
        env[i] = osa_arena_printf(&scratch, "%s=%s", request->env.items[i].key,
                                  request->env.items[i].value);
    make_authority(sandbox);
    const struct sandbox_spec spec = {
        .id = sandbox->id,
        .image = request->image,
        .root = request->root,
        .changes = request->changes,
        .policy = policy_of(sandbox),
        .proxy = policy_of(sandbox)->rule_count > 0,
        .names = policy_document_has_tcp(policy_of(sandbox)),
        .shared = authority_dir(sandbox->authority),
        .resources = request->resources,
        .workdir = request->workdir[0] != '\0' ? request->workdir : "/",
        .env = env,
        .user = request->user,
        .seccomp_profile =
            request->seccomp_profile[0] != '\0' ? request->seccomp_profile : "default",
        .min_isolation = request->min_isolation != ISOLATION_ANY
                             ? request->min_isolation
                             : sandbox->agent->setup.min_isolation,
    };
    sandbox->backend->ops->sandbox_create(sandbox->backend, &spec, &sandbox->events, on_created,
                                          sandbox);
    osa_arena_done(&scratch);
}

static void create(struct agent *agent, struct sandbox_request *request, bool ephemeral,
                   sandbox_done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    struct backend *backend = NULL;
    struct sandbox *same = find_by_key(agent, &request->idempotency);
    if (same != NULL) {
        replay(same, &request->idempotency, done, ctx);
        sandbox_request_free(request);
        return;
    }
    if (check(agent, request, &backend, &err) != OSA_OK) {
        sandbox_request_free(request);
        done(ctx, NULL, &err);
        return;
    }
    struct sandbox *sandbox = add_sandbox(agent, request, backend);
    sandbox->ephemeral = ephemeral;
    add_waiter(&sandbox->created, done, ctx);
    attach(sandbox);
}

void sandbox_create(struct agent *agent, struct sandbox_request *request, sandbox_done_fn done,
                    void *ctx)
{
    create(agent, request, /* ephemeral= */ false, done, ctx);
}

void sandbox_create_for(struct process *process, struct sandbox_request *request,
                        sandbox_done_fn done, void *ctx)
{
    create(process->agent, request, /* ephemeral= */ true, done, ctx);
}
