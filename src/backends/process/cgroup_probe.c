// SPDX-License-Identifier: Apache-2.0
/*
 * Finding where cgroups can be made, taking a place there, and removing what dead agents left.
 *
 * Each hierarchy in /proc/self/mountinfo is tried with the agent's own path in it, as
 * /proc/self/cgroup tells (cgroups(7)); what cannot be written is left out and becomes a reason.
 */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"
#include "base/id.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PATH_SIZE 1024
/* A leaf of the agent's own cgroup for the agent itself; never matches CGROUP_TOP_PREFIX. */
#define AGENT_LEAF "openshell-agent"

static const char *const controller_names[CGROUP_CONTROLLER_COUNT] = {
    [CGROUP_CPU] = "cpu",   [CGROUP_CPUACCT] = "cpuacct", [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids", [CGROUP_FREEZER] = "freezer", [CGROUP_IO] = "io",
};

struct mount {
    bool v2;
    unsigned controllers;
    char point[PATH_SIZE];
    char root[PATH_SIZE];
};

/* ---- removal ---- */

static void remove_below(int dir, const char *name, void *ctx)
{
    OSA_AUTO(osa_close_fd) int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (child < 0)
        return;
    cgroup_each_child(child, remove_below, ctx);
    (void)unlinkat(dir, name, AT_REMOVEDIR);
}

bool cgroup_remove_tree(const struct cgroup_ops *ops, int parent, const char *name, int wait_ms)
{
    for (;;) {
        OSA_AUTO(osa_close_fd) int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            return errno == ENOENT;
        if (!ops->is_empty(dir))
            (void)ops->kill(dir);
        cgroup_each_child(dir, remove_below, NULL);
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return true;
        if (wait_ms <= 0 || (errno != EBUSY && errno != ENOTEMPTY))
            return false;       /* another user's is not ours to wait for */
        (void)poll(NULL, 0, 2); /* nothing tells that a killed task has left a v1 cgroup */
        wait_ms -= 2;
    }
}

/* The lock on an agent's directory goes with the agent, however it ends. */
void cgroup_remove_if_dead(int parent, const char *name, void *ctx)
{
    if (strncmp(name, CGROUP_TOP_PREFIX, strlen(CGROUP_TOP_PREFIX)) != 0)
        return;
    OSA_AUTO(osa_close_fd) int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0)
        return;
    (void)cgroup_remove_tree(ctx, parent, name, /* wait_ms= */ 1000);
}

/* ---- parsing ---- */

/* Adds the bits of the names in @list, separated by any of @separators. */
static unsigned parse_controllers(const char *list, const char *separators)
{
    unsigned bits = 0;
    while (*list != '\0') {
        size_t len = strcspn(list, separators);
        for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
            if (strlen(controller_names[i]) == len && memcmp(controller_names[i], list, len) == 0)
                bits |= 1u << i;
        }
        list += len;
        list += strspn(list, separators);
    }
    return bits;
}

/* Octal escapes of mountinfo: \040 is a space. In place. */
static void unescape(char *text)
{
    char *put = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
            at[3] >= '0' && at[3] <= '7') {
            *put++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 3;
        } else {
            *put++ = *at;
        }
    }
    *put = '\0';
}

/* proc_pid_mountinfo(5): "31 23 0:28 ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE SUPEROPTIONS" */
static bool parse_mount(const char *line, struct mount *ret_mount)
{
    struct mount mount = { 0 };
    char type[32];
    char options[256];
    if (sscanf(line, "%*s %*s %*s %1023s %1023s", mount.root, mount.point) != 2)
        return false;
    const char *tail = strstr(line, " - ");
    if (tail == NULL || sscanf(tail, " - %31s %*s %255s", type, options) != 2)
        return false;
    unescape(mount.root);
    unescape(mount.point);
    if (strcmp(type, "cgroup2") == 0)
        mount.v2 = true;
    else if (strcmp(type, "cgroup") == 0)
        mount.controllers = parse_controllers(options, ",");
    else
        return false;
    if (!mount.v2 && mount.controllers == 0)
        return false; /* name=systemd and controllers that we do not use */
    *ret_mount = mount;
    return true;
}

/* The path in /proc/self/cgroup's line for this hierarchy, relative to the mount's root. */
static void own_path(const char *cgroups, const struct mount *mount, char ret_path[PATH_SIZE])
{
    (void)snprintf(ret_path, PATH_SIZE, "/");
    for (const char *line = cgroups; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *list = memchr(line, ':', (size_t)(end - line));
        const char *path = list == NULL ? NULL : memchr(list + 1, ':', (size_t)(end - list) - 1);
        if (path != NULL && path - list < 128) {
            char names[128];
            (void)snprintf(names, sizeof(names), "%.*s", (int)(path - list - 1), list + 1);
            bool match = mount->v2 ? names[0] == '\0'
                                   : (parse_controllers(names, ",") & mount->controllers) != 0;
            if (match)
                (void)snprintf(ret_path, PATH_SIZE, "%.*s", (int)(end - path - 1), path + 1);
        }
        line = *end == '\0' ? end : end + 1;
    }
    size_t len = strlen(mount->root);
    if (len > 1 && strncmp(ret_path, mount->root, len) == 0)
        memmove(ret_path, ret_path + len, strlen(ret_path + len) + 1);
    else if (len > 1 || strstr(ret_path, "..") != NULL)
        (void)snprintf(ret_path, PATH_SIZE, "/"); /* a foreign subtree: its root is all we see */
}

/* ---- taking a place ---- */

/* systemd marks what it has handed over: systemd docs, CGROUP_DELEGATION. */
static bool is_delegated(int dir)
{
    char mark = '0';
    return (fgetxattr(dir, "user.delegate", &mark, 1) == 1 ||
            fgetxattr(dir, "trusted.delegate", &mark, 1) == 1) &&
           mark == '1';
}

static int open_parent(const struct mount *mount, const char *own, const char *wanted)
{
    char path[2 * PATH_SIZE];
    if (wanted != NULL && wanted[0] != '\0') {
        (void)snprintf(path, sizeof(path), "%s%s", mount->point, wanted);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -errno;
    } else {
        (void)snprintf(path, sizeof(path), "%s%s", mount->point, own);
    }
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    bool at_root = own[0] == '\0' || strcmp(own, "/") == 0;
    if (mount->v2 && (wanted == NULL || wanted[0] == '\0') && !at_root && !is_delegated(dir)) {
        OSA_AUTO(osa_close_fd) int above = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (above >= 0 && is_delegated(above))
            osa_replace_fd(&dir, osa_take_fd(&above));
    }
    return dir;
}

static bool is_child_of(long pid, long parent)
{
    char path[48];
    OSA_AUTO(osa_free) char *stat = NULL;
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    if (osa_read_file(AT_FDCWD, path, 4096, &stat, NULL, NULL) != OSA_OK)
        return false;
    const char *after_name = strrchr(stat, ')'); /* the name may hold anything, ')' included */
    long ppid;
    return after_name != NULL && sscanf(after_name, ") %*c %ld", &ppid) == 1 && ppid == parent;
}

/* Moves the agent and its children, nobody else, from @parent into a leaf of it. */
static void move_into_leaf(int parent)
{
    OSA_AUTO(osa_free) char *list = NULL;
    if (osa_read_file(parent, "cgroup.procs", CGROUP_FILE_MAX, &list, NULL, NULL) != OSA_OK ||
        list[0] == '\0' || (mkdirat(parent, AGENT_LEAF, 0755) < 0 && errno != EEXIST))
        return;
    OSA_AUTO(osa_close_fd)
    int leaf = openat(parent, AGENT_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (char *at = list; leaf >= 0 && *at != '\0';) {
        long pid = strtol(at, &at, 10);
        if (pid > 0 && (pid == getpid() || is_child_of(pid, getpid())))
            (void)cgroup_write_u64(leaf, "cgroup.procs", (uint64_t)pid);
        at += strspn(at, "\n");
    }
}

/*
 * Hands the controllers that PARENT has down to the agent's top; keeps those that it got. Only the
 * root may have both controllers for children and processes. For memory the kernel insists (EBUSY);
 * for cpu and pids it would make PARENT the root of a threaded subtree, in which no child is of any
 * use. So the agent leaves first.
 */
static void enable_controllers(struct cgroup_hierarchy *h)
{
    OSA_AUTO(osa_free) char *list = NULL;
    if (osa_read_file(h->parent_fd, "cgroup.controllers", 4096, &list, NULL, NULL) != OSA_OK)
        return;
    unsigned there = parse_controllers(list, " \n");
    size_t used = 0;
    if (faccessat(h->parent_fd, "cgroup.type", F_OK, 0) == 0) /* the root has none */
        move_into_leaf(h->parent_fd);
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        if ((there & 1u << i) == 0)
            continue;
        char word[16];
        (void)snprintf(word, sizeof(word), "+%s", controller_names[i]);
        if (cgroup_write(h->parent_fd, "cgroup.subtree_control", word) < 0)
            continue;
        h->controllers |= 1u << i;
        used += (size_t)snprintf(h->enable + used, sizeof(h->enable) - used, "%s%s",
                                 used == 0 ? "" : " ", word);
    }
}

/* Between mkdir and flock another agent may take the new directory for a dead one's; then again. */
static int make_top(struct cgroup_hierarchy *h, const char *name)
{
    if (mkdirat(h->parent_fd, name, 0755) < 0)
        return -errno;
    h->top_fd = openat(h->parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->top_fd < 0)
        return errno == ENOENT ? -EAGAIN : -errno;
    if (flock(h->top_fd, LOCK_EX | LOCK_NB) < 0)
        return -EAGAIN;
    struct stat mine;
    struct stat there;
    if (fstat(h->top_fd, &mine) < 0 || fstatat(h->parent_fd, name, &there, 0) < 0 ||
        mine.st_ino != there.st_ino)
        return -EAGAIN;
    return 0;
}

static int take_place(struct cgroup_hierarchy *h, const char *name)
{
    cgroup_each_child(h->parent_fd, cgroup_remove_if_dead, (void *)h->ops);
    int rc = -EAGAIN;
    for (int attempt = 0; attempt < 10 && rc == -EAGAIN; attempt++) {
        osa_replace_fd(&h->top_fd, -1);
        rc = make_top(h, name);
    }
    if (rc < 0)
        return rc;
    if (h->v2) {
        enable_controllers(h);
        if (h->enable[0] != '\0')
            rc = cgroup_write(h->top_fd, "cgroup.subtree_control", h->enable);
    }
    if (rc < 0)
        (void)unlinkat(h->parent_fd, name, AT_REMOVEDIR);
    return rc;
}

static int join_mount(struct cgroup_tree *tree, const struct mount *mount, const char *cgroups,
                      const char *wanted)
{
    char own[PATH_SIZE];
    own_path(cgroups, mount, own);
    struct cgroup_hierarchy h = { .ops = mount->v2 ? &cgroup_v2_ops : &cgroup_v1_ops,
                                  .v2 = mount->v2,
                                  .controllers = mount->controllers,
                                  .top_fd = -1 };
    h.parent_fd = open_parent(mount, own, wanted);
    if (h.parent_fd < 0)
        return h.parent_fd;
    int rc = take_place(&h, tree->name);
    if (rc < 0) {
        osa_close_fd(&h.top_fd);
        osa_close_fd(&h.parent_fd);
        return rc;
    }
    tree->hierarchies[tree->hierarchy_count++] = h;
    return 0;
}

/* What v1 has to add to what was joined so far; v2 freezes and counts CPU time without help. */
static unsigned still_wanted(const struct cgroup_tree *tree)
{
    unsigned wanted = 1u << CGROUP_CPU | 1u << CGROUP_CPUACCT | 1u << CGROUP_MEMORY |
                      1u << CGROUP_PIDS | 1u << CGROUP_FREEZER;
    for (int i = 0; i < tree->hierarchy_count; i++) {
        wanted &= ~tree->hierarchies[i].controllers;
        if (tree->hierarchies[i].v2)
            wanted &= ~(1u << CGROUP_CPUACCT | 1u << CGROUP_FREEZER);
    }
    return wanted;
}

struct probe {
    struct cgroup_tree *tree;
    const char *mounts;
    const char *cgroups;
    const char *parent;
    int failed_errno;
    char failed_at[96];
};

/* Bind mounts show a hierarchy several times; the first that can be used is taken. */
static void join_all(struct probe *probe, bool v2)
{
    struct cgroup_tree *tree = probe->tree;
    for (const char *line = probe->mounts; *line != '\0';) {
        struct mount mount;
        bool useful =
            parse_mount(line, &mount) && mount.v2 == v2 &&
            tree->hierarchy_count < CGROUP_HIERARCHY_MAX &&
            (v2 ? tree->hierarchy_count == 0 : (mount.controllers & still_wanted(tree)) != 0);
        int rc = useful ? join_mount(tree, &mount, probe->cgroups, probe->parent) : 0;
        if (rc < 0) {
            probe->failed_errno = -rc;
            (void)snprintf(probe->failed_at, sizeof(probe->failed_at), "%.90s", mount.point);
        }
        line = strchrnul(line, '\n');
        line += *line == '\n';
    }
}

/* ---- what it comes to ---- */

static void map_controllers(struct cgroup_tree *tree)
{
    tree->life = -1;
    for (int i = 0; i < tree->hierarchy_count; i++) {
        const struct cgroup_hierarchy *h = &tree->hierarchies[i];
        for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
            if ((h->controllers & 1u << c) != 0)
                tree->of[c] = i;
        }
        if (h->v2)
            tree->life = i;
    }
    if (tree->life < 0)
        tree->life = tree->of[CGROUP_FREEZER];
    if (tree->life < 0 && tree->hierarchy_count > 0)
        tree->life = 0;
}

static void fill_caps(struct cgroup_tree *tree, int failed_errno, const char *failed_at)
{
    struct cgroup_caps *caps = &tree->caps;
    size_t used = 0;
    for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
        if (tree->of[c] >= 0)
            used += (size_t)snprintf(caps->controllers + used, sizeof(caps->controllers) - used,
                                     "%s%s", used == 0 ? "" : " ", controller_names[c]);
    }
    caps->limits = (tree->of[CGROUP_CPU] >= 0 ? (unsigned)LIMIT_CPU : 0u) |
                   (tree->of[CGROUP_MEMORY] >= 0 ? (unsigned)LIMIT_MEMORY : 0u) |
                   (tree->of[CGROUP_PIDS] >= 0 ? (unsigned)LIMIT_PIDS : 0u);
    for (int c = CGROUP_CPU; c <= CGROUP_PIDS && caps->version == 0; c++) {
        if (tree->of[c] >= 0)
            caps->version = tree->hierarchies[tree->of[c]].v2 ? 2 : 1;
    }
    if (tree->life >= 0) {
        const struct cgroup_hierarchy *life = &tree->hierarchies[tree->life];
        caps->clone_into = life->v2;
        caps->freeze = life->v2 || tree->of[CGROUP_FREEZER] >= 0;
        caps->kill = true;
    }
    caps->oom = tree->of[CGROUP_MEMORY] >= 0;
    const unsigned all = LIMIT_CPU | LIMIT_MEMORY | LIMIT_PIDS;
    if (caps->limits == all)
        return;
    const char *help = "give the agent a cgroup of its own (systemd: Delegate=yes) or name one "
                       "that it may write with --cgroup-parent";
    (void)snprintf(caps->reason, sizeof(caps->reason), "limits missing:%s%s%s (%s%s%s); %s",
                   (caps->limits & LIMIT_CPU) != 0 ? "" : " cpu",
                   (caps->limits & LIMIT_MEMORY) != 0 ? "" : " memory",
                   (caps->limits & LIMIT_PIDS) != 0 ? "" : " pids",
                   failed_errno != 0 ? failed_at : "controllers not available here",
                   failed_errno != 0 ? ": " : "",
                   failed_errno != 0 ? osa_errno_name(failed_errno) : "", help);
}

enum osa_code cgroup_probe(struct cgroup_tree *tree, const char *parent, struct osa_error *err)
{
    bool parent_set = parent != NULL && parent[0] != '\0';
    if (parent_set && (parent[0] != '/' || strstr(parent, "..") != NULL || strlen(parent) > 512))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "cgroup parent '%s' is not an absolute path without '..'", parent);
    for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
        tree->of[c] = -1;
    char id[OSA_ID_SIZE];
    osa_id_new('a', id);
    (void)snprintf(tree->name, sizeof(tree->name), "%s%s", CGROUP_TOP_PREFIX, id + 2);

    OSA_AUTO(osa_free) char *mounts = NULL;
    OSA_AUTO(osa_free) char *cgroups = NULL;
    struct probe probe = { .tree = tree, .parent = parent };
    if (osa_read_file(AT_FDCWD, "/proc/self/mountinfo", 1u << 22, &mounts, NULL, NULL) == OSA_OK &&
        osa_read_file(AT_FDCWD, "/proc/self/cgroup", 1u << 16, &cgroups, NULL, NULL) == OSA_OK) {
        probe.mounts = mounts;
        probe.cgroups = cgroups;
        join_all(&probe, /* v2= */ true);
        join_all(&probe, /* v2= */ false);
    }
    map_controllers(tree);
    fill_caps(tree, probe.failed_errno, probe.failed_at);
    if (parent_set && tree->caps.limits == 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, probe.failed_errno,
                        "cgroup parent '%s' cannot be used", parent);
    return OSA_OK;
}
