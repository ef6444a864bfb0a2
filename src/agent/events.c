// SPDX-License-Identifier: Apache-2.0
#include "agent/events.h"

#include "base/clock.h"
#include "base/macros.h"

#include <string.h>
#include <utlist.h>

#define FIRST_SLOTS ((size_t)16)

/* An event and its texts in one allocation. */
struct record {
    struct event event;
    struct process_exit exit;
    char text[];
};

struct events {
    size_t max;
    size_t size;
    struct record **ring; /* sequence n is in slot n % size */
    uint64_t first;
    uint64_t next;
    struct event_reader *readers;
};

struct events *events_new(size_t max)
{
    struct events *events = calloc(1, sizeof(*events));
    if (events == NULL)
        abort();
    events->max = OSA_MAX(max, (size_t)1);
    events->first = 1;
    events->next = 1;
    return events;
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    for (size_t i = 0; i < events->size; i++)
        free(events->ring[i]);
    free(events->ring);
    free(events);
}

static const char *put_text(char **at, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return "";
    size_t len = strlen(text) + 1;
    const char *copy = memcpy(*at, text, len);
    *at += len;
    return copy;
}

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static struct record *record_new(const struct event *event)
{
    struct record *record =
        malloc(sizeof(*record) + text_size(event->sandbox_id) + text_size(event->process_id) +
               text_size(event->message) + text_size(event->control));
    if (record == NULL)
        abort();
    char *at = record->text;
    record->event = (struct event){
        .wall_ns = osa_wall_ns(),
        .type = event->type,
        .sandbox_id = put_text(&at, event->sandbox_id),
        .process_id = put_text(&at, event->process_id),
        .message = put_text(&at, event->message),
        .control = put_text(&at, event->control),
    };
    if (event->exit != NULL) {
        record->exit = *event->exit;
        record->event.exit = &record->exit;
    }
    return record;
}

static void grow(struct events *events)
{
    size_t size = OSA_MIN(OSA_MAX(events->size * 2, FIRST_SLOTS), events->max);
    struct record **ring = calloc(size, sizeof(struct record *));
    if (ring == NULL)
        abort();
    for (uint64_t n = events->first; n < events->next; n++)
        ring[n % size] = events->ring[n % events->size];
    free(events->ring);
    events->ring = ring;
    events->size = size;
}

void events_add(struct events *events, const struct event *event)
{
    if (events->next - events->first == events->size && events->size < events->max)
        grow(events);
    struct record *record = record_new(event);
    record->event.sequence = events->next;
    struct record **slot = &events->ring[events->next % events->size];
    if (events->next - events->first == events->size)
        events->first++;
    free(*slot);
    *slot = record;
    events->next++;

    struct event_reader *reader, *after;
    DL_FOREACH_SAFE(events->readers, reader, after)
    reader->ready(reader);
}

uint64_t events_next(const struct events *events)
{
    return events->next;
}

uint64_t events_first(const struct events *events)
{
    return events->first;
}

const struct event *events_get(const struct events *events, uint64_t sequence)
{
    if (sequence < events->first || sequence >= events->next)
        return NULL;
    return &events->ring[sequence % events->size]->event;
}

void events_watch(struct events *events, struct event_reader *reader)
{
    DL_APPEND(events->readers, reader);
}

void events_unwatch(struct events *events, struct event_reader *reader)
{
    if (reader->prev == NULL)
        return;
    DL_DELETE(events->readers, reader);
    reader->prev = NULL;
    reader->next = NULL;
}
