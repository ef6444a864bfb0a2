// SPDX-License-Identifier: Apache-2.0
#include "integration/backend_conformance.h"

#include "base/buf.h"
#include "base/clock.h"
#include "policy/document.h"

#include "tar_build.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_NS (subject->patience_ns != 0 ? subject->patience_ns : 20 * OSA_NS_PER_SEC)
#define TERM 15
#define KILL 9

static struct conformance *subject;
static const struct policy_document *policy;

struct box {
    struct sandbox_events events;
    struct backend_sandbox *sandbox;
    unsigned lost;
    struct osa_error failure; /* of its creation */
};

/* A process and all that it has told, in order. */
struct watch {
    struct process_events events;
    struct backend_process *process;
    struct osa_error error;
    struct osa_buf out;
    struct osa_buf err;
    unsigned spawned; /* callbacks of spawn */
    unsigned exited;
    unsigned ended; /* streams */
    unsigned stdin_ready;
    unsigned early; /* events before spawn's answer */
    struct process_exit exit;
};

struct answer {
    unsigned calls;
    struct osa_error error;
    struct usage_stats stats;
};

static bool has(uint32_t capability)
{
    return (subject->backend->ops->info(subject->backend)->capabilities & capability) == capability;
}

static void turn_until(const unsigned *counter, unsigned value, const char *what)
{
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    while (*counter < value) {
        if (osa_now_ns() > deadline)
            fail_msg("waited in vain for %s", what);
        (void)osa_loop_run_once(subject->loop, deadline);
    }
}

static void turn_for_ms(int64_t ms)
{
    int64_t deadline = osa_deadline_after(ms * OSA_NS_PER_MS);
    while (osa_now_ns() < deadline)
        (void)osa_loop_run_once(subject->loop, deadline);
}

/* ---- callbacks ---- */

static void on_done(void *ctx, const struct osa_error *error)
{
    struct answer *answer = ctx;
    answer->calls++;
    if (error != NULL)
        answer->error = *error;
}

static void on_stats(void *ctx, const struct usage_stats *stats, const struct osa_error *error)
{
    if (error == NULL)
        ((struct answer *)ctx)->stats = *stats;
    on_done(ctx, error);
}

static void on_lost(struct sandbox_events *events, const char *reason)
{
    (void)reason;
    ((struct box *)events)->lost++;
}

static void on_denied(struct sandbox_events *events, const char *control, const char *text)
{
    (void)events;
    (void)control;
    (void)text;
}

static void on_output(struct process_events *events, enum output_stream stream, const void *data,
                      size_t len)
{
    struct watch *watch = (struct watch *)events;
    watch->early += watch->spawned == 0;
    assert_true(osa_buf_add(stream == OUTPUT_STDERR ? &watch->err : &watch->out, data, len));
}

static void on_output_end(struct process_events *events, enum output_stream stream)
{
    struct watch *watch = (struct watch *)events;
    assert_true(stream == OUTPUT_STDOUT || stream == OUTPUT_STDERR);
    watch->early += watch->spawned == 0;
    watch->ended++;
}

static void on_stdin_ready(struct process_events *events)
{
    ((struct watch *)events)->stdin_ready++;
}

static void on_exited(struct process_events *events, const struct process_exit *exit)
{
    struct watch *watch = (struct watch *)events;
    watch->early += watch->spawned == 0;
    watch->exited++;
    watch->exit = *exit;
}

static void on_oom_killed(struct process_events *events)
{
    (void)events;
}

static void on_spawned(void *ctx, struct backend_process *process,
                       const struct isolation *isolation, const struct resources *effective,
                       const struct osa_error *error)
{
    struct watch *watch = ctx;
    watch->spawned++;
    watch->process = process;
    assert_true((process == NULL) == (error != NULL));
    if (error != NULL)
        watch->error = *error;
    else
        assert_true(isolation != NULL && effective != NULL);
}

static void on_created(void *ctx, struct backend_sandbox *sandbox,
                       const struct isolation *isolation, const struct resources *effective,
                       const struct osa_error *error)
{
    struct box *box = ctx;
    if (error != NULL) {
        box->failure = *error;
        return;
    }
    assert_true(isolation->level >= subject->min_isolation);
    assert_non_null(effective);
    box->sandbox = sandbox;
}

/* ---- verbs ---- */

static void box_try(struct box *box)
{
    static unsigned number;
    char id[32];
    const char *none[] = { NULL };
    (void)snprintf(id, sizeof(id), "conformance-%u", ++number);
    *box = (struct box){ .events = { .lost = on_lost, .denied = on_denied } };
    const struct sandbox_spec spec = { .id = id,
                                       .image = "",
                                       .root = "",
                                       .policy = policy,
                                       .workdir = "/",
                                       .env = none,
                                       .user = "",
                                       .seccomp_profile = "default",
                                       .min_isolation = subject->min_isolation };
    subject->backend->ops->sandbox_create(subject->backend, &spec, &box->events, on_created, box);
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    assert_null(box->sandbox); /* never from inside the call */
    while (box->sandbox == NULL && box->failure.code == OSA_OK && osa_now_ns() < deadline)
        (void)osa_loop_run_once(subject->loop, deadline);
}

/* A sandbox of this case alone, which box_close() destroys. A slow one gets more chances than one. */
static void box_open_own(struct box *box)
{
    unsigned tries = subject->share ? 3 : 1;
    do
        box_try(box);
    while ((box->failure.code == OSA_UNAVAILABLE || box->failure.code == OSA_DEADLINE_EXCEEDED) &&
           --tries > 0);
    if (box->failure.code != OSA_OK)
        fail_msg("sandbox_create: %s", box->failure.text);
    assert_non_null(box->sandbox);
}

/* The one of all cases that leave it as it was, where making one takes long; else as above. */
static struct box shared;

static void box_open(struct box *box)
{
    if (!subject->share) {
        box_open_own(box);
        return;
    }
    if (shared.sandbox == NULL)
        box_open_own(&shared);
    *box = shared;
}

static void box_close(struct box *box)
{
    struct answer answer = { 0 };
    if (box != &shared && box->sandbox == shared.sandbox) {
        assert_int_equal(shared.lost, 0);
        return;
    }
    box->sandbox->ops->sandbox_destroy(box->sandbox, on_done, &answer);
    assert_int_equal(answer.calls, 0);
    turn_until(&answer.calls, 1, "sandbox_destroy");
    assert_int_equal(answer.error.code, OSA_OK);
    assert_int_equal(box->lost, 0);
}

static struct process_spec spec_of(enum conformance_program program)
{
    static const char *const env[] = { "PATH=/usr/bin:/bin", "CONFORMANCE=it is set", NULL };
    static unsigned number;
    static char id[32];
    (void)snprintf(id, sizeof(id), "p-%u", ++number);
    assert_non_null(subject->programs[program]);
    return (struct process_spec){
        .id = id, .argv = subject->programs[program], .env = env, .cwd = "/usr", .user = ""
    };
}

static void begin(struct box *box, struct watch *watch, const struct process_spec *spec)
{
    *watch = (struct watch){ .events = { .output = on_output,
                                         .output_end = on_output_end,
                                         .stdin_ready = on_stdin_ready,
                                         .exited = on_exited,
                                         .oom_killed = on_oom_killed } };
    osa_buf_init(&watch->out, 16 << 20);
    osa_buf_init(&watch->err, 1 << 20);
    box->sandbox->ops->spawn(box->sandbox, spec, &watch->events, on_spawned, watch);
    assert_int_equal(watch->spawned, 0);
}

static void spawn(struct box *box, struct watch *watch, const struct process_spec *spec)
{
    begin(box, watch, spec);
    turn_until(&watch->spawned, 1, "spawn");
    if (watch->process == NULL)
        fail_msg("spawn: %s", watch->error.text);
}

static void run(struct box *box, struct watch *watch, enum conformance_program program)
{
    const struct process_spec spec = spec_of(program);
    spawn(box, watch, &spec);
}

/* Frees a process that has told everything, and checks that it told each thing once. */
static void watch_done(struct watch *watch, unsigned streams)
{
    if (watch->process != NULL) {
        assert_int_equal(watch->exited, 1);
        turn_until(&watch->ended, streams, "the end of the output");
        assert_int_equal(watch->ended, streams);
        watch->process->ops->process_free(watch->process);
    }
    assert_int_equal(watch->spawned, 1);
    assert_int_equal(watch->early, 0);
    osa_buf_done(&watch->out);
    osa_buf_done(&watch->err);
}

static void finish(struct watch *watch, unsigned streams)
{
    turn_until(&watch->exited, 1, "the exit");
    turn_until(&watch->ended, streams, "the end of the output");
}

static void kill_tree(struct watch *watch)
{
    struct answer answer = { 0 };
    watch->process->ops->kill_tree(watch->process, on_done, &answer);
    turn_until(&answer.calls, 1, "kill_tree");
    assert_int_equal(answer.error.code, OSA_OK);
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* ---- cases ---- */

static void expect_all_slots(const struct backend_ops *ops)
{
    const size_t first = offsetof(struct backend_ops, close);
    assert_int_equal(ops->kind, subject->backend->ops->kind);
    for (size_t at = first; at < sizeof(*ops); at += sizeof(void (*)(void))) {
        void (*slot)(void);
        memcpy(&slot, (const char *)ops + at, sizeof(slot));
        if (slot == NULL)
            fail_msg("slot %zu of struct backend_ops is NULL", (at - first) / sizeof(slot));
    }
}

/* What a backend lacks points to a function that says so. */
static void test_no_slot_is_null(void **state)
{
    struct box box;
    struct watch watch;
    (void)state;
    expect_all_slots(subject->backend->ops);
    box_open(&box);
    run(&box, &watch, PROGRAM_EXIT_7);
    expect_all_slots(box.sandbox->ops);
    expect_all_slots(watch.process->ops);
    finish(&watch, 2);
    watch_done(&watch, 2);
    box_close(&box);
}

static void test_exit_status(void **state)
{
    struct box box;
    struct watch watch;
    (void)state;
    box_open(&box);
    run(&box, &watch, PROGRAM_EXIT_7);
    finish(&watch, 2);
    assert_int_equal(watch.exit.reason, EXIT_REASON_EXITED);
    assert_int_equal(watch.exit.code, 7);
    assert_int_equal(watch.exit.signal, 0);
    assert_true(watch.exit.exited_wall_ns > 0);
    if (has(BACKEND_CAP_RUSAGE))
        assert_true(watch.exit.usage.wall_ns > 0);
    watch_done(&watch, 2);
    run(&box, &watch, PROGRAM_DIES);
    finish(&watch, 2);
    assert_int_equal(watch.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(watch.exit.signal, SIGSEGV);
    watch_done(&watch, 2);
    box_close(&box);
}

static void test_start_failure(void **state)
{
    struct box box;
    struct watch watch;
    const struct process_spec spec = spec_of(PROGRAM_MISSING);
    (void)state;
    box_open(&box);
    begin(&box, &watch, &spec);
    turn_until(&watch.spawned, 1, "spawn");
    assert_null(watch.process);
    assert_int_equal(watch.error.sys_errno, 2); /* ENOENT */
    assert_string_equal(watch.error.stage, "exec");
    assert_true(strlen(watch.error.text) > 0);
    turn_for_ms(20);
    assert_int_equal(watch.exited + watch.ended, 0);
    watch_done(&watch, 0);
    box_close(&box);
}

static void test_output(void **state)
{
    struct box box;
    struct watch watch;
    (void)state;
    box_open(&box);
    run(&box, &watch, PROGRAM_STREAMS);
    finish(&watch, 2);
    assert_string_equal(watch.out.data, "out");
    assert_string_equal(watch.err.data, "err");
    watch_done(&watch, 2);
    run(&box, &watch, PROGRAM_MUCH);
    finish(&watch, 2);
    assert_int_equal(watch.out.len, 1000000);
    watch_done(&watch, 2);
    box_close(&box);
}

static void test_environment(void **state)
{
    struct box box;
    struct watch watch;
    (void)state;
    box_open(&box);
    run(&box, &watch, PROGRAM_ENV);
    finish(&watch, 2);
    assert_non_null(watch.out.data);
    assert_memory_equal(watch.out.data, "it is set", 9);
    watch_done(&watch, 2);
    run(&box, &watch, PROGRAM_CWD);
    finish(&watch, 2);
    assert_non_null(watch.out.data);
    assert_memory_equal(watch.out.data, "/usr", 4);
    watch_done(&watch, 2);
    box_close(&box);
}

/* More than any buffer on the way holds, with a reader that takes it piece by piece. */
static void test_stdin(void **state)
{
    enum { TOTAL = 1 << 20 };
    static char bytes[TOTAL];
    struct box box;
    struct watch watch;
    struct process_spec spec = spec_of(PROGRAM_CAT);
    struct osa_error err = { 0 };
    size_t done = 0;
    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        bytes[i] = (char)(i * 31 >> 3);
    box_open(&box);
    spec.stdin_open = true;
    spawn(&box, &watch, &spec);
    const struct backend_ops *ops = watch.process->ops;
    while (done < TOTAL) {
        size_t taken = 0;
        unsigned before = watch.stdin_ready;
        if (ops->write_stdin(watch.process, bytes + done, TOTAL - done, &taken, &err) != OSA_OK)
            fail_msg("write_stdin: %s", err.text);
        done += taken;
        if (done < TOTAL)
            turn_until(&watch.stdin_ready, before + 1, "room in stdin");
    }
    assert_int_equal(ops->close_stdin(watch.process, &err), OSA_OK);
    assert_int_equal(ops->close_stdin(watch.process, &err), OSA_OK);
    finish(&watch, 2);
    assert_int_equal(watch.exit.code, 0);
    assert_int_equal(watch.out.len, TOTAL);
    assert_memory_equal(watch.out.data, bytes, TOTAL);
    watch_done(&watch, 2);
    /* Without stdin there is nothing to read, at once. */
    run(&box, &watch, PROGRAM_CAT);
    finish(&watch, 2);
    assert_int_equal(watch.out.len, 0);
    watch_done(&watch, 2);
    box_close(&box);
}

static void test_signals(void **state)
{
    struct box box;
    struct watch watch;
    struct osa_error err = { 0 };
    (void)state;
    box_open(&box);
    run(&box, &watch, PROGRAM_HANG);
    const struct backend_ops *ops = watch.process->ops;
    assert_int_equal(ops->signal(watch.process, 0, SIGNAL_PROCESS, &err), OSA_OK);
    assert_int_equal(ops->signal(watch.process, TERM, SIGNAL_PROCESS, &err), OSA_OK);
    finish(&watch, 2);
    assert_int_equal(watch.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(watch.exit.signal, TERM);
    assert_int_equal(ops->signal(watch.process, 0, SIGNAL_PROCESS, &err), OSA_NOT_FOUND);
    assert_int_equal(ops->signal(watch.process, TERM, SIGNAL_PROCESS, &err), OSA_NOT_FOUND);
    watch_done(&watch, 2);

    const struct {
        enum signal_scope scope;
        uint32_t capability;
    } scopes[] = { { SIGNAL_GROUP, BACKEND_CAP_GROUP_SIGNAL },
                   { SIGNAL_TREE, BACKEND_CAP_TREE_SIGNAL } };
    for (size_t i = 0; i < OSA_ARRAY_LEN(scopes); i++) {
        run(&box, &watch, PROGRAM_HANG);
        enum osa_code code = ops->signal(watch.process, KILL, scopes[i].scope, &err);
        assert_int_equal(code, has(scopes[i].capability) ? OSA_OK : OSA_UNIMPLEMENTED);
        if (code != OSA_OK)
            kill_tree(&watch);
        finish(&watch, 2);
        assert_int_equal(watch.exit.signal, KILL);
        watch_done(&watch, 2);
    }
    box_close(&box);
}

static void test_any_signal(void **state)
{
    static const int some[] = { 1, 2, 3, 6, 10, 12, 13, 14, 34, 37, 64 };
    struct box box;
    struct watch watch;
    struct osa_error err = { 0 };
    (void)state;
    if (!has(BACKEND_CAP_ANY_SIGNAL))
        return;
    box_open(&box);
    for (size_t i = 0; i < OSA_ARRAY_LEN(some); i++) {
        run(&box, &watch, PROGRAM_HANG);
        assert_int_equal(watch.process->ops->signal(watch.process, some[i], SIGNAL_PROCESS, &err),
                         OSA_OK);
        finish(&watch, 2);
        assert_int_equal(watch.exit.reason, EXIT_REASON_SIGNALED);
        assert_int_equal(watch.exit.signal, some[i]);
        watch_done(&watch, 2);
    }
    box_close(&box);
}

static void test_kill_tree(void **state)
{
    struct box box;
    struct watch watch;
    (void)state;
    box_open(&box);
    run(&box, &watch, PROGRAM_STUBBORN);
    turn_for_ms(50); /* time to say that TERM is ignored */
    assert_int_equal(watch.process->ops->signal(watch.process, TERM, SIGNAL_PROCESS, NULL), OSA_OK);
    turn_for_ms(50);
    assert_int_equal(watch.exited, 0);
    kill_tree(&watch);
    finish(&watch, 2);
    assert_int_equal(watch.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(watch.exit.signal, KILL);
    watch_done(&watch, 2);
    /* A child in another session holds the output; when that ends, it is dead. */
    if (has(BACKEND_CAP_TREE_KILL)) {
        run(&box, &watch, PROGRAM_FAMILY);
        turn_for_ms(50);
        kill_tree(&watch);
        finish(&watch, 2);
        watch_done(&watch, 2);
    }
    box_close(&box);
}

static void test_exit_before_output_ends(void **state)
{
    struct box box;
    struct watch watch;
    (void)state;
    box_open_own(&box);
    run(&box, &watch, PROGRAM_HOLDER);
    turn_until(&watch.exited, 1, "the exit");
    assert_int_equal(watch.exit.code, 0);
    turn_for_ms(30);
    assert_true(watch.ended < 2);
    /* kill_tree reaches what is left, also after the exit. */
    kill_tree(&watch);
    finish(&watch, 2);
    watch_done(&watch, 2);
    /* And so does the end of the sandbox. */
    run(&box, &watch, PROGRAM_HOLDER);
    turn_until(&watch.exited, 1, "the exit");
    box_close(&box);
    watch_done(&watch, 2);
}

static void test_destroy_running(void **state)
{
    struct box box;
    struct watch watches[3];
    (void)state;
    box_open_own(&box);
    run(&box, &watches[0], PROGRAM_HANG);
    run(&box, &watches[1], PROGRAM_STUBBORN);
    run(&box, &watches[2], PROGRAM_FAMILY);
    box_close(&box); /* each has exited when this answers */
    for (size_t i = 0; i < OSA_ARRAY_LEN(watches); i++)
        assert_int_equal(watches[i].exited, 1);
    for (size_t i = 0; i < OSA_ARRAY_LEN(watches); i++) {
        assert_true(watches[i].exit.reason == EXIT_REASON_SIGNALED ||
                    watches[i].exit.reason == EXIT_REASON_SANDBOX_LOST);
        watch_done(&watches[i], 2);
    }
}

static void test_destroy_while_spawning(void **state)
{
    struct box box;
    struct watch watch;
    const struct process_spec spec = spec_of(PROGRAM_HANG);
    (void)state;
    box_open_own(&box);
    begin(&box, &watch, &spec);
    box_close(&box);
    assert_int_equal(watch.spawned, 1);
    if (watch.process == NULL)
        assert_int_equal(watch.error.code, OSA_ABORTED);
    watch_done(&watch, 2);
}

static void test_many_at_once(void **state)
{
    /* What a sandbox keeps for later processes: four cgroups in up to three hierarchies, by two files each. */
    enum { MANY = 40, KEPT = 24 };
    static struct watch watches[MANY];
    struct box box;
    (void)state;
    box_open(&box);
    unsigned before = open_fds();
    for (size_t i = 0; i < MANY; i++) {
        const struct process_spec spec = spec_of(PROGRAM_STREAMS);
        begin(&box, &watches[i], &spec);
    }
    for (size_t i = 0; i < MANY; i++) {
        turn_until(&watches[i].spawned, 1, "spawn");
        finish(&watches[i], 2);
        assert_string_equal(watches[i].out.data, "out");
        watch_done(&watches[i], 2);
    }
    assert_in_range(open_fds(), before, before + KEPT);
    box_close(&box);
}

static void test_terminal(void **state)
{
    struct box box;
    struct watch watch;
    struct process_spec spec = spec_of(PROGRAM_SIZE);
    struct osa_error err = { 0 };
    (void)state;
    if (!has(BACKEND_CAP_TTY))
        return;
    box_open(&box);
    spec.tty = true;
    spec.stdin_open = true;
    spec.tty_size = (struct terminal_size){ 24, 80 };
    spawn(&box, &watch, &spec);
    turn_for_ms(200); /* time to wait for the signal */
    assert_int_equal(
        watch.process->ops->resize(watch.process, (struct terminal_size){ 33, 111 }, &err), OSA_OK);
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    while ((watch.out.data == NULL || strstr(watch.out.data, "111") == NULL) &&
           osa_now_ns() < deadline)
        (void)osa_loop_run_once(subject->loop, deadline);
    assert_non_null(watch.out.data);
    assert_true(strstr(watch.out.data, "33x111") != NULL ||
                strstr(watch.out.data, "33 111") != NULL);
    kill_tree(&watch);
    finish(&watch, 1);
    watch_done(&watch, 1); /* one stream */
    assert_int_equal(watch.err.len, 0);
    box_close(&box);
}

static struct answer pause_box(struct box *box, bool pause)
{
    struct answer answer = { 0 };
    box->sandbox->ops->sandbox_pause(box->sandbox, pause, on_done, &answer);
    turn_until(&answer.calls, 1, "sandbox_pause");
    return answer;
}

static void test_pause(void **state)
{
    struct box box;
    struct watch watch;
    struct process_spec spec = spec_of(PROGRAM_CAT);
    size_t taken = 0;
    (void)state;
    box_open_own(&box);
    struct answer answer = pause_box(&box, true);
    if (!has(BACKEND_CAP_PAUSE)) {
        assert_int_equal(answer.error.code, OSA_UNIMPLEMENTED);
        box_close(&box);
        return;
    }
    assert_int_equal(answer.error.code, OSA_OK);
    assert_int_equal(pause_box(&box, false).error.code, OSA_OK);
    spec.stdin_open = true;
    spawn(&box, &watch, &spec);
    assert_int_equal(pause_box(&box, true).error.code, OSA_OK);
    assert_int_equal(watch.process->ops->write_stdin(watch.process, "x", 1, &taken, NULL), OSA_OK);
    turn_for_ms(100);
    assert_int_equal(watch.out.len, 0);
    assert_int_equal(pause_box(&box, false).error.code, OSA_OK);
    int64_t deadline = osa_deadline_after(PATIENCE_NS);
    while (watch.out.len == 0 && osa_now_ns() < deadline)
        (void)osa_loop_run_once(subject->loop, deadline);
    assert_string_equal(watch.out.data, "x");
    /* What is frozen can be killed without a thaw by the caller. */
    assert_int_equal(pause_box(&box, true).error.code, OSA_OK);
    kill_tree(&watch);
    finish(&watch, 2);
    watch_done(&watch, 2);
    box_close(&box);
}

static void test_stats_and_limits(void **state)
{
    struct box box;
    struct watch watch;
    struct answer answer = { 0 };
    const struct resources limits = { .pids_max = 32 };
    (void)state;
    box_open_own(&box);
    run(&box, &watch, PROGRAM_HANG);
    box.sandbox->ops->sandbox_stats(box.sandbox, on_stats, &answer);
    turn_until(&answer.calls, 1, "sandbox_stats");
    assert_int_equal(answer.error.code, has(BACKEND_CAP_STATS) ? OSA_OK : OSA_UNIMPLEMENTED);
    if (has(BACKEND_CAP_STATS))
        assert_true(answer.stats.pids >= 1 || answer.stats.memory_bytes > 0);

    struct answer updated = { 0 };
    bool can = has(BACKEND_CAP_UPDATE_RESOURCES | BACKEND_CAP_PIDS_LIMIT);
    box.sandbox->ops->sandbox_update(box.sandbox, &limits, on_done, &updated);
    turn_until(&updated.calls, 1, "sandbox_update");
    if (can)
        assert_int_equal(updated.error.code, OSA_OK);
    else
        assert_true(updated.error.code == OSA_UNIMPLEMENTED ||
                    updated.error.code == OSA_FAILED_PRECONDITION);
    kill_tree(&watch);
    finish(&watch, 2);
    watch_done(&watch, 2);
    box_close(&box);
}

/* ---- copies ---- */

/* A copy: the answers, and our end of the stream. */
struct copying {
    struct answer opened;
    struct answer done;
    int fd;
};

static void on_opened(void *ctx, int fd, const struct osa_error *error)
{
    struct copying *copying = ctx;
    assert_true((fd < 0) == (error != NULL));
    copying->fd = fd;
    on_done(&copying->opened, error);
}

static void on_copied(void *ctx, const struct osa_error *error)
{
    struct copying *copying = ctx;
    assert_int_equal(copying->opened.calls, 1); /* and it was a success */
    assert_int_equal(copying->opened.error.code, OSA_OK);
    on_done(&copying->done, error);
}

/* Return: false where there are no copies, which is checked. */
static bool copy(struct box *box, struct copying *copying, bool in, const char *path)
{
    *copying = (struct copying){ .fd = -1 };
    box->sandbox->ops->sandbox_copy(box->sandbox, in, path, "", on_opened, on_copied, copying);
    assert_int_equal(copying->opened.calls, 0);
    if (has(BACKEND_CAP_COPY))
        return true;
    turn_until(&copying->opened.calls, 1, "sandbox_copy");
    turn_for_ms(20);
    assert_int_equal(copying->opened.error.code, OSA_UNIMPLEMENTED);
    assert_int_equal(copying->done.calls, 0);
    return false;
}

static void wait_opened(struct copying *copying)
{
    turn_until(&copying->opened.calls, 1, "sandbox_copy");
    if (copying->fd < 0)
        fail_msg("sandbox_copy: %s", copying->opened.error.text);
    assert_true((fcntl(copying->fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(copying->fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void test_copy_in(void **state)
{
    static char data[300000];
    struct box box;
    struct copying copying;
    struct osa_buf tar;
    (void)state;
    box_open(&box);
    if (copy(&box, &copying, true, "/tmp")) {
        wait_opened(&copying);
        build_one(&tar, (struct member){
                            .name = "conformance-copy", .data = data, .data_len = sizeof(data) });
        for (size_t at = 0; at < tar.len;) {
            ssize_t put = send(copying.fd, tar.data + at, tar.len - at, MSG_NOSIGNAL);
            if (put < 0)
                assert_int_equal(errno, EAGAIN);
            at += put < 0 ? 0 : (size_t)put;
            turn_for_ms(put < 0 ? 1 : 0);
        }
        assert_int_equal(copying.done.calls, 0); /* not before the end of the stream */
        assert_int_equal(shutdown(copying.fd, SHUT_WR), 0);
        turn_until(&copying.done.calls, 1, "the end of the copy");
        assert_string_equal(copying.done.error.text, "");
        (void)close(copying.fd);
        osa_buf_done(&tar);
    }
    turn_for_ms(20);
    assert_true(copying.done.calls <= 1);
    box_close(&box);
}

static void test_copy_out(void **state)
{
    struct box box;
    struct copying copying;
    size_t total = 0;
    (void)state;
    box_open(&box);
    if (copy(&box, &copying, false, "/usr/bin/env")) {
        wait_opened(&copying);
        char chunk[4096];
        ssize_t got;
        do {
            turn_for_ms(1);
            got = recv(copying.fd, chunk, sizeof(chunk), 0);
            assert_true(got >= 0 || errno == EAGAIN);
            total += got > 0 ? (size_t)got : 0;
        } while (got != 0);
        turn_until(&copying.done.calls, 1, "the end of the copy");
        assert_string_equal(copying.done.error.text, "");
        assert_true(total > 0);
        (void)close(copying.fd);
    }
    box_close(&box);
}

/* Who closes early, or destroys the sandbox, gets one answer to each question and leaves nothing. */
static void test_copy_broken_off(void **state)
{
    struct box box;
    struct copying copying;
    struct copying later;
    (void)state;
    unsigned before = open_fds();
    box_open_own(&box);
    if (copy(&box, &copying, true, "/tmp")) {
        wait_opened(&copying);
        (void)close(copying.fd);
        turn_until(&copying.done.calls, 1, "the end of the copy");
        (void)copy(&box, &copying, true, "/tmp");
        wait_opened(&copying);
        (void)copy(&box, &later, true, "/tmp"); /* not answered yet */
        box_close(&box);
        assert_int_equal(copying.done.calls, 1);
        assert_int_equal(copying.done.error.code, OSA_ABORTED);
        assert_int_equal(later.opened.calls, 1);
        assert_int_equal(later.opened.error.code == OSA_OK ? later.done.error.code
                                                           : later.opened.error.code,
                         OSA_ABORTED);
        (void)close(copying.fd);
        if (later.fd >= 0)
            (void)close(later.fd);
    } else {
        box_close(&box);
    }
    turn_for_ms(50);
    if (subject->share) /* a client of a real server keeps some connections to it */
        assert_in_range(open_fds(), 0, before + 4);
    else
        assert_int_equal(open_fds(), before);
}

static int close_shared(void **state)
{
    (void)state;
    if (shared.sandbox != NULL)
        box_close(&shared);
    return 0;
}

int conformance_run(const char *name, struct conformance *conformance)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_slot_is_null), cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_start_failure),   cmocka_unit_test(test_output),
        cmocka_unit_test(test_environment),     cmocka_unit_test(test_stdin),
        cmocka_unit_test(test_signals),         cmocka_unit_test(test_any_signal),
        cmocka_unit_test(test_kill_tree),       cmocka_unit_test(test_exit_before_output_ends),
        cmocka_unit_test(test_destroy_running), cmocka_unit_test(test_destroy_while_spawning),
        cmocka_unit_test(test_many_at_once),    cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_pause),           cmocka_unit_test(test_stats_and_limits),
        cmocka_unit_test(test_copy_in),         cmocka_unit_test(test_copy_out),
        cmocka_unit_test(test_copy_broken_off),
    };
    subject = conformance;
    if (policy_document_default(&policy, NULL) != OSA_OK)
        return 1;
    int failed = _cmocka_run_group_tests(name, tests, OSA_ARRAY_LEN(tests), NULL, close_shared);
    policy_document_unref(policy);
    return failed;
}
