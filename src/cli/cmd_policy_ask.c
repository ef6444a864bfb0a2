// SPDX-License-Identifier: Apache-2.0
/* What a policy decides, without an agent: one question, or a table of them. */
#include "base/fd.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "cli/wire.h"
#include "policy/table.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum { MAX_TABLE_BYTES = 1 << 20, MAX_BODY_BYTES = 16 << 20 };

/* ---- explain ---- */

struct explain_options {
    const char *binary;
    bool any_binary;
    struct osa_strings ancestors;
    struct osa_strings addresses;
    const char *gateway;
    const char *method;
    const char *data;
    const char *accept;
    const char *content_type;
    const char *message;
    bool strict;
};

#define AT(member) offsetof(struct explain_options, member)
static const struct osa_option explain_options[] = {
    { .flag = "binary",
      .letter = 'b',
      .type = OSA_OPTION_PATH,
      .offset = AT(binary),
      .value = "PATH",
      .help = "Executable that connects, as /proc/PID/exe shows it" },
    { .flag = "any-binary",
      .type = OSA_OPTION_BOOL,
      .offset = AT(any_binary),
      .help = "Decide by host and port alone" },
    { .flag = "ancestor",
      .type = OSA_OPTION_LIST,
      .offset = AT(ancestors),
      .value = "PATH",
      .help = "Executable of its parent, then of the parent's parent; may be repeated" },
    { .flag = "resolve",
      .type = OSA_OPTION_LIST,
      .offset = AT(addresses),
      .value = "ADDRESS",
      .help =
          "An address that the host has; may be repeated. Without one addresses are not judged" },
    { .flag = "gateway",
      .type = OSA_OPTION_STRING,
      .offset = AT(gateway),
      .value = "ADDRESS",
      .help = "Trusted address of host.openshell.internal" },
    { .flag = "method",
      .letter = 'X',
      .type = OSA_OPTION_STRING,
      .offset = AT(method),
      .value = "METHOD",
      .help = "HTTP method of a URL; GET, or POST with --data" },
    { .flag = "data",
      .type = OSA_OPTION_STRING,
      .offset = AT(data),
      .value = "TEXT",
      .help = "Body of the request; @FILE reads it from a file" },
    { .flag = "accept",
      .type = OSA_OPTION_STRING,
      .offset = AT(accept),
      .value = "TYPES",
      .help = "Accept header" },
    { .flag = "content-type",
      .type = OSA_OPTION_STRING,
      .offset = AT(content_type),
      .value = "TYPE",
      .help = "Content-Type header" },
    { .flag = "message",
      .type = OSA_OPTION_STRING,
      .offset = AT(message),
      .value = "TEXT",
      .help = "Ask about this text message of a ws: or wss: URL, not about the upgrade" },
    { .flag = "strict",
      .type = OSA_OPTION_BOOL,
      .offset = AT(strict),
      .help = "Read the policy in the safer way where OpenShell's own is surprising" },
};
#undef AT

/* What is asked about, taken apart; strings in @arena. */
struct place {
    const char *host;
    uint32_t port;
    const char *target; /* NULL: no request */
    bool websocket;
    bool forward;
};

static bool parse_port(const char *text, uint32_t *ret)
{
    uint32_t port = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 5 || text[len] != '\0')
        return false;
    for (; *text != '\0'; text++)
        port = port * 10 + (uint32_t)(*text - '0');
    *ret = port;
    return port >= 1 && port <= UINT16_MAX;
}

/* "host", "host:port", "[v6]:port"; @port is kept when none is given. */
static bool parse_authority(struct osa_arena *arena, const char *text, size_t len,
                            struct place *place)
{
    char *copy = osa_arena_alloc(arena, len + 1);
    memcpy(copy, text, len);
    char *end = copy[0] == '[' ? strchr(copy, ']') : copy;
    if (end == NULL)
        return false;
    char *colon = strrchr(end, ':');
    if (colon != NULL)
        *colon = '\0';
    place->host = copy;
    return copy[0] != '\0' &&
           (colon != NULL ? parse_port(colon + 1, &place->port) : place->port != 0);
}

static bool parse_place(struct osa_arena *arena, const char *text, struct place *ret)
{
    static const struct {
        const char *scheme;
        uint32_t port;
        bool websocket;
        bool forward;
    } schemes[] = { { "https://", 443, false, false },
                    { "http://", 80, false, true },
                    { "wss://", 443, true, false },
                    { "ws://", 80, true, true } };
    *ret = (struct place){ 0 };
    for (size_t i = 0; i < OSA_ARRAY_LEN(schemes); i++) {
        size_t scheme = strlen(schemes[i].scheme);
        if (strncmp(text, schemes[i].scheme, scheme) != 0)
            continue;
        const char *authority = text + scheme;
        size_t len = strcspn(authority, "/?#");
        ret->port = schemes[i].port;
        ret->websocket = schemes[i].websocket;
        ret->forward = schemes[i].forward;
        const char *rest = authority + len;
        ret->target = *rest == '/' ? rest : osa_arena_printf(arena, "/%s", rest);
        return parse_authority(arena, authority, len, ret);
    }
    return parse_authority(arena, text, strlen(text), ret);
}

static enum osa_code read_data(const char *data, struct osa_arena *arena, const char **ret,
                               struct osa_error *err)
{
    *ret = data;
    if (data == NULL || data[0] != '@')
        return OSA_OK;
    OSA_AUTO(osa_free) char *text = NULL;
    size_t len = 0;
    enum osa_code code = osa_read_file(AT_FDCWD, data + 1, MAX_BODY_BYTES, &text, &len, err);
    if (code == OSA_OK && strlen(text) != len)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "'%.200s' has a NUL; bodies are text here",
                        data + 1);
    if (code == OSA_OK)
        *ret = osa_arena_strdup(arena, text);
    return code;
}

static struct policy_strings as_strings(const struct osa_strings *list)
{
    return (struct policy_strings){ (const char **)(uintptr_t)list->items, list->count };
}

static void put_result(struct osa_json *json, const struct policy_trial_result *result)
{
    osa_json_key(json, "verdict");
    osa_json_text(json, policy_verdict_name(result->verdict));
    osa_json_key(json, "stage");
    osa_json_text(json, policy_stage_name(result->stage));
    osa_json_key(json, "reason");
    osa_json_text(json, policy_reason_name(result->reason));
    osa_json_key(json, "hard");
    osa_json_bool(json, result->hard);
    const struct {
        const char *key;
        const char *text;
    } texts[] = { { "rule", result->rule },
                  { "destination_mode", result->mode },
                  { "canonical_path", result->path },
                  { "explanation", result->explanation },
                  { "advice", result->advice } };
    for (size_t i = 0; i < OSA_ARRAY_LEN(texts); i++) {
        if (texts[i].text[0] == '\0')
            continue;
        osa_json_key(json, texts[i].key);
        osa_json_text(json, texts[i].text);
    }
}

static void say_result(struct osa_buf *out, const struct policy_trial_result *result)
{
    (void)osa_buf_addf(out, "%s: ", policy_verdict_name(result->verdict));
    if (result->reason != POLICY_REASON_NONE)
        (void)osa_buf_addf(out, "%s, %s: ", policy_stage_name(result->stage),
                           policy_reason_name(result->reason));
    cli_text_escape(out, result->explanation);
    (void)osa_buf_addf(out, "\n");
    if (result->advice[0] != '\0') {
        (void)osa_buf_addf(out, "to allow it: ");
        cli_text_escape(out, result->advice);
        (void)osa_buf_addf(out, "\n");
    }
}

static enum osa_code ask(const struct explain_options *o, const char *path, const char *where,
                         struct osa_arena *arena, struct policy_trial_result *ret,
                         struct osa_error *err)
{
    OSA_AUTO(policy_document_unrefp) const struct policy_document *doc = NULL;
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = NULL;
    struct place place;
    if (!parse_place(arena, where, &place))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "'%.200s' is neither HOST:PORT nor a URL of http, https, ws or wss", where);
    if (o->binary == NULL && !o->any_binary)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "who connects is not said; give --binary, or --any-binary");
    struct policy_engine_options options = { .ignore_binaries = o->any_binary,
                                             .strict = o->strict };
    struct policy_trial trial = {
        .host = place.host,
        .port = place.port,
        .binary = o->binary,
        .ancestors = as_strings(&o->ancestors),
        .resolved = o->addresses.count > 0,
        .addresses = as_strings(&o->addresses),
        .gateway = o->gateway,
        .target = place.target,
        .accept = o->accept,
        .content_type = o->content_type,
        .message = o->message,
        .upgrade = place.websocket,
        .forward = place.forward,
    };
    if (place.target != NULL)
        trial.method = o->method != NULL ? o->method : o->data != NULL ? "POST" : "GET";
    enum osa_code code = read_data(o->data, arena, &trial.body, err);
    if (code == OSA_OK)
        code = cli_policy_document(path, &doc, err);
    if (code == OSA_OK)
        code = policy_engine_compile(doc, &options, &engine, err);
    if (code == OSA_OK)
        policy_trial_run(engine, &trial, arena, ret);
    return code;
}

static int run_explain(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    (void)argc;
    OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    struct policy_trial_result result;
    struct osa_error err = { 0 };
    osa_buf_init(&out, MAX_TABLE_BYTES);
    if (ask(options, argv[0], argv[1], &arena, &result, &err) != OSA_OK) {
        cli_report(cli, &err, NULL);
        return CLI_FAILED;
    }
    if (cli->global.json) {
        struct osa_json json;
        osa_json_init(&json, &out, /* pretty= */ true);
        osa_json_open(&json, '{');
        put_result(&json, &result);
        osa_json_close(&json, '}');
        (void)osa_buf_addf(&out, "\n");
    } else {
        say_result(&out, &result);
    }
    int status = cli_print(&out);
    return result.verdict == POLICY_DENY ? CLI_FAILED : status;
}

const struct cli_command cli_command_policy_explain = {
    .name = "policy explain",
    .operands = "FILE HOST:PORT|URL",
    .summary = "Say what a policy decides about a connection or request, and why; needs no agent",
    .text =
        "HOST:PORT asks about the connection alone. A URL asks about the request as well: https "
        "and wss in a tunnel, http and ws as a proxy's own request.\n"
        "Exit status 0 when it may pass, also when it would only be recorded (audit), 1 when "
        "it is refused.",
    .complete = "file",
    .min = 2,
    .max = 2,
    .failed = CLI_FAILED,
    .options = explain_options,
    .option_count = OSA_ARRAY_LEN(explain_options),
    .target_size = sizeof(struct explain_options),
    .run = run_explain,
};

/* ---- test ---- */

struct test_options {
    bool all;
};

static const struct osa_option test_options[] = {
    { .flag = "all",
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct test_options, all),
      .help = "Show cases that are as expected too" },
};

static const char *outcome_name(enum policy_case_result outcome)
{
    static const char *const names[] = { [POLICY_CASE_PASSED] = "ok",
                                         [POLICY_CASE_FAILED] = "FAILED",
                                         [POLICY_CASE_ELSEWHERE] = "not asked" };
    return names[outcome];
}

static void put_case(const struct cli *cli, const char *name, enum policy_case_result outcome,
                     const struct policy_trial_result *result, const struct osa_buf *diff,
                     struct osa_buf *out)
{
    if (!cli->global.json) {
        (void)osa_buf_addf(out, "%s: ", outcome_name(outcome));
        cli_text_escape(out, name);
        if (diff->len > 0) {
            (void)osa_buf_addf(out, ": ");
            cli_text_escape(out, diff->data);
        }
        if (result->explanation[0] != '\0') {
            (void)osa_buf_addf(out, outcome == POLICY_CASE_FAILED ? "\n  " : ": ");
            cli_text_escape(out, result->explanation);
        }
        (void)osa_buf_addf(out, "\n");
        return;
    }
    struct osa_json json;
    osa_json_init(&json, out, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "case");
    osa_json_text(&json, name);
    osa_json_key(&json, "outcome");
    osa_json_text(&json, outcome_name(outcome));
    if (diff->len > 0) {
        osa_json_key(&json, "difference");
        osa_json_text(&json, diff->data);
    }
    if (result->explanation[0] != '\0')
        put_result(&json, result);
    osa_json_close(&json, '}');
    (void)osa_buf_addf(out, "\n");
}

static int run_cases(const struct cli *cli, const struct policy_table *table, bool all,
                     const char *path)
{
    size_t counts[POLICY_CASE_ELSEWHERE + 1] = { 0 };
    int status = CLI_DONE;
    for (size_t i = 0; i < policy_table_count(table); i++) {
        OSA_AUTO(osa_arena_done) struct osa_arena arena = { 0 };
        OSA_AUTO(osa_buf_done) struct osa_buf diff;
        OSA_AUTO(osa_buf_done) struct osa_buf out;
        struct policy_trial_result result;
        osa_buf_init(&diff, MAX_TABLE_BYTES);
        osa_buf_init(&out, MAX_TABLE_BYTES);
        enum policy_case_result outcome = policy_table_run(table, i, &arena, &result, &diff);
        counts[outcome]++;
        if (!all && outcome != POLICY_CASE_FAILED)
            continue;
        put_case(cli, policy_table_name(table, i), outcome, &result, &diff, &out);
        int printed = cli_print(&out);
        status = OSA_MAX(status, printed);
    }
    cli_note("%s: %zu as expected, %zu not, %zu are not the engine's", path,
             counts[POLICY_CASE_PASSED], counts[POLICY_CASE_FAILED], counts[POLICY_CASE_ELSEWHERE]);
    return counts[POLICY_CASE_FAILED] > 0 ? CLI_FAILED : status;
}

static int run_test(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct test_options *o = options;
    int worst = CLI_DONE;
    for (int i = 0; i < argc; i++) {
        OSA_AUTO(osa_free) char *text = NULL;
        size_t len = 0;
        struct osa_error err = { 0 };
        struct policy_table *table = NULL;
        int status = CLI_FAILED;
        if (osa_read_file(AT_FDCWD, argv[i], MAX_TABLE_BYTES, &text, &len, &err) != OSA_OK ||
            policy_table_parse(text, len, argv[i], &table, &err) != OSA_OK)
            cli_report(cli, &err, NULL);
        else
            status = run_cases(cli, table, o->all, argv[i]);
        policy_table_free(table);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_policy_test = {
    .name = "policy test",
    .operands = "TABLE...",
    .summary = "Hold policies against a table of decisions that are expected; needs no agent",
    .text =
        "A table is YAML with policies and cases; docs/policy.md says how. Cases that are not as "
        "expected are shown with what was decided and why; with --json one object a line. Exit "
        "status 1 when there are any.",
    .complete = "file",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .options = test_options,
    .option_count = OSA_ARRAY_LEN(test_options),
    .target_size = sizeof(struct test_options),
    .run = run_test,
};
