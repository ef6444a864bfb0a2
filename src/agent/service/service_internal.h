// SPDX-License-Identifier: Apache-2.0
/* What the handlers share. */
#pragma once

#include "agent/process.h"
#include "agent/sandbox.h"
#include "agent/service/service.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/macros.h"

#include "openshell/agent/v1/agent.pb-c.h"

/* Generated names, shorter: V1(SpawnRequest), V1_INIT(SPAWN_REQUEST), V1_ENUM(RUNTIME_KIND__RUNTIME_KIND_PROCESS). */
#define V1(name) Openshell__Agent__V1__##name
#define V1_INIT(name) OPENSHELL__AGENT__V1__##name##__INIT
#define V1_ENUM(name) OPENSHELL__AGENT__V1__##name
#define V1_NEW(arena, name, NAME)                                                                  \
    ((V1(name) *)osa_arena_copy((arena), &(const V1(name))V1_INIT(NAME), sizeof(V1(name))))

/** service_of() - The service of a call */
struct service *service_of(const struct rpc_call *call);

/** service_fail() - End a call with an error and its ErrorDetail */
void service_fail(struct rpc_call *call, const struct osa_error *error);

/** service_reply_done() - Answer with an empty message, or fail when @error is not NULL */
void service_reply_done(struct rpc_call *call, const ProtobufCMessage *empty,
                        const struct osa_error *error);

/** service_find_sandbox() - By id; fails the call when there is none. Return: NULL then */
struct sandbox *service_find_sandbox(struct rpc_call *call, const char *id);
/** service_find_process() - By id; fails the call when there is none. Return: NULL then */
struct process *service_find_process(struct rpc_call *call, const char *id);

/** service_free_data() - A `done` that frees rpc_call_data() */
void service_free_data(struct rpc_call *call);

/* ---- from the wire ---- */

/** duration_from_wire() - Nanoseconds; @absent when there is none. INVALID_ARGUMENT when negative or over ten years */
OSA_MUST_CHECK enum osa_code duration_from_wire(const Google__Protobuf__Duration *wire,
                                                const char *field, int64_t absent, int64_t *ret_ns,
                                                struct osa_error *err);

/** resources_from_wire() - NULL gives none */
struct resources resources_from_wire(const V1(Resources) * wire);

/** sandbox_request_from_wire() - @ret_request: returned (free with sandbox_request_free) */
OSA_MUST_CHECK enum osa_code sandbox_request_from_wire(const V1(CreateSandboxRequest) * wire,
                                                       struct sandbox_request **ret_request,
                                                       struct osa_error *err);

/** process_request_from_wire() - @ret_request: returned (free with process_request_free) */
OSA_MUST_CHECK enum osa_code process_request_from_wire(const V1(SpawnRequest) * wire,
                                                       struct process_request **ret_request,
                                                       struct osa_error *err);

/**
 * pairs_from_wire() - Copy map entries, which all maps of strings have in the same form
 * @entries, @count: V1(…Entry) pointers of a map<string, string>
 */
struct spec_pairs pairs_from_wire(struct osa_arena *arena, const void *entries, size_t count);

/**
 * request_digest() - SHA-256 of a request, whatever the order of its map entries
 * Its field idempotency_key is left out.
 */
void request_digest(const ProtobufCMessage *request, uint8_t ret_digest[32]);

/* ---- to the wire; everything lives in the arena ---- */

/** duration_to_wire() - Negative counts as 0 */
Google__Protobuf__Duration *duration_to_wire(struct osa_arena *arena, int64_t ns);
/** timestamp_to_wire() - NULL for 0, which is "never" */
Google__Protobuf__Timestamp *timestamp_to_wire(struct osa_arena *arena, int64_t wall_ns);
/** resources_to_wire() - Copy */
Openshell__Agent__V1__Resources *resources_to_wire(struct osa_arena *arena,
                                                   const struct resources *limits);
/** isolation_to_wire() - Copy */
Openshell__Agent__V1__Isolation *isolation_to_wire(struct osa_arena *arena,
                                                   const struct isolation *isolation);
/** exit_to_wire() - Copy */
Openshell__Agent__V1__Exit *exit_to_wire(struct osa_arena *arena, const struct process_exit *exit);
/** sandbox_to_wire() - With the spec as it was sent, but for values of the environment */
Openshell__Agent__V1__Sandbox *sandbox_to_wire(struct osa_arena *arena,
                                               const struct sandbox *sandbox);
/** process_to_wire() - With the spec as it was sent, but for values of the environment */
Openshell__Agent__V1__Process *process_to_wire(struct osa_arena *arena,
                                               const struct process *process);
/** event_to_wire() - Copy */
Openshell__Agent__V1__Event *event_to_wire(struct osa_arena *arena, const struct event *event,
                                           const char *instance_id);
/** namespaces_to_wire() - Names of NAMESPACE_* bits; *ret_count of them */
char **namespaces_to_wire(struct osa_arena *arena, unsigned bits, size_t *ret_count);
/** words_to_wire() - Words of a text, separated by blanks */
char **words_to_wire(struct osa_arena *arena, const char *text, size_t *ret_count);

/** sentences_to_wire() - NUL-separated sentences, ended by an empty one or by @size */
char **sentences_to_wire(struct osa_arena *arena, const char *text, size_t size, size_t *ret_count);

/* ---- methods, by file; each as struct rpc_method wants it ---- */

/** service_get_info() - GetInfo */
void service_get_info(struct rpc_call *call, const ProtobufCMessage *request);
/** service_drain() - Drain */
void service_drain(struct rpc_call *call, const ProtobufCMessage *request);

/** service_create_sandbox() - CreateSandbox */
void service_create_sandbox(struct rpc_call *call, const ProtobufCMessage *request);
/** service_get_sandbox() - GetSandbox */
void service_get_sandbox(struct rpc_call *call, const ProtobufCMessage *request);
/** service_list_sandboxes() - ListSandboxes */
void service_list_sandboxes(struct rpc_call *call, const ProtobufCMessage *request);
/** service_delete_sandbox() - DeleteSandbox */
void service_delete_sandbox(struct rpc_call *call, const ProtobufCMessage *request);
/** service_pause() - Pause */
void service_pause(struct rpc_call *call, const ProtobufCMessage *request);
/** service_resume() - Resume */
void service_resume(struct rpc_call *call, const ProtobufCMessage *request);
/** service_update_resources() - UpdateResources */
void service_update_resources(struct rpc_call *call, const ProtobufCMessage *request);
/** service_update_policy() - UpdatePolicy */
void service_update_policy(struct rpc_call *call, const ProtobufCMessage *request);

/** service_spawn() - Spawn */
void service_spawn(struct rpc_call *call, const ProtobufCMessage *request);
/** service_wait() - Wait */
void service_wait(struct rpc_call *call, const ProtobufCMessage *request);
/** service_signal() - Signal */
void service_signal(struct rpc_call *call, const ProtobufCMessage *request);
/** service_kill() - Kill */
void service_kill(struct rpc_call *call, const ProtobufCMessage *request);
/** service_wait_done() - End of Wait and Kill */
void service_wait_done(struct rpc_call *call);
/** service_list() - List */
void service_list(struct rpc_call *call, const ProtobufCMessage *request);
/** service_get() - Get */
void service_get(struct rpc_call *call, const ProtobufCMessage *request);

/** service_attach_start() - Attach begins */
void service_attach_start(struct rpc_call *call);
/** service_attach_message() - Attach: start, stdin, end of it, or a new size */
void service_attach_message(struct rpc_call *call, const ProtobufCMessage *request);
/** service_attach_half_close() - Attach: no more from the client */
void service_attach_half_close(struct rpc_call *call);
/** service_attach_writable() - Attach: more output is welcome */
void service_attach_writable(struct rpc_call *call);
/** service_attach_done() - Attach ends */
void service_attach_done(struct rpc_call *call);

/** service_stats() - Stats */
void service_stats(struct rpc_call *call, const ProtobufCMessage *request);
/** service_stats_writable() - Stats: the client has caught up */
void service_stats_writable(struct rpc_call *call);
/** service_stats_done() - Stats ends */
void service_stats_done(struct rpc_call *call);

/** service_events() - Events */
void service_events(struct rpc_call *call, const ProtobufCMessage *request);
/** service_events_writable() - Events: more is welcome */
void service_events_writable(struct rpc_call *call);
/** service_events_done() - Events ends */
void service_events_done(struct rpc_call *call);

/** service_copy_in_start() - CopyIn begins */
void service_copy_in_start(struct rpc_call *call);
/** service_copy_in_message() - CopyIn: start, or the next bytes */
void service_copy_in_message(struct rpc_call *call, const ProtobufCMessage *request);
/** service_copy_in_half_close() - CopyIn: the archive is complete */
void service_copy_in_half_close(struct rpc_call *call);
/** service_copy_out() - CopyOut */
void service_copy_out(struct rpc_call *call, const ProtobufCMessage *request);
/** service_port_forward_start() - PortForward begins */
void service_port_forward_start(struct rpc_call *call);
/** service_port_forward_message() - PortForward: start, or the next bytes */
void service_port_forward_message(struct rpc_call *call, const ProtobufCMessage *request);
/** service_port_forward_half_close() - PortForward: the client writes no more */
void service_port_forward_half_close(struct rpc_call *call);
/** service_stream_writable() - CopyOut, PortForward: more is welcome */
void service_stream_writable(struct rpc_call *call);
/** service_stream_done() - CopyIn, CopyOut, PortForward end */
void service_stream_done(struct rpc_call *call);
