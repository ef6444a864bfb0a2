// SPDX-License-Identifier: Apache-2.0
/* The way out of a sandbox: its backend's door, the egress proxy behind it, and the policy in force. */
#pragma once

#include "agent/spec.h"
#include "policy/live.h"

struct door_visit;
struct sandbox;
struct agent;
struct egress;
struct gate_record;

/**
 * egress_open() - Begin to serve the door of a sandbox whose backend has one
 * @doc: the policy that is in force from now on
 * Return: OSA_OK; else the sandbox has no way out.
 */
OSA_MUST_CHECK enum osa_code egress_open(struct sandbox *sandbox, const struct policy_document *doc,
                                         struct egress **ret_egress, struct osa_error *err);

/** egress_close() - Cut everything that goes out. NULL is fine */
void egress_close(struct egress *egress);

/**
 * egress_policy() - Put another policy in force: what it still allows goes on, the rest is cut
 * Return: OSA_OK; INVALID_ARGUMENT for a document that cannot be used: everything is refused from
 * then on, until a usable one comes.
 */
OSA_MUST_CHECK enum osa_code egress_policy(struct egress *egress, const struct policy_document *doc,
                                           struct osa_error *err);

/** egress_policy_refused() - A newer policy cannot be used, for @why: the failure mode says what now holds */
void egress_policy_refused(struct egress *egress, const char *why);

/** egress_failure_mode() - From now on, in place of the agent's option; holds for a refused policy that is the newest, too */
void egress_failure_mode(struct egress *egress, enum policy_failure_mode mode);

/** egress_has_names() - Have programs that know no proxy a way out? */
bool egress_has_names(const struct egress *egress);

/** egress_visit() - Somebody came to a door without listeners (struct sandbox_events). @fd is taken */
void egress_visit(struct egress *egress, int fd, const struct door_visit *visit);

/** egress_version() - How many policies have been put in force */
uint32_t egress_version(const struct egress *egress);

/** egress_environment() - Variables that lead programs to the proxy; none for NULL. Borrowed until egress_close() */
const struct spec_pairs *egress_environment(const struct egress *egress);

/**
 * struct egress_watcher - Told of every decision, those too that no event is made of; embedded in its owner
 * @decided: the record is borrowed for the call
 */
struct egress_watcher {
    void (*decided)(struct egress_watcher *self, const struct sandbox *sandbox,
                    const struct gate_record *record);
    struct egress_watcher *prev, *next;
};

/** egress_watch() - Until egress_unwatch(), which comes before agent_free() */
void egress_watch(struct agent *agent, struct egress_watcher *watcher);
/** egress_unwatch() - Of one that is registered */
void egress_unwatch(struct agent *agent, struct egress_watcher *watcher);
