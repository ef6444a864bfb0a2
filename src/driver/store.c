// SPDX-License-Identifier: Apache-2.0
/* The directories of the state: made, locked, removed. Records themselves: record.c. */
#include "base/fd.h"
#include "driver/record_internal.h"
#include "driver/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum osa_code fail(struct osa_error *err, const char *what, const char *path)
{
    int failed = errno;
    return osa_fail(err,
                    failed == ENOSPC || failed == EDQUOT ? OSA_RESOURCE_EXHAUSTED : OSA_INTERNAL,
                    failed, "'%s' cannot be %s", path, what);
}

/* ---- removal ---- */

enum osa_code store_clear(struct store *store, const char *id, struct osa_error *err)
{
    static const char *const names[] = { "token", "token.new",  "run",   "log",
                                         "log.1", "record.new", "state", "changes" };
    char path[PATH_MAX];
    enum osa_code code = OSA_OK;
    for (size_t i = 0; code == OSA_OK && i < OSA_ARRAY_LEN(names); i++) {
        store_path(store, id, names[i], path);
        code = tree_remove(path, err);
    }
    store_work_path(store, id, path);
    if (code == OSA_OK)
        code = tree_remove(path, err);
    store_socket_path(store, id, path);
    if (code == OSA_OK)
        code = tree_remove(path, err);
    (void)strncat(path, ".lock", sizeof(path) - strlen(path) - 1);
    return code == OSA_OK ? tree_remove(path, err) : code;
}

/* The directory loses its name at once, so that a crash leaves no half of a sandbox. */
enum osa_code store_remove(struct store *store, const char *id, struct osa_error *err)
{
    char path[PATH_MAX];
    char trash[PATH_MAX + 16];
    enum osa_code code = store_clear(store, id, err);
    if (code != OSA_OK)
        return code;
    store_path(store, id, "", path);
    path[strlen(path) - 1] = '\0';
    (void)snprintf(trash, sizeof(trash), "%s/sandboxes/.gone-%.128s", store->dir, id);
    if (rename(path, trash) < 0)
        return errno == ENOENT ? OSA_OK : fail(err, "removed", path);
    code = tree_remove(trash, err);
    store_path(store, "", "", path);
    return code == OSA_OK ? store_sync_dir(path, err) : code;
}

/* ---- making ---- */

static enum osa_code make_dir(const char *path, mode_t mode, struct osa_error *err)
{
    struct stat st;
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return fail(err, "made", path);
    if (lstat(path, &st) < 0)
        return fail(err, "examined", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "'%s' must be a directory of the driver's own user into which nobody else "
                        "may write",
                        path);
    return OSA_OK;
}

/* Directories named ".…" are halves of a removal. */
static enum osa_code sweep(struct store *store, struct osa_error *err)
{
    char path[PATH_MAX];
    char inside[PATH_MAX + 256];
    enum osa_code code = OSA_OK;
    store_path(store, "", "", path);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return fail(err, "read", path);
    for (struct dirent *entry; code == OSA_OK && (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, ".gone-", 6) != 0)
            continue;
        (void)snprintf(inside, sizeof(inside), "%s/sandboxes/%s", store->dir, entry->d_name);
        code = tree_remove(inside, err);
    }
    (void)closedir(dir);
    return code;
}

static enum osa_code open_dirs(struct store *store, struct osa_error *err)
{
    /* Sandboxes' users pass through DIR and DIR/work to their working directories, and see nothing. */
    const struct {
        const char *name;
        mode_t mode;
    } dirs[] = { { "", 0711 }, { "/sandboxes", 0700 }, { "/run", 0700 }, { "/work", 0711 } };
    char path[PATH_MAX];
    enum osa_code code = OSA_OK;
    for (size_t i = 0; code == OSA_OK && i < OSA_ARRAY_LEN(dirs); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", store->dir, dirs[i].name);
        code = make_dir(path, dirs[i].mode, err);
        if (code == OSA_OK && chmod(path, dirs[i].mode) < 0) /* whatever umask there was */
            code = fail(err, "given its permissions", path);
    }
    return code;
}

static enum osa_code lock(struct store *store, struct osa_error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/lock", store->dir);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_fd < 0)
        return fail(err, "opened", path);
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "state directory '%s' belongs to another driver that runs", store->dir);
    return OSA_OK;
}

enum osa_code store_open(const char *dir, struct store **ret_store, struct osa_error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return osa_fail_errno(err, ENOMEM, "state");
    *store = (struct store){ .dir = dir, .lock_fd = -1 };
    enum osa_code code = open_dirs(store, err);
    if (code == OSA_OK)
        code = lock(store, err);
    if (code == OSA_OK)
        code = sweep(store, err);
    if (code != OSA_OK) {
        store_close(store);
        return code;
    }
    *ret_store = store;
    return OSA_OK;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    osa_close_fd(&store->lock_fd);
    free(store);
}

static enum osa_code fill(struct store *store, const char *id, const struct record *record,
                          const char *token, uint32_t uid, uint32_t gid, struct osa_error *err)
{
    char path[PATH_MAX];
    store_work_path(store, id, path);
    if (mkdir(path, 0700) < 0)
        return fail(err, "made", path);
    if ((geteuid() != uid || getegid() != gid) && chown(path, uid, gid) < 0)
        return fail(err, "given to the sandbox's user", path);
    store_path(store, id, "token", path);
    enum osa_code code = store_write_file(path, token, strlen(token), /* durable= */ true, err);
    if (code == OSA_OK)
        code = store_update(store, id, record, /* durable= */ true, err);
    store_path(store, "", "", path);
    return code == OSA_OK ? store_sync_dir(path, err) : code;
}

enum osa_code store_create(struct store *store, const char *id, const struct record *record,
                           const char *token, uint32_t uid, uint32_t gid, struct osa_error *err)
{
    struct osa_error ignored = { 0 };
    char path[PATH_MAX];
    store_path(store, id, "", path);
    path[strlen(path) - 1] = '\0';
    if (mkdir(path, 0700) < 0)
        return errno == EEXIST
                   ? osa_fail(err, OSA_ALREADY_EXISTS, 0, "sandbox '%s' exists already", id)
                   : fail(err, "made", path);
    enum osa_code code = fill(store, id, record, token, uid, gid, err);
    if (code != OSA_OK && store_remove(store, id, &ignored) != OSA_OK)
        (void)osa_wrap(err, "and what was made stays until the next start");
    return code;
}
