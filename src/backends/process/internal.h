// SPDX-License-Identifier: Apache-2.0
/* What the files of the process backend share. Everything belongs to the loop thread. */
#pragma once

#include "backends/backend.h"
#include "backends/process/cgroup.h"
#include "backends/process/channel.h"
#include "backends/process/network.h"
#include "backends/process/owner.h"
#include "backends/process/plan_build.h"
#include "backends/process/seccomp_compile.h"
#include "base/loop.h"
#include "base/rate.h"
#include "launcher/plan.h"
#include "launcher/protocol.h"

#include <uthash.h>

#define READ_CHUNK_BYTES (256u << 10)
/* An init that does not answer for so long is wedged or stopped, and is killed. */
#define INIT_PATIENCE_NS (5 * OSA_NS_PER_SEC)

struct sandbox;
struct process;
struct reach; /* reach.c */
struct copy;  /* copy.c */

/* struct process_backend.loop's children: sandboxes by key, the key being their name on the wire. */
struct process_backend {
    struct backend base;
    struct osa_loop *loop; /* borrowed */
    struct channel zygote;
    struct launcher_probe probe;
    struct backend_info info;
    struct sandbox *sandboxes; /* uthash by key */
    uint64_t next_key;
    struct cgroup_tree *cgroups;                   /* owned; NULL: none at all */
    struct landlock_log *landlock_log;             /* owned; NULL: not told here */
    struct network *network;                       /* owned; NULL: no veth pairs */
    struct osa_buf filters[SECCOMP_PROFILE_COUNT]; /* compiled when first wanted */
    char **hidden;                                 /* owned, NULL-terminated */
    char **secrets;                                /* the same */
    struct owner_worker *owner_worker;             /* owned; NULL until a sandbox has a door */
    int null_fd;                                   /* owned: /dev/null for those without stdin */
    struct wire_buffer packets;                    /* of all channels */
    char chunk[READ_CHUNK_BYTES];
};

/*
 * state      channel  what is allowed                       left by
 * CREATING   open     nothing                               READY and CREATED → READY, FAILED → ENDING
 * READY      open     everything                            end of file → ENDING, destroy → ENDING
 * ENDING     closed   nothing; GONE is awaited              GONE → callbacks, then ENDED or freed
 * ENDED      closed   destroy                               destroy → freed
 */
enum sandbox_state { SANDBOX_CREATING, SANDBOX_READY, SANDBOX_ENDING, SANDBOX_ENDED };

struct sandbox {
    struct backend_sandbox base;
    struct process_backend *backend; /* borrowed */
    uint64_t key;
    char id[64]; /* the agent's, an RFC 1123 label; for names */
    UT_hash_handle hh;
    enum sandbox_state state;
    struct sandbox_events *events; /* borrowed */
    struct channel init;
    int init_pidfd; /* owned; -1 until CREATED */
    bool init_ready;
    struct network_link *network; /* owned; NULL: none of its own, or not reported */
    struct network_events network_events;
    int door_fds[2];       /* owned; -1: none, or handed out */
    int names_fds[3];      /* likewise: the resolver's UDP and TCP, redirected TCP */
    struct owners *owners; /* owned; NULL without a door */
    struct isolation isolation;
    struct seccomp_spec seccomp; /* of the filter of its processes */
    uint64_t landlock_domain;    /* the kernel's number; 0 until its first refusal is told */
    struct osa_rate landlock_rate;
    uint32_t landlock_missed;
    struct resources limits;
    struct cgroup *cgroup; /* owned; NULL: none */
    bool paused;
    done_fn pause_done; /* while the freezing is awaited */
    void *pause_ctx;
    struct osa_timer freeze_poll;
    int64_t freeze_deadline_ns;
    sandbox_created_fn created; /* set while CREATING */
    done_fn destroyed;          /* set once destroy was called */
    void *ctx;                  /* of created or destroyed */
    struct osa_error failure;   /* why it ends */
    struct osa_task finish;     /* destroy of an ENDED sandbox */
    struct osa_timer patience;
    struct process *processes; /* uthash by key */
    struct reach *reaches;     /* uthash by key: connections that await their socket */
    struct copy *copies;       /* uthash by key: copiers that have not been reaped */
    struct process *direct;    /* whose tree hangs on init itself; others have keepers */
    bool tree_busy;            /* a former direct process's tree is not known to be empty */
};

/* A descriptor that output is read from. */
struct output {
    struct osa_source source;
    struct process *process;
    enum output_stream stream;
    bool open;
    char *chunk; /* borrowed: READ_CHUNK_BYTES of the backend, which outlives the sandbox */
};

struct kill_waiter {
    done_fn done;
    void *ctx;
    struct kill_waiter *next;
};

enum process_state { PROCESS_STARTING, PROCESS_RUNNING, PROCESS_EXITED };

struct process {
    struct backend_process base;
    struct osa_loop *loop;   /* borrowed */
    struct sandbox *sandbox; /* NULL once that is freed */
    uint64_t key;
    UT_hash_handle hh;
    enum process_state state;
    struct process_events *events; /* borrowed */
    spawned_fn spawned;            /* set while STARTING */
    void *ctx;
    int pidfd;        /* owned */
    int keeper_pidfd; /* owned; -1: direct */
    bool tty;
    struct output out; /* a terminal's, too */
    struct output err;
    struct osa_source in; /* fd owned, unless it is the terminal's */
    bool output_held;     /* stdio.c does not read */
    bool in_open;
    bool in_waiting;      /* write_stdin took less than offered */
    bool in_partial_line; /* terminal: an end of file needs two EOF characters */
    int64_t started_ns;
    struct resources limits;
    struct cgroup *cgroup; /* owned; NULL: none */
    struct cgroup_events cgroup_events;
    uint64_t sandbox_ooms; /* of the sandbox when the process began */
    bool tree_empty;
    struct kill_waiter *killers;
    struct osa_timer sweep;
    int64_t sweep_delay_ns;
    struct osa_timer late_end; /* ends streams that could not be watched */
};

/* ---- sandbox_network.c ---- */

/** sandbox_network_want_door() - Mark a new sandbox as one with a proxy, if its level can have one */
void sandbox_network_want_door(struct sandbox *s);
/**
 * sandbox_network_attach() - Put rules into the namespace behind READY's descriptors, which are taken
 * Return: OSA_OK, with what rules and redirections lack as degraded; as network_attach() where a veth
 * pair is wanted.
 */
OSA_MUST_CHECK enum osa_code sandbox_network_attach(struct sandbox *s, struct wire_packet *packet,
                                                    struct osa_error *err);
/** sandbox_network_close() - Give up rules, door and questions about owners */
void sandbox_network_close(struct sandbox *s);
/** sandbox_door_op() - Slot sandbox_door of struct backend_ops */
enum osa_code sandbox_door_op(struct backend_sandbox *base, struct sandbox_door *ret_door,
                              struct osa_error *err);
/** sandbox_owner_op() - Slot sandbox_owner of struct backend_ops */
void sandbox_owner_op(struct backend_sandbox *base, const struct door_visit *visit, owner_fn done,
                      void *ctx);

/* ---- sandbox.c ---- */

/** sandbox_create_op() - Slot sandbox_create of struct backend_ops */
void sandbox_create_op(struct backend *b, const struct sandbox_spec *spec,
                       struct sandbox_events *events, sandbox_created_fn done, void *ctx);
/** sandbox_destroy_op() - Slot sandbox_destroy of struct backend_ops */
void sandbox_destroy_op(struct backend_sandbox *base, done_fn done, void *ctx);

/** sandbox_on_created() - The zygote has forked the init; @pidfd is taken */
void sandbox_on_created(struct sandbox *s, int pidfd);

/** sandbox_on_refused() - The zygote could not fork the init */
void sandbox_on_refused(struct sandbox *s, const struct launcher_message *head);

/** sandbox_on_gone() - Nothing of the sandbox is left in the kernel. May free @s */
void sandbox_on_gone(struct sandbox *s);

/** sandbox_end() - Make it end by force: kill its init, await GONE; @why becomes the failure's text */
void sandbox_end(struct sandbox *s, const char *why);

/** stage_error() - The error of a FAILED packet: code, stage and text for a person */
void stage_error(const struct launcher_message *head, const char *detail, struct osa_error *ret);

/* ---- spawn.c ---- */

/** spawn_op() - Slot spawn of struct backend_ops */
void spawn_op(struct backend_sandbox *base, const struct process_spec *spec,
              struct process_events *events, spawned_fn done, void *ctx);
/** process_free_op() - Slot process_free of struct backend_ops */
void process_free_op(struct backend_process *base);

/** process_on_packet() - SPAWNED, FAILED or EXITED from its init. May free @p */
void process_on_packet(struct process *p, struct wire_packet *packet);

/** process_on_lost() - Its sandbox has gone: answer what waits, report an exit that was not */
void process_on_lost(struct process *p);

/* ---- stdio.c ---- */

/** stdio_start() - Watch the descriptors that spawn has set; one that cannot be watched ends at once, as a stream */
void stdio_start(struct process *p);

/** hold_output_op() - Slot hold_output of struct backend_ops */
void hold_output_op(struct backend_process *base, bool hold);

/** stdio_close() - Close all of them without callbacks */
void stdio_close(struct process *p);

/** write_stdin_op() - Slot write_stdin of struct backend_ops */
enum osa_code write_stdin_op(struct backend_process *base, const void *data, size_t len,
                             size_t *ret_taken, struct osa_error *err);
/** close_stdin_op() - Slot close_stdin of struct backend_ops */
enum osa_code close_stdin_op(struct backend_process *base, struct osa_error *err);
/** resize_op() - Slot resize of struct backend_ops */
enum osa_code resize_op(struct backend_process *base, struct terminal_size size,
                        struct osa_error *err);

/* ---- control.c ---- */

/** signal_op() - Slot signal of struct backend_ops */
enum osa_code signal_op(struct backend_process *base, int signo, enum signal_scope scope,
                        struct osa_error *err);
/** kill_tree_op() - Slot kill_tree of struct backend_ops */
void kill_tree_op(struct backend_process *base, done_fn done, void *ctx);

/**
 * control_tree_empty() - The last member of the tree has ended
 * Who waits for that is answered from the loop, after the current callback.
 */
void control_tree_empty(struct process *p);

/** control_on_done() - Init has answered KILL_ALL */
void control_on_done(struct process *p, int sys_errno);

/** control_abandon() - Answer who waits, from the loop; no timers afterwards */
void control_abandon(struct process *p);

/** pidfd_pid() - The pid behind @pidfd as this process numbers it. Return: -1 when it was reaped */
pid_t pidfd_pid(int pidfd);

/* ---- resources.c ---- */

/** resources_probe() - Open the cgroup tree and add to the info what it can do. Return: OSA_OK; as cgroup_tree_open() when @parent is set */
enum osa_code resources_probe(struct process_backend *b, const char *parent, const char *state_dir,
                              struct osa_error *err);

/** resources_limit_bits() - LIMIT_* of the limits that are not 0 */
unsigned resources_limit_bits(const struct resources *r);

/** resources_open_sandbox() - Make the sandbox's cgroup with its limits. Return: as cgroup_sandbox_new() */
enum osa_code resources_open_sandbox(struct sandbox *s, const struct sandbox_spec *spec,
                                     struct osa_error *err);

/** resources_open_process() - Likewise for a process */
enum osa_code resources_open_process(struct process *p, const struct process_spec *spec,
                                     struct osa_error *err);

/** resources_open_copy() - The cgroup of a copier, below the sandbox's; *ret stays NULL where there are none */
enum osa_code resources_open_copy(struct sandbox *s, struct cgroup **ret, struct osa_error *err);

/** resources_entry_fds() - Files that a child joins @cgroup by; NULL is fine. @ret_fds: room for CGROUP_PROCS_MAX + 1. Return: how many */
unsigned resources_entry_fds(struct cgroup *cgroup, int *ret_fds);

/** resources_await_end() - Call control_tree_empty() when the cgroup of the process, which it has, has no member */
void resources_await_end(struct process *p);

/** resources_can_kill() - Does the cgroup of the process hold and kill its tree? */
bool resources_can_kill(const struct process *p);

/** resources_abandon() - Answer a pause that is under way: the sandbox ends */
void resources_abandon(struct sandbox *s);

/** sandbox_pause_op() - Slot sandbox_pause of struct backend_ops */
void sandbox_pause_op(struct backend_sandbox *base, bool pause, done_fn done, void *ctx);
/** sandbox_update_op() - Slot sandbox_update of struct backend_ops */
void sandbox_update_op(struct backend_sandbox *base, const struct resources *limits, done_fn done,
                       void *ctx);
/** sandbox_stats_op() - Slot sandbox_stats of struct backend_ops */
void sandbox_stats_op(struct backend_sandbox *base, stats_fn done, void *ctx);
/** process_update_op() - Slot process_update of struct backend_ops */
void process_update_op(struct backend_process *base, const struct resources *limits, done_fn done,
                       void *ctx);
/** process_stats_op() - Slot process_stats of struct backend_ops */
void process_stats_op(struct backend_process *base, stats_fn done, void *ctx);

/* ---- denials.c ---- */

/** denials_probe() - Open sources of refusals; add to the info which are seen here, and which are not and why */
void denials_probe(struct process_backend *b);

/** denials_on_packet() - Init has refused a system call of the process's tree */
void denials_on_packet(struct process *p, const struct launcher_denied *body);

/** denials_on_killed() - The process ended by SIGSYS, which is how foreign calls are refused */
void denials_on_killed(struct process *p);

/* ---- reach.c ---- */

/** reach_on_done() - Init's answer to a CONNECT: the socket or why there is none */
void reach_on_done(struct sandbox *s, struct wire_packet *packet);

/** reach_abandon() - Answer the connections that await their socket: the sandbox ends */
void reach_abandon(struct sandbox *s);

/** sandbox_connect_op() - Slot sandbox_connect of struct backend_ops */
void sandbox_connect_op(struct backend_sandbox *base, const char *ip, uint16_t port, stream_fn done,
                        void *ctx);

/* ---- copy.c ---- */

/** copy_find() - The copy with that key. Return: NULL: none */
struct copy *copy_find(const struct sandbox *s, uint64_t key);

/** copy_on_packet() - SPAWNED, FAILED or EXITED of a copier. Frees @copy, unless that was SPAWNED */
void copy_on_packet(struct copy *copy, struct wire_packet *packet);

/** copy_abandon() - Answer all copies under way: the sandbox ends */
void copy_abandon(struct sandbox *s);

/** copy_count() - Copies under way */
size_t copy_count(const struct sandbox *s);

/** copy_pids() - Pids of copiers as the agent numbers them. @ret: room for copy_count(). Return: how many */
size_t copy_pids(const struct sandbox *s, pid_t *ret);

/** sandbox_copy_op() - Slot sandbox_copy of struct backend_ops */
void sandbox_copy_op(struct backend_sandbox *base, bool write, const char *path, const char *user,
                     stream_fn opened, done_fn done, void *ctx);
