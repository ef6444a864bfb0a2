// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroup v1: kernel docs, admin-guide/cgroup-v1/{cgroups,memory,pids,freezer-subsystem}.rst and
 * scheduler/sched-bwc.rst. Each controller has a directory of its own; a function is called with
 * that of the controller that it is about.
 */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEM_LIMIT "memory.limit_in_bytes"
#define MEMSW_LIMIT "memory.memsw.limit_in_bytes"

static int v1_set_cpu(int dir, uint64_t millis)
{
    if (millis == 0)
        return cgroup_write(dir, "cpu.cfs_quota_us", "-1");
    uint64_t quota_us;
    uint64_t period_us;
    if (cgroup_cpu_quota(millis, &quota_us, &period_us) < 0)
        return -ERANGE;
    /* No limit in between: a new period with the old quota could exceed what the parent allows. */
    int rc = cgroup_write(dir, "cpu.cfs_quota_us", "-1");
    if (rc == 0)
        rc = cgroup_write_u64(dir, "cpu.cfs_period_us", period_us);
    return rc == 0 ? cgroup_write_u64(dir, "cpu.cfs_quota_us", quota_us) : rc;
}

static bool has_memsw(int dir)
{
    return cgroup_has_file(dir, MEMSW_LIMIT);
}

/* The kernel wants limit ≤ memory+swap limit at all times, so the order depends on the direction. */
static int v1_set_memory(int dir, uint64_t bytes)
{
    bool memsw = has_memsw(dir);
    if (bytes == 0) {
        int rc = memsw ? cgroup_write(dir, MEMSW_LIMIT, "-1") : 0;
        return rc == 0 ? cgroup_write(dir, MEM_LIMIT, "-1") : rc;
    }
    if (!memsw)
        return cgroup_swap_exists() ? -EOPNOTSUPP : cgroup_write_u64(dir, MEM_LIMIT, bytes);
    uint64_t old = cgroup_read_u64(dir, MEM_LIMIT);
    const char *first = bytes > old ? MEMSW_LIMIT : MEM_LIMIT;
    const char *second = bytes > old ? MEM_LIMIT : MEMSW_LIMIT;
    int rc = cgroup_write_u64(dir, first, bytes);
    if (rc < 0)
        return rc;
    rc = cgroup_write_u64(dir, second, bytes);
    if (rc < 0 && bytes <= old)
        (void)cgroup_write_u64(dir, first, old);
    return rc;
}

static int v1_set_pids(int dir, uint64_t max)
{
    return max == 0 ? cgroup_write(dir, "pids.max", "max") : cgroup_write_u64(dir, "pids.max", max);
}

static void v1_add_stats(int dir, unsigned controllers, struct usage_stats *stats)
{
    if ((controllers & 1u << CGROUP_CPUACCT) != 0)
        stats->cpu_ns += (int64_t)cgroup_read_u64(dir, "cpuacct.usage");
    if ((controllers & 1u << CGROUP_CPU) != 0)
        stats->throttled_ns += (int64_t)cgroup_read_key(dir, "cpu.stat", "throttled_time");
    if ((controllers & 1u << CGROUP_MEMORY) != 0) {
        stats->memory_bytes += cgroup_read_u64(dir, "memory.usage_in_bytes");
        stats->memory_peak_bytes += cgroup_read_u64(dir, "memory.max_usage_in_bytes");
    }
    if ((controllers & 1u << CGROUP_PIDS) != 0)
        stats->pids += cgroup_read_u64(dir, "pids.current");
}

/* Counts only this cgroup's own members, unlike v2. The key is from Linux 4.13. */
static uint64_t v1_oom_kills(int dir)
{
    return cgroup_read_key(dir, "memory.oom_control", "oom_kill");
}

static int v1_freeze(int dir, bool on)
{
    return cgroup_write(dir, "freezer.state", on ? "FROZEN" : "THAWED");
}

static bool v1_is_frozen(int dir)
{
    OSA_AUTO(osa_free) char *state = NULL;
    return osa_read_file(dir, "freezer.state", 64, &state, NULL, NULL) == OSA_OK &&
           strcmp(state, "FROZEN\n") == 0;
}

static void kill_member(int pidfd, void *ctx)
{
    (void)ctx;
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static void thaw_child(int dir, const char *name, void *ctx)
{
    OSA_AUTO(osa_close_fd) int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (child < 0)
        return;
    (void)v1_freeze(child, false);
    cgroup_each_child(child, thaw_child, ctx);
}

/* A frozen v1 task does not die before it is thawed; while frozen it cannot fork either. */
static int v1_kill(int dir)
{
    bool freezer = cgroup_has_file(dir, "freezer.state");
    if (freezer)
        (void)v1_freeze(dir, true);
    int rc = 0;
    for (int pass = 0; pass < 3; pass++) {
        rc = cgroup_each_process(dir, kill_member, NULL);
        if (rc <= 0)
            break;
    }
    if (freezer) {
        (void)v1_freeze(dir, false);
        cgroup_each_child(dir, thaw_child, NULL);
    }
    return rc < 0 ? rc : 0;
}

static void find_member(int dir, const char *name, void *ctx);

static bool is_empty(int dir)
{
    OSA_AUTO(osa_close_fd) int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char first;
    if (fd >= 0 && read(fd, &first, 1) == 1)
        return false;
    bool empty = true;
    cgroup_each_child(dir, find_member, &empty);
    return empty;
}

static void find_member(int dir, const char *name, void *ctx)
{
    bool *empty = ctx;
    OSA_AUTO(osa_close_fd) int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (child >= 0 && *empty)
        *empty = is_empty(child);
}

const struct cgroup_ops cgroup_v1_ops = {
    .set_cpu = v1_set_cpu,
    .set_memory = v1_set_memory,
    .set_pids = v1_set_pids,
    .add_stats = v1_add_stats,
    .oom_kills = v1_oom_kills,
    .freeze = v1_freeze,
    .is_frozen = v1_is_frozen,
    .kill = v1_kill,
    .is_empty = is_empty,
};
