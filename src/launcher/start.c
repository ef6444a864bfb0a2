// SPDX-License-Identifier: Apache-2.0
/*
 * How a process starts.
 *
 * Init (or a keeper) prepares whatever needs memory or may be slow, then makes a child that shares
 * its memory and suspends it until the exec (CLONE_VM | CLONE_VFORK): no page tables are copied, and
 * a failure is reported by writing it into the parent's memory. From the clone on, the child calls
 * the kernel directly and touches nothing but its own stack and the report.
 *
 *   phase      does                                        needs                     must not yet
 *   prepare    user resolved, argument vectors, terminal   checked plan              –
 *   join       enters its cgroups                          cgroup files              drop privileges
 *   session    new session, controlling terminal, stdio    terminal or pipes         –
 *   close      every descriptor but 0, 1, 2 and the hand-over  stdio in place        –
 *   rlimit     limits, no core dumps                       CAP_SYS_RESOURCE to raise drop privileges
 *   privileges groups, ids, capabilities, no_new_privs     rlimits set               –
 *   cwd        working directory, as the final user        identity, all closed      –
 *   seccomp    the filter; its listener goes to the parent everything above          call what it denies
 *   exec       empty signal mask, PATH search, execve      –                         –
 *
 * Landlock is not here: init is under the rules already, and its children with it (launcher/init.c).
 */
#include "launcher/start.h"

#include "base/fd.h"
#include "launcher/confine.h"
#include "launcher/privileges.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK_BYTES (64u << 10)
/* Where the child has its end of the hand-over socket, closed by the exec. */
#define HAND_OVER_FD 3

/* All that the child needs; lives in the parent, which sleeps meanwhile. */
struct child {
    const struct sandbox_plan *sandbox;
    const struct launch_plan *plan;
    struct identity identity;
    struct osa_error error; /* of the modules */
    const char **argv;      /* owned */
    const char **envp;      /* owned */
    const char *path;       /* value of the child's PATH */
    int stdio[3];           /* borrowed */
    int terminal_slave;     /* owned; -1: pipes */
    const int *cgroups;     /* borrowed */
    int hand_over;          /* borrowed: child's end of the socket for the listener; -1: none */
    struct start_report *report;
};

/* PATH of a child whose environment has none; as execvp(3) of the C library has it. */
static const char default_path[] = "/bin:/usr/bin";

static _Alignas(64) char child_stack[CHILD_STACK_BYTES];

static struct rlimit nofile; /* of processes */

/*
 * Where a child leaves its listener: ours, the child's. One child at a time is between clone and exec,
 * so one pair serves all; whose pair it is, is said by the pid, for a keeper inherits init's.
 */
static int hand_over_ends[2] = { -1, -1 };
static pid_t hand_over_owner;

static int report(struct start_report *to, enum launch_stage stage, int sys_errno,
                  const char *detail)
{
    to->stage = stage;
    to->sys_errno = sys_errno;
    size_t len = strnlen(detail, sizeof(to->detail) - 1);
    memcpy(to->detail, detail, len);
    to->detail[len] = '\0';
    return -1;
}

int start_report_error(struct start_report *to, enum launch_stage stage,
                       const struct osa_error *err)
{
    enum launch_stage known = launch_stage_parse(err->stage);
    (void)report(to, known != LAUNCH_STAGE_NONE ? known : stage, err->sys_errno, err->text);
    to->code = err->code;
    return -1;
}

/* ---- in the child ---- */

static int join_cgroups(const struct child *child)
{
    int rc = confine_join_cgroups(child->cgroups, child->plan->cgroup_fds);
    return rc == 0 ? 0 : report(child->report, LAUNCH_STAGE_CGROUP, -rc, "");
}

/* Received descriptors are 3 or more, because 0, 1 and 2 are always open here. */
static int take_session(const struct child *child)
{
    if (setsid() < 0)
        return report(child->report, LAUNCH_STAGE_STDIO, errno, "setsid");
    bool tty = child->terminal_slave >= 0;
    if (tty && ioctl(child->terminal_slave, TIOCSCTTY, 0) < 0)
        return report(child->report, LAUNCH_STAGE_TTY, errno, "TIOCSCTTY");
    for (int i = 0; i < 3; i++) {
        if (dup2(tty ? child->terminal_slave : child->stdio[i], i) < 0)
            return report(child->report, LAUNCH_STAGE_STDIO, errno, "dup2");
    }
    return 0;
}

static int close_others(const struct child *child)
{
    int first = 3;
    if (child->hand_over >= 0) {
        if (child->hand_over != HAND_OVER_FD && dup3(child->hand_over, HAND_OVER_FD, O_CLOEXEC) < 0)
            return report(child->report, LAUNCH_STAGE_STDIO, errno, "dup3");
        first = HAND_OVER_FD + 1;
    }
    int rc = confine_close_from(first);
    return rc == 0 ? 0 : report(child->report, LAUNCH_STAGE_STDIO, -rc, "close_range");
}

static int set_rlimits(struct child *child)
{
    static_assert(sizeof(struct plan_rlimit) == sizeof(struct privileges_rlimit) &&
                      offsetof(struct plan_rlimit, soft) ==
                          offsetof(struct privileges_rlimit, soft),
                  "limits are passed on as they stand in the plan");
    size_t count = child->plan->rlimits.length / sizeof(struct plan_rlimit);
    struct osa_error *err = &child->error;
    if (setrlimit(RLIMIT_NOFILE, &nofile) < 0)
        return report(child->report, LAUNCH_STAGE_RLIMIT, errno, "nofile");
    if (privileges_set_rlimits(plan_bytes(child->plan, child->plan->rlimits), count, err) != OSA_OK)
        return start_report_error(child->report, LAUNCH_STAGE_RLIMIT, err);
    if ((child->plan->flags & LAUNCH_ALLOW_CORE) == 0 &&
        privileges_disable_core_dumps(NULL, err) != OSA_OK)
        return start_report_error(child->report, LAUNCH_STAGE_RLIMIT, err);
    return 0;
}

static int drop_privileges(struct child *child)
{
    if (confine_drop(child->sandbox, &child->identity, &child->error) != OSA_OK)
        return start_report_error(child->report, LAUNCH_STAGE_PRIVILEGES, &child->error);
    return 0;
}

/* Calls that no filter refuses: a refused one would wait for the parent, which waits for the exec. */
static int hand_listener_over(const struct child *child, int listener)
{
    char byte = 0;
    struct iovec part = { &byte, 1 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &listener, sizeof(listener));
    if (sendmsg(HAND_OVER_FD, &msg, MSG_NOSIGNAL) != 1)
        return report(child->report, LAUNCH_STAGE_SECCOMP, errno, "listener");
    return 0;
}

static int load_filter(const struct child *child)
{
    int listener = -1;
    int rc = confine_load_filter(child->sandbox, child->sandbox->seccomp_flags, &listener);
    if (rc < 0)
        return report(child->report, LAUNCH_STAGE_SECCOMP, -rc, "");
    return child->hand_over < 0 ? 0 : hand_listener_over(child, listener);
}

/*
 * execvp(3) over the child's own PATH, without its fallback to a shell for files that the kernel
 * cannot run. An EACCES on the way is kept, for it says more than the ENOENT at the end.
 */
static int run_program(const struct child *child)
{
    const char *name = child->argv[0];
    char *const *argv = (char *const *)(uintptr_t)child->argv;
    char *const *envp = (char *const *)(uintptr_t)child->envp;
    if (strchr(name, '/') != NULL || name[0] == '\0') {
        (void)execve(name, argv, envp);
        return report(child->report, LAUNCH_STAGE_EXEC, errno, name);
    }
    char candidate[4096];
    size_t name_len = strlen(name);
    int result = ENOENT;
    for (const char *at = child->path;;) {
        const char *end = strchrnul(at, ':');
        size_t dir_len = (size_t)(end - at);
        if (dir_len > 0 && dir_len + name_len + 2 <= sizeof(candidate)) {
            memcpy(candidate, at, dir_len);
            candidate[dir_len] = '/';
            memcpy(candidate + dir_len + 1, name, name_len + 1);
            (void)execve(candidate, argv, envp);
            if (errno == EACCES)
                result = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR)
                return report(child->report, LAUNCH_STAGE_EXEC, errno, candidate);
        }
        if (*end == '\0')
            return report(child->report, LAUNCH_STAGE_EXEC, result, name);
        at = end + 1;
    }
}

static int child_main(void *arg)
{
    struct child *child = arg;
    if (join_cgroups(child) < 0 || take_session(child) < 0 || close_others(child) < 0 ||
        set_rlimits(child) < 0 || drop_privileges(child) < 0)
        _exit(127);
    const char *cwd = plan_text(child->plan, child->plan->cwd);
    if (chdir(cwd) < 0) {
        (void)report(child->report, LAUNCH_STAGE_CWD, errno, cwd);
        _exit(127);
    }
    sigset_t none;
    (void)sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        (void)report(child->report, LAUNCH_STAGE_EXEC, errno, "sigprocmask");
    else if (load_filter(child) == 0)
        (void)run_program(child);
    _exit(127);
}

/* ---- in the parent ---- */

static int open_terminal(const struct launch_plan *plan, int *ret_master, int *ret_slave,
                         struct start_report *err)
{
    OSA_AUTO(osa_close_fd) int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0)
        return report(err, LAUNCH_STAGE_TTY, errno, "/dev/ptmx");
    int unlock = 0;
    struct winsize size = { .ws_row = plan->rows, .ws_col = plan->columns };
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCSWINSZ, &size) < 0)
        return report(err, LAUNCH_STAGE_TTY, errno, "terminal");
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return report(err, LAUNCH_STAGE_TTY, errno, "TIOCGPTPEER");
    *ret_master = osa_take_fd(&master);
    *ret_slave = slave;
    return 0;
}

static void free_list(const char ***list)
{
    free(*list);
}

static const char **string_list(const void *plan, struct plan_strings strings)
{
    const char **list = malloc(((size_t)strings.count + 1) * sizeof(*list));
    if (list != NULL)
        plan_string_list(plan, strings, list);
    return list;
}

/* The files of users are those of the sandbox's root, whether its policy shows them or not. */
static int resolve_user(struct child *child)
{
    const struct launch_plan *plan = child->plan;
    const char *user = plan_text(plan, plan->user);
    if (user == NULL && plan->groups_set == 0)
        return 0;
    char own[32];
    if (user == NULL) {
        (void)snprintf(own, sizeof(own), "%u:%u", child->identity.uid, child->identity.gid);
        user = own;
    }
    OSA_AUTO(free_list) const char **groups = NULL;
    if (plan->groups_set != 0) {
        groups = string_list(plan, plan->groups);
        if (groups == NULL)
            return report(child->report, LAUNCH_STAGE_FORK, ENOMEM, "");
    }
    if (identity_resolve(AT_FDCWD, user, groups, 0, &child->identity, &child->error) != OSA_OK)
        return start_report_error(child->report, LAUNCH_STAGE_USER, &child->error);
    return 0;
}

/*
 * What is private to the process becomes its user's, so that it can open it again by a path such as
 * /dev/stdout. Not /dev/null, which is the host's. Without the privilege the user is the agent's own.
 */
static void give_stdio(const struct child *child)
{
    const int fds[] = { child->stdio[0], child->stdio[1], child->stdio[2], child->terminal_slave };
    struct stat st;
    if ((child->sandbox->flags & SANDBOX_PLAN_KEEP_IDS) != 0)
        return;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(fds); i++) {
        bool private = fds[i] >= 0 && fstat(fds[i], &st) == 0 &&
                       (S_ISFIFO(st.st_mode) || fds[i] == child->terminal_slave);
        if (private)
            (void)!fchown(fds[i], child->identity.uid, child->identity.gid);
    }
}

static int prepare(struct child *child, const struct wire_packet *packet, int *ret_master)
{
    const struct launch_plan *plan = child->plan;
    bool tty = (plan->flags & LAUNCH_TTY) != 0;
    bool given = tty && (plan->flags & LAUNCH_TTY_GIVEN) != 0;
    unsigned stdio = !tty ? 3 : given ? 1 : 0;
    if (packet->fd_count != stdio + plan->cgroup_fds)
        return report(child->report, LAUNCH_STAGE_PROTOCOL, EBADMSG, "descriptors");
    for (unsigned i = 0; i < stdio && !tty; i++)
        child->stdio[i] = packet->fds[i];
    if (given) {
        child->terminal_slave = fcntl(packet->fds[0], F_DUPFD_CLOEXEC, 3);
        if (child->terminal_slave < 0)
            return report(child->report, LAUNCH_STAGE_TTY, errno, "");
    }
    child->cgroups = packet->fds + stdio;
    if (resolve_user(child) < 0)
        return -1;
    child->argv = string_list(plan, plan->argv);
    child->envp = string_list(plan, plan->env);
    if (child->argv == NULL || child->envp == NULL)
        return report(child->report, LAUNCH_STAGE_FORK, ENOMEM, "");
    child->path = default_path;
    for (const char **env = child->envp; *env != NULL; env++) {
        if (strncmp(*env, "PATH=", 5) == 0)
            child->path = *env + 5;
    }
    if (tty && !given && open_terminal(plan, ret_master, &child->terminal_slave, child->report) < 0)
        return -1;
    give_stdio(child);
    return 0;
}

static void child_done(const struct child *child)
{
    osa_close_fd(&child->terminal_slave);
    free(child->argv);
    free(child->envp);
}

static int open_hand_over(struct child *child)
{
    if ((child->sandbox->seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0 ||
        child->sandbox->seccomp.length == 0)
        return 0;
    if (hand_over_owner != getpid()) {
        osa_replace_fd(&hand_over_ends[0], -1);
        osa_replace_fd(&hand_over_ends[1], -1);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hand_over_ends) < 0) {
            hand_over_owner = 0;
            return report(child->report, LAUNCH_STAGE_FORK, errno, "socketpair");
        }
        hand_over_owner = getpid();
    }
    child->hand_over = hand_over_ends[1];
    return 0;
}

/* A child that has come to its exec has sent it. Return: -1 for who had none to send. */
static int take_listener(void)
{
    int listener = -1;
    char byte;
    struct iovec part = { &byte, 1 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    if (hand_over_ends[0] < 0 ||
        recvmsg(hand_over_ends[0], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
        return -1;
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS)
        memcpy(&listener, CMSG_DATA(cmsg), sizeof(listener));
    return listener;
}

void process_start_set_up(void)
{
    if (getrlimit(RLIMIT_NOFILE, &nofile) < 0)
        nofile = (struct rlimit){ 1024, 1024 }; /* the kernel's own default */
    const struct rlimit raised = { nofile.rlim_max, nofile.rlim_max };
    (void)setrlimit(RLIMIT_NOFILE, &raised);
}

int process_start(const struct sandbox_plan *sandbox, const struct identity *identity,
                  const struct launch_plan *plan, const struct wire_packet *packet,
                  struct started *ret_started, struct start_report *ret_report)
{
    *ret_report = (struct start_report){ 0 };
    OSA_AUTO(child_done)
    struct child child = {
        .sandbox = sandbox,
        .plan = plan,
        .identity = *identity,
        .stdio = { -1, -1, -1 },
        .terminal_slave = -1,
        .hand_over = -1,
        .report = ret_report,
    };
    OSA_AUTO(osa_close_fd) int master = -1;
    OSA_AUTO(osa_close_fd) int pidfd = -1;
    if (prepare(&child, packet, &master) < 0 || open_hand_over(&child) < 0)
        return -1;
    pid_t pid = clone(child_main, child_stack + sizeof(child_stack),
                      CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &pidfd);
    if (pid < 0)
        return report(ret_report, LAUNCH_STAGE_FORK, errno, "");
    if (ret_report->stage != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        OSA_AUTO(osa_close_fd) int unused = take_listener(); /* of an exec that failed */
        (void)unused;
        return -1;
    }
    *ret_started = (struct started){ .pid = pid,
                                     .pidfd = osa_take_fd(&pidfd),
                                     .terminal = osa_take_fd(&master),
                                     .listener = take_listener() };
    return 0;
}
