// SPDX-License-Identifier: Apache-2.0
/*
 * System call filters as bytes that a process start loads last. The only user of libseccomp.
 *
 * A filter is an allow-list: a call passes if its row in seccomp_calls says so and no condition on
 * its arguments refuses it. Refused calls get EPERM, or notify whoever answers with it; calls without a row, and clone3, get ENOSYS, so
 * that programs fall back as on an older kernel. Calls by another architecture's numbers (int 0x80,
 * x32) kill the process.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* STRICT: without what ordinary programs do not need. GPU: with what CUDA needs. */
enum seccomp_profile {
    SECCOMP_PROFILE_DEFAULT,
    SECCOMP_PROFILE_STRICT,
    SECCOMP_PROFILE_GPU,
    SECCOMP_PROFILE_COUNT
};

enum seccomp_verdict {
    SECCOMP_CALL_ALLOW,
    SECCOMP_CALL_NOT_STRICT, /* EPERM under STRICT */
    SECCOMP_CALL_GPU,        /* EPERM but under GPU */
    SECCOMP_CALL_DENY,       /* EPERM */
    SECCOMP_CALL_ABSENT,     /* ENOSYS */
};

/**
 * struct seccomp_call - A row of the table
 * @number: 0: libseccomp knows it by @name
 * @help:   why it is refused, for a person; NULL when it is allowed
 */
struct seccomp_call {
    const char *name;
    enum seccomp_verdict verdict;
    uint16_t number;
    const char *help;
};

extern const struct seccomp_call seccomp_calls[];
extern const size_t seccomp_call_count;

/**
 * struct seccomp_spec - Which filter
 * @inet: IPv4 and IPv6 sockets can be made: a network namespace holds them, or they are open
 * @notify: what would get EPERM notifies instead: needs a listener, or it gets ENOSYS
 */
struct seccomp_spec {
    enum seccomp_profile profile;
    bool inet;
    bool notify;
};

/** seccomp_profile_name() - "default", "strict", "gpu". Return: a constant */
const char *seccomp_profile_name(enum seccomp_profile profile);

/** seccomp_profile_parse() - The reverse; "" is the default. Return: false for an unknown name */
bool seccomp_profile_parse(const char *name, enum seccomp_profile *ret);

/**
 * seccomp_compile() - Append the filter to @out as struct sock_filter[], at most BPF_MAXINSNS
 * Takes a few milliseconds: callers keep the result. Any thread.
 * Return: OSA_OK; FAILED_PRECONDITION: no filters for this machine's architecture;
 * RESOURCE_EXHAUSTED; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code seccomp_compile(const struct seccomp_spec *spec, struct osa_buf *out,
                                             struct osa_error *err);
