// SPDX-License-Identifier: Apache-2.0
/* A box from one state to the next. What is wanted is on disk before it is done; see driver.h. */
#include "base/log.h"
#include "base/utf8.h"
#include "driver/driver.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Between TERM and KILL of an agent whose sandbox is deleted: it removes what it made meanwhile. */
#define DELETE_GRACE_NS (5 * OSA_NS_PER_SEC)
/* Of an agent whose sandbox the gateway does not know; agent/gateway/front.h. */
#define AGENT_SIGNAL_UNKNOWN SIGUSR2
#define LOST_UNSEEN "its agent ended while no driver ran, and the sandbox with it"
#define CLEAR_RETRY_NS (2 * OSA_NS_PER_SEC)

static void proceed(struct box *box);

/* ---- small steps ---- */

static enum osa_code save(struct box *box, struct osa_error *err)
{
    box->record.changed_ms = osa_wall_ns() / OSA_NS_PER_MS;
    return store_update(box->driver->store, box->id, &box->record, /* durable= */ true, err);
}

/* For changes that only report: when the disk refuses, the state of this moment stays right. */
static void save_or_log(struct box *box)
{
    struct osa_error err = { 0 };
    box->record.changed_ms = osa_wall_ns() / OSA_NS_PER_MS;
    if (store_update(box->driver->store, box->id, &box->record, /* durable= */ false, &err) !=
        OSA_OK)
        osa_log_error(OSA_LOG_WARN, "driver", "a record cannot be written; a restart will not know",
                      &err, OSA_S("sandbox", box->id));
}

static void wait_for(struct box_waiter **list, box_done_fn done, void *ctx)
{
    struct box_waiter *waiter = malloc(sizeof(*waiter));
    if (waiter == NULL)
        abort();
    *waiter = (struct box_waiter){ done, ctx, *list };
    *list = waiter;
}

static void answer(struct box_waiter **list, const struct osa_error *error)
{
    struct box_waiter *waiter = *list;
    *list = NULL;
    while (waiter != NULL) {
        struct box_waiter *next = waiter->next;
        waiter->done(waiter->ctx, error);
        free(waiter);
        waiter = next;
    }
}

static void set_failure(struct box *box, const char *reason, const char *message)
{
    (void)snprintf(box->record.failed_reason, sizeof(box->record.failed_reason), "%s", reason);
    (void)snprintf(box->record.failed_message, sizeof(box->record.failed_message), "%s", message);
    /* It becomes a string of protobuf's, and what cut it may have cut a character. */
    for (char *at = box->record.failed_message; *at != '\0';) {
        size_t len = osa_utf8_length(at, strlen(at));
        if (len == 0)
            *at = '?';
        at += OSA_MAX(len, (size_t)1);
    }
}

void box_fail(struct box *box, const char *reason, const char *message)
{
    set_failure(box, reason, message);
    const struct watch_event event = { "Warning", reason, box->record.failed_message,
                                       NULL,      NULL,   NULL };
    osa_log(OSA_LOG_WARN, "driver", "sandbox failed", OSA_S("sandbox", box->id),
            OSA_S("reason", reason), OSA_S("error", message));
    box->state = BOX_FAILED;
    save_or_log(box);
    watch_event(box, &event);
    watch_changed(box);
}

/* ---- its agent ---- */

static void on_ready(struct agent_link *link, const Openshell__Agent__V1__GetInfoResponse *info)
{
    struct box *box = OSA_CONTAINER_OF(link, struct box, link);
    if (box->state != BOX_STARTING)
        return;
    osa_timer_disarm(&box->timer);
    box->state = BOX_RUNNING;
    box->record.served = true;
    save_or_log(box);
    const struct watch_event event = { "Normal", "Started",          "the sandbox runs",
                                       NULL,     "starting_sandbox", NULL };
    osa_log(OSA_LOG_INFO, "driver", "sandbox runs", OSA_S("sandbox", box->id),
            OSA_S("agent", info->instance_id), OSA_S("socket", link->socket));
    watch_event(box, &event);
    watch_changed(box);
}

void box_confirm(struct box *box)
{
    if (box->record.confirmed)
        return;
    box->record.confirmed = true;
    save_or_log(box);
}

/*
 * The answer to a creation can be lost with the driver that gave it; the gateway then forgets the
 * sandbox and asks nobody to delete it. Its agent learns that there. One that the gateway once spoke
 * of, or whose session it let in, is never taken for such.
 */
static bool is_nobodys(const struct box *box, int status)
{
    return !box->record.confirmed && !box->record.served && status >= 0 && WIFSIGNALED(status) &&
           WTERMSIG(status) == AGENT_SIGNAL_UNKNOWN;
}

static void fail_by_main_status(struct box *box)
{
    char message[64];
    (void)snprintf(message, sizeof(message), "its main process ended with status %d",
                   box->link.main_status);
    box_fail(box, "ProcessExited", message);
}

/* A short main process can be over before its agent was asked whether it serves, so what the agent
 * wrote down counts first. */
static void fail_by_status(struct box *box, int status, bool was_running)
{
    char message[512];
    char words[320];
    launch_last_words(box, words, sizeof(words));
    if (box->link.main_status >= 0) {
        fail_by_main_status(box);
    } else if (box->timed_out) {
        (void)snprintf(message, sizeof(message), "its agent did not serve in time; %s", words);
        box_fail(box, "StartTimeout", message);
    } else if (!was_running) {
        (void)snprintf(message, sizeof(message), "%s",
                       words[0] != '\0' ? words : "its agent ended without a word");
        box_fail(box, "StartFailed", message);
    } else if (status < 0) {
        box_fail(box, "AgentLost", LOST_UNSEEN);
    } else if (WIFSIGNALED(status)) {
        (void)snprintf(message, sizeof(message),
                       "its agent was killed by signal %d, and the sandbox with it",
                       WTERMSIG(status));
        box_fail(box, "AgentLost", message);
    } else {
        (void)snprintf(message, sizeof(message), "its agent ended with status %d; %s",
                       WEXITSTATUS(status), words);
        box_fail(box, "AgentLost", message);
    }
}

static void on_ended(struct agent_link *link, int status)
{
    struct box *box = OSA_CONTAINER_OF(link, struct box, link);
    bool was_running = box->state == BOX_RUNNING;
    bool told_to = box->state == BOX_ENDING;
    osa_timer_disarm(&box->timer);
    if (box->record.wanted == WANTED_RUN && is_nobodys(box, status)) {
        osa_log(OSA_LOG_WARN, "driver", "the gateway does not know this sandbox; it is deleted",
                OSA_S("sandbox", box->id));
        box->record.wanted = WANTED_DELETE;
    }
    if (box->record.wanted == WANTED_RUN && !told_to)
        fail_by_status(box, status, was_running);
    else
        proceed(box);
}

static void on_launch(struct driver_work *work)
{
    struct box *box = OSA_CONTAINER_OF(work, struct box, launch);
    struct osa_error err = { 0 };
    if (box->state != BOX_STARTING || box->record.wanted != WANTED_RUN) {
        if (box->link.state == AGENT_NONE && box->state != BOX_GONE)
            proceed(box);
        return;
    }
    if (!box->image_ready) {
        launch_tell_placement(box);
        if (box_has_image(box)) {
            box_image_get(box); /* and we are called again */
            return;
        }
    }
    box->image_ready = false;
    box->timed_out = false;
    if (launch_agent(box, &err) != OSA_OK) {
        box_fail(box, "StartFailed", err.text);
        return;
    }
    osa_timer_arm(box->driver->loop, &box->timer,
                  osa_deadline_after(box->driver->config->start_timeout_ns));
}

void box_launch(struct box *box)
{
    box->state = BOX_STARTING;
    driver_queue(box->driver, &box->launch);
}

/* TERM lets the main process end; the second one, for deletions, lets nothing be waited for. */
static void end_agent(struct box *box, int64_t grace_ns, bool at_once)
{
    box->state = BOX_ENDING;
    agent_link_signal(&box->link, SIGTERM);
    if (at_once)
        agent_link_signal(&box->link, SIGINT);
    osa_timer_arm(box->driver->loop, &box->timer, osa_deadline_after(grace_ns));
}

static void on_timer(struct osa_timer *timer)
{
    struct box *box = OSA_CONTAINER_OF(timer, struct box, timer);
    if (box->state == BOX_STARTING)
        box->timed_out = true;
    if (box->link.state == AGENT_NONE) {
        proceed(box); /* a deletion that could not be finished */
        return;
    }
    osa_log(OSA_LOG_WARN, "driver", "an agent does not end by itself and is killed",
            OSA_S("sandbox", box->id));
    agent_link_signal(&box->link, SIGKILL);
}

/* ---- towards what is wanted, without an agent ---- */

static void finish_deletion(struct box *box)
{
    struct driver *driver = box->driver;
    struct osa_error err = { 0 };
    if (store_clear(driver->store, box->id, &err) != OSA_OK) {
        osa_log_error(OSA_LOG_WARN, "driver", "a sandbox cannot be removed; tried again in 2 s",
                      &err, OSA_S("sandbox", box->id));
        answer(&box->deleting, &err);
        osa_timer_arm(driver->loop, &box->timer, osa_deadline_after(CLEAR_RETRY_NS));
        return;
    }
    osa_log(OSA_LOG_INFO, "driver", "sandbox deleted", OSA_S("sandbox", box->id));
    box->state = BOX_GONE;
    box->record.gone = true;
    answer(&box->deleting, NULL);
    if (!watch_deleted(driver, box->id)) {
        save_or_log(box); /* the next watcher is told, maybe the next driver's */
        return;
    }
    if (store_remove(driver->store, box->id, &err) != OSA_OK)
        osa_log_error(OSA_LOG_WARN, "driver", "a record cannot be removed", &err,
                      OSA_S("sandbox", box->id));
    box_free(box);
}

static void proceed(struct box *box)
{
    images_cancel(&box->image_wait); /* of a launch that is overtaken */
    box->image_ready = false;
    switch (box->record.wanted) {
    case WANTED_RUN:
        box_launch(box);
        watch_changed(box);
        break;
    case WANTED_STOP:
        osa_log(OSA_LOG_INFO, "driver", "sandbox stopped", OSA_S("sandbox", box->id));
        box->state = BOX_STOPPED;
        answer(&box->stopping, NULL);
        watch_changed(box);
        break;
    case WANTED_DELETE:
        finish_deletion(box);
        break;
    }
}

/* ---- what the gateway asks for ---- */

static bool has_agent(const struct box *box)
{
    return box->link.state != AGENT_NONE;
}

void box_stop(struct box *box, box_done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (box->record.wanted == WANTED_DELETE) {
        (void)osa_fail(&err, OSA_FAILED_PRECONDITION, 0, "sandbox '%s' is being deleted", box->id);
        done(ctx, &err);
        return;
    }
    if (box->state == BOX_STOPPED) {
        done(ctx, NULL);
        return;
    }
    enum wanted before = box->record.wanted;
    box->record.wanted = WANTED_STOP;
    set_failure(box, "", "");
    if (save(box, &err) != OSA_OK) {
        box->record.wanted = before;
        done(ctx, &err);
        return;
    }
    wait_for(&box->stopping, done, ctx);
    if (!has_agent(box))
        proceed(box);
    else if (box->state != BOX_ENDING)
        end_agent(box, box->driver->config->stop_grace_ns, /* at_once= */ false);
}

enum osa_code box_start(struct box *box, struct osa_error *err)
{
    struct osa_error stopped = { 0 };
    if (box->record.wanted == WANTED_DELETE)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "sandbox '%s' is being deleted", box->id);
    if (box->record.wanted == WANTED_RUN && box->state != BOX_FAILED)
        return OSA_OK;
    struct placement placement;
    const struct resources used = driver_used(box->driver);
    if (schedule_place(box->driver->schedule, &box->driver->host, box->spec, &used, &placement,
                       err) != OSA_OK)
        return err->code;
    struct record before = box->record;
    if (!has_agent(box))
        osa_run_file_forget(box->link.run_file); /* else a restart would take its end for ours */
    box->record.wanted = WANTED_RUN;
    box->record.served = false;
    set_failure(box, "", "");
    if (save(box, err) != OSA_OK) {
        box->record = before;
        return err->code;
    }
    (void)osa_fail(&stopped, OSA_ABORTED, 0, "sandbox '%s' was started again meanwhile", box->id);
    answer(&box->stopping, &stopped);
    if (!has_agent(box))
        proceed(box); /* else once the one that ends has ended */
    return OSA_OK;
}

void box_delete(struct box *box, box_done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (box->record.wanted != WANTED_DELETE) {
        enum wanted before = box->record.wanted;
        box->record.wanted = WANTED_DELETE;
        /* A full disk must not keep a sandbox alive; a restart would then delete it once more. */
        if (save(box, &err) != OSA_OK && err.code != OSA_RESOURCE_EXHAUSTED) {
            box->record.wanted = before;
            done(ctx, &err);
            return;
        }
        (void)osa_fail(&err, OSA_ABORTED, 0, "sandbox '%s' was deleted meanwhile", box->id);
        answer(&box->stopping, &err);
        watch_changed(box);
        if (has_agent(box))
            end_agent(box, DELETE_GRACE_NS, /* at_once= */ true);
    }
    wait_for(&box->deleting, done, ctx);
    if (!has_agent(box))
        proceed(box);
}

/* ---- life of the struct ---- */

struct box *box_new(struct driver *driver, const char *id, struct record *record,
                    struct driver_spec *spec)
{
    char run_file[PATH_MAX];
    char socket[PATH_MAX];
    struct box *box = calloc(1, sizeof(*box));
    if (box == NULL)
        abort();
    box->driver = driver;
    (void)snprintf(box->id, sizeof(box->id), "%s", id);
    box->record = *record;
    *record = (struct record){ 0 };
    box->spec = spec;
    box->timer.fire = on_timer;
    box->launch.run = on_launch;
    box->link.ready = on_ready;
    box->link.ended = on_ended;
    store_path(driver->store, id, "run", run_file);
    store_socket_path(driver->store, id, socket);
    agent_link_init(&box->link, driver->loop, run_file, socket);
    HASH_ADD_KEYPTR(by_id, driver->boxes, box->id, strlen(box->id), box);
    return box;
}

enum osa_code box_adopt(struct driver *driver, const char *id, struct record *record,
                        struct osa_error *err)
{
    struct driver_spec *spec = NULL;
    COMPUTE(DriverSandbox) *wire =
        openshell__compute__v1__driver_sandbox__unpack(NULL, record->wire_len, record->wire);
    enum osa_code code = driver_spec_from_wire(wire, &spec, err);
    if (wire != NULL)
        openshell__compute__v1__driver_sandbox__free_unpacked(wire, NULL);
    if (code != OSA_OK)
        return osa_wrap(err, "record of sandbox '%s'", id);
    struct box *box = box_new(driver, id, record, spec);
    if (box->record.gone) {
        box->state = BOX_GONE;
    } else if (agent_link_adopt(&box->link)) {
        box->state = BOX_STARTING;
        if (box->record.wanted != WANTED_RUN)
            end_agent(box, driver->config->stop_grace_ns, box->record.wanted == WANTED_DELETE);
        else
            osa_timer_arm(driver->loop, &box->timer,
                          osa_deadline_after(driver->config->start_timeout_ns));
    } else if (box->record.wanted == WANTED_RUN && box->record.failed_reason[0] != '\0') {
        box->state = BOX_FAILED;
    } else if (box->record.wanted == WANTED_RUN && box->link.main_status >= 0) {
        fail_by_main_status(box);
    } else if (box->record.wanted == WANTED_RUN && box->record.served) {
        box_fail(box, "AgentLost", LOST_UNSEEN);
    } else {
        proceed(box);
    }
    return OSA_OK;
}

static void on_closed(struct agent_link *link)
{
    struct box *box = OSA_CONTAINER_OF(link, struct box, link);
    struct driver *driver = box->driver;
    record_done(&box->record);
    driver_spec_free(box->spec);
    free(box);
    driver->closing--;
    if (driver->closing == 0 && driver->boxes == NULL && driver->closed != NULL)
        driver_finish_close(driver);
}

void box_free(struct box *box)
{
    struct osa_error err = { 0 };
    struct driver *driver = box->driver;
    (void)osa_fail(&err, OSA_UNAVAILABLE, 0, "the driver ends");
    HASH_DELETE(by_id, driver->boxes, box);
    answer(&box->stopping, &err);
    answer(&box->deleting, &err);
    osa_timer_disarm(&box->timer);
    driver_unqueue(driver, &box->launch);
    box_image_done(box);
    box->state = BOX_GONE;
    driver->closing++;
    agent_link_close(&box->link, on_closed);
}
