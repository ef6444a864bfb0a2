// SPDX-License-Identifier: Apache-2.0
/*
 * From a socket's number to the process that holds it.
 *
 * Everything about a process goes through the descriptor of its directory in /proc, which stays
 * bound to that process: once it is gone, every access fails, whoever has its number by then. What
 * was found is looked at twice, and counts only when both looks agree.
 */
#include "backends/process/owner_internal.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often a moving picture is looked at again. */
#define LOOKS_MAX 8
/* Processes that hold one socket; a pre-forking server has that many clients, hardly more. */
#define HOLDERS_MAX 256

/* One look: who holds the socket, in order of pids. */
struct look {
    unsigned count;
    bool too_many;
    pid_t pids[HOLDERS_MAX];
};

/* A process as it is described; what must be alike for all that share a socket. */
struct person {
    const char *exe;
    uint8_t digest[OWNER_DIGEST_SIZE];
    unsigned ancestor_count;
    const char *ancestors[OWNER_ANCESTORS_MAX + 1];
};

static int open_process(pid_t pid)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static DIR *open_list(int dirfd, const char *path)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        osa_close_fd(&fd);
    return dir;
}

static bool read_link(int dirfd, const char *name, char *ret, size_t size)
{
    ssize_t n = readlinkat(dirfd, name, ret, size - 1);
    if (n < 0 || (size_t)n >= size - 1)
        return false;
    ret[n] = '\0';
    return true;
}

static bool holds(int proc_fd, const char *socket_link)
{
    char target[64];
    bool found = false;
    DIR *dir = open_list(proc_fd, "fd");
    struct dirent *entry;
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
        found = entry->d_name[0] != '.' &&
                read_link(dirfd(dir), entry->d_name, target, sizeof(target)) &&
                strcmp(target, socket_link) == 0;
    if (dir != NULL)
        (void)closedir(dir);
    return found;
}

static int by_pid(const void *a, const void *b)
{
    const pid_t *x = a;
    const pid_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* All of /proc, for everybody in the sandbox's network namespace and nobody else can hold it. */
static bool look_around(const char *net_link, uint64_t inode, struct look *ret)
{
    char socket_link[40];
    char net[64];
    (void)snprintf(socket_link, sizeof(socket_link), "socket:[%llu]", (unsigned long long)inode);
    *ret = (struct look){ 0 };
    DIR *dir = open_list(AT_FDCWD, "/proc");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        OSA_AUTO(osa_close_fd)
        int proc_fd = openat(dirfd(dir), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0 || !read_link(proc_fd, "ns/net", net, sizeof(net)) ||
            strcmp(net, net_link) != 0 || !holds(proc_fd, socket_link))
            continue;
        if (ret->count < HOLDERS_MAX)
            ret->pids[ret->count++] = (pid_t)strtol(entry->d_name, NULL, 10);
        else
            ret->too_many = true;
    }
    if (dir == NULL)
        return false;
    (void)closedir(dir);
    qsort(ret->pids, ret->count, sizeof(ret->pids[0]), by_pid);
    return true;
}

/* Field 4 of stat; the name before it may hold anything, but ends with the last ')'. */
static pid_t parent_of(int proc_fd)
{
    char text[1024];
    OSA_AUTO(osa_close_fd) int fd = openat(proc_fd, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    int parent;
    const char *end = strrchr(text, ')');
    return end != NULL && sscanf(end, ") %*c %d", &parent) == 1 ? parent : -1;
}

/*
 * The path as the sandbox sees it. The kernel marks one whose file has no name any more; the mark is
 * taken off, unless a file of that very name exists.
 */
static const char *path_of(struct osa_arena *arena, int proc_fd)
{
    static const char mark[] = " (deleted)";
    char path[PATH_MAX];
    char inside[PATH_MAX + 8];
    struct stat st;
    if (!read_link(proc_fd, "exe", path, sizeof(path)) || path[0] != '/')
        return NULL;
    size_t len = strlen(path);
    if (len > sizeof(mark) && strcmp(path + len - sizeof(mark) + 1, mark) == 0) {
        (void)snprintf(inside, sizeof(inside), "root%s", path);
        if (fstatat(proc_fd, inside, &st, AT_SYMLINK_NOFOLLOW) < 0)
            path[len - sizeof(mark) + 1] = '\0';
    }
    return osa_arena_strdup(arena, path);
}

static bool same_executable(int proc_fd, const struct stat *other)
{
    struct stat st;
    return fstatat(proc_fd, "exe", &st, 0) == 0 && st.st_dev == other->st_dev &&
           st.st_ino == other->st_ino;
}

static enum osa_code describe_ancestors(struct trusted **trusted, struct osa_arena *arena,
                                        int proc_fd, pid_t init, const struct stat *init_exe,
                                        struct person *ret, struct osa_error *err)
{
    uint8_t digest[OWNER_DIGEST_SIZE];
    OSA_AUTO(osa_close_fd) int child = -1;
    for (;;) {
        pid_t parent = parent_of(child < 0 ? proc_fd : child);
        if (parent < 0)
            return osa_fail(err, OSA_NOT_FOUND, 0, "an ancestor has ended meanwhile");
        if (parent == init || parent <= 1)
            return OSA_OK;
        OSA_AUTO(osa_close_fd) int above = open_process(parent);
        const char *path = above < 0 ? NULL : path_of(arena, above);
        /* A keeper, which is init's helper, or what hides from us. Ancestors only ever allow. */
        if (path == NULL || (init_exe != NULL && same_executable(above, init_exe)))
            return OSA_OK;
        if (ret->ancestor_count == OWNER_ANCESTORS_MAX)
            return osa_fail(err, OSA_NOT_FOUND, 0, "more than %d ancestors", OWNER_ANCESTORS_MAX);
        enum osa_code code = owner_trust(trusted, above, path, digest, err);
        if (code != OSA_OK)
            return code;
        ret->ancestors[ret->ancestor_count++] = path;
        osa_replace_fd(&child, osa_take_fd(&above));
    }
}

static enum osa_code describe(struct trusted **trusted, struct osa_arena *arena, pid_t pid,
                              pid_t init, const struct stat *init_exe, struct person *ret,
                              struct osa_error *err)
{
    char before[PATH_MAX];
    char after[PATH_MAX];
    struct stat st;
    *ret = (struct person){ 0 };
    OSA_AUTO(osa_close_fd) int proc_fd = open_process(pid);
    if (proc_fd < 0 || fstatat(proc_fd, "exe", &st, 0) < 0 ||
        !read_link(proc_fd, "exe", before, sizeof(before)) ||
        (ret->exe = path_of(arena, proc_fd)) == NULL)
        return osa_fail(err, OSA_NOT_FOUND, errno, "process %d cannot be looked at", (int)pid);
    enum osa_code code = owner_trust(trusted, proc_fd, ret->exe, ret->digest, err);
    if (code == OSA_OK)
        code = describe_ancestors(trusted, arena, proc_fd, init, init_exe, ret, err);
    if (code != OSA_OK)
        return code;
    /* It may have called execve(2) in between. */
    if (!same_executable(proc_fd, &st) || !read_link(proc_fd, "exe", after, sizeof(after)) ||
        strcmp(before, after) != 0)
        return osa_fail(err, OSA_NOT_FOUND, 0, "process %d changes its executable", (int)pid);
    return OSA_OK;
}

static bool alike(const struct person *a, const struct person *b)
{
    bool same = strcmp(a->exe, b->exe) == 0 && a->ancestor_count == b->ancestor_count &&
                memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
    for (unsigned i = 0; same && i < a->ancestor_count; i++)
        same = strcmp(a->ancestors[i], b->ancestors[i]) == 0;
    return same;
}

static enum osa_code describe_all(struct trusted **trusted, const struct look *look, pid_t init,
                                  const struct stat *init_exe, struct owner_answer *ret,
                                  struct osa_error *err)
{
    struct person first;
    struct person other;
    enum osa_code code = describe(trusted, &ret->arena, look->pids[0], init, init_exe, &first, err);
    for (unsigned i = 1; code == OSA_OK && i < look->count; i++) {
        code = describe(trusted, &ret->arena, look->pids[i], init, init_exe, &other, err);
        if (code == OSA_OK && !alike(&first, &other))
            return osa_fail(err, OSA_PERMISSION_DENIED, 0,
                            "processes %d (%s) and %d (%s) share the connection",
                            (int)look->pids[0], first.exe, (int)look->pids[i], other.exe);
    }
    if (code != OSA_OK)
        return code;
    ret->owner.pid = look->pids[0];
    ret->owner.exe = first.exe;
    memcpy(ret->owner.digest, first.digest, sizeof(first.digest));
    memcpy(ret->ancestors, first.ancestors, sizeof(first.ancestors));
    ret->owner.ancestors = ret->ancestors;
    return OSA_OK;
}

static bool same_look(const struct look *a, const struct look *b)
{
    return a->count == b->count && memcmp(a->pids, b->pids, a->count * sizeof(a->pids[0])) == 0;
}

enum osa_code owner_search(int diag_fd, struct trusted **trusted, pid_t init,
                           const struct door_visit *visit, struct owner_answer *ret_answer,
                           struct osa_error *err)
{
    char net[64];
    struct stat init_exe;
    uint64_t inode;
    OSA_AUTO(osa_close_fd) int net_fd = ioctl(diag_fd, SIOCGSKNS);
    struct stat st;
    if (net_fd < 0 || fstat(net_fd, &st) < 0)
        return osa_fail(err, OSA_NOT_FOUND, errno, "the sandbox's network cannot be told");
    (void)snprintf(net, sizeof(net), "net:[%llu]", (unsigned long long)st.st_ino);
    OSA_AUTO(osa_close_fd) int init_fd = open_process(init);
    bool seen = init_fd >= 0 && fstatat(init_fd, "exe", &init_exe, 0) == 0; /* not by non-root */
    enum osa_code code = owner_inode(diag_fd, visit, &inode, err);
    for (unsigned i = 0; code == OSA_OK && i < LOOKS_MAX; i++) {
        struct look before;
        struct look after;
        if (!look_around(net, inode, &before) || before.count == 0)
            code = osa_fail(err, OSA_NOT_FOUND, 0, "no process holds the connection");
        else if (before.too_many)
            return osa_fail(err, OSA_PERMISSION_DENIED, 0,
                            "more than %d processes share the connection", HOLDERS_MAX);
        if (code == OSA_OK)
            code = describe_all(trusted, &before, init, seen ? &init_exe : NULL, ret_answer, err);
        if (code == OSA_DATA_LOSS || code == OSA_PERMISSION_DENIED)
            return code;
        if (code == OSA_OK && look_around(net, inode, &after) && same_look(&before, &after))
            return OSA_OK;
        osa_arena_done(&ret_answer->arena);
        code = owner_inode(diag_fd, visit, &inode, err); /* still there? look again */
    }
    return code != OSA_OK ? code
                          : osa_fail(err, OSA_NOT_FOUND, 0,
                                     "who holds the connection changes while it is looked at");
}
