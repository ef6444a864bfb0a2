// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backends/fake/fake.h"
#include "base/buf.h"

struct fake_backend {
    struct backend base;
    struct osa_loop *loop;
    struct fake_options options;
    struct backend_info info;
    struct fake_sandbox *sandboxes;
    unsigned sandbox_count;
    unsigned process_count;
};

struct fake_sandbox {
    struct backend_sandbox base;
    struct fake_backend *backend;
    char id[64];
    struct sandbox_events *events;
    struct isolation isolation;
    struct resources limits;
    bool paused;
    bool lost;
    struct fake_process *processes;
    struct fake_stream *streams;
    struct fake_sandbox *prev, *next;
};

/**
 * struct fake_process - A script and where it is
 * @sandbox:  NULL once that is destroyed
 * @script:   owned copies of argv, NULL-terminated; @step the next one
 * @holding:  a child keeps the output open
 * @ended:    exited has been reported; @closed: both output_end
 */
struct fake_process {
    struct backend_process base;
    struct fake_backend *backend;
    struct fake_sandbox *sandbox;
    struct process_events *events;
    char **script;
    char **env;
    char *cwd;
    size_t step;
    struct osa_timer timer;
    int64_t started_ns;
    uint64_t ignored;
    bool tty;
    bool holding;
    bool killed;
    bool reading;
    bool ended;
    bool closed;
    bool stdin_open;
    bool stdin_full;
    struct osa_buf input;
    struct terminal_size size;
    struct resources limits;
    struct fake_process *prev, *next;
};

/** fake_process_run() - Go on with the script */
void fake_process_run(struct fake_process *process);
/** fake_process_end() - Report the exit, and the end of output unless a child holds it */
void fake_process_end(struct fake_process *process, enum exit_reason reason, int code, int signal);
/** fake_process_close() - Report the end of both streams, once */
void fake_process_close(struct fake_process *process);

/* ---- fake_stream.c ---- */

/** fake_streams_abandon() - Answer those under way: the sandbox ends */
void fake_streams_abandon(struct fake_sandbox *sandbox);

/** fake_sandbox_connect() - As backend_ops.sandbox_connect; port 7 echoes, nothing listens on the others */
void fake_sandbox_connect(struct backend_sandbox *s, const char *ip, uint16_t port, stream_fn done,
                          void *ctx);
/** fake_sandbox_copy() - As backend_ops.sandbox_copy; takes anything, gives "fake archive"; not at "/none" */
void fake_sandbox_copy(struct backend_sandbox *s, bool write, const char *path, const char *user,
                       stream_fn opened, done_fn done, void *ctx);

/* The slots of the ops table that concern processes. */
/** fake_spawn() - As backend_ops.spawn */
void fake_spawn(struct backend_sandbox *s, const struct process_spec *spec,
                struct process_events *events, spawned_fn done, void *ctx);
/** fake_process_free() - As backend_ops.process_free */
void fake_process_free(struct backend_process *p);
/** fake_signal() - As backend_ops.signal */
enum osa_code fake_signal(struct backend_process *p, int signo, enum signal_scope scope,
                          struct osa_error *err);
/** fake_kill_tree() - As backend_ops.kill_tree */
void fake_kill_tree(struct backend_process *p, done_fn done, void *ctx);
/** fake_write_stdin() - As backend_ops.write_stdin */
enum osa_code fake_write_stdin(struct backend_process *p, const void *data, size_t len,
                               size_t *ret_taken, struct osa_error *err);
/** fake_close_stdin() - As backend_ops.close_stdin */
enum osa_code fake_close_stdin(struct backend_process *p, struct osa_error *err);
/** fake_hold_output() - As backend_ops.hold_output; nothing waits here */
void fake_hold_output(struct backend_process *p, bool hold);

/** fake_resize() - As backend_ops.resize */
enum osa_code fake_resize(struct backend_process *p, struct terminal_size size,
                          struct osa_error *err);
/** fake_process_update() - As backend_ops.process_update */
void fake_process_update(struct backend_process *p, const struct resources *limits, done_fn done,
                         void *ctx);
/** fake_process_stats() - As backend_ops.process_stats */
void fake_process_stats(struct backend_process *p, stats_fn done, void *ctx);

/** fake_later() - Call @fn(@ctx) from the loop after @delay_ns */
void fake_later(struct fake_backend *backend, int64_t delay_ns, void (*fn)(void *ctx), void *ctx);
/** fake_done_later() - Answer a done_fn from the loop; @code OSA_OK for success */
void fake_done_later(struct fake_backend *backend, done_fn done, void *ctx, enum osa_code code,
                     const char *text);
/** fake_can() - Is this capability there? */
bool fake_can(const struct fake_backend *backend, uint32_t capability);
