// SPDX-License-Identifier: Apache-2.0
/*
 * openshell-agentctl: a table of commands, each with a table of options, from which come the parser,
 * --help, the man page and the completions.
 *
 * One thread. A command runs the event loop while it waits for the agent.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/option.h"
#include "cli/api.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

#define CLI_NAME "openshell-agentctl"

/* Exit statuses of our own. `run` and `attach` pass on the status of the process and use the shell's
 * and docker's numbers for what went wrong before it ran. */
enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_TIMED_OUT = 124,   /* the process ran into its timeout */
    CLI_NOT_RUN = 125,     /* the agent refused, or was not reached */
    CLI_NOT_EXEC = 126,    /* the program cannot be executed */
    CLI_NOT_FOUND = 127,   /* there is no such program */
    CLI_SIGNAL_BASE = 128, /* plus the signal that ended the process */
};

/** struct cli_global - Options of every command; strings belong to cli.options */
struct cli_global {
    bool help;
    bool version;
    bool json;
    const char *address;
    const char *token_file;
    bool tls;
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name;
    int64_t call_timeout_ns;
    const char *trace_parent;
    const char *trace_state;
};

struct cli_command;

/**
 * struct cli - One run of the program
 * @options: owns the strings of @global and of the command's options
 * @command: NULL until it is known
 * @loop, @channel: NULL until cli_connect()
 */
struct cli {
    struct cli_global global;
    struct osa_options *options;
    const struct cli_command *command;
    struct osa_loop *loop;
    struct rpc_channel *channel;
};

/**
 * struct cli_command - One row
 * @name:     one word, or two for "sandbox create"
 * @operands: as the synopsis shows them; "" for none
 * @summary:  one sentence without its period
 * @text:     more for --help and the man page: paragraphs parted by '\n'; NULL
 * @complete: what completes operands: "process", "sandbox", "place" of cp, "signal", "file",
 *            "command"; NULL
 * @min, @max: number of operands
 * @stops:    options end at the first operand, which begins a command line of its own
 * @failed:   exit status when the agent says no; CLI_FAILED for all but run and attach
 * @options, @option_count, @target_size: its own options and the size of the struct they fill
 * @shared, @shared_count: options that several commands have; the target begins with their struct
 * @run:      called with parsed options. Return: exit status
 */
struct cli_command {
    const char *name;
    const char *operands;
    const char *summary;
    const char *text;
    const char *complete;
    int min;
    int max;
    bool stops;
    int failed;
    const struct osa_option *options;
    size_t option_count;
    const struct osa_option *shared;
    size_t shared_count;
    size_t target_size;
    int (*run)(struct cli *cli, const void *options, int argc, const char *const *argv);
};

/** cli_main() - The program. @argv without the program's name. Return: exit status */
int cli_main(int argc, const char *const *argv);

/** cli_commands() - All rows, in the order of --help. *ret_count: how many */
const struct cli_command *cli_commands(size_t *ret_count);

/** cli_command_find() - By name of one or two words; NULL. *ret_words: words of @argv that it took */
const struct cli_command *cli_command_find(int argc, const char *const *argv, int *ret_words);

/* Groups of options that a command has at most: its own, shared ones, and those of all commands. */
#define CLI_GROUPS 3

/** cli_groups() - The groups of a command in the order of --help. Return: how many */
size_t cli_groups(const struct cli_command *command, void *target, struct cli_global *global,
                  struct osa_option_group ret_groups[CLI_GROUPS]);

/** cli_global_group() - The rows that fill a struct cli_global */
struct osa_option_group cli_global_group(struct cli_global *target);

/* ---- texts; usage.c ---- */

/** cli_usage() - --help of the program */
void cli_usage(unsigned width, struct osa_buf *out);
/** cli_command_usage() - --help of a command */
void cli_command_usage(const struct cli_command *command, unsigned width, struct osa_buf *out);
/** cli_width() - Columns of the terminal at standard output; 80 where it is none */
unsigned cli_width(void);
/** cli_table_width() - For tables: the terminal's columns, 0 (cut nothing) where output goes elsewhere */
unsigned cli_table_width(void);
/** cli_print() - Write a buffer to standard output, all of it. Return: exit status */
int cli_print(const struct osa_buf *buf);

/* ---- calls; call.c ---- */

/**
 * cli_connect() - Make loop and channel; the connection itself comes with the first call
 * Return: OSA_OK, or what the configuration lacks.
 */
OSA_MUST_CHECK enum osa_code cli_connect(struct cli *cli, struct osa_error *err);

/** cli_disconnect() - Undo cli_connect(); cancels calls that run */
void cli_disconnect(struct cli *cli);

/** cli_deadline() - Deadline of a call that should answer soon: now + --call-timeout */
int64_t cli_deadline(const struct cli *cli);

/**
 * cli_each_fn - Called for each response; borrowed for the call
 * Return: false cancels the call, which then counts as done.
 */
typedef bool (*cli_each_fn)(void *ctx, const ProtobufCMessage *response);

/**
 * cli_call() - One request, any number of responses; connects first when that is not done
 * Failures are reported on standard error. @each may be NULL.
 * Return: exit status: CLI_DONE, or the failure status of the command.
 */
int cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response, int64_t deadline_ns, cli_each_fn each,
             void *ctx);

/* ---- failures; report.c ---- */

/**
 * cli_report() - Tell a failure on standard error, with a hint where one helps
 * In JSON mode one object: {"error": {"code", "message", "stage", "errno", "field"}}.
 * @detail: NULL when there is none
 */
void cli_report(const struct cli *cli, const struct osa_error *err,
                const API(ErrorDetail) * detail);

/** cli_report_status() - cli_report() of a call's status, with the ErrorDetail it carries */
void cli_report_status(const struct cli *cli, const struct rpc_status *status);

/** cli_detail() - ErrorDetail of a status, NULL when it has none; free with protobuf_c_message_free_unpacked */
Openshell__Agent__V1__ErrorDetail *cli_detail(const struct rpc_status *status);

/** cli_usage_error() - Tell a wrong command line. Return: CLI_USAGE */
int cli_usage_error(const struct cli *cli, const struct osa_error *err);

/** cli_note() - A line for the person at standard error: "openshell-agentctl: …". Untrusted text is escaped */
void cli_note(const char *fmt, ...) OSA_PRINTF(1, 2);
