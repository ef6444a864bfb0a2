// SPDX-License-Identifier: Apache-2.0
/*
 * copy-self: how a pod's init container, made of nothing but this program, puts it into a volume from
 * which an unchanged image starts it.
 */
#include "agent/service/commands.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_NAME "openshell-agent"

/* Every folder above @path; those that are there stay as they are. */
static enum osa_code make_parents(const char *path, struct osa_error *err)
{
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
            return osa_fail(err, OSA_FAILED_PRECONDITION, errno, "%s", folder);
        *slash = '/';
    }
    return OSA_OK;
}

static enum osa_code copy(int from, int to, struct osa_error *err)
{
    for (;;) {
        char chunk[65536];
        ssize_t len = read(from, chunk, sizeof(chunk));
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return osa_fail_errno(err, errno, "/proc/self/exe");
        if (len == 0)
            return OSA_OK;
        int failed = osa_write_all(to, chunk, (size_t)len);
        if (failed < 0)
            return osa_fail_errno(err, -failed, "write");
    }
}

/* Under another name first: whoever starts @path meanwhile gets the old program or the new, whole. */
static enum osa_code copy_self(const char *path, struct osa_error *err)
{
    char fresh[PATH_MAX];
    enum osa_code code = make_parents(path, err);
    if (code != OSA_OK)
        return code;
    if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "the path is too long");
    OSA_AUTO(osa_close_fd) int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return osa_fail_errno(err, errno, "/proc/self/exe");
    (void)unlink(fresh); /* left by one that was killed */
    OSA_AUTO(osa_close_fd) int to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (to < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno, "%s", fresh);
    code = copy(from, to, err);
    if (code == OSA_OK && (fchmod(to, 0755) < 0 || fsync(to) < 0 || rename(fresh, path) < 0))
        code = osa_fail_errno(err, errno, "%s", path);
    if (code != OSA_OK)
        (void)unlink(fresh);
    return code;
}

int commands_copy_self(int argc, const char *const *argv)
{
    char path[PATH_MAX];
    struct stat st;
    struct osa_error err = { 0 };
    if (argc != 1 || argv[0][0] == '\0')
        return commands_usage("copy-self without one destination");
    bool folder = stat(argv[0], &st) == 0 && S_ISDIR(st.st_mode);
    if (snprintf(path, sizeof(path), "%s%s", argv[0], folder ? "/" OWN_NAME : "") >=
        (int)sizeof(path)) {
        (void)fprintf(stderr, OWN_NAME ": copy-self: the path is too long\n");
        return 1;
    }
    if (copy_self(path, &err) == OSA_OK)
        return 0;
    (void)fprintf(stderr, OWN_NAME ": copy-self: %s\n", err.text);
    return 1;
}
