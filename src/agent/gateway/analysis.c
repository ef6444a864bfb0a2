// SPDX-License-Identifier: Apache-2.0
/*
 * SubmitPolicyAnalysis: what the proxy refused, summed up by host, port and executable, and how much it
 * decided at all. The gateway shows it and may propose rules. What cannot be sent is forgotten: nothing
 * waits for the gateway, and memory has a bound.
 */
#include "agent/egress.h"
#include "agent/gateway/gateway.h"
#include "egress/gate.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <utlist.h>

#define CALL_NS (10 * OSA_NS_PER_SEC)
/* Different denials in one summary; further ones are counted as activity alone. */
#define DENIALS_MAX 256u
#define ANCESTORS_MAX 16u

/* The gateway's names; what it does not know it counts as the last. */
enum group {
    GROUP_CONNECT,
    GROUP_FORWARD,
    GROUP_L7,
    GROUP_PARSE,
    GROUP_SSRF,
    GROUP_STALE,
    GROUP_UNKNOWN,
    GROUP_COUNT
};
static const char *const group_names[GROUP_COUNT] = {
    "connect_policy", "forward_policy", "l7_policy", "l7_parse_rejection",
    "ssrf",           "policy_stale",   "unknown",
};

/* What one host, port and executable were refused; texts are its own. */
struct denial {
    struct denial *next;
    uint16_t port;
    char *host;
    char *binary;
    char *reason;
    const char *stage;
    char *ancestors[ANCESTORS_MAX];
    size_t ancestor_count;
    int64_t first_ms;
    int64_t last_ms;
    uint32_t count;
};

/* One kind of summary on its way: when the next is due, and the call that is under way. */
struct flow {
    struct analysis *analysis;
    struct osa_timer timer;
    struct rpc_client_call *call;
    struct rpc_client_events events;
};

struct analysis {
    struct gateway *gateway;
    struct egress_watcher watcher;
    struct flow denials_flow;
    struct flow activity_flow;
    struct denial *denials;
    unsigned denial_count;
    uint32_t decided;
    uint32_t denied;
    uint32_t groups[GROUP_COUNT];
};

/* ---- kinds of denials ---- */

/* Return: the policy's reason of that name; NONE for trouble that is not the policy's. */
static enum policy_reason reason_of(const char *name)
{
    for (unsigned i = POLICY_REASON_NONE + 1; i < POLICY_REASON_COUNT; i++) {
        if (strcmp(policy_reason_name((enum policy_reason)i), name) == 0)
            return (enum policy_reason)i;
    }
    return POLICY_REASON_NONE;
}

static bool is_of_destination(enum policy_reason reason)
{
    return reason >= POLICY_REASON_RESOLUTION && reason <= POLICY_REASON_INTERNAL;
}

static bool is_of_request(enum policy_reason reason)
{
    return reason >= POLICY_REASON_ROUTE_MISS && reason < POLICY_REASON_COUNT;
}

static enum group group_of(const struct gate_record *record)
{
    enum policy_reason reason = reason_of(record->reason);
    if (strcmp(record->reason, "policy-changed") == 0)
        return GROUP_STALE;
    if (strcmp(record->reason, "http-parser") == 0 || reason == POLICY_REASON_TARGET_INVALID)
        return GROUP_PARSE;
    if (is_of_destination(reason))
        return GROUP_SSRF;
    if (is_of_request(reason))
        return GROUP_L7;
    if (reason == POLICY_REASON_NONE || reason == POLICY_REASON_UNINSPECTED)
        return GROUP_UNKNOWN;
    return strcmp(record->kind, "forward") == 0 ? GROUP_FORWARD : GROUP_CONNECT;
}

/* Return: the stage of a summary; NULL for what goes into none: requests in tunnels, names, trouble. */
static const char *stage_of(const struct gate_record *record)
{
    enum policy_reason reason = reason_of(record->reason);
    bool forward = strcmp(record->kind, "forward") == 0;
    if (strcmp(record->reason, "tls-termination-unavailable") == 0)
        return "connect-tls-termination-unavailable";
    if (reason == POLICY_REASON_NONE || record->host[0] == '\0' || record->port == 0)
        return NULL;
    if (strcmp(record->kind, "tcp") == 0)
        return "transparent-tcp";
    if (reason == POLICY_REASON_UNINSPECTED)
        return "connect-uninspected-credentials";
    if (is_of_destination(reason))
        return "ssrf";
    if (forward)
        return is_of_request(reason) ? "forward-l7-deny" : "forward";
    return strcmp(record->kind, "connect") == 0 ? "connect" : NULL;
}

/* ---- gathering ---- */

static int64_t wall_ms(void)
{
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

static void denial_free(struct denial *denial)
{
    for (size_t i = 0; i < denial->ancestor_count; i++)
        free(denial->ancestors[i]);
    free(denial->host);
    free(denial->binary);
    free(denial->reason);
    free(denial);
}

static void drop_denials(struct analysis *analysis)
{
    while (analysis->denials != NULL) {
        struct denial *denial = analysis->denials;
        LL_DELETE(analysis->denials, denial);
        denial_free(denial);
    }
    analysis->denial_count = 0;
}

/* Return: NULL without room or memory. */
static struct denial *denial_new(struct analysis *analysis, const struct gate_record *record)
{
    struct denial *denial =
        analysis->denial_count < DENIALS_MAX ? calloc(1, sizeof(*denial)) : NULL;
    if (denial == NULL)
        return NULL;
    denial->port = record->port;
    denial->host = strdup(record->host);
    denial->binary = strdup(record->exe);
    denial->reason = strdup(record->detail[0] != '\0' ? record->detail : record->reason);
    denial->stage = stage_of(record);
    bool ok = denial->host != NULL && denial->binary != NULL && denial->reason != NULL;
    for (size_t i = 0; ok && i < OSA_MIN(record->ancestor_count, (size_t)ANCESTORS_MAX); i++) {
        denial->ancestors[i] = strdup(record->ancestors[i]);
        ok = denial->ancestors[i] != NULL;
        denial->ancestor_count += ok;
    }
    if (!ok) {
        denial_free(denial);
        return NULL;
    }
    denial->first_ms = wall_ms();
    LL_PREPEND(analysis->denials, denial);
    analysis->denial_count++;
    return denial;
}

static void note_denial(struct analysis *analysis, const struct gate_record *record)
{
    struct denial *denial;
    LL_FOREACH(analysis->denials, denial)
    {
        if (denial->port == record->port && strcmp(denial->host, record->host) == 0 &&
            strcmp(denial->binary, record->exe) == 0)
            break;
    }
    if (denial == NULL)
        denial = denial_new(analysis, record);
    if (denial == NULL)
        return;
    denial->count++;
    denial->last_ms = wall_ms();
}

static void on_decided(struct egress_watcher *watcher, const struct sandbox *sandbox,
                       const struct gate_record *record)
{
    struct analysis *analysis = OSA_CONTAINER_OF(watcher, struct analysis, watcher);
    (void)sandbox;
    analysis->decided++;
    if (record->allowed)
        return;
    analysis->denied++;
    analysis->groups[group_of(record)]++;
    if (stage_of(record) != NULL)
        note_denial(analysis, record);
}

/* ---- sending ---- */

static void submit(struct flow *flow, GATEWAY(SubmitPolicyAnalysisRequest) * request,
                   const char *mode)
{
    struct gateway *gateway = flow->analysis->gateway;
    request->analysis_mode = (char *)(uintptr_t)mode;
    request->name = (char *)(uintptr_t)gateway->config->sandbox_name;
    request->workspace = gateway->workspace;
    flow->call =
        rpc_client_start(gateway->channel, GATEWAY_METHOD("SubmitPolicyAnalysis"),
                         &openshell__v1__submit_policy_analysis_response__descriptor,
                         osa_deadline_after(CALL_NS), /* wait_for_ready= */ false, &flow->events);
    (void)rpc_client_send(flow->call, &request->base);
    rpc_client_half_close(flow->call);
}

static void fill_denial(struct osa_arena *arena, const struct denial *denial,
                        GATEWAY(DenialSummary) * *ret)
{
    GATEWAY(DenialSummary) *summary = osa_arena_alloc(arena, sizeof(*summary));
    *summary = (GATEWAY(DenialSummary))GATEWAY_INIT(DENIAL_SUMMARY);
    summary->host = denial->host;
    summary->port = denial->port;
    summary->binary = denial->binary;
    summary->n_ancestors = denial->ancestor_count;
    summary->ancestors = (char **)(uintptr_t)denial->ancestors;
    summary->deny_reason = denial->reason;
    summary->denial_stage = (char *)(uintptr_t)denial->stage;
    summary->first_seen_ms = denial->first_ms;
    summary->last_seen_ms = denial->last_ms;
    summary->count = summary->total_count = denial->count;
    *ret = summary;
}

static void send_denials(struct analysis *analysis)
{
    struct osa_arena arena = { 0 };
    const struct denial *denial;
    GATEWAY(SubmitPolicyAnalysisRequest) request = GATEWAY_INIT(SUBMIT_POLICY_ANALYSIS_REQUEST);
    request.summaries =
        osa_arena_alloc(&arena, analysis->denial_count * sizeof(*request.summaries));
    LL_FOREACH(analysis->denials, denial)
    fill_denial(&arena, denial, &request.summaries[request.n_summaries++]);
    submit(&analysis->denials_flow, &request, "mechanistic");
    osa_arena_done(&arena);
    drop_denials(analysis);
}

static void send_activity(struct analysis *analysis)
{
    GATEWAY(DenialGroupCount) counts[GROUP_COUNT];
    GATEWAY(DenialGroupCount) * groups[GROUP_COUNT];
    GATEWAY(NetworkActivitySummary) summary = GATEWAY_INIT(NETWORK_ACTIVITY_SUMMARY);
    GATEWAY(NetworkActivitySummary) *summaries = &summary;
    GATEWAY(SubmitPolicyAnalysisRequest) request = GATEWAY_INIT(SUBMIT_POLICY_ANALYSIS_REQUEST);
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        if (analysis->groups[i] == 0)
            continue;
        counts[i] = (GATEWAY(DenialGroupCount))GATEWAY_INIT(DENIAL_GROUP_COUNT);
        counts[i].deny_group = (char *)(uintptr_t)group_names[i];
        counts[i].denied_count = analysis->groups[i];
        groups[summary.n_denials_by_group++] = &counts[i];
    }
    summary.denials_by_group = groups;
    summary.network_activity_count = analysis->decided;
    summary.denied_action_count = analysis->denied;
    request.n_network_activity_summaries = 1;
    request.network_activity_summaries = &summaries;
    submit(&analysis->activity_flow, &request, "activity");
    analysis->decided = analysis->denied = 0;
    memset(analysis->groups, 0, sizeof(analysis->groups));
}

static void arm(struct flow *flow)
{
    const struct gateway_config *config = flow->analysis->gateway->config;
    uint64_t seconds =
        flow == &flow->analysis->denials_flow ? config->denial_flush_s : config->activity_flush_s;
    osa_timer_arm(flow->analysis->gateway->program.loop, &flow->timer,
                  osa_deadline_after((int64_t)seconds * OSA_NS_PER_SEC));
}

/* Both wait for a workspace: the gateway finds a sandbox by its name there. */
static void on_timer(struct osa_timer *timer)
{
    struct flow *flow = OSA_CONTAINER_OF(timer, struct flow, timer);
    struct analysis *analysis = flow->analysis;
    const struct gateway *gateway = analysis->gateway;
    arm(flow);
    if (flow->call != NULL || gateway->workspace[0] == '\0' ||
        gateway->config->sandbox_name == NULL)
        return;
    if (flow == &analysis->denials_flow && analysis->denials != NULL)
        send_denials(analysis);
    else if (flow == &analysis->activity_flow && analysis->decided > 0)
        send_activity(analysis);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    (void)events;
    (void)response;
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct flow *flow = OSA_CONTAINER_OF(events, struct flow, events);
    flow->call = NULL;
    if (status->error.code != OSA_OK && !flow->analysis->gateway->finishing)
        osa_log_error(OSA_LOG_DEBUG, "gateway", "a summary of decisions was not taken; it is gone",
                      &status->error);
}

static void begin(struct analysis *analysis, struct flow *flow)
{
    flow->analysis = analysis;
    flow->timer.fire = on_timer;
    flow->events = (struct rpc_client_events){ .message = on_message, .done = on_done };
    arm(flow);
}

void analysis_start(struct gateway *gateway)
{
    struct analysis *analysis = calloc(1, sizeof(*analysis));
    if (analysis == NULL)
        abort();
    analysis->gateway = gateway;
    analysis->watcher.decided = on_decided;
    begin(analysis, &analysis->denials_flow);
    begin(analysis, &analysis->activity_flow);
    gateway->analysis = analysis;
    egress_watch(gateway->program.agent, &analysis->watcher);
}

void analysis_free(struct gateway *gateway)
{
    struct analysis *analysis = gateway->analysis;
    if (analysis == NULL)
        return;
    egress_unwatch(gateway->program.agent, &analysis->watcher);
    osa_timer_disarm(&analysis->denials_flow.timer);
    osa_timer_disarm(&analysis->activity_flow.timer);
    drop_denials(analysis);
    free(analysis);
    gateway->analysis = NULL;
}
