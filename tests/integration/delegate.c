// SPDX-License-Identifier: Apache-2.0
#include "integration/delegate.h"

#include "base/fd.h"
#include "base/macros.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNT "/sys/fs/cgroup"

/* Places that a host may have; "" is v2 alone, "unified" is v2 beside v1. */
static const char *const hierarchies[] = { "",         "unified/",     "cpu/",
                                           "cpuacct/", "cpu,cpuacct/", "memory/",
                                           "pids/",    "freezer/" };

static char name[64];

static void path_of(char *ret, size_t size, const char *hierarchy, const char *file)
{
    (void)snprintf(ret, size, MOUNT "/%s%s%s%s", hierarchy, name, file[0] == '\0' ? "" : "/", file);
}

static bool is_hierarchy(const char *hierarchy)
{
    char path[256];
    struct stat st;
    (void)snprintf(path, sizeof(path), MOUNT "/%scgroup.procs", hierarchy);
    return stat(path, &st) == 0;
}

/* What systemd gives away: the directory and the files that move processes and hand controllers on. */
static bool make(const char *hierarchy, uid_t uid)
{
    static const char *const files[] = { "cgroup.procs", "cgroup.subtree_control", "cgroup.threads",
                                         "tasks" };
    char path[256];
    if (hierarchy[0] == '\0')
        (void)osa_write_file(AT_FDCWD, MOUNT "/cgroup.subtree_control", "+cpu +memory +pids");
    path_of(path, sizeof(path), hierarchy, "");
    if (mkdir(path, 0755) < 0 || chown(path, uid, uid) < 0)
        return false;
    for (size_t i = 0; i < OSA_ARRAY_LEN(files); i++) {
        path_of(path, sizeof(path), hierarchy, files[i]);
        if (chown(path, uid, uid) < 0 && errno != ENOENT)
            return false;
    }
    return true;
}

static bool join(const char *hierarchy)
{
    char path[256];
    path_of(path, sizeof(path), hierarchy, "cgroup.procs");
    return osa_write_file(AT_FDCWD, path, "0") == 0;
}

/* Killed members leave by and by; what the child has made below is gone already, or a failure. */
static bool remove_one(const char *hierarchy)
{
    char path[256];
    /* The leaf that an agent of v2 makes for itself. */
    path_of(path, sizeof(path), hierarchy, "openshell-agent");
    for (int i = 0; i < 500 && rmdir(path) < 0 && errno == EBUSY; i++)
        (void)poll(NULL, 0, 10);
    path_of(path, sizeof(path), hierarchy, "");
    for (int i = 0; i < 500 && rmdir(path) < 0; i++) {
        if (errno != EBUSY && errno != ENOTEMPTY)
            return false;
        (void)poll(NULL, 0, 10);
    }
    return access(path, F_OK) < 0;
}

int delegate_run(uid_t uid, int (*run)(int argc, char **argv), int argc, char **argv)
{
    unsigned made = 0;
    bool good = true;
    (void)snprintf(name, sizeof(name), "osa-delegated-%d", (int)getpid());
    for (size_t i = 0; i < OSA_ARRAY_LEN(hierarchies) && good; i++) {
        if (is_hierarchy(hierarchies[i])) {
            good = make(hierarchies[i], uid);
            made++;
        }
    }
    if (geteuid() != 0 || made == 0) {
        (void)printf("skipped: no root, or no cgroups below " MOUNT "\n");
        return 77;
    }
    pid_t pid = good ? fork() : -1;
    if (pid == 0) {
        for (size_t i = 0; i < OSA_ARRAY_LEN(hierarchies); i++)
            good = good && (!is_hierarchy(hierarchies[i]) || join(hierarchies[i]));
        int status = good ? run(argc, argv) : 1;
        (void)fflush(NULL);
        _exit(status);
    }
    int status = 1;
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    for (size_t i = 0; i < OSA_ARRAY_LEN(hierarchies); i++) {
        if (is_hierarchy(hierarchies[i]) && !remove_one(hierarchies[i])) {
            (void)printf("left behind: %s%s\n", hierarchies[i], name);
            status = 1;
        }
    }
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
