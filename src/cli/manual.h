// SPDX-License-Identifier: Apache-2.0
/* The man page and the completions, from the tables. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

/** cli_manual() - openshell-agentctl(1) as man(7) source */
void cli_manual(struct osa_buf *out);

/** cli_completion() - Completion script for "bash", "zsh" or "fish". Return: false for another shell */
bool cli_completion(const char *shell, struct osa_buf *out);
