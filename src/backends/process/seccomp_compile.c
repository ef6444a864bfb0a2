// SPDX-License-Identifier: Apache-2.0
/*
 * Two programs in one. libseccomp can neither express "any value but these" nor mix two reasons of
 * refusal for one call, so there are two filters with opposite defaults: the first refuses by
 * argument (and by name, with EPERM) and lets everything else pass; the second allows by name and
 * answers ENOSYS to the rest. They are joined by turning each "allow" of the first into a jump to
 * the second. Loading them apart would do the same, slower.
 *
 * Arguments of int and unsigned type are compared in their low 32 bits, for the kernel ignores the
 * others: an ioctl of 0x1'0000'5412 is TIOCSTI as well (CVE-2019-10063).
 */
#include "backends/process/seccomp_compile.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOW32 0xffffffffu

/* Values of Linux that older headers of the C library lack. */
enum {
    CLONE_NEWTIME_FLAG = 0x80,
    CLONE_NEWCGROUP_FLAG = 0x02000000,
    AT_EMPTY_PATH_FLAG = 0x1000,
    MFD_NOEXEC_SEAL_FLAG = 0x8,
    MFD_EXEC_FLAG = 0x10,
    SECCOMP_SET_MODE_FILTER_OP = 1,
    IOCTL_TIOCSTI = 0x5412,
    IOCTL_TIOCLINUX = 0x541c,
    IOCTL_TIOCCONS = 0x541d,
    IOCTL_TIOCSETD = 0x5423,
};

enum when { ALWAYS, WITHOUT_INET, WITH_INET };

/* Refused with @error when every one of @args holds. */
struct condition {
    const char *call;
    enum when when;
    int error;
    unsigned count;
    struct scmp_arg_cmp args[2];
};

#define INT_IS(arg, value)                                                                         \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, LOW32, (value)                                                  \
    }
#define HAS_BITS(arg, bits)                                                                        \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, (bits), (bits)                                                  \
    }
#define LACKS_BITS(arg, bits)                                                                      \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, (bits), 0                                                       \
    }
#define FIELD_IS(arg, mask, value)                                                                 \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, (mask), (value)                                                 \
    }
#define ABOVE(arg, value)                                                                          \
    {                                                                                              \
        (arg), SCMP_CMP_GT, (value), 0                                                             \
    }
#define NOT(arg, value)                                                                            \
    {                                                                                              \
        (arg), SCMP_CMP_NE, (value), 0                                                             \
    }
#define ONE(call, when, a)                                                                         \
    {                                                                                              \
        (call), (when), EPERM, 1,                                                                  \
        {                                                                                          \
            a                                                                                      \
        }                                                                                          \
    }
#define TWO(call, when, a, b)                                                                      \
    {                                                                                              \
        (call), (when), EPERM, 2,                                                                  \
        {                                                                                          \
            a, b                                                                                   \
        }                                                                                          \
    }
#define NEW_NAMESPACE(call)                                                                        \
    ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWNS)),                                                   \
        ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWCGROUP_FLAG)),                                      \
        ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWUTS)),                                              \
        ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWIPC)),                                              \
        ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWUSER)),                                             \
        ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWPID)), ONE(call, ALWAYS, HAS_BITS(0, CLONE_NEWNET))
/* Raw sockets and the legacy of packet sockets; transports that few programs speak and that are
 * large in the kernel: DCCP, L2TP, SCTP, UDP-Lite. */
#define INET_FAMILY(family)                                                                        \
    TWO("socket", WITH_INET, INT_IS(0, family), FIELD_IS(1, 0xf, SOCK_RAW)),                       \
        TWO("socket", WITH_INET, INT_IS(0, family), FIELD_IS(1, 0xf, SOCK_PACKET)),                \
        TWO("socket", WITH_INET, INT_IS(0, family), INT_IS(2, 33)),                                \
        TWO("socket", WITH_INET, INT_IS(0, family), INT_IS(2, 115)),                               \
        TWO("socket", WITH_INET, INT_IS(0, family), INT_IS(2, 132)),                               \
        TWO("socket", WITH_INET, INT_IS(0, family), INT_IS(2, 136)),                               \
        ONE("socket", WITHOUT_INET, INT_IS(0, family))
#define NO_FAMILY(family) ONE("socket", ALWAYS, INT_IS(0, family))

static const struct condition conditions[] = {
    NEW_NAMESPACE("clone"),
    NEW_NAMESPACE("unshare"),
    ONE("unshare", ALWAYS, HAS_BITS(0, CLONE_NEWTIME_FLAG)),

    /* A file without a name, memory for instance, as a program. */
    ONE("execveat", ALWAYS, HAS_BITS(4, AT_EMPTY_PATH_FLAG)),
    /* Only memory that is sealed against execution; the call as a whole is for GPU alone. */
    ONE("memfd_create", ALWAYS, LACKS_BITS(1, MFD_NOEXEC_SEAL_FLAG)),
    ONE("memfd_create", ALWAYS, HAS_BITS(1, MFD_EXEC_FLAG)),

    /* Typing into a terminal that outlives the sandbox, and what else a terminal should not do. */
    ONE("ioctl", ALWAYS, INT_IS(1, IOCTL_TIOCSTI)),
    ONE("ioctl", ALWAYS, INT_IS(1, IOCTL_TIOCLINUX)),
    ONE("ioctl", ALWAYS, INT_IS(1, IOCTL_TIOCCONS)),
    ONE("ioctl", ALWAYS, INT_IS(1, IOCTL_TIOCSETD)),

    /* A filter with a listener, or put on other threads. prctl(PR_SET_SECCOMP) stays: it can only
     * make a process's own filters stricter. */
    ONE("seccomp", ALWAYS, INT_IS(0, SECCOMP_SET_MODE_FILTER_OP)),
    ONE("prctl", ALWAYS, INT_IS(0, PR_SET_MM)),
    ONE("prctl", ALWAYS, INT_IS(0, PR_SET_TSC)),

    ONE("mknod", ALWAYS, FIELD_IS(1, S_IFMT, S_IFCHR)),
    ONE("mknod", ALWAYS, FIELD_IS(1, S_IFMT, S_IFBLK)),
    ONE("mknodat", ALWAYS, FIELD_IS(2, S_IFMT, S_IFCHR)),
    ONE("mknodat", ALWAYS, FIELD_IS(2, S_IFMT, S_IFBLK)),

    /* The limit is 1, which alone keeps a piped core handler from running (launcher/privileges.h).
     * ENOSYS: programs that want no core themselves, gpg for one, give up at EPERM. */
    { "setrlimit", ALWAYS, ENOSYS, 1, { INT_IS(0, RLIMIT_CORE) } },
    { "prlimit64", ALWAYS, ENOSYS, 2, { INT_IS(1, RLIMIT_CORE), NOT(2, 0) } },

    /* Left: AF_UNIX 1, AF_INET 2, AF_INET6 10, and of AF_NETLINK 16 the routing protocol, which the
     * C library asks for addresses. */
    ONE("socket", ALWAYS, ABOVE(0, AF_NETLINK)),
    TWO("socket", ALWAYS, INT_IS(0, AF_NETLINK), NOT(2, 0)),
    INET_FAMILY(AF_INET),
    INET_FAMILY(AF_INET6),
    NO_FAMILY(0),
    NO_FAMILY(3),
    NO_FAMILY(4),
    NO_FAMILY(5),
    NO_FAMILY(6),
    NO_FAMILY(7),
    NO_FAMILY(8),
    NO_FAMILY(9),
    NO_FAMILY(11),
    NO_FAMILY(12),
    NO_FAMILY(13),
    NO_FAMILY(14),
    NO_FAMILY(15),
    ONE("socketpair", ALWAYS, ABOVE(0, AF_UNIX)),
    ONE("socketpair", ALWAYS, INT_IS(0, 0)),
};

/* Calls that pass for these values of their first argument only: asking, and the ordinary ABI. */
static const uint32_t personalities[] = { 0, UINT32_MAX };

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

/* Negative when this architecture has no such call. */
static int number_of(const struct seccomp_call *call)
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

static bool applies(const struct condition *condition, const struct seccomp_spec *spec)
{
    return condition->when == ALWAYS || (condition->when == WITH_INET) == spec->inet;
}

static int refuse(scmp_filter_ctx filter, const struct seccomp_spec *spec)
{
    for (size_t i = 0; i < seccomp_call_count; i++) {
        const struct seccomp_call *call = &seccomp_calls[i];
        int number = number_of(call);
        if (number < 0 || call->verdict == SECCOMP_CALL_ABSENT || is_allowed(call, spec->profile))
            continue;
        int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
        if (failed != 0)
            return failed;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(conditions); i++) {
        const struct condition *condition = &conditions[i];
        int number = seccomp_syscall_resolve_name(condition->call);
        if (number < 0 || !applies(condition, spec))
            continue;
        int failed = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)condition->error),
                                            number, condition->count, condition->args);
        /* -EEXIST: refused whatever the arguments are. */
        if (failed != 0 && failed != -EEXIST)
            return failed;
    }
    return 0;
}

static int allow(scmp_filter_ctx filter, const struct seccomp_spec *spec)
{
    for (size_t i = 0; i < seccomp_call_count; i++) {
        const struct seccomp_call *call = &seccomp_calls[i];
        int number = number_of(call);
        int failed = 0;
        if (number < 0 || !is_allowed(call, spec->profile))
            continue;
        if (strcmp(call->name, "personality") != 0) {
            failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
        } else {
            for (size_t k = 0; failed == 0 && k < OSA_ARRAY_LEN(personalities); k++)
                failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                                          SCMP_A0(SCMP_CMP_MASKED_EQ, LOW32, personalities[k]));
        }
        if (failed != 0)
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

/* Each "allow" in [@start, @end) goes on at @end instead. */
static void join(struct osa_buf *out, size_t start, size_t end)
{
    struct sock_filter *code = (struct sock_filter *)(void *)(out->data + start);
    size_t count = (end - start) / sizeof(*code);
    for (size_t i = 0; i < count; i++)
        if (code[i].code == (BPF_RET | BPF_K) && code[i].k == SCMP_ACT_ALLOW)
            code[i] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(count - i - 1));
}

static int compile(const struct seccomp_spec *spec, struct osa_buf *out)
{
    OSA_AUTO(free_filter) scmp_filter_ctx refusing = NULL;
    OSA_AUTO(free_filter) scmp_filter_ctx allowing = NULL;
    size_t start = out->len;
    int failed = new_filter(SCMP_ACT_ALLOW, &refusing);
    if (failed == 0)
        failed = refuse(refusing, spec);
    if (failed == 0)
        failed = export_filter(refusing, out);
    size_t middle = out->len;
    if (failed == 0)
        failed = new_filter(SCMP_ACT_ERRNO(ENOSYS), &allowing);
    if (failed == 0)
        failed = allow(allowing, spec);
    if (failed == 0)
        failed = export_filter(allowing, out);
    if (failed != 0)
        return failed;
    join(out, start, middle);
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
