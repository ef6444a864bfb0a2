// SPDX-License-Identifier: Apache-2.0
/*
 * The seam between the agent and whatever runs workloads.
 *
 * A backend makes sandboxes, and processes in them. Its life cycle is that of the field's emerging
 * contract for isolation backends: a sandbox is attached (resources made, nothing of the workload
 * runs), confirmed (every control that the reply lists has been checked to be in force), and from
 * then on starts processes; when its init or VM is lost it is terminated, and only destroy is left.
 *
 * Threads: everything here runs on the loop thread that the backend was opened with, callbacks
 * included. No function blocks; what takes time answers through a callback, which is called exactly
 * once, never from inside the call that started it.
 *
 * Failures: a code chosen where the fault is known. The error kinds of the contract map to
 *   Invalid → INVALID_ARGUMENT, Denied → PERMISSION_DENIED, Unavailable → UNAVAILABLE,
 *   Failed → FAILED_PRECONDITION (cannot be done here), RESOURCE_EXHAUSTED or INTERNAL,
 *   Terminated → ABORTED.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct policy_document; /* src/policy/document.h */

/* Numbers equal openshell.agent.v1.RuntimeKind. */
enum runtime_kind {
    RUNTIME_KIND_DEFAULT = 0,
    RUNTIME_KIND_PROCESS = 1,
    RUNTIME_KIND_BOXLITE = 2,
    RUNTIME_KIND_COUNT
};

/* Numbers equal openshell.agent.v1.IsolationLevel. Each level includes what the one below gives. */
enum isolation_level {
    ISOLATION_ANY = 0,
    ISOLATION_RESTRICTED = 1,
    ISOLATION_ROOTLESS = 2,
    ISOLATION_FULL = 3,
    ISOLATION_VM = 4,
};

/* What a backend can do beyond the basics; GetInfo shows the names of backend_capability_name(). */
enum backend_capability {
    BACKEND_CAP_USER = 1u << 0,             /* user and groups for each process */
    BACKEND_CAP_RLIMITS = 1u << 1,          /* setrlimit(2) for each process */
    BACKEND_CAP_TTY = 1u << 2,              /* pseudo-terminals with resize */
    BACKEND_CAP_ANY_SIGNAL = 1u << 3,       /* all 64 signals */
    BACKEND_CAP_GROUP_SIGNAL = 1u << 4,     /* to a process group */
    BACKEND_CAP_TREE_SIGNAL = 1u << 5,      /* to everything a process started */
    BACKEND_CAP_TREE_KILL = 1u << 6,        /* kills setsid and double-fork escapees */
    BACKEND_CAP_PAUSE = 1u << 7,            /* freeze and thaw */
    BACKEND_CAP_UPDATE_RESOURCES = 1u << 8, /* limits change while running */
    BACKEND_CAP_PROCESS_LIMITS = 1u << 9,   /* limits for one process inside a sandbox */
    BACKEND_CAP_CPU_LIMIT = 1u << 10,
    BACKEND_CAP_MEMORY_LIMIT = 1u << 11,
    BACKEND_CAP_PIDS_LIMIT = 1u << 12,
    BACKEND_CAP_DISK_LIMIT = 1u << 13,
    BACKEND_CAP_STATS = 1u << 14,
    BACKEND_CAP_OOM = 1u << 15,    /* out-of-memory kills are told apart */
    BACKEND_CAP_RUSAGE = 1u << 16, /* usage with the exit */
    BACKEND_CAP_IMAGE = 1u << 17,  /* OCI images */
    BACKEND_CAP_ROOT = 1u << 18,   /* a directory as root */
    BACKEND_CAP_POLICY = 1u << 19, /* filesystem policy */
    BACKEND_CAP_COPY = 1u << 20,   /* tar streams in and out */
    BACKEND_CAP_PORT_FORWARD = 1u << 21,
};
#define BACKEND_CAP_COUNT 22

/* Limits; 0 is "not limited here". Honoured exactly or rejected, never dropped. */
struct resources {
    uint64_t cpu_millis;   /* thousandths of a CPU */
    uint64_t memory_bytes; /* swap excluded */
    uint64_t pids_max;
    uint64_t disk_bytes;
};

/* Bits of resources that are in force, for isolation.enforced_limits. */
enum { LIMIT_CPU = 1u << 0, LIMIT_MEMORY = 1u << 1, LIMIT_PIDS = 1u << 2, LIMIT_DISK = 1u << 3 };

/* Bits of isolation.namespaces. */
enum {
    NAMESPACE_USER = 1u << 0,
    NAMESPACE_MNT = 1u << 1,
    NAMESPACE_PID = 1u << 2,
    NAMESPACE_NET = 1u << 3,
    NAMESPACE_IPC = 1u << 4,
    NAMESPACE_UTS = 1u << 5,
    NAMESPACE_CGROUP = 1u << 6,
};

enum network_mode { NETWORK_HOST, NETWORK_NONE, NETWORK_PROXY };
enum tree_kill { TREE_KILL_SWEEP, TREE_KILL_CGROUP, TREE_KILL_PID_NAMESPACE, TREE_KILL_VM };

/**
 * struct isolation - What is in force; facts, not wishes. Copied by value.
 * @landlock_abi:     0: not applied
 * @landlock_hard:    compatibility was hard_requirement
 * @seccomp_profile:  a constant; NULL: no filter
 * @enforced_limits:  LIMIT_* bits
 * @degraded:         NUL-separated sentences, ended by an empty one: best-effort controls that are
 *                    missing here
 */
struct isolation {
    enum isolation_level level;
    unsigned namespaces;
    uint32_t landlock_abi;
    uint32_t landlock_applied;
    uint32_t landlock_skipped;
    bool landlock_hard;
    const char *seccomp_profile;
    bool no_new_privs;
    bool capabilities_dropped;
    enum network_mode network;
    uint32_t cgroup_version;
    unsigned enforced_limits;
    enum tree_kill tree_kill;
    char degraded[512];
};

/**
 * struct backend_info - What a backend can do on this host, from probes made when it was opened
 * @available:  false: every sandbox_create fails with @reason
 * @reason:     for a person; empty when available
 * @isolation:  what a sandbox gets at most
 * @capabilities: BACKEND_CAP_* bits
 * @denial_sources: where refusals are seen and become events, separated by blanks: "network_log"
 *              (refused packets), "seccomp_notify" (refused system calls),
 *              "landlock_audit" (refused files, and what else Landlock holds)
 * @denial_gaps: sentences as in isolation.degraded: what is refused without an event, and why
 * @server_version, @server_url: boxlite only, else empty
 */
struct backend_info {
    bool available;
    char reason[256];
    struct isolation isolation;
    uint32_t capabilities;
    char denial_sources[64];
    char denial_gaps[384];
    char server_version[64];
    char server_url[256];
};

/* "KEY=VALUE" strings and other string lists: NULL-terminated, borrowed for the call. */
typedef const char *const *strlist;

/**
 * struct sandbox_spec - What processes of a sandbox share. Validated by the agent: ids, sizes and
 * UTF-8 are checked; a backend checks only what it alone knows. Borrowed for the call.
 * @id:        RFC 1123 label; part of the name of everything that outlives a process
 * @image:     "" for none
 * @root:      absolute path; "" for the agent's own root
 * @changes:   absolute path of a directory, in which "upper" and "work" hold what is changed in @root
 *             (overlayfs), so that it outlives the sandbox; "" for scratch space, which does not
 * @policy:    never NULL
 * @workdir:   absolute, never empty
 * @user:      "", "name", "uid", "name:group", "uid:gid"; "" defers to the policy
 * @seccomp_profile: "default", "strict" or "gpu"
 * @proxy:     the policy lets something out, through the egress proxy: sandbox_door() is to give its
 *             listeners. A level that cannot have them gives no network instead, and says so
 * @names:     with @proxy: the policy lets programs out that know no proxy (protocol tcp), so the door
 *             is to have a resolver's sockets and redirected TCP as well, where the level can
 * @shared:    a directory of the host that processes see, read-only, under SANDBOX_SHARED_PATH; ""
 *             for none. Only with @proxy, and of no effect where that is none
 * @min_isolation: the lowest level to accept; ISOLATION_ANY: the backend's highest, which must
 *             then succeed whole
 */
struct sandbox_spec {
    const char *id;
    const char *image;
    const char *root;
    const char *changes;
    const struct policy_document *policy;
    struct resources resources;
    const char *workdir;
    strlist env;
    const char *user;
    const char *seccomp_profile;
    bool proxy;
    bool names;
    const char *shared;
    enum isolation_level min_isolation;
};

struct rlimit_spec {
    int resource;  /* RLIMIT_* */
    uint64_t soft; /* UINT64_MAX: RLIM_INFINITY */
    uint64_t hard;
};

struct terminal_size {
    uint16_t rows;
    uint16_t columns;
};

/**
 * struct process_spec - One process. Validated like struct sandbox_spec. Borrowed for the call.
 * @id:       unique among all processes of the agent
 * @argv:     at least one element
 * @env:      complete: sandbox's and process's entries merged, defaults set; no duplicates
 * @cwd:      absolute
 * @user:     as in sandbox_spec; "" for the sandbox's
 * @groups:   names or numbers; NULL: those that @user implies
 * @resources: limits of this process inside the sandbox; all 0 for none
 */
struct process_spec {
    const char *id;
    strlist argv;
    strlist env;
    const char *cwd;
    const char *user;
    strlist groups;
    bool tty;
    struct terminal_size tty_size;
    bool stdin_open;
    const struct rlimit_spec *rlimits;
    size_t rlimit_count;
    struct resources resources;
};

/* Numbers equal openshell.agent.v1.Exit.Reason. TIMEOUT is set by the agent, never by a backend. */
enum exit_reason {
    EXIT_REASON_NONE = 0,
    EXIT_REASON_EXITED = 1,
    EXIT_REASON_SIGNALED = 2,
    EXIT_REASON_TIMEOUT = 3,
    EXIT_REASON_OOM_KILLED = 4,
    EXIT_REASON_SANDBOX_LOST = 5,
};

struct process_usage {
    int64_t wall_ns;
    int64_t user_ns;
    int64_t system_ns;
    uint64_t peak_memory_bytes;
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t voluntary_switches;
    uint64_t involuntary_switches;
    uint64_t minor_faults;
    uint64_t major_faults;
};

struct process_exit {
    enum exit_reason reason;
    int code;   /* with EXITED */
    int signal; /* with the others; 0 when none */
    bool core_dumped;
    uint32_t oom_kills;
    int64_t exited_wall_ns; /* wall clock, for people */
    struct process_usage usage;
};

enum output_stream { OUTPUT_STDOUT = 1, OUTPUT_STDERR = 2 };

struct backend;
struct backend_sandbox;
struct backend_process;
struct door_visit;

/**
 * struct sandbox_events - What a sandbox reports by itself; the struct outlives the sandbox
 * @lost:   its init or VM is gone; every process has been reported as exited (SANDBOX_LOST) before
 * @denied: a control refused something, nobody knows to which process: @control is "seccomp",
 *          "landlock" or "network", @text for a person; may be NULL
 * @visitor: of a sandbox whose door has no listeners: somebody has come to it, as @visit says. @fd is
 *          a connected stream socket to him, non-blocking, CLOEXEC; taken. May be NULL
 */
struct sandbox_events {
    void (*lost)(struct sandbox_events *self, const char *reason);
    void (*denied)(struct sandbox_events *self, const char *control, const char *text);
    void (*visitor)(struct sandbox_events *self, int fd, const struct door_visit *visit);
};

/**
 * struct process_events - What a process reports; the struct outlives the process
 * @output:     the next bytes; borrowed for the call. Never held back: the agent's log is bounded
 * @output_end: no output of this stream will follow; called for each stream, before or after exited
 * @stdin_ready: more stdin is taken again after process_write took less than offered; also once
 *              stdin can take no more at all (reader gone), when process_write answers so
 * @exited:     the process has ended, once; output may still follow while a child holds the pipe
 * @oom_killed: the kernel killed a member of the tree for want of memory; may come at any time
 * @denied:     a control refused something to a member of the tree, as in struct sandbox_events; may
 *              be NULL. Bounded by the backend
 */
struct process_events {
    void (*output)(struct process_events *self, enum output_stream stream, const void *data,
                   size_t len);
    void (*output_end)(struct process_events *self, enum output_stream stream);
    void (*stdin_ready)(struct process_events *self);
    void (*exited)(struct process_events *self, const struct process_exit *exit);
    void (*oom_killed)(struct process_events *self);
    void (*denied)(struct process_events *self, const char *control, const char *text);
};

/* Usage at one moment. What the kernel does not tell is 0. */
struct usage_stats {
    int64_t cpu_ns;
    uint64_t memory_bytes;
    uint64_t memory_peak_bytes;
    uint64_t pids;
    uint64_t read_bytes;
    uint64_t write_bytes;
    int64_t throttled_ns;
    uint32_t oom_kills;
};

/**
 * struct sandbox_door - Where a sandbox's egress proxy listens, for that sandbox alone
 * @fds:   listening sockets, non-blocking, CLOEXEC; taken by who asks; -1: none of that family, and
 *         both -1 where visitors come as events of the sandbox
 * @hosts: their addresses as processes inside see them; "" where there is none
 * @names: there are those below, taken likewise; else they mean nothing
 * @names_udp, @names_tcp: where what the sandbox sends to any port 53 arrives
 * @tcp:   where TCP to SANDBOX_NAMES_NET arrives; osa_tcp_original() tells what it was for
 */
struct sandbox_door {
    int fds[2];
    char hosts[2][46];
    uint16_t port;
    bool names;
    int names_udp;
    int names_tcp;
    int tcp;
};

/* Addresses that stand for names inside a sandbox: a /15 for tests of network gear, RFC 2544. */
#define SANDBOX_NAMES_NET 0xc6120000u
#define SANDBOX_NAMES_PREFIX 15

/**
 * struct door_visit - A connection that was accepted at a door
 * @client, @proxy: the two ends, as accept(2) and getsockname(2) give them
 * @names: paths of executables; which of them lead to the owner or an ancestor is asked, too. For
 *         sandboxes whose files are not this host's; others ignore it. NULL: none
 */
struct door_visit {
    struct sockaddr_storage client;
    struct sockaddr_storage proxy;
    strlist names;
};

#define OWNER_DIGEST_SIZE 32
#define OWNER_ANCESTORS_MAX 64

/**
 * struct door_owner - The process at the other end of a connection, from trusted state
 * @pid:       as the agent numbers it; the lowest when several alike hold the socket
 * @exe:       path of its executable, as the sandbox sees it
 * @digest:    SHA-256 of the executable's bytes, which are those of its first use
 * @ancestors: executables of its ancestors, nearest first, up to the sandbox's init exclusively; NULL-terminated
 * @names:     those of door_visit.names that are links to one of these; NULL: none
 */
struct door_owner {
    pid_t pid;
    const char *exe;
    uint8_t digest[OWNER_DIGEST_SIZE];
    const char *const *ancestors;
    const char *const *names;
};

enum signal_scope { SIGNAL_PROCESS = 1, SIGNAL_GROUP = 2, SIGNAL_TREE = 3 };

/* Callbacks of operations. @error is NULL on success; borrowed for the call. */
typedef void (*sandbox_created_fn)(void *ctx, struct backend_sandbox *sandbox,
                                   const struct isolation *isolation,
                                   const struct resources *effective,
                                   const struct osa_error *error);
typedef void (*spawned_fn)(void *ctx, struct backend_process *process,
                           const struct isolation *isolation, const struct resources *effective,
                           const struct osa_error *error);
typedef void (*done_fn)(void *ctx, const struct osa_error *error);
typedef void (*stats_fn)(void *ctx, const struct usage_stats *stats, const struct osa_error *error);
/*
 * Who opened a connection; @owner is borrowed for the call. Errors: NOT_FOUND: nobody holds it any
 * more, or who does cannot be told; PERMISSION_DENIED: several processes of different executables
 * hold it; DATA_LOSS: an executable changed since it was first seen. All of them deny.
 */
typedef void (*owner_fn)(void *ctx, const struct door_owner *owner, const struct osa_error *error);
/* A byte stream into the sandbox: a connected socket, taken by the callee, non-blocking, CLOEXEC. */
typedef void (*stream_fn)(void *ctx, int fd, const struct osa_error *error);

/**
 * struct backend_ops - What a backend is. No slot is NULL: what a backend lacks points to one of
 * the backend_no_… functions, which answer UNIMPLEMENTED.
 */
struct backend_ops {
    enum runtime_kind kind;
    const char *name; /* lower case, as in flags, logs and RPC */

    /** Stop everything, free @b; every sandbox must have been destroyed. NULL is fine. */
    void (*close)(struct backend *b);

    /** Borrowed until close; contents may change when a probe is repeated. */
    const struct backend_info *(*info)(struct backend *b);

    /**
     * Attach and confirm a sandbox. @events outlives it. On failure nothing is left behind.
     * FAILED_PRECONDITION: a control cannot be applied here. INVALID_ARGUMENT: spec.
     */
    void (*sandbox_create)(struct backend *b, const struct sandbox_spec *spec,
                           struct sandbox_events *events, sandbox_created_fn done, void *ctx);

    /**
     * Kill what runs, remove all of it, free @s. Before @done every process has reported exited, and
     * every operation under way has answered (a spawn with ABORTED). Output that is still in a pipe,
     * and its end, may come after @done: handles of processes stay valid until process_free. Always
     * succeeds in the end.
     */
    void (*sandbox_destroy)(struct backend_sandbox *s, done_fn done, void *ctx);

    void (*sandbox_pause)(struct backend_sandbox *s, bool pause, done_fn done, void *ctx);
    /** All fields of @limits as wanted from now on; 0 removes a limit. @effective of the callback via stats is not needed: exact or rejected. */
    void (*sandbox_update)(struct backend_sandbox *s, const struct resources *limits, done_fn done,
                           void *ctx);
    void (*sandbox_stats)(struct backend_sandbox *s, stats_fn done, void *ctx);
    /** A connection to a loopback address and port inside. UNAVAILABLE: nothing listens. @ip: "127.0.0.1", "::1" … */
    void (*sandbox_connect)(struct backend_sandbox *s, const char *ip, uint16_t port,
                            stream_fn done, void *ctx);
    /** The listeners that spec.proxy asked for; once. FAILED_PRECONDITION: there are none */
    enum osa_code (*sandbox_door)(struct backend_sandbox *s, struct sandbox_door *ret_door,
                                  struct osa_error *err);
    /** Who opened the connection @visit, which was accepted at the sandbox's door */
    void (*sandbox_owner)(struct backend_sandbox *s, const struct door_visit *visit, owner_fn done,
                          void *ctx);
    /**
     * A tar stream into (@write) or out of @path, made by a helper inside the confinement as
     * @user. @opened gives the socket: the agent writes the archive and shuts its side down, or
     * reads it to the end. @done says how the helper fared, after the stream's end; it is not called
     * when @opened got an error.
     */
    void (*sandbox_copy)(struct backend_sandbox *s, bool write, const char *path, const char *user,
                         stream_fn opened, done_fn done, void *ctx);

    /**
     * Start a process. @events outlives it. @done after its exec succeeded, or failed with stage and
     * errno in the error and nothing left behind. No event comes before @done.
     */
    void (*spawn)(struct backend_sandbox *s, const struct process_spec *spec,
                  struct process_events *events, spawned_fn done, void *ctx);

    /** Free @p after its exited and both output_end events, or to drop output that a stranger still holds. NULL is fine. */
    void (*process_free)(struct backend_process *p);

    /** @signo 0 probes. NOT_FOUND after exit; UNIMPLEMENTED for a signal or scope that the kind lacks. */
    enum osa_code (*signal)(struct backend_process *p, int signo, enum signal_scope scope,
                            struct osa_error *err);
    /** SIGKILL to the whole tree, escapees included; also after the exit of the process itself. @done when none is left. */
    void (*kill_tree)(struct backend_process *p, done_fn done, void *ctx);

    /**
     * Leave output in its pipes for now, or take it again. Advice, for what readers cannot take:
     * output may come all the same, and does on a terminal and once the writers are gone.
     */
    void (*hold_output)(struct backend_process *p, bool hold);

    /** Offer stdin. *ret_taken ≤ len; less means: wait for stdin_ready. FAILED_PRECONDITION when stdin is closed or the reader is gone. */
    enum osa_code (*write_stdin)(struct backend_process *p, const void *data, size_t len,
                                 size_t *ret_taken, struct osa_error *err);
    /** End of input: closes the pipe, or sends the terminal's EOF character. Idempotent. */
    enum osa_code (*close_stdin)(struct backend_process *p, struct osa_error *err);
    enum osa_code (*resize)(struct backend_process *p, struct terminal_size size,
                            struct osa_error *err);

    void (*process_update)(struct backend_process *p, const struct resources *limits, done_fn done,
                           void *ctx);
    void (*process_stats)(struct backend_process *p, stats_fn done, void *ctx);
};

/* First member of each backend's private struct; likewise for sandboxes and processes. */
struct backend {
    const struct backend_ops *ops;
};
struct backend_sandbox {
    const struct backend_ops *ops;
};
struct backend_process {
    const struct backend_ops *ops;
};

/* Where processes see sandbox_spec.shared. */
#define SANDBOX_SHARED_PATH "/dev/openshell"

/** backend_no_door() - Slot sandbox_door of a kind whose sandboxes have no proxy */
enum osa_code backend_no_door(struct backend_sandbox *s, struct sandbox_door *ret_door,
                              struct osa_error *err);

/** backend_no_owner() - Slot sandbox_owner likewise: without a door nobody comes in; aborts */
void backend_no_owner(struct backend_sandbox *s, const struct door_visit *visit, owner_fn done,
                      void *ctx);

/** backend_capability_name() - "any_signal" for BACKEND_CAP_ANY_SIGNAL; @bit is one bit. Return: a constant, NULL when unknown */
const char *backend_capability_name(uint32_t bit);

/** user_is_root() - Is a part of "USER[:GROUP]" root, by name or by number? "" is not */
bool user_is_root(const char *user);

/** runtime_kind_name() - "process", "boxlite"; "default" for RUNTIME_KIND_DEFAULT. Return: a constant */
const char *runtime_kind_name(enum runtime_kind kind);

/** runtime_kind_absent() - Why an agent may have no backend of this kind, and what to change. Return: a constant */
const char *runtime_kind_absent(enum runtime_kind kind);

/** runtime_kind_parse() - The reverse. Return: false for an unknown name */
bool runtime_kind_parse(const char *name, enum runtime_kind *ret_kind);
