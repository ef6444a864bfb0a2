// SPDX-License-Identifier: Apache-2.0
/* Spawn, Wait, Signal, Kill, List, Get. */
#include "agent/service/service_internal.h"

#include "base/signal_name.h"

#include <string.h>

#define KILL_GRACE_NS (10 * OSA_NS_PER_SEC)
#define LISTED_BYTES ((size_t)4096) /* of argv and names in env, for each process of List */

static void on_spawned(void *ctx, struct process *process, const struct osa_error *error)
{
    struct rpc_call *call = ctx;
    struct osa_arena arena = { 0 };
    V1(SpawnResponse) reply = V1_INIT(SPAWN_RESPONSE);
    if (error == NULL) {
        reply.process_id = process->id;
        reply.sandbox_id = process->sandbox_id;
        reply.isolation = isolation_to_wire(&arena, &process->isolation);
        reply.effective_resources = resources_to_wire(&arena, &process->limits);
        reply.runtime = (V1(RuntimeKind))process->kind;
        reply.started_at = timestamp_to_wire(&arena, process->started_wall_ns);
    }
    service_reply_done(call, &reply.base, error);
    osa_arena_done(&arena);
    rpc_call_unref(call);
}

void service_spawn(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct process_request *domain = NULL;
    struct osa_error err = { 0 };
    if (process_request_from_wire((const V1(SpawnRequest) *)request, &domain, &err) != OSA_OK)
        service_fail(call, &err);
    else
        process_spawn(service_of(call)->agent, domain, on_spawned, rpc_call_ref(call));
}

/* ---- Wait and Kill ---- */

struct wait_call {
    struct process_waiter waiter;
    struct rpc_call *call; /* borrowed: service_wait_done() comes before it goes */
    struct process *process;
    bool kill;
};

static void on_exited(struct process_waiter *waiter, struct process *process)
{
    struct wait_call *wait = OSA_CONTAINER_OF(waiter, struct wait_call, waiter);
    struct osa_arena arena = { 0 };
    if (wait->kill) {
        V1(KillResponse) reply = V1_INIT(KILL_RESPONSE);
        reply.exit = exit_to_wire(&arena, &process->exit);
        rpc_call_reply(wait->call, &reply.base);
    } else {
        V1(WaitResponse) reply = V1_INIT(WAIT_RESPONSE);
        reply.exit = exit_to_wire(&arena, &process->exit);
        rpc_call_reply(wait->call, &reply.base);
    }
    osa_arena_done(&arena);
}

static struct wait_call *wait_new(struct rpc_call *call, struct process *process, bool kill)
{
    struct wait_call *wait = calloc(1, sizeof(*wait));
    if (wait == NULL)
        abort();
    *wait = (struct wait_call){
        .waiter.exited = on_exited, .call = call, .process = process_ref(process), .kill = kill
    };
    rpc_call_set_data(call, wait);
    return wait;
}

void service_wait_done(struct rpc_call *call)
{
    struct wait_call *wait = rpc_call_data(call);
    if (wait == NULL)
        return;
    process_wait_cancel(wait->process, &wait->waiter);
    process_unref(wait->process);
    free(wait);
}

void service_wait(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(WaitRequest) *wire = (const V1(WaitRequest) *)request;
    struct process *process = service_find_process(call, wire->process_id);
    if (process != NULL)
        process_wait(process, &wait_new(call, process, /* kill= */ false)->waiter);
}

void service_kill(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(KillRequest) *wire = (const V1(KillRequest) *)request;
    struct osa_error err = { 0 };
    int64_t grace_ns = 0;
    if (duration_from_wire(wire->grace, "grace", KILL_GRACE_NS, &grace_ns, &err) != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    struct process *process = service_find_process(call, wire->process_id);
    if (process != NULL)
        process_kill(process, grace_ns, &wait_new(call, process, /* kill= */ true)->waiter);
}

void service_signal(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(SignalRequest) *wire = (const V1(SignalRequest) *)request;
    const V1(SignalResponse) reply = V1_INIT(SIGNAL_RESPONSE);
    struct osa_error err = { 0 };
    int signo = 0;
    int scope = (int)wire->scope;
    if (!osa_signal_parse(wire->signal, &signo))
        (void)osa_fail_field(&err, "signal",
                             "'%.32s' is not a signal; use a name as TERM or RTMIN+3, or a number "
                             "of 0 to 64",
                             wire->signal);
    else if (scope < 0 || scope > SIGNAL_TREE)
        (void)osa_fail_field(&err, "scope", "%d is not a known scope", scope);
    if (err.code != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    struct process *process = service_find_process(call, wire->process_id);
    if (process == NULL)
        return;
    enum signal_scope domain = scope == 0 ? SIGNAL_PROCESS : (enum signal_scope)scope;
    enum osa_code code = process_signal(process, signo, domain, &err);
    service_reply_done(call, &reply.base, code == OSA_OK ? NULL : &err);
}

/* ---- List and Get ---- */

static bool is_listed(const struct process *process, const V1(ListRequest) * wire,
                      const struct spec_pairs *labels)
{
    if (process->state == PROCESS_EXITED && !wire->include_exited)
        return false;
    if (wire->sandbox_id[0] != '\0' && strcmp(process->sandbox_id, wire->sandbox_id) != 0)
        return false;
    return spec_labels_match(&process->request->labels, labels);
}

/* A list of thousands is to fit into a message: what can be long is cut, and Get has it. */
static V1(Process) * shorten(V1(Process) * process)
{
    V1(ProcessSpec) *spec = process->spec;
    size_t left = LISTED_BYTES;
    if (spec == NULL)
        return process;
    spec->policy = NULL;
    for (size_t i = 0; i < spec->n_argv; i++) {
        size_t len = strlen(spec->argv[i]) + 1;
        if (len > left)
            spec->n_argv = i;
        else
            left -= len;
    }
    for (size_t i = 0; i < spec->n_env; i++) {
        size_t len = strlen(spec->env[i]->key) + 1;
        if (len > left)
            spec->n_env = i;
        else
            left -= len;
    }
    return process;
}

void service_list(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(ListRequest) *wire = (const V1(ListRequest) *)request;
    struct agent *agent = service_of(call)->agent;
    struct osa_arena arena = { 0 };
    V1(ListResponse) reply = V1_INIT(LIST_RESPONSE);
    const struct spec_pairs want = pairs_from_wire(&arena, wire->labels, wire->n_labels);

    size_t count = 0;
    for (struct process *p = process_first(agent); p != NULL; p = process_next(p))
        count += is_listed(p, wire, &want);
    reply.processes = osa_arena_alloc(&arena, (count + 1) * sizeof(*reply.processes));
    for (struct process *p = process_first(agent); p != NULL; p = process_next(p)) {
        if (is_listed(p, wire, &want))
            reply.processes[reply.n_processes++] = shorten(process_to_wire(&arena, p));
    }
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

struct get_call {
    struct rpc_call *call;
    struct process *process;
};

/* tree_size is what the kernel says now; without it the answer goes out all the same. */
static void on_get_stats(void *ctx, const struct usage_stats *stats, const struct osa_error *error)
{
    struct get_call *get = ctx;
    struct osa_arena arena = { 0 };
    V1(GetResponse) reply = V1_INIT(GET_RESPONSE);
    reply.process = process_to_wire(&arena, get->process);
    if (error == NULL)
        reply.process->tree_size = (uint32_t)stats->pids;
    rpc_call_reply(get->call, &reply.base);
    osa_arena_done(&arena);
    process_unref(get->process);
    rpc_call_unref(get->call);
    free(get);
}

void service_get(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(GetRequest) *wire = (const V1(GetRequest) *)request;
    struct process *process = service_find_process(call, wire->process_id);
    if (process == NULL)
        return;
    struct get_call *get = calloc(1, sizeof(*get));
    if (get == NULL)
        abort();
    *get = (struct get_call){ rpc_call_ref(call), process_ref(process) };
    process_stats(process, on_get_stats, get);
}
