// SPDX-License-Identifier: Apache-2.0
/*
 * The directories between the top and the current entry's parent are held open in a stack: entries
 * of one directory cost no walk, and no path is resolved twice. When the archive leaves a directory
 * that it has brought, that gets its mode and time, so that read-only ones can be filled first.
 */
#include "tar/unpack.h"

#include "base/fd.h"
#include "tar/path.h"
#include "tar/read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often something may appear anew in the place of what is being made. */
#define TRIES 8

/* An open directory; the first is the top. */
struct level {
    int fd;       /* owned */
    size_t len;   /* of dir up to here */
    bool brought; /* made for an entry: mode and time are to be set */
    uint32_t mode;
    struct timespec mtime;
};

struct tar_unpack {
    struct tar_sink sink;
    struct tar_unpack_options options;
    struct tar_reader *reader; /* owned */
    uint64_t entries;
    struct level levels[TAR_DEPTH_MAX + 1];
    unsigned depth; /* levels in use */
    char dir[TAR_PATH_MAX + 1];
    char path[TAR_PATH_MAX + 1];   /* of the entry under way, checked */
    char target[TAR_PATH_MAX + 1]; /* of a hard link, checked */
    char top[TAR_PATH_MAX + 1];    /* rename: the one top that the archive may have */
    int file;                      /* owned; -1: the entry is no file */
    const char *file_name;         /* its name in the last level */
    uint32_t file_mode;
    struct timespec file_mtime;
    struct osa_error failure;
};

static struct level *last(struct tar_unpack *u)
{
    return &u->levels[u->depth - 1];
}

static enum osa_code refuse(const struct tar_unpack *u, enum osa_code code, const char *what,
                            struct osa_error *err)
{
    char quoted[TAR_QUOTED_SIZE];
    return osa_fail(err, code, 0, "%s %s", tar_quote(u->path, quoted), what);
}

/* ---- directories ---- */

static enum osa_code set_directory(const struct tar_unpack *u, const struct level *level,
                                   struct osa_error *err)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, level->mtime };
    /* By ".", for the descriptor may be one that only leads on. The mode may close the way. */
    if (utimensat(level->fd, ".", times, 0) == 0 && fchmodat(level->fd, ".", level->mode, 0) == 0)
        return OSA_OK;
    return tar_fail_path(err, errno, u->dir, "cannot get its mode and time");
}

static enum osa_code leave_directory(struct tar_unpack *u, struct osa_error *err)
{
    struct level *level = last(u);
    enum osa_code code = level->brought ? set_directory(u, level, err) : OSA_OK;
    osa_replace_fd(&level->fd, -1);
    u->depth--;
    u->dir[last(u)->len] = '\0';
    return code;
}

static enum osa_code open_directory(int parent, const char *name, int *ret_fd, const char *path,
                                    struct osa_error *err)
{
    *ret_fd = openat(parent, name, TAR_OPEN_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd >= 0)
        return OSA_OK;
    if (errno == ELOOP || errno == ENOTDIR)
        return tar_fail_path(err, ENOTDIR, path,
                             "leads through a symbolic link or a file, which is not followed");
    return tar_fail_path(err, errno, path, "cannot be reached");
}

/* The last level becomes dir + "/" + name, which exists or is made with plain permissions. */
static enum osa_code enter_component(struct tar_unpack *u, const char *name, size_t len,
                                     struct osa_error *err)
{
    char component[TAR_PATH_MAX + 1];
    const struct level *parent = last(u);
    if (u->depth > TAR_DEPTH_MAX)
        return refuse(u, OSA_INVALID_ARGUMENT, "lies too deep: at most 256 directories", err);
    memcpy(component, name, len);
    component[len] = '\0';
    int fd;
    if (mkdirat(parent->fd, component, 0755u & ~u->options.mask) < 0 && errno != EEXIST) {
        /* It may well be there, in a directory that may not be changed. */
        int saved = errno;
        struct stat st;
        if (fstatat(parent->fd, component, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return tar_fail_path(err, saved, u->path, "cannot be reached");
    }
    enum osa_code code = open_directory(parent->fd, component, &fd, u->path, err);
    if (code != OSA_OK)
        return code;
    size_t at = parent->len + (parent->len > 0 ? 1 : 0);
    u->dir[parent->len] = '/'; /* overwritten when it is the top's */
    memcpy(u->dir + at, component, len + 1);
    u->levels[u->depth++] = (struct level){ .fd = fd, .len = at + len };
    return OSA_OK;
}

static bool is_within(const struct tar_unpack *u, const struct level *level, size_t parent_len)
{
    return level->len == 0 ||
           (level->len <= parent_len && memcmp(u->dir, u->path, level->len) == 0 &&
            (level->len == parent_len || u->path[level->len] == '/'));
}

/* Make the last level the parent of u->path. *ret_name points to the last component. */
static enum osa_code enter_parent(struct tar_unpack *u, const char **ret_name,
                                  struct osa_error *err)
{
    const char *slash = strrchr(u->path, '/');
    size_t parent_len = slash == NULL ? 0 : (size_t)(slash - u->path);
    enum osa_code code = OSA_OK;
    while (code == OSA_OK && !is_within(u, last(u), parent_len))
        code = leave_directory(u, err);
    for (size_t at = last(u)->len; code == OSA_OK && at < parent_len; at = last(u)->len) {
        const char *name = u->path + at + (at > 0 ? 1 : 0);
        code = enter_component(u, name, strcspn(name, "/"), err);
    }
    *ret_name = slash == NULL ? u->path : slash + 1;
    return code;
}

/* Anything but a directory may be replaced. */
static enum osa_code clear_place(const struct tar_unpack *u, int parent, const char *name,
                                 struct osa_error *err)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        return tar_fail_path(err, EISDIR, u->path, "would replace a directory");
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return OSA_OK;
    return tar_fail_path(err, errno, u->path, "cannot be replaced");
}

/* ---- entries ---- */

static enum osa_code make_directory(struct tar_unpack *u, const struct tar_entry *entry,
                                    struct osa_error *err)
{
    const char *name;
    struct stat st;
    if (u->path[0] == '\0')
        return OSA_OK; /* the directory itself, which is there */
    enum osa_code code = enter_parent(u, &name, err);
    if (code != OSA_OK)
        return code;
    if (mkdirat(last(u)->fd, name, 0700) < 0) {
        int saved = errno;
        bool exists = fstatat(last(u)->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (exists && S_ISDIR(st.st_mode))
            return OSA_OK;
        return exists ? tar_fail_path(err, ENOTDIR, u->path, "stands in the way of a directory")
                      : tar_fail_path(err, saved, u->path, "cannot be made");
    }
    code = enter_component(u, name, strlen(name), err);
    if (code != OSA_OK)
        return code;
    last(u)->brought = true;
    last(u)->mode = entry->mode & TAR_MODE_MASK & ~u->options.mask;
    last(u)->mtime = (struct timespec){ entry->mtime_s, entry->mtime_ns };
    return OSA_OK;
}

static enum osa_code make_file(struct tar_unpack *u, const struct tar_entry *entry,
                               struct osa_error *err)
{
    const char *name;
    enum osa_code code = enter_parent(u, &name, err);
    for (unsigned i = 0; code == OSA_OK && u->file < 0; i++) {
        u->file =
            openat(last(u)->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (u->file >= 0)
            break;
        if (errno != EEXIST || i == TRIES)
            return tar_fail_path(err, errno, u->path, "cannot be made");
        code = clear_place(u, last(u)->fd, name, err);
    }
    u->file_name = name;
    u->file_mode = entry->mode & TAR_MODE_MASK & ~u->options.mask;
    u->file_mtime = (struct timespec){ entry->mtime_s, entry->mtime_ns };
    return code;
}

/*
 * A target that stays inside whatever the links on its way are, given that they all do: some "..",
 * no more than the link's directory is deep, and none after that. A ".." behind a name could mean
 * the parent of wherever a link of that name leads.
 */
static bool stays_inside(const char *target, unsigned depth)
{
    if (target[0] == '/')
        return false;
    bool climbing = true;
    for (const char *at = target; *at != '\0';) {
        size_t len = strcspn(at, "/");
        bool up = len == 2 && memcmp(at, "..", 2) == 0;
        bool nothing = len == 0 || (len == 1 && at[0] == '.');
        if (up && (!climbing || depth-- == 0))
            return false;
        climbing = climbing && (up || nothing);
        at += len;
        at += *at == '/' ? 1 : 0;
    }
    return true;
}

static enum osa_code make_symlink(struct tar_unpack *u, const struct tar_entry *entry,
                                  struct osa_error *err)
{
    const char *name;
    enum osa_code code = enter_parent(u, &name, err);
    if (code != OSA_OK)
        return code;
    int parent = last(u)->fd;
    if (u->options.inner_links && !stays_inside(entry->link, u->depth - 1)) {
        if (u->options.left_out != NULL)
            u->options.left_out(u->options.ctx, u->path, entry->link);
        return OSA_OK;
    }
    for (unsigned i = 0; symlinkat(entry->link, parent, name) < 0; i++) {
        if (errno != EEXIST || i == TRIES)
            return tar_fail_path(err, errno, u->path, "cannot be made");
        code = clear_place(u, parent, name, err);
        if (code != OSA_OK)
            return code;
    }
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                       { entry->mtime_s, entry->mtime_ns } };
    (void)utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW); /* some file systems have none */
    return OSA_OK;
}

/* The parent of u->target, walked from the top. *ret_fd: owned by the caller, also on failure. */
static enum osa_code open_target(struct tar_unpack *u, int *ret_fd, const char **ret_name,
                                 struct osa_error *err)
{
    char *at = u->target;
    *ret_fd = fcntl(u->levels[0].fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fd < 0)
        return tar_fail_path(err, errno, u->path, "cannot be linked");
    for (char *slash; (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        int next;
        *slash = '\0';
        enum osa_code code = open_directory(*ret_fd, at, &next, u->target, err);
        *slash = '/';
        if (code != OSA_OK)
            return code;
        osa_replace_fd(ret_fd, next);
    }
    *ret_name = at;
    return OSA_OK;
}

static enum osa_code make_hard_link(struct tar_unpack *u, struct osa_error *err)
{
    const char *name;
    const char *target_name = NULL;
    struct stat target;
    struct stat st;
    OSA_AUTO(osa_close_fd) int target_dir = -1;
    enum osa_code code = enter_parent(u, &name, err);
    if (code == OSA_OK)
        code = open_target(u, &target_dir, &target_name, err);
    if (code != OSA_OK)
        return code;
    int parent = last(u)->fd;
    if (fstatat(target_dir, target_name, &target, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT
                   ? refuse(u, OSA_INVALID_ARGUMENT, "is a hard link to what is not there", err)
                   : tar_fail_path(err, errno, u->target, "is wanted by a hard link");
    for (unsigned i = 0; linkat(target_dir, target_name, parent, name, 0) < 0; i++) {
        int saved = errno;
        bool same = saved == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    st.st_dev == target.st_dev && st.st_ino == target.st_ino;
        if (same)
            return OSA_OK;
        if (saved != EEXIST || i == TRIES)
            return tar_fail_path(err, saved, u->path, "cannot be linked");
        code = clear_place(u, parent, name, err);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

/* ---- the sink ---- */

static enum osa_code rename_top(struct tar_unpack *u, char *path, struct osa_error *err)
{
    const char *wanted = u->options.rename;
    size_t top_len = strcspn(path, "/");
    if (wanted == NULL)
        return OSA_OK;
    if (u->top[0] == '\0') {
        memcpy(u->top, path, top_len);
        u->top[top_len] = '\0';
    }
    if (top_len == 0 || strlen(u->top) != top_len || memcmp(u->top, path, top_len) != 0)
        return refuse(u, OSA_INVALID_ARGUMENT, "is a second tree; the archive should hold one",
                      err);
    size_t wanted_len = strlen(wanted);
    size_t rest = strlen(path + top_len);
    if (wanted_len + rest > TAR_PATH_MAX)
        return tar_fail_path(err, ENAMETOOLONG, path, "cannot be made");
    memmove(path + wanted_len, path + top_len, rest + 1);
    memcpy(path, wanted, wanted_len);
    return OSA_OK;
}

static enum osa_code on_entry(struct tar_sink *sink, const struct tar_entry *entry,
                              struct osa_error *err)
{
    struct tar_unpack *u = OSA_CONTAINER_OF(sink, struct tar_unpack, sink);
    enum osa_code code = tar_path_check(entry->path, u->path, err);
    if (code == OSA_OK)
        code = rename_top(u, u->path, err);
    if (code == OSA_OK && u->path[0] == '\0' && entry->type != TAR_DIRECTORY)
        code = osa_fail(err, OSA_INVALID_ARGUMENT, 0, "an entry that is no directory has no name");
    if (code != OSA_OK)
        return code;
    switch (entry->type) {
    case TAR_DIRECTORY:
        return make_directory(u, entry, err);
    case TAR_FILE:
        return make_file(u, entry, err);
    case TAR_SYMLINK:
        return make_symlink(u, entry, err);
    case TAR_HARD_LINK:
        code = tar_path_check(entry->link, u->target, err);
        if (code == OSA_OK)
            code = rename_top(u, u->target, err);
        return code == OSA_OK ? make_hard_link(u, err) : code;
    case TAR_CHAR_DEVICE:
    case TAR_BLOCK_DEVICE:
        return refuse(u, OSA_INVALID_ARGUMENT, "is a device, which is not unpacked", err);
    case TAR_FIFO:
        return refuse(u, OSA_INVALID_ARGUMENT, "is a named pipe, which is not unpacked", err);
    }
    return OSA_INTERNAL; /* type_of() of the reader knows no other */
}

static enum osa_code on_data(struct tar_sink *sink, const void *data, size_t len,
                             struct osa_error *err)
{
    struct tar_unpack *u = OSA_CONTAINER_OF(sink, struct tar_unpack, sink);
    int rc = osa_write_all(u->file, data, len);
    return rc == 0 ? OSA_OK : tar_fail_path(err, -rc, u->path, "cannot be written");
}

static enum osa_code on_end(struct tar_sink *sink, struct osa_error *err)
{
    struct tar_unpack *u = OSA_CONTAINER_OF(sink, struct tar_unpack, sink);
    if (u->file >= 0) {
        const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, u->file_mtime };
        if (futimens(u->file, times) < 0 || fchmod(u->file, u->file_mode) < 0)
            return tar_fail_path(err, errno, u->path, "cannot get its mode and time");
        int fd = osa_take_fd(&u->file);
        if (close(fd) < 0 && errno != EINTR) /* where network file systems tell of a full disk */
            return tar_fail_path(err, errno, u->path, "cannot be written");
    }
    u->entries++;
    return OSA_OK;
}

/* ---- the whole ---- */

struct tar_unpack *tar_unpack_new(const struct tar_unpack_options *options)
{
    struct tar_unpack *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return NULL;
    u->sink = (struct tar_sink){ .entry = on_entry, .data = on_data, .end = on_end };
    u->options = *options;
    u->file = -1;
    u->depth = 1;
    u->levels[0].fd = fcntl(options->dir_fd, F_DUPFD_CLOEXEC, 3);
    u->reader = tar_reader_new(&u->sink);
    if (u->levels[0].fd < 0 || u->reader == NULL) {
        tar_unpack_free(u);
        return NULL;
    }
    return u;
}

static void drop_half_file(struct tar_unpack *u)
{
    if (u->file < 0)
        return;
    osa_replace_fd(&u->file, -1);
    (void)unlinkat(last(u)->fd, u->file_name, 0);
}

/* Directories that are there get what they were to have, for nobody will come back for them. */
static enum osa_code leave_all(struct tar_unpack *u, struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    while (u->depth > 1) {
        struct osa_error error;
        if (leave_directory(u, &error) != OSA_OK && code == OSA_OK) {
            code = error.code;
            if (err != NULL)
                *err = error;
        }
    }
    return code;
}

static enum osa_code settle(struct tar_unpack *u, enum osa_code code, struct osa_error *err)
{
    if (code == OSA_OK || u->failure.code != OSA_OK)
        return code;
    drop_half_file(u);
    if (u->entries > 0)
        (void)osa_wrap(err, "after %" PRIu64 " entries", u->entries);
    u->failure = *err;
    return code;
}

enum osa_code tar_unpack_feed(struct tar_unpack *u, const void *data, size_t len,
                              struct osa_error *err)
{
    if (u->failure.code != OSA_OK) {
        *err = u->failure;
        return err->code;
    }
    return settle(u, tar_reader_feed(u->reader, data, len, err), err);
}

enum osa_code tar_unpack_finish(struct tar_unpack *u, struct osa_error *err)
{
    if (u->failure.code != OSA_OK) {
        *err = u->failure;
        return err->code;
    }
    enum osa_code code = tar_reader_finish(u->reader, err);
    if (code == OSA_OK)
        code = leave_all(u, err);
    return settle(u, code, err);
}

uint64_t tar_unpack_entries(const struct tar_unpack *u)
{
    return u->entries;
}

void tar_unpack_free(struct tar_unpack *u)
{
    if (u == NULL)
        return;
    drop_half_file(u);
    (void)leave_all(u, NULL);
    osa_close_fd(&u->levels[0].fd);
    tar_reader_free(u->reader);
    free(u);
}
