// SPDX-License-Identifier: Apache-2.0
/* What of the agent lies in the file system, so that no sandbox gets to see it. */
#pragma once

#include "agent/config.h"

/* Absolute paths; NULL-terminated at @count. */
struct hidden_paths {
    char **items; /* owned, each of them too */
    size_t count;
};

/**
 * hidden_paths_secrets() - The files of tokens and private keys alone
 * A file that is a symbolic link counts with its target; one whose target lies below its own directory, as
 * a Secret in a pod is made, with the whole directory.
 */
void hidden_paths_secrets(struct hidden_paths *self, const struct agent_config *config,
                          const char *token_file);

/**
 * hidden_paths_init() - The paths of sockets, tokens, private keys and state
 * The runtime directory, the state directory and hidden_paths_secrets() count whole. So does any other directory that is
 * private to the agent's user and holds nothing but such files: files in it can be replaced, and
 * what hides a single file would go with the file. Other files count by themselves.
 * @token_file: that is served with, "" for none: it may be one that the configuration does not name
 */
void hidden_paths_init(struct hidden_paths *self, const struct agent_config *config,
                       const char *token_file);

/** hidden_paths_done() - Free them */
void hidden_paths_done(struct hidden_paths *self);
