// SPDX-License-Identifier: Apache-2.0
/* What `serve` and the gateway's front have in common: launcher, backends, agent, server, and their order. */
#pragma once

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/idle.h"
#include "agent/service/service.h"
#include "agent/spec.h"
#include "base/service_manager.h"
#include "base/signals.h"
#include "rpc/server.h"

#include <limits.h>

/**
 * struct program - One for the process; the first three are the caller's to set
 * @config:    owned
 * @prepare:   called with everything there, when callers can connect but are not answered yet
 * @signalled: SIGTERM or SIGINT came, the @terms-th time. Return: true when that was all there is to
 *             do about it, false to drain and end. NULL: false
 */
struct program {
    struct agent_config *config;
    enum osa_code (*prepare)(struct program *program, struct osa_error *err);
    bool (*signalled)(struct program *program);

    struct osa_loop *loop;
    struct agent *agent;
    struct backend *process_backend;
    struct backend *boxlite_backend; /* NULL in a build without it */
    const struct policy_document *policy;
    struct ocsf *ocsf;          /* owned; NULL: no file of events */
    struct parent *parent;      /* owned; NULL: tunnels go out directly */
    struct rpc_listen *listens; /* borrowed by the server */
    size_t listen_count;
    struct rpc_server *server;
    struct metrics *metrics;
    struct http_server *http; /* where they are read; NULL: nowhere */
    struct service service;
    struct osa_signals signals;
    struct osa_service manager;
    struct idle idle;
    char token_file[PATH_MAX];
    unsigned terms;
    bool stopped;
};

/**
 * program_start() - Everything up to serving
 * Return: OSA_OK: run the loop, which stops when all is over; CANCELLED: a signal came first; else what
 * could not be had. In each case program_done() is left, before it program_stop_quickly() if it failed.
 */
OSA_MUST_CHECK enum osa_code program_start(struct program *program, struct osa_error *err);

/** program_first_sandbox() - Make the agent's own sandbox; for prepare. @request is taken */
OSA_MUST_CHECK enum osa_code program_first_sandbox(struct program *program,
                                                   struct sandbox_request *request,
                                                   struct osa_error *err);

/** program_launcher() - Pid of the process that ends only when all that ran here has been killed */
pid_t program_launcher(void);

/** program_end() - Kill what runs, let calls end, delete sandboxes, stop the loop */
void program_end(struct program *program);

/** program_stop_quickly() - After a start that failed: what was made so far goes in order */
void program_stop_quickly(struct program *program);

/** program_done() - Free all of it */
void program_done(struct program *program);
