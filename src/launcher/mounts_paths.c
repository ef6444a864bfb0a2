// SPDX-License-Identifier: Apache-2.0
/*
 * The paths that a policy lists, in the new root.
 *
 * First every path is followed to what it really names, link by link, in the source (host or
 * image); a view gets the same links. Then the real paths are sorted, so that what contains comes
 * before what is contained, and each is bound where its nearest listed ancestor has not the same
 * access already. A path that is swapped for a link between the two steps fails the second, which
 * follows none.
 */
#include "launcher/mounts_internal.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/mount_ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* 256 paths of a policy, the working directory and what a level adds by itself. */
enum { PATHS_MAX = 320, PATHS_TEXT_MAX = 256 * 1024, LINKS_MAX = 40, ROOT_LINKS_MAX = 64 };

/* @scratch: the directory of the scratch that goes there; NULL: the source's own. */
struct real_path {
    const char *text;
    size_t len;
    bool writable;
    const char *scratch;
};

/* Always private. /run only where all of the host is shown: elsewhere it is not there, or the image's. */
static const struct {
    const char *path;
    const char *scratch;
    bool whole_only;
} private_dirs[] = {
    { "/tmp", "tmp", false },
    { "/var/tmp", "vartmp", false },
    { "/run", "run", true },
};

/* A link that a view needs, placed once the directories that it is in are there. */
struct real_link {
    const char *path;
    const char *target;
};

/* Init builds one root in its life; not on its stack. */
static struct {
    struct real_path paths[PATHS_MAX];
    size_t count;
    struct real_link links[PATHS_MAX];
    size_t link_count;
    char text[PATHS_TEXT_MAX];
    size_t used;
} real;

/* Opens the parent directory of @path in the new root, making directories that are missing.
 * *ret_name is the last part. Made ones belong to the sandbox's user if @owned. */
static int open_parent(const struct mounts_build *b, const char *path, bool owned,
                       const char **ret_name)
{
    OSA_AUTO(osa_close_fd) int dir = fcntl(b->root_fd, F_DUPFD_CLOEXEC, 3);
    const char *at = path + 1;
    for (const char *slash = strchr(at, '/'); slash != NULL; slash = strchr(at, '/')) {
        char name[NAME_MAX + 1];
        size_t len = (size_t)(slash - at);
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, at, len);
        name[len] = '\0';
        int next = mounts_lookup(dir, name, O_DIRECTORY);
        if (next == -ENOENT) {
            next = mounts_make_dir(dir, name);
            if (next >= 0 && owned && b->shape == MOUNTS_IMAGE)
                (void)fchownat(next, "", b->spec->owner_uid, b->spec->owner_gid, AT_EMPTY_PATH);
        }
        if (next < 0)
            return next;
        osa_replace_fd(&dir, next);
        at = slash + 1;
    }
    *ret_name = at;
    return osa_take_fd(&dir);
}

/* A copy of @text that lives as long as the build. Return: NULL when the room is used up. */
static const char *keep_text(const char *text)
{
    size_t size = strlen(text) + 1;
    if (size > sizeof(real.text) - real.used)
        return NULL;
    char *copy = memcpy(real.text + real.used, text, size);
    real.used += size;
    return copy;
}

static int remember_link(const char *path, const char *target)
{
    for (size_t i = 0; i < real.link_count; i++) {
        if (strcmp(real.links[i].path, path) == 0)
            return 0;
    }
    if (real.link_count == PATHS_MAX)
        return -ENAMETOOLONG;
    struct real_link link = { keep_text(path), keep_text(target) };
    if (link.path == NULL || link.target == NULL)
        return -ENAMETOOLONG;
    real.links[real.link_count++] = link;
    return 0;
}

/* One that is there already came with a directory that was bound. */
static int place_link(const struct mounts_build *b, const struct real_link *link)
{
    const char *name = NULL;
    OSA_AUTO(osa_close_fd) int dir = open_parent(b, link->path, false, &name);
    if (dir < 0)
        return dir;
    return symlinkat(link->target, dir, name) < 0 && errno != EEXIST ? -errno : 0;
}

/* Directories that are the sandbox's own in every shape. */
static bool is_system_dir(const char *path)
{
    return strcmp(path, "/proc") == 0 || strcmp(path, "/sys") == 0 || strcmp(path, "/dev") == 0;
}

/* An image is looked up in its overlay, where what was made for the sandbox is, too. */
static int source_fd(const struct mounts_build *b)
{
    return b->shape == MOUNTS_IMAGE ? b->root_fd : b->host_fd;
}

/* Puts a link's target in front of what is left of the path. */
static int put_before(char *rest, size_t size, const char *target, const char *tail)
{
    char joined[2 * PATH_MAX];
    int len = snprintf(joined, sizeof(joined), "%s/%s", target, tail);
    if (len < 0 || (size_t)len >= OSA_MIN(size, sizeof(joined)))
        return -ENAMETOOLONG;
    memcpy(rest, joined, (size_t)len + 1);
    return 0;
}

static void drop_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
}

/*
 * Follows @path in the source to the end of its links. @canonical (PATH_MAX bytes) becomes "" for
 * the root, else "/a/b". What lies below /dev, /proc and /sys is not followed: they are ours.
 * @show: a view gets the links as well.
 * Return: 0; -ENOENT and so on.
 */
static int canonicalize(const struct mounts_build *b, const char *path, bool show, char *canonical)
{
    char rest[2 * PATH_MAX];
    unsigned links = 0;
    size_t len = 0;
    int failed = put_before(rest, sizeof(rest), path, "");
    canonical[0] = '\0';
    for (char *at = rest + strspn(rest, "/"); failed == 0 && *at != '\0';) {
        size_t span = strcspn(at, "/");
        char *tail = at + span + strspn(at + span, "/");
        at[span] = '\0';
        len = strlen(canonical);
        if (strcmp(at, "..") == 0) {
            drop_last(canonical);
        } else if (strcmp(at, ".") != 0) {
            if (len + span + 2 > PATH_MAX)
                return -ENAMETOOLONG;
            canonical[len] = '/';
            memcpy(canonical + len + 1, at, span + 1);
        }
        at = tail;
        if (canonical[0] == '\0' || mounts_is_below(canonical, "/dev") || is_system_dir(canonical))
            continue;
        if (mounts_is_below(canonical, "/proc") || mounts_is_below(canonical, "/sys"))
            continue;

        char target[PATH_MAX];
        OSA_AUTO(osa_close_fd) int fd = mounts_lookup(source_fd(b), canonical + 1, 0);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            return fd < 0 ? fd : -errno;
        if (!S_ISLNK(st.st_mode))
            continue;
        ssize_t got = readlinkat(fd, "", target, sizeof(target) - 1);
        if (got <= 0 || ++links > LINKS_MAX)
            return -ELOOP;
        target[got] = '\0';
        if (show && b->shape == MOUNTS_VIEW)
            failed = remember_link(canonical, target);
        drop_last(canonical);
        if (target[0] == '/')
            canonical[0] = '\0';
        char left[2 * PATH_MAX];
        (void)snprintf(left, sizeof(left), "%s", tail);
        if (failed == 0)
            failed = put_before(rest, sizeof(rest), target, left);
        at = rest + strspn(rest, "/");
    }
    return failed;
}

static enum osa_code remember(const struct mounts_build *b, const char *path, bool writable,
                              const char *scratch)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < real.count; i++) {
        if (strcmp(real.paths[i].text, path) == 0) {
            real.paths[i].writable = real.paths[i].writable || writable;
            return OSA_OK;
        }
    }
    const char *text = real.count == PATHS_MAX ? NULL : keep_text(path);
    if (text == NULL)
        return osa_fail(b->err, OSA_RESOURCE_EXHAUSTED, 0,
                        "the policy's paths are more than %d or longer than %d bytes together",
                        PATHS_MAX, PATHS_TEXT_MAX);
    size_t at = real.count++;
    /* Shorter first: an ancestor is always shorter. */
    for (; at > 0 && real.paths[at - 1].len > len; at--)
        real.paths[at] = real.paths[at - 1];
    real.paths[at] = (struct real_path){ text, len, writable, scratch };
    return OSA_OK;
}

/* ---- devices ---- */

/* Memory, ports and the kernel's log are nobody's workload (Documentation/admin-guide/devices.txt). */
static bool is_forbidden_device(dev_t device)
{
    unsigned minor_number = minor(device);
    return major(device) == 1 &&
           (minor_number == 1 || minor_number == 2 || minor_number == 4 || minor_number == 11);
}

/* A node or a directory of nodes that the policy lists by name, such as /dev/nvidia0 or /dev/dri. */
static int show_device(const struct mounts_build *b, const char *path)
{
    struct stat st;
    OSA_AUTO(osa_close_fd) int there = mounts_lookup(b->root_fd, path + 1, 0);
    if (there >= 0)
        return 0;
    OSA_AUTO(osa_close_fd) int source = mounts_lookup(b->host_fd, path + 1, 0);
    if (source < 0)
        return source;
    if (fstat(source, &st) < 0)
        return -errno;
    bool is_node = S_ISCHR(st.st_mode) && !is_forbidden_device(st.st_rdev);
    bool is_directory = S_ISDIR(st.st_mode) &&
                        (strcmp(path, "/dev/dri") == 0 || strcmp(path, "/dev/nvidia-caps") == 0);
    if (!is_node && !is_directory)
        return -EPERM;
    const char *name = NULL;
    OSA_AUTO(osa_close_fd) int copy = -1;
    OSA_AUTO(osa_close_fd) int dir = open_parent(b, path, false, &name);
    int failed = dir < 0 ? dir : 0;
    if (failed == 0)
        failed = mount_ops_clone(source, true, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &copy);
    if (failed == 0 &&
        (is_directory ? mkdirat(dir, name, 0755) : mknodat(dir, name, S_IFREG | 0444, 0)) < 0)
        failed = -errno;
    if (failed < 0)
        return failed;
    OSA_AUTO(osa_close_fd) int target = mounts_lookup(dir, name, 0);
    return target < 0 ? target : mount_ops_attach(copy, target);
}

/* ---- binding ---- */

/* Opens, and makes where it is missing, the place in the new root where @source goes. */
static int open_target(const struct mounts_build *b, const char *path, bool is_directory)
{
    const char *name = NULL;
    OSA_AUTO(osa_close_fd) int dir = open_parent(b, path, false, &name);
    if (dir < 0)
        return dir;
    if (is_directory)
        return mounts_make_dir(dir, name);
    int fd = mounts_lookup(dir, name, 0);
    if (fd != -ENOENT)
        return fd;
    if (mknodat(dir, name, S_IFREG | 0444, 0) < 0)
        return -errno;
    return mounts_lookup(dir, name, 0);
}

static int bind_path(const struct mounts_build *b, const struct real_path *path)
{
    struct stat st;
    OSA_AUTO(osa_close_fd) int source = mounts_lookup(source_fd(b), path->text + 1, 0);
    if (source < 0)
        return source;
    if (fstat(source, &st) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode) || S_ISBLK(st.st_mode))
        return -EPERM;
    OSA_AUTO(osa_close_fd) int copy = -1;
    unsigned attrs = MOUNTS_ATTR_BASE | (path->writable ? 0u : MOUNT_ATTR_RDONLY);
    /* In an image everything that is mounted so far is ours and stays what it is. */
    int failed = mount_ops_clone(source, b->shape != MOUNTS_IMAGE, attrs, &copy);
    if (failed < 0)
        return failed;
    OSA_AUTO(osa_close_fd) int target = open_target(b, path->text, S_ISDIR(st.st_mode));
    return target < 0 ? target : mount_ops_attach(copy, target);
}

/* /tmp must be private. The others are where they are directories; where one is a link, it leads to
 * what the policy lists, or nowhere. */
static enum osa_code bind_private(const struct mounts_build *b, const struct real_path *path)
{
    OSA_AUTO(osa_close_fd) int target = open_target(b, path->text, /* is_directory= */ true);
    if (target < 0) {
        if (strcmp(path->text, "/tmp") != 0)
            return OSA_OK;
        return osa_fail(b->err, OSA_FAILED_PRECONDITION, -target,
                        "/tmp of the root is not a directory (a link is refused); make it one");
    }
    int failed = mounts_bind_scratch(b, path->scratch, MOUNTS_ATTR_BASE, target);
    return failed < 0 ? mounts_failed(b, failed, "private /tmp, /var/tmp, /run") : OSA_OK;
}

/* Is @path accessible as it should be through what has been bound before it? */
static bool is_covered(const struct mounts_build *b, size_t index)
{
    const struct real_path *path = &real.paths[index];
    for (size_t i = index; i-- > 0;) { /* the longest ancestor first */
        const struct real_path *above = &real.paths[i];
        if (mounts_is_below(path->text, above->text))
            return above->scratch == NULL && above->writable == path->writable;
    }
    return b->shape != MOUNTS_VIEW && !path->writable;
}

static bool is_private_dir(const char *path)
{
    return strcmp(path, "/tmp") == 0 || strcmp(path, "/var/tmp") == 0;
}

/* A writable directory that the image lacks is made for the sandbox's user; the host's are not. */
static int make_missing(const struct mounts_build *b, const struct mounts_path *path)
{
    if (b->shape != MOUNTS_IMAGE || !path->writable || (b->report.missing & MOUNTS_NO_OVERLAY) != 0)
        return -ENOENT;
    char with_end[PATH_MAX + 2];
    const char *name = NULL;
    (void)snprintf(with_end, sizeof(with_end), "%s/", path->path);
    OSA_AUTO(osa_close_fd) int dir = open_parent(b, with_end, true, &name);
    return dir < 0 ? dir : 0;
}

/* Shows what is ready at once and remembers what is to be bound. */
static enum osa_code show_path(struct mounts_build *b, const struct mounts_path *path)
{
    char canonical[PATH_MAX];
    int failed = canonicalize(b, path->path, true, canonical);
    if (failed == -ENOENT && make_missing(b, path) == 0)
        failed = canonicalize(b, path->path, true, canonical);
    if (failed == 0 && mounts_is_below(canonical, "/dev")) {
        failed = show_device(b, canonical);
    } else if (failed == 0 &&
               (mounts_is_below(canonical, "/proc") || mounts_is_below(canonical, "/sys"))) {
        OSA_AUTO(osa_close_fd) int there = mounts_lookup(b->root_fd, canonical + 1, 0);
        failed = there < 0 ? there : 0;
    } else if (failed == 0 && canonical[0] != '\0' && !is_private_dir(canonical)) {
        return remember(b, canonical, path->writable, NULL);
    } else if (failed == 0 && canonical[0] == '\0' && b->shape == MOUNTS_VIEW) {
        failed = -EPERM; /* a link to "/": what is not listed by name is not meant */
    }
    if (failed < 0)
        b->report.paths_skipped++;
    else
        b->report.paths_applied++;
    return OSA_OK;
}

static enum osa_code remember_private_dirs(const struct mounts_build *b)
{
    enum osa_code code = OSA_OK;
    for (size_t i = 0; code == OSA_OK && i < OSA_ARRAY_LEN(private_dirs); i++) {
        if (!private_dirs[i].whole_only || b->shape == MOUNTS_WHOLE)
            code = remember(b, private_dirs[i].path, true, private_dirs[i].scratch);
    }
    return code;
}

enum osa_code mounts_show_paths(struct mounts_build *b)
{
    enum osa_code code = OSA_OK;
    real.count = 0;
    real.link_count = 0;
    real.used = 0;
    for (size_t i = 0; code == OSA_OK && i < b->spec->path_count; i++)
        code = show_path(b, &b->spec->paths[i]);
    if (code == OSA_OK)
        code = remember_private_dirs(b); /* a /run that the policy lists stays the host's */
    for (size_t i = 0; code == OSA_OK && i < real.count; i++) {
        if (real.paths[i].scratch != NULL)
            code = bind_private(b, &real.paths[i]);
        else if (is_covered(b, i) || bind_path(b, &real.paths[i]) == 0)
            b->report.paths_applied++;
        else
            b->report.paths_skipped++;
    }
    for (size_t i = 0; code == OSA_OK && i < real.link_count; i++) {
        int failed = place_link(b, &real.links[i]);
        if (failed < 0 && failed != -EROFS)
            code = mounts_failed(b, failed, "links of the policy's paths");
    }
    return code;
}

/* ---- links and hidden paths ---- */

enum osa_code mounts_copy_links(struct mounts_build *b)
{
    OSA_AUTO(osa_close_fd) int fd = openat(b->host_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _Alignas(struct dirent64) char entries[4096];
    unsigned links = 0;
    if (fd < 0)
        return mounts_failed(b, -errno, "reading /");
    for (;;) {
        long got = syscall(SYS_getdents64, fd, entries, sizeof(entries));
        if (got < 0)
            return mounts_failed(b, -errno, "reading /");
        if (got == 0)
            return OSA_OK;
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            char target[PATH_MAX];
            at += entry->d_reclen;
            ssize_t len = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);
            if (len <= 0 || links == ROOT_LINKS_MAX)
                continue; /* not a link */
            target[len] = '\0';
            links++;
            /* A link that could be a directory of ours is left out. */
            char path[NAME_MAX + 2];
            (void)snprintf(path, sizeof(path), "/%s", entry->d_name);
            if (is_system_dir(path) || is_private_dir(path))
                continue;
            if (symlinkat(target, b->root_fd, entry->d_name) < 0)
                return mounts_failed(b, -errno, "copying the links of /");
        }
    }
}

enum osa_code mounts_hide_paths(struct mounts_build *b)
{
    const char *const *hidden = b->shape == MOUNTS_IMAGE ? NULL : b->spec->hidden;
    for (size_t i = 0; hidden != NULL && hidden[i] != NULL; i++) {
        char canonical[PATH_MAX];
        struct stat st;
        int failed = canonicalize(b, hidden[i], false, canonical);
        if (failed == -ENOENT || failed == -ENOTDIR)
            continue; /* nothing there to hide */
        if (failed == 0 && canonical[0] == '\0')
            failed = -EINVAL; /* the root cannot be hidden; the agent has a strange configuration */
        if (failed < 0)
            return mounts_failed(b, failed, "hiding the agent's directories");
        OSA_AUTO(osa_close_fd) int target = mounts_lookup(b->root_fd, canonical + 1, 0);
        if (target == -ENOENT || target == -ENOTDIR)
            continue; /* not shown */
        if (target < 0 || fstat(target, &st) < 0)
            return mounts_failed(b, target < 0 ? target : -errno, "hiding the agent's directories");
        failed = mounts_cover(b, S_ISDIR(st.st_mode), target);
        if (failed < 0)
            return mounts_failed(b, failed, "hiding the agent's directories");
    }
    return OSA_OK;
}
