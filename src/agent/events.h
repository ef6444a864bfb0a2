// SPDX-License-Identifier: Apache-2.0
/*
 * What happened, in order: a bounded ring with sequence numbers from 1 and without holes.
 * Subscribers pull like readers of output do; one that is too slow finds its number gone.
 */
#pragma once

#include "backends/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers equal openshell.agent.v1.Event.Type. */
enum event_type {
    EVENT_SANDBOX_CREATED = 1,
    EVENT_SANDBOX_DELETED = 2,
    EVENT_SANDBOX_FAILED = 3,
    EVENT_SANDBOX_PAUSED = 4,
    EVENT_SANDBOX_RESUMED = 5,
    EVENT_PROCESS_STARTED = 6,
    EVENT_PROCESS_EXITED = 7,
    EVENT_PROCESS_START_FAILED = 8,
    EVENT_OOM_KILL = 9,
    EVENT_RESOURCES_UPDATED = 10,
    EVENT_DENIED = 11,
    EVENT_DRAINING = 12,
    EVENT_SIGNALED = 13,
    EVENT_ALLOWED = 14,
    EVENT_POLICY_UPDATED = 15,
};

/**
 * struct event - One of them; strings are never NULL
 * @exit:    with EVENT_PROCESS_EXITED, else NULL
 * @control: with EVENT_DENIED and EVENT_ALLOWED: which control decided
 */
struct event {
    uint64_t sequence;
    int64_t wall_ns;
    enum event_type type;
    const char *sandbox_id;
    const char *process_id;
    const char *message;
    const char *control;
    const struct process_exit *exit;
};

/** struct event_reader - Told of new events; embedded, registered with events_watch() */
struct event_reader {
    void (*ready)(struct event_reader *self);
    struct event_reader *prev, *next;
};

struct events;

/** events_new() - An empty ring of at most @max events; its memory grows as they come */
struct events *events_new(size_t max);
/** events_free() - No reader may be registered. NULL is fine */
void events_free(struct events *events);

/** events_add() - Give it the next number and the time, keep a copy, tell the readers. @event: sequence and wall_ns are not looked at */
void events_add(struct events *events, const struct event *event);

/** events_next() - Number that the next event will have */
uint64_t events_next(const struct events *events);
/** events_first() - Oldest number that is kept; events_next() when there is none */
uint64_t events_first(const struct events *events);
/** events_get() - Event @sequence, NULL when it is not kept or not there yet; borrowed until the next events_add() */
const struct event *events_get(const struct events *events, uint64_t sequence);

/** events_watch() - Call @reader->ready after each event until events_unwatch() */
void events_watch(struct events *events, struct event_reader *reader);
/** events_unwatch() - A reader that was never registered is fine */
void events_unwatch(struct events *events, struct event_reader *reader);
