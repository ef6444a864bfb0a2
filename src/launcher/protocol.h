// SPDX-License-Identifier: Apache-2.0
/*
 * What agent, zygote and inits say to each other.
 *
 * Unix sockets of type SEQPACKET carry one message a packet: a fixed head, a body, descriptors. All
 * ends are the same build. Nobody but the agent holds the other end of a zygote's or init's socket;
 * a packet that makes no sense is therefore our bug, and its receiver ends (agent: marks it lost).
 *
 *   agent → zygote   CREATE (sandbox plan; descriptors: init's socket)
 *   zygote → agent   PROBED once at its start; CREATED (pidfd) or FAILED; GONE, when the init is dead
 *                    and all that it left behind is, too
 *   init → agent     READY or FAILED, once
 *   agent → init     SPAWN (launch plan; stdio and cgroup descriptors), GROUP_SIGNAL, KILL_ALL, CONNECT,
 *                    COPY (copy plan; stream, report and cgroup descriptors)
 *   init → agent     SPAWNED (pidfd; keeper's pidfd; terminal) or FAILED; EXITED; DENIED; DONE
 *
 * A keeper speaks on its init's socket; `key` tells which process or request a message is about.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* The descriptor that a launcher finds its socket on. */
#define LAUNCHER_SOCKET_FD 3
/* Larger bodies come in a sealed memfd, as first descriptor, with LAUNCHER_BODY_IN_FD. */
#define LAUNCHER_BODY_MAX 32768u
#define LAUNCHER_FDS_MAX 24u

enum launcher_type {
    LAUNCHER_PROBED = 1,
    LAUNCHER_CREATE,
    LAUNCHER_CREATED,
    LAUNCHER_GONE,
    LAUNCHER_READY,
    LAUNCHER_FAILED,
    LAUNCHER_SPAWN,
    LAUNCHER_SPAWNED,
    LAUNCHER_EXITED,
    LAUNCHER_GROUP_SIGNAL,
    LAUNCHER_KILL_ALL,
    LAUNCHER_CONNECT,
    LAUNCHER_DONE,
    LAUNCHER_DENIED,
    LAUNCHER_COPY,
};

/* Steps of a start, in order; launch_stage_name() has the names that users see. */
enum launch_stage {
    LAUNCH_STAGE_NONE,
    LAUNCH_STAGE_PROTOCOL,
    LAUNCH_STAGE_FORK,
    LAUNCH_STAGE_NAMESPACE,
    LAUNCH_STAGE_MOUNT,
    LAUNCH_STAGE_USER,
    LAUNCH_STAGE_TTY,
    LAUNCH_STAGE_CGROUP,
    LAUNCH_STAGE_STDIO,
    LAUNCH_STAGE_RLIMIT,
    LAUNCH_STAGE_PRIVILEGES,
    LAUNCH_STAGE_CWD,
    LAUNCH_STAGE_LANDLOCK,
    LAUNCH_STAGE_SECCOMP,
    LAUNCH_STAGE_EXEC,
    LAUNCH_STAGE_NETWORK,
    LAUNCH_STAGE_CAPABILITIES,
    LAUNCH_STAGE_KEYRING,
    LAUNCH_STAGE_COUNT
};

enum { LAUNCHER_BODY_IN_FD = 1u << 0 };

/**
 * struct launcher_message - Head of each packet
 * @key:    chosen by the agent: of a sandbox on the zygote's socket, of a process or request on an init's
 * @stage, @sys_errno: with FAILED and DONE; DONE with both 0 is success
 * @code:   with FAILED: enum osa_code where the step knows whose fault it is, and the body is then the
 *          whole text; 0: the stage and errno tell
 * @length: bytes of the body, in the packet or in the first descriptor
 */
struct launcher_message {
    uint32_t type;
    uint32_t flags;
    uint64_t key;
    uint32_t stage;
    int32_t sys_errno;
    uint32_t length;
    uint32_t code;
};

/* What a start that failed left to say, as body of FAILED after the head: one NUL-terminated text. */
#define LAUNCHER_DETAIL_MAX 512

/*
 * Body of PROBED: what this host lets the launcher do. stage to detail are as in FAILED: why no
 * process can be confined; else why @namespaces is 0.
 */
struct launcher_probe {
    uint32_t confined; /* 1: a process can be, with namespaces or without */
    uint32_t
        namespaces; /* PLAN_NS_* of a sandbox that was built as a whole, to see; 0: none could be */
    uint32_t stage;
    int32_t sys_errno;
    uint32_t code;
    uint32_t landlock_abi;
    uint32_t seccomp;       /* 1: filters can be loaded */
    uint32_t group_pidfd;   /* 1: pidfd_send_signal reaches process groups (Linux 6.9) */
    uint32_t seccomp_flags; /* of seccomp(2), for a filter that notifies; 0: none can */
    char detail[LAUNCHER_DETAIL_MAX];
};

/*
 * Descriptors of READY, in this order; those that are there stand in struct launcher_ready's
 * network_fds. The first three are of namespace_open_network(), the next of namespace_open_proxy(),
 * the last of namespace_open_names().
 */
enum {
    NETWORK_FD_ROUTE,
    NETWORK_FD_RULES,
    NETWORK_FD_LOG,
    NETWORK_FD_DIAG,
    NETWORK_FD_PROXY4,
    NETWORK_FD_PROXY6,
    NETWORK_FD_NAMES_UDP,
    NETWORK_FD_NAMES_TCP,
    NETWORK_FD_TCP,
    NETWORK_FD_NS, /* the namespace itself, with SANDBOX_PLAN_SHOW_NET */
    NETWORK_FD_COUNT
};

/* Body of READY: what the set-up came to. */
struct launcher_ready {
    uint32_t network_fds;    /* bits 1 << NETWORK_FD_* */
    uint32_t mounts_missing; /* MOUNTS_NO_* of launcher/mounts.h */
    uint32_t landlock_applied;
    uint32_t landlock_skipped;
};

/* Body of SPAWNED; descriptors in this order: pidfd, keeper's pidfd if any, terminal if any. */
struct launcher_spawned {
    uint32_t has_keeper;
    uint32_t has_terminal;
    int32_t pid; /* as init numbers it */
};

/* Body of EXITED. Times and counts of wait4(2): the process and what it waited for. */
struct launcher_exited {
    int32_t status; /* wait status */
    uint32_t last;  /* 1: the tree that it belongs to has no member left */
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

/*
 * Body of DENIED, whose key is the process's: a call of its tree that the filter has refused. Few
 * are told: others are only counted, in the next one that is.
 */
struct launcher_denied {
    uint64_t args[6];
    int32_t nr;  /* -1: none, the body tells @missed alone */
    int32_t pid; /* of the caller, as init numbers it; 0: not in its namespace */
    uint32_t missed;
    uint32_t reserved;
};

/* Body of GROUP_SIGNAL. */
struct launcher_signal {
    int32_t signo;
};

/*
 * Body of CONNECT, whose key is the request's. Answered with DONE and the connecting socket
 * (non-blocking, its connect under way).
 */
struct launcher_connect {
    uint16_t port; /* host order */
    uint16_t is_ipv6;
    uint32_t reserved;
    uint8_t address[16]; /* network order; the first 4 for IPv4 */
};

/*
 * What a copier that fails writes into its report descriptor before it exits with 1; a copier that
 * exits with 0 writes nothing. It handles hostile data: the agent believes no field unchecked.
 */
struct copy_report {
    uint32_t code; /* enum osa_code */
    int32_t sys_errno;
    uint32_t at_path; /* 1: the copy's own path is at fault */
    char text[512];   /* NUL-terminated */
};

/** launch_stage_name() - "exec" for LAUNCH_STAGE_EXEC. Return: a constant; "unknown" for other numbers */
const char *launch_stage_name(uint32_t stage);

/** launch_stage_parse() - The reverse. Return: LAUNCH_STAGE_NONE for an unknown name or NULL */
enum launch_stage launch_stage_parse(const char *name);
