// SPDX-License-Identifier: Apache-2.0
#include "backends/process/plan_build.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* Blobs begin at multiples of 8, so that records in them can be read in place. */
static void align(struct osa_buf *buf)
{
    static const char zeros[8] = { 0 };
    (void)osa_buf_add(buf, zeros, (8 - buf->len % 8) % 8);
}

struct plan_blob plan_add_bytes(struct osa_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return (struct plan_blob){ 0 };
    align(buf);
    struct plan_blob blob = { (uint32_t)buf->len, (uint32_t)len };
    (void)osa_buf_add(buf, data, len);
    return blob;
}

struct plan_blob plan_add_text(struct osa_buf *buf, const char *text)
{
    if (text[0] == '\0')
        return (struct plan_blob){ 0 };
    return plan_add_bytes(buf, text, strlen(text) + 1);
}

static struct plan_strings add_strings(struct osa_buf *buf, strlist list)
{
    struct plan_strings strings = { 0 };
    if (list == NULL || list[0] == NULL)
        return strings;
    align(buf);
    size_t start = buf->len;
    for (; list[strings.count] != NULL; strings.count++)
        (void)osa_buf_add(buf, list[strings.count], strlen(list[strings.count]) + 1);
    strings.bytes = (struct plan_blob){ (uint32_t)start, (uint32_t)(buf->len - start) };
    return strings;
}

static enum osa_code finish(struct osa_buf *buf, struct osa_error *err)
{
    if (buf->failed)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0,
                        "argv and env are too long together: at most %u bytes", PLAN_MAX_BYTES / 2);
    return OSA_OK;
}

static enum osa_code add_rlimits(struct osa_buf *buf, const struct process_spec *spec,
                                 struct launch_plan *plan, struct osa_error *err)
{
    struct plan_rlimit limits[PLAN_MAX_RLIMITS];
    if (spec->rlimit_count > PLAN_MAX_RLIMITS)
        return osa_fail_field(err, "spec.rlimits", "at most %u", PLAN_MAX_RLIMITS);
    for (size_t i = 0; i < spec->rlimit_count; i++) {
        const struct rlimit_spec *limit = &spec->rlimits[i];
        limits[i] = (struct plan_rlimit){ .resource = limit->resource,
                                          .soft = limit->soft,
                                          .hard = limit->hard };
        if (limit->resource == RLIMIT_CORE)
            plan->flags |= LAUNCH_ALLOW_CORE;
    }
    plan->rlimits = plan_add_bytes(buf, limits, spec->rlimit_count * sizeof(limits[0]));
    return OSA_OK;
}

enum osa_code plan_build_launch(struct plan_builder *ret, const struct process_spec *spec,
                                bool keeper, bool tty_given, uint32_t cgroup_fds,
                                struct osa_error *err)
{
    struct osa_buf *buf = &ret->buf;
    struct launch_plan plan = { .magic = LAUNCH_PLAN_MAGIC,
                                .cgroup_fds = cgroup_fds,
                                .rows = spec->tty_size.rows,
                                .columns = spec->tty_size.columns };
    plan.flags = (spec->tty ? LAUNCH_TTY : 0u) | (keeper ? LAUNCH_KEEPER : 0u) |
                 (tty_given ? LAUNCH_TTY_GIVEN : 0u);
    osa_buf_init(buf, PLAN_MAX_BYTES);
    (void)osa_buf_add(buf, &plan, sizeof(plan));
    plan.argv = add_strings(buf, spec->argv);
    plan.env = add_strings(buf, spec->env);
    plan.cwd = plan_add_text(buf, spec->cwd);
    plan.user = plan_add_text(buf, spec->user);
    plan.groups = add_strings(buf, spec->groups);
    plan.groups_set = spec->groups != NULL;
    enum osa_code code = add_rlimits(buf, spec, &plan, err);
    if (code == OSA_OK)
        code = finish(buf, err);
    if (code != OSA_OK)
        return code;
    plan.size = (uint32_t)buf->len;
    memcpy(buf->data, &plan, sizeof(plan));
    return OSA_OK;
}

enum osa_code plan_build_copy(struct plan_builder *ret, bool in, const char *path, const char *user,
                              uint32_t cgroup_fds, struct osa_error *err)
{
    struct osa_buf *buf = &ret->buf;
    struct copy_plan plan = { .magic = COPY_PLAN_MAGIC,
                              .flags = in ? COPY_IN : 0u,
                              .cgroup_fds = cgroup_fds };
    osa_buf_init(buf, 64u << 10); /* two strings, which the agent has bounded */
    (void)osa_buf_add(buf, &plan, sizeof(plan));
    plan.path = plan_add_text(buf, path);
    plan.user = plan_add_text(buf, user);
    if (buf->failed)
        return osa_fail_errno(err, ENOMEM, "copy plan");
    plan.size = (uint32_t)buf->len;
    memcpy(buf->data, &plan, sizeof(plan));
    return OSA_OK;
}

void plan_builder_done(struct plan_builder *builder)
{
    osa_buf_done(&builder->buf);
}
