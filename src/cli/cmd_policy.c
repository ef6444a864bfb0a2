// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/wire.h"
#include "policy/document.h"
#include "wire/policy_wire.h"

#include <limits.h>

struct check_options {
    bool strict;
};

static const struct osa_option check_options[] = {
    { .flag = "strict",
      .type = OSA_OPTION_BOOL,
      .offset = offsetof(struct check_options, strict),
      .help = "Warnings fail the check" },
};

static int show_document(const struct policy_document *doc, struct osa_error *err)
{
    Openshell__Sandbox__V1__SandboxPolicy *wire = NULL;
    if (policy_to_wire(doc, &wire, err) != OSA_OK)
        return CLI_FAILED;
    int status = cli_put_json(&wire->base, /* pretty= */ true);
    openshell__sandbox__v1__sandbox_policy__free_unpacked(wire, NULL);
    return status;
}

static int check(struct cli *cli, const char *path, bool strict)
{
    struct osa_error err = { 0 };
    const struct policy_document *doc = NULL;
    if (cli_policy_document(path, &doc, &err) != OSA_OK) {
        cli_report(cli, &err, NULL);
        return CLI_FAILED;
    }
    for (size_t i = 0; i < doc->warnings.count; i++)
        cli_note("%s: warning: %s", path, doc->warnings.items[i]);
    int status = strict && doc->warnings.count > 0 ? CLI_FAILED : CLI_DONE;
    if (cli->global.json) {
        int shown = show_document(doc, &err);
        status = OSA_MAX(status, shown);
    } else if (status == CLI_DONE) {
        OSA_AUTO(osa_buf_done) struct osa_buf out;
        osa_buf_init(&out, 65536);
        cli_text_escape(&out, path);
        (void)osa_buf_addf(&out,
                           ": good: %zu paths to read, %zu to write, %zu network rules, %zu "
                           "middlewares\n",
                           doc->filesystem.read_only.count, doc->filesystem.read_write.count,
                           doc->rule_count, doc->middleware_count);
        status = cli_print(&out);
    }
    policy_document_unref(doc);
    return status;
}

static int run_check(struct cli *cli, const void *options, int argc, const char *const *argv)
{
    const struct check_options *o = options;
    int worst = CLI_DONE;
    for (int i = 0; i < argc; i++) {
        int status = check(cli, argv[i], o->strict);
        worst = OSA_MAX(worst, status);
    }
    return worst;
}

const struct cli_command cli_command_policy_check = {
    .name = "policy check",
    .operands = "FILE...",
    .summary = "Check policy documents; needs no agent",
    .text = "Errors name the file, line and column. With --json the document is shown as the agent "
            "would get it.",
    .complete = "file",
    .min = 1,
    .max = INT_MAX,
    .failed = CLI_FAILED,
    .options = check_options,
    .option_count = OSA_ARRAY_LEN(check_options),
    .target_size = sizeof(struct check_options),
    .run = run_check,
};
