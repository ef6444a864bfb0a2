// SPDX-License-Identifier: Apache-2.0
/*
 * Two programs in one. libseccomp can neither express "any value but these" nor mix two reasons of
 * refusal for one call, so there are two filters with opposite defaults: the first, libseccomp's,
 * refuses by argument (and by name, with EPERM) and lets everything else pass; the second, of
 * seccomp_allow.c, allows by name and answers ENOSYS to the rest. They are joined by turning each
 * "allow" of the first into a jump to the second. Loading them apart would do the same, slower.
 *
 * Where the kernel can tell about refusals, each EPERM becomes a notification, which is answered by
 * EPERM (launcher/listeners.h). ENOSYS is not told: it is how programs ask what a kernel can do.
 */
#include "backends/process/seccomp_internal.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const profile_names[] = {
    [SECCOMP_PROFILE_DEFAULT] = "default",
    [SECCOMP_PROFILE_STRICT] = "strict",
    [SECCOMP_PROFILE_GPU] = "gpu",
};
_Static_assert(OSA_ARRAY_LEN(profile_names) == SECCOMP_PROFILE_COUNT, "a name for each profile");

const char *seccomp_profile_name(enum seccomp_profile profile)
{
    return profile_names[profile];
}

bool seccomp_profile_parse(const char *name, enum seccomp_profile *ret)
{
    if (name[0] == '\0')
        name = profile_names[SECCOMP_PROFILE_DEFAULT];
    for (enum seccomp_profile i = 0; i < SECCOMP_PROFILE_COUNT; i++) {
        if (strcmp(name, profile_names[i]) != 0)
            continue;
        *ret = i;
        return true;
    }
    return false;
}

static bool is_allowed(const struct seccomp_call *call, enum seccomp_profile profile)
{
    switch (call->verdict) {
    case SECCOMP_CALL_ALLOW:
        return true;
    case SECCOMP_CALL_NOT_STRICT:
        return profile != SECCOMP_PROFILE_STRICT;
    case SECCOMP_CALL_GPU:
        return profile == SECCOMP_PROFILE_GPU;
    case SECCOMP_CALL_DENY:
    case SECCOMP_CALL_ABSENT:
        break;
    }
    return false;
}

int seccomp_call_number(const struct seccomp_call *call)
{
    return call->number != 0 ? call->number : seccomp_syscall_resolve_name(call->name);
}

static void free_filter(scmp_filter_ctx *filter)
{
    if (*filter != NULL)
        seccomp_release(*filter);
}

static int new_filter(uint32_t action, scmp_filter_ctx *ret)
{
    *ret = seccomp_init(action);
    if (*ret == NULL)
        return -ENOMEM;
    int failed = seccomp_attr_set(*ret, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* A binary tree: some nine comparisons instead of hundreds. */
    return failed != 0 ? failed : seccomp_attr_set(*ret, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

bool seccomp_condition_applies(const struct seccomp_condition *condition,
                               const struct seccomp_spec *spec)
{
    return condition->when == ALWAYS || (condition->when == WITH_INET) == spec->inet;
}

static int refuse(scmp_filter_ctx filter, const struct seccomp_spec *spec)
{
    for (size_t i = 0; i < seccomp_call_count; i++) {
        const struct seccomp_call *call = &seccomp_calls[i];
        int number = seccomp_call_number(call);
        if (number < 0 || call->verdict == SECCOMP_CALL_ABSENT || is_allowed(call, spec->profile))
            continue;
        int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
        if (failed != 0)
            return failed;
    }
    for (size_t i = 0; i < seccomp_condition_count; i++) {
        const struct seccomp_condition *condition = &seccomp_conditions[i];
        int number = seccomp_syscall_resolve_name(condition->call);
        if (number < 0 || !seccomp_condition_applies(condition, spec))
            continue;
        int failed = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)condition->error),
                                            number, condition->count, condition->args);
        /* -EEXIST: refused whatever the arguments are. */
        if (failed != 0 && failed != -EEXIST)
            return failed;
    }
    return 0;
}

/* libseccomp before 2.6 writes to descriptors only. */
static int export_filter(scmp_filter_ctx filter, struct osa_buf *out)
{
    OSA_AUTO(osa_close_fd) int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int failed = seccomp_export_bpf(filter, fd);
    if (failed != 0)
        return failed;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    char *room = osa_buf_reserve(out, (size_t)st.st_size);
    if (room == NULL)
        return -ENOMEM;
    if (pread(fd, room, (size_t)st.st_size, 0) != st.st_size)
        return -EIO;
    out->len += (size_t)st.st_size;
    return 0;
}

/* Each "allow" in [@start, @end) goes on at @end instead; with @notify each EPERM is asked for. */
static void join(struct osa_buf *out, size_t start, size_t end, bool notify)
{
    struct sock_filter *code = (struct sock_filter *)(void *)(out->data + start);
    size_t count = (end - start) / sizeof(*code);
    for (size_t i = 0; i < count; i++) {
        if (code[i].code != (BPF_RET | BPF_K))
            continue;
        if (code[i].k == SCMP_ACT_ALLOW)
            code[i] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(count - i - 1));
        else if (notify && code[i].k == SCMP_ACT_ERRNO(EPERM))
            code[i].k = SCMP_ACT_NOTIFY;
    }
}

static int compile(const struct seccomp_spec *spec, struct osa_buf *out)
{
    OSA_AUTO(free_filter) scmp_filter_ctx refusing = NULL;
    size_t start = out->len;
    int failed = new_filter(SCMP_ACT_ALLOW, &refusing);
    if (failed == 0)
        failed = refuse(refusing, spec);
    if (failed == 0)
        failed = export_filter(refusing, out);
    size_t middle = out->len;
    if (failed == 0)
        failed = seccomp_allow(out);
    if (failed != 0)
        return failed;
    join(out, start, middle, spec->notify);
    return (out->len - start) / sizeof(struct sock_filter) <= BPF_MAXINSNS ? 0 : -E2BIG;
}

enum osa_code seccomp_compile(const struct seccomp_spec *spec, struct osa_buf *out,
                              struct osa_error *err)
{
    uint32_t arch = seccomp_arch_native();
    if (arch != SCMP_ARCH_X86_64 && arch != SCMP_ARCH_AARCH64)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "there is no system call filter for this machine's architecture");
    int failed = compile(spec, out);
    if (failed != 0)
        return osa_fail_errno(err, -failed, "the system call filter '%s' cannot be made",
                              seccomp_profile_name(spec->profile));
    return OSA_OK;
}
