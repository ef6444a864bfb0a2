// SPDX-License-Identifier: Apache-2.0
/*
 * Each folder on the way is opened below the one before, never through a symbolic link, and must let
 * the user pass. The last must let the user make files: one without a name where the file system has
 * such, else one that is removed again.
 */
#include "agent/gateway/validate_workspace.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBES 16

/* What only Linux has; elsewhere a folder must be readable, too, and files have names. */
#ifndef O_PATH
#define O_PATH O_RDONLY
#endif
#ifndef O_TMPFILE
#define O_TMPFILE O_DIRECTORY
#endif

struct question {
    const char *workdir;
    const char *uid;
    const char *gid;
};

static enum osa_code read_number(const char *text, const char *flag, unsigned *ret,
                                 struct osa_error *err)
{
    char *end;
    errno = 0;
    unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : ULONG_MAX;
    if (value >= UINT_MAX || errno != 0 || *end != '\0')
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s: '%s' is no number of a user or group",
                        flag, text);
    *ret = (unsigned)value;
    return OSA_OK;
}

static enum osa_code read_flags(int argc, const char *const *argv, struct question *ret,
                                struct osa_error *err)
{
    const struct {
        const char *flag;
        const char **at;
    } flags[] = { { "--workdir", &ret->workdir },
                  { "--expected-uid", &ret->uid },
                  { "--expected-gid", &ret->gid } };
    for (int i = 0; i < argc; i++) {
        size_t f = 0;
        size_t len = strcspn(argv[i], "=");
        while (f < OSA_ARRAY_LEN(flags) &&
               (strncmp(flags[f].flag, argv[i], len) != 0 || flags[f].flag[len] != '\0'))
            f++;
        if (f == OSA_ARRAY_LEN(flags))
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%s' is not known", argv[i]);
        if (argv[i][len] == '=')
            *flags[f].at = argv[i] + len + 1;
        else if (i + 1 < argc)
            *flags[f].at = argv[++i];
    }
    for (size_t f = 0; f < OSA_ARRAY_LEN(flags); f++)
        if (*flags[f].at == NULL)
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s is missing", flags[f].flag);
    return OSA_OK;
}

static enum osa_code check_identity(const struct question *question, struct osa_error *err)
{
    unsigned uid = 0;
    unsigned gid = 0;
    enum osa_code code = read_number(question->uid, "--expected-uid", &uid, err);
    if (code == OSA_OK)
        code = read_number(question->gid, "--expected-gid", &gid, err);
    if (code == OSA_OK && (geteuid() != uid || getegid() != gid))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "this runs as user %u, group %u and not as %u, %u", geteuid(), getegid(),
                        uid, gid);
    return code;
}

/* @fd: the folder so far; replaced by the next one. */
static enum osa_code enter(int *fd, const char *name, const char *so_far, struct osa_error *err)
{
    int next = openat(*fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno,
                        "'%s' is no folder that can be opened without following links", so_far);
    (void)close(*fd);
    *fd = next;
    /* An O_PATH descriptor has no access of its own: "." below it is asked for. */
    if (faccessat(next, ".", X_OK, AT_EACCESS) < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno, "the user may not pass '%s'", so_far);
    return OSA_OK;
}

static enum osa_code walk(const char *path, int *ret_fd, struct osa_error *err)
{
    char so_far[PATH_MAX];
    size_t used = 0;
    OSA_AUTO(osa_close_fd) int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return osa_fail_errno(err, errno, "/");
    if (path[0] != '/' || strlen(path) >= sizeof(so_far))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "--workdir: '%.256s' is no absolute path",
                        path);
    for (const char *at = path; *at != '\0';) {
        at += strspn(at, "/");
        size_t len = strcspn(at, "/");
        if (len == 0)
            break;
        int added = snprintf(so_far + used, sizeof(so_far) - used, "/%.*s", (int)len, at);
        enum osa_code code = len == 2 && at[0] == '.' && at[1] == '.'
                                 ? osa_fail(err, OSA_INVALID_ARGUMENT, 0, "--workdir: has '..'")
                                 : enter(&fd, so_far + used + 1, so_far, err);
        if (code != OSA_OK)
            return code;
        used += (size_t)added;
        at += len;
    }
    *ret_fd = osa_take_fd(&fd);
    return OSA_OK;
}

static bool has_no_nameless(int error)
{
    return error == EINVAL || error == EISDIR || error == EOPNOTSUPP;
}

static enum osa_code try_writing(int fd, const char *path, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int file = openat(fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (file >= 0)
        return OSA_OK;
    int failed = errno;
    for (int i = 0; i < PROBES && has_no_nameless(failed); i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), ".openshell-workdir-probe-%d-%d", (int)getpid(), i);
        file = openat(fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file >= 0 && unlinkat(fd, name, 0) == 0)
            return OSA_OK;
        if (errno != EEXIST)
            failed = errno;
    }
    return osa_fail(err, OSA_FAILED_PRECONDITION, failed, "the user cannot make files in '%s'",
                    path);
}

int validate_workspace(int argc, const char *const *argv)
{
    struct question question = { NULL, NULL, NULL };
    struct osa_error err = { 0 };
    OSA_AUTO(osa_close_fd) int fd = -1;
    if (read_flags(argc, argv, &question, &err) == OSA_OK &&
        check_identity(&question, &err) == OSA_OK && walk(question.workdir, &fd, &err) == OSA_OK &&
        try_writing(fd, question.workdir, &err) == OSA_OK)
        return 0;
    (void)fprintf(stderr, "openshell-sandbox: validate-workspace: %s\n", err.text);
    return 1;
}
