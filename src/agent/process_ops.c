// SPDX-License-Identifier: Apache-2.0
/* Operations on a process that runs: signals, Kill, input, terminal, limits, usage. */
#include "agent/agent_internal.h"
#include "agent/output_hold.h"

#include "base/clock.h"
#include "base/signal_name.h"

#include <signal.h>
#include <utlist.h>

static enum osa_code check_running(const struct process *process, struct osa_error *err)
{
    if (process->state == PROCESS_RUNNING && process->handle != NULL)
        return OSA_OK;
    return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "process '%s' has exited", process->id);
}

enum osa_code process_signal(struct process *process, int signo, enum signal_scope scope,
                             struct osa_error *err)
{
    enum osa_code code = check_running(process, err);
    if (code != OSA_OK)
        return code;
    code = process->handle->ops->signal(process->handle, signo, scope, err);
    if (code == OSA_NOT_FOUND)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "process '%s' has exited", process->id);
    if (code == OSA_OK && signo != 0) {
        char name[OSA_SIGNAL_NAME_SIZE];
        osa_signal_name(signo, name);
        agent_emit(process->agent, EVENT_SIGNALED, process->sandbox_id, process->id, name);
    }
    return code;
}

void process_kill(struct process *process, int64_t grace_ns, struct process_waiter *waiter)
{
    if (process->state == PROCESS_EXITED)
        process_kill_tree(process); /* what it has left behind, while its output is open */
    if (process->state == PROCESS_EXITED && !process->killing) {
        if (waiter != NULL)
            waiter->exited(waiter, process);
        return;
    }
    if (waiter != NULL)
        DL_APPEND(process->kill_waiters, waiter);
    if (process->state == PROCESS_EXITED || process->killing)
        return;
    bool first = !process->kill_wanted;
    process->kill_wanted = true;
    /* Where the kind cannot reach a tree, TERM to the process alone is what is left. */
    bool asked =
        grace_ns > 0 && (!first || process_signal(process, SIGTERM, SIGNAL_TREE, NULL) == OSA_OK ||
                         process_signal(process, SIGTERM, SIGNAL_PROCESS, NULL) == OSA_OK);
    if (!asked) {
        process_kill_tree(process);
        return;
    }
    int64_t deadline = osa_deadline_after(grace_ns);
    if (first || deadline < process->grace_deadline_ns) {
        process->grace_deadline_ns = deadline;
        osa_timer_arm(process->agent->setup.loop, &process->grace, deadline);
    }
}

/* ---- input and terminal ---- */

void process_read(struct process *process, struct process_reader *reader)
{
    DL_APPEND(process->readers, reader);
    output_hold_reader_came(process, reader);
}

void process_read_cancel(struct process *process, struct process_reader *reader)
{
    if (reader->prev == NULL)
        return;
    DL_DELETE(process->readers, reader);
    reader->prev = NULL;
    output_hold_update(process);
}

void process_reader_moved(struct process *process, struct process_reader *reader, uint64_t taken,
                          bool sending)
{
    if (reader->taken == taken && reader->sending == sending)
        return;
    reader->taken = taken;
    reader->sending = sending;
    output_hold_update(process);
}

static enum osa_code check_stdin(const struct process *process, struct osa_error *err)
{
    if (!process->request->stdin_open && !process->request->tty)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "process '%s' has no stdin; set spec.stdin in Spawn", process->id);
    return check_running(process, err);
}

enum osa_code process_write_stdin(struct process *process, const void *data, size_t len,
                                  size_t *ret_taken, struct osa_error *err)
{
    enum osa_code code = check_stdin(process, err);
    if (code != OSA_OK)
        return code;
    return process->handle->ops->write_stdin(process->handle, data, len, ret_taken, err);
}

enum osa_code process_close_stdin(struct process *process, struct osa_error *err)
{
    enum osa_code code = check_stdin(process, err);
    return code != OSA_OK ? code : process->handle->ops->close_stdin(process->handle, err);
}

enum osa_code process_resize(struct process *process, struct terminal_size size,
                             struct osa_error *err)
{
    if (!process->request->tty)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "process '%s' has no terminal",
                        process->id);
    if (size.rows == 0 || size.columns == 0)
        return osa_fail_field(err, "resize", "rows and columns are 1 to 65535");
    enum osa_code code = check_running(process, err);
    return code != OSA_OK ? code : process->handle->ops->resize(process->handle, size, err);
}

/* ---- limits and usage ---- */

/* Keeps the process, and its handle, until the backend has answered. */
struct operation {
    struct process *process;
    struct resources wanted;
    done_fn done;
    stats_fn stats;
    void *ctx;
};

static struct operation *operation_new(struct process *process, void *ctx)
{
    struct operation *op = calloc(1, sizeof(*op));
    if (op == NULL)
        abort();
    op->process = process_ref(process);
    op->ctx = ctx;
    process->busy++;
    return op;
}

static void operation_free(struct operation *op)
{
    op->process->busy--;
    process_settle(op->process);
    process_unref(op->process);
    free(op);
}

static void on_updated(void *ctx, const struct osa_error *error)
{
    struct operation *op = ctx;
    struct process *process = op->process;
    if (error == NULL) {
        process->limits = op->wanted;
        agent_emit(process->agent, EVENT_RESOURCES_UPDATED, process->sandbox_id, process->id, NULL);
    }
    op->done(op->ctx, error);
    operation_free(op);
}

static enum osa_code check_update(const struct process *process, const struct resources *wanted,
                                  struct osa_error *err)
{
    const uint32_t need = BACKEND_CAP_UPDATE_RESOURCES | BACKEND_CAP_PROCESS_LIMITS;
    enum osa_code code = check_running(process, err);
    if (code != OSA_OK)
        return code;
    if (process->sandbox == NULL)
        return osa_fail(err, OSA_ABORTED, 0, "the sandbox of process '%s' is gone", process->id);
    uint32_t capabilities = sandbox_capabilities(process->sandbox);
    if ((capabilities & need) != need)
        return osa_fail(err, OSA_UNIMPLEMENTED, 0,
                        "a %s sandbox cannot change the limits of a process here",
                        runtime_kind_name(process->kind));
    return spec_check_limits(wanted, process->kind, capabilities, "resources", err);
}

void process_update(struct process *process, const struct resources *wanted, done_fn done,
                    void *ctx)
{
    struct osa_error err = { 0 };
    if (process->ephemeral && process->sandbox != NULL && check_running(process, &err) == OSA_OK) {
        sandbox_update(process->sandbox, wanted, done, ctx);
        return;
    }
    if (check_update(process, wanted, &err) != OSA_OK) {
        done(ctx, &err);
        return;
    }
    struct operation *op = operation_new(process, ctx);
    op->done = done;
    op->wanted = agent_merge_limits(&process->limits, wanted);
    process->handle->ops->process_update(process->handle, &op->wanted, on_updated, op);
}

static void on_stats(void *ctx, const struct usage_stats *stats, const struct osa_error *error)
{
    struct operation *op = ctx;
    op->stats(op->ctx, stats, error);
    operation_free(op);
}

void process_stats(struct process *process, stats_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    if (check_running(process, &err) != OSA_OK) {
        done(ctx, NULL, &err);
        return;
    }
    struct operation *op = operation_new(process, ctx);
    op->stats = done;
    process->handle->ops->process_stats(process->handle, on_stats, op);
}
