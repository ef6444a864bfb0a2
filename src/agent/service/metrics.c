// SPDX-License-Identifier: Apache-2.0
#include "agent/service/metrics.h"

#include "base/clock.h"
#include "base/linux_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHODS_MAX 48u
#define CONTROLS_MAX 8u
#define EVENT_TYPES 15u

/* Upper bounds of the duration buckets; the last is +Inf. Source: one decade holds three of them. */
static const double bounds[] = { 0.001, 0.0025, 0.01, 0.05, 0.25, 1, 5, 30 };
#define BUCKETS (OSA_ARRAY_LEN(bounds) + 1)

/* Calls of one method. */
struct method {
    const char *name; /* as in the .proto; "other" in the last row */
    uint64_t codes[OSA_CODE_COUNT];
    uint64_t buckets[BUCKETS];
    double seconds;
};

/* Decisions of one control. */
struct control {
    char name[24];
    uint64_t denied;
    uint64_t allowed;
};

struct metrics {
    struct agent *agent;
    const char *service; /* its full name */
    struct event_reader reader;
    uint64_t next_event;
    uint64_t events[EVENT_TYPES];
    uint64_t exits[EXIT_REASON_SANDBOX_LOST + 1];
    uint64_t missed;
    struct control controls[CONTROLS_MAX];
    struct method methods[METHODS_MAX];
    size_t method_count;
};

static const char *const exit_names[] = { "unknown", "exited",     "signaled",
                                          "timeout", "oom_killed", "sandbox_lost" };
static const struct {
    enum event_type type;
    const char *name;
    const char *help;
} counters[] = {
    { EVENT_SANDBOX_CREATED, "openshell_agent_sandboxes_created_total", "Sandboxes created." },
    { EVENT_SANDBOX_DELETED, "openshell_agent_sandboxes_deleted_total", "Sandboxes deleted." },
    { EVENT_SANDBOX_FAILED, "openshell_agent_sandboxes_failed_total",
      "Sandboxes that ended by themselves or never came up." },
    { EVENT_PROCESS_STARTED, "openshell_agent_processes_started_total", "Processes started." },
    { EVENT_PROCESS_START_FAILED, "openshell_agent_process_starts_failed_total",
      "Processes that could not be started." },
    { EVENT_OOM_KILL, "openshell_agent_oom_kills_total",
      "Processes that the kernel killed for want of memory." },
};

/* ---- counting ---- */

static struct control *find_control(struct metrics *metrics, const char *name)
{
    for (size_t i = 0; i < CONTROLS_MAX; i++) {
        struct control *control = &metrics->controls[i];
        if (control->name[0] == '\0')
            (void)snprintf(control->name, sizeof(control->name), "%s",
                           i + 1 < CONTROLS_MAX ? name : "other");
        if (strcmp(control->name, name) == 0 || i + 1 == CONTROLS_MAX)
            return control;
    }
    return NULL; /* not reached: the last one takes everything */
}

static void count_event(struct metrics *metrics, const struct event *event)
{
    if ((unsigned)event->type < EVENT_TYPES)
        metrics->events[event->type]++;
    if (event->exit != NULL)
        metrics->exits[event->exit->reason]++;
    if (event->type == EVENT_DENIED)
        find_control(metrics, event->control)->denied++;
    if (event->type == EVENT_ALLOWED)
        find_control(metrics, event->control)->allowed++;
}

static void on_event(struct event_reader *reader)
{
    struct metrics *metrics = OSA_CONTAINER_OF(reader, struct metrics, reader);
    struct events *events = agent_events(metrics->agent);
    uint64_t first = events_first(events);
    if (first > metrics->next_event) {
        metrics->missed += first - metrics->next_event;
        metrics->next_event = first;
    }
    for (; metrics->next_event < events_next(events); metrics->next_event++)
        count_event(metrics, events_get(events, metrics->next_event));
}

void metrics_call(struct metrics *metrics, const struct rpc_audit *record)
{
    struct method *method = &metrics->methods[metrics->method_count - 1];
    size_t len = strlen(metrics->service);
    if (record->method[0] == '/' && strncmp(record->method + 1, metrics->service, len) == 0 &&
        record->method[len + 1] == '/') {
        for (size_t i = 0; i + 1 < metrics->method_count; i++)
            if (strcmp(metrics->methods[i].name, record->method + len + 2) == 0)
                method = &metrics->methods[i];
    }
    double seconds = (double)record->duration_ns / OSA_NS_PER_SEC;
    size_t bucket = 0;
    while (bucket < OSA_ARRAY_LEN(bounds) && seconds > bounds[bucket])
        bucket++;
    method->buckets[bucket]++;
    method->seconds += seconds;
    method->codes[(unsigned)record->code < OSA_CODE_COUNT ? record->code : OSA_UNKNOWN]++;
}

/* ---- writing ---- */

static void head(struct osa_buf *out, const char *name, const char *type, const char *help)
{
    (void)osa_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_agent(const struct metrics *metrics, struct osa_buf *out)
{
    struct agent_state state = agent_state(metrics->agent);
    head(out, "openshell_agent_info", "gauge", "Always 1; the labels say which agent this is.");
    (void)osa_buf_addf(out, "openshell_agent_info{version=\"%s\",instance=\"%s\"} 1\n", OSA_VERSION,
                       state.instance_id);
    const struct {
        const char *name;
        const char *help;
        double value;
    } gauges[] = {
        { "openshell_agent_sandboxes", "Sandboxes now.", state.sandboxes },
        { "openshell_agent_processes", "Running processes now.", state.processes },
        { "openshell_agent_draining", "1 while the agent takes no new work.", state.draining },
        { "openshell_agent_allocated_cpus", "Sum of the CPU limits of all sandboxes.",
          (double)state.allocated.cpu_millis / 1000 },
        { "openshell_agent_allocated_memory_bytes", "Sum of the memory limits of all sandboxes.",
          (double)state.allocated.memory_bytes },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(gauges); i++) {
        head(out, gauges[i].name, "gauge", gauges[i].help);
        (void)osa_buf_addf(out, "%s %.15g\n", gauges[i].name, gauges[i].value);
    }
    head(out, "process_start_time_seconds", "gauge", "When the agent started, since the epoch.");
    (void)osa_buf_addf(out, "process_start_time_seconds %.3f\n",
                       (double)state.started_wall_ns / OSA_NS_PER_SEC);
}

static void write_self(struct osa_buf *out)
{
    struct host_self self;
    host_self_probe(&self);
    head(out, "process_cpu_seconds_total", "counter", "CPU time of the agent itself.");
    (void)osa_buf_addf(out, "process_cpu_seconds_total %.6f\n",
                       (double)self.cpu_ns / OSA_NS_PER_SEC);
    head(out, "process_resident_memory_bytes", "gauge", "Resident memory of the agent itself.");
    (void)osa_buf_addf(out, "process_resident_memory_bytes %llu\n",
                       (unsigned long long)self.resident_bytes);
    head(out, "process_open_fds", "gauge", "Descriptors that the agent has open.");
    (void)osa_buf_addf(out, "process_open_fds %u\n", self.descriptors);
    head(out, "process_max_fds", "gauge", "Descriptors that the agent may have open.");
    (void)osa_buf_addf(out, "process_max_fds %llu\n", (unsigned long long)self.descriptors_max);
}

static void write_events(const struct metrics *metrics, struct osa_buf *out)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(counters); i++) {
        head(out, counters[i].name, "counter", counters[i].help);
        (void)osa_buf_addf(out, "%s %llu\n", counters[i].name,
                           (unsigned long long)metrics->events[counters[i].type]);
    }
    head(out, "openshell_agent_process_exits_total", "counter",
         "Processes that ended, by what ended them.");
    for (size_t i = 1; i < OSA_ARRAY_LEN(exit_names); i++)
        (void)osa_buf_addf(out, "openshell_agent_process_exits_total{reason=\"%s\"} %llu\n",
                           exit_names[i], (unsigned long long)metrics->exits[i]);
    head(out, "openshell_agent_decisions_total", "counter",
         "What controls refused to workloads or let through, as far as they tell.");
    for (size_t i = 0; i < CONTROLS_MAX && metrics->controls[i].name[0] != '\0'; i++) {
        const struct control *control = &metrics->controls[i];
        (void)osa_buf_addf(
            out,
            "openshell_agent_decisions_total{control=\"%s\",decision=\"deny\"} %llu\n"
            "openshell_agent_decisions_total{control=\"%s\",decision=\"allow\"} "
            "%llu\n",
            control->name, (unsigned long long)control->denied, control->name,
            (unsigned long long)control->allowed);
    }
    head(out, "openshell_agent_events_missed_total", "counter",
         "Events that came faster than they could be counted here.");
    (void)osa_buf_addf(out, "openshell_agent_events_missed_total %llu\n",
                       (unsigned long long)metrics->missed);
}

static void write_method(const struct method *method, struct osa_buf *out)
{
    uint64_t count = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        char bound[16] = "+Inf";
        count += method->buckets[i];
        if (i < OSA_ARRAY_LEN(bounds))
            (void)snprintf(bound, sizeof(bound), "%g", bounds[i]);
        (void)osa_buf_addf(
            out, "openshell_agent_rpc_duration_seconds_bucket{method=\"%s\",le=\"%s\"} %llu\n",
            method->name, bound, (unsigned long long)count);
    }
    (void)osa_buf_addf(out,
                       "openshell_agent_rpc_duration_seconds_sum{method=\"%s\"} %.6f\n"
                       "openshell_agent_rpc_duration_seconds_count{method=\"%s\"} %llu\n",
                       method->name, method->seconds, method->name, (unsigned long long)count);
}

static void write_calls(const struct metrics *metrics, struct osa_buf *out)
{
    head(out, "openshell_agent_rpc_calls_total", "counter",
         "Calls that ended or were refused, by gRPC status.");
    for (size_t i = 0; i < metrics->method_count; i++) {
        const struct method *method = &metrics->methods[i];
        for (unsigned code = 0; code < OSA_CODE_COUNT; code++)
            if (method->codes[code] > 0)
                (void)osa_buf_addf(
                    out, "openshell_agent_rpc_calls_total{method=\"%s\",code=\"%s\"} %llu\n",
                    method->name, osa_code_name((enum osa_code)code),
                    (unsigned long long)method->codes[code]);
    }
    head(out, "openshell_agent_rpc_duration_seconds", "histogram",
         "How long calls took; streams last as long as their clients want.");
    for (size_t i = 0; i < metrics->method_count; i++)
        write_method(&metrics->methods[i], out);
}

void metrics_write(struct metrics *metrics, struct osa_buf *out)
{
    write_agent(metrics, out);
    write_self(out);
    write_events(metrics, out);
    write_calls(metrics, out);
}

/* ---- life ---- */

struct metrics *metrics_new(struct agent *agent, const struct rpc_service *service)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics == NULL)
        return NULL;
    metrics->agent = agent;
    metrics->service = service->name;
    for (size_t i = 0; i < service->method_count && metrics->method_count + 1 < METHODS_MAX; i++)
        metrics->methods[metrics->method_count++].name = service->methods[i].name;
    metrics->methods[metrics->method_count++].name = "other";
    metrics->next_event = events_next(agent_events(agent));
    metrics->reader.ready = on_event;
    events_watch(agent_events(agent), &metrics->reader);
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    events_unwatch(agent_events(metrics->agent), &metrics->reader);
    free(metrics);
}
