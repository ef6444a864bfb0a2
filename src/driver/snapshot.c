// SPDX-License-Identifier: Apache-2.0
/* A box as the gateway sees it. Which words mean what there: docs/gateway.md, "What the gateway is told". */
#include "driver/driver.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct ready {
    const char *status;
    const char *reason;
    const char *message;
};

static struct ready ready_of(const struct box *box, struct osa_arena *arena)
{
    const char *kind = spec_runtime_name(box->record.runtime);
    switch (box->state) {
    case BOX_STARTING:
        return (struct ready){ "False", "Starting",
                               osa_arena_printf(arena, "a %s sandbox is being started", kind) };
    case BOX_RUNNING:
        return (struct ready){ "True", "BackendReady",
                               osa_arena_printf(arena, "a %s sandbox runs (%s)", kind,
                                                box->record.placement) };
    case BOX_ENDING: /* a word that is not taken for a failure */
        return (struct ready){ "False", "DependenciesNotReady", "the sandbox is being ended" };
    case BOX_STOPPED:
        return (struct ready){ "False", "ContainerStopped", "the sandbox is stopped" };
    case BOX_FAILED:
        return (struct ready){ "False", box->record.failed_reason, box->record.failed_message };
    case BOX_GONE:
        break;
    }
    return (struct ready){ "False", "DependenciesNotReady", "the sandbox is deleted" };
}

static COMPUTE(DriverCondition) *
    condition(struct osa_arena *arena, const char *type, const struct ready *value, int64_t at_ms)
{
    COMPUTE(DriverCondition) init = COMPUTE_INIT(DRIVER_CONDITION);
    struct tm utc;
    char time[32];
    time_t seconds = (time_t)(at_ms / 1000);
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", &utc);
    init.type = (char *)(uintptr_t)osa_arena_strdup(arena, type);
    init.status = (char *)(uintptr_t)osa_arena_strdup(arena, value->status);
    init.reason = (char *)(uintptr_t)osa_arena_strdup(arena, value->reason);
    init.message = (char *)(uintptr_t)osa_arena_strdup(arena, value->message);
    init.last_transition_time = (char *)(uintptr_t)osa_arena_strdup(arena, time);
    return osa_arena_copy(arena, &init, sizeof(init));
}

COMPUTE(DriverSandbox) * box_snapshot(const struct box *box, struct osa_arena *arena)
{
    COMPUTE(DriverSandbox) sandbox = COMPUTE_INIT(DRIVER_SANDBOX);
    COMPUTE(DriverSandboxStatus) status = COMPUTE_INIT(DRIVER_SANDBOX_STATUS);
    const struct ready ready = ready_of(box, arena);
    const struct ready suspended = { "True", "Stopped", "stopped by the gateway" };
    COMPUTE(DriverCondition) **conditions = osa_arena_alloc(arena, 2 * sizeof(*conditions));
    conditions[status.n_conditions++] = condition(arena, "Ready", &ready, box->record.changed_ms);
    if (box->state == BOX_STOPPED)
        conditions[status.n_conditions++] =
            condition(arena, "Suspended", &suspended, box->record.changed_ms);
    status.conditions = conditions;
    status.sandbox_name = (char *)(uintptr_t)box->spec->name;
    status.instance_id = (char *)(uintptr_t)osa_arena_printf(
        arena, "%s-%llu", spec_runtime_name(box->record.runtime),
        (unsigned long long)box->record.starts);
    status.deleting = box->record.wanted == WANTED_DELETE;
    sandbox.id = (char *)(uintptr_t)box->id;
    sandbox.name = (char *)(uintptr_t)box->spec->name;
    sandbox.workspace = (char *)(uintptr_t)box->spec->workspace;
    sandbox.status = osa_arena_copy(arena, &status, sizeof(status));
    return osa_arena_copy(arena, &sandbox, sizeof(sandbox));
}
