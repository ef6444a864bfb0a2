// SPDX-License-Identifier: Apache-2.0
/* What the files of the server share; private to src/rpc. */
#pragma once

#include "base/clock.h"
#include "base/trace.h"
#include "rpc/auth.h"
#include "rpc/send_queue.h"
#include "rpc/server.h"
#include "rpc/worker.h"

#include <grpc/grpc.h>
#include <stdatomic.h>

struct rpc_credentials_store;
struct rpc_health;
struct rpc_listener;
struct rpc_reflection;

/**
 * struct rpc_entry - A method as it is registered with C core; lives as long as the server
 * @path:   "/package.Service/Method"; owned
 * @refuse: of its service; NULL for none
 * @handle: C core's; NULL for the entry that catches unknown methods
 */
struct rpc_entry {
    const struct rpc_method *method;
    void *ctx;
    void (*refuse)(struct rpc_call *call, const struct osa_error *err);
    char *path;
    void *handle;
};

enum server_state { SERVER_NEW, SERVER_SERVING, SERVER_DRAINING, SERVER_DRAINED };

/**
 * struct rpc_server - Owner: the loop thread, but for what is marked
 * @core, @worker, @entries, @auth: also used by the worker; constant after the start, or thread-safe
 * @live_calls: accepted and not yet done; core's own shutdown waits for connections, not for these
 * @accepting: read by the worker; false from the moment at which core refuses new requests
 */
struct rpc_server {
    struct rpc_server_config config;
    struct osa_loop *loop;
    enum server_state state;
    bool open;
    struct rpc_worker worker;
    grpc_server *core;
    struct rpc_auth *auth;
    struct rpc_credentials_store *credentials;
    struct rpc_health *health;
    struct rpc_reflection *reflection; /* NULL when it is off */
    struct rpc_entry **entries;
    size_t entry_count;
    struct rpc_entry unknown;
    atomic_bool accepting;
    atomic_size_t live_calls;
    bool core_drained;
    struct rpc_listener **listeners;
    struct rpc_step drained;
    struct osa_timer drain_timer;
    void (*on_drained)(void *ctx);
    void *on_drained_ctx;
};

enum call_state {
    CALL_OPEN,      /* the handler may read, send, finish */
    CALL_FINISHING, /* status decided; the queue is being sent */
    CALL_SENT,      /* status handed to core */
    CALL_OVER,      /* cancelled: nothing can be sent any more */
    CALL_DONE,      /* `done` has been called; only references keep the struct */
};

/**
 * struct rpc_call - Owner: the loop thread; the worker for an inline_ok method until its one batch starts
 * @corked:  a handler's first callbacks run; what they do is sent as one batch afterwards
 * @pending: batches in flight; `done` waits for 0
 * @trace:   what the caller named as its trace; owned; NULL: none
 */
struct rpc_call {
    atomic_uint refs;
    struct rpc_server *server;
    const struct rpc_entry *entry;
    grpc_call *core; /* owned until done */
    enum call_state state;
    bool corked;
    bool initial_sent;
    bool sending;
    bool reading;
    bool half_closed;
    bool close_started;
    bool gone;     /* the client cancelled, vanished, or let its deadline pass */
    bool full;     /* rpc_call_send() has said false; `writable` is owed */
    bool draining; /* `writable` is owed when nothing is queued any more */
    unsigned pending;

    struct rpc_step accepted;
    struct rpc_step received;
    struct rpc_step sent;
    struct rpc_step closed;
    gpr_timespec core_deadline;
    grpc_call_details details; /* of unknown methods */
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload; /* owned; the message that was received last */
    int cancelled;

    struct rpc_send_queue queue;
    enum osa_code code;
    grpc_slice text;
    grpc_slice details_bin; /* packed google.rpc.Status, empty for none */

    const char *path;
    int64_t started_ns;
    int64_t deadline_ns;
    struct rpc_peer peer;
    struct osa_trace *trace;
    void *data;
};

/** rpc_call_request() - Ask C core for one more call of @entry. Thread: any */
void rpc_call_request(struct rpc_server *server, const struct rpc_entry *entry);

/** rpc_server_call_done() - One live call less; may end a drain, so @server may be gone afterwards. Thread: loop */
void rpc_server_call_done(struct rpc_server *server);

/** rpc_server_audit() - Hand a record to config->audit, if any. Thread: loop */
void rpc_server_audit(const struct rpc_server *server, const struct rpc_audit *record);
