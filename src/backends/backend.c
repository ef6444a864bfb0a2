// SPDX-License-Identifier: Apache-2.0
#include "backends/backend.h"

#include <string.h>

static const char *const capability_names[BACKEND_CAP_COUNT] = {
    "user",
    "rlimits",
    "tty",
    "any_signal",
    "group_signal",
    "tree_signal",
    "tree_kill",
    "pause",
    "update_resources",
    "process_limits",
    "cpu_limit",
    "memory_limit",
    "pids_limit",
    "disk_limit",
    "stats",
    "oom",
    "rusage",
    "image",
    "root",
    "policy",
    "copy",
    "port_forward",
};

static const char *const kind_names[RUNTIME_KIND_COUNT] = {
    [RUNTIME_KIND_DEFAULT] = "default",
    [RUNTIME_KIND_PROCESS] = "process",
    [RUNTIME_KIND_BOXLITE] = "boxlite",
};

const char *backend_capability_name(uint32_t bit)
{
    for (unsigned i = 0; i < BACKEND_CAP_COUNT; i++) {
        if (bit == 1u << i)
            return capability_names[i];
    }
    return NULL;
}

bool user_is_root(const char *user)
{
    for (const char *part = user; part != NULL; part = strchr(part, ':')) {
        part += *part == ':';
        size_t len = strcspn(part, ":");
        if ((len == 4 && strncmp(part, "root", len) == 0) || (len > 0 && strspn(part, "0") == len))
            return true;
    }
    return false;
}

const char *runtime_kind_name(enum runtime_kind kind)
{
    return (unsigned)kind < RUNTIME_KIND_COUNT ? kind_names[kind] : "unknown";
}

const char *runtime_kind_absent(enum runtime_kind kind)
{
    return kind == RUNTIME_KIND_BOXLITE
               ? "it was built without the option OPENSHELL_AGENT_BOXLITE; name another kind, or "
                 "build it with -DOPENSHELL_AGENT_BOXLITE=ON"
               : "this build lacks it; GetInfo lists the kinds that there are";
}

bool runtime_kind_parse(const char *name, enum runtime_kind *ret_kind)
{
    for (unsigned i = RUNTIME_KIND_PROCESS; i < RUNTIME_KIND_COUNT; i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            *ret_kind = (enum runtime_kind)i;
            return true;
        }
    }
    return false;
}

enum osa_code backend_no_door(struct backend_sandbox *s, struct sandbox_door *ret_door,
                              struct osa_error *err)
{
    (void)ret_door;
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "%s sandboxes have no egress proxy",
                    s->ops->name);
}

void backend_no_owner(struct backend_sandbox *s, const struct door_visit *visit, owner_fn done,
                      void *ctx)
{
    (void)s;
    (void)visit;
    (void)done;
    (void)ctx;
    abort();
}
