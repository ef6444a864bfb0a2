// SPDX-License-Identifier: Apache-2.0
/*
 * A helper program of the driver's: run to its end, within bounds of time and disk.
 *
 * Not for agents, which outlive the driver (agent_link.h).
 */
#pragma once

#include "base/child.h"
#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct helper_limits - Beyond which it is killed
 * @time_ns: from its start
 * @disk: a path of the file system that it fills; borrowed until it has ended
 * @disk_free_bytes: that must stay free there
 */
struct helper_limits {
    int64_t time_ns;
    const char *disk;
    uint64_t disk_free_bytes;
};

/**
 * struct helper_program - Embedded in its owner; helper_program_init() first
 * @line: a line of its output, printable ASCII; may be NULL
 * @done: it has ended, never from inside helper_program_start(). @error: NULL after status 0; else
 *        FAILED_PRECONDITION with its last line, or why it was killed
 * The rest is private.
 */
struct helper_program {
    void (*line)(struct helper_program *self, const char *line);
    void (*done)(struct helper_program *self, const struct osa_error *error);

    struct osa_loop *loop;
    struct helper_limits limits;
    struct osa_source process;
    pid_t pid;
    struct osa_source output;
    char text[512];
    size_t text_len;
    char words[512];
    struct osa_timer timer;
    int64_t deadline_ns;
    struct osa_error why;
};

/** helper_program_init() - Nothing runs */
void helper_program_init(struct helper_program *program, struct osa_loop *loop);

/** helper_program_runs() - Will `done` follow? */
bool helper_program_runs(const struct helper_program *program);

/**
 * helper_program_start() - Start it
 * @argv, @envp: as for execve(2); argv[0] is its path
 * Return: OSA_OK; as osa_child_start(); RESOURCE_EXHAUSTED: the disk has too little left already.
 */
OSA_MUST_CHECK enum osa_code helper_program_start(struct helper_program *program,
                                                  const char *const *argv, const char *const *envp,
                                                  const struct helper_limits *limits,
                                                  struct osa_error *err);

/** helper_program_kill() - `done` follows with CANCELLED. One that does not run is fine */
void helper_program_kill(struct helper_program *program);
