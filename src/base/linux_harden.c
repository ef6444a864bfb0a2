// SPDX-License-Identifier: Apache-2.0
#include "base/harden.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum osa_code osa_harden_self(struct osa_error *err)
{
    const struct rlimit none = { 0, 0 };
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return osa_fail_errno(err, errno, "PR_SET_DUMPABLE");
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return osa_fail_errno(err, errno, "RLIMIT_CORE");
    return OSA_OK;
}

unsigned long osa_raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        const struct rlimit raised = { limit.rlim_max, limit.rlim_max };
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return (unsigned long)limit.rlim_cur;
}
