// SPDX-License-Identifier: Apache-2.0
/*
 * Options: one table row each, from which come the parser, the text of --help, the section of the
 * man page and the completions. A value may come from four places; the later one wins:
 * default < configuration file < environment < flag.
 *
 * A value of any source is checked, also when a stronger source wins. Errors are INVALID_ARGUMENT
 * and begin with the source: "--max-processes", "OPENSHELL_AGENT_LISTEN", "/etc/x.yaml:3:7".
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a value is, and what stands at osa_option.offset of the target. */
enum osa_option_type {
    OSA_OPTION_STRING,   /* const char *; NULL when never set */
    OSA_OPTION_PATH,     /* const char *; not empty; completed as a file */
    OSA_OPTION_LIST,     /* struct osa_strings; repeatable; a stronger source replaces the whole */
    OSA_OPTION_BOOL,     /* bool; the flag alone means true, --no-FLAG means false */
    OSA_OPTION_U32,      /* uint32_t, min to max */
    OSA_OPTION_U64,      /* uint64_t, min to max */
    OSA_OPTION_MODE,     /* uint32_t: permission bits in octal, min to max */
    OSA_OPTION_DURATION, /* int64_t ns, min to max in ns; osa_duration_parse() */
    OSA_OPTION_BYTES,    /* uint64_t; osa_bytes_parse() */
    OSA_OPTION_CPU,      /* uint64_t thousandths; osa_cpu_parse() */
    OSA_OPTION_ENUM,     /* int or an enum: value of one of .names */
};

/* A list of strings; borrowed from the parser that filled it. items[count] is NULL. */
struct osa_strings {
    const char *const *items;
    size_t count;
};

/* One word of an OSA_OPTION_ENUM; a row without a name ends the list. */
struct osa_option_name {
    const char *name;
    int value;
};

/**
 * struct osa_option - One row
 * @flag:     long name without dashes
 * @letter:   short name, 0 for none
 * @variable: environment variable, NULL for none; set but empty counts as not set; lists are
 *            separated by commas
 * @key:      key in the configuration file, NULL for none
 * @type, @offset: what the value is and where in the target it goes
 * @min, @max: bounds of numbers, both inclusive; max 0: only the type bounds it
 * @names:    of an enum
 * @def:      default, as a user would write it; NULL: the target keeps what it has (zero, NULL)
 * @value:    what --help calls the value ("ADDRESS"); NULL for flags that take none
 * @complete: word list that completes the value: "process" for process ids, "sandbox"; NULL
 * @help:     one sentence without its period
 */
struct osa_option {
    const char *flag;
    char letter;
    const char *variable;
    const char *key;
    enum osa_option_type type;
    size_t offset;
    uint64_t min;
    uint64_t max;
    const struct osa_option_name *names;
    const char *def;
    const char *value;
    const char *complete;
    const char *help;
};

/**
 * struct osa_option_group - Rows that fill one struct
 * @title: heading in --help and the man page
 */
struct osa_option_group {
    const char *title;
    const struct osa_option *options;
    size_t count;
    void *target;
};

/* Where a value came from; a higher one wins. */
enum osa_option_origin {
    OSA_ORIGIN_NONE,
    OSA_ORIGIN_DEFAULT,
    OSA_ORIGIN_FILE,
    OSA_ORIGIN_ENVIRONMENT,
    OSA_ORIGIN_FLAG,
};

struct osa_options;

/**
 * osa_options_new() - A parser that has put the defaults into all targets
 * @groups: borrowed until osa_options_free(); rows are constants. A flag, letter, variable or key
 *          that two rows share, or a default that does not parse, is our bug: assert
 * Return: OSA_OK or RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code osa_options_new(const struct osa_option_group *groups,
                                             size_t group_count, struct osa_options **ret_options,
                                             struct osa_error *err);

/** osa_options_new_into() - osa_options_new() for groups that all fill @target, whatever theirs says */
OSA_MUST_CHECK enum osa_code osa_options_new_into(const struct osa_option_group *groups,
                                                  size_t group_count, void *target,
                                                  struct osa_options **ret_options,
                                                  struct osa_error *err);

/** osa_options_free() - Also frees every string that the targets point to. NULL is fine */
void osa_options_free(struct osa_options *options);

/** osa_options_auto() - Cleanup function */
void osa_options_auto(struct osa_options **options);

/**
 * osa_options_flags() - Read a command line: --name value, --name=value, -x value, -xvalue, -xyz
 * @argc, @argv: without the program's name; borrowed for the call
 * @ret_used: index of the first operand, or of what follows "--"; argc when there is none. Options
 *            after the first operand are not ours to read, so that a command can have its own
 */
OSA_MUST_CHECK enum osa_code osa_options_flags(struct osa_options *options, int argc,
                                               const char *const *argv, int *ret_used,
                                               struct osa_error *err);

/** osa_options_environment() - Read the variables of all rows */
OSA_MUST_CHECK enum osa_code osa_options_environment(struct osa_options *options,
                                                     struct osa_error *err);

/**
 * osa_options_file_value() - One value of one key of a configuration file; lists: once per element
 * @where: source for messages, "PATH:LINE:COLUMN"
 */
OSA_MUST_CHECK enum osa_code osa_options_file_value(struct osa_options *options, const char *key,
                                                    const char *value, const char *where,
                                                    struct osa_error *err);

/**
 * osa_options_default() - A default that only the running program knows
 * @field: address of the field in its target
 * Kept when no other source has set the field. Errors begin with the flag.
 */
OSA_MUST_CHECK enum osa_code osa_options_default(struct osa_options *options, const void *field,
                                                 const char *value, struct osa_error *err);

/** osa_options_key_is_list() - Does @key name a list? Return: 1 yes, 0 no, -1 no such key */
int osa_options_key_is_list(const struct osa_options *options, const char *key);

/** osa_options_origin() - Where the value at @field of a target came from; OSA_ORIGIN_NONE: nowhere */
enum osa_option_origin osa_options_origin(const struct osa_options *options, const void *field);

/* ---- texts; src/base/option_text.c ---- */

/** osa_option_help() - Rows of one group for --help, columns aligned for @width characters */
void osa_option_help(const struct osa_option_group *group, unsigned width, struct osa_buf *out);

/** osa_option_help_all() - All groups, an empty line between them */
void osa_option_help_all(const struct osa_option_group *groups, size_t group_count, unsigned width,
                         struct osa_buf *out);

/** osa_option_man() - Rows of one group as man(7) source, under its title */
void osa_option_man(const struct osa_option_group *group, struct osa_buf *out);

/** osa_option_man_all() - All groups */
void osa_option_man_all(const struct osa_option_group *groups, size_t group_count,
                        struct osa_buf *out);

/** osa_option_man_rows() - The same without the title */
void osa_option_man_rows(const struct osa_option_group *group, struct osa_buf *out);

/** osa_man_escape() - Append @text so that man(7) shows it as it is: - \ ' and leading periods */
void osa_man_escape(struct osa_buf *out, const char *text);

/** osa_text_wrap() - Append @text filled to @width columns, later lines indented by @indent; the first starts at column @used */
void osa_text_wrap(struct osa_buf *out, const char *text, unsigned used, unsigned indent,
                   unsigned width);
