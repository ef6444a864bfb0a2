// SPDX-License-Identifier: Apache-2.0
/*
 * The agent of one sandbox, as the driver sees it: a process that was started or found running, that
 * serves at some time and ends at some time. It is no child in the sense of a fate that is shared:
 * nothing happens to it when the driver ends.
 */
#pragma once

#include "base/child.h"
#include "base/loop.h"
#include "rpc/client.h"

#include "openshell/agent/v1/agent.pb-c.h"

#include <limits.h>

enum agent_link_state { AGENT_NONE, AGENT_STARTING, AGENT_SERVING, AGENT_ENDING };

/**
 * struct agent_link - Embedded in its owner; all zero, but for what agent_link_init() sets, is none
 * @ready: it serves; @info is borrowed for the call
 * @ended: it and all that it ran are gone. Never called from inside a function of this header. @status: as waitpid(2) gives it; -1: it was not our child,
 *         so nobody knows. The link is AGENT_NONE again and may be started from here
 * @state: for others to read
 * @main_status: as the agent said that its main process ended; -1: it has not said so. Likewise
 * The rest is private.
 */
struct agent_link {
    void (*ready)(struct agent_link *self, const Openshell__Agent__V1__GetInfoResponse *info);
    void (*ended)(struct agent_link *self, int status);
    enum agent_link_state state;
    int main_status;

    struct osa_loop *loop;
    char run_file[PATH_MAX];
    char socket[PATH_MAX];
    struct osa_child_mark mark;
    bool child;
    int status;
    struct osa_source process; /* its pidfd, then that of its helper */
    bool helper;
    struct rpc_channel *channel;
    struct rpc_client_call *call;
    struct rpc_client_events events;
    struct osa_task release;
    bool releasing;
    struct osa_task late;
    void (*closed)(struct agent_link *self);
};

/** agent_link_init() - @run_file and @socket are copied */
void agent_link_init(struct agent_link *link, struct osa_loop *loop, const char *run_file,
                     const char *socket);

/**
 * agent_link_start() - Start the program; `ready` and `ended` follow
 * @spec: borrowed for the call
 */
OSA_MUST_CHECK enum osa_code
agent_link_start(struct agent_link *link, const struct osa_child_spec *spec, struct osa_error *err);

/**
 * agent_link_adopt() - Find one that runs already, or what is left of one
 * Return: true when `ended` will follow, and `ready` if it serves; false: there is nothing, but
 * main_status may tell of the last one.
 */
bool agent_link_adopt(struct agent_link *link);

/** agent_link_signal() - Signal it; one that is gone is fine. `ended` follows when it ends of it */
void agent_link_signal(struct agent_link *link, int signo);

/** agent_link_close() - Forget it, without touching the process. @closed is the last callback, from the loop */
void agent_link_close(struct agent_link *link, void (*closed)(struct agent_link *self));
