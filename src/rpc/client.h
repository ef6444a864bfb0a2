// SPDX-License-Identifier: Apache-2.0
/*
 * A gRPC client on C core. Same threads and same shape as the server: callbacks on the loop thread.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_channel;
struct rpc_client_call;

/**
 * struct rpc_channel_config - Borrowed for rpc_channel_new()
 * @target:  "unix:PATH", "HOST:PORT", "https://HOST:PORT", "http://HOST:PORT"
 * @tls:     use TLS; implied by https and by any of the paths
 * @ca, @cert, @key: PEM by path; NULL for the system's roots, and for no client certificate
 * @server_name: name that the certificate must carry, when it is not @target's; NULL
 * @token_file: bearer token by path, read again when it changes; NULL
 * @plain_token: let a token travel without TLS to another machine: its network is trusted
 * @keepalive_ms: silence after which the server is asked whether it is there; 0: a minute
 * @max_message_bytes: of a response
 */
struct rpc_channel_config {
    struct osa_loop *loop;
    const char *target;
    bool tls;
    const char *ca;
    const char *cert;
    const char *key;
    const char *server_name;
    const char *token_file;
    bool plain_token;
    uint32_t keepalive_ms;
    size_t max_message_bytes;
};

/** rpc_channel_new() - Check the configuration; connects at the first call */
OSA_MUST_CHECK enum osa_code rpc_channel_new(const struct rpc_channel_config *config,
                                             struct rpc_channel **ret_channel,
                                             struct osa_error *err);

/** rpc_channel_set_token() - Send this bearer token from the next call on, whatever a file says; copied */
OSA_MUST_CHECK enum osa_code rpc_channel_set_token(struct rpc_channel *channel, const char *token,
                                                   struct osa_error *err);

/** rpc_channel_free() - Cancels what runs; every call's done has been called when this returns. NULL is fine */
void rpc_channel_free(struct rpc_channel *channel);

/** struct rpc_status - How a call ended; borrowed for the callback */
struct rpc_status {
    struct osa_error error; /* code and text; OSA_OK on success */
    const uint8_t *details; /* value of grpc-status-details-bin; NULL when absent */
    size_t details_len;
};

/**
 * struct rpc_client_events - Callbacks of a call; embedded in the caller's struct, which outlives `done`
 * @message:  one response, borrowed. The next is read after this returns, unless rpc_client_pause()
 * @writable: the send queue has drained; optional
 * @done:     last callback
 */
struct rpc_client_events {
    void (*message)(struct rpc_client_events *self, const ProtobufCMessage *response);
    void (*writable)(struct rpc_client_events *self);
    void (*done)(struct rpc_client_events *self, const struct rpc_status *status);
};

/**
 * rpc_client_start() - Begin a call of any kind
 * @path:     "/openshell.agent.v1.SandboxAgent/Spawn"
 * @response: type of the responses
 * @deadline_ns: monotonic; OSA_NEVER for none
 * @wait_for_ready: wait for the server instead of failing with UNAVAILABLE
 * Return: the call; valid until `done` has returned. `done` comes for every started call.
 */
struct rpc_client_call *rpc_client_start(struct rpc_channel *channel, const char *path,
                                         const ProtobufCMessageDescriptor *response,
                                         int64_t deadline_ns, bool wait_for_ready,
                                         struct rpc_client_events *events);

/** rpc_client_send() - Queue one request message. Return: more is welcome; false: wait for `writable` */
bool rpc_client_send(struct rpc_client_call *call, const ProtobufCMessage *request);
/** rpc_client_half_close() - No more requests */
void rpc_client_half_close(struct rpc_client_call *call);
/** rpc_client_pause() - Stop (true) or go on (false) reading responses */
void rpc_client_pause(struct rpc_client_call *call, bool pause);
/** rpc_client_cancel() - End it from this side; done follows with CANCELLED */
void rpc_client_cancel(struct rpc_client_call *call);

/**
 * rpc_client_unary() - One request, one response, running the loop meanwhile
 * @ret_response: returned (free with protobuf_c_message_free_unpacked); only on OSA_OK
 */
OSA_MUST_CHECK enum osa_code rpc_client_unary(struct rpc_channel *channel, const char *path,
                                              const ProtobufCMessage *request,
                                              const ProtobufCMessageDescriptor *response,
                                              int64_t deadline_ns, ProtobufCMessage **ret_response,
                                              struct osa_error *err);
