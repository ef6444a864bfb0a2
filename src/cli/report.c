// SPDX-License-Identifier: Apache-2.0
/* Failures as people and programs want them: what, where in the request, and what to do about it. */
#include "base/json.h"
#include "cli/cli.h"
#include "cli/text.h"
#include "rpc/message.h"

#include <errno.h>
#include <google/rpc/status.pb-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_stderr(const struct osa_buf *out)
{
    if (out->data != NULL)
        (void)fwrite(out->data, 1, out->len, stderr);
}

void cli_note(const char *fmt, ...)
{
    OSA_AUTO(osa_buf_done) struct osa_buf raw;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    va_list args;
    osa_buf_init(&raw, 65536);
    osa_buf_init(&out, 4 * 65536);
    va_start(args, fmt);
    (void)osa_buf_vaddf(&raw, fmt, args);
    va_end(args);
    (void)osa_buf_addf(&out, CLI_NAME ": ");
    cli_text_escape(&out, raw.data != NULL ? raw.data : "");
    (void)osa_buf_add(&out, "\n", 1);
    put_stderr(&out);
}

/* What stands in the way of a Unix socket can be seen from here. */
static void hint_socket(const char *path, struct osa_buf *out)
{
    struct stat st;
    if (stat(path, &st) != 0 && errno == EACCES)
        (void)osa_buf_addf(out, "this user may not reach %s; name another address with --address",
                           path);
    else if (stat(path, &st) != 0)
        (void)osa_buf_addf(out,
                           "there is no socket at %s; start the agent with openshell-agent serve "
                           "--listen unix:%s, or name its address with --address",
                           path, path);
    else if (access(path, W_OK) != 0)
        (void)osa_buf_addf(out,
                           "user %u may not write to %s; the agent lets others in by --unix-uid %u "
                           "and --unix-mode",
                           (unsigned)geteuid(), path, (unsigned)geteuid());
    else
        (void)osa_buf_addf(out, "nothing listens at %s any more; start the agent again", path);
}

/* What C core says when it cannot connect, and what that means to a person. */
static const struct {
    const char *text;
    const char *hint;
} connect_hints[] = {
    { "wrong version number",
      "the agent does not speak TLS there; leave out https:// and --tls-…" },
    { "is not in peer certificate",
      "the certificate is for another name; give that one with --tls-server-name NAME" },
    { "certificate verify failed",
      "--tls-ca FILE must name the authority that signed the agent's certificate" },
    { "certificate required", "the agent asks for a certificate; give --tls-cert and --tls-key" },
    { "bad certificate", "the agent does not know the authority of the certificate in --tls-cert" },
    { "unknown ca", "the agent does not know the authority of the certificate in --tls-cert" },
    { "DNS resolution failed", "the name of the host is not known; write HOST:PORT" },
    { "Socket closed",
      "the agent hung up; if it speaks TLS there, write https://HOST:PORT and give "
      "--tls-ca, with --tls-cert and --tls-key where it asks for a certificate" },
};

static void hint_tcp(const char *address, const char *text, struct osa_buf *out)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(connect_hints); i++) {
        if (strstr(text, connect_hints[i].text) == NULL)
            continue;
        (void)osa_buf_addf(out, "%s", connect_hints[i].hint);
        return;
    }
    (void)osa_buf_addf(out, "is the agent running, and is this its address? %s", address);
}

/* @of_call: a system call failed, so that a file and not an id may be what was not found. */
static void add_hint(const struct cli *cli, const struct osa_error *err, bool of_call,
                     struct osa_buf *out)
{
    const char *address = cli->global.address != NULL ? cli->global.address : "";
    if (cli->channel == NULL)
        return; /* nothing was asked; what is wrong lies here, and has been said */
    switch (err->code) {
    case OSA_UNAVAILABLE:
        if (strncmp(address, "unix:", 5) == 0)
            hint_socket(address + 5, out);
        else
            hint_tcp(address, err->text, out);
        break;
    case OSA_UNAUTHENTICATED:
        if (cli->global.token_file == NULL)
            (void)osa_buf_addf(out, "give the agent's token with --token-file FILE");
        else
            (void)osa_buf_addf(out, "is this the token of that agent? %s", cli->global.token_file);
        break;
    case OSA_PERMISSION_DENIED:
        (void)osa_buf_addf(out, "give the operators' token with --token-file FILE");
        break;
    case OSA_UNIMPLEMENTED:
        (void)osa_buf_addf(out, CLI_NAME " info shows what each runtime kind can do");
        break;
    case OSA_DEADLINE_EXCEEDED:
        (void)osa_buf_addf(out, "wait longer with --call-timeout TIME");
        break;
    case OSA_NOT_FOUND:
        if (of_call)
            break;
        (void)osa_buf_addf(out,
                           CLI_NAME " ps --all lists processes, " CLI_NAME " sandbox ls sandboxes");
        break;
    default:
        break;
    }
}

/* Core tells a story of all addresses that it tried; the last part of it is the reason. */
static const char *shorten(const char *text)
{
    static const char story[] = "failed to connect to all addresses; last error: ";
    if (strncmp(text, story, sizeof(story) - 1) != 0)
        return text;
    const char *reason = strchr(text + sizeof(story) - 1, ' '); /* after "UNKNOWN:" */
    return reason != NULL ? reason + 1 : text;
}

static void report_json(const struct osa_error *err, const API(ErrorDetail) * detail,
                        const char *hint)
{
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    struct osa_json json;
    osa_buf_init(&out, 1u << 20);
    osa_json_init(&json, &out, /* pretty= */ false);
    osa_json_open(&json, '{');
    osa_json_key(&json, "error");
    osa_json_open(&json, '{');
    osa_json_key(&json, "code");
    osa_json_text(&json, osa_code_name(err->code));
    osa_json_key(&json, "message");
    osa_json_text(&json, err->text);
    if (detail != NULL) {
        osa_json_key(&json, "stage");
        osa_json_text(&json, detail->stage);
        osa_json_key(&json, "errno");
        osa_json_text(&json, detail->errno_name);
        osa_json_key(&json, "field");
        osa_json_text(&json, detail->field);
    }
    if (hint != NULL) {
        osa_json_key(&json, "hint");
        osa_json_text(&json, hint);
    }
    osa_json_close(&json, '}');
    osa_json_close(&json, '}');
    (void)osa_buf_add(&out, "\n", 1);
    put_stderr(&out);
}

static bool has(const char *text)
{
    return text != NULL && *text != '\0';
}

void cli_report(const struct cli *cli, const struct osa_error *err, const API(ErrorDetail) * detail)
{
    OSA_AUTO(osa_buf_done) struct osa_buf hint;
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&hint, 8192);
    osa_buf_init(&out, 65536);
    bool of_call = err->sys_errno != 0 || (detail != NULL && detail->errno_value != 0);
    add_hint(cli, err, of_call, &hint);
    if (cli->global.json) {
        report_json(err, detail, hint.data);
        return;
    }
    (void)osa_buf_addf(&out, CLI_NAME "%s%s: ", cli->command != NULL ? " " : "",
                       cli->command != NULL ? cli->command->name : "");
    cli_text_escape(&out, has(err->text) ? shorten(err->text) : "failed without a message");
    (void)osa_buf_addf(&out, " (%s)\n", osa_code_name(err->code));
    if (detail != NULL && has(detail->stage)) {
        (void)osa_buf_addf(&out, "  stage: ");
        cli_text_escape(&out, detail->stage);
        (void)osa_buf_add(&out, "\n", 1);
    }
    if (detail != NULL && has(detail->field)) {
        (void)osa_buf_addf(&out, "  field: ");
        cli_text_escape(&out, detail->field);
        (void)osa_buf_add(&out, "\n", 1);
    }
    if (hint.len > 0) {
        (void)osa_buf_addf(&out, "  hint: ");
        cli_text_escape(&out, hint.data);
        (void)osa_buf_add(&out, "\n", 1);
    }
    put_stderr(&out);
}

API(ErrorDetail) * cli_detail(const struct rpc_status *status)
{
    ProtobufCMessage *rich = NULL;
    ProtobufCMessage *detail = NULL;
    if (status->details == NULL ||
        rpc_message_unpack(&google__rpc__status__descriptor, &rpc_scan_default, status->details,
                           status->details_len, &rich, NULL) != OSA_OK)
        return NULL;
    const Google__Rpc__Status *wire = (const void *)rich;
    for (size_t i = 0; i < wire->n_details && detail == NULL; i++) {
        const char *url = wire->details[i]->type_url;
        const char *slash = url != NULL ? strrchr(url, '/') : NULL;
        if (slash == NULL || strcmp(slash + 1, API_TYPE(error_detail)->name) != 0)
            continue;
        if (rpc_message_unpack(API_TYPE(error_detail), &rpc_scan_default,
                               wire->details[i]->value.data, wire->details[i]->value.len, &detail,
                               NULL) != OSA_OK)
            detail = NULL;
    }
    protobuf_c_message_free_unpacked(rich, NULL);
    return (API(ErrorDetail) *)detail;
}

void cli_report_status(const struct cli *cli, const struct rpc_status *status)
{
    API(ErrorDetail) *detail = cli_detail(status);
    cli_report(cli, &status->error, detail);
    if (detail != NULL)
        protobuf_c_message_free_unpacked(&detail->base, NULL);
}

int cli_usage_error(const struct cli *cli, const struct osa_error *err)
{
    cli_note("%s", err->text);
    if (cli->command != NULL)
        cli_note("see " CLI_NAME " %s --help", cli->command->name);
    else
        cli_note("see " CLI_NAME " --help");
    return CLI_USAGE;
}
