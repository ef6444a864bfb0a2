// SPDX-License-Identifier: Apache-2.0
/* GetInfo and Drain. */
#include "agent/service/service_internal.h"

#include <string.h>

static V1(RuntimeInfo) * runtime_to_wire(struct osa_arena *arena, struct backend *backend)
{
    const struct backend_info *info = backend->ops->info(backend);
    V1(RuntimeInfo) *wire = V1_NEW(arena, RuntimeInfo, RUNTIME_INFO);
    wire->kind = (V1(RuntimeKind))backend->ops->kind;
    wire->available = info->available;
    wire->unavailable_reason = (char *)info->reason;
    wire->isolation = isolation_to_wire(arena, &info->isolation);
    wire->capabilities = osa_arena_alloc(arena, BACKEND_CAP_COUNT * sizeof(char *));
    for (unsigned i = 0; i < BACKEND_CAP_COUNT; i++) {
        if ((info->capabilities & 1u << i) != 0)
            wire->capabilities[wire->n_capabilities++] = (char *)backend_capability_name(1u << i);
    }
    wire->server_version = (char *)info->server_version;
    wire->server_url = (char *)info->server_url;
    return wire;
}

static V1(HostInfo) * host_to_wire(struct osa_arena *arena, const struct service_host *host)
{
    V1(HostInfo) *wire = V1_NEW(arena, HostInfo, HOST_INFO);
    wire->os = (char *)host->os;
    wire->kernel = (char *)host->kernel;
    wire->machine = (char *)host->machine;
    wire->cpus = host->cpus;
    wire->memory_bytes = host->memory_bytes;
    wire->landlock_abi = host->landlock_abi;
    wire->seccomp = host->seccomp;
    wire->namespaces = namespaces_to_wire(arena, host->namespaces, &wire->n_namespaces);
    wire->cgroup_version = host->cgroup_version;
    wire->cgroup_controllers = words_to_wire(arena, host->controllers, &wire->n_cgroup_controllers);
    wire->kvm = host->kvm;
    wire->denial_sources = words_to_wire(arena, host->denial_sources, &wire->n_denial_sources);
    wire->denial_gaps = sentences_to_wire(arena, host->denial_gaps, sizeof(host->denial_gaps),
                                          &wire->n_denial_gaps);
    return wire;
}

static V1(AgentLimits) * limits_to_wire(struct osa_arena *arena, const struct agent_limits *limits)
{
    V1(AgentLimits) *wire = V1_NEW(arena, AgentLimits, AGENT_LIMITS);
    wire->max_sandboxes = limits->max_sandboxes;
    wire->max_processes = limits->max_processes;
    wire->output_retain_bytes = limits->output_retain_bytes;
    wire->exit_retain = duration_to_wire(arena, limits->exit_retain_ns);
    wire->exit_retain_count = limits->exit_retain_count;
    wire->max_message_bytes = limits->max_message_bytes;
    wire->max_exec_bytes = limits->max_exec_bytes;
    return wire;
}

void service_get_info(struct rpc_call *call, const ProtobufCMessage *request)
{
    const struct service *service = service_of(call);
    const struct agent_setup *setup = agent_setup(service->agent);
    const struct agent_state state = agent_state(service->agent);
    struct osa_arena arena = { 0 };
    V1(GetInfoResponse) reply = V1_INIT(GET_INFO_RESPONSE);
    (void)request;

    reply.instance_id = (char *)state.instance_id;
    reply.version = (char *)service->version;
    reply.api_version = (char *)"v1";
    reply.runtime_kind = (V1(RuntimeKind))setup->default_kind;
    reply.runtimes = osa_arena_alloc(&arena, RUNTIME_KIND_COUNT * sizeof(*reply.runtimes));
    for (unsigned kind = 0; kind < RUNTIME_KIND_COUNT; kind++) {
        if (setup->backends[kind] != NULL)
            reply.runtimes[reply.n_runtimes++] = runtime_to_wire(&arena, setup->backends[kind]);
    }
    reply.limits = limits_to_wire(&arena, &setup->limits);
    reply.capacity = resources_to_wire(&arena, &setup->capacity);
    reply.allocated = resources_to_wire(&arena, &state.allocated);
    reply.host = host_to_wire(&arena, &service->host);
    reply.started_at = timestamp_to_wire(&arena, state.started_wall_ns);
    reply.default_sandbox_id = (char *)state.default_sandbox_id;
    reply.draining = state.draining;
    reply.sandboxes = state.sandboxes;
    reply.processes = state.processes;
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

static void on_drained(void *ctx, uint32_t ended, uint32_t killed)
{
    struct rpc_call *call = ctx;
    V1(DrainResponse) reply = V1_INIT(DRAIN_RESPONSE);
    reply.ended = ended;
    reply.killed = killed;
    rpc_call_reply(call, &reply.base);
    rpc_call_unref(call);
}

void service_drain(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(DrainRequest) *wire = (const V1(DrainRequest) *)request;
    struct osa_error err = { 0 };
    int64_t timeout_ns = 0;
    if (duration_from_wire(wire->timeout, "timeout", -1, &timeout_ns, &err) != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    agent_drain(service_of(call)->agent, timeout_ns, on_drained, rpc_call_ref(call));
}
