// SPDX-License-Identifier: Apache-2.0
/* What messages say, in words for people. All texts are appended or written to the caller's storage. */
#pragma once

#include "base/buf.h"
#include "cli/api.h"

#include <stdint.h>

/** cli_enum_word() - "REASON_OOM_KILLED" → "oom killed" with @prefix "REASON_"; "?" for an unknown number */
void cli_enum_word(const ProtobufCEnumDescriptor *type, int value, const char *prefix, char *ret,
                   size_t size);

/** cli_runtime_word() - "process", "boxlite"; "default" for unspecified */
const char *cli_runtime_word(API(RuntimeKind) kind);

/** cli_level_word() - "restricted", "rootless", "full", "vm"; "-" for unspecified */
const char *cli_level_word(API(IsolationLevel) level);

/** cli_exit_text() - "exit 3", "killed by SIGTERM (core dumped)", "timed out", "out of memory" … */
void cli_exit_text(const API(Exit) * exit, char *ret, size_t size);

/** cli_exit_status() - What a shell would say: the code, 128 + signal, 124 for a timeout, 137 for out of memory, 125 lost */
int cli_exit_status(const API(Exit) * exit);

/** cli_resources_text() - "cpu 500m, memory 256Mi, pids 64", "-" without any limit */
void cli_resources_text(const API(Resources) * resources, char *ret, size_t size);

/** cli_isolation_rows() - Lines "  name: value" about what is in force */
void cli_isolation_rows(struct osa_buf *out, const API(Isolation) * isolation);

/** cli_age_text() - Time since @at, for a column: "3.2s", "4m10s"; "-" when absent */
void cli_age_text(const Google__Protobuf__Timestamp *at, char *ret_text);

/** cli_join() - Strings with ", " between them; "none" when there are none */
void cli_join(struct osa_buf *out, size_t count, char *const *items);
