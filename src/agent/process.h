// SPDX-License-Identifier: Apache-2.0
/*
 * A process from its Spawn until nobody can ask about it any more: starting → running → exited.
 *
 * An exited process is kept for a bounded time with its exit and its output. The struct is counted,
 * so that a reader can finish what the table has forgotten.
 */
#pragma once

#include "agent/agent.h"
#include "agent/output_log.h"
#include "base/id.h"

#include <uthash.h>

enum process_state { PROCESS_STARTING, PROCESS_RUNNING, PROCESS_EXITED };

typedef void (*process_done_fn)(void *ctx, struct process *process, const struct osa_error *error);

/** struct process_waiter - Somebody who waits for the exit; embedded in its owner */
struct process_waiter {
    void (*exited)(struct process_waiter *self, struct process *process);
    struct process_waiter *prev, *next;
};

/**
 * struct process_reader - Somebody attached; embedded in its owner
 * @ready:   there is output, or the output has ended, or the process has, or stdin takes bytes again
 * @follows: it wants all output: a writer that is too fast is held for it, within bounds
 * @taken:   with @follows: offset of the output that it has not taken yet; process_reader_moved()
 * @sending: with @follows: what it took last is still on its way to the client
 * @stalled, @slow: private to output_hold.c
 */
struct process_reader {
    void (*ready)(struct process_reader *self);
    bool follows;
    bool sending;
    bool stalled;
    bool slow;
    uint64_t taken;
    struct process_reader *prev, *next;
};

struct process_pending {
    process_done_fn done;
    void *ctx;
    struct process_pending *next;
};

/**
 * struct process - The fields down to @log are for others to read
 * @sandbox:    NULL once the sandbox is gone
 * @request:    what was asked; owned
 * @limits:     of this process in particular
 * @exit:       valid when EXITED
 * @output_done: no more output can come
 * @handle:     the backend's; NULL before the start, and after exit and end of output; may outlive
 *              the sandbox
 * @streams:    bits of enum output_stream that have not ended
 * @busy:       operations of the backend that have not answered; @handle stays while any has not
 * @listed:     in the agent's list of exited processes, with @retained_bytes in its sum
 */
struct process {
    struct agent *agent;
    struct sandbox *sandbox;
    char id[OSA_ID_SIZE];
    char sandbox_id[64];
    enum process_state state;
    enum runtime_kind kind;
    struct process_request *request;
    struct isolation isolation;
    struct resources limits;
    int64_t started_wall_ns;
    struct process_exit exit;
    bool output_done;
    struct output_log log;

    unsigned refs;
    struct backend_process *handle;
    struct process_events events;
    unsigned streams;
    unsigned busy;
    bool killing;     /* a kill of the tree is on its way */
    bool kill_wanted; /* Kill has been called: the tree goes with the process */
    bool timed_out;
    bool drain_killed;
    bool ephemeral;
    bool listed;
    size_t retained_bytes;
    int64_t retained_until_ns;
    bool held;          /* output is left in the pipes; output_hold.c */
    bool paced;         /* left there while a reader sends; output_hold.c */
    bool unread;        /* one of both: the backend does not read */
    bool awaits_reader; /* the first that follows has not come yet */
    struct osa_timer hold;
    struct osa_timer await;
    struct osa_timer pace;
    struct osa_timer timeout;
    struct osa_timer grace;
    int64_t grace_deadline_ns;
    struct process_waiter *waiters;
    struct process_waiter *kill_waiters;
    struct process_reader *readers;
    struct process_pending *pending;
    struct process *prev, *next;                 /* exited ones, oldest first */
    struct process *sandbox_prev, *sandbox_next; /* of one sandbox */
    UT_hash_handle by_id;
    UT_hash_handle by_key;
};

/**
 * process_spawn() - Spawn
 * @request: taken
 * @done:    after the exec has succeeded; the same key and digest give the same process
 */
void process_spawn(struct agent *agent, struct process_request *request, process_done_fn done,
                   void *ctx);

/** process_find() - One that has started. Return: NULL with NOT_FOUND in @err */
struct process *process_find(struct agent *agent, const char *id, struct osa_error *err);

/** process_first() - All that have started, exited ones included, in order of Spawn; NULL when there is none */
struct process *process_first(struct agent *agent);
/** process_next() - The one after @process; NULL at the end */
struct process *process_next(struct process *process);

/** process_ref() - One more user of the struct. Return: @process */
struct process *process_ref(struct process *process);
/** process_unref() - One user less. NULL is fine */
void process_unref(struct process *process);

/** process_wait() - Call @waiter->exited at the exit, or at once after it */
void process_wait(struct process *process, struct process_waiter *waiter);
/** process_wait_cancel() - No callback afterwards; for process_wait() and process_kill(). A waiter that was called is fine */
void process_wait_cancel(struct process *process, struct process_waiter *waiter);

/**
 * process_signal() - Signal; @signo 0 asks whether it is there
 * Return: OSA_OK; FAILED_PRECONDITION after the exit; UNIMPLEMENTED for what the kind lacks.
 */
enum osa_code process_signal(struct process *process, int signo, enum signal_scope scope,
                             struct osa_error *err);

/**
 * process_kill() - TERM to the tree, KILL of what is left at the exit of the process or after @grace_ns
 * After the exit: KILL of what is left, as long as the output is open; then nothing holds on to the tree.
 * @waiter: called when the tree is gone, or at once. NULL when nobody wants to know
 */
void process_kill(struct process *process, int64_t grace_ns, struct process_waiter *waiter);

/** process_read() - Register for output, its end, the exit, room in stdin. Several may */
void process_read(struct process *process, struct process_reader *reader);
/** process_reader_moved() - @reader has taken the output before @taken; @sending as in its struct */
void process_reader_moved(struct process *process, struct process_reader *reader, uint64_t taken,
                          bool sending);
/** process_read_cancel() - No callback afterwards. A reader that was never registered is fine */
void process_read_cancel(struct process *process, struct process_reader *reader);

/**
 * process_write_stdin() - Offer input
 * @ret_taken: less than @len means: wait for a registered reader's callback
 * Return: OSA_OK; FAILED_PRECONDITION when there is no stdin, it was ended, or nobody reads it.
 */
OSA_MUST_CHECK enum osa_code process_write_stdin(struct process *process, const void *data,
                                                 size_t len, size_t *ret_taken,
                                                 struct osa_error *err);
/** process_close_stdin() - End of input; idempotent */
OSA_MUST_CHECK enum osa_code process_close_stdin(struct process *process, struct osa_error *err);
/** process_resize() - FAILED_PRECONDITION without a terminal or after the exit; INVALID_ARGUMENT for a zero */
OSA_MUST_CHECK enum osa_code process_resize(struct process *process, struct terminal_size size,
                                            struct osa_error *err);

/** process_update() - New limits, of its sandbox where that is its own; fields of @wanted that are 0 stay. @done: then process->limits holds them */
void process_update(struct process *process, const struct resources *wanted, done_fn done,
                    void *ctx);
/** process_stats() - Usage; FAILED_PRECONDITION after the exit */
void process_stats(struct process *process, stats_fn done, void *ctx);
