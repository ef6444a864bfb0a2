// SPDX-License-Identifier: Apache-2.0
/*
 * Plans: what a sandbox's init and each process's start shall do, as flat bytes.
 *
 * The agent compiles a plan where memory and libraries are at hand; the launcher, which is small,
 * privileged and single-threaded, checks it once and then only carries it out. A plan is one block:
 * a fixed head, then data that the head points to by offset and length. Nothing in it is an
 * address. Both ends are the same build, so that integers have the host's size and order.
 *
 * String lists are NUL-terminated strings one after another; `count` says how many.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAUNCH_PLAN_MAGIC 0x504e4c4fu  /* "OLNP" */
#define SANDBOX_PLAN_MAGIC 0x504e5353u /* "SSNP" */
#define COPY_PLAN_MAGIC 0x504e5043u    /* "CPNP" */
/* argv and env may have 2 MiB together, as Linux allows by default; the rest is small. */
#define PLAN_MAX_BYTES (4u << 20)
#define PLAN_MAX_RLIMITS 32u

/* Bytes of the plan, from its start on. length 0: absent. */
struct plan_blob {
    uint32_t offset;
    uint32_t length;
};

struct plan_strings {
    struct plan_blob bytes;
    uint32_t count;
};

/* struct sandbox_plan.namespaces; numbers equal NAMESPACE_* of backends/backend.h */
enum {
    PLAN_NS_USER = 1u << 0,
    PLAN_NS_MNT = 1u << 1,
    PLAN_NS_PID = 1u << 2,
    PLAN_NS_NET = 1u << 3,
    PLAN_NS_IPC = 1u << 4,
    PLAN_NS_UTS = 1u << 5,
    PLAN_NS_CGROUP = 1u << 6,
};

/* struct sandbox_plan.flags */
enum {
    SANDBOX_PLAN_NO_NEW_PRIVS = 1u << 0, /* init sets it for itself and so for all */
    SANDBOX_PLAN_KEEP_IDS = 1u << 1, /* the agent's own user is the only one: nothing to change */
    SANDBOX_PLAN_SHOW_NET =
        1u << 2, /* hand the network namespace out, for a veth pair's inner end */
};

/* 10.200.0.1, where OpenShell's own sandboxes have their proxy: programs and tests know it by number. */
#define SANDBOX_PROXY_ADDRESS 0x0ac80001u

/**
 * struct sandbox_plan - What init does once, before the sandbox is confirmed
 * @size:       bytes of the whole plan
 * @level:      enum isolation_level
 * @namespaces: PLAN_NS_* bits
 * @rootfs:     input of the mounts module (launcher/mounts.h); absent: the agent's own root
 * @landlock:   input of the Landlock module (launcher/landlock.h); absent: none
 * @seccomp:    struct sock_filter[], loaded by each process last; absent: none
 * @seccomp_flags: of seccomp(2); with SECCOMP_FILTER_FLAG_NEW_LISTENER refused calls wait for init
 *              or a keeper to answer them (launcher/listeners.h)
 * @user:       of processes that name none, as in struct launch_plan; absent: identity_default()
 * @hostname:   one string; absent: as it is
 * @proxy_port: of the listening sockets that are opened on the loopback of the new network
 *              namespace and handed out for the egress proxy; 0: none
 * @names_port, @tcp_port: likewise, for the resolver (UDP and TCP) and for TCP that is redirected; 0:
 *              none. Only with @proxy_port
 */
struct sandbox_plan {
    uint32_t magic;
    uint32_t size;
    uint32_t level;
    uint32_t namespaces;
    uint32_t flags;
    uint32_t seccomp_flags;
    struct plan_blob rootfs;
    struct plan_blob landlock;
    struct plan_blob seccomp;
    struct plan_blob user;
    struct plan_blob hostname;
    uint32_t proxy_port;
    uint32_t names_port;
    uint32_t tcp_port;
};

struct plan_rlimit {
    int32_t resource; /* RLIMIT_* */
    uint32_t reserved;
    uint64_t soft;
    uint64_t hard;
};

/* struct launch_plan.flags */
enum {
    LAUNCH_TTY = 1u << 0,        /* a terminal; else three stdio descriptors come along */
    LAUNCH_TTY_GIVEN = 1u << 3,  /* with TTY: its slave comes along, for init cannot open one */
    LAUNCH_KEEPER = 1u << 1,     /* a subreaper of its own, which keeps the tree together */
    LAUNCH_ALLOW_CORE = 1u << 2, /* RLIMIT_CORE stands in rlimits: core files are wanted */
};

/**
 * struct launch_plan - How one process starts
 * @argv:     at least one string
 * @user:     "name", "uid", "name:group", "uid:gid"; absent: init's own
 * @groups:   supplementary groups in place of those that @user implies, when @groups_set
 * @cgroup_fds: how many descriptors of cgroup.procs (or tasks) files come along, after stdio
 */
struct launch_plan {
    uint32_t magic;
    uint32_t size;
    uint32_t flags;
    struct plan_strings argv;
    struct plan_strings env;
    struct plan_blob cwd;
    struct plan_blob user;
    struct plan_strings groups;
    uint32_t groups_set;
    struct plan_blob rlimits; /* struct plan_rlimit[] */
    uint32_t cgroup_fds;
    uint16_t rows;
    uint16_t columns;
};

/* struct copy_plan.flags */
enum {
    COPY_IN = 1u << 0, /* unpack; else pack */
};

/**
 * struct copy_plan - One copy, by a copier inside the sandbox. The stream's and the report's
 * descriptors come along, then those of @cgroup_fds
 * @path: absolute
 * @user: as in struct launch_plan
 */
struct copy_plan {
    uint32_t magic;
    uint32_t size;
    uint32_t flags;
    struct plan_blob path;
    struct plan_blob user;
    uint32_t cgroup_fds;
};

/**
 * sandbox_plan_check() - Is @data a whole, consistent plan?
 * Every offset, length, count and terminating NUL is checked, so that readers need not.
 * @data: aligned for uint64_t
 * Return: the plan within @data; NULL when anything is wrong.
 */
const struct sandbox_plan *sandbox_plan_check(const void *data, size_t len);

/** launch_plan_check() - As sandbox_plan_check() */
const struct launch_plan *launch_plan_check(const void *data, size_t len);

/** copy_plan_check() - As sandbox_plan_check() */
const struct copy_plan *copy_plan_check(const void *data, size_t len);

/** plan_bytes() - Start of a blob of a checked plan; NULL when absent */
static inline const void *plan_bytes(const void *plan, struct plan_blob blob)
{
    return blob.length == 0 ? NULL : (const char *)plan + blob.offset;
}

/** plan_text() - A string blob of a checked plan; NULL when absent */
static inline const char *plan_text(const void *plan, struct plan_blob blob)
{
    return plan_bytes(plan, blob);
}

/**
 * plan_string_list() - Fill @ret_list with pointers to the strings of a checked plan and a final NULL
 * @ret_list: room for list.count + 1 pointers
 */
void plan_string_list(const void *plan, struct plan_strings list, const char **ret_list);
