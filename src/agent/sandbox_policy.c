// SPDX-License-Identifier: Apache-2.0
/* Another policy for a sandbox that runs. */
#include "agent/agent_internal.h"
#include "agent/egress.h"
#include "policy/engine.h"

#include <stdio.h>
#include <string.h>

static bool same_strings(const struct policy_strings *a, const struct policy_strings *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

/* What is applied when a sandbox is made, and stays. */
static const char *changed_section(const struct policy_document *a, const struct policy_document *b)
{
    if (a->filesystem.include_workdir != b->filesystem.include_workdir ||
        !same_strings(&a->filesystem.read_only, &b->filesystem.read_only) ||
        !same_strings(&a->filesystem.read_write, &b->filesystem.read_write))
        return "filesystem_policy";
    if (a->landlock.hard_requirement != b->landlock.hard_requirement)
        return "landlock";
    if (strcmp(a->process.run_as_user, b->process.run_as_user) != 0 ||
        strcmp(a->process.run_as_group, b->process.run_as_group) != 0)
        return "process";
    return NULL;
}

/* Compiled on trial, so that what is in force stays when this cannot be. */
static enum osa_code check(const struct sandbox *sandbox, const struct policy_document *now,
                           const struct policy_document *doc, struct osa_error *err)
{
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *trial = NULL;
    const char *section = changed_section(now, doc);
    enum osa_code code = sandbox_usable(sandbox, /* paused_too= */ true, err);
    if (code != OSA_OK)
        return code;
    if (section != NULL)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "policy.%s is applied when a sandbox is made and cannot change; make "
                        "another sandbox",
                        section);
    if (sandbox->egress == NULL)
        return osa_fail(
            err, OSA_FAILED_PRECONDITION, 0,
            "sandbox '%s' has no egress proxy: it was made without network_policies, or "
            "where none can be",
            sandbox->id);
    if (policy_document_has_tcp(doc) && !policy_document_has_tcp(now) &&
        !egress_has_names(sandbox->egress))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "sandbox '%s' has no resolver: it was made without an endpoint of protocol "
                        "tcp, or where TCP cannot be redirected",
                        sandbox->id);
    return policy_engine_compile(doc, NULL, &trial, err);
}

enum osa_code sandbox_set_policy(struct sandbox *sandbox, const struct policy_document *doc,
                                 uint32_t *ret_version, struct osa_error *err)
{
    struct agent *agent = sandbox->agent;
    const struct policy_document *now =
        sandbox->request->policy != NULL ? sandbox->request->policy : agent->setup.policy;
    enum osa_code code = check(sandbox, now, doc, err);
    if (code == OSA_OK)
        code = egress_policy(sandbox->egress, doc, err);
    if (code != OSA_OK)
        return code;
    policy_document_unref(sandbox->request->policy);
    sandbox->request->policy = policy_document_ref(doc);
    *ret_version = egress_version(sandbox->egress);
    char text[64];
    (void)snprintf(text, sizeof(text), "version %u", *ret_version);
    agent_emit(agent, EVENT_POLICY_UPDATED, sandbox->id, NULL, text);
    return OSA_OK;
}
