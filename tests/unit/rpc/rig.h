// SPDX-License-Identifier: Apache-2.0
/* A server and a client of rpc_test.Echo on one loop in one process. */
#pragma once

#include "base/clock.h"
#include "base/loop.h"
#include "rpc/client.h"
#include "rpc/server.h"

#include "rpc_test.pb-c.h"

#define ECHO "/rpc_test.Echo/"

struct rig {
    struct osa_loop *loop;
    struct rpc_server *server;
    struct rpc_channel *channel;
    char dir[64];    /* fresh, removed at the end */
    char socket[96]; /* "unix:DIR/s" */
    char token_file[96];
    bool drained;
    /* what the server saw */
    int starts, messages, half_closes, dones, cancelled;
    struct rpc_call *hanging; /* the call of Hang that was seen last */
    int64_t deadline_ns;      /* of that call */
    struct rpc_audit audit;   /* the last record; strings below */
    struct rpc_peer audit_peer;
    char audit_method[128];
    char audit_text[512];
    char audit_trace[64]; /* traceparent that was current; "" for none */
    int audits;
};

/* One call of the client and what came back. */
struct probe {
    struct rpc_client_events events;
    struct rpc_client_call *call;
    int messages;
    size_t bytes;
    int64_t last_number;
    char last_text[256];
    int writables;
    bool done;
    struct osa_error error;
    uint8_t details[512];
    size_t details_len;
    bool pause_after_first;
};

extern const struct rpc_service rig_service;

/** rig_init() - A loop and an empty directory */
void rig_init(struct rig *rig);

/** rig_done() - Everything away again */
void rig_done(struct rig *rig);

/** rig_serve() - A server with @config, where loop, audit and, when absent, the Unix socket are filled in */
enum osa_code rig_serve(struct rig *rig, struct rpc_server_config config, struct osa_error *err);

/** rig_connect() - A channel with @config, to the Unix socket when it names no target */
void rig_connect(struct rig *rig, struct rpc_channel_config config);

/** rig_shutdown() - Shut the server down and wait for it, at most ten seconds */
void rig_shutdown(struct rig *rig, int64_t grace_ns);

/** rig_write() - A new file of exactly this mode at @path */
void rig_write(const char *path, const char *text, unsigned mode);

/** rig_wait() - Run the loop until *@value >= @wanted; fails the test after ten seconds */
void rig_wait(struct rig *rig, const int *value, int wanted);

/** rig_run_for() - Run the loop for @ns */
void rig_run_for(struct rig *rig, int64_t ns);

/** probe_start() - Begin a call of @method ("/service/method") */
void probe_start(struct rig *rig, struct probe *probe, const char *method, int64_t deadline_ns);

/** probe_send() - One request of a text and a number */
void probe_send(struct probe *probe, const char *text, int64_t number);

/** probe_wait() - Run the loop until the call is done; fails the test after ten seconds */
void probe_wait(struct rig *rig, struct probe *probe);

/** probe_unary() - probe_start(), one request, probe_wait() */
void probe_unary(struct rig *rig, struct probe *probe, const char *method, const char *text,
                 int64_t number);
