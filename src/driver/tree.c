// SPDX-License-Identifier: Apache-2.0
/*
 * A directory is opened before it is entered, so nobody can put a link in its place. Each level costs
 * a descriptor; what lies deeper than DEPTH_MAX is moved to the top of the tree and removed from there.
 */
#include "driver/tree.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64

/**
 * struct removal - @top: the tree's root, -1 before it is open; @moved: names given there
 */
struct removal {
    int top;
    unsigned moved;
};

static int remove_below(struct removal *removal, int parent, const char *name, unsigned depth);

static int open_dir(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, flags);
    if (fd >= 0) /* without write permission it keeps its entries from its owner */
        (void)fchmod(fd, 0700);
    return fd;
}

static int remove_entries(struct removal *removal, int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd); /* takes fd */
    int rc = 0;
    if (dir == NULL) {
        (void)close(fd);
        return -1;
    }
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_below(removal, dirfd(dir), entry->d_name, depth);
    }
    int failed = errno;
    (void)closedir(dir);
    errno = failed;
    return rc;
}

static int move_up(struct removal *removal, int parent, const char *name)
{
    char moved[64];
    do
        (void)snprintf(moved, sizeof(moved), ".deep-%u", removal->moved++);
    while (faccessat(removal->top, moved, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    (void)fchmodat(parent, name, 0700, 0); /* its ".." changes */
    return renameat(parent, name, removal->top, moved);
}

static int remove_below(struct removal *removal, int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth == DEPTH_MAX)
        return move_up(removal, parent, name);
    int fd = open_dir(parent, name);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    OSA_AUTO(osa_close_fd) int top = -1;
    if (removal->top < 0)
        removal->top = top = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int rc = remove_entries(removal, fd, depth + 1);
    if (top >= 0)
        removal->top = -1;
    if (rc < 0)
        return -1;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

enum osa_code tree_remove(const char *path, struct osa_error *err)
{
    /* What was moved to the top is found there by the next round. */
    struct removal removal = { .top = -1 };
    int rc;
    do {
        removal.moved = 0;
        rc = remove_below(&removal, AT_FDCWD, path, 0);
    } while (rc < 0 && errno == ENOTEMPTY && removal.moved > 0);
    return rc == 0 ? OSA_OK : osa_fail(err, OSA_INTERNAL, errno, "'%s' cannot be removed", path);
}

/* nftw(3) hands on no context. */
static _Thread_local uint64_t counted_blocks;

static int count(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    if (type != FTW_NS)
        counted_blocks += (uint64_t)st->st_blocks;
    return 0;
}

enum osa_code tree_bytes(const char *path, uint64_t *ret_bytes, struct osa_error *err)
{
    counted_blocks = 0;
    if (nftw(path, count, DEPTH_MAX, FTW_PHYS | FTW_MOUNT) < 0)
        return osa_fail_errno(err, errno, "'%s'", path);
    *ret_bytes = counted_blocks * 512; /* stat(2): st_blocks is in units of 512 bytes */
    return OSA_OK;
}
