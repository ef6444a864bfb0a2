// SPDX-License-Identifier: Apache-2.0
/* Events: a reader of the ring that pulls as fast as its client takes. */
#include "agent/service/service_internal.h"

#include <string.h>

struct events_call {
    struct event_reader reader;
    struct rpc_call *call;
    struct events *events;
    uint64_t next;
    uint64_t end; /* without follow: the first that is not sent */
    bool follow;
    bool blocked;
    bool finished;
    char sandbox_id[64];
};

static void finish(struct events_call *events)
{
    events->finished = true;
    events_unwatch(events->events, &events->reader);
}

static bool send_event(struct events_call *events, const struct event *event)
{
    struct osa_arena arena = { 0 };
    const char *instance_id = agent_state(service_of(events->call)->agent).instance_id;
    V1(Event) *wire = event_to_wire(&arena, event, instance_id);
    bool more = rpc_call_send(events->call, &wire->base);
    osa_arena_done(&arena);
    return more;
}

static void fail_lost(struct events_call *events)
{
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_OUT_OF_RANGE, 0,
                   "from_sequence: event %llu is no longer kept; the first that is has number %llu",
                   (unsigned long long)events->next,
                   (unsigned long long)events_first(events->events));
    finish(events);
    service_fail(events->call, &err);
}

static void pump(struct events_call *events)
{
    while (!events->finished && !events->blocked) {
        if (!events->follow && events->next >= events->end) {
            finish(events);
            rpc_call_finish(events->call);
            return;
        }
        if (events->next < events_first(events->events)) {
            fail_lost(events);
            return;
        }
        const struct event *event = events_get(events->events, events->next);
        if (event == NULL)
            return;
        events->next++;
        if (events->sandbox_id[0] == '\0' || strcmp(event->sandbox_id, events->sandbox_id) == 0)
            events->blocked = !send_event(events, event);
    }
}

static void on_ready(struct event_reader *reader)
{
    pump(OSA_CONTAINER_OF(reader, struct events_call, reader));
}

void service_events(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(EventsRequest) *wire = (const V1(EventsRequest) *)request;
    struct events *ring = agent_events(service_of(call)->agent);
    struct osa_error err = { 0 };
    uint64_t next = events_next(ring);
    if (wire->from_sequence > next)
        (void)osa_fail(&err, OSA_OUT_OF_RANGE, 0,
                       "from_sequence: %llu is yet to come; the next event has number %llu",
                       (unsigned long long)wire->from_sequence, (unsigned long long)next);
    else if (strlen(wire->sandbox_id) >= sizeof(((struct events_call *)0)->sandbox_id))
        (void)osa_fail_field(&err, "sandbox_id", "is longer than 63 bytes");
    if (err.code != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    struct events_call *events = calloc(1, sizeof(*events));
    if (events == NULL)
        abort();
    events->reader.ready = on_ready;
    events->call = call;
    events->events = ring;
    events->next = wire->from_sequence != 0 ? wire->from_sequence : next;
    events->end = next;
    events->follow = wire->follow;
    memcpy(events->sandbox_id, wire->sandbox_id, strlen(wire->sandbox_id) + 1);
    rpc_call_set_data(call, events);
    events_watch(ring, &events->reader);
    pump(events);
}

void service_events_writable(struct rpc_call *call)
{
    struct events_call *events = rpc_call_data(call);
    if (events == NULL)
        return;
    events->blocked = false;
    pump(events);
}

void service_events_done(struct rpc_call *call)
{
    struct events_call *events = rpc_call_data(call);
    if (events == NULL)
        return;
    events_unwatch(events->events, &events->reader);
    free(events);
}
