// SPDX-License-Identifier: Apache-2.0
/*
 * Who watches, and what they are sent. A watcher that does not read is cut off: the gateway opens the
 * stream again and gets everything as it then is, while memory spent on it would be spent on nobody.
 */
#include "base/log.h"
#include "driver/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define QUEUE_BYTES ((size_t)4 << 20) /* unsent; some ten thousand events */

static void deliver(struct watcher *watcher, const COMPUTE(WatchSandboxesEvent) * event)
{
    struct osa_error err = { 0 };
    (void)rpc_call_send(watcher->call, &event->base);
    if (rpc_call_queued_bytes(watcher->call) <= QUEUE_BYTES)
        return;
    (void)osa_fail(&err, OSA_RESOURCE_EXHAUSTED, 0,
                   "the watcher is too slow; open the stream again for what is now");
    osa_log_error(OSA_LOG_WARN, "driver", "a watcher is cut off", &err);
    rpc_call_fail(watcher->call, &err, NULL);
}

static void send_all(struct driver *driver, const COMPUTE(WatchSandboxesEvent) * event)
{
    struct watcher *watcher, *next;
    DL_FOREACH_SAFE(driver->watchers, watcher, next)
    deliver(watcher, event);
}

static void send_snapshot(struct watcher *only, struct box *box)
{
    struct osa_arena arena = { 0 };
    COMPUTE(WatchSandboxesSandboxEvent) body = COMPUTE_INIT(WATCH_SANDBOXES_SANDBOX_EVENT);
    COMPUTE(WatchSandboxesEvent) event = COMPUTE_INIT(WATCH_SANDBOXES_EVENT);
    body.sandbox = box_snapshot(box, &arena);
    event.payload_case = OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_SANDBOX;
    event.sandbox = &body;
    if (only != NULL)
        deliver(only, &event);
    else
        send_all(box->driver, &event);
    osa_arena_done(&arena);
}

void watch_changed(struct box *box)
{
    if (box->state != BOX_GONE && box->driver->watchers != NULL)
        send_snapshot(NULL, box);
}

bool watch_deleted(struct driver *driver, const char *id)
{
    COMPUTE(WatchSandboxesDeletedEvent) body = COMPUTE_INIT(WATCH_SANDBOXES_DELETED_EVENT);
    COMPUTE(WatchSandboxesEvent) event = COMPUTE_INIT(WATCH_SANDBOXES_EVENT);
    body.sandbox_id = (char *)(uintptr_t)id;
    event.payload_case = OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_DELETED;
    event.deleted = &body;
    send_all(driver, &event);
    return driver->watchers != NULL;
}

/* ---- platform events ---- */

typedef COMPUTE(DriverPlatformEvent__MetadataEntry) Entry;

static void add_entry(struct osa_arena *arena, COMPUTE(DriverPlatformEvent) * event,
                      const char *key, const char *value)
{
    Entry init = OPENSHELL__COMPUTE__V1__DRIVER_PLATFORM_EVENT__METADATA_ENTRY__INIT;
    if (value == NULL)
        return;
    init.key = (char *)(uintptr_t)key;
    init.value = (char *)(uintptr_t)value;
    event->metadata[event->n_metadata++] = osa_arena_copy(arena, &init, sizeof(init));
}

void watch_event(struct box *box, const struct watch_event *what)
{
    struct osa_arena arena = { 0 };
    COMPUTE(DriverPlatformEvent) platform = COMPUTE_INIT(DRIVER_PLATFORM_EVENT);
    COMPUTE(WatchSandboxesPlatformEvent) body = COMPUTE_INIT(WATCH_SANDBOXES_PLATFORM_EVENT);
    COMPUTE(WatchSandboxesEvent) event = COMPUTE_INIT(WATCH_SANDBOXES_EVENT);
    if (box->driver->watchers == NULL)
        return;
    platform.timestamp_ms = osa_wall_ns() / OSA_NS_PER_MS;
    platform.source = (char *)(uintptr_t)box->driver->config->name;
    platform.type = (char *)(uintptr_t)what->type;
    platform.reason = (char *)(uintptr_t)what->reason;
    platform.message = (char *)(uintptr_t)what->message;
    platform.metadata = osa_arena_alloc(&arena, 3 * sizeof(*platform.metadata));
    add_entry(&arena, &platform, "openshell.progress.complete_step", what->complete);
    add_entry(&arena, &platform, "openshell.progress.active_step", what->active);
    add_entry(&arena, &platform, "openshell.progress.active_detail", what->detail);
    body.sandbox_id = box->id;
    body.event = &platform;
    event.payload_case = OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_PLATFORM_EVENT;
    event.platform_event = &body;
    send_all(box->driver, &event);
    osa_arena_done(&arena);
}

/* ---- coming and going ---- */

void watch_add(struct driver *driver, struct rpc_call *call)
{
    struct osa_error err = { 0 };
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    if (watcher == NULL)
        abort();
    watcher->call = call;
    rpc_call_set_data(call, watcher);
    DL_APPEND(driver->watchers, watcher);
    struct box *box, *next;
    HASH_ITER(by_id, driver->boxes, box, next)
    {
        if (box->state != BOX_GONE) {
            send_snapshot(watcher, box);
            continue;
        }
        (void)watch_deleted(driver, box->id);
        if (store_remove(driver->store, box->id, &err) != OSA_OK)
            osa_log_error(OSA_LOG_WARN, "driver", "a record cannot be removed", &err,
                          OSA_S("sandbox", box->id));
        else
            box_free(box);
    }
}

void watch_remove(struct driver *driver, struct rpc_call *call)
{
    struct watcher *watcher = rpc_call_data(call);
    if (watcher == NULL)
        return;
    DL_DELETE(driver->watchers, watcher);
    free(watcher);
}
