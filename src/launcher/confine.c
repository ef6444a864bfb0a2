// SPDX-License-Identifier: Apache-2.0
#include "launcher/confine.h"

#include "launcher/privileges.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine_join_cgroups(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (write(fds[i], "0", 1) != 1)
            return -errno;
    }
    return 0;
}

int confine_close_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
        return 0;
    if (errno != ENOSYS)
        return -errno;
    struct rlimit limit; /* Linux before 5.9: one by one, up to what the launcher can have opened */
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    int end = limit.rlim_cur > 65536 ? 65536 : (int)limit.rlim_cur;
    for (int fd = first; fd < end; fd++)
        (void)close(fd);
    return 0;
}

enum osa_code confine_drop(const struct sandbox_plan *sandbox, const struct identity *identity,
                           struct osa_error *err)
{
    unsigned flags =
        (sandbox->flags & SANDBOX_PLAN_KEEP_IDS) != 0 ? (unsigned)PRIVILEGES_KEEP_IDS : 0;
    enum osa_code code = privileges_drop(identity, flags, NULL, err);
    if (code == OSA_OK && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        code = osa_fail(err, OSA_INTERNAL, errno, "PR_SET_PDEATHSIG");
    return code;
}

int confine_load_filter(const struct sandbox_plan *sandbox, uint32_t flags, int *ret_listener)
{
    struct plan_blob blob = sandbox->seccomp;
    if (blob.length == 0)
        return 0;
    struct sock_fprog program = {
        .len = (unsigned short)(blob.length / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)plan_bytes(sandbox, blob),
    };
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0)
        return -errno;
    if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0)
        *ret_listener = (int)listener;
    return 0;
}
