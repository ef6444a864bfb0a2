// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"
#include "launcher/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* The kernel takes 340 lines (user_namespaces(7)) and at most one page in one write. */
enum { RANGES_MAX = 340, MAP_TEXT_MAX = 4096 };

static enum osa_code write_map(int proc_fd, const char *file,
                               const struct privileges_id_range *ranges, size_t count,
                               struct osa_error *err)
{
    char text[MAP_TEXT_MAX];
    size_t used = 0;
    if (count == 0 || count > RANGES_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s takes 1 to %d ranges, not %zu", file,
                        RANGES_MAX, count);
    for (size_t i = 0; i < count; i++) {
        int n = snprintf(text + used, sizeof(text) - used, "%u %u %u\n", ranges[i].inside,
                         ranges[i].outside, ranges[i].count);
        if (n < 0 || (size_t)n >= sizeof(text) - used)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: the ranges do not fit into %d bytes",
                            file, MAP_TEXT_MAX);
        used += (size_t)n;
    }
    int failed = osa_write_file(proc_fd, file, text);
    if (failed < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, -failed,
                        "%s: the kernel refuses the map that starts '%u %u %u'", file,
                        ranges[0].inside, ranges[0].outside, ranges[0].count);
    return OSA_OK;
}

enum osa_code privileges_write_id_maps(pid_t pid, const struct privileges_id_maps *maps,
                                       struct osa_error *err)
{
    char path[32] = "/proc/self";
    if (pid != 0)
        (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    OSA_AUTO(osa_close_fd) int proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum osa_code code = OSA_OK;
    if (proc_fd < 0)
        code = osa_fail(err, OSA_FAILED_PRECONDITION, errno, "%s", path);
    if (code == OSA_OK && maps->deny_setgroups) {
        /* Absent before Linux 3.19, where gid_map can be written without. */
        int failed = osa_write_file(proc_fd, "setgroups", "deny");
        if (failed < 0 && failed != -ENOENT)
            code = osa_fail(err, OSA_FAILED_PRECONDITION, -failed, "%s/setgroups", path);
    }
    if (code == OSA_OK)
        code = write_map(proc_fd, "uid_map", maps->uids, maps->uid_count, err);
    if (code == OSA_OK)
        code = write_map(proc_fd, "gid_map", maps->gids, maps->gid_count, err);
    if (code != OSA_OK && err != NULL)
        err->stage = "namespace";
    return code;
}
