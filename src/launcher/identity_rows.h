// SPDX-License-Identifier: Apache-2.0
/* Rows of passwd(5) and group(5) files that may be hostile; used by identity.c and its fuzz target. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum identity_file { IDENTITY_PASSWD, IDENTITY_GROUP };

#define IDENTITY_FIELDS_MAX 7

/**
 * struct identity_row - One well-formed row
 * @line:   counted from 1
 * @fields: 7 of a passwd row, 4 of a group row; NUL-terminated, valid during the visit
 * @ids:    passwd: uid and gid; group: gid
 */
struct identity_row {
    unsigned line;
    const char *fields[IDENTITY_FIELDS_MAX];
    unsigned ids[2];
};

/** identity_visit_fn - Called for each row; anything but OSA_OK ends the walk with that */
typedef enum osa_code (*identity_visit_fn)(void *ctx, const struct identity_row *row,
                                           struct osa_error *err);

/**
 * identity_parse() - Walk the rows of a file's text
 * @data: need not be terminated
 * @file: says how many fields a row has, and names the file in messages
 * Empty lines and lines that start with '#' are passed over. Return: OSA_OK; what @visit returned;
 * FAILED_PRECONDITION: a line or field too long, a NUL byte, a wrong number of fields, a bad id.
 */
OSA_MUST_CHECK enum osa_code identity_parse(enum identity_file file, const char *data, size_t len,
                                            identity_visit_fn visit, void *ctx,
                                            struct osa_error *err);

/**
 * identity_each_row() - identity_parse() of etc/passwd or etc/group below @root_fd
 * The lookup cannot leave @root_fd; the file itself may not be a link and must be a regular one.
 * Return: as identity_parse(); NOT_FOUND: no such file; FAILED_PRECONDITION: a link, not a file, or
 * over IDENTITY_FILE_MAX.
 */
OSA_MUST_CHECK enum osa_code identity_each_row(int root_fd, enum identity_file file,
                                               identity_visit_fn visit, void *ctx,
                                               struct osa_error *err);

/** identity_is_file_missing() - Is there no etc/passwd (etc/group) below @root_fd at all? */
bool identity_is_file_missing(int root_fd, enum identity_file file);
