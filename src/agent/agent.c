// SPDX-License-Identifier: Apache-2.0
#include "agent/agent_internal.h"

#include "base/clock.h"
#include "io/tls_store.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

struct agent_limits agent_limits_default(void)
{
    return (struct agent_limits){
        .max_sandboxes = 1000,
        .max_processes = 4096,
        .output_retain_bytes = 1 << 20,
        .output_total_bytes = 64 << 20,
        .exit_retain_ns = 600 * OSA_NS_PER_SEC,
        .exit_retain_count = 1024,
        .max_message_bytes = 4 << 20,
        .max_exec_bytes = 1 << 20,
        .events_kept = 4096,
        .drain_timeout_ns = 30 * OSA_NS_PER_SEC,
    };
}

static void on_retain_timer(struct osa_timer *timer);
static void on_drain_timer(struct osa_timer *timer);

struct agent *agent_new(const struct agent_setup *config)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    if (agent == NULL)
        abort();
    agent->setup = *config;
    agent->rules = (struct spec_rules){
        .max_exec_bytes = config->limits.max_exec_bytes,
        .output_retain_bytes = config->limits.output_retain_bytes,
        .allow_loader_env = config->allow_loader_env,
    };
    osa_id_new('a', agent->instance_id);
    agent->started_wall_ns = osa_wall_ns();
    agent->events = events_new(config->limits.events_kept);
    agent->retain_timer.fire = on_retain_timer;
    agent->drain_timer.fire = on_drain_timer;
    agent->drain_deadline_ns = OSA_NEVER;
    return agent;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL)
        return;
    while (agent->exited != NULL)
        process_evict(agent->exited);
    osa_timer_disarm(&agent->retain_timer);
    osa_timer_disarm(&agent->drain_timer);
    dns_close(agent->dns);
    tls_trust_free(agent->trust);
    tls_store_free(agent->store);
    events_free(agent->events);
    free(agent);
}

const struct agent_setup *agent_setup(const struct agent *agent)
{
    return &agent->setup;
}

struct agent_state agent_state(const struct agent *agent)
{
    return (struct agent_state){
        .instance_id = agent->instance_id,
        .started_wall_ns = agent->started_wall_ns,
        .default_sandbox_id = agent->default_sandbox_id,
        .draining = agent->draining,
        .allocated = agent->allocated,
        .sandboxes = HASH_CNT(by_id, agent->sandboxes),
        .processes = agent->live,
    };
}

struct events *agent_events(struct agent *agent)
{
    return agent->events;
}

void agent_set_default_sandbox(struct agent *agent, const char *id)
{
    (void)snprintf(agent->default_sandbox_id, sizeof(agent->default_sandbox_id), "%s", id);
}

void agent_emit(struct agent *agent, enum event_type type, const char *sandbox_id,
                const char *process_id, const char *message)
{
    const struct event event = {
        .type = type, .sandbox_id = sandbox_id, .process_id = process_id, .message = message
    };
    events_add(agent->events, &event);
}

enum osa_code agent_check_accepting(const struct agent *agent, struct osa_error *err)
{
    if (agent->draining)
        return osa_fail(err, OSA_UNAVAILABLE, 0,
                        "the agent is draining and starts nothing new; use another one");
    return OSA_OK;
}

/* ---- capacity ---- */

static enum osa_code fits(uint64_t capacity, uint64_t allocated, uint64_t before, uint64_t after,
                          const char *name, struct osa_error *err)
{
    uint64_t others = allocated - before;
    if (capacity == 0 || after <= before || (others <= capacity && after <= capacity - others))
        return OSA_OK;
    return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                    "%s: %llu wanted, %llu of %llu are free; ask for less or delete a sandbox",
                    name, (unsigned long long)after,
                    (unsigned long long)(others < capacity ? capacity - others : 0),
                    (unsigned long long)capacity);
}

enum osa_code agent_reserve(struct agent *agent, const struct resources *before,
                            const struct resources *after, struct osa_error *err)
{
    const struct resources *cap = &agent->setup.capacity;
    const struct resources *sum = &agent->allocated;
    enum osa_code code;
    if ((code = fits(cap->cpu_millis, sum->cpu_millis, before->cpu_millis, after->cpu_millis,
                     "resources.cpu_millis", err)) != OSA_OK ||
        (code = fits(cap->memory_bytes, sum->memory_bytes, before->memory_bytes,
                     after->memory_bytes, "resources.memory_bytes", err)) != OSA_OK ||
        (code = fits(cap->pids_max, sum->pids_max, before->pids_max, after->pids_max,
                     "resources.pids_max", err)) != OSA_OK ||
        (code = fits(cap->disk_bytes, sum->disk_bytes, before->disk_bytes, after->disk_bytes,
                     "resources.disk_bytes", err)) != OSA_OK)
        return code;
    agent_release(agent, before, after);
    return OSA_OK;
}

void agent_release(struct agent *agent, const struct resources *before,
                   const struct resources *after)
{
    struct resources *sum = &agent->allocated;
    sum->cpu_millis += after->cpu_millis - before->cpu_millis;
    sum->memory_bytes += after->memory_bytes - before->memory_bytes;
    sum->pids_max += after->pids_max - before->pids_max;
    sum->disk_bytes += after->disk_bytes - before->disk_bytes;
}

struct resources agent_merge_limits(const struct resources *before, const struct resources *wanted)
{
    return (struct resources){
        .cpu_millis = wanted->cpu_millis != 0 ? wanted->cpu_millis : before->cpu_millis,
        .memory_bytes = wanted->memory_bytes != 0 ? wanted->memory_bytes : before->memory_bytes,
        .pids_max = wanted->pids_max != 0 ? wanted->pids_max : before->pids_max,
        .disk_bytes = wanted->disk_bytes != 0 ? wanted->disk_bytes : before->disk_bytes,
    };
}

/* ---- what exited processes leave behind ---- */

static void arm_retain_timer(struct agent *agent)
{
    osa_timer_arm(agent->setup.loop, &agent->retain_timer,
                  agent->exited == NULL ? OSA_NEVER : agent->exited->retained_until_ns);
}

static void count_memory(struct agent *agent, struct process *process)
{
    size_t now = output_log_memory(&process->log) + osa_arena_bytes(&process->request->arena);
    agent->exited_bytes += now;
    agent->exited_bytes -= process->retained_bytes;
    process->retained_bytes = now;
}

static bool holds_too_much(const struct agent *agent)
{
    return agent->exited_bytes > agent->setup.limits.output_total_bytes;
}

static void drop_outputs(struct agent *agent)
{
    struct process *process;
    DL_FOREACH(agent->exited, process)
    {
        if (!holds_too_much(agent))
            return;
        output_log_drop(&process->log);
        count_memory(agent, process);
    }
}

static void forget(struct process *process, int64_t now)
{
    if (process->busy > 0) /* the backend still works on it: look again soon */
        process->retained_until_ns = now + OSA_NS_PER_SEC;
    else
        process_evict(process);
}

static void enforce_retention(struct agent *agent)
{
    const struct agent_limits *limits = &agent->setup.limits;
    int64_t now = osa_now_ns();
    struct process *process, *after;
    DL_FOREACH_SAFE(agent->exited, process, after)
    {
        bool over = agent->exited_count > limits->exit_retain_count;
        if (!over && process->retained_until_ns > now)
            break;
        forget(process, now);
    }
    drop_outputs(agent);
    DL_FOREACH_SAFE(agent->exited, process, after)
    {
        if (!holds_too_much(agent))
            break;
        forget(process, now); /* its request alone can have a megabyte */
    }
    arm_retain_timer(agent);
}

static void on_retain_timer(struct osa_timer *timer)
{
    enforce_retention(OSA_CONTAINER_OF(timer, struct agent, retain_timer));
}

void agent_retain_output(struct agent *agent, struct process *process)
{
    count_memory(agent, process);
    drop_outputs(agent); /* no more: the caller may be in a callback of what would be freed */
}

void agent_retain(struct agent *agent, struct process *process)
{
    process->retained_until_ns = osa_deadline_after(agent->setup.limits.exit_retain_ns);
    process->listed = true;
    DL_APPEND(agent->exited, process);
    agent->exited_count++;
    count_memory(agent, process);
    enforce_retention(agent);
}

/* ---- drain and shutdown ---- */

static void check_drained(struct agent *agent)
{
    if (!agent->draining || agent->live > 0)
        return;
    osa_timer_disarm(&agent->drain_timer);
    while (agent->drain_waiters != NULL) {
        struct drain_waiter *waiter = agent->drain_waiters;
        LL_DELETE(agent->drain_waiters, waiter);
        waiter->done(waiter->ctx, agent->drain_ended, agent->drain_killed);
        free(waiter);
    }
}

static void check_stopped(struct agent *agent)
{
    if (!agent->stopping || agent->sandboxes != NULL || agent->live > 0)
        return;
    agent->stopping = false;
    agent->stopped(agent->stopped_ctx);
}

void agent_process_ended(struct agent *agent, const struct process *process)
{
    agent->live--;
    if (agent->draining && process->state == PROCESS_EXITED) {
        if (process->drain_killed)
            agent->drain_killed++;
        else
            agent->drain_ended++;
    }
    check_drained(agent);
    check_stopped(agent);
}

void agent_sandbox_gone(struct agent *agent)
{
    check_stopped(agent);
}

static void on_drain_timer(struct osa_timer *timer)
{
    struct agent *agent = OSA_CONTAINER_OF(timer, struct agent, drain_timer);
    agent->drain_expired = true;
    struct process *process, *after;
    HASH_ITER(by_id, agent->processes, process, after)
    {
        if (process->state != PROCESS_RUNNING)
            continue; /* one that is starting is killed when it has started */
        process->drain_killed = true;
        process_kill_tree(process);
    }
}

void agent_drain(struct agent *agent, int64_t timeout_ns,
                 void (*done)(void *ctx, uint32_t ended, uint32_t killed), void *ctx)
{
    if (timeout_ns < 0)
        timeout_ns = agent->setup.limits.drain_timeout_ns;
    if (done != NULL) {
        struct drain_waiter *waiter = calloc(1, sizeof(*waiter));
        if (waiter == NULL)
            abort();
        *waiter = (struct drain_waiter){ .done = done, .ctx = ctx };
        LL_APPEND(agent->drain_waiters, waiter);
    }
    if (!agent->draining) {
        agent->draining = true;
        agent_emit(agent, EVENT_DRAINING, NULL, NULL, "no new work is accepted");
        if (agent->setup.draining != NULL)
            agent->setup.draining(agent->setup.ctx);
    }
    int64_t deadline = osa_deadline_after(timeout_ns);
    if (deadline < agent->drain_deadline_ns) {
        agent->drain_deadline_ns = deadline;
        osa_timer_arm(agent->setup.loop, &agent->drain_timer, deadline);
    }
    check_drained(agent);
}

void agent_shutdown(struct agent *agent, void (*done)(void *ctx), void *ctx)
{
    agent->stopping = true;
    agent->stopped = done;
    agent->stopped_ctx = ctx;
    agent_drain(agent, 0, NULL, NULL);
    struct sandbox *sandbox, *after;
    HASH_ITER(by_id, agent->sandboxes, sandbox, after)
    sandbox_delete(sandbox, 0, NULL, NULL);
    check_stopped(agent);
}
