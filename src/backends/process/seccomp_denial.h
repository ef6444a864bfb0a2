// SPDX-License-Identifier: Apache-2.0
/* Refused system calls in words: which call, who made it, why it is refused, what would allow it. */
#pragma once

#include "backends/process/seccomp_compile.h"

struct launcher_denied;

/* Longest text, NUL included. */
#define SECCOMP_DENIAL_TEXT_MAX 256

/**
 * seccomp_denial_text() - Put a refusal into words, such as
 * "ptrace by pid 3: controls other processes; no seccomp profile allows it (2 more not shown)"
 * @spec: of the filter that refused
 * @ret:  room for SECCOMP_DENIAL_TEXT_MAX
 * A call that is refused for its arguments is shown with those that decided. Any thread.
 */
void seccomp_denial_text(const struct seccomp_spec *spec, const struct launcher_denied *denied,
                         char *ret);
