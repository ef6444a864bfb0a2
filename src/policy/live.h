// SPDX-License-Identifier: Apache-2.0
/*
 * The policy in force, and how it changes while connections run.
 *
 * A change is built and validated whole before it replaces anything. Readers take a reference and
 * keep it: their engine does not change under them, and policy_live_generation() tells them when it
 * is no longer the one in force.
 */
#pragma once

#include "policy/engine.h"

struct policy_live;

/* What happens when a new version cannot be used. */
enum policy_failure_mode {
    POLICY_FAIL_CLOSED,  /* everything is refused until a good version comes; the default */
    POLICY_RETAIN_VALID, /* the last good version stays; where there is none, as FAIL_CLOSED */
};

/** policy_failure_mode_parse() - "retain_last_valid"; everything else, "" too, is FAIL_CLOSED */
enum policy_failure_mode policy_failure_mode_parse(const char *text);

/**
 * policy_live_new() - Nothing is in force yet: everything is refused
 * @options: of each engine; the generation is kept here. Copied; NULL for all zero
 * Return: returned (free with policy_live_free())
 */
struct policy_live *policy_live_new(enum policy_failure_mode mode,
                                    const struct policy_engine_options *options);

/** policy_live_free() - Nobody may use it any more; engines that were taken stay. NULL is fine */
void policy_live_free(struct policy_live *live);

/**
 * policy_live_publish() - Put a document in force
 * @version: for messages
 * A document that does not compile counts as policy_live_reject().
 * Thread: any. Return: OSA_OK; the error of policy_engine_compile().
 */
OSA_MUST_CHECK enum osa_code policy_live_publish(struct policy_live *live,
                                                 const struct policy_document *doc,
                                                 uint32_t version, struct osa_error *err);

/**
 * policy_live_reject() - Version @version cannot be used, for @why; the failure mode says what now
 * Thread: any. Return: true when this put a quarantine in force.
 */
bool policy_live_reject(struct policy_live *live, uint32_t version, const char *why);

/** policy_live_set_mode() - For the next rejection, and for one that is in effect now. Thread: any */
void policy_live_set_mode(struct policy_live *live, enum policy_failure_mode mode);

/** policy_live_take() - The engine in force. Thread: any. Return: returned (release with policy_engine_unref()) */
const struct policy_engine *policy_live_take(struct policy_live *live);

/**
 * policy_live_generation() - Generation of the engine in force; rises with each change
 * One atomic load, cheap enough before each request and each chunk. Thread: any.
 */
uint64_t policy_live_generation(const struct policy_live *live);

/**
 * policy_live_watch() - Be told of each change, after it is in force
 * @changed: called on the thread that changed it, no lock held; NULL: nobody
 */
void policy_live_watch(struct policy_live *live, void (*changed)(void *ctx, uint64_t generation),
                       void *ctx);
