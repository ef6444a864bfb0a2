// SPDX-License-Identifier: Apache-2.0
/*
 * The driver: its sandboxes, what they wait for, and who watches them.
 *
 * A box is the driver's side of a sandbox. What the gateway wants of it (to run, to be stopped, to be
 * deleted) is in its record before anything is done about it; what is done is whatever leads there
 * from the state of its agent. So a crash at any point is a start in the middle: records say what is
 * wanted, run files say which agents there are, and the same steps go on.
 *
 * Threads: everything runs on the loop thread. No function blocks, but for writes of small files.
 */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "driver/agent_link.h"
#include "driver/images.h"
#include "driver/record.h"
#include "driver/schedule.h"
#include "rpc/server.h"

#include <uthash.h>

/* The message, under a short name. */
typedef COMPUTE(DriverSandbox) WireSandbox;

/**
 * struct driver_work - What takes some milliseconds: writes that wait for a disk, starts of programs
 * One is done in each turn of the loop, so that what is quick never waits for a crowd of them.
 * @run: called once; may queue it again, or free its owner
 * @trace: whose call it follows from, current while it runs; owned while it is queued
 */
struct driver_work {
    void (*run)(struct driver_work *self);
    bool queued;
    struct driver_work *prev, *next;
    struct osa_trace *trace;
};

enum box_state {
    BOX_STARTING, /* its agent has been started, or is about to be */
    BOX_RUNNING,
    BOX_ENDING, /* its agent has been told to end */
    BOX_STOPPED,
    BOX_FAILED,
    BOX_GONE, /* deleted; only its record waits for a gateway to be told */
};

/* Somebody who waits until a box is stopped, or deleted; called once. */
typedef void (*box_done_fn)(void *ctx, const struct osa_error *error);

struct box_waiter {
    box_done_fn done;
    void *ctx;
    struct box_waiter *next;
};

/**
 * struct box - One sandbox
 * @record: what is on disk
 * @spec:   the same, to work with
 * @image: of it, from box_image_get() on, with its text in @image_arena
 * @image_ready: it is there for the launch that follows
 * @pulled: something was done for it
 * @stopping, @deleting: who waits
 */
struct box {
    struct driver *driver;
    char id[DRIVER_ID_BYTES + 1];
    enum box_state state;
    struct record record;
    struct driver_spec *spec;
    struct agent_link link;
    struct osa_timer timer; /* start timeout, then grace */
    bool timed_out;
    struct driver_work launch;
    struct image_wait image_wait;
    struct image_info image;
    struct osa_arena image_arena;
    bool image_ready;
    bool pulled;
    struct box_waiter *stopping;
    struct box_waiter *deleting;
    UT_hash_handle by_id;
};

/** struct watcher - A WatchSandboxes call */
struct watcher {
    struct rpc_call *call;
    struct watcher *prev, *next;
};

/**
 * struct driver - All of it
 * @host: filled by the probe before the driver serves
 */
struct driver {
    struct osa_loop *loop;
    const struct driver_config *config;
    struct store *store;
    struct schedule *schedule;
    struct images *images;
    struct worker *trash; /* removes trees */
    struct host_report host;
    uint32_t uid;
    uint32_t gid;
    struct box *boxes;
    struct watcher *watchers;
    struct driver_work *work; /* in order */
    struct osa_task turn;
    bool turning;
    uint32_t closing; /* boxes that are not yet freed */
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct osa_task last; /* of all */
};

/** driver_open() - Read the rules and lock the state; @driver's loop and config are set */
OSA_MUST_CHECK enum osa_code driver_open(struct driver *driver, struct osa_error *err);

/** driver_adopt() - Read the records, find the agents that run, and go on; @driver->host is filled */
OSA_MUST_CHECK enum osa_code driver_adopt(struct driver *driver, struct osa_error *err);

/** driver_close() - Forget everything, and leave agents and records as they are. @closed: last */
void driver_close(struct driver *driver, void (*closed)(void *ctx), void *ctx);

/** driver_find() - By id. A box that is gone is not found. Return: NULL with NOT_FOUND in @err */
struct box *driver_find(struct driver *driver, const char *id, struct osa_error *err);

/** driver_used() - What all boxes that run, or are about to, have reserved */
struct resources driver_used(const struct driver *driver);

/**
 * driver_create() - CreateSandbox: remember it, and start it after this returns
 * @wire: with its token
 * Return: OSA_OK; what driver_spec_from_wire() and schedule_place() say; ALREADY_EXISTS;
 * FAILED_PRECONDITION without a token, or when the disk is full.
 */
OSA_MUST_CHECK enum osa_code driver_create(struct driver *driver, const WireSandbox *wire,
                                           struct osa_error *err);

/** driver_queue() - Do it soon, after what was queued before; queued already is fine */
void driver_queue(struct driver *driver, struct driver_work *work);
/** driver_unqueue() - Do not. One that is not queued is fine */
void driver_unqueue(struct driver *driver, struct driver_work *work);

/** driver_validate() - Could it be created? Changes nothing */
OSA_MUST_CHECK enum osa_code driver_validate(const struct driver *driver, const WireSandbox *wire,
                                             struct osa_error *err);

/** box_stop() - @done when nothing of it runs; at once when that is so already */
void box_stop(struct box *box, box_done_fn done, void *ctx);

/** box_start() - Let it run again; its end of before is forgotten when this returns */
OSA_MUST_CHECK enum osa_code box_start(struct box *box, struct osa_error *err);

/** box_delete() - @done when nothing of it is left. The event for watchers follows */
void box_delete(struct box *box, box_done_fn done, void *ctx);

/** box_confirm() - The gateway speaks of it, so it knows it */
void box_confirm(struct box *box);

/* ---- for the files of this folder ---- */

/** driver_finish_close() - The last box is gone */
void driver_finish_close(struct driver *driver);

/** box_adopt() - A box from its record: go on from wherever a crash left it. @record is taken */
OSA_MUST_CHECK enum osa_code box_adopt(struct driver *driver, const char *id, struct record *record,
                                       struct osa_error *err);

/** box_new() - In the table, without any effect outside. @record and @spec are taken */
struct box *box_new(struct driver *driver, const char *id, struct record *record,
                    struct driver_spec *spec);

/** box_free() - Out of the table, and freed as soon as its link is closed */
void box_free(struct box *box);

/** box_launch() - Start its agent, soon */
void box_launch(struct box *box);

/** box_fail() - It has failed, for good: record, event, condition, log */
void box_fail(struct box *box, const char *reason, const char *message);

/** box_has_image() - Is there an image that must be had before its agent is started? */
bool box_has_image(const struct box *box);

/** box_image_get() - Ask for it; box_fail() or another turn of the launch follows */
void box_image_get(struct box *box);

/** box_image_want() - What to ask for. @digest: "" for whatever the name stands for. Everything is borrowed */
struct image_want box_image_want(const struct driver *driver, const struct driver_spec *spec,
                                 enum runtime_kind kind, const char *digest);

/** box_image_done() - Do not wait any more, and free what is known */
void box_image_done(struct box *box);

/** launch_tell_placement() - The event Scheduled, and ImagePresent for the host's root */
void launch_tell_placement(struct box *box);

/** launch_agent() - Start its agent, now. For box.c; INTERNAL and so on when it cannot be started */
OSA_MUST_CHECK enum osa_code launch_agent(struct box *box, struct osa_error *err);

/** launch_last_words() - The last error in the agent's log, else its last line, for people; "" when there is none */
void launch_last_words(const struct box *box, char *ret_text, size_t size);

/** box_snapshot() - As the gateway wants it; everything lives in @arena */
WireSandbox *box_snapshot(const struct box *box, struct osa_arena *arena);

/** watch_add() - Send every box as it is, what has gone meanwhile, then changes */
void watch_add(struct driver *driver, struct rpc_call *call);
/** watch_remove() - The call is over */
void watch_remove(struct driver *driver, struct rpc_call *call);
/** watch_changed() - Send a box as it is to all watchers */
void watch_changed(struct box *box);
/** watch_deleted() - Nothing of it is left. Return: false when nobody watches */
bool watch_deleted(struct driver *driver, const char *id);

/**
 * struct watch_event - A platform event
 * @type: "Normal" or "Warning"
 * @complete, @active, @detail: progress steps for the client; NULL for none
 */
struct watch_event {
    const char *type;
    const char *reason;
    const char *message;
    const char *complete;
    const char *active;
    const char *detail;
};

/** watch_event() - Tell all watchers what happens to a box */
void watch_event(struct box *box, const struct watch_event *event);

/* The service; @driver is its ctx. */
extern const struct rpc_service driver_service;
