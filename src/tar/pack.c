// SPDX-License-Identifier: Apache-2.0
#include "tar/pack.h"

#include "base/fd.h"
#include "tar/links.h"
#include "tar/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_MAX (64u << 10)

struct level {
    DIR *dir;   /* owned */
    size_t len; /* of path up to here */
};

/*
 * What comes out next: the header, then the file's data, then zeros; when all three are through, the
 * next entry is looked for.
 */
struct tar_pack {
    int dir_fd;  /* borrowed, or own_dir */
    int own_dir; /* owned; -1 */
    char *item;  /* owned */
    char path[TAR_PATH_MAX + 2];
    char link[TAR_PATH_MAX + 1];
    struct level levels[TAR_DEPTH_MAX];
    unsigned depth; /* levels in use */
    bool begun;
    bool ended; /* the end mark is in header */
    struct tar_links links;
    struct osa_buf header;
    int file; /* owned; -1: none */
    uint64_t left;
    uint32_t padding;
    struct osa_error failure;
};

struct tar_pack *tar_pack_new(int dir_fd, const char *item, const char *name)
{
    struct tar_pack *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->dir_fd = dir_fd;
    p->own_dir = -1;
    p->file = -1;
    osa_buf_init(&p->header, HEADER_MAX);
    p->item = strdup(item);
    if (p->item == NULL || strlen(name) > TAR_PATH_MAX) {
        tar_pack_free(p);
        return NULL;
    }
    memcpy(p->path, name, strlen(name) + 1);
    return p;
}

void tar_pack_free(struct tar_pack *p)
{
    if (p == NULL)
        return;
    while (p->depth > 0)
        (void)closedir(p->levels[--p->depth].dir);
    osa_close_fd(&p->file);
    osa_close_fd(&p->own_dir);
    osa_buf_done(&p->header);
    tar_links_done(&p->links);
    free(p->item);
    free(p);
}

static bool is_dots(const char *name)
{
    return name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

enum osa_code tar_pack_open(const char *path, const char *name, struct tar_pack **ret,
                            struct osa_error *err)
{
    OSA_AUTO(osa_free) char *copy = strdup(path);
    OSA_AUTO(osa_free) char *item = malloc(strlen(path) + 3);
    if (copy == NULL || item == NULL)
        return osa_fail_errno(err, ENOMEM, "tar");
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    bool follow = len < strlen(path);
    char *slash = strrchr(copy, '/');
    const char *last = slash == NULL ? copy : slash + 1;
    memcpy(item, last, strlen(last) + 1);
    const char *parent = slash == NULL ? "." : slash == copy ? "/" : copy;
    if (is_dots(item)) { /* the directory itself, however it is reached */
        parent = path;
        memcpy(item, ".", 2);
    } else if (slash != NULL && slash != copy) {
        *slash = '\0';
    }
    int dir = open(parent, TAR_OPEN_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return tar_fail_path(err, errno, parent, "cannot be opened as a directory");
    struct tar_pack *p = tar_pack_new(dir, item, name != NULL ? name : item);
    if (p == NULL) {
        osa_close_fd(&dir);
        return osa_fail_errno(err, ENOMEM, "tar");
    }
    p->own_dir = dir;
    if (follow && !is_dots(item)) {
        memcpy(item + strlen(item), "/.", 3);
        free(p->item);
        p->item = OSA_TAKE(item);
    }
    *ret = p;
    return OSA_OK;
}

/* ---- one entry ---- */

static enum osa_code changed(const struct tar_pack *p, struct osa_error *err)
{
    char quoted[TAR_QUOTED_SIZE];
    return osa_fail(err, OSA_ABORTED, 0, "%s was replaced while it was packed; try again",
                    tar_quote(p->path, quoted));
}

static enum osa_code put_header(struct tar_pack *p, enum tar_type type, const struct stat *st,
                                const char *link, struct osa_error *err)
{
    const struct tar_entry entry = {
        .type = type,
        .path = p->path,
        .link = link,
        .mode = (uint32_t)st->st_mode & 07777u,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime_s = st->st_mtime,
        .size = type == TAR_FILE ? (uint64_t)st->st_size : 0,
    };
    p->left = entry.size;
    p->padding = tar_padding(entry.size);
    return tar_header_write(&entry, &p->header, err);
}

/* O_NONBLOCK, so that a pipe put in the file's place does not hold us. */
static enum osa_code add_file(struct tar_pack *p, int dir, const char *name, struct osa_error *err)
{
    struct stat st;
    OSA_AUTO(osa_close_fd)
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return tar_fail_path(err, errno, p->path, "cannot be read");
    if (!S_ISREG(st.st_mode))
        return changed(p, err);
    const char *known = st.st_nlink > 1 ? tar_links_find(&p->links, st.st_dev, st.st_ino) : NULL;
    if (known != NULL)
        return put_header(p, TAR_HARD_LINK, &st, known, err);
    if (st.st_nlink > 1)
        tar_links_add(&p->links, st.st_dev, st.st_ino, p->path);
    enum osa_code code = put_header(p, TAR_FILE, &st, "", err);
    if (code == OSA_OK && p->left > 0)
        p->file = osa_take_fd(&fd);
    return code;
}

static enum osa_code add_symlink(struct tar_pack *p, int dir, const char *name,
                                 const struct stat *st, struct osa_error *err)
{
    ssize_t len = readlinkat(dir, name, p->link, sizeof(p->link));
    if (len < 0)
        return tar_fail_path(err, errno, p->path, "cannot be read");
    if ((size_t)len == sizeof(p->link))
        return tar_fail_path(err, ENAMETOOLONG, p->path, "cannot be read");
    p->link[len] = '\0';
    return put_header(p, TAR_SYMLINK, st, p->link, err);
}

static enum osa_code add_directory(struct tar_pack *p, int dir, const char *name,
                                   struct osa_error *err)
{
    struct stat st;
    char quoted[TAR_QUOTED_SIZE];
    size_t len = strlen(p->path);
    if (p->depth == TAR_DEPTH_MAX || len >= TAR_PATH_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s lies too deep: at most %u directories",
                        tar_quote(p->path, quoted), TAR_DEPTH_MAX);
    OSA_AUTO(osa_close_fd)
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return tar_fail_path(err, errno, p->path, "cannot be read");
    DIR *opened = fdopendir(fd);
    if (opened == NULL)
        return tar_fail_path(err, errno, p->path, "cannot be read");
    (void)osa_take_fd(&fd);
    p->levels[p->depth++] = (struct level){ .dir = opened, .len = len };
    p->path[len] = '/'; /* as archives have it */
    p->path[len + 1] = '\0';
    enum osa_code code = put_header(p, TAR_DIRECTORY, &st, "", err);
    p->path[len] = '\0';
    return code;
}

static const char *kind_of(mode_t mode)
{
    return S_ISSOCK(mode)                   ? "is a socket, which is not packed"
           : S_ISFIFO(mode)                 ? "is a named pipe, which is not packed"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "is a device, which is not packed"
                                            : "is of a kind that is not packed";
}

/* @optional: it was listed; that it is gone meanwhile is fine. */
static enum osa_code add(struct tar_pack *p, int dir, const char *name, bool optional,
                         struct osa_error *err)
{
    struct stat st;
    char quoted[TAR_QUOTED_SIZE];
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && optional ? OSA_OK
                                           : tar_fail_path(err, errno, p->path, "cannot be read");
    if (S_ISREG(st.st_mode))
        return add_file(p, dir, name, err);
    if (S_ISDIR(st.st_mode))
        return add_directory(p, dir, name, err);
    if (S_ISLNK(st.st_mode))
        return add_symlink(p, dir, name, &st, err);
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "%s %s", tar_quote(p->path, quoted),
                    kind_of(st.st_mode));
}

/* ---- the walk ---- */

static enum osa_code add_next(struct tar_pack *p, struct osa_error *err)
{
    static const uint8_t end_mark[2 * TAR_BLOCK];
    if (!p->begun) {
        p->begun = true;
        return add(p, p->dir_fd, p->item, /* optional= */ false, err);
    }
    if (p->depth == 0) {
        p->ended = true;
        return osa_buf_add(&p->header, end_mark, sizeof(end_mark))
                   ? OSA_OK
                   : osa_fail_errno(err, ENOMEM, "tar");
    }
    struct level *level = &p->levels[p->depth - 1];
    p->path[level->len] = '\0';
    errno = 0;
    const struct dirent *entry = readdir(level->dir);
    if (entry == NULL && errno != 0)
        return tar_fail_path(err, errno, p->path, "cannot be read");
    if (entry == NULL) {
        (void)closedir(level->dir);
        p->depth--;
        return OSA_OK;
    }
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return OSA_OK;
    size_t len = strlen(entry->d_name);
    if (level->len + 1 + len > TAR_PATH_MAX)
        return tar_fail_path(err, ENAMETOOLONG, p->path,
                             "holds a name that makes the path too long");
    p->path[level->len] = '/';
    memcpy(p->path + level->len + 1, entry->d_name, len + 1);
    return add(p, dirfd(level->dir), entry->d_name, /* optional= */ true, err);
}

/* Data of the file, then zeros. *ret_len: bytes put at @data, at least 1. */
static enum osa_code read_file(struct tar_pack *p, uint8_t *data, size_t size, size_t *ret_len,
                               struct osa_error *err)
{
    char quoted[TAR_QUOTED_SIZE];
    if (p->left == 0) {
        *ret_len = OSA_MIN(size, (size_t)p->padding);
        memset(data, 0, *ret_len);
        p->padding -= (uint32_t)*ret_len;
        return OSA_OK;
    }
    ssize_t got;
    do
        got = read(p->file, data, (size_t)OSA_MIN((uint64_t)size, p->left));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return tar_fail_path(err, errno, p->path, "cannot be read");
    if (got == 0)
        return osa_fail(err, OSA_ABORTED, 0,
                        "%s became %" PRIu64 " bytes shorter while it was packed; try again",
                        tar_quote(p->path, quoted), p->left);
    p->left -= (uint64_t)got;
    if (p->left == 0)
        osa_replace_fd(&p->file, -1);
    *ret_len = (size_t)got;
    return OSA_OK;
}

enum osa_code tar_pack_read(struct tar_pack *p, void *data, size_t size, size_t *ret_len,
                            struct osa_error *err)
{
    uint8_t *at = data;
    size_t used = 0;
    enum osa_code code = p->failure.code;
    if (code != OSA_OK)
        *err = p->failure;
    while (code == OSA_OK && used < size) {
        size_t step = 0;
        if (p->header.len > 0) {
            step = OSA_MIN(size - used, p->header.len);
            memcpy(at + used, p->header.data, step);
            osa_buf_consume(&p->header, step);
        } else if (p->left > 0 || p->padding > 0) {
            code = read_file(p, at + used, size - used, &step, err);
        } else if (!p->ended) {
            code = add_next(p, err);
        } else {
            break;
        }
        used += step;
    }
    if (code != OSA_OK)
        p->failure = *err;
    *ret_len = used;
    return code;
}
