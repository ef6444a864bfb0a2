// SPDX-License-Identifier: Apache-2.0
#include "driver/agent_link.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char get_info[] = "/openshell.agent.v1.SandboxAgent/GetInfo";

static void watch_process(struct agent_link *link);
static enum osa_code ask(struct agent_link *link, struct osa_error *err);

/* ---- asking whether it serves ---- */

/* A channel cannot be freed from inside its own callback. */
static void on_release(struct osa_task *task)
{
    struct agent_link *link = OSA_CONTAINER_OF(task, struct agent_link, release);
    link->releasing = false;
    if (link->call != NULL)
        return;
    rpc_channel_free(link->channel);
    link->channel = NULL;
    if (link->closed != NULL)
        link->closed(link);
}

static void release(struct agent_link *link)
{
    if (!link->releasing)
        osa_loop_post(link->loop, &link->release);
    link->releasing = true;
}

static void on_info(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct agent_link *link = OSA_CONTAINER_OF(events, struct agent_link, events);
    if (link->state != AGENT_STARTING)
        return;
    link->state = AGENT_SERVING;
    link->ready(link, (const Openshell__Agent__V1__GetInfoResponse *)response);
}

static void on_info_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct agent_link *link = OSA_CONTAINER_OF(events, struct agent_link, events);
    struct osa_error err = { 0 };
    link->call = NULL;
    if (link->state == AGENT_STARTING && link->closed == NULL) {
        /* Cancelled for one that has ended, and the next has been started meanwhile. */
        if (status->error.code == OSA_CANCELLED && ask(link, &err) == OSA_OK)
            return;
        osa_log_error(OSA_LOG_WARN, "driver", "an agent does not answer; its end is waited for",
                      &status->error, OSA_S("socket", link->socket));
    }
    release(link);
}

static enum osa_code ask(struct agent_link *link, struct osa_error *err)
{
    char target[PATH_MAX + 8];
    (void)snprintf(target, sizeof(target), "unix:%s", link->socket);
    const struct rpc_channel_config config = { .loop = link->loop, .target = target };
    Openshell__Agent__V1__GetInfoRequest request = OPENSHELL__AGENT__V1__GET_INFO_REQUEST__INIT;
    if (link->channel == NULL && rpc_channel_new(&config, &link->channel, err) != OSA_OK)
        return err->code;
    link->call = rpc_client_start(link->channel, get_info,
                                  &openshell__agent__v1__get_info_response__descriptor, OSA_NEVER,
                                  /* wait_for_ready= */ true, &link->events);
    (void)rpc_client_send(link->call, &request.base);
    rpc_client_half_close(link->call);
    return OSA_OK;
}

/* ---- its end ---- */

static void unwatch(struct agent_link *link)
{
    if (link->process.fd < 0)
        return;
    osa_source_remove(&link->process);
    osa_replace_fd(&link->process.fd, -1);
}

static void finish(struct agent_link *link)
{
    if (link->call != NULL)
        rpc_client_cancel(link->call);
    link->state = AGENT_NONE;
    link->ended(link, link->status);
}

static bool is_same(const struct osa_child_mark *a, const struct osa_child_mark *b)
{
    return a->pid == b->pid && a->start == b->start;
}

/* Not it, but another agent of the same sandbox holds the run file: that one is the sandbox's. */
static bool switch_to(struct agent_link *link, const struct osa_child_mark *other)
{
    if (is_same(other, &link->mark))
        return false;
    osa_log(OSA_LOG_WARN, "driver", "another agent serves this sandbox already; it is adopted",
            OSA_I("pid", other->pid), OSA_S("socket", link->socket));
    link->mark = *other;
    link->child = false;
    return true;
}

static void on_process_end(struct osa_source *source, unsigned events)
{
    struct agent_link *link = OSA_CONTAINER_OF(source, struct agent_link, process);
    struct osa_run_report report;
    (void)events;
    unwatch(link);
    if (link->helper) {
        finish(link);
        return;
    }
    link->status = link->child ? osa_child_reap(link->mark.pid) : -1;
    if (osa_run_file_read(link->run_file, &report) && switch_to(link, &report.self)) {
        watch_process(link);
        return;
    }
    if (is_same(&report.self, &link->mark))
        link->main_status = report.status;
    /* What it ran is killed by its helper, whose end says that this has been done. */
    link->helper = true;
    link->state = AGENT_ENDING;
    link->process.fd = osa_child_open(&report.helper);
    if (link->process.fd < 0 ||
        osa_source_add(link->loop, &link->process, OSA_READ, NULL) != OSA_OK)
        finish(link);
}

static void on_late(struct osa_task *task)
{
    struct agent_link *link = OSA_CONTAINER_OF(task, struct agent_link, late);
    if (link->closed == NULL)
        on_process_end(&link->process, 0);
}

static void watch_process(struct agent_link *link)
{
    struct osa_error err = { 0 };
    link->helper = false;
    link->process.fd = osa_child_open(&link->mark);
    if (link->process.fd < 0 ||
        osa_source_add(link->loop, &link->process, OSA_READ, &err) != OSA_OK)
        osa_loop_post(link->loop, &link->late); /* it has ended meanwhile */
}

/* ---- from outside ---- */

void agent_link_init(struct agent_link *link, struct osa_loop *loop, const char *run_file,
                     const char *socket)
{
    link->state = AGENT_NONE;
    link->main_status = -1;
    link->loop = loop;
    link->process = (struct osa_source){ .fd = -1, .ready = on_process_end };
    link->release.run = on_release;
    link->late.run = on_late;
    link->events = (struct rpc_client_events){ .message = on_info, .done = on_info_done };
    (void)snprintf(link->run_file, sizeof(link->run_file), "%s", run_file);
    (void)snprintf(link->socket, sizeof(link->socket), "%s", socket);
}

enum osa_code agent_link_start(struct agent_link *link, const struct osa_child_spec *spec,
                               struct osa_error *err)
{
    pid_t pid;
    (void)unlink(link->socket); /* a dead agent's, which would be asked in vain */
    if (link->call == NULL && ask(link, err) != OSA_OK)
        return err->code;
    if (osa_child_start(spec, &pid, err) != OSA_OK) {
        rpc_client_cancel(link->call);
        return err->code;
    }
    (void)osa_child_mark_of(pid, &link->mark); /* not reaped yet, so it is there */
    link->child = true;
    link->status = -1;
    link->main_status = -1;
    link->state = AGENT_STARTING;
    watch_process(link);
    return OSA_OK;
}

bool agent_link_adopt(struct agent_link *link)
{
    struct osa_run_report report;
    struct osa_error err = { 0 };
    bool runs = osa_run_file_read(link->run_file, &report);
    link->main_status = report.status;
    if (!runs && !osa_child_alive(&report.helper))
        return false;
    link->mark = report.self;
    link->child = false;
    link->status = -1;
    link->state = AGENT_STARTING;
    if (runs && ask(link, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "driver", "an agent cannot be asked", &err);
    watch_process(link);
    return true;
}

void agent_link_signal(struct agent_link *link, int signo)
{
    if (link->process.fd >= 0 && !link->helper)
        osa_child_signal(link->process.fd, signo);
}

void agent_link_close(struct agent_link *link, void (*closed)(struct agent_link *self))
{
    unwatch(link);
    link->state = AGENT_NONE;
    link->closed = closed;
    if (link->call != NULL)
        rpc_client_cancel(link->call);
    else
        release(link);
}
