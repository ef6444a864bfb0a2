// SPDX-License-Identifier: Apache-2.0
#include "backends/process/landlock_log.h"

#include "backends/process/audit_record.h"
#include "backends/process/internal.h"
#include "base/clock.h"
#include "base/fd.h"
#include "io/netlink.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define PENDING_MAX 32u
/* The SYSCALL record follows within the same call; this is for hosts that suppress it. */
#define PENDING_NS (50 * OSA_NS_PER_MS)
#define STATUS_WAIT_MS 100
#define BURST 10
#define INTERVAL_NS (200 * OSA_NS_PER_MS)
/* include/linux/proc_ns.h: numbers of the initial namespaces. */
enum { INITIAL_USER = 0xEFFFFFFDu, INITIAL_PID = 0xEFFFFFFCu };

struct landlock_log {
    struct process_backend *backend; /* borrowed */
    struct netlink *audit;           /* owned */
    struct osa_source source;
    struct osa_timer timer;                   /* armed while something is pending */
    struct audit_record pending[PENDING_MAX]; /* ACCESS records, oldest first */
    unsigned count;
};

static struct sandbox *find_domain(const struct landlock_log *log, uint64_t domain)
{
    struct sandbox *s = log->backend->sandboxes;
    while (s != NULL && s->landlock_domain != domain)
        s = s->hh.next;
    return s;
}

/* The caller itself, or the only process that the sandbox has. */
static struct process *find_process(const struct sandbox *s, int32_t pid)
{
    if (HASH_COUNT(s->processes) == 1)
        return s->processes;
    for (struct process *p = s->processes; p != NULL && pid != 0; p = p->hh.next) {
        if (p->pidfd >= 0 && pidfd_pid(p->pidfd) == pid)
            return p;
    }
    return NULL;
}

static void tell(struct landlock_log *log, const struct audit_record *access, int32_t pid,
                 const char *comm)
{
    char text[AUDIT_DENIAL_TEXT_MAX];
    struct sandbox *s = find_domain(log, access->domain);
    if (s == NULL) /* somebody else's */
        return;
    if (!osa_rate_take(&s->landlock_rate, osa_now_ns(), BURST, INTERVAL_NS)) {
        s->landlock_missed++;
        return;
    }
    audit_denial_text(access, pid, comm, text);
    if (s->landlock_missed > 0) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, " (%u more before not shown)",
                       s->landlock_missed);
        s->landlock_missed = 0;
    }
    struct process *p = find_process(s, pid);
    if (p != NULL && p->spawned == NULL && p->events->denied != NULL)
        p->events->denied(p->events, "landlock", text);
    else if (s->events->denied != NULL && s->state == SANDBOX_READY)
        s->events->denied(s->events, "landlock", text);
}

/* Tell those of @event, or all of them for NULL. */
static void flush(struct landlock_log *log, const char *event, int32_t pid, const char *comm)
{
    unsigned left = 0;
    for (unsigned i = 0; i < log->count; i++) {
        if (event == NULL || strcmp(log->pending[i].event, event) == 0)
            tell(log, &log->pending[i], pid, comm);
        else
            log->pending[left++] = log->pending[i];
    }
    log->count = left;
    if (left == 0)
        osa_timer_disarm(&log->timer);
}

static void on_timer(struct osa_timer *timer)
{
    flush(OSA_CONTAINER_OF(timer, struct landlock_log, timer), NULL, 0, "");
}

static void hold(struct landlock_log *log, const struct audit_record *access)
{
    if (log->count == PENDING_MAX)
        flush(log, NULL, 0, "");
    log->pending[log->count++] = *access;
    if (log->count == 1)
        osa_timer_arm(log->backend->loop, &log->timer, osa_deadline_after(PENDING_NS));
}

static void learn_domain(const struct landlock_log *log, const struct audit_record *record)
{
    struct sandbox *s = log->backend->sandboxes;
    for (; s != NULL && record->allocated; s = s->hh.next) {
        if (s->init_pidfd >= 0 && pidfd_pid(s->init_pidfd) == record->pid)
            s->landlock_domain = record->domain;
    }
}

static void on_record(uint16_t type, const void *body, size_t len, void *ctx)
{
    struct landlock_log *log = ctx;
    struct audit_record record;
    if (!audit_record_parse(type, body, len, &record))
        return;
    if (type == AUDIT_RECORD_LANDLOCK_ACCESS)
        hold(log, &record);
    else if (type == AUDIT_RECORD_LANDLOCK_DOMAIN)
        learn_domain(log, &record);
    else
        flush(log, record.event, record.pid, record.comm);
}

static void on_readable(struct osa_source *source, unsigned events)
{
    (void)events;
    struct landlock_log *log = OSA_CONTAINER_OF(source, struct landlock_log, source);
    (void)netlink_receive(log->audit, on_record, log);
}

/* ---- opening ---- */

static bool is_initial(const char *path, unsigned number)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_ino == number;
}

static void take_status(uint16_t type, const void *body, size_t len, void *ctx)
{
    struct audit_status status = { 0 };
    memcpy(&status, body, OSA_MIN(len, sizeof(status)));
    if (type == AUDIT_GET)
        *(bool *)ctx = status.enabled != 0;
}

/*
 * Asking takes CAP_AUDIT_CONTROL, CAP_AUDIT_READ listens only; whoever lacks the former hopes. The
 * answer is made by a thread of the kernel, so that it may come after the acknowledgement.
 */
static bool is_switched_on(struct netlink *audit)
{
    bool enabled = false;
    struct osa_error err;
    struct pollfd fd = { .fd = netlink_fd(audit), .events = POLLIN };
    netlink_message(audit, AUDIT_GET, 0, NULL, 0);
    if (netlink_query(audit, take_status, &enabled, "ask for audit's status", &err) != OSA_OK)
        return err.sys_errno == EPERM;
    if (!enabled && poll(&fd, 1, STATUS_WAIT_MS) > 0)
        (void)netlink_receive(audit, take_status, &enabled);
    return enabled;
}

static const char *open_audit(struct landlock_log *log)
{
    static const char closed[] = "the kernel's audit cannot be read (CAP_AUDIT_READ in the initial "
                                 "namespaces)";
    const int group = AUDIT_NLGRP_READLOG;
    struct osa_error ignored;
    if (!is_initial("/proc/self/ns/user", INITIAL_USER) ||
        !is_initial("/proc/self/ns/pid", INITIAL_PID))
        return closed;
    OSA_AUTO(osa_close_fd) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    if (fd < 0 || setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
        netlink_adopt(NETLINK_AUDIT, osa_take_fd(&fd), &log->audit, &ignored) != OSA_OK)
        return closed;
    if (!is_switched_on(log->audit))
        return "the kernel's audit is off (auditctl -e 1, or audit=1 at boot)";
    log->source = (struct osa_source){ .fd = netlink_fd(log->audit), .ready = on_readable };
    return osa_source_add(log->backend->loop, &log->source, OSA_READ, &ignored) == OSA_OK ? NULL
                                                                                          : closed;
}

struct landlock_log *landlock_log_open(struct process_backend *b, const char **ret_why)
{
    struct landlock_log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        *ret_why = "no memory";
        return NULL;
    }
    log->backend = b;
    log->timer.fire = on_timer;
    *ret_why = open_audit(log);
    if (*ret_why == NULL)
        return log;
    landlock_log_close(log);
    return NULL;
}

void landlock_log_close(struct landlock_log *log)
{
    if (log == NULL)
        return;
    osa_source_remove(&log->source);
    osa_timer_disarm(&log->timer);
    netlink_free(log->audit);
    free(log);
}
