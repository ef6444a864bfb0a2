// SPDX-License-Identifier: Apache-2.0
#include "backends/process/seccomp_denial.h"

#include "backends/process/seccomp_internal.h"
#include "base/buf.h"
#include "base/fd.h"
#include "launcher/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the arguments that conditions refuse would do. */
static const struct {
    const char *call;
    const char *help;
} refused_arguments[] = {
    { "clone", "makes a new namespace" },
    { "execveat", "runs a file without a name" },
    { "ioctl", "types into a terminal or takes it over" },
    { "memfd_create", "memory that could be run as a program" },
    { "mknod", "makes a device" },
    { "mknodat", "makes a device" },
    { "prctl", "changes the memory map or what clocks tell" },
    { "seccomp", "a filter with a listener or for other threads; PR_SET_SECCOMP is allowed" },
    { "socket", "only unix, inet and route sockets are open, and of inet neither raw ones nor "
                "DCCP, L2TP, SCTP and UDP-Lite" },
    { "socketpair", "only unix pairs are open" },
    { "unshare", "makes a new namespace" },
};

static const struct seccomp_call *find_call(int nr)
{
    for (size_t i = 0; i < seccomp_call_count; i++) {
        if (seccomp_call_number(&seccomp_calls[i]) == nr)
            return &seccomp_calls[i];
    }
    return NULL;
}

static bool holds(const struct scmp_arg_cmp *compare, const uint64_t args[6])
{
    uint64_t value = args[compare->arg];
    switch (compare->op) {
    case SCMP_CMP_MASKED_EQ:
        return (value & compare->datum_a) == compare->datum_b;
    case SCMP_CMP_GT:
        return value > compare->datum_a;
    case SCMP_CMP_NE:
        return value != compare->datum_a;
    default:
        return false;
    }
}

/* The condition that refused; NULL: the name did. */
static const struct seccomp_condition *find_condition(const struct seccomp_spec *spec,
                                                      const struct seccomp_call *call,
                                                      const uint64_t args[6])
{
    for (size_t i = 0; i < seccomp_condition_count; i++) {
        const struct seccomp_condition *condition = &seccomp_conditions[i];
        bool all =
            strcmp(condition->call, call->name) == 0 && seccomp_condition_applies(condition, spec);
        for (unsigned k = 0; k < condition->count; k++)
            all = all && holds(&condition->args[k], args);
        if (all)
            return condition;
    }
    return NULL;
}

static void explain_condition(const struct seccomp_condition *condition, struct osa_buf *out)
{
    if (condition->when == WITHOUT_INET) {
        osa_buf_addf(out, "there is no network here; a sandbox at level ROOTLESS or FULL has one");
        return;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(refused_arguments); i++) {
        if (strcmp(refused_arguments[i].call, condition->call) == 0)
            osa_buf_addf(out, "%s; no seccomp profile allows it", refused_arguments[i].help);
    }
}

static void explain_name(const struct seccomp_call *call, struct osa_buf *out)
{
    switch (call->verdict) {
    case SECCOMP_CALL_NOT_STRICT:
        osa_buf_addf(out, "seccomp profile default allows it");
        break;
    case SECCOMP_CALL_GPU:
        osa_buf_addf(out, "%s; seccomp profile gpu allows it", call->help);
        break;
    case SECCOMP_CALL_ALLOW:
    case SECCOMP_CALL_DENY:
    case SECCOMP_CALL_ABSENT:
        osa_buf_addf(out, "%s; no seccomp profile allows it",
                     call->help != NULL ? call->help : "refused");
        break;
    }
}

static void add_caller(const struct launcher_denied *denied, struct osa_buf *out)
{
    if (denied->pid != 0)
        osa_buf_addf(out, " by pid %d", denied->pid);
    osa_buf_addf(out, ": ");
}

static void add_call(const struct seccomp_spec *spec, const struct launcher_denied *denied,
                     struct osa_buf *out)
{
    const struct seccomp_call *call = find_call(denied->nr);
    if (call == NULL) { /* the filter has no row for it and refuses by ENOSYS */
        osa_buf_addf(out, "system call %d", denied->nr);
        return;
    }
    const struct seccomp_condition *condition = find_condition(spec, call, denied->args);
    osa_buf_addf(out, "%s", call->name);
    for (unsigned i = 0; condition != NULL && i < condition->count; i++) {
        const struct scmp_arg_cmp *compare = &condition->args[i];
        osa_buf_addf(out, " with argument %u = 0x%llx", compare->arg + 1,
                     (unsigned long long)denied->args[compare->arg]);
    }
    add_caller(denied, out);
    if (condition != NULL)
        explain_condition(condition, out);
    else
        explain_name(call, out);
}

void seccomp_denial_text(const struct seccomp_spec *spec, const struct launcher_denied *denied,
                         char *ret)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 4 * SECCOMP_DENIAL_TEXT_MAX);
    if (denied->nr < 0) {
        osa_buf_addf(&out, "%u more system calls refused", denied->missed);
    } else {
        add_call(spec, denied, &out);
        if (denied->missed > 0)
            osa_buf_addf(&out, " (%u more before not shown)", denied->missed);
    }
    (void)snprintf(ret, SECCOMP_DENIAL_TEXT_MAX, "%.*s", (int)out.len,
                   out.data == NULL ? "" : out.data);
}
