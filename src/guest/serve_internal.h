// SPDX-License-Identifier: Apache-2.0
/* What the files of the helper's side share. */
#pragma once

#include "backends/backend.h"
#include "base/loop.h"
#include "guest/conduit.h"
#include "guest/link.h"
#include "guest/messages.h"

struct guest_process;

/** struct guest - The one sandbox of this helper, and the channel to its agent */
struct guest {
    struct osa_loop *loop;
    struct backend *backend;
    struct link link;
    struct osa_source in;
    struct osa_source out;
    struct osa_buf text; /* for out */
    struct sandbox_events events;
    struct backend_sandbox *sandbox;
    struct guest_process *processes; /* uthash by key */
    const struct policy_document *policy;
    struct conduits conduits;
    uint64_t visits;            /* keys that were given to them */
    struct osa_source doors[2]; /* fds owned: the listeners of the egress proxy */
    struct osa_source tcp;      /* fd owned; -1: the exec serves */
    struct osa_timer patience;
    bool tcp_serves; /* it has connected */
    char secret[GUEST_SECRET_BYTES];
    struct osa_buf tcp_out;
    char shared[64]; /* what processes see of the host; "" */
    bool holding;
    bool ended;
};

/** struct request - One of the agent that is answered later */
struct request {
    struct guest *guest;
    uint64_t key;
};

/** request_new() - Aborts without memory; the callback that answers frees it */
struct request *request_new(struct guest *guest, uint64_t key);

/** serve_send() - A frame whose body is freed */
void serve_send(struct guest *guest, enum guest_message type, uint64_t key, struct osa_buf *body);

/** serve_send_error() - A frame that holds an error, or success for NULL */
void serve_send_error(struct guest *guest, enum guest_message type, uint64_t key,
                      const struct osa_error *error);

/** serve_refuse() - Answer that there is no sandbox */
void serve_refuse(struct guest *guest, enum guest_message type, uint64_t key);

/** serve_done() - A done_fn for a struct request, which it frees */
void serve_done(void *ctx, const struct osa_error *error);

/** serve_usage() - A stats_fn likewise */
void serve_usage(void *ctx, const struct usage_stats *stats, const struct osa_error *error);

/* ---- serve_process.c ---- */

/** serve_spawn() - SPAWN */
void serve_spawn(struct guest *guest, const struct link_frame *frame);

/** serve_process_request() - A request about a process, which is answered */
void serve_process_request(struct guest *guest, const struct link_frame *frame);

/** serve_process_verb() - What is told about a process and not answered */
void serve_process_verb(struct guest *guest, const struct link_frame *frame);

/** serve_hold() - The link is full: leave output where it is; or not any more */
void serve_hold(struct guest *guest, bool hold);

/* ---- serve_stream.c ---- */

/** serve_copy() - COPY */
void serve_copy(struct guest *guest, const struct link_frame *frame);

/** serve_connect() - CONNECT */
void serve_connect(struct guest *guest, const struct link_frame *frame);

/** serve_identify() - IDENTIFY */
void serve_identify(struct guest *guest, const struct link_frame *frame);

/**
 * serve_door() - Append where the new sandbox's proxy listens, and begin to receive its visitors
 * There is nobody to receive in a sandbox without a proxy, which has port 0.
 */
void serve_door(struct guest *guest, struct osa_buf *body);

/** serve_shared() - Write the files that processes are to see, and name their folder in @spec */
OSA_MUST_CHECK enum osa_code serve_shared(struct guest *guest, struct guest_sandbox_spec *spec,
                                          struct osa_error *err);

/* ---- serve_channel.c ---- */

/** serve_channel_init() - None yet */
void serve_channel_init(struct guest *guest);

/** serve_channel() - CHANNEL: connect there, and let the link go over to it */
void serve_channel(struct guest *guest, const struct link_frame *frame);

/** serve_channel_send() - Text of the link. Return: false: the exec serves */
bool serve_channel_send(struct guest *guest, const char *text, size_t len);

/** serve_channel_done() - Close it */
void serve_channel_done(struct guest *guest);
