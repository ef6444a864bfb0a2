// SPDX-License-Identifier: Apache-2.0
/* Stats: one round of answers, or one at each interval. A client that is behind misses rounds. */
#include "agent/service/service_internal.h"

#include <stdio.h>
#include <string.h>

#define MIN_INTERVAL_NS (100 * OSA_NS_PER_MS)

/**
 * struct stats_call - One Stats call; counted, for answers that are under way outlive it
 * @call:   NULL once it is over
 * @open:   answers of this round that have not come
 */
struct stats_call {
    struct rpc_call *call;
    struct osa_timer timer;
    int64_t interval_ns;
    int64_t next_ns;
    unsigned refs;
    unsigned open;
    bool blocked;
    bool finished;
    char sandbox_id[64];
    char process_id[OSA_ID_SIZE];
};

/* One question to the backend. */
struct sample {
    struct stats_call *stats;
    struct resources limits;
    char sandbox_id[64];
    char process_id[OSA_ID_SIZE];
};

static void stats_unref(struct stats_call *stats)
{
    if (--stats->refs == 0)
        free(stats);
}

static bool has_one_target(const struct stats_call *stats)
{
    return stats->sandbox_id[0] != '\0' || stats->process_id[0] != '\0';
}

static void end_round(struct stats_call *stats)
{
    if (stats->finished)
        return;
    if (stats->interval_ns == 0) {
        stats->finished = true;
        rpc_call_finish(stats->call);
        return;
    }
    stats->next_ns = OSA_MAX(stats->next_ns + stats->interval_ns, osa_now_ns());
    if (!stats->blocked)
        osa_timer_arm(service_of(stats->call)->loop, &stats->timer, stats->next_ns);
}

static void send_sample(const struct sample *sample, const struct usage_stats *usage)
{
    struct stats_call *stats = sample->stats;
    struct osa_arena arena = { 0 };
    V1(StatsResponse) wire = V1_INIT(STATS_RESPONSE);
    wire.sandbox_id = (char *)sample->sandbox_id;
    wire.process_id = (char *)sample->process_id;
    wire.at = timestamp_to_wire(&arena, osa_wall_ns());
    wire.cpu = duration_to_wire(&arena, usage->cpu_ns);
    wire.memory_bytes = usage->memory_bytes;
    wire.memory_peak_bytes = usage->memory_peak_bytes;
    wire.pids = usage->pids;
    wire.read_bytes = usage->read_bytes;
    wire.write_bytes = usage->write_bytes;
    wire.throttled = duration_to_wire(&arena, usage->throttled_ns);
    wire.oom_kills = usage->oom_kills;
    wire.limits = resources_to_wire(&arena, &sample->limits);
    if (!rpc_call_send(stats->call, &wire.base))
        stats->blocked = true;
    osa_arena_done(&arena);
}

static void on_sample(void *ctx, const struct usage_stats *usage, const struct osa_error *error)
{
    struct sample *sample = ctx;
    struct stats_call *stats = sample->stats;
    stats->open--;
    if (stats->call != NULL && !stats->finished) {
        if (error == NULL) {
            send_sample(sample, usage);
        } else if (has_one_target(stats)) {
            stats->finished = true;
            service_fail(stats->call, error);
        }
        if (stats->open == 0)
            end_round(stats);
    }
    free(sample);
    stats_unref(stats);
}

static struct sample *sample_new(struct stats_call *stats, const struct resources *limits,
                                 const char *sandbox_id, const char *process_id)
{
    struct sample *sample = calloc(1, sizeof(*sample));
    if (sample == NULL)
        abort();
    sample->stats = stats;
    sample->limits = *limits;
    (void)snprintf(sample->sandbox_id, sizeof(sample->sandbox_id), "%s", sandbox_id);
    (void)snprintf(sample->process_id, sizeof(sample->process_id), "%s", process_id);
    stats->refs++;
    stats->open++;
    return sample;
}

static void ask_sandbox(struct stats_call *stats, struct sandbox *sandbox)
{
    sandbox_stats(sandbox, on_sample, sample_new(stats, &sandbox->limits, sandbox->id, ""));
}

/* In a stream, a target that has gone is the end of it; in a single answer it is an error. */
static void target_gone(struct stats_call *stats, const struct osa_error *error)
{
    stats->finished = true;
    if (stats->interval_ns > 0 && stats->next_ns > 0)
        rpc_call_finish(stats->call);
    else
        service_fail(stats->call, error);
}

static void ask(struct stats_call *stats)
{
    struct agent *agent = service_of(stats->call)->agent;
    struct osa_error err = { 0 };
    if (stats->process_id[0] != '\0') {
        struct process *process = process_find(agent, stats->process_id, &err);
        if (process != NULL && process->state == PROCESS_EXITED && stats->next_ns > 0)
            (void)osa_fail(&err, OSA_FAILED_PRECONDITION, 0, "process '%s' has exited",
                           process->id);
        if (err.code != OSA_OK)
            target_gone(stats, &err);
        else
            process_stats(process, on_sample,
                          sample_new(stats, &process->limits, process->sandbox_id, process->id));
    } else if (stats->sandbox_id[0] != '\0') {
        struct sandbox *sandbox = sandbox_find(agent, stats->sandbox_id, &err);
        if (sandbox == NULL)
            target_gone(stats, &err);
        else
            ask_sandbox(stats, sandbox);
    } else {
        for (struct sandbox *s = sandbox_first(agent); s != NULL; s = sandbox_next(s)) {
            if (sandbox_usable(s, /* paused_too= */ true, NULL) == OSA_OK)
                ask_sandbox(stats, s);
        }
    }
}

static void start_round(struct stats_call *stats)
{
    stats->open = 1; /* keeps the round open while targets are asked */
    ask(stats);
    if (stats->next_ns == 0)
        stats->next_ns = osa_now_ns();
    if (--stats->open == 0)
        end_round(stats);
}

static void on_timer(struct osa_timer *timer)
{
    start_round(OSA_CONTAINER_OF(timer, struct stats_call, timer));
}

void service_stats(struct rpc_call *call, const ProtobufCMessage *request)
{
    const V1(StatsRequest) *wire = (const V1(StatsRequest) *)request;
    struct osa_error err = { 0 };
    int64_t interval_ns = 0;
    if (duration_from_wire(wire->interval, "interval", 0, &interval_ns, &err) == OSA_OK) {
        if (wire->interval != NULL && interval_ns < MIN_INTERVAL_NS)
            (void)osa_fail_field(&err, "interval", "is below 100 ms");
        else if (wire->sandbox_id[0] != '\0' && wire->process_id[0] != '\0')
            (void)osa_fail_field(&err, "process_id", "give either sandbox_id or process_id");
    }
    if (err.code != OSA_OK) {
        service_fail(call, &err);
        return;
    }
    struct stats_call *stats = calloc(1, sizeof(*stats));
    if (stats == NULL)
        abort();
    stats->call = call;
    stats->refs = 1;
    stats->timer.fire = on_timer;
    stats->interval_ns = interval_ns;
    (void)snprintf(stats->sandbox_id, sizeof(stats->sandbox_id), "%s", wire->sandbox_id);
    (void)snprintf(stats->process_id, sizeof(stats->process_id), "%s", wire->process_id);
    rpc_call_set_data(call, stats);
    start_round(stats);
}

void service_stats_writable(struct rpc_call *call)
{
    struct stats_call *stats = rpc_call_data(call);
    if (stats == NULL || !stats->blocked)
        return;
    stats->blocked = false;
    if (!stats->finished && stats->interval_ns > 0 && stats->open == 0)
        osa_timer_arm(service_of(call)->loop, &stats->timer, stats->next_ns);
}

void service_stats_done(struct rpc_call *call)
{
    struct stats_call *stats = rpc_call_data(call);
    if (stats == NULL)
        return;
    osa_timer_disarm(&stats->timer);
    stats->finished = true;
    stats->call = NULL;
    stats_unref(stats);
}
