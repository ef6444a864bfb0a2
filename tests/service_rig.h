// SPDX-License-Identifier: Apache-2.0
/* The SandboxAgent service over the fake backend, served and called on one loop in one process. */
#pragma once

#include "agent_fixture.h"
#include "base/macros.h"
#include "rpc/client.h"

#include "agent/service/service_internal.h"
#include "google/rpc/status.pb-c.h"

#define SERVICE "/openshell.agent.v1.SandboxAgent/"

struct rig {
    struct fixture f;
    struct service service;
    struct rpc_server_config config;
    struct rpc_listen listen;
    struct rpc_server *server;
    struct rpc_channel *channel;
    char dir[64];
    char address[96];
};

/* A Spawn whose parts live in the caller's frame. */
struct spawn {
    V1(SpawnRequest) request;
    V1(ProcessSpec) spec;
};

/* How a call failed. */
struct failure {
    enum osa_code code;
    int kind;
    int errno_value;
    char errno_name[32];
    char stage[32];
    char field[64];
    char text[512];
};

/* A call of any kind and what came back; responses are kept whole. */
struct stream_probe {
    struct rpc_client_events events;
    struct rpc_client_call *call;
    ProtobufCMessage *messages[4096];
    unsigned count;
    unsigned done;
    struct osa_error error;
    struct failure failure;
};

/** rig_setup() - Everything up, an agent of default limits behind; *@state: options of the fake, or NULL */
int rig_setup(void **state);
/** rig_teardown() - Everything away; nothing may be left in the backend */
int rig_teardown(void **state);

/** spawn_init() - A request for @argv, which ends with NULL and outlives it */
void spawn_init(struct spawn *spawn, const char *const *argv);
/** spawn_id() - Spawn a script. Return: its process_id (free with free) */
char *spawn_id(struct rig *rig, const char *const *argv);

/** ask() - Unary call that must succeed. Return: the response (free with drop()) */
void *ask(struct rig *rig, const char *method, const ProtobufCMessage *request);
/** ask_fail() - Unary call that must fail */
struct failure ask_fail(struct rig *rig, const char *method, const ProtobufCMessage *request);
/** drop() - Free a response */
void drop(void *message);
/** wait_for() - Wait. Return: the exit (free with drop_exit()) */
Openshell__Agent__V1__Exit *wait_for(struct rig *rig, const char *process_id);
/** drop_exit() - Free an exit */
void drop_exit(V1(Exit) * exit);

/** probe_start() - Begin a streaming call */
void probe_start(struct rig *rig, struct stream_probe *probe, const char *method);
/** probe_wait() - Until the call is done */
void probe_wait(struct rig *rig, struct stream_probe *probe);
/** probe_wait_messages() - Until @count responses have come, or the call is done */
void probe_wait_messages(struct rig *rig, struct stream_probe *probe, unsigned count);
/** probe_free() - Free the responses; the call is done */
void probe_free(struct stream_probe *probe);
