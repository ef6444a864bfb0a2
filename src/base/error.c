// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[OSA_CODE_COUNT] = {
    [OSA_OK] = "OK",
    [OSA_CANCELLED] = "CANCELLED",
    [OSA_UNKNOWN] = "UNKNOWN",
    [OSA_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [OSA_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [OSA_NOT_FOUND] = "NOT_FOUND",
    [OSA_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [OSA_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [OSA_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [OSA_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [OSA_ABORTED] = "ABORTED",
    [OSA_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [OSA_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [OSA_INTERNAL] = "INTERNAL",
    [OSA_UNAVAILABLE] = "UNAVAILABLE",
    [OSA_DATA_LOSS] = "DATA_LOSS",
    [OSA_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

static void fill(struct osa_error *err, enum osa_code code, int sys_errno, const char *fmt,
                 va_list args)
{
    err->code = code;
    err->sys_errno = sys_errno;
    err->stage = NULL;
    err->field[0] = '\0';
    int used = vsnprintf(err->text, sizeof(err->text), fmt, args);
    if (used < 0)
        err->text[0] = '\0';
    if (sys_errno == 0 || used < 0 || (size_t)used + 3 >= sizeof(err->text))
        return;

    char reason[128];
    /* The GNU strerror_r may return a constant and leave the buffer alone; POSIX's fills it. */
#ifdef __GLIBC__
    const char *text = strerror_r(sys_errno, reason, sizeof(reason));
#else
    const char *text =
        strerror_r(sys_errno, reason, sizeof(reason)) == 0 ? reason : "unknown error";
#endif
    (void)snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %s", text);
}

enum osa_code osa_fail(struct osa_error *err, enum osa_code code, int sys_errno, const char *fmt,
                       ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, fmt);
    fill(err, code, sys_errno, fmt, args);
    va_end(args);
    return code;
}

enum osa_code osa_fail_field(struct osa_error *err, const char *field, const char *fmt, ...)
{
    if (err == NULL)
        return OSA_INVALID_ARGUMENT;
    va_list args;
    va_start(args, fmt);
    fill(err, OSA_INVALID_ARGUMENT, 0, fmt, args);
    va_end(args);
    (void)snprintf(err->field, sizeof(err->field), "%s", field);
    return osa_wrap(err, "%s", field);
}

enum osa_code osa_fail_errno(struct osa_error *err, int sys_errno, const char *fmt, ...)
{
    enum osa_code code = OSA_INTERNAL;
    switch (sys_errno) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EAGAIN:
        code = OSA_RESOURCE_EXHAUSTED;
        break;
    default:
        break;
    }
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, fmt);
    fill(err, code, sys_errno, fmt, args);
    va_end(args);
    return code;
}

enum osa_code osa_wrap(struct osa_error *err, const char *fmt, ...)
{
    if (err == NULL)
        return OSA_INTERNAL;
    char inner[sizeof(err->text)];
    va_list args;
    (void)snprintf(inner, sizeof(inner), "%s", err->text);
    va_start(args, fmt);
    int used = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(err->text))
        (void)snprintf(err->text + used, sizeof(err->text) - (size_t)used, ": %s", inner);
    return err->code;
}

const char *osa_code_name(enum osa_code code)
{
    return (unsigned)code < OSA_CODE_COUNT ? code_names[code] : "UNKNOWN";
}

const char *osa_errno_name(int sys_errno)
{
#ifdef __GLIBC__ /* 2.32 */
    const char *name = strerrorname_np(sys_errno);
    return name != NULL ? name : "E?";
#else
    return sys_errno == 0 ? "0" : "E?";
#endif
}
