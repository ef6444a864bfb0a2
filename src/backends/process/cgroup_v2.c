// SPDX-License-Identifier: Apache-2.0
/* Cgroup v2: kernel docs, admin-guide/cgroup-v2.rst. Every file name below is explained there. */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int v2_set_cpu(int dir, uint64_t millis)
{
    if (millis == 0)
        return cgroup_write(dir, "cpu.max", "max");
    uint64_t quota_us;
    uint64_t period_us;
    if (cgroup_cpu_quota(millis, &quota_us, &period_us) < 0)
        return -ERANGE;
    char text[48];
    (void)snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, quota_us, period_us);
    return cgroup_write(dir, "cpu.max", text);
}

/*
 * Lowering memory.max below the use would kill somebody. So the excess is reclaimed first
 * (memory.reclaim, Linux 5.19), and the limit refused when it still does not fit.
 */
static int make_room(int dir, uint64_t bytes)
{
    uint64_t used = cgroup_read_u64(dir, "memory.current");
    if (used <= bytes)
        return 0;
    (void)cgroup_write_u64(dir, "memory.reclaim", used - bytes);
    return cgroup_read_u64(dir, "memory.current") <= bytes ? 0 : -EBUSY;
}

static int v2_set_memory(int dir, uint64_t bytes)
{
    if (bytes == 0) {
        int rc = cgroup_write(dir, "memory.max", "max");
        if (rc == 0 && cgroup_has_file(dir, "memory.swap.max"))
            rc = cgroup_write(dir, "memory.swap.max", "max");
        return rc;
    }
    int rc = make_room(dir, bytes);
    if (rc < 0)
        return rc;
    if (cgroup_has_file(dir, "memory.swap.max"))
        rc = cgroup_write(dir, "memory.swap.max", "0");
    else if (cgroup_swap_exists())
        rc = -EOPNOTSUPP;
    return rc < 0 ? rc : cgroup_write_u64(dir, "memory.max", bytes);
}

static int v2_set_pids(int dir, uint64_t max)
{
    return max == 0 ? cgroup_write(dir, "pids.max", "max") : cgroup_write_u64(dir, "pids.max", max);
}

/* io.stat has a line for each device: "8:0 rbytes=1 wbytes=2 rios=…". */
static void add_io(int dir, struct usage_stats *stats)
{
    OSA_AUTO(osa_free) char *text = NULL;
    if (osa_read_file(dir, "io.stat", CGROUP_FILE_MAX, &text, NULL, NULL) != OSA_OK)
        return;
    for (const char *at = text; (at = strstr(at, " rbytes=")) != NULL; at++)
        stats->read_bytes += strtoull(at + strlen(" rbytes="), NULL, 10);
    for (const char *at = text; (at = strstr(at, " wbytes=")) != NULL; at++)
        stats->write_bytes += strtoull(at + strlen(" wbytes="), NULL, 10);
}

/* usage_usec is in cpu.stat even without the cpu controller. */
static void v2_add_stats(int dir, unsigned controllers, struct usage_stats *stats)
{
    stats->cpu_ns += (int64_t)(cgroup_read_key(dir, "cpu.stat", "usage_usec") * 1000);
    if ((controllers & 1u << CGROUP_CPU) != 0)
        stats->throttled_ns += (int64_t)(cgroup_read_key(dir, "cpu.stat", "throttled_usec") * 1000);
    if ((controllers & 1u << CGROUP_MEMORY) != 0) {
        stats->memory_bytes += cgroup_read_u64(dir, "memory.current");
        stats->memory_peak_bytes += cgroup_read_u64(dir, "memory.peak");
    }
    if ((controllers & 1u << CGROUP_PIDS) != 0)
        stats->pids += cgroup_read_u64(dir, "pids.current");
    if ((controllers & 1u << CGROUP_IO) != 0)
        add_io(dir, stats);
}

static uint64_t v2_oom_kills(int dir)
{
    return cgroup_read_key(dir, "memory.events", "oom_kill");
}

static int v2_freeze(int dir, bool on)
{
    return cgroup_write(dir, "cgroup.freeze", on ? "1" : "0");
}

static bool v2_is_frozen(int dir)
{
    return cgroup_read_key(dir, "cgroup.events", "frozen") == 1;
}

static void kill_member(int pidfd, void *ctx)
{
    (void)ctx;
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* cgroup.kill is from Linux 5.14. Before it, a frozen tree cannot fork away from a sweep. */
static int v2_kill(int dir)
{
    int rc = cgroup_write(dir, "cgroup.kill", "1");
    if (rc != -ENOENT)
        return rc;
    bool was_frozen = cgroup_read_u64(dir, "cgroup.freeze") == 1;
    (void)v2_freeze(dir,
                    true); /* takes effect later; who forks meanwhile is met by the next pass */
    for (int pass = 0; pass < 3; pass++) {
        rc = cgroup_each_process(dir, kill_member, NULL);
        if (rc <= 0)
            break;
    }
    if (!was_frozen)
        (void)v2_freeze(dir, false);
    return rc < 0 ? rc : 0;
}

static bool v2_is_empty(int dir)
{
    return cgroup_read_key(dir, "cgroup.events", "populated") == 0;
}

const struct cgroup_ops cgroup_v2_ops = {
    .set_cpu = v2_set_cpu,
    .set_memory = v2_set_memory,
    .set_pids = v2_set_pids,
    .add_stats = v2_add_stats,
    .oom_kills = v2_oom_kills,
    .freeze = v2_freeze,
    .is_frozen = v2_is_frozen,
    .kill = v2_kill,
    .is_empty = v2_is_empty,
};
