// SPDX-License-Identifier: Apache-2.0
/* Operands of cp and forward, taken apart. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum cli_place_kind {
    CLI_PLACE_STREAM, /* "-": standard input or output, as tar */
    CLI_PLACE_LOCAL,
    CLI_PLACE_SANDBOX,
};

/**
 * struct cli_place - Where cp copies from or to
 * @sandbox: with CLI_PLACE_SANDBOX
 * @path:    borrowed from the operand; not with CLI_PLACE_STREAM
 */
struct cli_place {
    enum cli_place_kind kind;
    char sandbox[64];
    const char *path;
};

/**
 * cli_place_parse() - "-", "SANDBOX:/PATH", or a path on this side
 * A path with a colon needs a slash before it to be one of this side: "./a:b".
 * Return: OSA_OK; INVALID_ARGUMENT: empty, no sandbox's id before the colon, a path in a sandbox
 * that is not absolute.
 */
OSA_MUST_CHECK enum osa_code cli_place_parse(const char *text, struct cli_place *ret,
                                             struct osa_error *err);

/**
 * cli_place_name() - What a path's file is called: its last component, without slashes behind it
 * @ret_len: its length; 0: it has no name of its own, as "/", "." and ".."
 * Return: where it begins in @path.
 */
const char *cli_place_name(const char *path, size_t *ret_len);

/** struct cli_ports - What forward joins; @local 0: a free one */
struct cli_ports {
    uint16_t local;
    uint16_t port;
};

/** cli_ports_parse() - "PORT", "LOCAL:PORT" or ":PORT". Return: OSA_OK; INVALID_ARGUMENT */
OSA_MUST_CHECK enum osa_code cli_ports_parse(const char *text, struct cli_ports *ret,
                                             struct osa_error *err);
