// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a cgroup: made in every hierarchy that needs it, limited, measured, killed, removed.
 *
 * A directory cannot be removed while a member is left, and a killed member leaves when the kernel
 * gets to it. So cgroup_free() marks the cgroup as lingering, and cgroup_events.c tries again.
 */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"
#include "base/id.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long closing a tree waits for killed members; what is left then, the next agent removes. */
#define CLOSE_WAIT_MS 2000

/* ---- the tree ---- */

enum osa_code cgroup_tree_open(const struct cgroup_config *config, struct cgroup_tree **ret_tree,
                               struct osa_error *err)
{
    struct cgroup_tree *tree = calloc(1, sizeof(*tree));
    if (tree == NULL)
        return osa_fail_errno(err, ENOMEM, "cgroups");
    tree->loop = config->loop;
    tree->inotify.fd = -1;
    enum osa_code code = cgroup_probe(tree, config->parent, err);
    if (code == OSA_OK)
        code = cgroup_events_start(tree, err);
    if (code == OSA_OK && config->state_dir != NULL)
        (void)cgroup_former_sweep(tree, config->state_dir);
    if (code != OSA_OK) {
        cgroup_tree_close(tree);
        return code;
    }
    *ret_tree = tree;
    return OSA_OK;
}

void cgroup_tree_close(struct cgroup_tree *tree)
{
    if (tree == NULL)
        return;
    struct cgroup *cg;
    struct cgroup *next;
    for (int waited_ms = 0; tree->cgroups != NULL && waited_ms < CLOSE_WAIT_MS; waited_ms++) {
        DL_FOREACH_SAFE(tree->cgroups, cg, next)
        {
            assert(cg->lingering);
            (void)cgroup_try_remove(cg);
        }
        if (tree->cgroups != NULL)
            (void)poll(NULL, 0, 1);
    }
    cgroup_events_stop(tree);
    for (int i = 0; i < tree->hierarchy_count; i++) {
        struct cgroup_hierarchy *h = &tree->hierarchies[i];
        (void)cgroup_remove_tree(h->ops, h->parent_fd, tree->name, tree->cgroups == NULL ? 100 : 0);
        osa_close_fd(&h->top_fd);
        osa_close_fd(&h->parent_fd);
    }
    DL_FOREACH_SAFE(tree->cgroups, cg, next)
    free(cg); /* its members do not die; nothing more can be done from here */
    free(tree);
}

const struct cgroup_caps *cgroup_tree_caps(const struct cgroup_tree *tree)
{
    return &tree->caps;
}

/* ---- directories ---- */

static int open_dir(int parent, const char *name)
{
    int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -errno : dir;
}

static int make_dir(int parent, const char *name, int *ret_dir)
{
    if (mkdirat(parent, name, 0755) < 0)
        return -errno;
    int dir = open_dir(parent, name);
    if (dir < 0) {
        (void)unlinkat(parent, name, AT_REMOVEDIR);
        return dir;
    }
    *ret_dir = dir;
    return 0;
}

static int open_procs(int dir, int *ret_fd)
{
    int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int cgroup_open_procs(struct cgroup *process)
{
    int rc = 0;
    for (int i = 0; i < process->tree->hierarchy_count && rc == 0; i++) {
        if (process->dirs[i] >= 0 && process->procs[i] < 0)
            rc = open_procs(process->dirs[i], &process->procs[i]);
    }
    return rc;
}

/*
 * v2: a sandbox hands its controllers down, so nobody may be in it but by way of a process's cgroup
 * (cgroup-v2.rst, "No Internal Process Constraint").
 */
static int make_in(struct cgroup *cg, int i)
{
    const struct cgroup_hierarchy *h = &cg->tree->hierarchies[i];
    int rc =
        make_dir(cg->sandbox != NULL ? cg->sandbox->dirs[i] : h->top_fd, cg->name, &cg->dirs[i]);
    if (rc < 0 || !h->v2 || cg->sandbox != NULL)
        return rc < 0 ? rc : open_procs(cg->dirs[i], &cg->procs[i]);
    return h->enable[0] == '\0' ? 0
                                : cgroup_write(cg->dirs[i], "cgroup.subtree_control", h->enable);
}

/*
 * Each directory costs its making and, on v1, a write of every child's to cgroup.procs. So on v1 there
 * are those that tell who is alive and whose out-of-memory kill it was, and those with a limit; and for
 * the whole sandbox the one that makes it one among many for the scheduler, however many processes it
 * has, and the one that counts its CPU time, where v2 does not. cgroup_join_late() makes the others.
 */
static bool is_wanted(const struct cgroup *cg, int i, const struct resources *limits)
{
    const struct cgroup_tree *tree = cg->tree;
    if (tree->hierarchies[i].v2 || i == tree->life || i == tree->of[CGROUP_MEMORY])
        return true;
    if (cg->sandbox == NULL && (i == tree->of[CGROUP_CPU] || (i == tree->of[CGROUP_CPUACCT] &&
                                                              !tree->hierarchies[tree->life].v2)))
        return true;
    return (i == tree->of[CGROUP_CPU] && limits->cpu_millis != 0) ||
           (i == tree->of[CGROUP_PIDS] && limits->pids_max != 0);
}

static enum osa_code make_dirs(struct cgroup *cg, const struct resources *limits,
                               struct osa_error *err)
{
    for (int i = 0; i < cg->tree->hierarchy_count; i++) {
        if (!is_wanted(cg, i, limits))
            continue;
        int rc =
            cg->sandbox != NULL && cg->sandbox->dirs[i] < 0 ? cgroup_join_late(cg->sandbox, i) : 0;
        if (rc == 0)
            rc = make_in(cg, i);
        if (rc == -EEXIST)
            return osa_fail(err, OSA_ALREADY_EXISTS, 0, "cgroup '%s' exists already", cg->id);
        if (rc < 0)
            return osa_fail_errno(err, -rc, "cgroup '%s' cannot be made", cg->id);
    }
    return OSA_OK;
}

/* ---- one cgroup ---- */

static void close_fds(struct cgroup *cg, int i)
{
    osa_replace_fd(&cg->dirs[i], -1);
    osa_replace_fd(&cg->procs[i], -1);
}

static bool is_gone(int parent, const char *name)
{
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static bool remove_in(struct cgroup *cg, int i)
{
    const struct cgroup_hierarchy *h = &cg->tree->hierarchies[i];
    if (cg->dirs[i] < 0)
        return true;
    if (i == cg->tree->life && !h->ops->is_empty(cg->dirs[i]))
        (void)h->ops->kill(cg->dirs[i]);
    if (!is_gone(cg->sandbox != NULL ? cg->sandbox->dirs[i] : h->top_fd, cg->name))
        return false;
    close_fds(cg, i);
    return true;
}

bool cgroup_try_remove(struct cgroup *cg)
{
    struct cgroup_tree *tree = cg->tree;
    int memory = tree->of[CGROUP_MEMORY];
    uint64_t kills = 0;
    if (cg->sandbox != NULL && memory >= 0 && cg->dirs[memory] >= 0 &&
        !tree->hierarchies[memory].v2)
        kills = cgroup_oom_kills(cg);
    bool gone = true;
    for (int i = 0; i < tree->hierarchy_count; i++)
        gone &= remove_in(cg, i);
    if (cg->sandbox != NULL && kills > 0 && cg->dirs[memory] < 0)
        cg->sandbox->oom_gone += kills;
    if (!gone)
        return false;
    DL_DELETE(tree->cgroups, cg);
    cgroup_spare_forget(cg);
    osa_close_fd(&cg->peak_fd);
    free(cg);
    return true;
}

static enum osa_code new_cgroup(struct cgroup_tree *tree, struct cgroup *sandbox, const char *id,
                                const struct resources *limits, struct cgroup_events *events,
                                struct cgroup **ret_cgroup, struct osa_error *err)
{
    assert(osa_id_is_valid(id)); /* the agent's duty; an id must not become a path */
    struct cgroup *cg = calloc(1, sizeof(*cg));
    if (cg == NULL)
        return osa_fail_errno(err, ENOMEM, "cgroup '%s'", id);
    cg->tree = tree;
    cg->sandbox = sandbox;
    cg->events = events;
    (void)snprintf(cg->id, sizeof(cg->id), "%s", id);
    (void)snprintf(cg->name, sizeof(cg->name), "%s", id);
    memset(cg->dirs, 0xff, sizeof(cg->dirs)); /* all -1 */
    memset(cg->procs, 0xff, sizeof(cg->procs));
    cg->empty_wd = cg->oom_wd = cg->oom_event.fd = -1;
    cg->peak_fd = -1;
    DL_APPEND(tree->cgroups, cg);

    enum osa_code code = make_dirs(cg, limits, err);
    if (code == OSA_OK)
        code = cgroup_set_limits(cg, limits, err);
    if (code == OSA_OK)
        code = cgroup_events_watch(cg, err);
    if (code != OSA_OK) {
        cg->limited = true; /* half made: no spare for anybody */
        cgroup_free(cg);
        return code;
    }
    *ret_cgroup = cg;
    return OSA_OK;
}

enum osa_code cgroup_sandbox_new(struct cgroup_tree *tree, const char *id,
                                 const struct resources *limits, struct cgroup_events *events,
                                 struct cgroup **ret_cgroup, struct osa_error *err)
{
    return new_cgroup(tree, NULL, id, limits, events, ret_cgroup, err);
}

enum osa_code cgroup_process_new(struct cgroup *sandbox, const char *id,
                                 const struct resources *limits, struct cgroup_events *events,
                                 struct cgroup **ret_cgroup, struct osa_error *err)
{
    const bool limited =
        limits->cpu_millis != 0 || limits->memory_bytes != 0 || limits->pids_max != 0;
    struct cgroup *cg = limited ? NULL : cgroup_spare_take(sandbox);
    if (cg == NULL)
        return new_cgroup(sandbox->tree, sandbox, id, limits, events, ret_cgroup, err);
    assert(osa_id_is_valid(id));
    (void)snprintf(cg->id, sizeof(cg->id), "%s", id);
    cg->events = events;
    if (cgroup_events_watch(cg, err) != OSA_OK) {
        cgroup_free(cg);
        return OSA_RESOURCE_EXHAUSTED;
    }
    *ret_cgroup = cg;
    return OSA_OK;
}

void cgroup_free(struct cgroup *cg)
{
    if (cg == NULL)
        return;
    struct cgroup_tree *tree = cg->tree;
    cgroup_events_unwatch(cg);
    cg->events = NULL;
    cg->kill_pending = false;
    if (cg->sandbox == NULL)
        cgroup_spare_drop(cg);
    else if (cgroup_spare_keep(cg))
        return;
    cg->lingering = true;
    if (!cgroup_try_remove(cg))
        cgroup_events_tick(tree);
}

void cgroup_process_entry(struct cgroup *process, struct cgroup_entry *ret_entry)
{
    const struct cgroup_tree *tree = process->tree;
    *ret_entry = (struct cgroup_entry){ .dir_fd = -1, .v2_procs_fd = -1 };
    process->entered = 0;
    for (int i = 0; i < tree->hierarchy_count; i++) {
        int own = process->procs[i] >= 0 ? process->procs[i] : process->sandbox->procs[i];
        if (own < 0)
            continue;
        process->entered |= 1u << i;
        if (tree->hierarchies[i].v2) {
            ret_entry->dir_fd = process->dirs[i];
            ret_entry->v2_procs_fd = process->procs[i];
        } else {
            ret_entry->procs_fds[ret_entry->procs_count++] = own;
        }
    }
}

void cgroup_process_started(struct cgroup *process)
{
    const struct cgroup_tree *tree = process->tree;
    for (int i = 0; i < tree->hierarchy_count; i++) {
        if (process->dirs[i] < 0 && process->sandbox->dirs[i] >= 0 &&
            (process->entered & 1u << i) == 0)
            cgroup_move_members(process->dirs[tree->life], process->sandbox->dirs[i]);
    }
}

void cgroup_process_entered(struct cgroup *process)
{
    if (cgroup_spare_is_likely(process))
        return; /* the next one enters by the same */
    for (int i = 0; i < process->tree->hierarchy_count; i++)
        osa_replace_fd(&process->procs[i], -1);
}

/* ---- what it does and what it is told ---- */

static const struct cgroup_ops *life_of(const struct cgroup *cg, int *ret_dir)
{
    int life = cg->tree->life;
    if (life < 0)
        return NULL;
    *ret_dir = cg->dirs[life];
    return cg->tree->hierarchies[life].ops;
}

/* v1 cgroups without the pids controller: their threads are counted by the line. */
static uint64_t count_in(int dir, bool v2)
{
    OSA_AUTO(osa_free) char *list = NULL;
    if (osa_read_file(dir, v2 ? "cgroup.threads" : "tasks", CGROUP_FILE_MAX, &list, NULL, NULL) !=
        OSA_OK)
        return 0;
    uint64_t count = 0;
    for (const char *at = list; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return count;
}

static uint64_t count_threads(const struct cgroup *cg)
{
    const struct cgroup_tree *tree = cg->tree;
    bool v2 = tree->hierarchies[tree->life].v2;
    uint64_t count = count_in(cg->dirs[tree->life], v2);
    for (const struct cgroup *other = tree->cgroups; other != NULL; other = other->next) {
        if (other->sandbox == cg && other->dirs[tree->life] >= 0)
            count += count_in(other->dirs[tree->life], v2);
    }
    return count;
}

enum osa_code cgroup_stats(struct cgroup *cg, struct usage_stats *ret_stats, struct osa_error *err)
{
    (void)err;
    const struct cgroup_tree *tree = cg->tree;
    struct usage_stats stats = { 0 };
    for (int i = 0; i < tree->hierarchy_count; i++) {
        const struct cgroup_hierarchy *h = &tree->hierarchies[i];
        if (cg->dirs[i] >= 0)
            h->ops->add_stats(cg->dirs[i], h->controllers, &stats);
    }
    int pids = tree->of[CGROUP_PIDS];
    if (tree->life >= 0 && (pids < 0 || cg->dirs[pids] < 0))
        stats.pids = count_threads(cg);
    stats.oom_kills = (uint32_t)cgroup_oom_kills(cg);
    if (cg->peak_fd >= 0)
        stats.memory_peak_bytes = cgroup_memory_peak(cg);
    stats.cpu_ns -= cg->base.cpu_ns;
    stats.throttled_ns -= cg->base.throttled_ns;
    stats.read_bytes -= cg->base.read_bytes;
    stats.write_bytes -= cg->base.write_bytes;
    *ret_stats = stats;
    return OSA_OK;
}

bool cgroup_counts_oom(const struct cgroup *cg)
{
    int memory = cg->tree->of[CGROUP_MEMORY];
    return memory >= 0 && cg->dirs[memory] >= 0;
}

uint64_t cgroup_memory_peak(const struct cgroup *cg)
{
    int i = cg->tree->of[CGROUP_MEMORY];
    if (i < 0 || cg->dirs[i] < 0)
        return 0;
    char text[24];
    ssize_t got = cg->peak_fd < 0 ? -1 : pread(cg->peak_fd, text, sizeof(text) - 1, 0);
    if (got >= 0) {
        text[got] = '\0';
        return strtoull(text, NULL, 10);
    }
    return cgroup_read_u64(cg->dirs[i], cg->tree->hierarchies[i].v2 ? "memory.peak"
                                                                    : "memory.max_usage_in_bytes");
}

uint64_t cgroup_oom_kills(struct cgroup *cg)
{
    const struct cgroup_tree *tree = cg->tree;
    int i = tree->of[CGROUP_MEMORY];
    if (i < 0 || cg->dirs[i] < 0)
        return 0;
    uint64_t kills = tree->hierarchies[i].ops->oom_kills(cg->dirs[i]);
    if (tree->hierarchies[i].v2 || cg->sandbox != NULL)
        return kills;
    kills += cg->oom_gone;
    for (struct cgroup *other = tree->cgroups; other != NULL; other = other->next) {
        if (other->sandbox == cg)
            kills += cgroup_oom_kills(other);
    }
    return kills;
}

enum osa_code cgroup_freeze(struct cgroup *cg, bool freeze, struct osa_error *err)
{
    int dir;
    const struct cgroup_ops *ops = life_of(cg, &dir);
    if (ops == NULL || !cg->tree->caps.freeze)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "cgroups cannot be frozen here; %s",
                        cg->tree->caps.reason);
    int rc = ops->freeze(dir, freeze);
    if (rc < 0)
        return osa_fail_errno(err, -rc, "%s cgroup '%s'", freeze ? "freeze" : "thaw", cg->id);
    return OSA_OK;
}

bool cgroup_is_frozen(struct cgroup *cg)
{
    int dir;
    const struct cgroup_ops *ops = life_of(cg, &dir);
    return ops != NULL && cg->tree->caps.freeze && ops->is_frozen(dir);
}

enum osa_code cgroup_kill(struct cgroup *cg, struct osa_error *err)
{
    int dir;
    const struct cgroup_ops *ops = life_of(cg, &dir);
    if (ops == NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "no cgroup holds the process; %s",
                        cg->tree->caps.reason);
    int rc = ops->kill(dir);
    if (rc < 0)
        return osa_fail_errno(err, -rc, "kill cgroup '%s'", cg->id);
    cg->kill_pending = true;
    cgroup_events_tick(cg->tree);
    return OSA_OK;
}

static void signal_member(int pidfd, void *ctx)
{
    const int *signo = ctx;
    (void)syscall(SYS_pidfd_send_signal, pidfd, *signo, NULL, 0);
}

enum osa_code cgroup_signal(struct cgroup *cg, int signo, struct osa_error *err)
{
    int dir;
    if (life_of(cg, &dir) == NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "no cgroup holds the process; %s",
                        cg->tree->caps.reason);
    int count = cgroup_each_process(dir, signal_member, &signo);
    if (count < 0)
        return osa_fail_errno(err, -count, "signal cgroup '%s'", cg->id);
    if (count == 0)
        return osa_fail(err, OSA_NOT_FOUND, 0, "no process is left");
    return OSA_OK;
}

bool cgroup_is_empty(struct cgroup *cg)
{
    int dir;
    const struct cgroup_ops *ops = life_of(cg, &dir);
    return ops == NULL || ops->is_empty(dir);
}
