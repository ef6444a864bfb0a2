// SPDX-License-Identifier: Apache-2.0
/*
 * What every backend must do, as one suite over backend.h. A backend's test brings a backend and
 * programs that its sandboxes can run; capability bits decide what is asked of it. A difference
 * that no bit explains is a bug.
 */
#pragma once

#include "backends/backend.h"

enum conformance_program {
    PROGRAM_EXIT_7,   /* ends with status 7 */
    PROGRAM_STREAMS,  /* writes "out" to stdout and "err" to stderr */
    PROGRAM_MUCH,     /* writes 1,000,000 bytes to stdout */
    PROGRAM_CAT,      /* copies stdin to stdout until its end */
    PROGRAM_HANG,     /* waits for ever */
    PROGRAM_STUBBORN, /* the same, and TERM does not end it */
    PROGRAM_HOLDER, /* ends with 0; a child in a session of its own holds the output open for ever */
    PROGRAM_FAMILY,  /* waits for ever, and so does such a child */
    PROGRAM_ENV,     /* writes the value of CONFORMANCE */
    PROGRAM_CWD,     /* writes its working directory */
    PROGRAM_MISSING, /* cannot be executed: there is no such file */
    PROGRAM_DIES,    /* dies of SIGSEGV (11) */
    PROGRAM_SIZE,    /* waits to be resized once and writes "ROWSxCOLUMNS" or "ROWS COLUMNS" */
    PROGRAM_COUNT
};

/**
 * struct conformance - A backend under test
 * @loop, @backend: borrowed; the suite leaves no sandbox behind
 * @programs: argv of each; NULL ends it
 * @min_isolation: of the suite's sandboxes
 * @patience_ns: how long anything may take; 0: 20 s
 * @share: cases that leave their sandbox as it was share one, for making one takes long
 */
struct conformance {
    struct osa_loop *loop;
    struct backend *backend;
    const char *const *programs[PROGRAM_COUNT];
    enum isolation_level min_isolation;
    int64_t patience_ns;
    bool share;
};

/**
 * conformance_run() - Run every case as a cmocka group
 * @name: of the group
 * Return: number of failed cases
 */
int conformance_run(const char *name, struct conformance *conformance);
