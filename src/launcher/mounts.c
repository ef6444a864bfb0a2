// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: the new root is attached on top of "/". Lookups of "/" do not see it, for
 * they start at the process's root, which lies below; we hold a descriptor. So no directory of the
 * host is needed to build in, and the old root stays reachable as the source of binds. Then
 * pivot_root(".", ".") swaps the two, and the old one, with the scratch that was attached to it, is
 * detached in one call; what was cloned from the scratch lives on in the new root.
 *
 * Order: private, scratch, root, system directories, policy paths, hidden paths, seal, pivot. Until
 * the seal everything of ours is writable; nothing of the sandbox runs yet.
 */
#include "launcher/mounts.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/mount_ops.h"
#include "launcher/mounts_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const missing_texts[MOUNTS_MISSING_COUNT] = {
    "/proc is empty: the kernel refuses to mount it here",
    "/proc shows the sandbox's init: the kernel lacks hidepid",
    "/sys is empty: it needs a network namespace of its own",
    "no terminals: the kernel refuses to mount devpts here",
    "the image is read-only: the kernel refuses overlayfs here",
    "a standard node of /dev is missing on the host",
};

const char *mounts_missing_text(unsigned bit)
{
    for (size_t i = 0; i < MOUNTS_MISSING_COUNT; i++) {
        if (bit == 1u << i)
            return missing_texts[i];
    }
    return NULL;
}

enum osa_code mounts_failed(const struct mounts_build *b, int failed, const char *what)
{
    if (failed == -ENOSYS)
        return osa_fail(b->err, OSA_FAILED_PRECONDITION, ENOSYS,
                        "%s: a sandbox with a root of its own needs Linux 5.12", what);
    return osa_fail(b->err, OSA_FAILED_PRECONDITION, -failed, "%s", what);
}

int mounts_lookup(int dir_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_PATH | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = osa_sys_openat2(dir_fd, path[0] == '\0' ? "." : path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

int mounts_make_dir(int dir_fd, const char *name)
{
    int fd = mounts_lookup(dir_fd, name, O_DIRECTORY);
    if (fd != -ENOENT)
        return fd;
    if (mkdirat(dir_fd, name, 0755) < 0)
        return -errno;
    return mounts_lookup(dir_fd, name, O_DIRECTORY);
}

int mounts_bind_scratch(const struct mounts_build *b, const char *name, unsigned attrs,
                        int target_fd)
{
    OSA_AUTO(osa_close_fd) int source = mounts_lookup(b->scratch_fd, name, 0);
    OSA_AUTO(osa_close_fd) int copy = -1;
    if (source < 0)
        return source;
    int failed = mount_ops_clone(source, /* recursive= */ false, attrs, &copy);
    return failed < 0 ? failed : mount_ops_attach(copy, target_fd);
}

/* The first of each kind makes the mount that the others are copies of, its flags included. */
int mounts_cover(struct mounts_build *b, bool is_dir, int target_fd)
{
    int *first = &b->cover_fds[is_dir ? 1 : 0];
    OSA_AUTO(osa_close_fd) int copy = -1;
    if (*first >= 0) {
        copy = mount_ops_copy(*first);
        return copy < 0 ? copy : mount_ops_attach(copy, target_fd);
    }
    OSA_AUTO(osa_close_fd)
    int source = mounts_lookup(b->scratch_fd, is_dir ? "mask" : "mask-file", 0);
    if (source < 0)
        return source;
    int failed = mount_ops_clone(source, /* recursive= */ false,
                                 MOUNTS_ATTR_QUIET | MOUNT_ATTR_RDONLY, &copy);
    if (failed == 0)
        failed = mount_ops_attach(copy, target_fd);
    if (failed == 0)
        *first = osa_take_fd(&copy);
    return failed;
}

/* ---- the three shapes ---- */

static enum osa_code make_view(struct mounts_build *b)
{
    /* Holds directories, links and empty files to mount on; an inode each. */
    static const struct mount_option options[] = { { "mode", "0755" }, { "nr_inodes", "65536" } };
    int failed =
        mount_ops_create("tmpfs", options, OSA_ARRAY_LEN(options), MOUNTS_ATTR_BASE, &b->root_fd);
    return failed < 0 ? mounts_failed(b, failed, "tmpfs for the root") : OSA_OK;
}

static enum osa_code make_whole(struct mounts_build *b)
{
    /* Where the policy lists nothing it restricts nothing: owners and modes decide, as outside. */
    unsigned attrs = MOUNTS_ATTR_BASE | (b->spec->path_count > 0 ? MOUNT_ATTR_RDONLY : 0u);
    int failed = mount_ops_clone(b->host_fd, /* recursive= */ true, attrs, &b->root_fd);
    return failed < 0 ? mounts_failed(b, failed, "copy of the host's root") : OSA_OK;
}

/* Does the caller's user namespace map every id, as only the first one does? */
static bool is_first_user_namespace(void)
{
    char map[64] = "";
    unsigned inside = 1;
    unsigned outside = 1;
    unsigned count = 0;
    OSA_AUTO(osa_close_fd) int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || osa_read_full(fd, map, sizeof(map) - 1) < 0)
        return true; /* no /proc/self/uid_map: no user namespaces */
    return sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
           count == 0xffffffffu;
}

/* Opens what holds the overlay's upper half. */
static enum osa_code open_upper(struct mounts_build *b)
{
    bool kept = b->spec->changes != NULL && b->spec->changes[0] != '\0';
    b->upper_fd = kept ? open(b->spec->changes, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                       : fcntl(b->scratch_fd, F_DUPFD_CLOEXEC, 3);
    return b->upper_fd >= 0 ? OSA_OK
                            : osa_fail(b->err, OSA_FAILED_PRECONDITION, errno, "changes '%s'",
                                       kept ? b->spec->changes : "");
}

static enum osa_code make_image(struct mounts_build *b)
{
    char lower[64];
    char upper[64];
    char work[64];
    struct stat st;
    if (open_upper(b) != OSA_OK)
        return b->err->code;
    /* By descriptor: a path could hold ':' or ',', and somebody could swap its directories. */
    (void)snprintf(lower, sizeof(lower), "/proc/self/fd/%d", b->image_fd);
    (void)snprintf(upper, sizeof(upper), "/proc/self/fd/%d/upper", b->upper_fd);
    (void)snprintf(work, sizeof(work), "/proc/self/fd/%d/work", b->upper_fd);
    /* The merged root has the upper directory's owner and mode; a foreign owner may not map. */
    if (fstat(b->image_fd, &st) == 0 &&
        fchownat(b->upper_fd, "upper", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) == 0)
        (void)fchmodat(b->upper_fd, "upper", st.st_mode & 0777, 0);
    const struct mount_option options[] = {
        { "lowerdir", lower }, { "upperdir", upper }, { "workdir", work }, { "userxattr", NULL }
    };
    /* trusted.* attributes belong to the first user namespace. */
    size_t count = OSA_ARRAY_LEN(options) - (is_first_user_namespace() ? 1 : 0);
    int failed = mount_ops_create("overlay", options, count, MOUNTS_ATTR_BASE, &b->root_fd);
    if (failed == 0)
        return OSA_OK;
    /* Changes that were to be kept must not be refused, or lost, by the way. */
    if (b->spec->changes != NULL && b->spec->changes[0] != '\0')
        return mounts_failed(b, failed, "overlay with changes in a directory");
    b->report.missing |= MOUNTS_NO_OVERLAY;
    failed = mount_ops_clone(b->image_fd, /* recursive= */ true,
                             MOUNTS_ATTR_BASE | MOUNT_ATTR_RDONLY, &b->root_fd);
    return failed < 0 ? mounts_failed(b, failed, "copy of the image's root") : OSA_OK;
}

static enum osa_code make_root(struct mounts_build *b)
{
    switch (b->shape) {
    case MOUNTS_VIEW:
        return make_view(b);
    case MOUNTS_WHOLE:
        return make_whole(b);
    case MOUNTS_IMAGE:
        return make_image(b);
    }
    return osa_fail(b->err, OSA_INTERNAL, 0, "shape %d", (int)b->shape);
}

/* What the policy lists under that name is there already, and stays. */
static enum osa_code link_workspace(struct mounts_build *b)
{
    const char *workspace = b->spec->workspace;
    if (workspace == NULL || workspace[0] == '\0' || strcmp(workspace, "/") == 0 ||
        strcmp(workspace, "/sandbox") == 0 || symlinkat(workspace, b->root_fd, "sandbox") == 0 ||
        errno == EEXIST)
        return OSA_OK;
    return mounts_failed(b, -errno, "the link /sandbox");
}

/* ---- order ---- */

static enum osa_code check_paths(const struct mounts_spec *spec, struct osa_error *err)
{
    for (size_t i = 0; i < spec->path_count; i++) {
        const char *path = spec->paths[i].path;
        size_t len = strlen(path);
        bool parent = strstr(path, "/../") != NULL || (len >= 3 && !strcmp(path + len - 3, "/.."));
        if (path[0] != '/' || len >= PATH_MAX || parent)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                            "path %zu of the policy is not absolute, has '..' or is too long", i);
    }
    return OSA_OK;
}

static bool is_slash(const char *path)
{
    return path[strspn(path, "/")] == '\0';
}

static enum mounts_shape choose_shape(const struct mounts_spec *spec)
{
    if (spec->root[0] != '\0')
        return MOUNTS_IMAGE;
    for (size_t i = 0; i < spec->path_count; i++) {
        if (is_slash(spec->paths[i].path))
            return MOUNTS_WHOLE;
    }
    return spec->path_count == 0 ? MOUNTS_WHOLE : MOUNTS_VIEW;
}

/* Opens the image's directory; links on the way are the operator's own and are followed. */
static enum osa_code open_image(const struct mounts_build *b, int *ret_fd)
{
    struct stat st;
    OSA_AUTO(osa_close_fd)
    int fd = b->spec->root_fd >= 0 ? fcntl(b->spec->root_fd, F_DUPFD_CLOEXEC, 3)
                                   : open(b->spec->root, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return osa_fail(b->err, OSA_FAILED_PRECONDITION, errno, "root '%s'", b->spec->root);
    if (!S_ISDIR(st.st_mode))
        return osa_fail(b->err, OSA_FAILED_PRECONDITION, ENOTDIR, "root '%s'", b->spec->root);
    *ret_fd = osa_take_fd(&fd);
    return OSA_OK;
}

static enum osa_code seal(const struct mounts_build *b)
{
    int failed = mount_ops_set(b->dev_fd, false, MOUNT_ATTR_RDONLY);
    bool root_too =
        b->shape == MOUNTS_VIEW || (b->shape == MOUNTS_IMAGE && b->spec->path_count > 0);
    if (failed == 0 && root_too)
        failed = mount_ops_set(b->root_fd, false, MOUNT_ATTR_RDONLY);
    return failed < 0 ? mounts_failed(b, failed, "making the root read-only") : OSA_OK;
}

/* Detaches the old root and what is stacked on it. Whether umount2(".") means the mount of the
 * working directory or the topmost one over it differs from kernel to kernel: so until none is left,
 * which the kernel tells by EINVAL, for the working directory is then part of no namespace. */
static int detach_old_root(const struct mounts_build *b)
{
    if (fchdir(b->host_fd) < 0)
        return -errno;
    for (int i = 0; i < 4; i++) {
        if (osa_sys_umount2(".", MNT_DETACH) < 0)
            return i > 0 && errno == EINVAL ? 0 : -errno;
    }
    return -ELOOP;
}

static uint64_t mount_id(int dir_fd, const char *path)
{
    struct statx stat;
    unsigned flags = path[0] == '\0' ? AT_EMPTY_PATH : 0u;
    return statx(dir_fd, path, (int)flags, STATX_MNT_ID, &stat) < 0 ? 0 : stat.stx_mnt_id;
}

/* Makes root_fd the root and lets go of the old one. Proves it: "/" starts at the process's root and
 * sees nothing that is stacked on it, but ".." of the root does. */
static enum osa_code pivot(const struct mounts_build *b)
{
    if (fchdir(b->root_fd) < 0 || osa_sys_pivot_root(".", ".") < 0)
        return mounts_failed(b, -errno, "pivot_root; a host whose root is the initramfs has none");
    int failed = detach_old_root(b);
    if (failed < 0)
        return mounts_failed(b, failed, "detaching the old root");
    if (chdir("/") < 0)
        return mounts_failed(b, -errno, "entering the new root");
    uint64_t wanted = mount_id(b->root_fd, "");
    if (wanted == 0 || mount_id(AT_FDCWD, "/") != wanted || mount_id(AT_FDCWD, "/..") != wanted)
        return osa_fail(b->err, OSA_INTERNAL, 0, "the old root is still there after pivot_root");
    return OSA_OK;
}

static enum osa_code build(struct mounts_build *b)
{
    int failed = mount_ops_make_private();
    if (failed < 0)
        return mounts_failed(b, failed, "making mounts private");
    enum osa_code code = OSA_OK;
    /* Before the scratch is attached to "/": a copy of "/" would have it as well. */
    if (b->shape == MOUNTS_WHOLE)
        code = make_root(b);
    if (code == OSA_OK)
        code = mounts_make_scratch(b);
    if (code == OSA_OK && b->shape != MOUNTS_WHOLE)
        code = make_root(b);
    if (code != OSA_OK)
        return code;
    failed = mount_ops_attach(b->root_fd, b->host_fd);
    if (failed < 0)
        return mounts_failed(b, failed, "attaching the new root");
    if (b->shape == MOUNTS_VIEW)
        code = mounts_copy_links(b);
    if (code == OSA_OK)
        code = mounts_make_system(b);
    if (code == OSA_OK)
        code = mounts_show_paths(b);
    if (code == OSA_OK)
        code = mounts_hide_paths(b);
    if (code == OSA_OK && b->shape == MOUNTS_VIEW)
        code = link_workspace(b); /* not before: what is hidden is found without links */
    if (code == OSA_OK)
        code = seal(b);
    return code == OSA_OK ? pivot(b) : code;
}

enum osa_code mounts_enter(const struct mounts_spec *spec, struct mounts_report *ret,
                           struct osa_error *err)
{
    struct mounts_build b = {
        .spec = spec,
        .shape = choose_shape(spec),
        .host_fd = -1,
        .image_fd = -1,
        .root_fd = -1,
        .scratch_fd = -1,
        .upper_fd = -1,
        .dev_fd = -1,
        .cover_fds = { -1, -1 },
        .err = err,
    };
    mode_t mask = umask(0);
    enum osa_code code = check_paths(spec, err);
    b.host_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (code == OSA_OK && b.host_fd < 0)
        code = osa_fail_errno(err, errno, "open /");
    if (code == OSA_OK && b.shape == MOUNTS_IMAGE)
        code = open_image(&b, &b.image_fd);
    if (code == OSA_OK)
        code = build(&b);
    /* A directory left open would be a way out of the new root. */
    osa_close_fd(&b.host_fd);
    osa_close_fd(&b.image_fd);
    osa_close_fd(&b.root_fd);
    osa_close_fd(&b.scratch_fd);
    osa_close_fd(&b.upper_fd);
    osa_close_fd(&b.dev_fd);
    osa_close_fd(&b.cover_fds[0]);
    osa_close_fd(&b.cover_fds[1]);
    (void)umask(mask);
    if (code == OSA_OK)
        *ret = b.report;
    else if (err != NULL)
        err->stage = "mount";
    return code;
}
