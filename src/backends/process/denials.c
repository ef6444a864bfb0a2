// SPDX-License-Identifier: Apache-2.0
/* Refusals by the kernel that it tells us about: system calls here, packets in sandbox_network.c. */
#include "backends/process/internal.h"
#include "backends/process/landlock_log.h"
#include "backends/process/seccomp_denial.h"
#include "base/fd.h"

#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The protocol's modules are loaded by asking for it, and by whoever asks. */
static bool has_netfilter(void)
{
    OSA_AUTO(osa_close_fd)
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    return fd >= 0;
}

static void add_source(struct backend_info *info, const char *name)
{
    size_t used = strlen(info->denial_sources);
    (void)snprintf(info->denial_sources + used, sizeof(info->denial_sources) - used, "%s%s",
                   used == 0 ? "" : " ", name);
}

static void add_gap(struct backend_info *info, const char *sentence)
{
    size_t used = 0;
    while (info->denial_gaps[used] != '\0')
        used += strlen(info->denial_gaps + used) + 1;
    size_t len = strlen(sentence);
    if (used + len + 2 <= sizeof(info->denial_gaps))
        memcpy(info->denial_gaps + used, sentence, len + 1);
}

static void probe_landlock(struct process_backend *b)
{
    char gap[160];
    const char *why = "before Linux 6.15 Landlock refuses without a word (ABI 7)";
    if (b->probe.landlock_abi >= 7)
        b->landlock_log = landlock_log_open(b, &why);
    if (b->landlock_log != NULL) {
        add_source(&b->info, "landlock_audit");
        return;
    }
    (void)snprintf(gap, sizeof(gap), "files: %s", why);
    add_gap(&b->info, gap);
}

void denials_probe(struct process_backend *b)
{
    struct backend_info *info = &b->info;
    if ((info->isolation.namespaces & NAMESPACE_NET) == 0)
        add_gap(info, "connections: no network namespace; inet sockets are refused by seccomp");
    else if (has_netfilter())
        add_source(info, "network_log");
    else
        add_gap(info, "connections: this kernel has no netfilter over netlink");
    if (b->probe.seccomp_flags != 0)
        add_source(info, "seccomp_notify");
    else
        add_gap(info, b->probe.seccomp == 0 ? "system calls: this kernel has no filters"
                                            : "system calls: no listener can be had here (before "
                                              "Linux 5.0, or another one is around the agent)");
    if (info->isolation.landlock_abi != 0)
        probe_landlock(b);
}

void denials_on_packet(struct process *p, const struct launcher_denied *body)
{
    char text[SECCOMP_DENIAL_TEXT_MAX];
    if (p->events->denied == NULL || p->sandbox == NULL)
        return;
    seccomp_denial_text(&p->sandbox->seccomp, body, text);
    p->events->denied(p->events, "seccomp", text);
}

void denials_on_killed(struct process *p)
{
    if (p->events->denied != NULL && p->sandbox->isolation.seccomp_profile != NULL)
        p->events->denied(
            p->events, "seccomp",
            "killed: a system call by another architecture's numbers (x32, int 0x80), "
            "or refused by a filter of its own");
}
