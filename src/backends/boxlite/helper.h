// SPDX-License-Identifier: Apache-2.0
/*
 * The helper inside of a box, seen from the agent: how it gets there, the channel to it, and what it
 * is asked. Processes that it keeps are in guest_process.c.
 */
#pragma once

#include "backends/boxlite/internal.h"
#include "guest/conduit.h"
#include "guest/link.h"
#include "guest/messages.h"

#include <uthash.h>

struct helper_request;
struct guest_process;

/*
 * state      what is awaited
 * STARTING   the exec that takes the helper in
 * ASKED      the shell's word that it is ready for the helper's bytes
 * SENDING    room for more of them, then the helper's HELLO
 * CREATING   the sandbox inside
 * READY      nothing; processes may be asked for
 * GONE       nothing more: the box is to be deleted
 */
enum helper_state {
    HELPER_STARTING,
    HELPER_ASKED,
    HELPER_SENDING,
    HELPER_CREATING,
    HELPER_READY,
    HELPER_GONE
};

struct helper {
    struct box *box; /* borrowed */
    enum helper_state state;
    char id[129]; /* the server's, of the exec */
    struct http_call *call;
    struct websocket *ws;
    struct websocket_events ws_events;
    bool attached;
    int64_t attached_ns;
    struct osa_timer timer; /* patience, then retries */
    int64_t retry_delay_ns;
    int64_t give_up_ns;
    size_t sent;         /* bytes of the helper's program */
    struct osa_buf said; /* by the shell, before the helper speaks */
    struct link link;
    struct osa_buf spec; /* of the sandbox, as the helper wants it */
    struct osa_buf out;  /* text that the WebSocket has not taken */
    struct osa_timer poke;
    struct osa_timer overrun;     /* more waits to be sent than may */
    struct channel_guest channel; /* while it may come by TCP */
    struct osa_source tcp;        /* fd owned; -1: the exec serves */
    struct osa_buf tcp_out;
    uint64_t next_key;
    struct helper_request *requests; /* uthash by key */
    struct guest_process *processes; /* uthash by key */
    struct conduits conduits;
    char door_host[46]; /* of the sandbox's egress proxy, as processes see it */
    uint16_t door_port; /* 0: there is none */
};

/**
 * struct helper_answer - Who waits for the answer to a request; one of these is set
 * @done:   DONE; with @opened: after OPENED without an error
 * @stats:  USAGE
 * @opened: OPENED, which begins a stream
 * @owner:  OWNER
 */
struct helper_answer {
    done_fn done;
    stats_fn stats;
    stream_fn opened;
    owner_fn owner;
    void *ctx;
};

/**
 * helper_begin() - Bring the helper into a started box and make its sandbox
 * @spec: body of guest_write_sandbox(); taken
 * box_on_helper_ready() or box_on_helper_failed() tells the outcome, not from inside the call.
 */
struct helper *helper_begin(struct box *box, struct osa_buf *spec);

/** helper_abandon() - Answer all that waits, report all processes as exited; nothing works afterwards. NULL is fine */
void helper_abandon(struct helper *helper, const struct osa_error *why);

/** helper_free() - Free an abandoned one, not from inside of its callbacks. NULL is fine */
void helper_free(struct helper *helper);

/**
 * helper_fail() - Give the helper up: the box is told that it could not begin, or is lost
 * Fine inside of the helper's callbacks, for the box frees it later.
 */
void helper_fail(struct helper *helper, enum osa_code code, const char *why);

/** helper_overrun() - As helper_fail(), once nothing of its link and streams is at work; for what they call */
void helper_overrun(struct helper *helper);

/** helper_send() - A frame whose body is freed */
void helper_send(struct helper *helper, enum guest_message type, uint64_t key,
                 struct osa_buf *body);

/** helper_ask() - A frame that is answered; its body is freed */
void helper_ask(struct helper *helper, enum guest_message type, struct osa_buf *body,
                const struct helper_answer *answer);

/* ---- helper_tcp.c ---- */

/** helper_tcp_offer() - Tell the helper where it may connect to, if it may */
void helper_tcp_offer(struct helper *helper);

/** helper_tcp_is_open() - Has it connected? */
bool helper_tcp_is_open(const struct helper *helper);

/** helper_tcp_send() - Text of the link, while it is open */
void helper_tcp_send(struct helper *helper, const char *text, size_t len);

/** helper_tcp_close() - For good */
void helper_tcp_close(struct helper *helper);

/* ---- helper_answer.c ---- */

/** helper_take_answer() - DONE, USAGE, OPENED or OWNER; one that nobody waits for is ignored */
void helper_take_answer(struct helper *helper, const struct link_frame *frame);

/** helper_answer_all() - Nothing will be answered any more, for this reason */
void helper_answer_all(struct helper *helper, const struct osa_error *why);

/* ---- guest_stream.c ---- */

/* Slots of struct backend_ops for sandboxes in boxes with a helper. */
/** guest_connect_op() - sandbox_connect */
void guest_connect_op(struct backend_sandbox *s, const char *ip, uint16_t port, stream_fn done,
                      void *ctx);
/** guest_copy_op() - sandbox_copy */
void guest_copy_op(struct backend_sandbox *s, bool write, const char *path, const char *user,
                   stream_fn opened, done_fn done, void *ctx);
/** guest_door_op() - sandbox_door */
enum osa_code guest_door_op(struct backend_sandbox *s, struct sandbox_door *ret_door,
                            struct osa_error *err);
/** guest_owner_op() - sandbox_owner */
void guest_owner_op(struct backend_sandbox *s, const struct door_visit *visit, owner_fn done,
                    void *ctx);

/** guest_visit() - VISIT: somebody in the box came to the egress proxy */
void guest_visit(struct helper *helper, const struct link_frame *frame);

/* ---- guest_process.c ---- */

/** guest_spawn() - Slot spawn of struct backend_ops, in a box with a helper */
void guest_spawn(struct helper *helper, const struct process_spec *spec,
                 struct process_events *events, spawned_fn done, void *ctx);

/* Slots of struct backend_ops for processes in a box with a helper, and the table that has them (backend.c). */
/** guest_free_op() - process_free */
void guest_free_op(struct backend_process *base);
/** guest_signal_op() - signal */
enum osa_code guest_signal_op(struct backend_process *base, int signo, enum signal_scope scope,
                              struct osa_error *err);
/** guest_kill_tree_op() - kill_tree */
void guest_kill_tree_op(struct backend_process *base, done_fn done, void *ctx);
/** guest_hold_op() - hold_output */
void guest_hold_op(struct backend_process *base, bool hold);
/** guest_write_stdin_op() - write_stdin */
enum osa_code guest_write_stdin_op(struct backend_process *base, const void *data, size_t len,
                                   size_t *ret_taken, struct osa_error *err);
/** guest_close_stdin_op() - close_stdin */
enum osa_code guest_close_stdin_op(struct backend_process *base, struct osa_error *err);
/** guest_resize_op() - resize */
enum osa_code guest_resize_op(struct backend_process *base, struct terminal_size size,
                              struct osa_error *err);
/** guest_update_op() - process_update */
void guest_update_op(struct backend_process *base, const struct resources *limits, done_fn done,
                     void *ctx);
/** guest_stats_op() - process_stats */
void guest_stats_op(struct backend_process *base, stats_fn done, void *ctx);

extern const struct backend_ops boxlite_guest_ops;

/** guest_process_frame() - What the helper tells about a process. Return: false: nothing that makes sense */
bool guest_process_frame(struct helper *helper, const struct link_frame *frame);

/** guest_processes_lost() - The box has gone: answer what waits, report what was not */
void guest_processes_lost(struct helper *helper, const struct osa_error *why);
