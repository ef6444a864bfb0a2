// SPDX-License-Identifier: Apache-2.0
/*
 * PushSandboxLogs: what happens in the sandbox, as lines that `openshell logs` shows. They are made of
 * the agent's events, so nothing waits for the gateway: what it cannot take in time is counted and
 * left out. Lines have the form of OpenShell's own ("PROC:LAUNCH [INFO] …").
 */
#include "agent/gateway/gateway.h"

#include "agent/events.h"
#include "base/log.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_LINES 50 /* the gateway keeps the first 100 of a message */
#define BATCH_NS (500 * OSA_NS_PER_MS)
#define FIRST_NS OSA_NS_PER_SEC
#define MAX_NS (30 * OSA_NS_PER_SEC)

/**
 * struct logs - @next: number of the next event to send
 * @dead: the gateway does not let this sandbox push logs
 */
struct logs {
    struct gateway *gateway;
    struct event_reader reader;
    struct rpc_client_call *call;
    struct rpc_client_events events;
    struct osa_timer batch;
    struct osa_timer retry;
    int64_t backoff_ns;
    uint64_t next;
    bool blocked;
    bool dead;
};

/* ---- lines ---- */

static const char *describe(const struct gateway *gateway, const struct event *event, char *out,
                            size_t size)
{
    switch (event->type) {
    case EVENT_PROCESS_STARTED:
    case EVENT_PROCESS_EXITED: {
        const struct process *process =
            process_find(gateway->program.agent, event->process_id, NULL);
        const char *program = process != NULL ? process->request->argv[0] : "process";
        const char *slash = strrchr(program, '/');
        program = slash != NULL && slash[1] != '\0' ? slash + 1 : program;
        if (event->type == EVENT_PROCESS_STARTED)
            (void)snprintf(out, size, "PROC:LAUNCH [INFO] %s(%s)", program, event->process_id);
        else
            (void)snprintf(out, size, "PROC:TERMINATE [INFO] %s(%s) [exit:%d]", program,
                           event->process_id,
                           event->exit != NULL ? workload_status(event->exit) : 0);
        return out;
    }
    case EVENT_DENIED:
        (void)snprintf(out, size, "%s [MED] DENIED %s [engine:%s]",
                       strcmp(event->control, "policy") == 0 ||
                               strcmp(event->control, "network") == 0
                           ? "NET:REFUSE"
                           : "EVENT",
                       event->message, event->control);
        return out;
    case EVENT_ALLOWED:
        (void)snprintf(out, size, "NET:OPEN [INFO] ALLOWED %s [engine:%s]", event->message,
                       event->control);
        return out;
    case EVENT_POLICY_UPDATED:
        (void)snprintf(out, size, "CONFIG:LOADED [INFO] %s",
                       event->message[0] != '\0' ? event->message : "another policy");
        return out;
    case EVENT_OOM_KILL:
        (void)snprintf(out, size, "FINDING:BLOCKED [HIGH] \"out of memory\" %s", event->message);
        return out;
    case EVENT_SANDBOX_CREATED:
    case EVENT_SANDBOX_DELETED:
    case EVENT_SANDBOX_FAILED:
    case EVENT_SANDBOX_PAUSED:
    case EVENT_SANDBOX_RESUMED:
    case EVENT_PROCESS_START_FAILED:
    case EVENT_RESOURCES_UPDATED:
    case EVENT_DRAINING:
    case EVENT_SIGNALED:
        break;
    }
    if (event->message[0] == '\0')
        return NULL;
    (void)snprintf(out, size, "EVENT [INFO] %s", event->message);
    return out;
}

/* Names and paths of a workload are bytes, and a long line is cut anywhere; a message is UTF-8 of one line. */
static void clean(char *text)
{
    for (char *p = text; *p != '\0';) {
        size_t len = osa_utf8_length(p, strlen(p));
        bool shown = len > 0 && !osa_utf8_is_obeyed(osa_utf8_point(p, len));
        len = OSA_MAX(len, (size_t)1);
        if (!shown)
            memset(p, '?', len);
        p += len;
    }
}

static void fill_line(const struct logs *logs, struct osa_arena *arena, const struct event *event,
                      GATEWAY(PushSandboxLogsRequest) * request)
{
    char text[1536];
    GATEWAY(SandboxLogLine) line = GATEWAY_INIT(SANDBOX_LOG_LINE);
    if (describe(logs->gateway, event, text, sizeof(text)) == NULL)
        return;
    clean(text);
    line.sandbox_id = (char *)(uintptr_t)logs->gateway->config->sandbox_id;
    line.timestamp_ms = event->wall_ns / OSA_NS_PER_MS;
    line.level = (char *)(uintptr_t) "OCSF";
    line.target = (char *)(uintptr_t) "ocsf";
    line.source = (char *)(uintptr_t) "sandbox";
    line.message = (char *)(uintptr_t)osa_arena_strdup(arena, text);
    request->logs[request->n_logs++] = osa_arena_copy(arena, &line, sizeof(line));
}

/* ---- sending ---- */

static void send_batch(struct logs *logs)
{
    struct osa_arena arena = { 0 };
    struct events *events = agent_events(logs->gateway->program.agent);
    GATEWAY(PushSandboxLogsRequest) request = GATEWAY_INIT(PUSH_SANDBOX_LOGS_REQUEST);
    if (logs->next < events_first(events)) {
        osa_log(OSA_LOG_WARN, "gateway", "events were lost to the gateway's log",
                OSA_U("count", events_first(events) - logs->next));
        logs->next = events_first(events);
    }
    request.sandbox_id = (char *)(uintptr_t)logs->gateway->config->sandbox_id;
    request.logs = osa_arena_alloc(&arena, BATCH_LINES * sizeof(*request.logs));
    const struct event *event;
    while (request.n_logs < BATCH_LINES && (event = events_get(events, logs->next)) != NULL) {
        fill_line(logs, &arena, event, &request);
        logs->next++;
    }
    if (request.n_logs > 0)
        logs->blocked = !rpc_client_send(logs->call, &request.base);
    osa_arena_done(&arena);
}

static bool has_more(const struct logs *logs)
{
    return logs->next < events_next(agent_events(logs->gateway->program.agent));
}

static void open_stream(struct logs *logs)
{
    logs->blocked = false;
    logs->call = rpc_client_start(logs->gateway->channel, GATEWAY_METHOD("PushSandboxLogs"),
                                  &openshell__v1__push_sandbox_logs_response__descriptor, OSA_NEVER,
                                  /* wait_for_ready= */ false, &logs->events);
}

static void on_batch(struct osa_timer *timer)
{
    struct logs *logs = OSA_CONTAINER_OF(timer, struct logs, batch);
    if (logs->dead || logs->retry.heap_index != 0)
        return;
    if (logs->call == NULL)
        open_stream(logs);
    while (!logs->blocked && has_more(logs))
        send_batch(logs);
}

static void on_event(struct event_reader *reader)
{
    struct logs *logs = OSA_CONTAINER_OF(reader, struct logs, reader);
    if (logs->batch.heap_index == 0 && !logs->dead)
        osa_timer_arm(logs->gateway->program.loop, &logs->batch, osa_deadline_after(BATCH_NS));
}

static void on_writable(struct rpc_client_events *events)
{
    struct logs *logs = OSA_CONTAINER_OF(events, struct logs, events);
    logs->blocked = false;
    logs->backoff_ns = FIRST_NS; /* it takes what it is sent */
    on_batch(&logs->batch);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    (void)events;
    (void)response;
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct logs *logs = OSA_CONTAINER_OF(events, struct logs, events);
    logs->call = NULL;
    if (logs->gateway->ended || logs->gateway->finishing)
        return;
    logs->dead = status->error.code == OSA_UNAUTHENTICATED ||
                 status->error.code == OSA_PERMISSION_DENIED ||
                 status->error.code == OSA_UNIMPLEMENTED;
    osa_log_error(OSA_LOG_DEBUG, "gateway",
                  logs->dead ? "the gateway takes no logs" : "the log's stream has ended",
                  &status->error);
    if (logs->dead)
        return;
    osa_timer_arm(logs->gateway->program.loop, &logs->retry, osa_deadline_after(logs->backoff_ns));
    logs->backoff_ns = OSA_MIN(logs->backoff_ns * 2, (int64_t)MAX_NS);
}

static void on_retry(struct osa_timer *timer)
{
    struct logs *logs = OSA_CONTAINER_OF(timer, struct logs, retry);
    if (has_more(logs))
        on_batch(&logs->batch);
}

void logs_start(struct gateway *gateway)
{
    struct logs *logs = calloc(1, sizeof(*logs));
    if (logs == NULL)
        abort();
    logs->gateway = gateway;
    logs->events = (struct rpc_client_events){ .message = on_message,
                                               .writable = on_writable,
                                               .done = on_done };
    logs->reader.ready = on_event;
    logs->batch.fire = on_batch;
    logs->retry.fire = on_retry;
    logs->backoff_ns = FIRST_NS;
    logs->next = events_first(agent_events(gateway->program.agent));
    gateway->logs = logs;
    events_watch(agent_events(gateway->program.agent), &logs->reader);
    on_event(&logs->reader); /* what has happened so far */
}

void logs_free(struct gateway *gateway)
{
    struct logs *logs = gateway->logs;
    if (logs == NULL)
        return;
    events_unwatch(agent_events(gateway->program.agent), &logs->reader);
    osa_timer_disarm(&logs->batch);
    osa_timer_disarm(&logs->retry);
    free(logs);
    gateway->logs = NULL;
}
