// SPDX-License-Identifier: Apache-2.0
#include "launcher/rehearsal.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/confine.h"
#include "launcher/mounts.h"
#include "launcher/namespaces.h"
#include "launcher/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(struct start_report *report, enum launch_stage stage, int sys_errno,
                const char *detail)
{
    *report = (struct start_report){ .stage = stage, .sys_errno = sys_errno };
    (void)snprintf(report->detail, sizeof(report->detail), "%s", detail);
    return -1;
}

/* ---- in the child; each returns 0, or -1 with the report filled ---- */

static int enter_namespaces(uint32_t namespaces, uid_t uid, gid_t gid, struct start_report *report)
{
    struct osa_error err;
    int rc = (namespaces & PLAN_NS_USER) != 0 ? namespace_map_self(uid, gid) : 0;
    if (rc < 0)
        return fail(report, LAUNCH_STAGE_NAMESPACE, -rc, "uid_map");
    if ((namespaces & PLAN_NS_UTS) != 0 && privileges_set_hostname("rehearsal", &err) != OSA_OK)
        return start_report_error(report, LAUNCH_STAGE_NAMESPACE, &err);
    rc = (namespaces & PLAN_NS_NET) != 0 ? namespace_raise_loopback() : 0;
    if (rc < 0)
        return fail(report, LAUNCH_STAGE_NETWORK, -rc, "lo");
    if (privileges_new_session_keyring(&err) != OSA_OK)
        return start_report_error(report, LAUNCH_STAGE_KEYRING, &err);
    return 0;
}

static int build_root(uint32_t namespaces, const struct identity *identity,
                      struct start_report *report)
{
    static const struct mounts_path shown[] = { { .path = "/usr" } };
    const struct mounts_spec spec = { .root = "",
                                      .root_fd = -1,
                                      .paths = shown,
                                      .path_count = OSA_ARRAY_LEN(shown),
                                      .owner_uid = identity->uid,
                                      .owner_gid = identity->gid,
                                      .own_pid_namespace = (namespaces & PLAN_NS_PID) != 0,
                                      .own_net_namespace = (namespaces & PLAN_NS_NET) != 0 };
    struct mounts_report built;
    struct osa_error err;
    if ((namespaces & PLAN_NS_MNT) != 0 && mounts_enter(&spec, &built, &err) != OSA_OK)
        return start_report_error(report, LAUNCH_STAGE_MOUNT, &err);
    return 0;
}

/* A kernel without Landlock is no failure: the plan of a sandbox decides what that means. */
static int apply_landlock(struct start_report *report)
{
    const struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(report, LAUNCH_STAGE_PRIVILEGES, errno, "no_new_privs");
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) <= 0)
        return 0;
    OSA_AUTO(osa_close_fd)
    int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return fail(report, LAUNCH_STAGE_LANDLOCK, errno, "");
    return 0;
}

static int confine(const struct identity *identity, struct start_report *report)
{
    const struct sandbox_plan plan = { .flags = geteuid() != 0 ? SANDBOX_PLAN_KEEP_IDS : 0u };
    struct osa_error err;
    if (privileges_disable_core_dumps(NULL, &err) != OSA_OK)
        return start_report_error(report, LAUNCH_STAGE_RLIMIT, &err);
    if (confine_drop(&plan, identity, &err) != OSA_OK)
        return start_report_error(report, LAUNCH_STAGE_PRIVILEGES, &err);
    return 0;
}

/* Whose set-up needs privileges is to keep none for an exec to give back, no_new_privs or not. */
static int empty_bounding_set(struct start_report *report)
{
    int rc = privileges_empty_bounding_set();
    return rc == 0 ? 0 : fail(report, LAUNCH_STAGE_CAPABILITIES, -rc, "bounding set");
}

/* As init, and then as a process of it. */
static void play(uint32_t namespaces, uid_t uid, gid_t gid, struct start_report *report)
{
    struct identity identity;
    struct osa_error err;
    if (enter_namespaces(namespaces, uid, gid, report) < 0)
        return;
    if (identity_default(AT_FDCWD, 0, &identity, &err) != OSA_OK)
        (void)start_report_error(report, LAUNCH_STAGE_USER, &err);
    else if (build_root(namespaces, &identity, report) == 0 &&
             (namespaces == 0 || empty_bounding_set(report) == 0) && apply_landlock(report) == 0)
        (void)confine(&identity, report);
}

/* ---- in the launcher ---- */

bool rehearse(uint32_t namespaces, struct start_report *ret_why)
{
    int fds[2];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    *ret_why = (struct start_report){ .stage = LAUNCH_STAGE_FORK };
    if (pipe2(fds, O_CLOEXEC) < 0) {
        ret_why->sys_errno = errno;
        return false;
    }
    int flags = namespace_clone_flags(namespaces);
    pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0) {
        struct start_report report = { 0 };
        play(namespaces, uid, gid, &report);
        (void)!write(fds[1], &report, sizeof(report));
        _exit(0);
    }
    int saved = errno;
    (void)close(fds[1]);
    if (pid < 0)
        (void)fail(ret_why, flags == 0 ? LAUNCH_STAGE_FORK : LAUNCH_STAGE_NAMESPACE, saved, "");
    else if (osa_read_full(fds[0], ret_why, sizeof(*ret_why)) != (ssize_t)sizeof(*ret_why))
        (void)fail(ret_why, LAUNCH_STAGE_FORK, EIO, "the rehearsal of a sandbox ended early");
    else if (ret_why->stage == LAUNCH_STAGE_NONE && kill(pid, SIGKILL) < 0) /* ended, not reaped */
        (void)fail(ret_why, LAUNCH_STAGE_PRIVILEGES, errno,
                   "signals to another user; give the agent CAP_KILL");
    (void)close(fds[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return ret_why->stage == LAUNCH_STAGE_NONE;
}
