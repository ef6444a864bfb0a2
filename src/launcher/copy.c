// SPDX-License-Identifier: Apache-2.0
/*
 * A copier is a fork of init that confines itself as a process does (cgroups, identity, no
 * privileges, Landlock by inheritance, the filter) and only then looks at paths and archives. So
 * neither a hostile archive nor a workload that changes the tree under its feet can reach more than
 * the workload itself. It holds two descriptors: the stream (0) and its report (1).
 *
 *   phase      does                                          must not yet
 *   fork       leaves init's sockets behind                  –
 *   confine    cgroups, identity, not traceable, filter      resolve a path, read the stream
 *   copy       packs or unpacks                              –
 *   report     what went wrong, exit status 1; else 0        –
 *
 * The agent kills a copier when the other end of the stream has closed.
 */
#include "launcher/copy.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/confine.h"
#include "tar/pack.h"
#include "tar/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK_BYTES (64u << 10)

enum { STREAM_FD = 0, REPORT_FD = 1 };

struct copier {
    const struct sandbox_plan *sandbox;
    const struct copy_plan *plan;
    struct identity identity;
    int stream;         /* borrowed */
    int report;         /* borrowed */
    const int *cgroups; /* borrowed */
};

/* ---- in the child ---- */

static enum osa_code confine(const struct copier *c, struct osa_error *err)
{
    int rc = confine_join_cgroups(c->cgroups, c->plan->cgroup_fds);
    if (rc < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, -rc, "cgroup of the copier");
    if (dup2(c->stream, STREAM_FD) < 0 || dup2(c->report, REPORT_FD) < 0)
        return osa_fail(err, OSA_INTERNAL, errno, "dup2");
    rc = confine_close_from(2);
    if (rc < 0)
        return osa_fail(err, OSA_INTERNAL, -rc, "close_range");
    enum osa_code code = confine_drop(c->sandbox, &c->identity, err);
    if (code != OSA_OK)
        return code;
    /* Processes of the same user shall not trace it: their memory is not init's. */
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
        return osa_fail(err, OSA_INTERNAL, errno, "prctl");
    (void)prctl(PR_SET_NAME, "openshell-copy", 0, 0, 0);
    (void)umask(0);
    rc = confine_load_filter(c->sandbox, 0, NULL);
    return rc == 0 ? OSA_OK : osa_fail(err, OSA_FAILED_PRECONDITION, -rc, "seccomp");
}

/* The request's path is at fault, not what lies below it. */
static enum osa_code at_path(struct osa_error *err)
{
    memcpy(err->field, "path", 5);
    return err->code;
}

static enum osa_code copy_in(const char *path, uint8_t *chunk, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        (void)tar_fail_path(err, errno, path, "cannot be opened as a directory");
        return at_path(err);
    }
    const struct tar_unpack_options options = { .dir_fd = dir };
    struct tar_unpack *unpack = tar_unpack_new(&options);
    if (unpack == NULL)
        return osa_fail_errno(err, ENOMEM, "copier");
    enum osa_code code = OSA_OK;
    while (code == OSA_OK) {
        ssize_t got = read(STREAM_FD, chunk, CHUNK_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = osa_fail(err, OSA_ABORTED, errno, "the stream broke off");
        else if (got > 0)
            code = tar_unpack_feed(unpack, chunk, (size_t)got, err);
        else
            break;
    }
    if (code == OSA_OK)
        code = tar_unpack_finish(unpack, err);
    tar_unpack_free(unpack);
    return code;
}

static enum osa_code copy_out(const char *path, uint8_t *chunk, struct osa_error *err)
{
    struct tar_pack *pack;
    enum osa_code code = tar_pack_open(path, NULL, &pack, err);
    if (code != OSA_OK)
        return at_path(err);
    size_t len = 1;
    bool begun = false;
    while (code == OSA_OK && len > 0) {
        code = tar_pack_read(pack, chunk, CHUNK_BYTES, &len, err);
        begun = begun || len > 0;
        if (code != OSA_OK && !begun)
            code = at_path(err);
        if (len > 0 && osa_write_all(STREAM_FD, chunk, len) < 0)
            code = osa_fail(err, OSA_ABORTED, 0, "the stream broke off");
    }
    tar_pack_free(pack);
    return code;
}

static void run(const struct copier *c) __attribute__((noreturn));
static void run(const struct copier *c)
{
    static uint8_t chunk[CHUNK_BYTES];
    struct osa_error error = { 0 };
    const char *path = plan_text(c->plan, c->plan->path);
    int report_fd = c->report;
    enum osa_code code = confine(c, &error);
    if (code == OSA_OK) {
        report_fd = REPORT_FD;
        code = (c->plan->flags & COPY_IN) != 0 ? copy_in(path, chunk, &error)
                                               : copy_out(path, chunk, &error);
    } else if (fcntl(report_fd, F_GETFD) < 0) {
        report_fd = REPORT_FD; /* confine() got that far */
    }
    if (code == OSA_OK)
        _exit(0);
    struct copy_report report = { .code = code,
                                  .sys_errno = error.sys_errno,
                                  .at_path = error.field[0] != '\0' };
    memcpy(report.text, error.text, OSA_MIN(sizeof(report.text), sizeof(error.text)));
    (void)!write(report_fd, &report, sizeof(report));
    _exit(1);
}

/* ---- in init ---- */

static int fail(struct start_report *to, enum launch_stage stage, int sys_errno)
{
    *to = (struct start_report){ .stage = stage, .sys_errno = sys_errno };
    return -1;
}

int copy_start(const struct sandbox_plan *sandbox, const struct identity *identity,
               const struct copy_plan *plan, const struct wire_packet *packet,
               struct started *ret_started, struct start_report *ret_report)
{
    struct copier copier = { .sandbox = sandbox, .plan = plan, .identity = *identity };
    const char *user = plan_text(plan, plan->user);
    struct osa_error err;
    if (packet->fd_count != 2 + plan->cgroup_fds)
        return fail(ret_report, LAUNCH_STAGE_PROTOCOL, EBADMSG);
    copier.stream = packet->fds[0];
    copier.report = packet->fds[1];
    copier.cgroups = packet->fds + 2;
    if (user != NULL && identity_resolve(AT_FDCWD, user, NULL, 0, &copier.identity, &err) != OSA_OK)
        return start_report_error(ret_report, LAUNCH_STAGE_USER, &err);
    pid_t pid = fork();
    if (pid == 0)
        run(&copier);
    if (pid < 0)
        return fail(ret_report, LAUNCH_STAGE_FORK, errno);
    OSA_AUTO(osa_close_fd) int pidfd = osa_sys_pidfd_open(pid, 0);
    if (pidfd < 0) {
        int saved = errno;
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return fail(ret_report, LAUNCH_STAGE_FORK, saved);
    }
    *ret_started = (struct started){
        .pid = pid, .pidfd = osa_take_fd(&pidfd), .terminal = -1, .listener = -1
    };
    return 0;
}
