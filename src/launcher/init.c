// SPDX-License-Identifier: Apache-2.0
/*
 * A sandbox's init: parent of its processes, reaper of its orphans, pid 1 where it has a pid
 * namespace and a subreaper where not.
 *
 * Set-up, in order; a step that fails ends init after a FAILED with the step's name:
 *   1. death signal and subreaper, so that nothing outlives the chain agent – zygote – init;
 *   2. the user namespace's maps and the host name, while init may still change them;
 *   3. the root file system, once ids are mapped and while paths of the host are still in reach;
 *   4. no_new_privs, then Landlock: processes inherit one domain, so that those of a sandbox may
 *      signal each other while none reaches out. Nothing is mounted from here on;
 *   5. READY.
 * From then on init serves SPAWN, GROUP_SIGNAL, KILL_ALL, CONNECT and COPY, answers calls that
 * filters refuse, and reaps. A child that init did not
 * make is an orphan of the direct process's tree; keepers (launcher/children.h) hold the others'.
 * A keeper that dies by a signal was killed by the workload it watches: init gives up, and its
 * ending ends the sandbox.
 */
#include "launcher/init.h"

#include "base/fd.h"
#include "launcher/children.h"
#include "launcher/copy.h"
#include "launcher/landlock.h"
#include "launcher/listeners.h"
#include "launcher/mounts_plan.h"
#include "launcher/namespaces.h"
#include "launcher/pid_table.h"
#include "launcher/privileges.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum child_tag { CHILD_PROCESS, CHILD_KEEPER, CHILD_COPIER };

struct init {
    int sock;    /* owned */
    int signals; /* owned: signalfd of SIGCHLD and SIGTERM */
    struct listeners listeners;
    bool is_pid_1;
    pid_t zygote; /* 0 with a pid namespace: outside of it */
    uid_t uid;    /* the agent's, outside */
    gid_t gid;
    struct identity identity; /* of processes that name no user */
    const struct sandbox_plan *plan;
    struct wire_buffer *buffer;
    struct pid_table children;
    int network[NETWORK_FD_COUNT]; /* owned until READY; -1: not there */
    bool kill_all;                 /* a KILL_ALL waits for its DONE */
    uint64_t kill_key;
};

static void fail(int sock, enum launch_stage stage, int sys_errno, const char *detail)
    __attribute__((noreturn));
static void fail(int sock, enum launch_stage stage, int sys_errno, const char *detail)
{
    struct start_report report = { .stage = stage, .sys_errno = sys_errno };
    (void)strncpy(report.detail, detail, sizeof(report.detail) - 1);
    report_failed(sock, 0, &report);
    _exit(0);
}

/* Without a pid namespace the orphans of a killed init go to the zygote, which kills them. */
static void end(const struct init *init, int status) __attribute__((noreturn));
static void end(const struct init *init, int status)
{
    for (size_t i = 0; i < init->children.size; i++) {
        if (init->children.slots[i].pid != 0)
            (void)kill(init->children.slots[i].pid, SIGKILL);
    }
    _exit(status);
}

static void fail_with(int sock, enum launch_stage stage, const struct osa_error *err)
    __attribute__((noreturn));
static void fail_with(int sock, enum launch_stage stage, const struct osa_error *err)
{
    struct start_report report;
    (void)start_report_error(&report, stage, err);
    report_failed(sock, 0, &report);
    _exit(0);
}

static void watch_signals(struct init *init)
{
    if (prctl(PR_SET_PDEATHSIG, init->is_pid_1 ? SIGKILL : SIGTERM, 0, 0, 0) < 0 ||
        (!init->is_pid_1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0))
        fail(init->sock, LAUNCH_STAGE_FORK, errno, "prctl");
    (void)prctl(PR_SET_NAME, "openshell-init", 0, 0, 0);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    init->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (init->signals < 0)
        fail(init->sock, LAUNCH_STAGE_FORK, errno, "signalfd");
    if (!listeners_open(&init->listeners))
        fail(init->sock, LAUNCH_STAGE_FORK, errno, "epoll");
}

/*
 * A user namespace made without privilege holds one user, the agent's, under its own number. The
 * maps are files of /proc/self, which belong to root unless their process is dumpable.
 */
static void enter_namespaces(struct init *init)
{
    const struct sandbox_plan *plan = init->plan;
    struct osa_error err;
    if ((plan->namespaces & PLAN_NS_USER) != 0) {
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        int rc = namespace_map_self(init->uid, init->gid);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (rc < 0)
            fail(init->sock, LAUNCH_STAGE_NAMESPACE, -rc, "uid_map");
    }
    if (plan->hostname.length > 0 &&
        privileges_set_hostname(plan_text(plan, plan->hostname), &err) != OSA_OK)
        fail_with(init->sock, LAUNCH_STAGE_NAMESPACE, &err);
    if ((plan->namespaces & PLAN_NS_NET) != 0) {
        int rc = namespace_raise_loopback();
        if (rc < 0)
            fail(init->sock, LAUNCH_STAGE_NETWORK, -rc, "lo");
        (void)namespace_open_network(init->network); /* without them nothing is reported */
        if (plan->proxy_port != 0)
            rc = namespace_open_proxy((uint16_t)plan->proxy_port, init->network);
        if (rc == 0 && plan->names_port != 0)
            rc = namespace_open_names((uint16_t)plan->names_port, (uint16_t)plan->tcp_port,
                                      init->network);
        if (rc < 0)
            fail(init->sock, LAUNCH_STAGE_NETWORK, -rc, "the proxy's listeners");
        if ((plan->flags & SANDBOX_PLAN_SHOW_NET) != 0)
            init->network[NETWORK_FD_NS] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    }
    if (privileges_new_session_keyring(&err) != OSA_OK)
        fail_with(init->sock, LAUNCH_STAGE_KEYRING, &err);
}

/* Before the new root hides the files that say who it is, if the policy leaves them out. */
static void resolve_user(struct init *init, int root_fd)
{
    struct osa_error err;
    const char *user = plan_text(init->plan, init->plan->user);
    enum osa_code code = user == NULL
                             ? identity_default(root_fd, 0, &init->identity, &err)
                             : identity_resolve(root_fd, user, NULL, 0, &init->identity, &err);
    if (code != OSA_OK)
        fail_with(init->sock, LAUNCH_STAGE_USER, &err);
    identity_keep_files(root_fd);
}

static void build_root(struct init *init, struct launcher_ready *ready)
{
    static struct mounts_plan mounts;
    const struct sandbox_plan *plan = init->plan;
    struct mounts_report report;
    struct osa_error err;
    if (plan->rootfs.length == 0) {
        resolve_user(init, AT_FDCWD);
        return;
    }
    if (!mounts_plan_parse(plan_bytes(plan, plan->rootfs), plan->rootfs.length, &mounts))
        fail(init->sock, LAUNCH_STAGE_PROTOCOL, EBADMSG, "mounts");
    OSA_AUTO(osa_close_fd) int root = -1;
    if (mounts.spec.root[0] != '\0') {
        root = open(mounts.spec.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            fail(init->sock, LAUNCH_STAGE_MOUNT, errno, mounts.spec.root);
    }
    resolve_user(init, root < 0 ? AT_FDCWD : root);
    mounts.spec.root_fd = root;
    mounts.spec.owner_uid = init->identity.uid;
    mounts.spec.owner_gid = init->identity.gid;
    if (mounts_enter(&mounts.spec, &report, &err) != OSA_OK)
        fail_with(init->sock, LAUNCH_STAGE_MOUNT, &err);
    ready->mounts_missing = report.missing;
}

static void apply_landlock(const struct init *init, struct launcher_ready *ready)
{
    const struct sandbox_plan *plan = init->plan;
    if (plan->landlock.length == 0)
        return;
    const struct landlock_plan *rules =
        landlock_plan_check(plan_bytes(plan, plan->landlock), plan->landlock.length);
    if (rules == NULL)
        fail(init->sock, LAUNCH_STAGE_PROTOCOL, EBADMSG, "landlock");
    struct landlock_report report = { 0 };
    OSA_AUTO(osa_close_fd) int ruleset = -1;
    int rc = landlock_prepare(rules, &ruleset, &report);
    if (rc == 0)
        rc = landlock_enforce(rules, ruleset);
    if (rc < 0) {
        struct osa_error err;
        (void)landlock_failure(rules, &report, -rc, &err);
        fail_with(init->sock, LAUNCH_STAGE_LANDLOCK, &err);
    }
    ready->landlock_applied = report.applied;
    ready->landlock_skipped = report.skipped;
}

static void set_up(struct init *init)
{
    struct launcher_ready ready = { 0 };
    watch_signals(init);
    memset(init->network, 0xff, sizeof(init->network)); /* all -1 */
    enter_namespaces(init);
    build_root(init, &ready);
    if ((init->plan->flags & SANDBOX_PLAN_NO_NEW_PRIVS) != 0 &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(init->sock, LAUNCH_STAGE_PRIVILEGES, errno, "no_new_privs");
    (void)
        privileges_empty_bounding_set(); /* init runs no program, so that it loses nothing by it */
    apply_landlock(init, &ready);
    struct launcher_message head = { .type = LAUNCHER_READY };
    int fds[NETWORK_FD_COUNT];
    unsigned count = 0;
    for (unsigned i = 0; i < NETWORK_FD_COUNT; i++) {
        if (init->network[i] < 0)
            continue;
        ready.network_fds |= 1u << i;
        fds[count++] = init->network[i];
    }
    if (wire_send(init->sock, &head, &ready, sizeof(ready), fds, count, 0) < 0)
        _exit(0);
    for (unsigned i = 0; i < NETWORK_FD_COUNT; i++)
        osa_replace_fd(&init->network[i], -1);
}

static void spawn_with_keeper(struct init *init, struct wire_packet *packet,
                              const struct launch_plan *plan)
{
    struct start_report report = { .stage = LAUNCH_STAGE_FORK };
    uint64_t key = packet->head.key;
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(init->signals);
        listeners_forget(&init->listeners);
        keeper_run(init->sock, key, init->plan, &init->identity, plan, packet, self);
    }
    if (pid < 0) {
        report.sys_errno = errno;
        report_failed(init->sock, key, &report);
        return;
    }
    pid_table_put(&init->children,
                  (struct pid_entry){ .pid = pid, .tag = CHILD_KEEPER, .key = key });
}

static void spawn_directly(struct init *init, struct wire_packet *packet,
                           const struct launch_plan *plan)
{
    struct started started;
    struct start_report report;
    uint64_t key = packet->head.key;
    if (process_start(init->plan, &init->identity, plan, packet, &started, &report) < 0) {
        report_failed(init->sock, key, &report);
        return;
    }
    pid_table_put(&init->children,
                  (struct pid_entry){ .pid = started.pid, .tag = CHILD_PROCESS, .key = key });
    listeners_add(&init->listeners, started.listener, key);
    report_started(init->sock, key, &started, /* keeper_pidfd= */ -1);
}

static void handle_spawn(struct init *init, struct wire_packet *packet)
{
    const struct launch_plan *plan = launch_plan_check(packet->body, packet->head.length);
    struct start_report report = { .stage = LAUNCH_STAGE_PROTOCOL, .sys_errno = EBADMSG };
    if (plan == NULL) {
        report_failed(init->sock, packet->head.key, &report);
        return;
    }
    if (!pid_table_reserve(&init->children)) {
        report = (struct start_report){ .stage = LAUNCH_STAGE_FORK, .sys_errno = ENOMEM };
        report_failed(init->sock, packet->head.key, &report);
        return;
    }
    if ((plan->flags & LAUNCH_KEEPER) != 0)
        spawn_with_keeper(init, packet, plan);
    else
        spawn_directly(init, packet, plan);
}

/*
 * For kernels whose pidfds do not reach groups. The leader is not reaped yet when it is found here,
 * so that its number, which is the group's, cannot be another's.
 */
static void handle_group_signal(const struct init *init, const struct wire_packet *packet)
{
    if (packet->head.length != sizeof(struct launcher_signal))
        return;
    const struct launcher_signal *body = packet->body;
    for (size_t i = 0; i < init->children.size; i++) {
        const struct pid_entry *entry = &init->children.slots[i];
        if (entry->pid != 0 && entry->tag == CHILD_PROCESS && entry->key == packet->head.key)
            (void)kill(-entry->pid, body->signo);
    }
}

static void send_done(const struct init *init, uint64_t key, int sys_errno)
{
    struct launcher_message head = { .type = LAUNCHER_DONE, .key = key, .sys_errno = sys_errno };
    (void)wire_send(init->sock, &head, NULL, 0, NULL, 0, 0);
}

/*
 * Somebody starts while a tree is dying: "nobody is left" would not come before the newcomer's end. The
 * agent then looks itself for what is left of the tree.
 */
static void give_kill_up(struct init *init)
{
    if (!init->kill_all)
        return;
    init->kill_all = false;
    send_done(init, init->kill_key, EBUSY);
}

/*
 * kill(-1) reaches all of the namespace but pid 1 in one go: no fork slips through, kill(2). But not
 * where keepers stand for other trees, or copiers are at work.
 */
static void handle_kill_all(struct init *init, const struct wire_packet *packet)
{
    for (size_t i = 0; i < init->children.size; i++) {
        const struct pid_entry *entry = &init->children.slots[i];
        if (entry->pid != 0 && entry->tag != CHILD_PROCESS) {
            send_done(init, packet->head.key, EBUSY);
            return;
        }
    }
    if (init->is_pid_1)
        (void)kill(-1, SIGKILL);
    init->kill_all = true;
    init->kill_key = packet->head.key;
}

/* Init stands in the sandbox's network and outside of the processes' filter. */
static int begin_connect(const struct launcher_connect *to)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(to->port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(to->port) };
    memcpy(&v4.sin_addr, to->address, sizeof(v4.sin_addr));
    memcpy(&v6.sin6_addr, to->address, sizeof(v6.sin6_addr));
    bool six = to->is_ipv6 != 0;
    OSA_AUTO(osa_close_fd)
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int rc = six ? connect(fd, (const struct sockaddr *)&v6, sizeof(v6))
                 : connect(fd, (const struct sockaddr *)&v4, sizeof(v4));
    if (rc < 0 && errno != EINPROGRESS)
        return -errno;
    return osa_take_fd(&fd);
}

static void handle_connect(const struct init *init, const struct wire_packet *packet)
{
    if (packet->head.length != sizeof(struct launcher_connect)) {
        send_done(init, packet->head.key, EBADMSG);
        return;
    }
    OSA_AUTO(osa_close_fd) int fd = begin_connect(packet->body);
    if (fd < 0) {
        send_done(init, packet->head.key, -fd);
        return;
    }
    struct launcher_message head = { .type = LAUNCHER_DONE, .key = packet->head.key };
    (void)wire_send(init->sock, &head, NULL, 0, &fd, 1, 0);
}

static void handle_copy(struct init *init, const struct wire_packet *packet)
{
    const struct copy_plan *plan = copy_plan_check(packet->body, packet->head.length);
    struct start_report report = { .stage = LAUNCH_STAGE_PROTOCOL, .sys_errno = EBADMSG };
    struct started started;
    uint64_t key = packet->head.key;
    if (plan == NULL) {
        report_failed(init->sock, key, &report);
        return;
    }
    if (!pid_table_reserve(&init->children)) {
        report = (struct start_report){ .stage = LAUNCH_STAGE_FORK, .sys_errno = EAGAIN };
        report_failed(init->sock, key, &report);
        return;
    }
    if (copy_start(init->plan, &init->identity, plan, packet, &started, &report) < 0) {
        report_failed(init->sock, key, &report);
        return;
    }
    pid_table_put(&init->children,
                  (struct pid_entry){ .pid = started.pid, .tag = CHILD_COPIER, .key = key });
    report_started(init->sock, key, &started, /* keeper_pidfd= */ -1);
}

static void handle_packet(struct init *init)
{
    struct wire_packet packet;
    int rc = wire_recv(init->sock, init->buffer, &packet, MSG_DONTWAIT);
    if (rc == -EAGAIN)
        return;
    if (rc <= 0)
        end(init, has_children() ? 1 : 0);
    if (packet.head.type == LAUNCHER_SPAWN || packet.head.type == LAUNCHER_COPY)
        give_kill_up(init);
    switch ((enum launcher_type)packet.head.type) {
    case LAUNCHER_SPAWN:
        handle_spawn(init, &packet);
        break;
    case LAUNCHER_GROUP_SIGNAL:
        handle_group_signal(init, &packet);
        break;
    case LAUNCHER_KILL_ALL:
        handle_kill_all(init, &packet);
        break;
    case LAUNCHER_CONNECT:
        handle_connect(init, &packet);
        break;
    case LAUNCHER_COPY:
        handle_copy(init, &packet);
        break;
    default:
        end(init, 1);
    }
    wire_packet_done(&packet);
}

static void reap(struct init *init)
{
    int status;
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        struct pid_entry *entry = pid_table_find(&init->children, pid);
        if (entry == NULL)
            continue; /* an orphan */
        struct pid_entry child = *entry;
        pid_table_remove(&init->children, entry);
        if (child.tag != CHILD_KEEPER) {
            listeners_exiting(&init->listeners, init->sock, child.key);
            report_exited(init->sock, child.key, status, &usage);
        } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            end(init, 1);
        }
    }
}

/* SIGTERM is the death signal if the zygote is gone; else the workload sent it, in vain. */
static void drain_signals(struct init *init)
{
    struct signalfd_siginfo info;
    while (read(init->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM && getppid() != init->zygote)
            end(init, 1);
    }
}

void init_run(int sock, const struct sandbox_plan *plan, uid_t uid, gid_t gid,
              struct wire_buffer *buffer)
{
    static struct init the_init;
    struct init *init = &the_init;
    *init = (struct init){ .sock = sock,
                           .is_pid_1 = getpid() == 1,
                           .zygote = getppid(),
                           .uid = uid,
                           .gid = gid,
                           .plan = plan,
                           .buffer = buffer };
    set_up(init);
    for (;;) {
        struct pollfd fds[3] = { { .fd = init->sock, .events = POLLIN },
                                 { .fd = init->signals, .events = POLLIN },
                                 { .fd = init->listeners.fd, .events = POLLIN } };
        int timeout = listeners_timeout_ms(&init->listeners);
        if (poll(fds, timeout < 0 ? 3 : 2, timeout) < 0 && errno != EINTR)
            end(init, 1);
        if (fds[1].revents != 0 || fds[2].revents != 0 || timeout >= 0)
            listeners_serve(&init->listeners, init->sock);
        if (fds[1].revents != 0) {
            drain_signals(init);
            reap(init);
        }
        if (fds[0].revents != 0)
            handle_packet(init);
        if (init->kill_all && !has_children()) {
            init->kill_all = false;
            send_done(init, init->kill_key, 0);
        }
    }
}
