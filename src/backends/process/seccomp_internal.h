// SPDX-License-Identifier: Apache-2.0
/* What compiling filters and explaining their refusals share. */
#pragma once

#include "backends/process/seccomp_compile.h"
#include "base/macros.h"

#include <seccomp.h>

#define SECCOMP_LOW32 0xffffffffu

enum seccomp_when { ALWAYS, WITHOUT_INET, WITH_INET };

/* Refused with @error when every one of @args holds. */
struct seccomp_condition {
    const char *call;
    enum seccomp_when when;
    int error;
    unsigned count;
    struct scmp_arg_cmp args[2];
};

extern const struct seccomp_condition seccomp_conditions[];
extern const size_t seccomp_condition_count;

/** seccomp_condition_applies() - Is the condition part of the filter for @spec? */
bool seccomp_condition_applies(const struct seccomp_condition *condition,
                               const struct seccomp_spec *spec);

/** seccomp_call_number() - Return: number of the call here, negative when this architecture has no such call */
int seccomp_call_number(const struct seccomp_call *call);

/**
 * seccomp_allow() - Append the second half of a filter: ALLOW for calls that have a row, ENOSYS for others
 * The first half has let the architecture pass and refused what is to be refused by EPERM.
 * Return: 0 or -errno.
 */
int seccomp_allow(struct osa_buf *out);
