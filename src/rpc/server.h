// SPDX-License-Identifier: Apache-2.0
/*
 * A gRPC server on C core. A service is a table of typed methods over protobuf-c descriptors.
 *
 * Threads: a worker polls C core's completion queue and hands every event to the loop; all
 * callbacks below run on the loop thread, and all functions below are called there. A method marked
 * `inline_ok` is the exception: its unary handler runs on the worker, touches only what is
 * immutable or locked, and answers before it returns.
 *
 * A call lives from its method's `start` callback until `done` has returned, which is the last
 * callback, whatever happened: finished, cancelled, deadline passed, connection lost.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_server;
struct rpc_call;

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_CLIENT_STREAM, RPC_BIDI_STREAM };

/* Who may call: each role includes those before it. */
enum rpc_role { RPC_ROLE_NONE, RPC_ROLE_ANYONE, RPC_ROLE_VIEWER, RPC_ROLE_OPERATOR };

/**
 * struct rpc_method - One row of a service's table. Slots that a kind does not need stay NULL.
 * @name:     as in the .proto
 * @request, @response: message types
 * @role:     the least role that may call
 * @inline_ok: see above; RPC_UNARY only
 * @start:    the call has begun, authorised; no message yet. Optional
 * @message:  one request message, borrowed for the callback. RPC_UNARY and RPC_SERVER_STREAM: once.
 *            Streams of requests: the next is read only after rpc_call_read() asked for it
 * @half_close: the client will send no more; streams of requests only
 * @writable: the send queue has drained to where more is welcome; optional
 * @done:     last callback; free what hangs on the call. Optional
 */
struct rpc_method {
    const char *name;
    enum rpc_kind kind;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    enum rpc_role role;
    bool inline_ok;
    void (*start)(struct rpc_call *call);
    void (*message)(struct rpc_call *call, const ProtobufCMessage *request);
    void (*half_close)(struct rpc_call *call);
    void (*writable)(struct rpc_call *call);
    void (*done)(struct rpc_call *call);
};

/**
 * struct rpc_service - A service's table; constant
 * @name: full name, "openshell.agent.v1.SandboxAgent"
 * @methods, @method_count: rows
 * @refuse: ends a call whose request the binding found wrong (wire format, UTF-8, NUL, a bound), with
 *          rpc_call_fail() and the service's own detail. NULL: no detail
 */
struct rpc_service {
    const char *name;
    const struct rpc_method *methods;
    size_t method_count;
    void (*refuse)(struct rpc_call *call, const struct osa_error *err);
};

/** struct rpc_peer - Who calls, as authenticated; borrowed from the call */
struct rpc_peer {
    enum rpc_role role;
    char name[128];    /* for the audit log: "uid:0 pid:71", "token:operator", "tls:CN" */
    char address[128]; /* "unix", "ipv4:127.0.0.1:40000" */
};

/**
 * struct rpc_audit - One finished or refused call, for the audit log
 * @method: full "/package.Service/Method"; untrusted when the call was refused as unknown
 */
struct rpc_audit {
    const char *method;
    const struct rpc_peer *peer;
    enum osa_code code;
    const char *text;
    int64_t duration_ns;
};

/**
 * struct rpc_listen - One address to serve on
 * @address: "unix:PATH" or "HOST:PORT" ("[::1]:0" picks a port)
 * @unix_mode: permission bits of the socket file; 0600 unless set
 * @health_only: TCP without TLS on any address, for probes that know neither certificate nor token, as
 *             the kubelet's do: grpc.health.v1 is answered as to anyone, and nothing else, whatever
 *             token the caller sends
 * @fd:        > 0: a listening Unix socket that a service manager made; the server owns it from
 *             rpc_server_start() on, and @address is only its name in messages
 */
struct rpc_listen {
    const char *address;
    unsigned unix_mode;
    bool health_only;
    int fd;
};

/**
 * struct rpc_credentials - TLS and tokens by path; files are read again when they change
 * Empty strings: not used. TCP without TLS is served on loopback addresses only, and needs a token.
 * @cert, @key:    PEM; both or none
 * @client_ca:     PEM; clients must then show a certificate that it signed (mutual TLS)
 * @token_file:    bearer token of operators; a file of others' permission is refused
 * @viewer_token_file: the same for viewers
 */
struct rpc_credentials {
    const char *cert;
    const char *key;
    const char *client_ca;
    const char *token_file;
    const char *viewer_token_file;
};

/**
 * struct rpc_server_config - Borrowed until rpc_server_free()
 * @uids, @uid_count: users whom a Unix socket lets in as operators; root and the agent's own always
 * @keep_out: turns away who has connected to a Unix socket, whatever the user: true for processes that
 *          the server's owner runs for strangers; called on the loop thread; optional
 * @reflection, @health: whom these services let in; RPC_ROLE_NONE switches them off
 * @descriptor_set: serialized FileDescriptorSet that reflection serves, imports included
 * @max_message_bytes: larger requests get RESOURCE_EXHAUSTED
 * @send_queue_bytes: bytes of unsent responses per call above which rpc_call_send() says false
 * @max_streams: concurrent calls of one connection
 * @audit: called on the loop thread for each call, refused ones included; optional
 */
struct rpc_server_config {
    struct osa_loop *loop;
    const struct rpc_listen *listens;
    size_t listen_count;
    struct rpc_credentials credentials;
    const uint32_t *uids;
    size_t uid_count;
    bool (*keep_out)(uint32_t uid, int32_t pid);
    enum rpc_role reflection;
    enum rpc_role health;
    const void *descriptor_set;
    size_t descriptor_set_len;
    size_t max_message_bytes;
    size_t send_queue_bytes;
    uint32_t max_streams;
    void (*audit)(void *ctx, const struct rpc_audit *record);
    void *audit_ctx;
};

/** rpc_server_new() - Check the configuration and read the credentials; listens on nothing yet */
OSA_MUST_CHECK enum osa_code rpc_server_new(const struct rpc_server_config *config,
                                            struct rpc_server **ret_server, struct osa_error *err);

/** rpc_server_add_service() - Before start. @ctx comes back from rpc_call_service() */
OSA_MUST_CHECK enum osa_code rpc_server_add_service(struct rpc_server *server,
                                                    const struct rpc_service *service, void *ctx,
                                                    struct osa_error *err);

/**
 * rpc_server_open() - Listen everywhere; all or nothing. Who connects waits for rpc_server_start()
 * FAILED_PRECONDITION: an address is taken or served by another live agent; INVALID_ARGUMENT: it
 * cannot be parsed, or is TCP without TLS outside loopback.
 */
OSA_MUST_CHECK enum osa_code rpc_server_open(struct rpc_server *server, struct osa_error *err);

/** rpc_server_start() - Serve; opens the server where that has not been done. RESOURCE_EXHAUSTED: no thread */
OSA_MUST_CHECK enum osa_code rpc_server_start(struct rpc_server *server, struct osa_error *err);

/** rpc_server_port() - Port that the listen address @index got; 0 for a Unix socket */
uint16_t rpc_server_port(const struct rpc_server *server, size_t index);

/**
 * rpc_server_set_serving() - What grpc.health.v1 says from now on, to watchers at once
 * @service: "" is the whole server; a name that was not added is ignored. All serve from the start
 * until rpc_server_shutdown().
 */
void rpc_server_set_serving(struct rpc_server *server, const char *service, bool serving);

/**
 * rpc_server_shutdown() - Accept nothing new, let calls end until @deadline_ns, cancel the rest
 * @done: called on the loop thread when no call is left; before this returns when none ever was,
 *        because the server has not started
 */
void rpc_server_shutdown(struct rpc_server *server, int64_t deadline_ns, void (*done)(void *ctx),
                         void *ctx);

/** rpc_server_free() - After shutdown's done; removes socket files. NULL is fine */
void rpc_server_free(struct rpc_server *server);

/* ---- calls ---- */

/** rpc_call_service() - The ctx of its service */
void *rpc_call_service(const struct rpc_call *call);
/** rpc_call_set_data() - Hang the handler's own state on the call; rpc_call_data() gives it back */
void rpc_call_set_data(struct rpc_call *call, void *data);
void *rpc_call_data(const struct rpc_call *call);
/** rpc_call_peer() - Who calls */
const struct rpc_peer *rpc_call_peer(const struct rpc_call *call);
/** rpc_call_deadline_ns() - Monotonic; OSA_NEVER when the client set none */
int64_t rpc_call_deadline_ns(const struct rpc_call *call);
/** rpc_call_metadata() - First value of request metadata @key (lower case), NULL when absent; borrowed */
const char *rpc_call_metadata(const struct rpc_call *call, const char *key);
/** rpc_call_is_cancelled() - The client has gone; finish soon, replies go nowhere */
bool rpc_call_is_cancelled(const struct rpc_call *call);

/** rpc_call_read() - Ask for the next request message; streams of requests only, once per message */
void rpc_call_read(struct rpc_call *call);

/**
 * rpc_call_send() - Queue one response message, packed before this returns
 * Return: true when more is welcome; false when the caller should wait for `writable` (the message
 * is queued all the same), or when the call is over (the message is dropped).
 */
bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *response);

/** rpc_call_await_drain() - Call `writable` when everything queued has been handed to the transport. Return: false when it has been already */
bool rpc_call_await_drain(struct rpc_call *call);

/** rpc_call_queued_bytes() - Response bytes not yet handed to the transport */
size_t rpc_call_queued_bytes(const struct rpc_call *call);

/** rpc_call_finish() - End with OK after what is queued. Unary: send first. Later calls are ignored */
void rpc_call_finish(struct rpc_call *call);

/** rpc_call_reply() - rpc_call_send() and rpc_call_finish() in one, as unary handlers want */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *response);

/**
 * rpc_call_fail() - End with @err's code and text; queued responses are sent before
 * @detail: packed into google.rpc.Status in grpc-status-details-bin; NULL for none
 */
void rpc_call_fail(struct rpc_call *call, const struct osa_error *err,
                   const ProtobufCMessage *detail);

/** rpc_call_ref() - Keep the struct alive beyond `done`, for asynchronous work; functions above then do nothing */
struct rpc_call *rpc_call_ref(struct rpc_call *call);
/** rpc_call_unref() - NULL is fine */
void rpc_call_unref(struct rpc_call *call);
