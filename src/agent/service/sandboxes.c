// SPDX-License-Identifier: Apache-2.0
/* CreateSandbox, GetSandbox, ListSandboxes, DeleteSandbox, Pause, Resume, UpdateResources, UpdatePolicy. */
#include "agent/service/service_internal.h"
#include "policy/document.h"
#include "wire/policy_wire.h"

#include <stdio.h>

static void on_created(void *ctx, struct sandbox *sandbox, const struct osa_error *error)
{
    struct rpc_call *call = ctx;
    struct osa_arena arena = { 0 };
    V1(CreateSandboxResponse) reply = V1_INIT(CREATE_SANDBOX_RESPONSE);
    if (error == NULL)
        reply.sandbox = sandbox_to_wire(&arena, sandbox);
    service_reply_done(call, &reply.base, error);
    osa_arena_done(&arena);
    rpc_call_unref(call);
}

void service_create_sandbox(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct sandbox_request *domain = NULL;
    struct osa_error err = { 0 };
    if (sandbox_request_from_wire((const V1(CreateSandboxRequest) *)request, &domain, &err) !=
        OSA_OK)
        service_fail(call, &err);
    else
        sandbox_create(service_of(call)->agent, domain, on_created, rpc_call_ref(call));
}

void service_get_sandbox(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(GetSandboxRequest) *wire = (const V1(GetSandboxRequest) *)request;
    const struct sandbox *sandbox = service_find_sandbox(call, wire->sandbox_id);
    if (sandbox == NULL)
        return;
    struct osa_arena arena = { 0 };
    V1(GetSandboxResponse) reply = V1_INIT(GET_SANDBOX_RESPONSE);
    reply.sandbox = sandbox_to_wire(&arena, sandbox);
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

void service_list_sandboxes(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(ListSandboxesRequest) *wire = (const V1(ListSandboxesRequest) *)request;
    struct agent *agent = service_of(call)->agent;
    struct osa_arena arena = { 0 };
    V1(ListSandboxesResponse) reply = V1_INIT(LIST_SANDBOXES_RESPONSE);
    const struct spec_pairs want = pairs_from_wire(&arena, wire->labels, wire->n_labels);

    size_t room = agent_state(agent).sandboxes + 1;
    reply.sandboxes = osa_arena_alloc(&arena, room * sizeof(*reply.sandboxes));
    for (struct sandbox *s = sandbox_first(agent); s != NULL; s = sandbox_next(s)) {
        if (!spec_labels_match(&s->request->labels, &want))
            continue;
        V1(Sandbox) *listed = sandbox_to_wire(&arena, s);
        listed->spec->policy = NULL; /* the largest part by far; GetSandbox has it */
        reply.sandboxes[reply.n_sandboxes++] = listed;
    }
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

static void on_deleted(void *ctx, struct sandbox *sandbox, const struct osa_error *error)
{
    struct rpc_call *call = ctx;
    const V1(DeleteSandboxResponse) reply = V1_INIT(DELETE_SANDBOX_RESPONSE);
    (void)sandbox;
    service_reply_done(call, &reply.base, error);
    rpc_call_unref(call);
}

void service_delete_sandbox(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(DeleteSandboxRequest) *wire = (const V1(DeleteSandboxRequest) *)request;
    struct osa_error err = { 0 };
    int64_t grace_ns = 0;
    if (duration_from_wire(wire->grace, "grace", 0, &grace_ns, &err) != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    struct sandbox *sandbox = service_find_sandbox(call, wire->sandbox_id);
    if (sandbox != NULL)
        sandbox_delete(sandbox, grace_ns, on_deleted, rpc_call_ref(call));
}

static void on_paused(void *ctx, const struct osa_error *error)
{
    const V1(PauseResponse) reply = V1_INIT(PAUSE_RESPONSE);
    service_reply_done(ctx, &reply.base, error);
    rpc_call_unref(ctx);
}

void service_pause(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(PauseRequest) *wire = (const V1(PauseRequest) *)request;
    struct sandbox *sandbox = service_find_sandbox(call, wire->sandbox_id);
    if (sandbox != NULL)
        sandbox_pause(sandbox, /* pause= */ true, on_paused, rpc_call_ref(call));
}

static void on_resumed(void *ctx, const struct osa_error *error)
{
    const V1(ResumeResponse) reply = V1_INIT(RESUME_RESPONSE);
    service_reply_done(ctx, &reply.base, error);
    rpc_call_unref(ctx);
}

void service_resume(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(ResumeRequest) *wire = (const V1(ResumeRequest) *)request;
    struct sandbox *sandbox = service_find_sandbox(call, wire->sandbox_id);
    if (sandbox != NULL)
        sandbox_pause(sandbox, /* pause= */ false, on_resumed, rpc_call_ref(call));
}

/* ---- UpdateResources ---- */

struct update {
    struct rpc_call *call;
    char sandbox_id[64];
    char process_id[OSA_ID_SIZE];
};

static void on_updated(void *ctx, const struct osa_error *error)
{
    struct update *update = ctx;
    struct agent *agent = service_of(update->call)->agent;
    struct osa_arena arena = { 0 };
    V1(UpdateResourcesResponse) reply = V1_INIT(UPDATE_RESOURCES_RESPONSE);
    const struct sandbox *sandbox = sandbox_find(agent, update->sandbox_id, NULL);
    const struct process *process = process_find(agent, update->process_id, NULL);
    if (sandbox != NULL)
        reply.effective_resources = resources_to_wire(&arena, &sandbox->limits);
    else if (process != NULL)
        reply.effective_resources = resources_to_wire(&arena, &process->limits);
    service_reply_done(update->call, &reply.base, error);
    osa_arena_done(&arena);
    rpc_call_unref(update->call);
    free(update);
}

static struct update *update_new(struct rpc_call *call, const V1(UpdateResourcesRequest) * wire)
{
    struct update *update = calloc(1, sizeof(*update));
    if (update == NULL)
        abort();
    update->call = rpc_call_ref(call);
    (void)snprintf(update->sandbox_id, sizeof(update->sandbox_id), "%s", wire->sandbox_id);
    (void)snprintf(update->process_id, sizeof(update->process_id), "%s", wire->process_id);
    return update;
}

void service_update_resources(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(UpdateResourcesRequest) *wire = (const V1(UpdateResourcesRequest) *)request;
    const struct resources wanted = resources_from_wire(wire->resources);
    struct osa_error err = { 0 };
    if ((wire->sandbox_id[0] == '\0') == (wire->process_id[0] == '\0'))
        (void)osa_fail_field(&err, "sandbox_id", "give either sandbox_id or process_id");
    else if ((wanted.cpu_millis | wanted.memory_bytes | wanted.pids_max | wanted.disk_bytes) == 0)
        (void)osa_fail_field(&err, "resources", "empty; name at least one limit");
    if (err.code != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    if (wire->sandbox_id[0] != '\0') {
        struct sandbox *sandbox = service_find_sandbox(call, wire->sandbox_id);
        if (sandbox != NULL)
            sandbox_update(sandbox, &wanted, on_updated, update_new(call, wire));
    } else {
        struct process *process = service_find_process(call, wire->process_id);
        if (process != NULL)
            process_update(process, &wanted, on_updated, update_new(call, wire));
    }
}

/* ---- UpdatePolicy ---- */

void service_update_policy(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(UpdatePolicyRequest) *wire = (const V1(UpdatePolicyRequest) *)request;
    OSA_AUTO(policy_document_unrefp) const struct policy_document *doc = NULL;
    V1(UpdatePolicyResponse) reply = V1_INIT(UPDATE_POLICY_RESPONSE);
    struct osa_error err = { 0 };
    struct sandbox *sandbox = service_find_sandbox(call, wire->sandbox_id);
    if (sandbox == NULL)
        return;
    if (wire->policy == NULL)
        (void)osa_fail_field(&err, "policy", "missing");
    else if (policy_from_wire(wire->policy, "policy", &doc, &err) == OSA_OK &&
             sandbox_set_policy(sandbox, doc, &reply.version, &err) == OSA_OK) {
        reply.warnings = (char **)(void *)doc->warnings.items;
        reply.n_warnings = doc->warnings.count;
        rpc_call_reply(call, &reply.base);
        return;
    }
    service_fail(call, &err);
}
