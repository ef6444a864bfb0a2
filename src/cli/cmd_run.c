// SPDX-License-Identifier: Apache-2.0
/* run: start a process and be its terminal. */
#include "base/clock.h"
#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/spec.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/view.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From Spawn to Attach it takes a fraction of a second, unless this program is stopped. */
#define HOLD_OUTPUT_NS (60 * OSA_NS_PER_SEC)

struct run_options {
    struct cli_spec spec; /* first: filled by the shared options */
    bool tty;
    bool interactive;
    bool detach;
    bool show;
    const char *sandbox;
    int64_t timeout_ns;
    struct osa_strings rlimits;
    struct osa_strings groups;
    uint64_t output_retain;
    const char *idempotency_key;
};

#define AT(field) offsetof(struct run_options, field)

static const struct osa_option run_options[] = {
    { .flag = "interactive",
      .letter = 'i',
      .type = OSA_OPTION_BOOL,
      .offset = AT(interactive),
      .help = "Send standard input; without it the process reads /dev/null" },
    { .flag = "tty",
      .letter = 't',
      .type = OSA_OPTION_BOOL,
      .offset = AT(tty),
      .help = "Give it a terminal, of this one's size" },
    { .flag = "detach",
      .letter = 'd',
      .type = OSA_OPTION_BOOL,
      .offset = AT(detach),
      .help = "Start it, print its id and leave it running" },
    { .flag = "isolation",
      .type = OSA_OPTION_BOOL,
      .offset = AT(show),
      .help = "Say on standard error what isolation and limits are in force" },
    { .flag = "sandbox",
      .letter = 's',
      .type = OSA_OPTION_STRING,
      .offset = AT(sandbox),
      .value = "ID",
      .complete = "sandbox",
      .help = "Sandbox to start it in; the limits are then its own inside that sandbox" },
    { .flag = "timeout",
      .type = OSA_OPTION_DURATION,
      .offset = AT(timeout_ns),
      .min = 1000000,
      .max = INT64_MAX,
      .value = "TIME",
      .help = "Kill it and all it started when this time has passed; exit status 124" },
    { .flag = "rlimit",
      .type = OSA_OPTION_LIST,
      .offset = AT(rlimits),
      .value = "TYPE=SOFT[:HARD]",
      .help = "Resource limit, such as nofile=1024 or core=0" },
    { .flag = "group",
      .type = OSA_OPTION_LIST,
      .offset = AT(groups),
      .value = "GROUP",
      .help = "Supplementary group, in place of those that the user implies" },
    { .flag = "output-retain",
      .type = OSA_OPTION_BYTES,
      .offset = AT(output_retain),
      .min = 1,
      .max = INT64_MAX,
      .value = "BYTES",
      .help = "Output to keep for late readers" },
    { .flag = "idempotency-key",
      .type = OSA_OPTION_STRING,
      .offset = AT(idempotency_key),
      .value = "KEY",
      .help = "With the same key and the same request nothing starts twice" },
};

/* What a spawn needs and frees. */
struct build {
    struct cli_arena arena;
    API(SpawnRequest) request;
    API(ProcessSpec) spec;
    API(Terminal) terminal;
    API(TerminalSize) size;
};

static char *text_or_empty(struct build *b, const char *text)
{
    return cli_string(&b->arena, text != NULL ? text : "");
}

static char **copy_list(struct build *b, int count, const char *const *items)
{
    char **copy = cli_alloc(&b->arena, (size_t)count + 1, sizeof(*copy));
    for (int i = 0; i < count; i++)
        copy[i] = cli_string(&b->arena, items[i]);
    return copy;
}

static enum osa_code build_maps(struct build *b, const struct cli_spec *o, struct osa_error *err)
{
    API(ProcessSpec) *spec = &b->spec;
    struct cli_pair *pairs = NULL;
    enum osa_code code =
        cli_pairs(&b->arena, "--env", /* inherit= */ true, &o->env, &pairs, &spec->n_env, err);
    if (code != OSA_OK)
        return code;
    spec->env = cli_alloc(&b->arena, spec->n_env + 1, sizeof(*spec->env));
    for (size_t i = 0; i < spec->n_env; i++) {
        spec->env[i] =
            CLI_NEW(&b->arena, API(ProcessSpec__EnvEntry), API_INIT(PROCESS_SPEC__ENV_ENTRY));
        spec->env[i]->key = pairs[i].key;
        spec->env[i]->value = pairs[i].value;
    }
    code = cli_pairs(&b->arena, "--label", /* inherit= */ false, &o->labels, &pairs,
                     &spec->n_labels, err);
    if (code != OSA_OK)
        return code;
    spec->labels = cli_alloc(&b->arena, spec->n_labels + 1, sizeof(*spec->labels));
    for (size_t i = 0; i < spec->n_labels; i++) {
        spec->labels[i] =
            CLI_NEW(&b->arena, API(ProcessSpec__LabelsEntry), API_INIT(PROCESS_SPEC__LABELS_ENTRY));
        spec->labels[i]->key = pairs[i].key;
        spec->labels[i]->value = pairs[i].value;
    }
    return OSA_OK;
}

static void build_terminal(struct build *b)
{
    const char *term = getenv("TERM");
    b->terminal = (API(Terminal))API_INIT(TERMINAL);
    b->size = (API(TerminalSize))API_INIT(TERMINAL_SIZE);
    if (cli_terminal_size(STDIN_FILENO, &b->size.rows, &b->size.columns) ||
        cli_terminal_size(STDOUT_FILENO, &b->size.rows, &b->size.columns))
        b->terminal.size = &b->size;
    b->terminal.term = text_or_empty(b, term);
    b->spec.tty = &b->terminal;
}

static enum osa_code build_spawn(struct build *b, const struct run_options *o, int argc,
                                 const char *const *argv, struct osa_error *err)
{
    API(ProcessSpec) *spec = &b->spec;
    b->request = (API(SpawnRequest))API_INIT(SPAWN_REQUEST);
    *spec = (API(ProcessSpec))API_INIT(PROCESS_SPEC);
    b->request.spec = spec;
    b->request.sandbox_id = text_or_empty(b, o->sandbox);
    b->request.idempotency_key = text_or_empty(b, o->idempotency_key);
    spec->n_argv = (size_t)argc;
    spec->argv = copy_list(b, argc, argv);
    spec->cwd = text_or_empty(b, o->spec.workdir);
    spec->user = text_or_empty(b, o->spec.user);
    spec->n_groups = o->groups.count;
    spec->groups = copy_list(b, (int)o->groups.count, o->groups.items);
    spec->stdin = o->interactive;
    spec->image = text_or_empty(b, o->spec.image);
    spec->root = text_or_empty(b, o->spec.root);
    spec->seccomp_profile = text_or_empty(b, o->spec.seccomp);
    spec->runtime = (API(RuntimeKind))o->spec.runtime;
    spec->min_isolation = (API(IsolationLevel))o->spec.min_isolation;
    spec->output_retain_bytes = o->output_retain;
    if (!o->detach)
        spec->hold_output = cli_wire_duration(&b->arena, HOLD_OUTPUT_NS);
    if (o->timeout_ns > 0)
        spec->timeout = cli_wire_duration(&b->arena, o->timeout_ns);
    spec->resources = cli_wire_resources(&b->arena, o->spec.cpu_millis, o->spec.memory_bytes,
                                         o->spec.pids, o->spec.disk_bytes);
    if (o->tty)
        build_terminal(b);
    enum osa_code code = build_maps(b, &o->spec, err);
    if (code == OSA_OK)
        code = cli_rlimits(&b->arena, &o->rlimits, &spec->rlimits, &spec->n_rlimits, err);
    if (code == OSA_OK && o->spec.policy != NULL)
        code = cli_policy_load(o->spec.policy, &spec->policy, err);
    return code;
}

/* ---- the call: not cli_call(), for the exit status tells what went wrong with the exec ---- */

struct spawn {
    struct rpc_client_events events;
    struct cli *cli;
    const struct run_options *options;
    char process_id[128];
    bool over;
    int status;
};

static void on_spawned(struct rpc_client_events *events, const ProtobufCMessage *message)
{
    struct spawn *self = OSA_CONTAINER_OF(events, struct spawn, events);
    const API(SpawnResponse) *response = (const void *)message;
    (void)snprintf(self->process_id, sizeof(self->process_id), "%s", response->process_id);
    if (self->cli->global.json) {
        self->status = cli_put_json(message, /* pretty= */ false);
    } else if (self->options->detach) {
        OSA_AUTO(osa_buf_done) struct osa_buf out;
        osa_buf_init(&out, 4096);
        cli_text_escape(&out, self->process_id);
        (void)osa_buf_add(&out, "\n", 1);
        self->status = cli_print(&out);
    }
    if (self->options->show && !self->cli->global.json) {
        char limits[256];
        OSA_AUTO(osa_buf_done) struct osa_buf out;
        osa_buf_init(&out, 65536);
        cli_resources_text(response->effective_resources, limits, sizeof(limits));
        (void)osa_buf_addf(&out, "%s in %s, runtime %s\n", response->process_id,
                           response->sandbox_id, cli_runtime_word(response->runtime));
        (void)osa_buf_addf(&out, "  %-16s%s\n", "limits", limits);
        cli_isolation_rows(&out, response->isolation);
        (void)fwrite(out.data, 1, out.len, stderr);
    }
}

static int spawn_status(const struct rpc_status *status)
{
    API(ErrorDetail) *detail = cli_detail(status);
    int result = CLI_NOT_RUN;
    if (detail != NULL && strcmp(detail->stage, "exec") == 0)
        result = strcmp(detail->errno_name, "ENOENT") == 0 ? CLI_NOT_FOUND : CLI_NOT_EXEC;
    if (detail != NULL)
        protobuf_c_message_free_unpacked(&detail->base, NULL);
    return result;
}

static void on_spawn_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct spawn *self = OSA_CONTAINER_OF(events, struct spawn, events);
    self->over = true;
    if (status->error.code == OSA_OK)
        return;
    self->status = spawn_status(status);
    cli_report_status(self->cli, status);
}

static void spawn(struct spawn *self, const API(SpawnRequest) * request)
{
    struct osa_error err = { 0 };
    if (cli_connect(self->cli, &err) != OSA_OK) {
        cli_report(self->cli, &err, NULL);
        self->status = CLI_NOT_RUN;
        return;
    }
    struct rpc_client_call *call =
        rpc_client_start(self->cli->channel, API_METHOD("Spawn"), API_TYPE(spawn_response),
                         cli_deadline(self->cli), /* wait_for_ready= */ false, &self->events);
    (void)rpc_client_send(call, &request->base);
    rpc_client_half_close(call);
    while (!self->over)
        (void)osa_loop_run_once(self->cli->loop, OSA_NEVER);
}

static int run_run(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct run_options *o = options;
    struct osa_error err = { 0 };
    struct build build = { 0 };
    struct spawn self = {
        .events = { .message = on_spawned, .done = on_spawn_done },
        .cli = cli,
        .options = o,
    };
    enum osa_code code = build_spawn(&build, o, argc, argv, &err);
    if (code == OSA_OK)
        spawn(&self, &build.request);
    if (build.spec.policy != NULL)
        openshell__sandbox__v1__sandbox_policy__free_unpacked(build.spec.policy, NULL);
    cli_arena_done(&build.arena);
    if (code != OSA_OK)
        return cli_usage_error(cli, &err);
    if (self.status != CLI_DONE || o->detach)
        return self.status;
    struct cli_attach what = {
        .process_id = self.process_id,
        .follow = true,
        .input = o->interactive,
        .signals = true,
        .owns = true,
    };
    return cli_attach(cli, &what);
}

const struct cli_command cli_command_run = {
    .name = "run",
    .operands = "[--] COMMAND [ARGUMENT]...",
    .summary = "Run a command in a sandbox",
    .text = "Without --sandbox the command gets a sandbox of its own, which ends with it, or the "
            "agent's default sandbox where there is one. No shell reads the command.\n"
            "The exit status is that of the command; 128 plus the signal that ended it; 124 when "
            "--timeout ended it; 137 when it ran out of memory; 127 when there is no such "
            "program, 126 when it cannot be executed, 125 when the agent refused or was lost.\n"
            "Signals that come here are passed on; the third interrupt kills the command. With "
            "--tty and --interactive ctrl-p ctrl-q leaves it running.",
    .complete = "command",
    .min = 1,
    .max = INT_MAX,
    .stops = true,
    .failed = CLI_NOT_RUN,
    .options = run_options,
    .option_count = OSA_ARRAY_LEN(run_options),
    .shared = cli_spec_options,
    .shared_count = CLI_SPEC_OPTION_COUNT,
    .target_size = sizeof(struct run_options),
    .run = run_run,
};
