// SPDX-License-Identifier: Apache-2.0
/* What the files of the BoxLite backend share. Everything belongs to the loop thread. */
#pragma once

#include "backends/backend.h"
#include "backends/boxlite/api.h"
#include "backends/boxlite/channel.h"
#include "backends/boxlite/server.h"
#include "base/clock.h"
#include "base/loop.h"
#include "guest/messages.h"
#include "io/websocket.h"

#include <utlist.h>

/* "openshell-" and 12 digits of the state directory's digest, then '-' and the sandbox's id. */
#define BOX_NAME_PREFIX_SIZE 24
#define BOX_NAME_MAX 128
/* What a machine has beyond the workload's memory: its kernel, the guest agent, the helper. */
#define BOX_MEMORY_OVERHEAD (128ull << 20)

/* The server's host, as every box with a network card knows it. */
#define BOX_HOST_ALIAS "192.168.127.254"

struct box;
struct box_process;

enum probe_step { PROBE_CONFIG, PROBE_ME, PROBE_IMAGES, PROBE_BOXES };

struct boxlite {
    struct backend base;
    struct osa_loop *loop; /* borrowed */
    struct api api;
    struct backend_info info;
    struct box *boxes;       /* utlist */
    char *image;             /* owned */
    struct server *server;   /* owned; NULL: somebody else's */
    struct channel_hub *hub; /* owned; NULL: helpers have their exec alone */
    char name_prefix[BOX_NAME_PREFIX_SIZE];
    int64_t start_timeout_ns;
    enum probe_step step;
    bool plain;  /* no helper inside of boxes */
    bool wanted; /* asked for again and again; else only when somebody looks */
    bool probed;
    int64_t probed_ns;
    bool orphans_deleted;
    struct http_call *probe_call; /* while one is under way */
    struct osa_timer probe_timer;
    int64_t probe_delay_ns;
    struct orphan *orphans; /* utlist: being deleted */
};

/*
 * state      what is allowed                       left by
 * CREATING   nothing                               started → READY, failure → DELETING
 * READY      everything                            found dead → LOST, destroy → DELETING
 * LOST       destroy; every process has exited     destroy → DELETING
 * DELETING   nothing                               the server's answer → callbacks, freed
 */
enum box_state { BOX_CREATING, BOX_READY, BOX_LOST, BOX_DELETING };

struct box {
    struct backend_sandbox base;
    struct boxlite *backend; /* borrowed */
    struct box *prev, *next;
    enum box_state state;
    struct sandbox_events *events; /* borrowed */
    char name[BOX_NAME_MAX + 1];
    char id[129]; /* the server's; "" until create was answered */
    struct isolation isolation;
    struct resources limits;
    struct helper *helper;      /* owned; NULL: the server's exec, as it is */
    struct osa_buf inside;      /* the spec as the helper wants it */
    struct osa_buf plain;       /* body that creates the box in case no helper can run */
    struct osa_error refusal;   /* why it cannot do without a helper */
    bool proxy;                 /* the policy lets something out */
    bool begin_again;           /* once it is deleted: without a helper */
    sandbox_created_fn created; /* set while CREATING, and DELETING after that failed */
    done_fn destroyed;          /* set once destroy was called */
    void *ctx;                  /* of created or destroyed */
    struct osa_error failure;   /* why it is deleted or lost */
    struct http_call *call;     /* create, start or delete under way */
    unsigned delete_tries;
    struct http_call *check;       /* is it still alive? */
    struct osa_timer timer;        /* of the next check, or of the next try to delete */
    struct box_process *processes; /* utlist */
};

/* One stream of output: what the next attach will play again. */
struct box_stream {
    bool open;
    uint64_t received;
    uint64_t digest;       /* FNV-1a of what was received, while that is all kept by the server */
    uint64_t skip;         /* bytes of a replay that are known already */
    struct osa_buf replay; /* those, until they are all there and have been compared */
};

/*
 * state      left by
 * STARTING   the exec's answer → RUNNING, failure → freed
 * RUNNING    exit → EXITED; its box's end → EXITED
 */
enum box_process_state { BOX_PROCESS_STARTING, BOX_PROCESS_RUNNING, BOX_PROCESS_EXITED };

struct kill_waiter {
    done_fn done;
    void *ctx;
    struct kill_waiter *next;
};

struct box_process {
    struct backend_process base;
    struct osa_loop *loop; /* borrowed */
    struct box *box;       /* NULL once that is freed */
    struct box_process *prev, *next;
    enum box_process_state state;
    struct process_events *events; /* borrowed */
    spawned_fn spawned;            /* set while STARTING */
    void *ctx;
    char program[128]; /* for messages */
    char id[129];      /* the server's */
    bool tty;
    struct terminal_size size;
    bool stdin_open;        /* more may be written */
    bool stdin_waiting;     /* write_stdin took less than offered */
    struct http_call *call; /* exec, then kill */
    struct websocket *ws;   /* NULL between two attaches */
    struct websocket_events ws_events;
    bool attached;
    int64_t attached_ns;
    unsigned ends_without_exit; /* connections that were closed in order, and told none */
    bool stdin_written;         /* what was sent is gone when the connection breaks */
    bool hangup_sent;
    bool kill_wanted;       /* once it is attached */
    bool killed;            /* by DELETE, after which the server knows it no more */
    struct osa_timer retry; /* of the next attach */
    int64_t retry_delay_ns;
    int64_t give_up_ns; /* when a connection that was lost is given up */
    struct box_stream out;
    struct box_stream err;
    int64_t started_ns;
    struct kill_waiter *killers;
    struct osa_timer kill_patience;
};

/* ---- probe.c ---- */

/** probe_begin() - Find out what the server is, again and again until it is there */
void probe_begin(struct boxlite *b);

/** probe_look() - Somebody looks at the info: ask anew when that is due */
void probe_look(struct boxlite *b);

/** probe_stop() - No call or timer afterwards */
void probe_stop(struct boxlite *b);

/** probe_server_lost() - A call found nobody: not available until a probe succeeds */
void probe_server_lost(struct boxlite *b, const struct osa_error *why);

/* ---- box.c ---- */

/** box_create_op() - Slot sandbox_create of struct backend_ops */
void box_create_op(struct backend *base, const struct sandbox_spec *spec,
                   struct sandbox_events *events, sandbox_created_fn done, void *ctx);
/** box_destroy_op() - Slot sandbox_destroy of struct backend_ops */
void box_destroy_op(struct backend_sandbox *base, done_fn done, void *ctx);

/** box_on_helper_ready() - The sandbox inside is made */
void box_on_helper_ready(struct box *box, const struct isolation *isolation,
                         const struct resources *limits);

/** box_on_helper_failed() - It is not; @speaks: the helper runs, and it is the sandbox that cannot be made */
void box_on_helper_failed(struct box *box, const struct osa_error *why, bool speaks);

/** box_on_helper_lost() - A ready one has ended */
void box_on_helper_lost(struct box *box, const struct osa_error *why);

/**
 * box_limits_inside() - Which limits the helper, which has @capabilities, is to keep
 * Return: OSA_OK; FAILED_PRECONDITION: one that neither it nor the machine can keep
 */
OSA_MUST_CHECK enum osa_code box_limits_inside(struct box *box, uint32_t capabilities,
                                               struct resources *ret, struct osa_error *err);

/** box_merge_isolation() - Add to what is in force inside what the machine gives */
void box_merge_isolation(const struct box *box, struct isolation *isolation);

/** box_check() - Ask the server soon whether the box lives: something in it ended oddly */
void box_check(struct box *box);

/* ---- box_spec.c ---- */

/**
 * box_spec_write() - The body that creates a box as @spec wants it
 * @helper: with what a helper inside of it needs, and what it keeps to is left to it
 * Return: OSA_OK; INVALID_ARGUMENT; FAILED_PRECONDITION: what a box cannot keep to exactly
 */
OSA_MUST_CHECK enum osa_code box_spec_write(const struct boxlite *b,
                                            const struct sandbox_spec *spec, const char *name,
                                            bool helper, struct osa_buf *body,
                                            struct osa_error *err);

/** exec_spec_write() - The body that starts a process. Return: as box_spec_write() */
OSA_MUST_CHECK enum osa_code exec_spec_write(const struct box *box, const struct process_spec *spec,
                                             struct osa_buf *body, struct osa_error *err);

/** reserved_variable() - Is @entry, "NAME=VALUE", one that the server keeps for itself? */
bool reserved_variable(const char *entry);

/* ---- shared.c ---- */

/** struct shared_files - The files of a sandbox's shared folder; all zero is none */
struct shared_files {
    struct guest_file files[GUEST_FILES_MAX];
    size_t count;
};

/**
 * shared_files_read() - Read them all
 * @folder: absolute; NULL or "" for none
 * Free with shared_files_done(), after a failure as well. Return: OSA_OK; INTERNAL; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code shared_files_read(const char *folder, struct shared_files *ret,
                                               struct osa_error *err);

/** shared_files_done() - Free what was read */
void shared_files_done(struct shared_files *shared);

/* ---- process.c ---- */

/** box_spawn_op() - Slot spawn of struct backend_ops */
void box_spawn_op(struct backend_sandbox *base, const struct process_spec *spec,
                  struct process_events *events, spawned_fn done, void *ctx);
/** box_process_free_op() - Slot process_free of struct backend_ops */
void box_process_free_op(struct backend_process *base);

/** box_process_lost() - Its box has gone: answer what waits, report an exit that was not. May free @p */
void box_process_lost(struct box_process *p);

/** box_process_exited() - Report the exit and the end of both streams; no connection afterwards */
void box_process_exited(struct box_process *p, enum exit_reason reason, int number);

/* ---- attach.c ---- */

/** attach_begin() - Open the WebSocket that carries stdin, output and the exit */
void attach_begin(struct box_process *p);

/** attach_end() - Drop it; no event afterwards */
void attach_end(struct box_process *p);

/** attach_send_signal() - Return: false when there is no connection now */
bool attach_send_signal(struct box_process *p, int signo);

/** attach_send_size() - Tell the terminal's size; nothing while there is no connection, for attaching tells it, too */
void attach_send_size(struct box_process *p);

/* ---- control.c ---- */

/** box_signal_op() - Slot signal of struct backend_ops */
enum osa_code box_signal_op(struct backend_process *base, int signo, enum signal_scope scope,
                            struct osa_error *err);
/** box_kill_tree_op() - Slot kill_tree of struct backend_ops */
void box_kill_tree_op(struct backend_process *base, done_fn done, void *ctx);
/** box_write_stdin_op() - Slot write_stdin of struct backend_ops */
enum osa_code box_write_stdin_op(struct backend_process *base, const void *data, size_t len,
                                 size_t *ret_taken, struct osa_error *err);
/** box_close_stdin_op() - Slot close_stdin of struct backend_ops */
enum osa_code box_close_stdin_op(struct backend_process *base, struct osa_error *err);
/** box_resize_op() - Slot resize of struct backend_ops */
enum osa_code box_resize_op(struct backend_process *base, struct terminal_size size,
                            struct osa_error *err);

/** control_send_kill() - SIGKILL to the process alone; while it is being attached, after that */
void control_send_kill(struct box_process *p);

/** control_settle() - The process has exited: answer who waits for its death */
void control_settle(struct box_process *p);
