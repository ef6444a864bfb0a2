// SPDX-License-Identifier: Apache-2.0
/* Filters for forked children of tests. */
#pragma once

#include "backends/process/seccomp_compile.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/** filter_make() - Compile into @out; exits the test program on failure */
static inline void filter_make(enum seccomp_profile profile, bool inet, struct osa_buf *out)
{
    const struct seccomp_spec spec = { profile, inet, false };
    struct osa_error err = { 0 };
    osa_buf_init(out, 1 << 20);
    if (seccomp_compile(&spec, out, &err) != OSA_OK) {
        fprintf(stderr, "%s\n", err.text);
        _exit(1);
    }
}

/** filter_load() - In a child: load the filter, as the launcher does. Return: 0 or -1 */
static inline int filter_load(const struct osa_buf *filter)
{
    const struct sock_fprog program = {
        .len = (unsigned short)(filter->len / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(void *)filter->data,
    };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &program);
}
