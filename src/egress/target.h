// SPDX-License-Identifier: Apache-2.0
/* Whom a request is for: host and port, in one spelling. */
#pragma once

#include "egress/head.h"

/* A DNS name is at most 253 characters; its final dot and the NUL fit as well. */
#define TARGET_HOST_SIZE 256

/**
 * struct target - A host and a port
 * @host: lower case; an IPv6 address without brackets, in its shortest form; a final dot is kept
 * @is_ip: @host is an address
 */
struct target {
    char host[TARGET_HOST_SIZE];
    uint16_t port;
    bool is_ip;
};

/**
 * target_parse() - "host:port", "[v6]:port"; without a port when @default_port is not 0
 * Refused: users, blanks, zone ids, percent signs, names that are no host names, and names that end
 * in a number, which some resolvers take for addresses ("127.1", "0x7f000001", "2130706433").
 * Return: NULL; else what is wrong, a constant.
 */
const char *target_parse(struct head_span text, uint16_t default_port, struct target *ret);

/**
 * target_parse_absolute() - "http://authority/path?query"
 * @ret_scheme: as written
 * @ret_path:   from the path on, query included; an empty one when only the authority is there
 * Return: as target_parse(); NULL also for schemes other than http, and then @ret is not filled.
 */
const char *target_parse_absolute(struct head_span text, struct head_span *ret_scheme,
                                  struct target *ret, struct head_span *ret_path);

/** target_same() - The same host and port; a final dot does not matter */
bool target_same(const struct target *a, const struct target *b);

/* "[v6]:65535" with its NUL */
#define TARGET_TEXT_SIZE (TARGET_HOST_SIZE + 8)

/** target_text() - "host:port" with brackets where needed, for people and CONNECT. Return: @text */
const char *target_text(const struct target *target, char text[TARGET_TEXT_SIZE]);

/** target_host_field() - What stands in Host: the port left out when it is @default_port. Return: @text */
const char *target_host_field(const struct target *target, uint16_t default_port,
                              char text[TARGET_TEXT_SIZE]);
