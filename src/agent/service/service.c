// SPDX-License-Identifier: Apache-2.0
/* The table of methods, errors, and lookups that many handlers need. */
#include "agent/service/service_internal.h"

struct service *service_of(const struct rpc_call *call)
{
    return rpc_call_service(call);
}

/* Kinds follow from codes, which were chosen where the fault was known. */
static V1(ErrorDetail__Kind) kind_of(enum osa_code code)
{
    switch (code) {
    case OSA_INVALID_ARGUMENT:
    case OSA_OUT_OF_RANGE:
    case OSA_NOT_FOUND:
    case OSA_ALREADY_EXISTS:
        return V1_ENUM(ERROR_DETAIL__KIND__KIND_INVALID);
    case OSA_PERMISSION_DENIED:
    case OSA_UNAUTHENTICATED:
        return V1_ENUM(ERROR_DETAIL__KIND__KIND_DENIED);
    case OSA_UNAVAILABLE:
        return V1_ENUM(ERROR_DETAIL__KIND__KIND_UNAVAILABLE);
    case OSA_ABORTED:
        return V1_ENUM(ERROR_DETAIL__KIND__KIND_TERMINATED);
    case OSA_FAILED_PRECONDITION:
    case OSA_INTERNAL:
    case OSA_RESOURCE_EXHAUSTED:
    case OSA_UNIMPLEMENTED:
    case OSA_DATA_LOSS:
        return V1_ENUM(ERROR_DETAIL__KIND__KIND_FAILED);
    case OSA_OK:
    case OSA_CANCELLED:
    case OSA_UNKNOWN:
    case OSA_DEADLINE_EXCEEDED:
    case OSA_CODE_COUNT:
        break;
    }
    return V1_ENUM(ERROR_DETAIL__KIND__KIND_UNSPECIFIED);
}

void service_fail(struct rpc_call *call, const struct osa_error *error)
{
    V1(ErrorDetail) detail = V1_INIT(ERROR_DETAIL);
    detail.kind = kind_of(error->code);
    if (error->stage != NULL)
        detail.stage = (char *)error->stage;
    detail.errno_value = error->sys_errno;
    if (error->sys_errno != 0)
        detail.errno_name = (char *)osa_errno_name(error->sys_errno);
    detail.field = (char *)error->field;
    rpc_call_fail(call, error, &detail.base);
}

void service_reply_done(struct rpc_call *call, const ProtobufCMessage *empty,
                        const struct osa_error *error)
{
    if (error != NULL)
        service_fail(call, error);
    else
        rpc_call_reply(call, empty);
}

struct sandbox *service_find_sandbox(struct rpc_call *call, const char *id)
{
    struct osa_error err = { 0 };
    struct sandbox *sandbox = sandbox_find(service_of(call)->agent, id, &err);
    if (sandbox == NULL)
        service_fail(call, &err);
    return sandbox;
}

struct process *service_find_process(struct rpc_call *call, const char *id)
{
    struct osa_error err = { 0 };
    struct process *process = process_find(service_of(call)->agent, id, &err);
    if (process == NULL)
        service_fail(call, &err);
    return process;
}

void service_free_data(struct rpc_call *call)
{
    free(rpc_call_data(call));
}

#define ROW(NAME, KIND, REQUEST, RESPONSE, ROLE)                                                   \
    .name = NAME, .kind = KIND, .role = ROLE,                                                      \
    .request = &openshell__agent__v1__##REQUEST##__descriptor,                                     \
    .response = &openshell__agent__v1__##RESPONSE##__descriptor

#define UNARY(NAME, STEM, ROLE, HANDLER)                                                           \
    ROW(NAME, RPC_UNARY, STEM##_request, STEM##_response, ROLE), .message = HANDLER

static const struct rpc_method methods[] = {
    { UNARY("GetInfo", get_info, RPC_ROLE_VIEWER, service_get_info) },
    { UNARY("CreateSandbox", create_sandbox, RPC_ROLE_OPERATOR, service_create_sandbox) },
    { UNARY("GetSandbox", get_sandbox, RPC_ROLE_VIEWER, service_get_sandbox) },
    { UNARY("ListSandboxes", list_sandboxes, RPC_ROLE_VIEWER, service_list_sandboxes) },
    { UNARY("DeleteSandbox", delete_sandbox, RPC_ROLE_OPERATOR, service_delete_sandbox) },
    { UNARY("Spawn", spawn, RPC_ROLE_OPERATOR, service_spawn) },
    { UNARY("Wait", wait, RPC_ROLE_VIEWER, service_wait), .done = service_wait_done },
    { UNARY("Signal", signal, RPC_ROLE_OPERATOR, service_signal) },
    { UNARY("Kill", kill, RPC_ROLE_OPERATOR, service_kill), .done = service_wait_done },
    { ROW("Attach", RPC_BIDI_STREAM, attach_request, attach_response, RPC_ROLE_OPERATOR),
      .start = service_attach_start, .message = service_attach_message,
      .half_close = service_attach_half_close, .writable = service_attach_writable,
      .done = service_attach_done },
    { UNARY("List", list, RPC_ROLE_VIEWER, service_list) },
    { UNARY("Get", get, RPC_ROLE_VIEWER, service_get) },
    { ROW("Stats", RPC_SERVER_STREAM, stats_request, stats_response, RPC_ROLE_VIEWER),
      .message = service_stats, .writable = service_stats_writable, .done = service_stats_done },
    { UNARY("UpdateResources", update_resources, RPC_ROLE_OPERATOR, service_update_resources) },
    { UNARY("UpdatePolicy", update_policy, RPC_ROLE_OPERATOR, service_update_policy) },
    { UNARY("Pause", pause, RPC_ROLE_OPERATOR, service_pause) },
    { UNARY("Resume", resume, RPC_ROLE_OPERATOR, service_resume) },
    { ROW("CopyIn", RPC_CLIENT_STREAM, copy_in_request, copy_in_response, RPC_ROLE_OPERATOR),
      .start = service_copy_in_start, .message = service_copy_in_message,
      .half_close = service_copy_in_half_close, .done = service_stream_done },
    { ROW("CopyOut", RPC_SERVER_STREAM, copy_out_request, copy_out_response, RPC_ROLE_OPERATOR),
      .message = service_copy_out, .writable = service_stream_writable,
      .done = service_stream_done },
    { ROW("PortForward", RPC_BIDI_STREAM, port_forward_request, port_forward_response,
          RPC_ROLE_OPERATOR),
      .start = service_port_forward_start, .message = service_port_forward_message,
      .half_close = service_port_forward_half_close, .writable = service_stream_writable,
      .done = service_stream_done },
    { ROW("Events", RPC_SERVER_STREAM, events_request, event, RPC_ROLE_VIEWER),
      .message = service_events, .writable = service_events_writable, .done = service_events_done },
    { UNARY("Drain", drain, RPC_ROLE_OPERATOR, service_drain) },
};

const struct rpc_service service_sandbox_agent = {
    .name = "openshell.agent.v1.SandboxAgent",
    .methods = methods,
    .method_count = OSA_ARRAY_LEN(methods),
    .refuse = service_fail,
};
