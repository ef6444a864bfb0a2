// SPDX-License-Identifier: Apache-2.0
/*
 * Setting limits: checked against those around it, all or none, exact or refused.
 */
#include "backends/process/cgroup_internal.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct limit {
    enum cgroup_controller controller;
    const char *field;
    const char *name; /* as in messages */
} limits_known[] = {
    { CGROUP_CPU, "resources.cpu_millis", "cpu" },
    { CGROUP_MEMORY, "resources.memory_bytes", "memory" },
    { CGROUP_PIDS, "resources.pids_max", "pids" },
};
#define LIMIT_COUNT OSA_ARRAY_LEN(limits_known)

static uint64_t *slot_of(struct resources *limits, enum cgroup_controller which)
{
    if (which == CGROUP_CPU)
        return &limits->cpu_millis;
    return which == CGROUP_MEMORY ? &limits->memory_bytes : &limits->pids_max;
}

static uint64_t value_of(const struct resources *limits, enum cgroup_controller which)
{
    struct resources copy = *limits;
    return *slot_of(&copy, which);
}

static int call_op(const struct cgroup_ops *ops, enum cgroup_controller which, int dir,
                   uint64_t value)
{
    if (which == CGROUP_CPU)
        return ops->set_cpu(dir, value);
    return which == CGROUP_MEMORY ? ops->set_memory(dir, value) : ops->set_pids(dir, value);
}

/* Members may fork while they are moved; so until a whole pass meets nobody new. */
void cgroup_move_members(int from, int to)
{
    OSA_AUTO(osa_free) char *before = NULL;
    for (int pass = 0; pass < 10; pass++) {
        OSA_AUTO(osa_free) char *list = NULL;
        if (osa_read_file(from, "cgroup.procs", CGROUP_FILE_MAX, &list, NULL, NULL) != OSA_OK ||
            (before != NULL && strcmp(list, before) == 0))
            return;
        for (char *at = list; *at != '\0'; at += strspn(at, "\n")) {
            uint64_t pid = strtoull(at, &at, 10);
            if (pid != 0)
                (void)cgroup_write_u64(to, "cgroup.procs", pid); /* gone meanwhile: fine */
        }
        free(before);
        before = OSA_TAKE(list);
    }
}

static int make_late(struct cgroup *cg, int i, int parent)
{
    if (mkdirat(parent, cg->name, 0755) < 0)
        return -errno;
    int dir = openat(parent, cg->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int procs = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (procs < 0) {
        int saved = errno;
        osa_close_fd(&dir);
        (void)unlinkat(parent, cg->name, AT_REMOVEDIR);
        return -saved;
    }
    cg->dirs[i] = dir;
    cg->procs[i] = procs;
    return 0;
}

int cgroup_join_late(struct cgroup *cg, int i)
{
    const struct cgroup_tree *tree = cg->tree;
    int rc = cg->sandbox != NULL && cg->sandbox->dirs[i] < 0 ? cgroup_join_late(cg->sandbox, i) : 0;
    if (rc == 0)
        rc = make_late(cg, i,
                       cg->sandbox != NULL ? cg->sandbox->dirs[i] : tree->hierarchies[i].top_fd);
    if (rc < 0)
        return rc;
    cgroup_move_members(cg->dirs[tree->life], cg->dirs[i]);
    for (const struct cgroup *other = tree->cgroups; other != NULL; other = other->next) {
        if (other->sandbox == cg && !other->lingering)
            cgroup_move_members(other->dirs[tree->life], cg->dirs[i]);
    }
    return 0;
}

static enum osa_code explain(const struct cgroup *cg, const struct limit *limit, uint64_t value,
                             int rc, struct osa_error *err)
{
    switch (-rc) {
    case EINVAL:
    case ERANGE:
        return osa_fail_field(err, limit->field, "the kernel does not take a limit of %" PRIu64,
                              value);
    case EBUSY:
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "cgroup '%s': more memory is in use than the new limit of %" PRIu64
                        " bytes, and it cannot be reclaimed",
                        cg->id, value);
    case EOPNOTSUPP:
        return osa_fail(
            err, OSA_FAILED_PRECONDITION, 0,
            "memory limit: this host has swap, which its kernel cannot limit; turn swap "
            "off or boot with swapaccount=1");
    default:
        return osa_fail_errno(err, -rc, "cgroup '%s': %s limit", cg->id, limit->name);
    }
}

static enum osa_code set_one(struct cgroup *cg, const struct limit *limit, uint64_t value,
                             struct osa_error *err)
{
    const struct cgroup_tree *tree = cg->tree;
    int i = tree->of[limit->controller];
    if (i < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "%s cannot be limited here: %s",
                        limit->name, tree->caps.reason);
    int rc = cg->dirs[i] < 0 ? cgroup_join_late(cg, i) : 0;
    if (rc == 0)
        rc = call_op(tree->hierarchies[i].ops, limit->controller, cg->dirs[i], value);
    return rc < 0 ? explain(cg, limit, value, rc, err) : OSA_OK;
}

/* 0 is "no limit", and so the largest. */
static bool exceeds(uint64_t inner, uint64_t outer)
{
    return outer != 0 && inner > outer;
}

static enum osa_code check_around(const struct cgroup *cg, const struct limit *limit,
                                  uint64_t value, struct osa_error *err)
{
    if (cg->sandbox != NULL) {
        uint64_t outer = value_of(&cg->sandbox->limits, limit->controller);
        if (exceeds(value, outer))
            return osa_fail_field(err, limit->field,
                                  "%" PRIu64 " is more than the sandbox has (%" PRIu64 ")", value,
                                  outer);
        return OSA_OK;
    }
    for (const struct cgroup *other = cg->tree->cgroups; other != NULL; other = other->next) {
        if (other->sandbox == cg && !other->lingering &&
            exceeds(value_of(&other->limits, limit->controller), value))
            return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                            "%s limit: process '%s' has a higher one; lower that first",
                            limit->name, other->id);
    }
    return OSA_OK;
}

static enum osa_code apply(struct cgroup *cg, const struct resources *wanted, struct osa_error *err)
{
    for (size_t n = 0; n < LIMIT_COUNT; n++) {
        const struct limit *limit = &limits_known[n];
        uint64_t value = value_of(wanted, limit->controller);
        uint64_t *held = slot_of(&cg->limits, limit->controller);
        if (value == *held)
            continue;
        enum osa_code code = set_one(cg, limit, value, err);
        if (code != OSA_OK)
            return code;
        *held = value;
    }
    return OSA_OK;
}

enum osa_code cgroup_set_limits(struct cgroup *cg, const struct resources *limits,
                                struct osa_error *err)
{
    struct resources wanted = *limits;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    wanted.memory_bytes -= wanted.memory_bytes % page; /* the kernel rounds down itself */
    if (limits->memory_bytes != 0 && wanted.memory_bytes == 0)
        return osa_fail_field(err, "resources.memory_bytes", "%" PRIu64 " is less than a page",
                              limits->memory_bytes);
    for (size_t n = 0; n < LIMIT_COUNT; n++) {
        const struct limit *limit = &limits_known[n];
        enum osa_code code = check_around(cg, limit, value_of(&wanted, limit->controller), err);
        if (code != OSA_OK)
            return code;
    }
    struct resources old = cg->limits;
    cg->limited |= wanted.cpu_millis != 0 || wanted.memory_bytes != 0 || wanted.pids_max != 0;
    enum osa_code code = apply(cg, &wanted, err);
    if (code == OSA_OK)
        code = cgroup_events_watch_oom(cg, err);
    if (code != OSA_OK) {
        (void)apply(cg, &old, NULL);
        return code;
    }
    cg->limits.disk_bytes = limits->disk_bytes;
    return OSA_OK;
}

const struct resources *cgroup_limits(const struct cgroup *cg)
{
    return &cg->limits;
}
