// SPDX-License-Identifier: Apache-2.0
/* ps, inspect, wait, signal, kill: processes by their ids. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/time_text.h"
#include "cli/view.h"
#include "cli/wire.h"

#include <limits.h>
#include <stdio.h>

/* ---- ps ---- */

struct ps_options {
    bool all;
    bool quiet;
    const char *sandbox;
    struct osa_strings labels;
};

static const struct osa_option ps_options[] = {
    { .flag = "all",
      .letter = 'a',
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct ps_options, all),
      .help = "Also processes that have exited" },
    { .flag = "quiet",
      .letter = 'q',
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct ps_options, quiet),
      .help = "Ids only" },
    { .flag = "sandbox",
      .letter = 's',
      .type = OSA_OPTION_STRING,
      .offset = offsetof(struct ps_options, sandbox),
      .value = "ID",
      .complete = "sandbox",
      .help = "Of this sandbox only" },
    { .flag = "label",
      .letter = 'l',
      .type = OSA_OPTION_LIST,
      .offset = offsetof(struct ps_options, labels),
      .value = "KEY=VALUE",
      .help = "With this label only" },
};

static void say_ids(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(ListResponse) *list = (const void *)message;
    for (size_t i = 0; i < list->n_processes; i++) {
        cli_text_escape(out, list->processes[i]->process_id);
        (void)osa_buf_add(out, "\n", 1);
    }
}

static void add_process(struct cli_table *table, const API(Process) * process)
{
    char text[128];
    OSA_AUTO(osa_buf_done) struct osa_buf command;
    cli_table_cell(table, process->process_id);
    cli_table_cell(table, process->sandbox_id);
    cli_table_cell(table, cli_runtime_word(process->runtime));
    cli_age_text(process->started_at, text);
    cli_table_cell(table, text);
    if (process->exit != NULL)
        cli_exit_text(process->exit, text, sizeof(text));
    else
        (void)snprintf(text, sizeof(text), "running");
    cli_table_cell(table, text);
    osa_buf_init(&command, 1u << 20);
    if (process->spec != NULL)
        cli_text_command(&command, process->spec->n_argv, process->spec->argv);
    cli_table_cell(table, command.data);
}

static void say_processes(struct osa_buf *out, const ProtobufCMessage *message)
{
    static const char *const titles[] = {
        "PROCESS", "SANDBOX", "RUNTIME", "AGE", "STATE", "COMMAND"
    };
    const API(ListResponse) *list = (const void *)message;
    OSA_AUTO(cli_table_done) struct cli_table table;
    cli_table_init(&table, OSA_ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < list->n_processes; i++)
        add_process(&table, list->processes[i]);
    cli_table_write(&table, cli_table_width(), out);
}

static int run_ps(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct ps_options *o = options;
    struct osa_error err;
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(ListRequest) request = API_INIT(LIST_REQUEST);
    struct cli_pair *pairs = NULL;
    (void)argc;
    (void)argv;
    if (cli_pairs(&arena, "--label", false, &o->labels, &pairs, &request.n_labels, &err) != OSA_OK)
        return cli_usage_error(cli, &err);
    request.labels = cli_alloc(&arena, request.n_labels + 1, sizeof(*request.labels));
    for (size_t i = 0; i < request.n_labels; i++) {
        request.labels[i] =
            CLI_NEW(&arena, API(ListRequest__LabelsEntry), API_INIT(LIST_REQUEST__LABELS_ENTRY));
        request.labels[i]->key = pairs[i].key;
        request.labels[i]->value = pairs[i].value;
    }
    if (o->sandbox != NULL)
        request.sandbox_id = cli_string(&arena, o->sandbox);
    request.include_exited = o->all;
    return cli_show(cli, API_METHOD("List"), &request.base, API_TYPE(list_response),
                    cli_deadline(cli), o->quiet ? say_ids : say_processes);
}

const struct cli_command cli_command_ps = {
    .name = "ps",
    .operands = "",
    .summary = "List processes",
    .failed = CLI_FAILED,
    .options = ps_options,
    .option_count = OSA_ARRAY_LEN(ps_options),
    .target_size = sizeof(struct ps_options),
    .run = run_ps,
};

/* ---- inspect ---- */

static bool show_process(void *ctx, const ProtobufCMessage *message)
{
    const API(GetResponse) *got = (const void *)message;
    int *status = ctx;
    if (got->process != NULL)
        *status = cli_put_json(&got->process->base, /* pretty= */ true);
    return true;
}

static int run_inspect(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    int status = CLI_DONE;
    (void)options;
    for (int i = 0; i < argc && status == CLI_DONE; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(GetRequest) request = API_INIT(GET_REQUEST);
        int printed = CLI_DONE;
        request.process_id = cli_string(&arena, argv[i]);
        status = cli_call(cli, API_METHOD("Get"), &request.base, API_TYPE(get_response),
                          cli_deadline(cli), show_process, &printed);
        if (status == CLI_DONE)
            status = printed;
    }
    return status;
}

const struct cli_command cli_command_inspect = {
    .name = "inspect",
    .operands = "PROCESS...",
    .summary = "Show all that the agent knows about processes, as JSON",
    .complete = "process",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .run = run_inspect,
};

/* ---- wait and kill: both answer with the exit ---- */

struct ended {
    const struct cli *cli;
    const char *id;
    int status; /* of the process, or of our own write */
};

static void say_exit(struct ended *self, const API(Exit) * exit, const ProtobufCMessage *message)
{
    char text[128];
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    if (exit == NULL)
        return;
    self->status = cli_exit_status(exit);
    if (self->cli->global.json) {
        (void)cli_put_json(message, /* pretty= */ false);
        return;
    }
    cli_exit_text(exit, text, sizeof(text));
    osa_buf_init(&out, 8192);
    cli_text_escape(&out, self->id);
    (void)osa_buf_addf(&out, "\t%s\n", text);
    (void)cli_print(&out);
}

static bool on_wait(void *ctx, const ProtobufCMessage *message)
{
    say_exit(ctx, ((const API(WaitResponse) *)(const void *)message)->exit, message);
    return true;
}

static bool on_kill(void *ctx, const ProtobufCMessage *message)
{
    say_exit(ctx, ((const API(KillResponse) *)(const void *)message)->exit, message);
    return true;
}

static int run_wait(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    struct ended ended = { .cli = cli };
    (void)options;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(WaitRequest) request = API_INIT(WAIT_REQUEST);
        request.process_id = cli_string(&arena, argv[i]);
        ended.id = argv[i];
        int status = cli_call(cli, API_METHOD("Wait"), &request.base, API_TYPE(wait_response),
                              OSA_NEVER, on_wait, &ended);
        if (status != CLI_DONE)
            return status;
    }
    return ended.status;
}

const struct cli_command cli_command_wait = {
    .name = "wait",
    .operands = "PROCESS...",
    .summary = "Wait until processes have exited and tell how",
    .text = "The exit status is that of the last process, as run gives it; 125 when the agent "
            "could not tell.",
    .complete = "process",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_NOT_RUN,
    .run = run_wait,
};

struct kill_options {
    int64_t grace_ns;
};

static const struct osa_option kill_options[] = {
    { .flag = "grace",
      .letter = 'g',
      .type = OSA_OPTION_DURATION,
      .offset = offsetof(struct kill_options, grace_ns),
      .max = 86400000000000,
      .def = "10s",
      .value = "TIME",
      .help = "Time between TERM and KILL; 0 kills at once" },
};

static int run_kill(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct kill_options *o = options;
    int worst = CLI_DONE;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        struct ended ended = { .cli = cli, .id = argv[i] };
        API(KillRequest) request = API_INIT(KILL_REQUEST);
        request.process_id = cli_string(&arena, argv[i]);
        request.grace = cli_wire_duration(&arena, o->grace_ns);
        int status = cli_call(cli, API_METHOD("Kill"), &request.base, API_TYPE(kill_response),
                              OSA_NEVER, on_kill, &ended);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_kill = {
    .name = "kill",
    .operands = "PROCESS...",
    .summary = "End processes and everything they started: TERM, then KILL",
    .complete = "process",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .options = kill_options,
    .option_count = OSA_ARRAY_LEN(kill_options),
    .target_size = sizeof(struct kill_options),
    .run = run_kill,
};

/* ---- signal ---- */

static const struct osa_option_name scopes[] = {
    { "process", API_VALUE(SIGNAL_SCOPE__SIGNAL_SCOPE_PROCESS) },
    { "group", API_VALUE(SIGNAL_SCOPE__SIGNAL_SCOPE_GROUP) },
    { "tree", API_VALUE(SIGNAL_SCOPE__SIGNAL_SCOPE_TREE) },
    { 0 },
};

struct signal_options {
    int scope;
};

static const struct osa_option signal_options[] = {
    { .flag = "scope",
      .type = OSA_OPTION_ENUM,
      .offset = offsetof(struct signal_options, scope),
      .names = scopes,
      .def = "process",
      .value = "SCOPE",
      .help = "Who gets it" },
};

static int run_signal(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct signal_options *o = options;
    int worst = CLI_DONE;
    for (int i = 1; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(SignalRequest) request = API_INIT(SIGNAL_REQUEST);
        request.process_id = cli_string(&arena, argv[i]);
        request.signal = cli_string(&arena, argv[0]);
        request.scope = (API(SignalScope))o->scope;
        int status = cli_show(cli, API_METHOD("Signal"), &request.base, API_TYPE(signal_response),
                              cli_deadline(cli), NULL);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_signal = {
    .name = "signal",
    .operands = "SIGNAL PROCESS...",
    .summary = "Send a signal, by name or number; 0 only asks whether the process is there",
    .complete = "signal",
    .min = 2,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .options = signal_options,
    .option_count = OSA_ARRAY_LEN(signal_options),
    .target_size = sizeof(struct signal_options),
    .run = run_signal,
};
