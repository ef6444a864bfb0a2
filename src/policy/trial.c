// SPDX-License-Identifier: Apache-2.0
#include "policy/trial.h"

#include "policy/explain.h"
#include "policy/graphql.h"
#include "policy/placeholder.h"
#include "policy/rpc.h"

#include <string.h>

/* One run of policy_trial_run(). */
struct run {
    const struct policy_engine *engine;
    const struct policy_trial *trial;
    struct osa_arena *arena;
    struct policy_trial_result *result;
    struct policy_connection connection;
    struct policy_grant grant;
    struct osa_buf text;
};

const char *policy_stage_name(enum policy_stage stage)
{
    static const char *const names[] = { [POLICY_STAGE_CONNECTION] = "connection",
                                         [POLICY_STAGE_DESTINATION] = "destination",
                                         [POLICY_STAGE_REQUEST] = "request" };
    return names[stage];
}

const char *policy_verdict_name(enum policy_verdict verdict)
{
    static const char *const names[] = {
        [POLICY_DENY] = "deny", [POLICY_AUDIT] = "audit", [POLICY_ALLOW] = "allow"
    };
    return names[verdict];
}

/* What was appended since the last time, kept. */
static const char *take_text(struct run *run)
{
    const char *text = osa_arena_strdup(run->arena, run->text.data);
    osa_buf_reset(&run->text);
    return text;
}

static void decide(struct run *run, enum policy_stage stage, enum policy_reason reason, bool hard)
{
    run->result->stage = stage;
    run->result->reason = reason;
    run->result->verdict = reason == POLICY_REASON_NONE ? POLICY_ALLOW : POLICY_DENY;
    run->result->hard = hard;
}

static enum policy_reason find_identity(const char *name)
{
    for (int i = POLICY_REASON_IDENTITY_PENDING; i <= POLICY_REASON_SHARED_SOCKET; i++)
        if (name != NULL && strcmp(name, policy_reason_name((enum policy_reason)i)) == 0)
            return (enum policy_reason)i;
    return POLICY_REASON_NONE;
}

static bool ask_connection(struct run *run)
{
    const struct policy_trial *trial = run->trial;
    run->connection = (struct policy_connection){
        .host = trial->host,
        .port = (uint16_t)trial->port,
        .binary = trial->binary,
        .ancestors = trial->ancestors.items,
        .ancestor_count = trial->ancestors.count,
        .cmdline_paths = trial->argv.items,
        .cmdline_path_count = trial->argv.count,
        .identity = find_identity(trial->identity),
    };
    (void)policy_connect(run->engine, &run->connection, &run->grant);
    if (run->grant.allow && run->grant.uninspected && !trial->forward) {
        run->grant.allow = false;
        run->grant.reason = POLICY_REASON_UNINSPECTED;
    }
    decide(run, POLICY_STAGE_CONNECTION, run->grant.reason, /* hard= */ !run->grant.allow);
    if (run->grant.rule != NULL)
        run->result->rule = osa_arena_strdup(run->arena, run->grant.rule->key);
    policy_explain_connect(run->engine, &run->connection, &run->grant, &run->text);
    run->result->explanation = take_text(run);
    policy_advise_connect(run->engine, &run->connection, &run->grant, &run->text);
    run->result->advice = take_text(run);
    return run->grant.allow;
}

/* The first address that is refused decides; with none refused, the first is told. */
static enum policy_reason check_addresses(const struct policy_trial *trial,
                                          const struct policy_guard *guard,
                                          struct policy_address *ret_address)
{
    enum policy_reason reason = POLICY_REASON_NONE;
    if (guard->literal) {
        (void)policy_address_parse(trial->host, ret_address);
        return policy_guard_check(guard, ret_address);
    }
    for (size_t i = 0; i < trial->addresses.count && reason == POLICY_REASON_NONE; i++) {
        bool plain =
            policy_address_parse(trial->addresses.items[i], ret_address) == POLICY_SPELLING_PLAIN;
        reason = plain ? policy_guard_check(guard, ret_address) : POLICY_REASON_RESOLUTION;
    }
    return trial->addresses.count == 0 ? POLICY_REASON_RESOLUTION : reason;
}

static bool ask_destination(struct run *run)
{
    const struct policy_trial *trial = run->trial;
    struct policy_address gateway;
    bool trusted = trial->gateway != NULL &&
                   policy_address_parse(trial->gateway, &gateway) == POLICY_SPELLING_PLAIN;
    struct policy_guard guard;
    struct policy_address address = { 0 };
    (void)policy_guard_plan(&run->connection, &run->grant, trusted ? &gateway : NULL, &guard);
    enum policy_reason reason = guard.reason;
    if (reason == POLICY_REASON_NONE && (trial->resolved || guard.literal))
        reason = check_addresses(trial, &guard, &address);
    run->result->mode = policy_guard_mode_name(guard.mode);
    if (reason == POLICY_REASON_NONE)
        return true;
    decide(run, POLICY_STAGE_DESTINATION, reason, /* hard= */ true);
    policy_explain_guard(&run->connection, &guard, reason, address.size > 0 ? &address : NULL,
                         &run->text);
    run->result->explanation = take_text(run);
    policy_advise_guard(&run->connection, &guard, reason, &run->text);
    run->result->advice = take_text(run);
    return false;
}

/* What body or message ask for, where the endpoint wants to know. */
static void read_content(struct run *run, const struct policy_route *route,
                         struct policy_graphql *graphql, struct policy_rpc *rpc,
                         struct policy_request *request)
{
    const struct policy_trial *trial = run->trial;
    bool wants_graphql = policy_wants_graphql(run->engine, route);
    enum policy_protocol protocol =
        route->endpoint != NULL ? route->endpoint->protocol : POLICY_PROTOCOL_NONE;
    if (wants_graphql && trial->message != NULL) {
        if (policy_graphql_message(policy_text(trial->message), run->arena, graphql) !=
            POLICY_MESSAGE_CONTROL)
            request->graphql = graphql;
    } else if (wants_graphql && protocol == POLICY_PROTOCOL_GRAPHQL) {
        policy_graphql_http(request->method, request->query, policy_text(trial->content_type),
                            policy_text(trial->content_encoding), policy_text(trial->body),
                            run->arena, graphql);
        request->graphql = graphql;
    } else if (protocol == POLICY_PROTOCOL_JSON_RPC || protocol == POLICY_PROTOCOL_MCP) {
        policy_rpc_parse(route->endpoint, request->method, policy_text(trial->accept),
                         policy_text(trial->body), run->arena, rpc);
        request->rpc = rpc;
    }
}

static void refuse_target(struct run *run, const char *why)
{
    decide(run, POLICY_STAGE_REQUEST, POLICY_REASON_TARGET_INVALID, /* hard= */ true);
    run->result->explanation = osa_arena_strdup(run->arena, why);
    run->result->advice = "";
}

/* Rules see what logs show: no placeholder, and no credential either. */
static bool hide_credentials(struct run *run, struct policy_target *target)
{
    struct osa_error err = { 0 };
    enum osa_code code = policy_credentials_path(target->path, NULL, &run->text, &err);
    target->path = policy_text(take_text(run));
    if (code == OSA_OK)
        code = policy_credentials_form(target->query, NULL, &run->text, &err);
    target->query = policy_text(take_text(run));
    if (code != OSA_OK)
        refuse_target(run, err.text);
    return code == OSA_OK;
}

static void ask_request(struct run *run)
{
    const struct policy_trial *trial = run->trial;
    const char *raw = trial->target != NULL ? trial->target : "/";
    char *room = osa_arena_alloc(run->arena, POLICY_TARGET_ROOM);
    struct policy_target target;
    struct osa_error err = { 0 };
    if (policy_target_parse(raw, strlen(raw), room, &target, &err) != OSA_OK) {
        refuse_target(run, err.text);
        return;
    }
    bool hidden = policy_placeholder_seen(target.path) || policy_placeholder_seen(target.query);
    if (hidden && !hide_credentials(run, &target))
        return;
    run->result->path = target.path.data;
    struct policy_route route;
    (void)policy_route(run->engine, &run->connection, &run->grant, &target, trial->forward, &route);
    struct policy_request request = {
        .method = policy_text(trial->message != NULL ? POLICY_WEBSOCKET_TEXT : trial->method),
        .path = target.path,
        .query = target.query,
        .upgrade = trial->upgrade,
    };
    struct policy_graphql graphql = { 0 };
    struct policy_rpc rpc = { 0 };
    read_content(run, &route, &graphql, &rpc, &request);
    struct policy_answer answer;
    (void)policy_request(run->engine, &run->connection, &run->grant, &route, &request, &answer);
    decide(run, POLICY_STAGE_REQUEST, answer.reason, answer.hard);
    run->result->verdict = answer.verdict;
    run->result->rule = osa_arena_strdup(run->arena, answer.rule != NULL ? answer.rule->key : "");
    policy_explain_request(&request, &answer, &run->text);
    run->result->explanation = take_text(run);
    policy_advise_request(&request, &answer, &run->text);
    run->result->advice = take_text(run);
}

void policy_trial_run(const struct policy_engine *engine, const struct policy_trial *trial,
                      struct osa_arena *arena, struct policy_trial_result *ret)
{
    struct run run = { .engine = engine, .trial = trial, .arena = arena, .result = ret };
    *ret = (struct policy_trial_result){
        .rule = "", .mode = "", .path = "", .explanation = "", .advice = ""
    };
    osa_buf_init(&run.text, 65536);
    bool asks = trial->method != NULL || trial->message != NULL;
    if (ask_connection(&run) && ask_destination(&run) && asks)
        ask_request(&run);
    osa_buf_done(&run.text);
}
