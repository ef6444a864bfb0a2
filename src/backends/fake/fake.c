// SPDX-License-Identifier: Apache-2.0
#include "backends/fake/fake_internal.h"

#include "base/clock.h"
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- answering later ---- */

struct later {
    struct osa_timer timer;
    void (*fn)(void *ctx);
    void *ctx;
};

static void on_later(struct osa_timer *timer)
{
    struct later later = *OSA_CONTAINER_OF(timer, struct later, timer);
    free(OSA_CONTAINER_OF(timer, struct later, timer));
    later.fn(later.ctx);
}

void fake_later(struct fake_backend *backend, int64_t delay_ns, void (*fn)(void *ctx), void *ctx)
{
    struct later *later = must(calloc(1, sizeof(*later)));
    later->timer.fire = on_later;
    later->fn = fn;
    later->ctx = ctx;
    osa_timer_arm(backend->loop, &later->timer, osa_deadline_after(delay_ns));
}

struct done_later {
    done_fn done;
    void *ctx;
    struct osa_error error;
};

static void run_done(void *ctx)
{
    struct done_later *later = ctx;
    later->done(later->ctx, later->error.code == OSA_OK ? NULL : &later->error);
    free(later);
}

void fake_done_later(struct fake_backend *backend, done_fn done, void *ctx, enum osa_code code,
                     const char *text)
{
    struct done_later *later = must(calloc(1, sizeof(*later)));
    later->done = done;
    later->ctx = ctx;
    if (code != OSA_OK)
        (void)osa_fail(&later->error, code, 0, "%s", text);
    fake_later(backend, 0, run_done, later);
}

bool fake_can(const struct fake_backend *backend, uint32_t capability)
{
    return (backend->info.capabilities & capability) != 0;
}

/* ---- sandboxes ---- */

static struct fake_backend *fake_of(const struct backend *backend)
{
    return (struct fake_backend *)backend;
}

static void fake_close(struct backend *backend)
{
    free(backend);
}

static const struct backend_info *fake_info(struct backend *backend)
{
    return &fake_of(backend)->info;
}

static const struct backend_ops fake_ops;
static const struct backend_ops fake_ops_boxlite;

struct creation {
    struct fake_backend *backend;
    struct fake_sandbox *sandbox;
    sandbox_created_fn done;
    void *ctx;
};

static void run_create(void *ctx)
{
    struct creation *creation = ctx;
    struct fake_backend *backend = creation->backend;
    struct fake_sandbox *sandbox = creation->sandbox;
    if (backend->options.create_error != OSA_OK) {
        struct osa_error err = { 0 };
        (void)osa_fail(&err, backend->options.create_error, 0, "the fake backend was told to fail");
        err.stage = "namespace";
        free(sandbox);
        creation->done(creation->ctx, NULL, NULL, NULL, &err);
    } else {
        DL_APPEND(backend->sandboxes, sandbox);
        backend->sandbox_count++;
        creation->done(creation->ctx, &sandbox->base, &sandbox->isolation, &sandbox->limits, NULL);
    }
    free(creation);
}

static void fake_sandbox_create(struct backend *b, const struct sandbox_spec *spec,
                                struct sandbox_events *events, sandbox_created_fn done, void *ctx)
{
    struct fake_backend *backend = fake_of(b);
    struct fake_sandbox *sandbox = must(calloc(1, sizeof(*sandbox)));
    sandbox->base.ops = b->ops;
    sandbox->backend = backend;
    (void)snprintf(sandbox->id, sizeof(sandbox->id), "%s", spec->id);
    sandbox->events = events;
    sandbox->limits = spec->resources;
    sandbox->isolation = backend->info.isolation;
    if (spec->min_isolation != ISOLATION_ANY)
        sandbox->isolation.level = spec->min_isolation;
    struct creation *creation = must(calloc(1, sizeof(*creation)));
    *creation = (struct creation){ backend, sandbox, done, ctx };
    fake_later(backend, backend->options.create_ns, run_create, creation);
}

struct destruction {
    struct fake_sandbox *sandbox;
    done_fn done;
    void *ctx;
};

static void end_all(struct fake_sandbox *sandbox, enum exit_reason reason)
{
    struct fake_process *process, *after;
    DL_FOREACH_SAFE(sandbox->processes, process, after)
    {
        DL_DELETE(sandbox->processes, process);
        process->sandbox = NULL;
        process->holding = false;
        if (!process->ended)
            fake_process_end(process, reason, 0, 9);
        else
            fake_process_close(process);
    }
}

static void run_destroy(void *ctx)
{
    struct destruction *destruction = ctx;
    struct fake_sandbox *sandbox = destruction->sandbox;
    fake_streams_abandon(sandbox);
    end_all(sandbox, EXIT_REASON_SIGNALED);
    DL_DELETE(sandbox->backend->sandboxes, sandbox);
    sandbox->backend->sandbox_count--;
    free(sandbox);
    destruction->done(destruction->ctx, NULL);
    free(destruction);
}

static void fake_sandbox_destroy(struct backend_sandbox *s, done_fn done, void *ctx)
{
    struct fake_sandbox *sandbox = (struct fake_sandbox *)s;
    struct destruction *destruction = must(calloc(1, sizeof(*destruction)));
    *destruction = (struct destruction){ sandbox, done, ctx };
    fake_later(sandbox->backend, 0, run_destroy, destruction);
}

static void fake_sandbox_pause(struct backend_sandbox *s, bool pause, done_fn done, void *ctx)
{
    struct fake_sandbox *sandbox = (struct fake_sandbox *)s;
    bool can = fake_can(sandbox->backend, BACKEND_CAP_PAUSE);
    if (can)
        sandbox->paused = pause;
    fake_done_later(sandbox->backend, done, ctx, can ? OSA_OK : OSA_UNIMPLEMENTED,
                    "this fake cannot pause");
    struct fake_process *process;
    DL_FOREACH(sandbox->processes, process)
    {
        if (!sandbox->paused)
            osa_timer_arm(sandbox->backend->loop, &process->timer, osa_now_ns());
    }
}

static void fake_sandbox_update(struct backend_sandbox *s, const struct resources *limits,
                                done_fn done, void *ctx)
{
    struct fake_sandbox *sandbox = (struct fake_sandbox *)s;
    bool can = fake_can(sandbox->backend, BACKEND_CAP_UPDATE_RESOURCES);
    if (can)
        sandbox->limits = *limits;
    fake_done_later(sandbox->backend, done, ctx, can ? OSA_OK : OSA_UNIMPLEMENTED,
                    "this fake cannot change limits");
}

struct stats_later {
    stats_fn done;
    void *ctx;
    struct usage_stats stats;
    bool can;
};

static void run_stats(void *ctx)
{
    struct stats_later *later = ctx;
    struct osa_error err = { 0 };
    if (!later->can)
        (void)osa_fail(&err, OSA_UNIMPLEMENTED, 0, "this fake has no stats");
    later->done(later->ctx, later->can ? &later->stats : NULL, later->can ? NULL : &err);
    free(later);
}

static void stats_later(struct fake_backend *backend, uint64_t pids, stats_fn done, void *ctx)
{
    struct stats_later *later = must(calloc(1, sizeof(*later)));
    later->done = done;
    later->ctx = ctx;
    later->can = fake_can(backend, BACKEND_CAP_STATS);
    later->stats.cpu_ns = 1000;
    later->stats.memory_bytes = 4096 * pids;
    later->stats.memory_peak_bytes = 8192;
    later->stats.pids = pids;
    fake_later(backend, 0, run_stats, later);
}

static void fake_sandbox_stats(struct backend_sandbox *s, stats_fn done, void *ctx)
{
    struct fake_sandbox *sandbox = (struct fake_sandbox *)s;
    struct fake_process *process;
    unsigned count;
    DL_COUNT(sandbox->processes, process, count);
    stats_later(sandbox->backend, count, done, ctx);
}

void fake_process_stats(struct backend_process *p, stats_fn done, void *ctx)
{
    stats_later(((struct fake_process *)p)->backend, 1, done, ctx);
}

/* ---- for tests ---- */

static struct fake_sandbox *find(const struct backend *backend, const char *id)
{
    struct fake_sandbox *sandbox;
    DL_FOREACH(fake_of(backend)->sandboxes, sandbox)
    {
        if (strcmp(sandbox->id, id) == 0)
            return sandbox;
    }
    return NULL;
}

bool fake_backend_lose(struct backend *backend, const char *sandbox_id)
{
    struct fake_sandbox *sandbox = find(backend, sandbox_id);
    if (sandbox == NULL)
        return false;
    sandbox->lost = true;
    end_all(sandbox, EXIT_REASON_SANDBOX_LOST);
    sandbox->events->lost(sandbox->events, "init was killed");
    return true;
}

bool fake_backend_deny(struct backend *backend, const char *sandbox_id, const char *control,
                       const char *text)
{
    struct fake_sandbox *sandbox = find(backend, sandbox_id);
    if (sandbox == NULL)
        return false;
    sandbox->events->denied(sandbox->events, control, text);
    return true;
}

unsigned fake_backend_sandboxes(const struct backend *backend)
{
    return fake_of(backend)->sandbox_count;
}

unsigned fake_backend_processes(const struct backend *backend)
{
    return fake_of(backend)->process_count;
}

#define FAKE_SLOTS                                                                                 \
    .name = "fake", .close = fake_close, .info = fake_info, .sandbox_create = fake_sandbox_create, \
    .sandbox_destroy = fake_sandbox_destroy, .sandbox_pause = fake_sandbox_pause,                  \
    .sandbox_update = fake_sandbox_update, .sandbox_stats = fake_sandbox_stats,                    \
    .sandbox_connect = fake_sandbox_connect, .sandbox_door = backend_no_door,                      \
    .sandbox_owner = backend_no_owner, .sandbox_copy = fake_sandbox_copy, .spawn = fake_spawn,     \
    .process_free = fake_process_free, .signal = fake_signal, .kill_tree = fake_kill_tree,         \
    .write_stdin = fake_write_stdin, .close_stdin = fake_close_stdin,                              \
    .hold_output = fake_hold_output, .resize = fake_resize, .process_update = fake_process_update, \
    .process_stats = fake_process_stats

static const struct backend_ops fake_ops = { .kind = RUNTIME_KIND_PROCESS, FAKE_SLOTS };
static const struct backend_ops fake_ops_boxlite = { .kind = RUNTIME_KIND_BOXLITE, FAKE_SLOTS };

struct backend *fake_backend_new(struct osa_loop *loop, const struct fake_options *options)
{
    struct fake_backend *backend = must(calloc(1, sizeof(*backend)));
    backend->base.ops = options->kind == RUNTIME_KIND_BOXLITE ? &fake_ops_boxlite : &fake_ops;
    backend->loop = loop;
    backend->options = *options;
    if (backend->options.stdin_bytes == 0)
        backend->options.stdin_bytes = 4096;
    backend->info = (struct backend_info){
        .available = options->unavailable == NULL,
        .isolation = { .level = ISOLATION_FULL,
                       .seccomp_profile = "default",
                       .no_new_privs = true,
                       .network = NETWORK_NONE,
                       .tree_kill = TREE_KILL_CGROUP },
        .capabilities = ((1u << BACKEND_CAP_COUNT) - 1) & ~options->lacks,
    };
    if (options->unavailable != NULL)
        (void)snprintf(backend->info.reason, sizeof(backend->info.reason), "%s",
                       options->unavailable);
    return &backend->base;
}
