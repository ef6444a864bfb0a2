// SPDX-License-Identifier: Apache-2.0
#include "driver/probe.h"

#include "base/clock.h"
#include "base/fd.h"
#include "driver/agent_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBE_NS (30 * OSA_NS_PER_SEC)

struct probe {
    struct agent_link link;
    struct osa_timer timer;
    struct host_report *report;
    bool answered;
    bool ended;
    bool closed;
};

static void fill_kind(struct host_report *report, const Openshell__Agent__V1__RuntimeInfo *wire)
{
    if ((int)wire->kind <= RUNTIME_KIND_DEFAULT || (int)wire->kind >= RUNTIME_KIND_COUNT)
        return; /* of a newer agent */
    report->kinds[wire->kind].known = true;
    report->kinds[wire->kind].available = wire->available;
    (void)snprintf(report->kinds[wire->kind].reason, sizeof(report->kinds[wire->kind].reason), "%s",
                   wire->unavailable_reason);
    for (size_t i = 0; i < wire->n_capabilities; i++)
        report->kinds[wire->kind].roots |= strcmp(wire->capabilities[i], "root") == 0;
    if (wire->isolation != NULL)
        report->kinds[wire->kind].level = (int)wire->isolation->level;
}

static void on_ready(struct agent_link *link, const Openshell__Agent__V1__GetInfoResponse *info)
{
    struct probe *probe = OSA_CONTAINER_OF(link, struct probe, link);
    struct host_report *report = probe->report;
    for (size_t i = 0; i < info->n_runtimes; i++)
        fill_kind(report, info->runtimes[i]);
    report->default_kind = (enum runtime_kind)info->runtime_kind;
    if (info->host != NULL) {
        report->cpus = info->host->cpus;
        report->memory_bytes = info->host->memory_bytes;
    }
    (void)snprintf(report->version, sizeof(report->version), "%s", info->version);
    probe->answered = true;
    agent_link_signal(link, SIGTERM);
}

static void on_ended(struct agent_link *link, int status)
{
    struct probe *probe = OSA_CONTAINER_OF(link, struct probe, link);
    (void)status;
    probe->ended = true;
}

static void on_closed(struct agent_link *link)
{
    OSA_CONTAINER_OF(link, struct probe, link)->closed = true;
}

static void on_timeout(struct osa_timer *timer)
{
    struct probe *probe = OSA_CONTAINER_OF(timer, struct probe, timer);
    agent_link_signal(&probe->link, SIGKILL);
}

static enum osa_code start(struct probe *probe, const struct driver_config *config, int log_fd,
                           const char *folder, struct osa_error *err)
{
    char listen[PATH_MAX + 8];
    const char *const argv[] = { config->agent, "serve", "--listen",        listen,
                                 "--state-dir", folder,  "--health-access", "off",
                                 NULL };
    static const char *const envp[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL
    };
    const struct osa_child_spec spec = { config->agent, argv, envp, log_fd };
    (void)snprintf(listen, sizeof(listen), "unix:%s", probe->link.socket);
    return agent_link_start(&probe->link, &spec, err);
}

static void last_words(const char *path, struct osa_error *err)
{
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    if (osa_read_file(AT_FDCWD, path, 65536, &text, &len, NULL) != OSA_OK)
        len = 0;
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    const char *line = len > 0 ? strrchr(text, '\n') : NULL;
    (void)osa_fail(err, OSA_UNAVAILABLE, 0,
                   "the agent that was started to be asked did not answer: %s",
                   line != NULL ? line + 1
                   : len > 0    ? text
                                : "it said nothing");
}

enum osa_code probe_host(struct osa_loop *loop, const struct driver_config *config,
                         struct host_report *ret_report, struct osa_error *err)
{
    struct probe probe = { .report = ret_report,
                           .timer.fire = on_timeout,
                           .link = { .ready = on_ready, .ended = on_ended } };
    char folder[PATH_MAX];
    char path[PATH_MAX];
    char run_file[PATH_MAX];
    char log[PATH_MAX];
    *ret_report = (struct host_report){ 0 };
    (void)snprintf(folder, sizeof(folder), "%s/run", config->state_dir);
    (void)snprintf(path, sizeof(path), "%s/run/probe.sock", config->state_dir);
    (void)snprintf(run_file, sizeof(run_file), "%s/run/probe", config->state_dir);
    (void)snprintf(log, sizeof(log), "%s/run/probe.log", config->state_dir);
    OSA_AUTO(osa_close_fd)
    int log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0)
        return osa_fail_errno(err, errno, "'%s'", log);
    agent_link_init(&probe.link, loop, run_file, path);
    enum osa_code code = start(&probe, config, log_fd, folder, err);
    osa_timer_arm(loop, &probe.timer, osa_deadline_after(PROBE_NS));
    while (code == OSA_OK && !probe.ended)
        (void)osa_loop_run_once(loop, OSA_NEVER);
    osa_timer_disarm(&probe.timer);
    agent_link_close(&probe.link, on_closed);
    while (!probe.closed)
        (void)osa_loop_run_once(loop, OSA_NEVER);
    if (code == OSA_OK && !probe.answered)
        last_words(log, err);
    return code == OSA_OK && !probe.answered ? OSA_UNAVAILABLE : code;
}
