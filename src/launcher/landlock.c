// SPDX-License-Identifier: Apache-2.0
#include "launcher/landlock.h"

#include "base/linux_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/*
 * As of ABI 7; this struct and its size are what the kernel is given. Older kernels take a longer
 * one as long as what they do not know is 0, which the plan sees to.
 */
struct ruleset_attr {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

/* struct landlock_net_port_attr, which headers before Linux 6.7 lack. */
struct port_attr {
    uint64_t access;
    uint64_t port;
};

enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

/* What a rule for something other than a directory may allow: EXECUTE, WRITE_FILE, READ_FILE,
 * TRUNCATE, IOCTL_DEV (landlock(7)) and RESOLVE_UNIX; more is EINVAL. */
#define FILE_ACCESS                                                                                \
    ((1ull << 0) | (1ull << 1) | (1ull << 2) | (1ull << 14) | (1ull << 15) | (1ull << 16))

static const struct landlock_path_rule *path_rules(const struct landlock_plan *plan)
{
    return (const struct landlock_path_rule *)(plan + 1);
}

static const struct landlock_port_rule *port_rules(const struct landlock_plan *plan)
{
    return (const struct landlock_port_rule *)(path_rules(plan) + plan->path_count);
}

const struct landlock_plan *landlock_plan_check(const void *data, size_t len)
{
    const struct landlock_plan *plan = data;
    if (len < sizeof(*plan) || len > LANDLOCK_PLAN_MAX_BYTES || plan->size != len ||
        plan->magic != LANDLOCK_PLAN_MAGIC)
        return NULL;
    uint64_t text = sizeof(*plan) + (uint64_t)plan->path_count * sizeof(struct landlock_path_rule) +
                    (uint64_t)plan->port_count * sizeof(struct landlock_port_rule);
    if (text > len || (text < len && ((const char *)data)[len - 1] != '\0'))
        return NULL;
    for (uint32_t i = 0; i < plan->path_count; i++) {
        const struct landlock_path_rule *rule = &path_rules(plan)[i];
        if (rule->path < text || rule->path >= len || (rule->access & ~plan->handled_fs) != 0)
            return NULL;
    }
    for (uint32_t i = 0; i < plan->port_count; i++)
        if ((port_rules(plan)[i].access & ~plan->handled_net) != 0)
            return NULL;
    return plan;
}

/* A magic link would lead out of the tree that the rules are about. */
static int open_path(const char *path)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
    return osa_sys_openat2(AT_FDCWD, path, &how, sizeof(how));
}

static int add_path(const struct landlock_plan *plan, int ruleset_fd,
                    const struct landlock_path_rule *rule, struct landlock_report *report)
{
    const char *path = (const char *)plan + rule->path;
    struct stat st;
    int fd = open_path(path);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        if (rule->flags & LANDLOCK_RULE_REQUIRED)
            return -error;
        bool silent = (rule->flags & LANDLOCK_RULE_SILENT) && (error == ENOENT || error == ENOTDIR);
        report->skipped += silent ? 0 : 1;
        return 0;
    }
    struct landlock_path_beneath_attr attr = {
        .allowed_access = S_ISDIR(st.st_mode) ? rule->access : rule->access & FILE_ACCESS,
        .parent_fd = fd,
    };
    int failed = 0;
    if (attr.allowed_access != 0 &&
        osa_sys_landlock_add_rule(ruleset_fd, RULE_PATH_BENEATH, &attr, 0) != 0)
        failed = -errno;
    (void)close(fd);
    report->applied += failed == 0;
    return failed;
}

static int add_rules(const struct landlock_plan *plan, int ruleset_fd,
                     struct landlock_report *report)
{
    for (uint32_t i = 0; i < plan->path_count; i++) {
        const struct landlock_path_rule *rule = &path_rules(plan)[i];
        int failed = add_path(plan, ruleset_fd, rule, report);
        if (failed != 0) {
            report->failed_path = rule->path;
            return failed;
        }
    }
    for (uint32_t i = 0; i < plan->port_count; i++) {
        const struct port_attr attr = { port_rules(plan)[i].access, port_rules(plan)[i].port };
        if (osa_sys_landlock_add_rule(ruleset_fd, RULE_NET_PORT, &attr, 0) != 0)
            return -errno;
        report->applied++;
    }
    return 0;
}

int landlock_prepare(const struct landlock_plan *plan, int *ret_fd,
                     struct landlock_report *ret_report)
{
    const struct ruleset_attr attr = { plan->handled_fs, plan->handled_net, plan->scoped };
    memset(ret_report, 0, sizeof(*ret_report));
    long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0u);
    if (fd < 0)
        return -errno;
    int failed = add_rules(plan, (int)fd, ret_report);
    if (failed != 0) {
        (void)close((int)fd);
        return failed;
    }
    *ret_fd = (int)fd;
    return 0;
}

int landlock_enforce(const struct landlock_plan *plan, int ruleset_fd)
{
    return osa_sys_landlock_restrict_self(ruleset_fd, plan->restrict_flags) == 0 ? 0 : -errno;
}

enum osa_code landlock_failure(const struct landlock_plan *plan,
                               const struct landlock_report *report, int sys_errno,
                               struct osa_error *err)
{
    enum osa_code code = OSA_FAILED_PRECONDITION;
    const char *path = (const char *)plan + report->failed_path;
    if (report->failed_path != 0 && (sys_errno == ENOENT || sys_errno == EACCES))
        (void)osa_fail(err, code, sys_errno,
                       "path '%s' of the policy cannot be opened, and it is a hard_requirement; "
                       "remove it or create it",
                       path);
    else if (report->failed_path != 0)
        (void)osa_fail(err, code, sys_errno, "path '%s' of the policy cannot have a rule", path);
    else
        (void)osa_fail(err, code, sys_errno, "Landlock cannot be applied");
    if (err != NULL)
        err->stage = "landlock";
    return code;
}
