// SPDX-License-Identifier: Apache-2.0
/*
 * What the filter refuses for a call's arguments, whatever the profile; see seccomp_calls.c for
 * refusals by name.
 *
 * Arguments of int and unsigned type are compared in their low 32 bits, for the kernel ignores the
 * others: an ioctl of 0x1'0000'5412 is TIOCSTI as well (CVE-2019-10063).
 */
#include "backends/process/seccomp_internal.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOW32 SECCOMP_LOW32

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

const struct seccomp_condition seccomp_conditions[] = {
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

const size_t seccomp_condition_count = OSA_ARRAY_LEN(seccomp_conditions);
