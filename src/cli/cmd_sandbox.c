// SPDX-License-Identifier: Apache-2.0
/* sandbox create, ls, inspect, rm, pause, resume, update. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/spec.h"
#include "cli/text.h"
#include "cli/time_text.h"
#include "cli/view.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

/* ---- create ---- */

struct create_options {
    struct cli_spec spec; /* first: filled by the shared options */
    const char *id;
    int64_t idle_timeout_ns;
    const char *idempotency_key;
    bool show;
};

#define AT(field) offsetof(struct create_options, field)

static const struct osa_option create_options[] = {
    { .flag = "id",
      .type = OSA_OPTION_STRING,
      .offset = AT(id),
      .value = "ID",
      .help = "Name for it: a-z, 0-9 and -. Default: the agent makes one" },
    { .flag = "idle-timeout",
      .type = OSA_OPTION_DURATION,
      .offset = AT(idle_timeout_ns),
      .min = 1000000,
      .max = INT64_MAX,
      .value = "TIME",
      .help = "Delete it when its last process has been gone for this long. Default: never" },
    { .flag = "isolation",
      .type = OSA_OPTION_BOOL,
      .offset = AT(show),
      .help = "Say on standard error what isolation and limits are in force" },
    { .flag = "idempotency-key",
      .type = OSA_OPTION_STRING,
      .offset = AT(idempotency_key),
      .value = "KEY",
      .help = "With the same key and the same request nothing is made twice" },
};

struct create_request {
    struct cli_arena arena;
    API(CreateSandboxRequest) request;
    API(SandboxSpec) spec;
};

static char *text_or_empty(struct create_request *r, const char *text)
{
    return cli_string(&r->arena, text != NULL ? text : "");
}

static enum osa_code build_maps(struct create_request *r, const struct cli_spec *o,
                                struct osa_error *err)
{
    API(SandboxSpec) *spec = &r->spec;
    struct cli_pair *pairs = NULL;
    enum osa_code code =
        cli_pairs(&r->arena, "--env", /* inherit= */ true, &o->env, &pairs, &spec->n_env, err);
    if (code != OSA_OK)
        return code;
    spec->env = cli_alloc(&r->arena, spec->n_env + 1, sizeof(*spec->env));
    for (size_t i = 0; i < spec->n_env; i++) {
        spec->env[i] =
            CLI_NEW(&r->arena, API(SandboxSpec__EnvEntry), API_INIT(SANDBOX_SPEC__ENV_ENTRY));
        spec->env[i]->key = pairs[i].key;
        spec->env[i]->value = pairs[i].value;
    }
    code = cli_pairs(&r->arena, "--label", /* inherit= */ false, &o->labels, &pairs,
                     &spec->n_labels, err);
    if (code != OSA_OK)
        return code;
    spec->labels = cli_alloc(&r->arena, spec->n_labels + 1, sizeof(*spec->labels));
    for (size_t i = 0; i < spec->n_labels; i++) {
        spec->labels[i] =
            CLI_NEW(&r->arena, API(SandboxSpec__LabelsEntry), API_INIT(SANDBOX_SPEC__LABELS_ENTRY));
        spec->labels[i]->key = pairs[i].key;
        spec->labels[i]->value = pairs[i].value;
    }
    return OSA_OK;
}

static enum osa_code build(struct create_request *r, const struct create_options *o,
                           struct osa_error *err)
{
    API(SandboxSpec) *spec = &r->spec;
    r->request = (API(CreateSandboxRequest))API_INIT(CREATE_SANDBOX_REQUEST);
    *spec = (API(SandboxSpec))API_INIT(SANDBOX_SPEC);
    r->request.spec = spec;
    r->request.sandbox_id = text_or_empty(r, o->id);
    r->request.idempotency_key = text_or_empty(r, o->idempotency_key);
    spec->runtime = (API(RuntimeKind))o->spec.runtime;
    spec->image = text_or_empty(r, o->spec.image);
    spec->root = text_or_empty(r, o->spec.root);
    spec->workdir = text_or_empty(r, o->spec.workdir);
    spec->user = text_or_empty(r, o->spec.user);
    spec->seccomp_profile = text_or_empty(r, o->spec.seccomp);
    spec->min_isolation = (API(IsolationLevel))o->spec.min_isolation;
    spec->resources = cli_wire_resources(&r->arena, o->spec.cpu_millis, o->spec.memory_bytes,
                                         o->spec.pids, o->spec.disk_bytes);
    if (o->idle_timeout_ns > 0)
        spec->idle_timeout = cli_wire_duration(&r->arena, o->idle_timeout_ns);
    enum osa_code code = build_maps(r, &o->spec, err);
    if (code == OSA_OK && o->spec.policy != NULL)
        code = cli_policy_load(o->spec.policy, &spec->policy, err);
    return code;
}

static void say_created(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(CreateSandboxResponse) *created = (const void *)message;
    if (created->sandbox == NULL)
        return;
    cli_text_escape(out, created->sandbox->sandbox_id);
    (void)osa_buf_add(out, "\n", 1);
}

static void say_created_isolation(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(CreateSandboxResponse) *created = (const void *)message;
    OSA_AUTO(osa_buf_done) struct osa_buf note;
    char limits[256];
    say_created(out, message);
    if (created->sandbox == NULL)
        return;
    osa_buf_init(&note, 65536);
    cli_resources_text(created->sandbox->effective_resources, limits, sizeof(limits));
    (void)osa_buf_addf(&note, "  %-16s%s\n", "limits", limits);
    cli_isolation_rows(&note, created->sandbox->isolation);
    (void)fwrite(note.data, 1, note.len, stderr);
}

static int run_create(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct create_options *o = options;
    struct create_request r = { 0 };
    struct osa_error err = { 0 };
    int status = CLI_DONE;
    (void)argc;
    (void)argv;
    enum osa_code code = build(&r, o, &err);
    if (code == OSA_OK)
        status = cli_show(cli, API_METHOD("CreateSandbox"), &r.request.base,
                          API_TYPE(create_sandbox_response), cli_deadline(cli),
                          o->show ? say_created_isolation : say_created);
    else
        status = cli_usage_error(cli, &err);
    if (r.spec.policy != NULL)
        openshell__sandbox__v1__sandbox_policy__free_unpacked(r.spec.policy, NULL);
    cli_arena_done(&r.arena);
    return status;
}

const struct cli_command cli_command_sandbox_create = {
    .name = "sandbox create",
    .operands = "",
    .summary = "Make a sandbox for several processes and print its id",
    .failed = CLI_FAILED,
    .options = create_options,
    .option_count = OSA_ARRAY_LEN(create_options),
    .shared = cli_spec_options,
    .shared_count = CLI_SPEC_OPTION_COUNT,
    .target_size = sizeof(struct create_options),
    .run = run_create,
};

/* ---- ls and inspect ---- */

static void say_sandboxes(struct osa_buf *out, const ProtobufCMessage *message)
{
    static const char *const titles[] = { "SANDBOX", "RUNTIME", "LEVEL", "STATE",
                                          "AGE",     "PROCS",   "LIMITS" };
    const API(ListSandboxesResponse) *list = (const void *)message;
    OSA_AUTO(cli_table_done) struct cli_table table;
    cli_table_init(&table, OSA_ARRAY_LEN(titles), titles);
    for (size_t i = 0; i < list->n_sandboxes; i++) {
        const API(Sandbox) *sandbox = list->sandboxes[i];
        char text[256];
        cli_table_cell(&table, sandbox->sandbox_id);
        cli_table_cell(&table,
                       sandbox->spec != NULL ? cli_runtime_word(sandbox->spec->runtime) : "");
        cli_table_cell(&table,
                       sandbox->isolation != NULL ? cli_level_word(sandbox->isolation->level) : "");
        cli_enum_word(&openshell__agent__v1__sandbox__state__descriptor, (int)sandbox->state,
                      "STATE_", text, sizeof(text));
        cli_table_cell(&table, text);
        cli_age_text(sandbox->created_at, text);
        cli_table_cell(&table, text);
        cli_table_cellf(&table, "%" PRIu32, sandbox->processes);
        cli_resources_text(sandbox->effective_resources, text, sizeof(text));
        cli_table_cell(&table, text);
    }
    cli_table_write(&table, cli_table_width(), out);
}

static int run_ls(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    API(ListSandboxesRequest) request = API_INIT(LIST_SANDBOXES_REQUEST);
    (void)options;
    (void)argc;
    (void)argv;
    return cli_show(cli, API_METHOD("ListSandboxes"), &request.base,
                    API_TYPE(list_sandboxes_response), cli_deadline(cli), say_sandboxes);
}

const struct cli_command cli_command_sandbox_ls = {
    .name = "sandbox ls",
    .operands = "",
    .summary = "List sandboxes",
    .failed = CLI_FAILED,
    .run = run_ls,
};

static bool show_sandbox(void *ctx, const ProtobufCMessage *message)
{
    const API(GetSandboxResponse) *got = (const void *)message;
    int *status = ctx;
    if (got->sandbox != NULL)
        *status = cli_put_json(&got->sandbox->base, /* pretty= */ true);
    return true;
}

static int run_inspect(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    int worst = CLI_DONE;
    (void)options;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(GetSandboxRequest) request = API_INIT(GET_SANDBOX_REQUEST);
        int printed = CLI_DONE;
        request.sandbox_id = cli_string(&arena, argv[i]);
        int status =
            cli_call(cli, API_METHOD("GetSandbox"), &request.base, API_TYPE(get_sandbox_response),
                     cli_deadline(cli), show_sandbox, &printed);
        worst = OSA_MAX(worst, OSA_MAX(status, printed));
    }
    return worst;
}

const struct cli_command cli_command_sandbox_inspect = {
    .name = "sandbox inspect",
    .operands = "SANDBOX...",
    .summary = "Show all that the agent knows about sandboxes, as JSON",
    .complete = "sandbox",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .run = run_inspect,
};

/* ---- rm, pause, resume ---- */

struct rm_options {
    int64_t grace_ns;
};

static const struct osa_option rm_options[] = {
    { .flag = "grace",
      .letter = 'g',
      .type = OSA_OPTION_DURATION,
      .offset = offsetof(struct rm_options, grace_ns),
      .max = 86400000000000,
      .def = "0",
      .value = "TIME",
      .help = "Time between TERM and KILL; 0 kills at once" },
};

static int run_rm(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct rm_options *o = options;
    int worst = CLI_DONE;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(DeleteSandboxRequest) request = API_INIT(DELETE_SANDBOX_REQUEST);
        request.sandbox_id = cli_string(&arena, argv[i]);
        request.grace = cli_wire_duration(&arena, o->grace_ns);
        int status = cli_show(cli, API_METHOD("DeleteSandbox"), &request.base,
                              API_TYPE(delete_sandbox_response), OSA_NEVER, NULL);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_sandbox_rm = {
    .name = "sandbox rm",
    .operands = "SANDBOX...",
    .summary = "Kill what runs in sandboxes and remove all of it",
    .complete = "sandbox",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .options = rm_options,
    .option_count = OSA_ARRAY_LEN(rm_options),
    .target_size = sizeof(struct rm_options),
    .run = run_rm,
};

static int run_pause(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    int worst = CLI_DONE;
    (void)options;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(PauseRequest) request = API_INIT(PAUSE_REQUEST);
        request.sandbox_id = cli_string(&arena, argv[i]);
        int status = cli_show(cli, API_METHOD("Pause"), &request.base, API_TYPE(pause_response),
                              cli_deadline(cli), NULL);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_sandbox_pause = {
    .name = "sandbox pause",
    .operands = "SANDBOX...",
    .summary = "Freeze all processes of sandboxes",
    .complete = "sandbox",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .run = run_pause,
};

static int run_resume(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    int worst = CLI_DONE;
    (void)options;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
        API(ResumeRequest) request = API_INIT(RESUME_REQUEST);
        request.sandbox_id = cli_string(&arena, argv[i]);
        int status = cli_show(cli, API_METHOD("Resume"), &request.base, API_TYPE(resume_response),
                              cli_deadline(cli), NULL);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_sandbox_resume = {
    .name = "sandbox resume",
    .operands = "SANDBOX...",
    .summary = "Let paused sandboxes go on",
    .complete = "sandbox",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .run = run_resume,
};

/* ---- update ---- */

static void say_limits(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(UpdateResourcesResponse) *updated = (const void *)message;
    char limits[256];
    cli_resources_text(updated->effective_resources, limits, sizeof(limits));
    (void)osa_buf_addf(out, "%s\n", limits);
}

static int run_update(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct cli_limits *o = options;
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(UpdateResourcesRequest) request = API_INIT(UPDATE_RESOURCES_REQUEST);
    struct osa_error err;
    (void)argc;
    request.sandbox_id = cli_string(&arena, argv[0]);
    request.resources =
        cli_wire_resources(&arena, o->cpu_millis, o->memory_bytes, o->pids, o->disk_bytes);
    if (request.resources == NULL) {
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0,
                       "sandbox update: give at least one of --cpu, --memory, --pids, --disk");
        return cli_usage_error(cli, &err);
    }
    return cli_show(cli, API_METHOD("UpdateResources"), &request.base,
                    API_TYPE(update_resources_response), cli_deadline(cli), say_limits);
}

const struct cli_command cli_command_sandbox_update = {
    .name = "sandbox update",
    .operands = "SANDBOX",
    .summary = "Change the limits of a running sandbox and print those in force",
    .complete = "sandbox",
    .min = 1,
    .max = 1,
    .failed = CLI_FAILED,
    .options = cli_limit_options,
    .option_count = CLI_LIMIT_OPTION_COUNT,
    .target_size = sizeof(struct cli_limits),
    .run = run_update,
};

/* ---- policy ---- */

static void say_version(struct osa_buf *out, const ProtobufCMessage *message)
{
    const API(UpdatePolicyResponse) *updated = (const void *)message;
    (void)osa_buf_addf(out, "version %u\n", updated->version);
}

static int run_policy(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(UpdatePolicyRequest) request = API_INIT(UPDATE_POLICY_REQUEST);
    struct osa_error err;
    (void)options;
    (void)argc;
    request.sandbox_id = cli_string(&arena, argv[0]);
    if (cli_policy_load(argv[1], &request.policy, &err) != OSA_OK)
        return cli_usage_error(cli, &err);
    int status = cli_show(cli, API_METHOD("UpdatePolicy"), &request.base,
                          API_TYPE(update_policy_response), cli_deadline(cli), say_version);
    openshell__sandbox__v1__sandbox_policy__free_unpacked(request.policy, NULL);
    return status;
}

const struct cli_command cli_command_sandbox_policy = {
    .name = "sandbox policy",
    .operands = "SANDBOX FILE",
    .summary = "Put another policy in force in a running sandbox; only its network sections may "
               "differ",
    .complete = "sandbox",
    .min = 2,
    .max = 2,
    .failed = CLI_FAILED,
    .run = run_policy,
};
