// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups that processes have left, for those that come after them.
 *
 * To make a cgroup and to remove it takes the kernel as long as a fork. So a process without limits
 * of its own gets one that another process of its sandbox has left, when that one left nothing in it:
 * no member, no limit, no kill, and no more memory than the kernel's count is rough by. What counts
 * on can be set back (the memory's peak) or is taken off (struct cgroup.base).
 */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* More start one after the other than at once; and one that nobody takes holds kernel memory. */
#define SPARES_MAX 4
/* Pages that each CPU takes from a cgroup's count in advance: MEMCG_CHARGE_BATCH. */
#define ROUGH_PAGES 64

static uint64_t rough_bytes(void)
{
    return (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * ROUGH_PAGES * (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * v1: for all who ask. v2: for a descriptor, from Linux 6.12 on; before that the file cannot be
 * opened for writing. Return: false where it cannot be done.
 */
static bool reset_peak(struct cgroup *cg)
{
    int memory = cg->tree->of[CGROUP_MEMORY];
    if (memory < 0 || cg->dirs[memory] < 0)
        return true;
    if (!cg->tree->hierarchies[memory].v2)
        return cgroup_write(cg->dirs[memory], "memory.max_usage_in_bytes", "0") == 0;
    if (cg->peak_fd < 0)
        cg->peak_fd = openat(cg->dirs[memory], "memory.peak", O_RDWR | O_CLOEXEC);
    return cg->peak_fd >= 0 && pwrite(cg->peak_fd, "0", 1, 0) == 1;
}

/* Seen, and not merely not seen to be otherwise: without a descriptor nobody's cgroup is a spare. */
static bool is_seen_empty(const struct cgroup *cg)
{
    char first;
    OSA_AUTO(osa_close_fd)
    int fd = openat(cg->dirs[cg->tree->life], "cgroup.procs", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &first, 1) == 0;
}

static bool is_as_new(struct cgroup *cg)
{
    struct osa_error ignored;
    if (cg->limited || !is_seen_empty(cg) || !cgroup_is_empty(cg))
        return false;
    struct usage_stats now;
    cg->base = (struct usage_stats){ 0 };
    if (cgroup_stats(cg, &now, &ignored) != OSA_OK || now.oom_kills != 0 ||
        now.memory_bytes > rough_bytes() || !reset_peak(cg))
        return false;
    cg->base = now;
    return true;
}

bool cgroup_spare_keep(struct cgroup *cg)
{
    struct cgroup *sandbox = cg->sandbox;
    if (cg->tree->life < 0 || sandbox->lingering || sandbox->spare_count >= SPARES_MAX ||
        !is_as_new(cg))
        return false;
    cg->oom_reported = 0;
    cg->recheck_until_ns = 0;
    cg->was_filled = false;
    DL_DELETE(cg->tree->cgroups, cg);
    DL_PREPEND(sandbox->spares, cg);
    sandbox->spare_count++;
    return true;
}

bool cgroup_spare_is_likely(struct cgroup *cg)
{
    if (!cg->limited && !cg->stays_open && cg->sandbox->open_count < SPARES_MAX) {
        cg->stays_open = true;
        cg->sandbox->open_count++;
    }
    return cg->stays_open;
}

void cgroup_spare_forget(struct cgroup *cg)
{
    if (cg->stays_open)
        cg->sandbox->open_count--;
    cg->stays_open = false;
}

static struct cgroup *take_first(struct cgroup *sandbox)
{
    struct cgroup *cg = sandbox->spares;
    if (cg == NULL)
        return NULL;
    DL_DELETE(sandbox->spares, cg);
    sandbox->spare_count--;
    DL_APPEND(cg->tree->cgroups, cg);
    return cg;
}

static void remove_it(struct cgroup *cg)
{
    cg->lingering = true;
    if (!cgroup_try_remove(cg))
        cgroup_events_tick(cg->tree);
}

struct cgroup *cgroup_spare_take(struct cgroup *sandbox)
{
    struct cgroup *cg = take_first(sandbox);
    if (cg != NULL && cgroup_open_procs(cg) < 0) {
        remove_it(cg);
        return NULL;
    }
    return cg;
}

void cgroup_spare_drop(struct cgroup *sandbox)
{
    for (struct cgroup *cg; (cg = take_first(sandbox)) != NULL;)
        remove_it(cg);
}
