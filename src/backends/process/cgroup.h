// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups of the process backend, on v2, v1 and the hybrid of both.
 *
 *   PARENT/openshell-agent-KEY/        one agent; held by flock(2) while it lives
 *       SANDBOX                        the sandbox's limits; frozen, measured and killed here
 *       SANDBOX/PROCESS                one process and what it starts
 *
 * A process without limits of its own may stand in what another has left, and under its name
 * (cgroup_spare.c).
 *
 * A sandbox's init stays where the agent is: it reaps, reports and answers what filters refuse, which
 * is the agent's work, and a limit or a pause of the sandbox must not stop that.
 *
 * On v1 the same names exist in each controller's hierarchy, only where a limit or a measure needs
 * them. When a v2 hierarchy is mounted beside v1 controllers it is used for
 * freezing, killing and "nobody left", and v1 for the limits.
 *
 * PARENT is CONFIG.parent; else the agent's own cgroup, or its parent when systemd has delegated
 * that one (DelegateSubgroup=). What a crashed agent left is found by the lock nobody holds.
 *
 * Threads: all functions on the loop thread that the tree was opened with; none blocks.
 */
#pragma once

#include "backends/backend.h"
#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct cgroup_tree; /* what one agent holds */
struct cgroup;      /* SANDBOX or PROCESS */

/**
 * struct cgroup_config - Where to put cgroups
 * @loop:   borrowed; outlives the tree
 * @parent: absolute path below the mount of every hierarchy, such as "/openshell"; it must exist or
 *          its parent be writable. NULL or "": found as told above
 * @state_dir: where places are remembered, so that an agent that is started in another place still
 *          removes what dead ones left in former places; NULL: not remembered
 */
struct cgroup_config {
    struct osa_loop *loop;
    const char *parent;
    const char *state_dir;
};

/**
 * struct cgroup_caps - What the tree can do; probed by doing it
 * @version:     1 or 2: where limits are set; 0: no limits at all
 * @limits:      LIMIT_CPU | LIMIT_MEMORY | LIMIT_PIDS as far as they can be set
 * @clone_into:  a v2 hierarchy holds the processes: clone3(CLONE_INTO_CGROUP) with entry.dir_fd
 * @freeze, @kill: cgroup_freeze() and cgroup_kill() work; kill is true on v1 with a freezer too
 * @oom:         out-of-memory kills are counted
 * @controllers: names in use, separated by spaces, for GetInfo: "cpu memory pids"
 * @reason:      what is missing, why, and what to change; empty when nothing is
 */
struct cgroup_caps {
    uint32_t version;
    unsigned limits;
    bool clone_into;
    bool freeze;
    bool kill;
    bool oom;
    char controllers[64];
    char reason[256];
};

/**
 * cgroup_tree_open() - Probe, take a place, and remove what dead agents left in the same parent
 * A host without usable cgroups is no failure: caps tell, and cgroup_sandbox_new() then accepts
 * only a spec without limits.
 * Return: OSA_OK; INVALID_ARGUMENT: config.parent is set but cannot be used; RESOURCE_EXHAUSTED.
 * Before the loop runs. On v2 it may move the agent and its children into PARENT/openshell-agent,
 * for a cgroup with processes cannot hand controllers down (cgroup-v2.rst, "No Internal Process
 * Constraint").
 */
OSA_MUST_CHECK enum osa_code cgroup_tree_open(const struct cgroup_config *config,
                                              struct cgroup_tree **ret_tree, struct osa_error *err);

/** cgroup_tree_close() - Kill what is left, remove the agent's directories. Every cgroup was freed. NULL is fine */
void cgroup_tree_close(struct cgroup_tree *tree);

/** cgroup_tree_caps() - Borrowed until close */
const struct cgroup_caps *cgroup_tree_caps(const struct cgroup_tree *tree);

/**
 * struct cgroup_events - What a cgroup reports on the loop; the struct outlives the cgroup
 * @empty:      no process is left in it or below; may come again. Slot may be NULL, and be filled later,
 *              before cgroup_watch_empty(). A process that
 *              lived for less than 20 ms on pure v1 may not be noticed: ask cgroup_is_empty() at its exit
 * @oom_killed: the kernel killed @count more members for want of memory. Slot may be NULL
 */
struct cgroup_events {
    void (*empty)(struct cgroup_events *self);
    void (*oom_killed)(struct cgroup_events *self, uint64_t count);
};

/**
 * cgroup_sandbox_new() - The cgroups of a sandbox
 * @id:     RFC 1123 label; becomes the name
 * @limits: disk_bytes is ignored here
 * @events: borrowed; NULL for none
 * Return: OSA_OK; INVALID_ARGUMENT: a limit that the kernel cannot hold exactly, named in
 * err->field ("resources.cpu_millis"); FAILED_PRECONDITION: the controller for a wanted limit is
 * not there; ALREADY_EXISTS; RESOURCE_EXHAUSTED; INTERNAL. Nothing is left behind on failure.
 */
OSA_MUST_CHECK enum osa_code cgroup_sandbox_new(struct cgroup_tree *tree, const char *id,
                                                const struct resources *limits,
                                                struct cgroup_events *events,
                                                struct cgroup **ret_cgroup, struct osa_error *err);

/**
 * cgroup_watch_empty() - Report events->empty, which was NULL when @cg was made
 * A watch that is there from the start wakes the loop twice for each process: at its entry and at its end.
 * Return: OSA_OK; RESOURCE_EXHAUSTED: cgroup_kill() will be reported all the same, some milliseconds late.
 */
enum osa_code cgroup_watch_empty(struct cgroup *cg, struct osa_error *err);

/** cgroup_process_new() - The cgroup of one process inside @sandbox; otherwise as cgroup_sandbox_new() */
OSA_MUST_CHECK enum osa_code cgroup_process_new(struct cgroup *sandbox, const char *id,
                                                const struct resources *limits,
                                                struct cgroup_events *events,
                                                struct cgroup **ret_cgroup, struct osa_error *err);

/**
 * cgroup_free() - Remove the cgroup. NULL is fine
 * Members that are still alive are killed; the directories vanish when they are gone, without the
 * caller. Events stop at once. Processes are freed before their sandbox.
 */
void cgroup_free(struct cgroup *cg);

#define CGROUP_PROCS_MAX 5

/**
 * struct cgroup_entry - How a new process gets in. All descriptors are borrowed from the cgroup and
 * may be sent over SCM_RIGHTS
 * @dir_fd:      for clone3(CLONE_INTO_CGROUP); -1 without caps.clone_into
 * @procs_fds:   cgroup.procs files; the child writes "0" into each before its exec, and exits when
 *               one write fails. With dir_fd the v2 one is not among them
 * @v2_procs_fd: cgroup.procs of dir_fd, for kernels whose clone3 does not know the flag (< 5.7);
 *               -1 without
 */
struct cgroup_entry {
    int dir_fd;
    int v2_procs_fd;
    int procs_fds[CGROUP_PROCS_MAX];
    unsigned procs_count;
};

/** cgroup_process_entry() - Fill @ret_entry for a process of cgroup_process_new() */
void cgroup_process_entry(struct cgroup *process, struct cgroup_entry *ret_entry);

/** cgroup_process_entered() - The entry was handed out and is not needed again: close its cgroup.procs files */
void cgroup_process_entered(struct cgroup *process);

/** cgroup_process_started() - The process has entered; where its sandbox got a limit meanwhile, it is moved there, too */
void cgroup_process_started(struct cgroup *process);

/**
 * cgroup_set_limits() - Change all limits at once, live; 0 removes one
 * Memory below what is in use is reclaimed, and when that is not enough FAILED_PRECONDITION. A
 * process must not get more than its sandbox (INVALID_ARGUMENT), nor a sandbox less than one of its
 * processes (FAILED_PRECONDITION). On failure the old limits stay. Other results as in
 * cgroup_sandbox_new().
 */
OSA_MUST_CHECK enum osa_code cgroup_set_limits(struct cgroup *cg, const struct resources *limits,
                                               struct osa_error *err);

/** cgroup_limits() - What is in force: as asked for, but memory in whole pages. Borrowed from @cg */
const struct resources *cgroup_limits(const struct cgroup *cg);

/** cgroup_stats() - Usage of all members, gone ones included where the kernel keeps count. Unknown is 0 */
OSA_MUST_CHECK enum osa_code cgroup_stats(struct cgroup *cg, struct usage_stats *ret_stats,
                                          struct osa_error *err);

/** cgroup_counts_oom() - Has @cg a memory cgroup of its own, whose count tells its members' kills? */
bool cgroup_counts_oom(const struct cgroup *cg);

/** cgroup_memory_peak() - Most memory that its members used at one moment, in bytes; 0 where it has no memory cgroup or the kernel does not tell (v2 before Linux 5.19) */
uint64_t cgroup_memory_peak(const struct cgroup *cg);

/**
 * cgroup_oom_kills() - Members killed for want of memory since the cgroup was made
 * Read from the kernel now, so it is right at a member's exit, before the event arrives. A
 * sandbox's count includes those of its processes. 0 without caps.oom.
 */
uint64_t cgroup_oom_kills(struct cgroup *cg);

/**
 * cgroup_freeze() - Stop or continue all members; returns at once, see cgroup_is_frozen()
 * Return: OSA_OK; FAILED_PRECONDITION without caps.freeze; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code cgroup_freeze(struct cgroup *cg, bool freeze, struct osa_error *err);

/** cgroup_is_frozen() - Have all members stopped? */
bool cgroup_is_frozen(struct cgroup *cg);

/**
 * cgroup_kill() - SIGKILL to all members, frozen ones included; new ones made meanwhile die too
 * events->empty follows when they are gone. FAILED_PRECONDITION without caps.kill.
 */
OSA_MUST_CHECK enum osa_code cgroup_kill(struct cgroup *cg, struct osa_error *err);

/** cgroup_signal() - @signo to each member at the time; best effort, for SIGNAL_TREE. Return: as kill, NOT_FOUND without members */
OSA_MUST_CHECK enum osa_code cgroup_signal(struct cgroup *cg, int signo, struct osa_error *err);

/** cgroup_is_empty() - Is no member left in it or below? True also where it cannot be told */
bool cgroup_is_empty(struct cgroup *cg);
