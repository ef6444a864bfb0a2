// SPDX-License-Identifier: Apache-2.0
/* openshell.compute.v1.ComputeDriver: messages in, messages out. */
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>

static struct driver *driver_of(const struct rpc_call *call)
{
    return rpc_call_service(call);
}

static void refuse(struct rpc_call *call, const struct osa_error *err)
{
    rpc_call_fail(call, err, NULL);
}

/* ---- what the driver is ---- */

static void get_capabilities(struct rpc_call *call, const ProtobufCMessage *request)
{
    const struct driver *driver = driver_of(call);
    COMPUTE(GetCapabilitiesResponse) reply = COMPUTE_INIT(GET_CAPABILITIES_RESPONSE);
    (void)request;
    reply.driver_name = (char *)(uintptr_t)driver->config->name;
    reply.driver_version = (char *)(uintptr_t)OSA_VERSION;
    reply.default_image = (char *)(uintptr_t)driver->config->default_image;
    reply.gateway_manages_lifecycle = true;
    rpc_call_reply(call, &reply.base);
}

static void get_listeners(struct rpc_call *call, const ProtobufCMessage *request)
{
    const struct osa_strings *listeners = &driver_of(call)->config->listeners;
    typedef COMPUTE(GatewayListenerRequirement) Requirement;
    COMPUTE(GetGatewayListenerRequirementsResponse)
    reply = COMPUTE_INIT(GET_GATEWAY_LISTENER_REQUIREMENTS_RESPONSE);
    struct osa_arena arena = { 0 };
    (void)request;
    reply.requirements = osa_arena_alloc(&arena, (listeners->count + 1) * sizeof(Requirement *));
    for (size_t i = 0; i < listeners->count; i++) {
        Requirement one = COMPUTE_INIT(GATEWAY_LISTENER_REQUIREMENT);
        one.reason = (char *)(uintptr_t) "agents reach the gateway there (listener)";
        one.selector_case =
            OPENSHELL__COMPUTE__V1__GATEWAY_LISTENER_REQUIREMENT__SELECTOR_EXACT_BIND_ADDRESS;
        one.exact_bind_address = (char *)(uintptr_t)listeners->items[i];
        reply.requirements[reply.n_requirements++] = osa_arena_copy(&arena, &one, sizeof(one));
    }
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

/* ---- one sandbox ---- */

static void validate(struct rpc_call *call, const ProtobufCMessage *request)
{
    const COMPUTE(ValidateSandboxCreateRequest) *wire =
        (const COMPUTE(ValidateSandboxCreateRequest) *)request;
    COMPUTE(ValidateSandboxCreateResponse) reply = COMPUTE_INIT(VALIDATE_SANDBOX_CREATE_RESPONSE);
    struct osa_error err = { 0 };
    if (driver_validate(driver_of(call), wire->sandbox, &err) != OSA_OK)
        rpc_call_fail(call, &err, NULL);
    else
        rpc_call_reply(call, &reply.base);
}

/** struct creation - A CreateSandbox that waits for its turn; owned by the queue */
struct creation {
    struct driver_work work;
    struct driver *driver;
    struct rpc_call *call;
    ProtobufCMessage *request;
};

static void on_create(struct driver_work *work)
{
    struct creation *creation = OSA_CONTAINER_OF(work, struct creation, work);
    const COMPUTE(CreateSandboxRequest) *wire =
        (const COMPUTE(CreateSandboxRequest) *)creation->request;
    COMPUTE(CreateSandboxResponse) reply = COMPUTE_INIT(CREATE_SANDBOX_RESPONSE);
    struct osa_error err = { 0 };
    enum osa_code code = OSA_CANCELLED;
    /* A gateway that has gone meanwhile will not know of it. */
    if (rpc_call_is_cancelled(creation->call) || creation->driver->closed != NULL)
        (void)osa_fail(&err, OSA_CANCELLED, 0, "nobody waits for the answer");
    else
        code = driver_create(creation->driver, wire->sandbox, &err);
    if (code != OSA_OK)
        rpc_call_fail(creation->call, &err, NULL);
    else
        rpc_call_reply(creation->call, &reply.base);
    rpc_call_unref(creation->call);
    protobuf_c_message_free_unpacked(creation->request, NULL);
    free(creation);
}

static void create(struct rpc_call *call, const ProtobufCMessage *request)
{
    size_t len = protobuf_c_message_get_packed_size(request);
    struct creation *creation = calloc(1, sizeof(*creation));
    uint8_t *packed = malloc(len + 1);
    if (creation == NULL || packed == NULL)
        abort();
    (void)protobuf_c_message_pack(request, packed);
    creation->work.run = on_create;
    creation->driver = driver_of(call);
    creation->call = rpc_call_ref(call);
    creation->request = protobuf_c_message_unpack(request->descriptor, NULL, len, packed);
    osa_wipe(packed, len); /* the token is in there */
    free(packed);
    if (creation->request == NULL)
        abort();
    driver_queue(creation->driver, &creation->work);
}

/* The box that the gateway speaks of. Return: NULL with why in @err */
static struct box *find(struct rpc_call *call, const char *id, struct osa_error *err)
{
    struct box *box = driver_find(driver_of(call), id, err);
    if (box != NULL)
        box_confirm(box);
    return box;
}

static void get(struct rpc_call *call, const ProtobufCMessage *request)
{
    const COMPUTE(GetSandboxRequest) *wire = (const COMPUTE(GetSandboxRequest) *)request;
    COMPUTE(GetSandboxResponse) reply = COMPUTE_INIT(GET_SANDBOX_RESPONSE);
    struct osa_arena arena = { 0 };
    struct osa_error err = { 0 };
    const struct box *box = find(call, wire->sandbox_id, &err);
    if (box == NULL) {
        rpc_call_fail(call, &err, NULL);
        return;
    }
    reply.sandbox = box_snapshot(box, &arena);
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

static void list(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct driver *driver = driver_of(call);
    COMPUTE(ListSandboxesResponse) reply = COMPUTE_INIT(LIST_SANDBOXES_RESPONSE);
    struct osa_arena arena = { 0 };
    (void)request;
    reply.sandboxes =
        osa_arena_alloc(&arena, (HASH_CNT(by_id, driver->boxes) + 1) * sizeof(*reply.sandboxes));
    for (struct box *box = driver->boxes; box != NULL; box = box->by_id.next) {
        if (box->state != BOX_GONE)
            reply.sandboxes[reply.n_sandboxes++] = box_snapshot(box, &arena);
    }
    rpc_call_reply(call, &reply.base);
    osa_arena_done(&arena);
}

/* A call that waits for a box may end before it is answered. */
static void on_stopped(void *ctx, const struct osa_error *error)
{
    struct rpc_call *call = ctx;
    COMPUTE(StopSandboxResponse) reply = COMPUTE_INIT(STOP_SANDBOX_RESPONSE);
    if (error != NULL)
        rpc_call_fail(call, error, NULL);
    else
        rpc_call_reply(call, &reply.base);
    rpc_call_unref(call);
}

static void stop(struct rpc_call *call, const ProtobufCMessage *request)
{
    const COMPUTE(StopSandboxRequest) *wire = (const COMPUTE(StopSandboxRequest) *)request;
    struct osa_error err = { 0 };
    struct box *box = find(call, wire->sandbox_id, &err);
    if (box == NULL)
        rpc_call_fail(call, &err, NULL);
    else
        box_stop(box, on_stopped, rpc_call_ref(call));
}

static void start(struct rpc_call *call, const ProtobufCMessage *request)
{
    const COMPUTE(StartSandboxRequest) *wire = (const COMPUTE(StartSandboxRequest) *)request;
    COMPUTE(StartSandboxResponse) reply = COMPUTE_INIT(START_SANDBOX_RESPONSE);
    struct osa_error err = { 0 };
    struct box *box = find(call, wire->sandbox_id, &err);
    if (box == NULL || box_start(box, &err) != OSA_OK)
        rpc_call_fail(call, &err, NULL);
    else
        rpc_call_reply(call, &reply.base);
}

static void on_deleted(void *ctx, const struct osa_error *error)
{
    struct rpc_call *call = ctx;
    COMPUTE(DeleteSandboxResponse) reply = COMPUTE_INIT(DELETE_SANDBOX_RESPONSE);
    reply.deleted = true;
    if (error != NULL)
        rpc_call_fail(call, error, NULL);
    else
        rpc_call_reply(call, &reply.base);
    rpc_call_unref(call);
}

static void delete (struct rpc_call *call, const ProtobufCMessage *request)
{
    const COMPUTE(DeleteSandboxRequest) *wire = (const COMPUTE(DeleteSandboxRequest) *)request;
    COMPUTE(DeleteSandboxResponse) reply = COMPUTE_INIT(DELETE_SANDBOX_RESPONSE);
    struct osa_error err = { 0 };
    struct box *box = driver_find(driver_of(call), wire->sandbox_id, &err);
    if (box != NULL)
        box_delete(box, on_deleted, rpc_call_ref(call));
    else if (err.code ==
             OSA_NOT_FOUND) /* as the gateway wants it: it forgets the sandbox at once */
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, &err, NULL);
}

/* ---- the rest ---- */

static void watch(struct rpc_call *call, const ProtobufCMessage *request)
{
    (void)request;
    watch_add(driver_of(call), call);
}

static void watch_done(struct rpc_call *call)
{
    watch_remove(driver_of(call), call);
}

/* Nothing here belongs to a workspace rather than to a sandbox, so there is nothing to make. */
static void ensure_workspace(struct rpc_call *call, const ProtobufCMessage *request)
{
    COMPUTE(EnsureWorkspaceResponse) reply = COMPUTE_INIT(ENSURE_WORKSPACE_RESPONSE);
    (void)request;
    rpc_call_reply(call, &reply.base);
}

static void delete_workspace(struct rpc_call *call, const ProtobufCMessage *request)
{
    COMPUTE(DeleteWorkspaceResponse) reply = COMPUTE_INIT(DELETE_WORKSPACE_RESPONSE);
    (void)request;
    rpc_call_reply(call, &reply.base);
}

#define ROW(NAME, STEM, KIND, HANDLER)                                                             \
    .name = NAME, .kind = KIND, .role = RPC_ROLE_OPERATOR, .message = HANDLER,                     \
    .request = &openshell__compute__v1__##STEM##_request__descriptor

#define UNARY(NAME, STEM, HANDLER)                                                                 \
    ROW(NAME, STEM, RPC_UNARY, HANDLER),                                                           \
        .response = &openshell__compute__v1__##STEM##_response__descriptor

static const struct rpc_method methods[] = {
    { UNARY("GetCapabilities", get_capabilities, get_capabilities) },
    { UNARY("GetGatewayListenerRequirements", get_gateway_listener_requirements, get_listeners) },
    { UNARY("ValidateSandboxCreate", validate_sandbox_create, validate) },
    { UNARY("GetSandbox", get_sandbox, get) },
    { UNARY("ListSandboxes", list_sandboxes, list) },
    { UNARY("CreateSandbox", create_sandbox, create) },
    { UNARY("StopSandbox", stop_sandbox, stop) },
    { UNARY("StartSandbox", start_sandbox, start) },
    { UNARY("DeleteSandbox", delete_sandbox, delete) },
    { ROW("WatchSandboxes", watch_sandboxes, RPC_SERVER_STREAM, watch), .done = watch_done,
      .response = &openshell__compute__v1__watch_sandboxes_event__descriptor },
    { UNARY("EnsureWorkspace", ensure_workspace, ensure_workspace) },
    { UNARY("DeleteWorkspace", delete_workspace, delete_workspace) },
};

const struct rpc_service driver_service = {
    .name = "openshell.compute.v1.ComputeDriver",
    .methods = methods,
    .method_count = OSA_ARRAY_LEN(methods),
    .refuse = refuse,
};
