// SPDX-License-Identifier: Apache-2.0
/* What run and sandbox create have in common: a sandbox and its limits, from options. */
#pragma once

#include "cli/cli.h"
#include "cli/wire.h"

/** struct cli_spec - First member of the targets of both commands; strings belong to cli.options */
struct cli_spec {
    uint64_t cpu_millis;
    uint64_t memory_bytes;
    uint64_t pids;
    uint64_t disk_bytes;
    const char *policy;
    int runtime;
    const char *image;
    const char *root;
    const char *seccomp;
    int min_isolation;
    const char *user;
    const char *workdir;
    struct osa_strings env;
    struct osa_strings labels;
};

enum { CLI_SPEC_OPTION_COUNT = 14, CLI_LIMIT_OPTION_COUNT = 4 };
extern const struct osa_option cli_spec_options[CLI_SPEC_OPTION_COUNT];

/* The four limits alone, for sandbox update. */
struct cli_limits {
    uint64_t cpu_millis;
    uint64_t memory_bytes;
    uint64_t pids;
    uint64_t disk_bytes;
};

extern const struct osa_option cli_limit_options[CLI_LIMIT_OPTION_COUNT];
