// SPDX-License-Identifier: Apache-2.0
/* Reading and writing the small files of cgroupfs, and walking what is below a cgroup. */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int cgroup_write(int dir, const char *file, const char *text)
{
    return osa_write_file(dir, file, text);
}

int cgroup_write_u64(int dir, const char *file, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    return cgroup_write(dir, file, text);
}

/* Reads at most size - 1 bytes, which is enough for every file that these are used on. */
static bool read_small(int dir, const char *file, char *text, size_t size)
{
    OSA_AUTO(osa_close_fd) int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = osa_read_full(fd, text, size - 1);
    if (got < 0)
        return false;
    text[got] = '\0';
    return true;
}

uint64_t cgroup_read_u64(int dir, const char *file)
{
    char text[64];
    if (!read_small(dir, file, text, sizeof(text)))
        return 0;
    return strtoull(text, NULL, 10); /* "max" gives 0 */
}

uint64_t cgroup_read_key(int dir, const char *file, const char *key)
{
    char text[4096];
    if (!read_small(dir, file, text, sizeof(text)))
        return 0;
    size_t len = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len + 1, NULL, 10);
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return 0;
}

bool cgroup_has_file(int dir, const char *file)
{
    return faccessat(dir, file, F_OK, 0) == 0;
}

/*
 * The kernel takes quotas from 1 ms and periods up to 1 s (sched-bwc.rst). A period of 100 ms keeps
 * pauses short; below ten thousandths of a CPU only the longest period gives a whole quota.
 */
int cgroup_cpu_quota(uint64_t millis, uint64_t *ret_quota_us, uint64_t *ret_period_us)
{
    uint64_t period_us = millis < 10 ? 1000000 : 100000;
    uint64_t quota_us;
    if (__builtin_mul_overflow(millis, period_us / 1000, &quota_us) || quota_us > INT64_MAX)
        return -ERANGE;
    *ret_quota_us = quota_us;
    *ret_period_us = period_us;
    return 0;
}

bool cgroup_swap_exists(void)
{
    char text[512];
    if (!read_small(AT_FDCWD, "/proc/swaps", text, sizeof(text)))
        return false; /* a kernel without swap has no such file */
    const char *line = strchr(text, '\n');
    return line != NULL && line[1] != '\0';
}

void cgroup_each_child(int dir, void (*fn)(int dir, const char *name, void *ctx), void *ctx)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        osa_close_fd(&fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            fn(dir, entry->d_name, ctx);
    }
    (void)closedir(stream);
}

/* ---- members ---- */

struct walk {
    void (*fn)(int pidfd, void *ctx);
    void *ctx;
    int count; /* or -errno */
};

static bool lists_pid(const char *list, const char *pid_line, size_t len)
{
    for (const char *at = list; (at = memmem(at, strlen(at), pid_line, len)) != NULL; at++) {
        if (at == list || at[-1] == '\n')
            return true;
    }
    return false;
}

/*
 * A number read from cgroup.procs may name a stranger by the time that it is used. So a pidfd is
 * opened first and the list read again: whoever is still listed is the one that the pidfd holds.
 */
static int call_for(int dir, const char *line, size_t len, struct walk *walk)
{
    OSA_AUTO(osa_close_fd)
    int pidfd = (int)syscall(SYS_pidfd_open, (int)strtol(line, NULL, 10), 0);
    if (pidfd < 0)
        return errno == ESRCH || errno == EINVAL ? 0 : -errno;
    OSA_AUTO(osa_free) char *again = NULL;
    if (osa_read_file(dir, "cgroup.procs", CGROUP_FILE_MAX, &again, NULL, NULL) != OSA_OK)
        return -EIO;
    if (!lists_pid(again, line, len))
        return 0;
    walk->fn(pidfd, walk->ctx);
    return 1;
}

static void walk_dir(int dir, struct walk *walk);

static void walk_child(int dir, const char *name, void *ctx)
{
    OSA_AUTO(osa_close_fd) int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (child >= 0)
        walk_dir(child, ctx);
}

static void walk_dir(int dir, struct walk *walk)
{
    OSA_AUTO(osa_free) char *list = NULL;
    if (osa_read_file(dir, "cgroup.procs", CGROUP_FILE_MAX, &list, NULL, NULL) != OSA_OK)
        return; /* removed meanwhile */
    for (const char *line = list; walk->count >= 0 && *line != '\0';) {
        const char *end = strchr(line, '\n');
        if (end == NULL)
            break;
        int rc = call_for(dir, line, (size_t)(end - line) + 1, walk);
        walk->count = rc < 0 ? rc : walk->count + rc;
        line = end + 1;
    }
    if (walk->count >= 0)
        cgroup_each_child(dir, walk_child, walk);
}

int cgroup_each_process(int dir, void (*fn)(int pidfd, void *ctx), void *ctx)
{
    struct walk walk = { .fn = fn, .ctx = ctx };
    walk_dir(dir, &walk);
    return walk.count;
}
