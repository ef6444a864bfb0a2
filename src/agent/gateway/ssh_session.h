// SPDX-License-Identifier: Apache-2.0
/* What a session channel can be for; within the SSH server. All are called from io_ssh_events.start. */
#pragma once

#include "agent/gateway/gateway.h"
#include "io/ssh.h"

/**
 * ssh_session_run() - A process of the sandbox with the channel for its input and output
 * @argv: copied
 * @term: TERM, which gives it a terminal; "": the usual one; NULL: pipes
 */
void ssh_session_run(struct gateway *gateway, struct io_ssh_channel *channel,
                     const char *const *argv, const char *term, struct terminal_size size);

/** ssh_session_main() - Show the main process, what it has said included */
void ssh_session_main(struct gateway *gateway, struct io_ssh_channel *channel,
                      const struct io_ssh_request *request);

/** ssh_session_nothing() - An empty command: the channel stays open and nothing runs */
void ssh_session_nothing(struct gateway *gateway, struct io_ssh_channel *channel);
