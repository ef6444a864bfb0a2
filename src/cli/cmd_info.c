// SPDX-License-Identifier: Apache-2.0
/* info and drain: about the agent as a whole. */
#include "base/clock.h"
#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/time_text.h"
#include "cli/view.h"
#include "cli/wire.h"

#include <inttypes.h>

static void add_host(struct osa_buf *out, const API(HostInfo) * host)
{
    char memory[CLI_TIME_SIZE];
    cli_bytes_text(host->memory_bytes, memory);
    (void)osa_buf_addf(out, "\nHost\n  %-16s%s %s %s, %" PRIu32 " CPUs, %s\n", "system", host->os,
                       host->kernel, host->machine, host->cpus, memory);
    (void)osa_buf_addf(out, "  %-16s", "namespaces");
    cli_join(out, host->n_namespaces, host->namespaces);
    (void)osa_buf_addf(out, "\n  %-16s", "landlock");
    (void)osa_buf_addf(out, host->landlock_abi != 0 ? "ABI %" PRIu32 "\n" : "none\n",
                       host->landlock_abi);
    (void)osa_buf_addf(out, "  %-16s%s\n", "seccomp", host->seccomp ? "yes" : "no");
    (void)osa_buf_addf(out, "  %-16s", "cgroup");
    if (host->cgroup_version != 0)
        (void)osa_buf_addf(out, "v%" PRIu32 ": ", host->cgroup_version);
    cli_join(out, host->n_cgroup_controllers, host->cgroup_controllers);
    (void)osa_buf_addf(out, "\n  %-16s%s\n  %-16s", "kvm", host->kvm ? "yes" : "no",
                       "denials seen by");
    cli_join(out, host->n_denial_sources, host->denial_sources);
    (void)osa_buf_add(out, "\n", 1);
    for (size_t i = 0; i < host->n_denial_gaps; i++) {
        (void)osa_buf_addf(out, "  %-16s", "not seen");
        cli_text_escape(out, host->denial_gaps[i]);
        (void)osa_buf_add(out, "\n", 1);
    }
}

static void add_runtime(struct osa_buf *out, const API(RuntimeInfo) * runtime)
{
    (void)osa_buf_addf(out, "\nRuntime %s: %s", cli_runtime_word(runtime->kind),
                       runtime->available ? "available" : "not available: ");
    if (!runtime->available)
        cli_text_escape(out, runtime->unavailable_reason);
    (void)osa_buf_add(out, "\n", 1);
    if (!runtime->available)
        return;
    cli_isolation_rows(out, runtime->isolation);
    (void)osa_buf_addf(out, "  %-16s", "can");
    cli_join(out, runtime->n_capabilities, runtime->capabilities);
    (void)osa_buf_add(out, "\n", 1);
    if (*runtime->server_version != '\0') {
        (void)osa_buf_addf(out, "  %-16s", "server");
        cli_text_escape(out, runtime->server_version);
        (void)osa_buf_addf(out, " at ");
        cli_text_escape(out, runtime->server_url);
        (void)osa_buf_add(out, "\n", 1);
    }
}

static void add_limits(struct osa_buf *out, const API(AgentLimits) * limits)
{
    char output[CLI_TIME_SIZE];
    char message[CLI_TIME_SIZE];
    char retain[CLI_TIME_SIZE];
    cli_bytes_text(limits->output_retain_bytes, output);
    cli_bytes_text(limits->max_message_bytes, message);
    cli_span_text(cli_duration_ns(limits->exit_retain), retain);
    (void)osa_buf_addf(out,
                       "\nLimits\n  %-16s%" PRIu32 "\n  %-16s%" PRIu32
                       "\n  %-16s%s of each process\n  %-16s%s, %" PRIu32 " at most\n  %-16s%s\n",
                       "sandboxes", limits->max_sandboxes, "processes", limits->max_processes,
                       "output kept", output, "exits kept", retain, limits->exit_retain_count,
                       "message", message);
}

static void say_info(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(GetInfoResponse) *info = (const void *)message;
    char age[CLI_TIME_SIZE];
    char capacity[256];
    char allocated[256];
    cli_age_text(info->started_at, age);
    cli_resources_text(info->capacity, capacity, sizeof(capacity));
    cli_resources_text(info->allocated, allocated, sizeof(allocated));
    (void)osa_buf_addf(out, "Agent %s\n  %-16s%s, API %s\n  %-16s%s\n  %-16s%s%s\n",
                       info->instance_id, "version", info->version, info->api_version,
                       "default runtime", cli_runtime_word(info->runtime_kind), "up", age,
                       info->draining ? ", draining" : "");
    (void)osa_buf_addf(out, "  %-16s%" PRIu32 "\n  %-16s%" PRIu32 "\n", "sandboxes",
                       info->sandboxes, "processes", info->processes);
    if (*info->default_sandbox_id != '\0')
        (void)osa_buf_addf(out, "  %-16s%s\n", "default sandbox", info->default_sandbox_id);
    (void)osa_buf_addf(out, "  %-16s%s\n  %-16s%s\n", "capacity", capacity, "allocated", allocated);
    for (size_t i = 0; i < info->n_runtimes; i++)
        add_runtime(out, info->runtimes[i]);
    if (info->host != NULL)
        add_host(out, info->host);
    if (info->limits != NULL)
        add_limits(out, info->limits);
}

static int run_info(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    API(GetInfoRequest) request = API_INIT(GET_INFO_REQUEST);
    (void)options;
    (void)argc;
    (void)argv;
    return cli_show(cli, API_METHOD("GetInfo"), &request.base, API_TYPE(get_info_response),
                    cli_deadline(cli), say_info);
}

const struct cli_command cli_command_info = {
    .name = "info",
    .operands = "",
    .summary = "Show what the agent is, what isolation it can apply here and what is in use",
    .failed = CLI_FAILED,
    .run = run_info,
};

struct drain_options {
    int64_t timeout_ns;
};

static const struct osa_option drain_options[] = {
    { .flag = "timeout",
      .type = OSA_OPTION_DURATION,
      .offset = offsetof(struct drain_options, timeout_ns),
      .max = 86400000000000,
      .value = "TIME",
      .help = "How long processes may go on before they are killed. Default: the agent's" },
};

static void say_drained(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(DrainResponse) *drained = (const void *)message;
    (void)osa_buf_addf(out, "drained: %" PRIu32 " ended, %" PRIu32 " killed\n", drained->ended,
                       drained->killed);
}

static int run_drain(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct drain_options *o = options;
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(DrainRequest) request = API_INIT(DRAIN_REQUEST);
    (void)argc;
    (void)argv;
    if (osa_options_origin(cli->options, &o->timeout_ns) != OSA_ORIGIN_NONE)
        request.timeout = cli_wire_duration(&arena, o->timeout_ns);
    return cli_show(cli, API_METHOD("Drain"), &request.base, API_TYPE(drain_response), OSA_NEVER,
                    say_drained);
}

const struct cli_command cli_command_drain = {
    .name = "drain",
    .operands = "",
    .summary = "Let the agent take no more work, wait for what runs, kill what goes on too long",
    .text = "Returns when nothing runs any more. The agent stays and answers questions; its health "
            "is NOT_SERVING from now on.",
    .failed = CLI_FAILED,
    .options = drain_options,
    .option_count = OSA_ARRAY_LEN(drain_options),
    .target_size = sizeof(struct drain_options),
    .run = run_drain,
};
