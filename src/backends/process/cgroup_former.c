// SPDX-License-Identifier: Apache-2.0
/*
 * Cgroups of dead agents are found in the place that the next agent takes. One that is started
 * elsewhere (another unit, another session, another pod cgroup on v1) would never look there; so the
 * state directory lists the places that agents with it have had, and each is swept once more.
 */
#include "backends/process/cgroup_internal.h"

#include "base/buf.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LIST_NAME "cgroups"
#define LIST_MAX_BYTES (64u << 10)

/* The list is ours alone; all the same only directories of cgroups are opened. */
static void sweep(const char *place)
{
    struct statfs fs;
    OSA_AUTO(osa_close_fd) int dir = open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstatfs(dir, &fs) < 0)
        return;
    if (fs.f_type == CGROUP2_SUPER_MAGIC)
        cgroup_each_child(dir, cgroup_remove_if_dead, (void *)&cgroup_v2_ops);
    else if (fs.f_type == CGROUP_SUPER_MAGIC)
        cgroup_each_child(dir, cgroup_remove_if_dead, (void *)&cgroup_v1_ops);
}

static void add_line(struct osa_buf *out, const char *place)
{
    struct stat st;
    if (stat(place, &st) == 0)
        (void)osa_buf_addf(out, "%s\n", place);
}

static bool is_current(const struct cgroup_tree *tree, const char *place)
{
    struct stat there;
    struct stat ours;
    for (int i = 0; i < tree->hierarchy_count; i++) {
        if (stat(place, &there) == 0 && fstat(tree->hierarchies[i].parent_fd, &ours) == 0 &&
            there.st_dev == ours.st_dev && there.st_ino == ours.st_ino)
            return true;
    }
    return false;
}

/* Former places stay on the list while they are there: another agent may still have cgroups in them. */
static void sweep_former(const struct cgroup_tree *tree, int state_fd, struct osa_buf *out)
{
    OSA_AUTO(osa_free) char *list = NULL;
    if (osa_read_file(state_fd, LIST_NAME, LIST_MAX_BYTES, &list, NULL, NULL) != OSA_OK)
        return;
    char *rest = list;
    for (char *place = strsep(&rest, "\n"); place != NULL; place = strsep(&rest, "\n")) {
        if (place[0] != '/' || is_current(tree, place))
            continue;
        sweep(place);
        add_line(out, place);
    }
}

static void add_current(const struct cgroup_tree *tree, struct osa_buf *out)
{
    for (int i = 0; i < tree->hierarchy_count; i++) {
        char link[64];
        char place[PATH_MAX];
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", tree->hierarchies[i].parent_fd);
        ssize_t len = readlink(link, place, sizeof(place) - 1);
        if (len <= 0)
            continue;
        place[len] = '\0';
        add_line(out, place);
    }
}

int cgroup_former_sweep(const struct cgroup_tree *tree, const char *state_dir)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, LIST_MAX_BYTES);
    (void)mkdir(state_dir, 0700); /* the next one says what is wrong with it */
    OSA_AUTO(osa_close_fd) int state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state < 0)
        return -errno;
    add_current(tree, &out);
    sweep_former(tree, state, &out);
    OSA_AUTO(osa_close_fd)
    int file = openat(state, LIST_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return -errno;
    int rc = osa_write_all(file, out.data == NULL ? "" : out.data, out.len);
    if (rc == 0 && renameat(state, LIST_NAME ".new", state, LIST_NAME) < 0)
        rc = -errno;
    return rc;
}
