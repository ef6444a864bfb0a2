// SPDX-License-Identifier: Apache-2.0
/*
 * Plans as an init reads them from the agent: any bytes are refused, or everything that the plan
 * points to lies inside, strings end, and counts are what they say. The first byte chooses the kind;
 * magic and size are set right, so that what follows them is reached.
 */
#include "fuzz/target.h"

#include "launcher/landlock.h"
#include "launcher/plan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Reads each byte, so that ASan sees what lies outside. */
static volatile unsigned sink;

static void read_all(const void *bytes, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += ((const unsigned char *)bytes)[i];
    sink = sum;
}

static void read_text(const void *plan, struct plan_blob blob)
{
    const char *text = plan_text(plan, blob);
    require(text == NULL || strlen(text) == blob.length - 1);
}

static void read_list(const void *plan, struct plan_strings strings)
{
    const char **list = malloc(((size_t)strings.count + 1) * sizeof(*list));
    if (list == NULL)
        return;
    plan_string_list(plan, strings, list);
    require(list[strings.count] == NULL);
    size_t used = 0;
    for (uint32_t i = 0; i < strings.count; i++)
        used += strlen(list[i]) + 1;
    require(used == strings.bytes.length);
    free(list);
}

static void read_launch(const void *data, size_t size)
{
    const struct launch_plan *plan = launch_plan_check(data, size);
    if (plan == NULL)
        return;
    read_list(plan, plan->argv);
    read_list(plan, plan->env);
    read_list(plan, plan->groups);
    read_text(plan, plan->cwd);
    read_text(plan, plan->user);
    read_all(plan_bytes(plan, plan->rlimits), plan->rlimits.length);
    require(plan->rlimits.length / sizeof(struct plan_rlimit) <= PLAN_MAX_RLIMITS);
}

static void read_landlock(const void *data, size_t size)
{
    const struct landlock_plan *plan = landlock_plan_check(data, size);
    if (plan == NULL)
        return;
    const struct landlock_path_rule *rules = (const void *)(plan + 1);
    for (uint32_t i = 0; i < plan->path_count; i++)
        require(strlen((const char *)data + rules[i].path) < size);
}

static void read_sandbox(const void *data, size_t size)
{
    const struct sandbox_plan *plan = sandbox_plan_check(data, size);
    if (plan == NULL)
        return;
    read_text(plan, plan->user);
    read_text(plan, plan->hostname);
    read_all(plan_bytes(plan, plan->seccomp), plan->seccomp.length);
    read_all(plan_bytes(plan, plan->rootfs), plan->rootfs.length);
    if (plan->landlock.length > 0)
        read_landlock(plan_bytes(plan, plan->landlock), plan->landlock.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t magics[] = { SANDBOX_PLAN_MAGIC, LAUNCH_PLAN_MAGIC, LANDLOCK_PLAN_MAGIC };
    if (size < 1 + 2 * sizeof(uint32_t))
        return 0;
    unsigned kind = data[0] % 3;
    size_t len = size - 1;
    uint32_t head[2] = { magics[kind], (uint32_t)len };
    char *plan = malloc(len); /* exactly as long, so that ASan sees one byte too many */
    if (plan == NULL)
        return 0;
    memcpy(plan, data + 1, len);
    memcpy(plan, head, sizeof(head));
    if (kind == 0)
        read_sandbox(plan, len);
    else if (kind == 1)
        read_launch(plan, len);
    else
        read_landlock(plan, len);
    free(plan);
    return 0;
}
