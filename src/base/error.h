// SPDX-License-Identifier: Apache-2.0
/*
 * The one error type, from system call to wire.
 *
 * A function that can fail returns an enum osa_code and fills a struct osa_error that its caller
 * keeps on the stack. Nothing is allocated, so failing cannot fail. The code names the party at
 * fault and equals the gRPC status code that the client will see (grpc doc/statuscodes.md).
 */
#pragma once

#include "base/macros.h"

#include <stdarg.h>
#include <stdint.h>

/* Numbers are those of gRPC; src/rpc proves it with static_assert. */
enum osa_code {
    OSA_OK = 0,
    OSA_CANCELLED = 1,
    OSA_UNKNOWN = 2,
    OSA_INVALID_ARGUMENT = 3,
    OSA_DEADLINE_EXCEEDED = 4,
    OSA_NOT_FOUND = 5,
    OSA_ALREADY_EXISTS = 6,
    OSA_PERMISSION_DENIED = 7,
    OSA_RESOURCE_EXHAUSTED = 8,
    OSA_FAILED_PRECONDITION = 9,
    OSA_ABORTED = 10,
    OSA_OUT_OF_RANGE = 11,
    OSA_UNIMPLEMENTED = 12,
    OSA_INTERNAL = 13,
    OSA_UNAVAILABLE = 14,
    OSA_DATA_LOSS = 15,
    OSA_UNAUTHENTICATED = 16,
    OSA_CODE_COUNT
};

/**
 * struct osa_error - Why a call failed
 * @code:      whose fault it is; OSA_OK in a fresh struct
 * @sys_errno: errno of the system call that failed, 0 when none did
 * @stage:     step of a staged operation such as a spawn ("cgroup", "landlock", "exec"); a string
 *             constant, NULL when the operation has no stages
 * @field:     request field at fault, dotted as in the .proto ("spec.argv"); "" when none is
 * @text:      one line for a person: what failed, on what, and what to change
 */
struct osa_error {
    enum osa_code code;
    int sys_errno;
    const char *stage;
    char field[64];
    char text[512];
};

/**
 * osa_fail() - Fill @err and return its code, for `return osa_fail(…)`
 * @err:       filled; NULL is allowed when the caller wants the code alone
 * @code:      not OSA_OK
 * @sys_errno: errno of the failed system call, else 0; ": strerror" is appended when not 0
 * @fmt:       printf format of the message; cut at the size of text
 */
enum osa_code osa_fail(struct osa_error *err, enum osa_code code, int sys_errno, const char *fmt,
                       ...) OSA_PRINTF(4, 5);

/**
 * osa_fail_field() - osa_fail(INVALID_ARGUMENT) that names the request field; the text starts with it
 */
enum osa_code osa_fail_field(struct osa_error *err, const char *field, const char *fmt, ...)
    OSA_PRINTF(3, 4);

/**
 * osa_fail_errno() - osa_fail() with the code that the errno implies
 *
 * ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT, EAGAIN → RESOURCE_EXHAUSTED; everything else INTERNAL,
 * because only the call site can know that somebody else was at fault.
 */
enum osa_code osa_fail_errno(struct osa_error *err, int sys_errno, const char *fmt, ...)
    OSA_PRINTF(3, 4);

/**
 * osa_wrap() - Put "context: " before the text of a failed call, as each layer adds what it knows
 * Return: err->code, so that it can end a function; OSA_INTERNAL when err is NULL.
 */
enum osa_code osa_wrap(struct osa_error *err, const char *fmt, ...) OSA_PRINTF(2, 3);

/** osa_code_name() - "INVALID_ARGUMENT" and so on; "CODE(n)" never: unknown numbers give "UNKNOWN" */
const char *osa_code_name(enum osa_code code);

/**
 * osa_errno_name() - "ENOENT" and so on
 * Return: a constant; "E?" for a number that the C library does not know.
 */
const char *osa_errno_name(int sys_errno);
