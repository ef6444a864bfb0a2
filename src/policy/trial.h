// SPDX-License-Identifier: Apache-2.0
/*
 * A question put to an engine as the proxy would put it: connection, destination, request, in that
 * order, until one refuses. For `policy explain` and for tests; the proxy itself asks step by step.
 */
#pragma once

#include "base/arena.h"
#include "policy/guard.h"
#include "policy/request.h"

/**
 * struct policy_trial - One question; text may be NULL where nothing is given
 * @identity:  name of the reason for which the executable is not known ("integrity")
 * @resolved, @addresses: what the host leads to; not resolved: only what is known without is checked
 * @gateway:   trusted address of the host
 * @method:    NULL: only the connection is asked about
 * @target:    as it would be sent
 * @message:   a text message of an open websocket, whose upgrade had @target
 * @forward:   an absolute-form request, else one in a tunnel
 */
struct policy_trial {
    const char *host;
    uint32_t port;
    const char *binary;
    struct policy_strings ancestors;
    struct policy_strings argv;
    const char *identity;
    bool resolved;
    struct policy_strings addresses;
    const char *gateway;
    const char *method;
    const char *target;
    const char *accept;
    const char *content_type;
    const char *content_encoding;
    const char *body;
    const char *message;
    bool upgrade;
    bool forward;
};

enum policy_stage { POLICY_STAGE_CONNECTION, POLICY_STAGE_DESTINATION, POLICY_STAGE_REQUEST };

/**
 * struct policy_trial_result - The answer; texts live as long as the arena
 * @stage:  the one that decided: the refusing one, or the last
 * @rule:   key of the rule that decided; "" for none
 * @mode:   of the destination guard; "" when it was not asked
 * @path:   canonical; "" without a request
 * @explanation: what was decided, and why
 * @advice: what would allow it; "" when nothing would, or when it is allowed
 */
struct policy_trial_result {
    enum policy_stage stage;
    enum policy_verdict verdict;
    bool hard;
    enum policy_reason reason;
    const char *rule;
    const char *mode;
    const char *path;
    const char *explanation;
    const char *advice;
};

/** policy_trial_run() - Ask. @arena takes the texts of @ret. Thread: any */
void policy_trial_run(const struct policy_engine *engine, const struct policy_trial *trial,
                      struct osa_arena *arena, struct policy_trial_result *ret);

/** policy_stage_name() - "connection" and so on. Return: a constant */
const char *policy_stage_name(enum policy_stage stage);

/** policy_verdict_name() - "deny", "audit", "allow". Return: a constant */
const char *policy_verdict_name(enum policy_verdict verdict);
