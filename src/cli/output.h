// SPDX-License-Identifier: Apache-2.0
/* A reply on standard output, as a table or text for people or as JSON for programs. */
#pragma once

#include "cli/cli.h"

/** cli_put_json() - One message, pretty, or on one line for streams. Return: exit status of the write */
int cli_put_json(const ProtobufCMessage *message, bool pretty);

/** cli_text_fn - Says a reply in words; @out is printed afterwards */
typedef void (*cli_text_fn)(struct osa_buf *out, const ProtobufCMessage *response);

/**
 * cli_show() - A unary call whose reply is shown
 * @text: for people; NULL says nothing, as commands without an answer do
 * Return: exit status.
 */
int cli_show(struct cli *cli, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response, int64_t deadline_ns, cli_text_fn text);
