// SPDX-License-Identifier: Apache-2.0
#include "backends/fake/fake_internal.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

static char **copy_list(strlist list)
{
    size_t count = 0;
    while (list[count] != NULL)
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    if (copy == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (copy[i] == NULL)
            abort();
    }
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

void fake_process_close(struct fake_process *process)
{
    if (process->closed)
        return;
    process->closed = true;
    process->events->output_end(process->events, OUTPUT_STDOUT);
    if (!process->tty)
        process->events->output_end(process->events, OUTPUT_STDERR);
}

void fake_process_end(struct fake_process *process, enum exit_reason reason, int code, int signal)
{
    process->ended = true;
    osa_timer_disarm(&process->timer);
    const struct process_exit exit = {
        .reason = reason,
        .code = code,
        .signal = signal,
        .exited_wall_ns = osa_wall_ns(),
        .usage = { .wall_ns = osa_now_ns() - process->started_ns, .user_ns = 1, .system_ns = 1 },
    };
    bool holding = process->holding;
    /* Output ends before the exit is told, so that the callback may free the process. */
    if (!holding)
        fake_process_close(process);
    process->events->exited(process->events, &exit);
}

static void put(struct fake_process *process, enum output_stream stream, const char *data,
                size_t len)
{
    process->events->output(process->events, process->tty ? OUTPUT_STDOUT : stream, data, len);
}

static void put_many(struct fake_process *process, size_t count)
{
    char block[4096];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)('0' + i % 10);
    /* Blocks of a multiple of ten keep the digits in step. */
    while (count > 0) {
        size_t piece = OSA_MIN(count, (size_t)4000);
        put(process, OUTPUT_STDOUT, block, piece);
        count -= piece;
    }
}

static const char *env_value(const struct fake_process *process, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; process->env[i] != NULL; i++) {
        if (strncmp(process->env[i], name, len) == 0 && process->env[i][len] == '=')
            return process->env[i] + len + 1;
    }
    return "(unset)";
}

/* Return: true when the script goes on at once. */
static bool read_input(struct fake_process *process)
{
    if (process->input.len > 0)
        put(process, OUTPUT_STDOUT, process->input.data, process->input.len);
    osa_buf_reset(&process->input);
    process->reading = process->stdin_open;
    if (process->stdin_full) {
        process->stdin_full = false;
        process->events->stdin_ready(process->events);
    }
    if (process->stdin_open)
        return false;
    process->reading = false;
    process->step++;
    return true;
}

static const char *after(const char *step, const char *word)
{
    size_t len = strlen(word);
    return strncmp(step, word, len) == 0 ? step + len : NULL;
}

static bool write_step(struct fake_process *process, const char *step)
{
    const char *rest;
    if ((rest = after(step, "out:")) != NULL)
        put(process, OUTPUT_STDOUT, rest, strlen(rest));
    else if ((rest = after(step, "err:")) != NULL)
        put(process, OUTPUT_STDERR, rest, strlen(rest));
    else if ((rest = after(step, "outn:")) != NULL)
        put_many(process, strtoul(rest, NULL, 10));
    else if ((rest = after(step, "env:")) != NULL)
        put(process, OUTPUT_STDOUT, env_value(process, rest), strlen(env_value(process, rest)));
    else if (strcmp(step, "cwd") == 0)
        put(process, OUTPUT_STDOUT, process->cwd, strlen(process->cwd));
    else
        return false;
    return true;
}

static void end_step(struct fake_process *process, const char *step)
{
    const char *rest;
    if ((rest = after(step, "signal:")) != NULL) {
        fake_process_end(process, EXIT_REASON_SIGNALED, 0, (int)strtol(rest, NULL, 10));
    } else if (strcmp(step, "oom") == 0) {
        process->events->oom_killed(process->events);
        fake_process_end(process, EXIT_REASON_OOM_KILLED, 0, SIGKILL);
    } else {
        rest = after(step, "exit:");
        int code = rest != NULL ? (int)strtol(rest, NULL, 10) : 127;
        fake_process_end(process, EXIT_REASON_EXITED, code, 0);
    }
}

void fake_process_run(struct fake_process *process)
{
    const char *rest;
    while (process->killed || process->sandbox == NULL || !process->sandbox->paused) {
        const char *step = process->script[process->step];
        if (step == NULL) {
            fake_process_end(process, EXIT_REASON_EXITED, 0, 0);
            return;
        }
        if (strcmp(step, "cat") == 0) {
            if (!read_input(process))
                return;
            continue;
        }
        if (strcmp(step, "hang") == 0)
            return;
        process->step++;
        if ((rest = after(step, "sleep:")) != NULL) {
            osa_timer_arm(process->backend->loop, &process->timer,
                          osa_deadline_after(strtol(rest, NULL, 10) * OSA_NS_PER_MS));
            return;
        }
        if (after(step, "ignore:") != NULL) {
            continue;
        } else if (strcmp(step, "hold") == 0) {
            process->holding = true;
        } else if (!write_step(process, step)) {
            end_step(process, step);
            return;
        }
    }
}

static void on_timer(struct osa_timer *timer)
{
    fake_process_run(OSA_CONTAINER_OF(timer, struct fake_process, timer));
}

/* ---- spawn ---- */

struct spawning {
    struct fake_process *process;
    spawned_fn done;
    void *ctx;
};

static bool fails(const struct fake_process *process, struct osa_error *err)
{
    static char stage[32];
    const char *rest = process->script[1] != NULL ? after(process->script[1], "fail:") : NULL;
    if (process->sandbox == NULL || process->sandbox->lost) {
        (void)osa_fail(err, OSA_ABORTED, 0, "the sandbox ended meanwhile");
        return true;
    }
    if (rest == NULL)
        return false;
    int sys_errno = 0;
    (void)sscanf(rest, "%31[a-z]:%d", stage, &sys_errno);
    (void)osa_fail(err, OSA_FAILED_PRECONDITION, sys_errno, "%s failed", stage);
    err->stage = stage;
    return true;
}

static void run_spawn(void *ctx)
{
    struct spawning spawning = *(struct spawning *)ctx;
    struct fake_process *process = spawning.process;
    struct osa_error err = { 0 };
    free(ctx);
    if (fails(process, &err)) {
        fake_process_free(&process->base);
        spawning.done(spawning.ctx, NULL, NULL, NULL, &err);
        return;
    }
    process->started_ns = osa_now_ns();
    osa_timer_arm(process->backend->loop, &process->timer, osa_now_ns());
    spawning.done(spawning.ctx, &process->base, &process->sandbox->isolation, &process->limits,
                  NULL);
}

void fake_spawn(struct backend_sandbox *s, const struct process_spec *spec,
                struct process_events *events, spawned_fn done, void *ctx)
{
    struct fake_sandbox *sandbox = (struct fake_sandbox *)s;
    struct fake_process *process = calloc(1, sizeof(*process));
    struct spawning *spawning = calloc(1, sizeof(*spawning));
    if (process == NULL || spawning == NULL)
        abort();
    *process = (struct fake_process){
        .base.ops = s->ops,
        .backend = sandbox->backend,
        .sandbox = sandbox,
        .events = events,
        .script = copy_list(spec->argv),
        .env = copy_list(spec->env),
        .cwd = strdup(spec->cwd),
        .step = 1,
        .timer.fire = on_timer,
        .tty = spec->tty,
        .size = spec->tty_size,
        .stdin_open = spec->stdin_open,
        .limits = spec->resources,
    };
    for (char **word = process->script; *word != NULL; word++) {
        const char *signo = after(*word, "ignore:");
        if (signo != NULL)
            process->ignored |= (uint64_t)1 << (strtol(signo, NULL, 10) - 1);
    }
    osa_buf_init(&process->input, sandbox->backend->options.stdin_bytes);
    DL_APPEND(sandbox->processes, process);
    sandbox->backend->process_count++;
    *spawning = (struct spawning){ process, done, ctx };
    fake_later(sandbox->backend, sandbox->backend->options.spawn_ns, run_spawn, spawning);
}

void fake_process_free(struct backend_process *p)
{
    struct fake_process *process = (struct fake_process *)p;
    if (process == NULL)
        return;
    osa_timer_disarm(&process->timer);
    if (process->sandbox != NULL)
        DL_DELETE(process->sandbox->processes, process);
    process->backend->process_count--;
    osa_buf_done(&process->input);
    free_list(process->script);
    free_list(process->env);
    free(process->cwd);
    free(process);
}

/* ---- operations ---- */

static bool is_fatal(int signo)
{
    return signo != SIGCHLD && signo != SIGCONT && signo != SIGURG && signo != SIGWINCH &&
           signo != SIGSTOP && signo != SIGTSTP;
}

enum osa_code fake_signal(struct backend_process *p, int signo, enum signal_scope scope,
                          struct osa_error *err)
{
    struct fake_process *process = (struct fake_process *)p;
    uint32_t need = scope == SIGNAL_TREE    ? BACKEND_CAP_TREE_SIGNAL
                    : scope == SIGNAL_GROUP ? BACKEND_CAP_GROUP_SIGNAL
                                            : 0;
    if (need != 0 && !fake_can(process->backend, need))
        return osa_fail(err, OSA_UNIMPLEMENTED, 0, "this fake has no such scope");
    if (process->ended)
        return osa_fail(err, OSA_NOT_FOUND, 0, "it has exited");
    if (signo == 0 || !is_fatal(signo))
        return OSA_OK;
    if (signo != SIGKILL && (process->ignored >> (signo - 1) & 1) != 0)
        return OSA_OK;
    /* The rest of the script becomes the death of it. */
    char word[32];
    (void)snprintf(word, sizeof(word), "signal:%d", signo);
    free_list(process->script);
    process->script = copy_list((const char *const[]){ "killed", word, NULL });
    process->step = 1;
    process->killed = signo == SIGKILL; /* which acts on frozen ones too */
    osa_timer_arm(process->backend->loop, &process->timer, osa_now_ns());
    return OSA_OK;
}

struct tree_kill_later {
    struct fake_process *process;
    done_fn done;
    void *ctx;
};

static void run_kill(void *ctx)
{
    struct tree_kill_later *later = ctx;
    struct fake_process *process = later->process;
    process->holding = false;
    if (!process->ended)
        fake_process_end(process, EXIT_REASON_SIGNALED, 0, SIGKILL);
    else
        fake_process_close(process);
    later->done(later->ctx, NULL);
    free(later);
}

void fake_kill_tree(struct backend_process *p, done_fn done, void *ctx)
{
    struct fake_process *process = (struct fake_process *)p;
    struct tree_kill_later *later = calloc(1, sizeof(*later));
    if (later == NULL)
        abort();
    *later = (struct tree_kill_later){ process, done, ctx };
    fake_later(process->backend, 0, run_kill, later);
}

enum osa_code fake_write_stdin(struct backend_process *p, const void *data, size_t len,
                               size_t *ret_taken, struct osa_error *err)
{
    struct fake_process *process = (struct fake_process *)p;
    if (!process->stdin_open || process->ended)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "stdin is closed");
    size_t room = OSA_MIN(len, process->input.max - process->input.len);
    (void)osa_buf_add(&process->input, data, room);
    process->stdin_full = room < len;
    *ret_taken = room;
    if (process->reading)
        osa_timer_arm(process->backend->loop, &process->timer, osa_now_ns());
    return OSA_OK;
}

enum osa_code fake_close_stdin(struct backend_process *p, struct osa_error *err)
{
    struct fake_process *process = (struct fake_process *)p;
    (void)err;
    process->stdin_open = false;
    if (process->reading)
        osa_timer_arm(process->backend->loop, &process->timer, osa_now_ns());
    return OSA_OK;
}

/* Nothing here waits in a pipe: scripts write straight to the agent. */
void fake_hold_output(struct backend_process *p, bool hold)
{
    (void)p;
    (void)hold;
}

enum osa_code fake_resize(struct backend_process *p, struct terminal_size size,
                          struct osa_error *err)
{
    struct fake_process *process = (struct fake_process *)p;
    char text[32];
    (void)err;
    process->size = size;
    (void)snprintf(text, sizeof(text), "%ux%u\n", size.rows, size.columns);
    put(process, OUTPUT_STDOUT, text, strlen(text));
    return OSA_OK;
}

void fake_process_update(struct backend_process *p, const struct resources *limits, done_fn done,
                         void *ctx)
{
    struct fake_process *process = (struct fake_process *)p;
    process->limits = *limits;
    fake_done_later(process->backend, done, ctx, OSA_OK, NULL);
}
