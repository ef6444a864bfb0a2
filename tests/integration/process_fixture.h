// SPDX-License-Identifier: Apache-2.0
/* The process backend made synchronous, for tests. Asserts on anything that takes over a minute. */
#pragma once

#include "cmocka_all.h"

#include "backends/backend.h"
#include "base/buf.h"

#include <stdbool.h>

/* What a process has told so far. */
struct seen {
    struct process_events events;
    struct osa_buf out;
    struct osa_buf err;
    unsigned ended;       /* streams */
    unsigned denied;      /* system calls */
    unsigned denied_more; /* that the events only count */
    char denied_first[256];
    char denied_last[256];
    unsigned landlock_denied;
    char landlock_first[256];
    bool exited;
    bool stdin_ready;
    struct process_exit exit;
    struct backend_process *process; /* NULL when spawn failed */
    struct isolation isolation;
    bool answered;
    struct osa_error error;
};

struct box {
    struct sandbox_events events;
    struct backend_sandbox *sandbox;
    struct isolation isolation;
    struct resources limits;
    bool answered;
    bool lost;
    bool gone;
    unsigned denied;
    char denied_last[256]; /* "CONTROL: TEXT" */
    char lost_reason[256];
    struct osa_error error;
};

/**
 * fixture_level() - Take the level from the program's first argument, for main(): "full", "rootless"
 * (gives root up, becoming nobody) or "restricted"; before fixture_open()
 * Return: false when this host or user cannot have it; it has then said so, and main() exits 77.
 */
bool fixture_level(int argc, char **argv);

/** fixture_open() - Start the launcher and open the backend; cmocka group setup. fixture_close() checks that nothing is left */
int fixture_open(void **state);
int fixture_close(void **state);

/** fixture_try_open() - As fixture_open() on a host that may refuse, or give less than the level. Return: why not */
enum osa_code fixture_try_open(struct osa_error *err);

/** fixture_backend() - The open backend */
struct backend *fixture_backend(void);

/** until() - Run the loop until *@flag is true or a minute has passed. Return: *@flag */
bool until(const bool *flag);

/** run_for_ms() - Run the loop for that long */
void run_for_ms(int ms);

/** box_open() - A sandbox at the backend's level; fails the test when it cannot be made */
void box_open(struct box *box);
/** box_try() - As box_open() with a spec; box->answered and box->error tell */
void box_try(struct box *box, const struct sandbox_spec *spec);
/** box_close() - Destroy it and wait */
void box_close(struct box *box);
/** box_spec() - What box_open() uses */
struct sandbox_spec box_spec(void);

/** shell() - A spec for `/bin/sh -c script`; valid until the next call */
struct process_spec shell(const char *script);

/** launch() - Spawn and wait for the answer */
void launch(struct box *box, struct seen *seen, const struct process_spec *spec);
/** finish() - Wait for the exit and the end of the output */
void finish(struct seen *seen);
/** seen_done() - Free the process and what was seen */
void seen_done(struct seen *seen);
/** kill_tree_and_wait() - kill_tree, until done */
void kill_tree_and_wait(struct seen *seen);

/**
 * nap() - An argument of sleep(1) that no other process on the host has: "1234.PID"
 * count_naps() - Processes on the host whose second argument it is
 */
const char *nap(void);
int count_naps(void);
