// SPDX-License-Identifier: Apache-2.0
#include "launcher/plan.h"

#include <string.h>

static bool blob_fits(struct plan_blob blob, size_t head, size_t size)
{
    if (blob.length == 0)
        return true;
    return blob.offset >= head && blob.offset <= size && blob.length <= size - blob.offset;
}

/* One string: its NUL is the last byte and the only one. */
static bool text_fits(const void *plan, struct plan_blob blob, size_t head, size_t size)
{
    if (!blob_fits(blob, head, size))
        return false;
    return blob.length == 0 || memchr((const char *)plan + blob.offset, '\0', blob.length) ==
                                   (const char *)plan + blob.offset + blob.length - 1;
}

static bool strings_fit(const void *plan, const struct plan_strings *list, size_t head, size_t size)
{
    if (!blob_fits(list->bytes, head, size))
        return false;
    if (list->bytes.length == 0)
        return list->count == 0;
    const char *bytes = (const char *)plan + list->bytes.offset;
    if (bytes[list->bytes.length - 1] != '\0')
        return false;
    uint32_t count = 0;
    for (const char *at = bytes; at < bytes + list->bytes.length; at += strlen(at) + 1)
        count++;
    return count == list->count;
}

/* An array of records of @each bytes, aligned for them. */
static bool array_fits(struct plan_blob blob, size_t each, size_t max, size_t head, size_t size)
{
    return blob_fits(blob, head, size) && blob.length % each == 0 && blob.length / each <= max &&
           (blob.length == 0 || blob.offset % 8 == 0);
}

const struct sandbox_plan *sandbox_plan_check(const void *data, size_t len)
{
    const struct sandbox_plan *plan = data;
    const size_t head = sizeof(*plan);
    if (len < head || len > PLAN_MAX_BYTES || plan->magic != SANDBOX_PLAN_MAGIC ||
        plan->size != len)
        return NULL;
    const size_t filter_bytes = 8;  /* struct sock_filter */
    const size_t filter_max = 4096; /* BPF_MAXINSNS */
    bool good = array_fits(plan->seccomp, filter_bytes, filter_max, head, len) &&
                blob_fits(plan->rootfs, head, len) && blob_fits(plan->landlock, head, len) &&
                (plan->rootfs.length == 0 || plan->rootfs.offset % 8 == 0) &&
                (plan->landlock.length == 0 || plan->landlock.offset % 8 == 0) &&
                text_fits(plan, plan->user, head, len) &&
                text_fits(plan, plan->hostname, head, len);
    return good ? plan : NULL;
}

const struct launch_plan *launch_plan_check(const void *data, size_t len)
{
    const struct launch_plan *plan = data;
    const size_t head = sizeof(*plan);
    if (len < head || len > PLAN_MAX_BYTES || plan->magic != LAUNCH_PLAN_MAGIC || plan->size != len)
        return NULL;
    bool good = strings_fit(plan, &plan->argv, head, len) && plan->argv.count > 0 &&
                strings_fit(plan, &plan->env, head, len) && text_fits(plan, plan->cwd, head, len) &&
                plan->cwd.length > 0 && text_fits(plan, plan->user, head, len) &&
                strings_fit(plan, &plan->groups, head, len) && plan->groups_set <= 1 &&
                array_fits(plan->rlimits, sizeof(struct plan_rlimit), PLAN_MAX_RLIMITS, head, len);
    return good ? plan : NULL;
}

const struct copy_plan *copy_plan_check(const void *data, size_t len)
{
    const struct copy_plan *plan = data;
    const size_t head = sizeof(*plan);
    if (len < head || len > PLAN_MAX_BYTES || plan->magic != COPY_PLAN_MAGIC || plan->size != len)
        return NULL;
    bool good = text_fits(plan, plan->path, head, len) && plan->path.length > 1 &&
                plan_text(plan, plan->path)[0] == '/' && text_fits(plan, plan->user, head, len);
    return good ? plan : NULL;
}

void plan_string_list(const void *plan, struct plan_strings list, const char **ret_list)
{
    const char *at = plan_bytes(plan, list.bytes);
    for (uint32_t i = 0; i < list.count; i++) {
        ret_list[i] = at;
        at += strlen(at) + 1;
    }
    ret_list[list.count] = NULL;
}
