// SPDX-License-Identifier: Apache-2.0
/* `openshell-sandbox validate-workspace`: may a sandbox's user work in a folder? Asked as that user. */
#pragma once

/**
 * validate_workspace() - Walk to a folder and try to write there
 * @argv: --workdir PATH --expected-uid UID --expected-gid GID
 * Return: exit status 0; 1 with the reason on standard error. Source: faccessat(2), open(2)
 */
int validate_workspace(int argc, const char *const *argv);
