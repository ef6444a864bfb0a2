// SPDX-License-Identifier: Apache-2.0
/*
 * What cgroups tell by themselves.
 *
 * v2: inotify on cgroup.events and memory.events. v1: an eventfd for out-of-memory (cgroup-v1
 * memory.rst, section 10), which comes before the kill and not after, so that the count is looked at
 * again for a while; for "nobody left" v1 has nothing and is polled. One timer does all the looking
 * again; it runs only while there is something to look at.
 */
#include "backends/process/cgroup_internal.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <uthash.h>

#define TICK_FIRST_NS (2 * OSA_NS_PER_MS)
#define TICK_MAX_NS (200 * OSA_NS_PER_MS)
#define POLL_NS (20 * OSA_NS_PER_MS)
/* The victim of an out-of-memory kill is counted within this time after the event. */
#define RECHECK_NS OSA_NS_PER_SEC

enum watch_kind { WATCH_EMPTY, WATCH_OOM };

struct cgroup_watch {
    int wd;
    enum watch_kind kind;
    struct cgroup *cg;
    UT_hash_handle hh;
};

static bool is_polled(const struct cgroup *cg)
{
    const struct cgroup_tree *tree = cg->tree;
    return tree->life >= 0 && !tree->hierarchies[tree->life].v2 && cg->events != NULL &&
           cg->events->empty != NULL;
}

static bool oom_is_new(struct cgroup *cg, uint64_t *ret_count)
{
    if (cg->events == NULL || cg->events->oom_killed == NULL)
        return false;
    uint64_t now = cgroup_oom_kills(cg);
    if (now <= cg->oom_reported)
        return false;
    *ret_count = now - cg->oom_reported;
    cg->oom_reported = now;
    return true;
}

/* The callback may free the cgroup: nothing of it is touched afterwards. */
static bool report_oom(struct cgroup *cg)
{
    uint64_t count;
    if (!oom_is_new(cg, &count))
        return false;
    cg->events->oom_killed(cg->events, count);
    return true;
}

static void report_empty(struct cgroup *cg)
{
    cg->kill_pending = false;
    cg->was_filled = false;
    if (cg->events != NULL && cg->events->empty != NULL)
        cg->events->empty(cg->events);
}

/* ---- looking again ---- */

static bool empty_is_due(struct cgroup *cg)
{
    if (!cg->kill_pending && !is_polled(cg))
        return false;
    if (!cgroup_is_empty(cg)) {
        cg->was_filled = true;
        return false;
    }
    return cg->kill_pending || cg->was_filled;
}

/* One callback at a time, then from the start: a callback may free any cgroup. */
static bool report_one(struct cgroup_tree *tree)
{
    for (struct cgroup *cg = tree->cgroups; cg != NULL; cg = cg->next) {
        if (cg->lingering)
            continue;
        if (cg->recheck_until_ns != 0 && report_oom(cg))
            return true;
        if (empty_is_due(cg)) {
            report_empty(cg);
            return true;
        }
    }
    return false;
}

static void remove_lingering(struct cgroup_tree *tree)
{
    struct cgroup *cg;
    struct cgroup *next;
    DL_FOREACH_SAFE(tree->cgroups, cg, next)
    {
        if (cg->lingering)
            (void)cgroup_try_remove(cg);
    }
}

static void arm(struct cgroup_tree *tree)
{
    int64_t now = osa_now_ns();
    bool pending = false;
    bool polled = false;
    for (struct cgroup *cg = tree->cgroups; cg != NULL; cg = cg->next) {
        if (cg->recheck_until_ns != 0 && cg->recheck_until_ns <= now)
            cg->recheck_until_ns = 0;
        pending |= cg->lingering || cg->kill_pending || cg->recheck_until_ns != 0;
        polled |= is_polled(cg);
    }
    int64_t delay_ns = pending ? tree->tick_delay_ns : polled ? POLL_NS : -1;
    tree->tick_delay_ns = OSA_MIN(tree->tick_delay_ns * 2, TICK_MAX_NS);
    if (delay_ns >= 0)
        osa_timer_arm(tree->loop, &tree->tick,
                      now + (polled ? OSA_MIN(delay_ns, POLL_NS) : delay_ns));
}

static void tick(struct osa_timer *self)
{
    struct cgroup_tree *tree = OSA_CONTAINER_OF(self, struct cgroup_tree, tick);
    remove_lingering(tree);
    while (report_one(tree))
        ;
    arm(tree);
}

void cgroup_events_tick(struct cgroup_tree *tree)
{
    tree->tick_delay_ns = TICK_FIRST_NS;
    osa_timer_arm(tree->loop, &tree->tick, osa_now_ns() + TICK_FIRST_NS);
}

/* ---- v2: inotify ---- */

static void dispatch(struct cgroup_tree *tree, int wd)
{
    struct cgroup_watch *watch;
    HASH_FIND_INT(tree->watches, &wd, watch);
    if (watch == NULL)
        return; /* removed after the event was queued */
    if (watch->kind == WATCH_OOM)
        (void)report_oom(watch->cg);
    else if (cgroup_is_empty(watch->cg))
        report_empty(watch->cg);
}

static void inotify_ready(struct osa_source *self, unsigned events)
{
    (void)events;
    struct cgroup_tree *tree = OSA_CONTAINER_OF(self, struct cgroup_tree, inotify);
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t got = read(self->fd, buffer, sizeof(buffer));
    const struct inotify_event *event;
    for (ssize_t at = 0; at < got; at += (ssize_t)(sizeof(*event) + event->len)) {
        event = (const struct inotify_event *)(buffer + at);
        dispatch(tree, event->wd);
    }
}

static enum osa_code watch_file(struct cgroup *cg, int dir, const char *file, enum watch_kind kind,
                                struct osa_error *err)
{
    struct cgroup_tree *tree = cg->tree;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, file);
    struct cgroup_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return osa_fail_errno(err, ENOMEM, "cgroup watch");
    watch->kind = kind;
    watch->cg = cg;
    watch->wd = inotify_add_watch(tree->inotify.fd, path, IN_MODIFY);
    if (watch->wd < 0) {
        int saved = errno;
        free(watch);
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, saved,
                        "cgroup '%s' cannot be watched; raise fs.inotify.max_user_watches", cg->id);
    }
    HASH_ADD_INT(tree->watches, wd, watch);
    *(kind == WATCH_OOM ? &cg->oom_wd : &cg->empty_wd) = watch->wd;
    return OSA_OK;
}

/* ---- v1: eventfd ---- */

static void oom_ready(struct osa_source *self, unsigned events)
{
    (void)events;
    struct cgroup *cg = OSA_CONTAINER_OF(self, struct cgroup, oom_event);
    uint64_t drained;
    (void)!read(self->fd, &drained, sizeof(drained));
    /* The limit that was hit and the victim need not be in the same one of a sandbox's cgroups. */
    const struct cgroup *sandbox = cg->sandbox != NULL ? cg->sandbox : cg;
    int64_t until = osa_deadline_after(RECHECK_NS);
    for (struct cgroup *other = cg->tree->cgroups; other != NULL; other = other->next) {
        if (other == sandbox || other->sandbox == sandbox)
            other->recheck_until_ns = until;
    }
    cgroup_events_tick(cg->tree);
}

/* Kernels with PREEMPT_RT have no such event; then counts are seen when somebody asks. */
static enum osa_code watch_oom_v1(struct cgroup *cg, int dir, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return osa_fail_errno(err, errno, "eventfd");
    OSA_AUTO(osa_close_fd) int control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    char text[32];
    (void)snprintf(text, sizeof(text), "%d %d", event, control);
    if (control < 0 || cgroup_write(dir, "cgroup.event_control", text) < 0)
        return OSA_OK;
    cg->oom_event = (struct osa_source){ .fd = event, .ready = oom_ready };
    if (osa_source_add(cg->tree->loop, &cg->oom_event, OSA_READ, err) != OSA_OK) {
        cg->oom_event.fd = -1;
        return err != NULL ? err->code : OSA_RESOURCE_EXHAUSTED;
    }
    (void)osa_take_fd(&event);
    return OSA_OK;
}

/* ---- start and stop ---- */

enum osa_code cgroup_events_watch_oom(struct cgroup *cg, struct osa_error *err)
{
    const struct cgroup_tree *tree = cg->tree;
    int memory = tree->of[CGROUP_MEMORY];
    if (cg->events == NULL || cg->events->oom_killed == NULL || memory < 0 || cg->dirs[memory] < 0)
        return OSA_OK;
    if (tree->hierarchies[memory].v2)
        return cg->oom_wd >= 0 ? OSA_OK
                               : watch_file(cg, cg->dirs[memory], "memory.events", WATCH_OOM, err);
    /* A sandbox's event covers its processes, but for a limit of their own. */
    if (cg->oom_event.fd >= 0 || (cg->sandbox != NULL && cg->limits.memory_bytes == 0))
        return OSA_OK;
    return watch_oom_v1(cg, cg->dirs[memory], err);
}

enum osa_code cgroup_watch_empty(struct cgroup *cg, struct osa_error *err)
{
    struct cgroup_tree *tree = cg->tree;
    if (cg->events == NULL || cg->events->empty == NULL || tree->life < 0)
        return OSA_OK;
    if (is_polled(cg) && tree->tick.heap_index == 0)
        cgroup_events_tick(tree);
    if (!tree->hierarchies[tree->life].v2 || cg->empty_wd >= 0)
        return OSA_OK;
    return watch_file(cg, cg->dirs[tree->life], "cgroup.events", WATCH_EMPTY, err);
}

enum osa_code cgroup_events_watch(struct cgroup *cg, struct osa_error *err)
{
    enum osa_code code = cgroup_watch_empty(cg, err);
    return code == OSA_OK ? cgroup_events_watch_oom(cg, err) : code;
}

static void unwatch(struct cgroup_tree *tree, int *wd)
{
    struct cgroup_watch *watch;
    HASH_FIND_INT(tree->watches, wd, watch);
    if (watch != NULL) {
        (void)inotify_rm_watch(tree->inotify.fd, watch->wd);
        HASH_DEL(tree->watches, watch);
        free(watch);
    }
    *wd = -1;
}

void cgroup_events_unwatch(struct cgroup *cg)
{
    osa_source_remove(&cg->oom_event);
    osa_replace_fd(&cg->oom_event.fd, -1);
    unwatch(cg->tree, &cg->empty_wd);
    unwatch(cg->tree, &cg->oom_wd);
}

enum osa_code cgroup_events_start(struct cgroup_tree *tree, struct osa_error *err)
{
    tree->tick.fire = tick;
    tree->tick_delay_ns = TICK_FIRST_NS;
    tree->inotify.ready = inotify_ready;
    tree->inotify.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (tree->inotify.fd < 0)
        return osa_fail_errno(err, errno, "inotify_init1");
    return osa_source_add(tree->loop, &tree->inotify, OSA_READ, err);
}

void cgroup_events_stop(struct cgroup_tree *tree)
{
    osa_timer_disarm(&tree->tick);
    osa_source_remove(&tree->inotify);
    osa_replace_fd(&tree->inotify.fd, -1);
}
