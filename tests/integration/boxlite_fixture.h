// SPDX-License-Identifier: Apache-2.0
/* The BoxLite backend over the double of its server (tests/boxlite/double.py), and verbs for its tests. */
#pragma once

#include "backends/backend.h"
#include "base/buf.h"
#include "policy/document.h"

#include <stdbool.h>

/* Nothing takes this long; a test that gets here fails. */
#define FIXTURE_PATIENCE_NS (20 * OSA_NS_PER_SEC)

/**
 * struct boxlite_fixture - A double, a loop and a backend on it
 * @pid: of the double; its standard output told @port
 */
struct boxlite_fixture {
    int pid;
    unsigned port;
    struct osa_loop *loop;
    struct backend *backend;
    const struct policy_document *policy;
    char folder[64];
    const char *server; /* a real one's URL; NULL: the double */
    const char *serve;  /* program of a server that backends start themselves; NULL: none */
    bool plain;         /* backends are opened without helpers */
};

/* A sandbox and what it told. */
struct fixture_box {
    struct sandbox_events events;
    struct backend_sandbox *sandbox;
    struct isolation isolation;
    struct osa_error error;
    unsigned created;
    unsigned lost;
    char lost_reason[256];
};

/* A process and what it told. */
struct fixture_process {
    struct process_events events;
    struct backend_process *process;
    struct isolation isolation;
    struct osa_error error;
    struct osa_buf out;
    struct osa_buf err;
    unsigned spawned;
    unsigned exited;
    unsigned ended;
    unsigned stdin_ready;
    struct process_exit exit;
};

struct fixture_answer {
    unsigned calls;
    struct osa_error error;
};

/**
 * fixture_start() - Start a double with these arguments, then the backend on it, and wait for its probe
 * With OSA_BOXLITE_URL in the environment the backend uses that server, its key (OSA_BOXLITE_KEY) and
 * an image of its (OSA_BOXLITE_IMAGE) in place of a double.
 * @arguments: NULL-terminated; NULL: none. Ends the test program with 77 where no namespace can be made.
 */
void fixture_start(struct boxlite_fixture *fixture, const char *const *arguments, bool plain);
/** fixture_serve() - Likewise, and the backend starts the double, or OSA_BOXLITE_SERVE with the variable OSA_BOXLITE_SERVE_ENV, by itself */
void fixture_serve(struct boxlite_fixture *fixture);
/** fixture_is_real() - Is the server no double? Then everything takes its time */
bool fixture_is_real(const struct boxlite_fixture *fixture);
/** fixture_open() - A backend on the running double; @state_dir NULL: one of its own */
void fixture_open(struct boxlite_fixture *fixture, const char *state_dir);
/** fixture_close() - Close the backend alone */
void fixture_close(struct boxlite_fixture *fixture);
/** fixture_stop() - Close what is open and end the double */
void fixture_stop(struct boxlite_fixture *fixture);

/** fixture_http() - One plain call to the double; asserts the status. @ret: the body, NUL-terminated, of @size bytes; may be NULL */
void fixture_http(const struct boxlite_fixture *fixture, const char *method, const char *path,
                  const char *body, unsigned status, char *ret, size_t size);
/** fixture_faults() - Make the double misbehave: JSON as faults.py has it */
void fixture_faults(const struct boxlite_fixture *fixture, const char *json);
/** fixture_boxes() - How many boxes the double has */
unsigned fixture_boxes(const struct boxlite_fixture *fixture);

/** fixture_until() - Turn the loop until *counter reaches @value; fails the test when that takes too long */
void fixture_until(struct boxlite_fixture *fixture, const unsigned *counter, unsigned value,
                   const char *what);
/** fixture_turn_ms() - Turn it for so long */
void fixture_turn_ms(struct boxlite_fixture *fixture, int64_t ms);

/** fixture_spec() - A sandbox spec with nothing special in it; @id is borrowed */
struct sandbox_spec fixture_spec(const struct boxlite_fixture *fixture, const char *id);
/** fixture_create() - Create and wait; the outcome is in @box */
void fixture_create(struct boxlite_fixture *fixture, struct fixture_box *box,
                    const struct sandbox_spec *spec);
/** fixture_box() - Create a usual one, which must succeed */
void fixture_box(struct boxlite_fixture *fixture, struct fixture_box *box);
/** fixture_destroy() - Destroy and wait */
void fixture_destroy(struct boxlite_fixture *fixture, struct fixture_box *box);

/** fixture_sh() - A process spec that runs @script by /bin/sh; in static storage */
struct process_spec fixture_sh(const char *script);
/** fixture_begin() - Spawn without waiting */
void fixture_begin(struct fixture_box *box, struct fixture_process *process,
                   const struct process_spec *spec);
/** fixture_spawn() - Spawn and wait for the answer, good or bad */
void fixture_spawn(struct boxlite_fixture *fixture, struct fixture_box *box,
                   struct fixture_process *process, const struct process_spec *spec);
/** fixture_run() - Spawn @script, which must succeed, and wait for its exit and both streams' ends */
void fixture_run(struct boxlite_fixture *fixture, struct fixture_box *box,
                 struct fixture_process *process, const char *script);
/** fixture_finish() - Wait for the exit and @streams ends */
void fixture_finish(struct boxlite_fixture *fixture, struct fixture_process *process,
                    unsigned streams);
/** fixture_free() - Free the handle and the buffers */
void fixture_free(struct fixture_process *process);
/** fixture_kill() - kill_tree and wait. Return: its code */
enum osa_code fixture_kill(struct boxlite_fixture *fixture, struct fixture_process *process);
