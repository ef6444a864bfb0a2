// SPDX-License-Identifier: Apache-2.0
#include "cli/spec.h"

/* A limit of 0 would mean "none" on the wire: who wants none leaves the option out. */
#define LIMIT_OPTIONS(into)                                                                        \
    { .flag = "cpu",                                                                               \
      .type = OSA_OPTION_CPU,                                                                      \
      .offset = offsetof(struct into, cpu_millis),                                                 \
      .min = 1,                                                                                    \
      .max = INT64_MAX,                                                                            \
      .value = "CPUS",                                                                             \
      .help = "CPUs, such as 500m or 1.5" },                                                       \
        { .flag = "memory",                                                                        \
          .letter = 'm',                                                                           \
          .type = OSA_OPTION_BYTES,                                                                \
          .offset = offsetof(struct into, memory_bytes),                                           \
          .min = 1,                                                                                \
          .max = INT64_MAX,                                                                        \
          .value = "BYTES",                                                                        \
          .help = "Memory, such as 256Mi; swap excluded" },                                        \
        { .flag = "pids",                                                                          \
          .type = OSA_OPTION_U64,                                                                  \
          .offset = offsetof(struct into, pids),                                                   \
          .min = 1,                                                                                \
          .max = INT64_MAX,                                                                        \
          .value = "N",                                                                            \
          .help = "Processes and threads" },                                                       \
    {                                                                                              \
        .flag = "disk", .type = OSA_OPTION_BYTES, .offset = offsetof(struct into, disk_bytes),     \
        .min = 1, .max = INT64_MAX, .value = "BYTES", .help = "Scratch space"                      \
    }

static const struct osa_option_name runtimes[] = {
    { "process", API_VALUE(RUNTIME_KIND__RUNTIME_KIND_PROCESS) },
    { "boxlite", API_VALUE(RUNTIME_KIND__RUNTIME_KIND_BOXLITE) },
    { 0 },
};

static const struct osa_option_name levels[] = {
    { "restricted", API_VALUE(ISOLATION_LEVEL__ISOLATION_LEVEL_RESTRICTED) },
    { "rootless", API_VALUE(ISOLATION_LEVEL__ISOLATION_LEVEL_ROOTLESS) },
    { "full", API_VALUE(ISOLATION_LEVEL__ISOLATION_LEVEL_FULL) },
    { "vm", API_VALUE(ISOLATION_LEVEL__ISOLATION_LEVEL_VM) },
    { 0 },
};

#define AT(field) offsetof(struct cli_spec, field)

const struct osa_option cli_spec_options[] = {
    LIMIT_OPTIONS(cli_spec),
    { .flag = "policy",
      .letter = 'p',
      .type = OSA_OPTION_PATH,
      .offset = AT(policy),
      .value = "FILE",
      .help = "Policy document, YAML; checked here first" },
    { .flag = "runtime",
      .letter = 'r',
      .type = OSA_OPTION_ENUM,
      .offset = AT(runtime),
      .names = runtimes,
      .value = "KIND",
      .help = "How to isolate. Default: the agent's kind" },
    { .flag = "image",
      .type = OSA_OPTION_STRING,
      .offset = AT(image),
      .value = "IMAGE",
      .help = "OCI image, or oci:PATH of a layout" },
    { .flag = "root",
      .type = OSA_OPTION_PATH,
      .offset = AT(root),
      .value = "DIR",
      .help = "Directory on the agent's host that becomes the root" },
    { .flag = "seccomp",
      .type = OSA_OPTION_STRING,
      .offset = AT(seccomp),
      .value = "PROFILE",
      .help = "System call filter: default, strict or gpu" },
    { .flag = "min-isolation",
      .type = OSA_OPTION_ENUM,
      .offset = AT(min_isolation),
      .names = levels,
      .value = "LEVEL",
      .help = "Lowest level to accept; without it the highest that is possible must succeed" },
    { .flag = "user",
      .letter = 'u',
      .type = OSA_OPTION_STRING,
      .offset = AT(user),
      .value = "USER",
      .help = "Name or id, :group may follow. Default: the policy's" },
    { .flag = "cwd",
      .letter = 'w',
      .type = OSA_OPTION_STRING,
      .offset = AT(workdir),
      .value = "DIR",
      .help = "Working directory in the sandbox" },
    { .flag = "env",
      .letter = 'e',
      .type = OSA_OPTION_LIST,
      .offset = AT(env),
      .value = "KEY[=VALUE]",
      .help = "Environment; without a value, the value that it has here" },
    { .flag = "label",
      .letter = 'l',
      .type = OSA_OPTION_LIST,
      .offset = AT(labels),
      .value = "KEY=VALUE",
      .help = "Label to find it by" },
};

const struct osa_option cli_limit_options[] = { LIMIT_OPTIONS(cli_limits) };
