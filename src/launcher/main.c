// SPDX-License-Identifier: Apache-2.0
/*
 * The launcher: a zygote from which the inits of all sandboxes are forked.
 *
 * The agent starts it once, before gRPC makes threads, because a threaded process cannot fork and
 * go on. It is a static executable that links neither gRPC nor libseccomp and opens no file of an
 * image; its memory is small, so that a fork is cheap.
 *
 * It ends with the agent: end of file on its socket makes it kill every descendant. It is a
 * subreaper, so that what an init without a pid namespace leaves behind becomes its child; any child
 * that is not a registered init is such an orphan and is killed. Only then is the init reported GONE.
 */
#include "base/fd.h"
#include "launcher/init.h"
#include "launcher/namespaces.h"
#include "launcher/pid_table.h"
#include "launcher/plan.h"
#include "launcher/privileges.h"
#include "launcher/probe.h"
#include "launcher/start.h"
#include "launcher/sweep.h"
#include "launcher/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_INTERVAL_MS 2

struct zygote {
    int sock;    /* owned */
    int signals; /* owned: signalfd of SIGCHLD */
    uid_t uid;
    gid_t gid;
    struct pid_table inits;
    uint64_t *gone; /* owned: keys of inits that died while something may be left of them */
    size_t gone_count;
    size_t gone_size;
    struct wire_buffer buffer;
};

static struct zygote zygote; /* the forks of inits start with a copy and need only its buffer */

static void tell(uint32_t type, uint64_t key, uint32_t stage, int sys_errno)
{
    struct launcher_message head = {
        .type = type, .key = key, .stage = stage, .sys_errno = sys_errno
    };
    (void)wire_send(zygote.sock, &head, NULL, 0, NULL, 0, 0);
}

/* ---- in the new init ---- */

static void become_init(int sock, const struct sandbox_plan *plan) __attribute__((noreturn));
static void become_init(int sock, const struct sandbox_plan *plan)
{
    (void)close(zygote.sock);
    (void)close(zygote.signals);
    init_run(sock, plan, zygote.uid, zygote.gid, &zygote.buffer);
}

/* ---- in the zygote ---- */

static int refuse(uint64_t key, uint32_t stage, int sys_errno)
{
    tell(LAUNCHER_FAILED, key, stage, sys_errno);
    return -1;
}

static int create(struct wire_packet *packet)
{
    uint64_t key = packet->head.key;
    const struct sandbox_plan *plan = sandbox_plan_check(packet->body, packet->head.length);
    if (plan == NULL || packet->fd_count != 1)
        return refuse(key, LAUNCH_STAGE_PROTOCOL, EBADMSG);
    if (!pid_table_reserve(&zygote.inits))
        return refuse(key, LAUNCH_STAGE_FORK, ENOMEM);
    OSA_AUTO(osa_free) void *copy = malloc(plan->size);
    if (copy == NULL)
        return refuse(key, LAUNCH_STAGE_FORK, ENOMEM);
    memcpy(copy, plan, plan->size);

    OSA_AUTO(osa_close_fd) int pidfd = -1;
    int flags = namespace_clone_flags(plan->namespaces);
    pid_t pid = (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0);
    if (pid == 0)
        become_init(packet->fds[0], copy);
    if (pid < 0)
        return refuse(key, flags == 0 ? LAUNCH_STAGE_FORK : LAUNCH_STAGE_NAMESPACE, errno);
    pid_table_put(
        &zygote.inits,
        (struct pid_entry){ .pid = pid, .tag = (plan->namespaces & PLAN_NS_PID) != 0, .key = key });
    struct launcher_message head = { .type = LAUNCHER_CREATED, .key = key };
    return wire_send(zygote.sock, &head, NULL, 0, &pidfd, 1, 0);
}

/* Kill orphans: all that descends from the zygote but not from a living init. */
static int sweep_orphans(void)
{
    OSA_AUTO(osa_free) pid_t *inits = calloc(zygote.inits.count + 1, sizeof(*inits));
    if (inits == NULL)
        return 1; /* later */
    size_t count = 0;
    for (size_t i = 0; i < zygote.inits.size; i++) {
        if (zygote.inits.slots[i].pid != 0)
            inits[count++] = zygote.inits.slots[i].pid;
    }
    return sweep_descendants(getpid(), SIGKILL, inits, count);
}

static void init_died(struct pid_entry init, int status)
{
    bool alone = init.tag != 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (!alone && zygote.gone_count == zygote.gone_size) {
        size_t size = zygote.gone_size + 16;
        uint64_t *grown = realloc(zygote.gone, size * sizeof(*grown));
        if (grown == NULL)
            alone = true; /* reported early; the sweep below takes place all the same */
        else {
            zygote.gone = grown;
            zygote.gone_size = size;
        }
    }
    if (alone)
        tell(LAUNCHER_GONE, init.key, 0, 0);
    else
        zygote.gone[zygote.gone_count++] = init.key;
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct pid_entry *entry = pid_table_find(&zygote.inits, pid);
        if (entry == NULL)
            continue;
        struct pid_entry init = *entry;
        pid_table_remove(&zygote.inits, entry);
        init_died(init, status);
    }
}

static void finish_sweep(void)
{
    if (zygote.gone_count == 0 || sweep_orphans() > 0)
        return;
    for (size_t i = 0; i < zygote.gone_count; i++)
        tell(LAUNCHER_GONE, zygote.gone[i], 0, 0);
    zygote.gone_count = 0;
}

/*
 * The agent is gone. Inits see the same end of file; whoever is slow or stopped is killed here. A
 * subreaper without children has no descendants either, so most ends look at no table of processes.
 */
static void end(void) __attribute__((noreturn));
static void end(void)
{
    for (;;) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        }
        if ((pid < 0 && errno == ECHILD) || sweep_descendants(getpid(), SIGKILL, NULL, 0) <= 0)
            _exit(0);
        (void)poll(NULL, 0, SWEEP_INTERVAL_MS);
    }
}

static void handle_packet(void)
{
    struct wire_packet packet;
    int rc = wire_recv(zygote.sock, &zygote.buffer, &packet, MSG_DONTWAIT);
    if (rc == -EAGAIN)
        return;
    if (rc <= 0 || packet.head.type != LAUNCHER_CREATE)
        end();
    (void)create(&packet);
    wire_packet_done(&packet);
}

static bool replace_stdio(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return false;
    for (int fd = 0; fd < 3; fd++) {
        if (dup2(null, fd) < 0)
            return false;
    }
    if (null > LAUNCHER_SOCKET_FD)
        (void)close(null);
    return true;
}

/* By the kernel's own call, for posix_spawn(3) leaves the two signals ignored that the C library hides. */
static void reset_dispositions(void)
{
    const struct {
        void *handler; /* SIG_DFL */
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } reset = { 0 };
    for (int signo = 1; signo <= 64; signo++)
        (void)syscall(SYS_rt_sigaction, signo, &reset, NULL, sizeof(reset.mask));
}

/* What every process of every sandbox inherits from here is set here, once. */
static bool set_up(void)
{
    struct stat st;
    zygote.sock = LAUNCHER_SOCKET_FD;
    zygote.uid = geteuid();
    zygote.gid = getegid();
    if (fstat(zygote.sock, &st) < 0 || !S_ISSOCK(st.st_mode) || !replace_stdio() ||
        fcntl(zygote.sock, F_SETFD, FD_CLOEXEC) < 0)
        return false;
    (void)syscall(SYS_close_range, LAUNCHER_SOCKET_FD + 1u, ~0u, 0u);
    process_start_set_up();
    (void)umask(022);
    (void)setsid();
    if (chdir("/") < 0)
        return false;
    reset_dispositions();
    sigset_t set;
    (void)sigfillset(&set);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return false;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    zygote.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    privileges_empty_core_dumps();
    (void)prctl(PR_SET_NAME, "openshell-launch", 0, 0, 0);
    return zygote.signals >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

int main(void)
{
    if (!set_up())
        return 1;
    struct launcher_probe probe;
    probe_host(&probe);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return 1;
    struct launcher_message head = { .type = LAUNCHER_PROBED };
    if (wire_send(zygote.sock, &head, &probe, sizeof(probe), NULL, 0, 0) < 0)
        return 1;
    for (;;) {
        struct pollfd fds[2] = { { .fd = zygote.sock, .events = POLLIN },
                                 { .fd = zygote.signals, .events = POLLIN } };
        (void)poll(fds, 2, zygote.gone_count > 0 ? SWEEP_INTERVAL_MS : -1);
        struct signalfd_siginfo info;
        while (read(zygote.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        }
        reap();
        finish_sweep();
        if (fds[0].revents != 0)
            handle_packet();
    }
}
