// SPDX-License-Identifier: Apache-2.0
/* What cgroup.c, cgroup_probe.c, cgroup_events.c, cgroup_v1.c and cgroup_v2.c share; for them alone. */
#pragma once

#include "backends/process/cgroup.h"

#include <utlist.h>

/* The controllers that we use. On v2 the freezer belongs to the core, and cpuacct to cpu. */
enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_FREEZER,
    CGROUP_IO,
    CGROUP_CONTROLLER_COUNT
};

/* Hierarchies at most: one for each v1 controller, and v2. */
#define CGROUP_HIERARCHY_MAX 7
#define CGROUP_NAME_SIZE 64
#define CGROUP_TOP_PREFIX "openshell-agent-"
/* Below this length a file of ours never grows, but io.stat and cgroup.procs may. */
#define CGROUP_FILE_MAX (1u << 20)

/**
 * struct cgroup_ops - What differs between v1 and v2; @dir is a cgroup's directory there
 *
 * set_*: 0 removes the limit; return 0 or -errno, -EBUSY when memory in use exceeds the limit.
 * add_stats: adds what the controllers @controllers (bits) of this hierarchy know to @stats.
 * freeze: return 0 or -errno, at once. is_frozen, is_empty: is_empty includes descendants.
 * kill: whole subtree; return 0 or -errno.
 */
struct cgroup_ops {
    int (*set_cpu)(int dir, uint64_t millis);
    int (*set_memory)(int dir, uint64_t bytes);
    int (*set_pids)(int dir, uint64_t max);
    void (*add_stats)(int dir, unsigned controllers, struct usage_stats *stats);
    uint64_t (*oom_kills)(int dir);
    int (*freeze)(int dir, bool on);
    bool (*is_frozen)(int dir);
    int (*kill)(int dir);
    bool (*is_empty)(int dir);
};

extern const struct cgroup_ops cgroup_v1_ops;
extern const struct cgroup_ops cgroup_v2_ops;

/**
 * struct cgroup_hierarchy - One mounted hierarchy that we take part in
 * @parent_fd: PARENT; owned
 * @top_fd:    PARENT/openshell-agent-KEY, locked; owned
 * @controllers: bits 1u << CGROUP_*
 * @enable:    v2: what cgroup.subtree_control of every inner cgroup gets: "+cpu +memory"; may be ""
 */
struct cgroup_hierarchy {
    const struct cgroup_ops *ops;
    bool v2;
    unsigned controllers;
    char enable[64];
    int parent_fd;
    int top_fd;
};

/**
 * struct cgroup_tree
 * @of:      index of the hierarchy of a controller, -1 when there is none
 * @life:    hierarchy that tells who is alive: v2, else the freezer, else any; -1 without cgroups
 * @cgroups: all that live and linger
 */
struct cgroup_tree {
    struct osa_loop *loop;
    struct cgroup_caps caps;
    struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHY_MAX];
    int hierarchy_count;
    int of[CGROUP_CONTROLLER_COUNT];
    int life;
    char name[CGROUP_NAME_SIZE]; /* openshell-agent-KEY */
    struct osa_source inotify;
    struct osa_timer tick;
    int64_t tick_delay_ns;
    struct cgroup_watch *watches; /* uthash by wd */
    struct cgroup *cgroups;
};

/**
 * struct cgroup
 * @id:     of who it is for, as in messages
 * @name:   of its directories; a process's may be that of one before it
 * @dirs:   by hierarchy: where its members and limits are; -1 where it has no directory. Owned
 * @procs:  cgroup.procs there, opened for writing. Owned
 * @empty_wd, @oom_wd: v2: keys in tree->watches, -1 without
 * @oom_gone: v1: kills counted in processes that were freed
 * @lingering: freed by its owner, waits for its members to die
 * @limited: has, or had, a limit of its own
 * @entered: process: hierarchies, by bit, that its entry was for
 * @base, @peak_fd: of a cgroup that had another process before: what that one used of what cannot be
 *             set back, and v2's memory.peak, set back for this descriptor. Owned; else -1
 * @stays_open: its @procs are not closed when its process has entered
 * @spares, @spare_count, @open_count: sandbox: cgroup_spare.c; the last counts @stays_open
 * @recheck_until_ns: v1: a kill was announced, its count may still be on its way
 * @kill_pending: cgroup_kill() owes an empty event
 */
struct cgroup {
    struct cgroup_tree *tree;
    struct cgroup *sandbox; /* NULL in a sandbox */
    struct cgroup_events *events;
    char id[CGROUP_NAME_SIZE];
    char name[CGROUP_NAME_SIZE];
    struct resources limits;
    int dirs[CGROUP_HIERARCHY_MAX];
    int procs[CGROUP_HIERARCHY_MAX];
    int empty_wd;
    int oom_wd;
    struct osa_source oom_event; /* v1's eventfd, owned; fd -1 without */
    int64_t recheck_until_ns;
    uint64_t oom_reported;
    uint64_t oom_gone;
    struct usage_stats base;
    int peak_fd;
    struct cgroup *spares;
    unsigned spare_count;
    unsigned open_count;
    bool lingering;
    bool limited;
    bool stays_open;
    unsigned entered;
    bool kill_pending;
    bool was_filled; /* pure v1: the last poll found members */
    struct cgroup *prev, *next;
};

/* ---- cgroup_probe.c ---- */

/** cgroup_probe() - Fill tree->hierarchies and caps; take a place in each. Return: as cgroup_tree_open() */
OSA_MUST_CHECK enum osa_code cgroup_probe(struct cgroup_tree *tree, const char *parent,
                                          struct osa_error *err);

/** cgroup_remove_if_dead() - For cgroup_each_child(), with a const struct cgroup_ops * as @ctx: remove @name if it is a dead agent's */
void cgroup_remove_if_dead(int parent, const char *name, void *ctx);

/** cgroup_remove_tree() - Kill and remove the directory @name of @parent with all below; waits up to @wait_ms. Return: is it gone? */
bool cgroup_remove_tree(const struct cgroup_ops *ops, int parent, const char *name, int wait_ms);

/* ---- cgroup_events.c ---- */

/** cgroup_events_start() - Open what events come through. Return: OSA_OK or RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code cgroup_events_start(struct cgroup_tree *tree, struct osa_error *err);
/** cgroup_events_stop() - The reverse; a tree that never started is fine */
void cgroup_events_stop(struct cgroup_tree *tree);
/** cgroup_events_watch() - Report @cg's events from now on. Return: OSA_OK or RESOURCE_EXHAUSTED */
OSA_MUST_CHECK enum osa_code cgroup_events_watch(struct cgroup *cg, struct osa_error *err);
/** cgroup_events_watch_oom() - The same for a memory limit that came later */
OSA_MUST_CHECK enum osa_code cgroup_events_watch_oom(struct cgroup *cg, struct osa_error *err);
/** cgroup_events_unwatch() - No event afterwards; not watched is fine */
void cgroup_events_unwatch(struct cgroup *cg);
/** cgroup_events_tick() - Look again within milliseconds: at lingering cgroups, at announced kills */
void cgroup_events_tick(struct cgroup_tree *tree);

/* ---- cgroup.c ---- */

/** cgroup_try_remove() - Remove a lingering cgroup's directories. Return: all gone, and @cg is freed */
bool cgroup_try_remove(struct cgroup *cg);

/** cgroup_open_procs() - Open cgroup.procs of each directory that a new member has to enter. Return: 0 or -errno */
int cgroup_open_procs(struct cgroup *process);

/* ---- cgroup_limits.c ---- */

/**
 * cgroup_join_late() - Make the directory of @cg in v1 hierarchy @i, where it has none, and move its members there
 * A process's sandbox gets one first, too. Return: 0 or -errno.
 */
int cgroup_join_late(struct cgroup *cg, int i);

/** cgroup_move_members() - Move who is in @from, and who they fork meanwhile, to @to, a v1 directory */
void cgroup_move_members(int from, int to);

/* ---- cgroup_spare.c ---- */

/**
 * cgroup_spare_keep() - Keep the cgroup of a process, whose owner has freed it, for the next one
 * Return: false when it is not as good as new, or enough are kept: the caller removes it.
 */
bool cgroup_spare_keep(struct cgroup *cg);

/**
 * cgroup_spare_take() - A cgroup as if just made, for a process without limits
 * Return: NULL when none is kept. Its id and events are the caller's to set; it is in tree->cgroups.
 */
struct cgroup *cgroup_spare_take(struct cgroup *sandbox);

/**
 * cgroup_spare_is_likely() - Shall @cg keep its cgroup.procs open after its process has entered?
 * True for as many of a sandbox's as it may keep later.
 */
bool cgroup_spare_is_likely(struct cgroup *cg);

/** cgroup_spare_forget() - @cg is being freed, and another may keep its files open */
void cgroup_spare_forget(struct cgroup *cg);

/** cgroup_spare_drop() - The sandbox is being freed: remove what it keeps */
void cgroup_spare_drop(struct cgroup *sandbox);

/* ---- cgroup_file.c ---- */

/** cgroup_write() - Write @text to a cgroup's file. Return: 0 or -errno */
int cgroup_write(int dir, const char *file, const char *text);
/** cgroup_write_u64() - Write a number. Return: 0 or -errno */
int cgroup_write_u64(int dir, const char *file, uint64_t value);
/** cgroup_read_u64() - A file that is one number; 0 when it is missing or "max" */
uint64_t cgroup_read_u64(int dir, const char *file);
/** cgroup_read_key() - Value after "@key " at the start of a line, as in cpu.stat; 0 when missing */
uint64_t cgroup_read_key(int dir, const char *file, const char *key);
/** cgroup_has_file() - Is @file there? */
bool cgroup_has_file(int dir, const char *file);
/** cgroup_cpu_quota() - Quota and period in µs that are exactly @millis; @millis > 0. Return: 0 or -ERANGE */
int cgroup_cpu_quota(uint64_t millis, uint64_t *ret_quota_us, uint64_t *ret_period_us);
/** cgroup_swap_exists() - Does this host have swap space in use (proc(5), /proc/swaps)? */
bool cgroup_swap_exists(void);

/**
 * cgroup_each_process() - Call @fn for each member of @dir and below
 * @fn: gets a pidfd (borrowed) that is certain to be a member, not a stranger with its number
 * Return: number of members called for, or -errno.
 */
int cgroup_each_process(int dir, void (*fn)(int pidfd, void *ctx), void *ctx);
/* ---- cgroup_former.c ---- */

/**
 * cgroup_former_sweep() - Remove dead agents' cgroups from the places that @state_dir lists, and add
 * the places of @tree to the list
 * Return: 0; -errno: the list cannot be written, so that a later agent may not find these.
 */
int cgroup_former_sweep(const struct cgroup_tree *tree, const char *state_dir);

/** cgroup_each_child() - Call @fn with the name of each directory directly below @dir */
void cgroup_each_child(int dir, void (*fn)(int dir, const char *name, void *ctx), void *ctx);
