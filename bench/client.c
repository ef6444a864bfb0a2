// SPDX-License-Identifier: Apache-2.0
/*
 * Spawn + Wait through the API, over our own gRPC client.
 *
 * bench_client SOCKET spawn COUNT PARALLEL SANDBOX PROGRAM [ARGUMENT…]
 *     spawns and waits COUNT times, PARALLEL at once, in SANDBOX ("-": one of its own for each).
 *     Prints nanoseconds from the request of Spawn to the reply of Wait, one line for each.
 * bench_client SOCKET hold COUNT PARALLEL SANDBOX PROGRAM [ARGUMENT…]
 *     spawns COUNT processes and leaves them running.
 * bench_client SOCKET reasons COUNT PARALLEL SANDBOX MEMORY PROGRAM [ARGUMENT…]
 *     as spawn, each with that many bytes of memory, 0 for no limit. Prints how each ended: the number
 *     of Exit.Reason, code or signal, peak memory.
 * bench_client SOCKET create COUNT PARALLEL PREFIX
 *     creates sandboxes PREFIX-1 to PREFIX-COUNT. Prints nanoseconds, one line for each.
 */
#include "rpc/client.h"
#include "base/clock.h"
#include "base/loop.h"

#include "openshell/agent/v1/agent.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "/openshell.agent.v1.SandboxAgent/"
#define PATIENCE_NS (INT64_C(60) * OSA_NS_PER_SEC)

enum mode { MODE_SPAWN, MODE_HOLD, MODE_REASONS, MODE_CREATE, MODE_COUNT };

static const char *const modes[MODE_COUNT] = { "spawn", "hold", "reasons", "create" };

struct bench {
    struct osa_loop *loop;
    struct rpc_channel *channel;
    enum mode mode;
    uint64_t memory; /* REASONS */
    long made;       /* CREATE */
    long left;       /* still to be started */
    long busy;       /* lanes at work */
    const char *sandbox;
    char **argv;
    size_t argc;
    int failed;
};

/* One of the PARALLEL: spawns, waits, begins anew. */
struct lane {
    struct bench *bench;
    struct rpc_client_events spawn;
    struct rpc_client_events wait;
    struct rpc_client_events create;
    int64_t start_ns;
    char process_id[128];
    bool success; /* the process exited with 0 */
};

static void lane_next(struct lane *lane);

static void lane_fail(struct lane *lane, const char *what, const struct rpc_status *status)
{
    fprintf(stderr, "%s: %s: %s\n", what, osa_code_name(status->error.code), status->error.text);
    lane->bench->failed = 1;
    lane->bench->left = 0;
    lane_next(lane);
}

static void wait_message(struct rpc_client_events *self, const ProtobufCMessage *response)
{
    struct lane *lane = OSA_CONTAINER_OF(self, struct lane, wait);
    const Openshell__Agent__V1__Exit *end =
        ((const Openshell__Agent__V1__WaitResponse *)response)->exit;
    lane->success =
        end && end->reason == OPENSHELL__AGENT__V1__EXIT__REASON__REASON_EXITED && end->code == 0;
    if (lane->bench->mode != MODE_REASONS || !end)
        return;
    lane->success = true;
    printf("%d %d %" PRIu64 "\n", end->reason, end->signal != 0 ? end->signal : end->code,
           end->usage ? end->usage->peak_memory_bytes : 0);
}

static void wait_done(struct rpc_client_events *self, const struct rpc_status *status)
{
    struct lane *lane = OSA_CONTAINER_OF(self, struct lane, wait);
    if (status->error.code != OSA_OK || !lane->success) {
        lane_fail(lane, "Wait", status);
        return;
    }
    if (lane->bench->mode == MODE_SPAWN)
        printf("%" PRId64 "\n", osa_now_ns() - lane->start_ns);
    lane_next(lane);
}

static void create_done(struct rpc_client_events *self, const struct rpc_status *status)
{
    struct lane *lane = OSA_CONTAINER_OF(self, struct lane, create);
    if (status->error.code != OSA_OK) {
        lane_fail(lane, "CreateSandbox", status);
        return;
    }
    printf("%" PRId64 "\n", osa_now_ns() - lane->start_ns);
    lane_next(lane);
}

static void ignore_message(struct rpc_client_events *self, const ProtobufCMessage *response)
{
    (void)self;
    (void)response;
}

static void create(struct lane *lane)
{
    struct bench *bench = lane->bench;
    char id[128];
    snprintf(id, sizeof(id), "%s-%ld", bench->sandbox, ++bench->made);
    Openshell__Agent__V1__CreateSandboxRequest request =
        OPENSHELL__AGENT__V1__CREATE_SANDBOX_REQUEST__INIT;
    request.sandbox_id = id;
    lane->start_ns = osa_now_ns();
    struct rpc_client_call *call =
        rpc_client_start(bench->channel, SERVICE "CreateSandbox",
                         &openshell__agent__v1__create_sandbox_response__descriptor,
                         lane->start_ns + PATIENCE_NS, /* wait_for_ready= */ true, &lane->create);
    rpc_client_send(call, &request.base);
    rpc_client_half_close(call);
}

static void spawn_message(struct rpc_client_events *self, const ProtobufCMessage *response)
{
    struct lane *lane = OSA_CONTAINER_OF(self, struct lane, spawn);
    snprintf(lane->process_id, sizeof(lane->process_id), "%s",
             ((const Openshell__Agent__V1__SpawnResponse *)response)->process_id);
}

static void spawn_done(struct rpc_client_events *self, const struct rpc_status *status)
{
    struct lane *lane = OSA_CONTAINER_OF(self, struct lane, spawn);
    if (status->error.code != OSA_OK) {
        lane_fail(lane, "Spawn", status);
        return;
    }
    if (lane->bench->mode == MODE_HOLD) {
        lane_next(lane);
        return;
    }
    Openshell__Agent__V1__WaitRequest request = OPENSHELL__AGENT__V1__WAIT_REQUEST__INIT;
    request.process_id = lane->process_id;
    lane->success = false;
    struct rpc_client_call *call = rpc_client_start(
        lane->bench->channel, SERVICE "Wait", &openshell__agent__v1__wait_response__descriptor,
        osa_now_ns() + PATIENCE_NS, /* wait_for_ready= */ false, &lane->wait);
    rpc_client_send(call, &request.base);
    rpc_client_half_close(call);
}

static void lane_next(struct lane *lane)
{
    struct bench *bench = lane->bench;
    if (bench->left == 0) {
        if (--bench->busy == 0)
            osa_loop_stop(bench->loop);
        return;
    }
    bench->left--;
    if (bench->mode == MODE_CREATE) {
        create(lane);
        return;
    }
    Openshell__Agent__V1__Resources resources = OPENSHELL__AGENT__V1__RESOURCES__INIT;
    Openshell__Agent__V1__ProcessSpec spec = OPENSHELL__AGENT__V1__PROCESS_SPEC__INIT;
    spec.argv = bench->argv;
    spec.n_argv = bench->argc;
    resources.memory_bytes = bench->memory;
    if (bench->memory > 0)
        spec.resources = &resources;
    Openshell__Agent__V1__SpawnRequest request = OPENSHELL__AGENT__V1__SPAWN_REQUEST__INIT;
    request.spec = &spec;
    request.sandbox_id = (char *)bench->sandbox;
    lane->start_ns = osa_now_ns();
    struct rpc_client_call *call = rpc_client_start(
        bench->channel, SERVICE "Spawn", &openshell__agent__v1__spawn_response__descriptor,
        lane->start_ns + PATIENCE_NS, /* wait_for_ready= */ true, &lane->spawn);
    rpc_client_send(call, &request.base);
    rpc_client_half_close(call);
}

static int run(struct bench *bench, long parallel)
{
    struct lane *lanes = calloc((size_t)parallel, sizeof(*lanes));
    if (!lanes)
        return 1;
    bench->busy = parallel;
    for (long i = 0; i < parallel; i++) {
        lanes[i].bench = bench;
        lanes[i].spawn = (struct rpc_client_events){ .message = spawn_message, .done = spawn_done };
        lanes[i].wait = (struct rpc_client_events){ .message = wait_message, .done = wait_done };
        lanes[i].create =
            (struct rpc_client_events){ .message = ignore_message, .done = create_done };
    }
    for (long i = 0; i < parallel; i++)
        lane_next(&lanes[i]);
    osa_loop_run(bench->loop);
    free(lanes);
    return bench->failed;
}

/* Return: false when the arguments make no sense. */
static bool parse(struct bench *bench, long *ret_parallel, int argc, char **argv)
{
    if (argc < 6)
        return false;
    while (bench->mode < MODE_COUNT && strcmp(argv[2], modes[bench->mode]) != 0)
        bench->mode++;
    int program = bench->mode == MODE_REASONS ? 7 : 6;
    bench->left = strtol(argv[3], NULL, 10);
    *ret_parallel = strtol(argv[4], NULL, 10);
    bench->sandbox = strcmp(argv[5], "-") == 0 ? "" : argv[5];
    bench->memory = bench->mode == MODE_REASONS && argc > 6 ? strtoull(argv[6], NULL, 10) : 0;
    bench->argv = argv + program;
    bench->argc = argc > program ? (size_t)(argc - program) : 0;
    return bench->mode < MODE_COUNT && bench->left > 0 && *ret_parallel > 0 &&
           *ret_parallel <= bench->left && (bench->mode == MODE_CREATE) == (bench->argc == 0);
}

int main(int argc, char **argv)
{
    struct bench bench = { 0 };
    long parallel = 0;
    if (!parse(&bench, &parallel, argc, argv)) {
        fprintf(stderr,
                "usage: bench_client SOCKET spawn|hold|reasons|create COUNT PARALLEL SANDBOX "
                "[MEMORY] [PROGRAM [ARGUMENT…]]\n");
        return 2;
    }
    char target[256];
    snprintf(target, sizeof(target), "unix:%s", argv[1]);
    struct osa_error err = { 0 };
    if (osa_loop_new(&bench.loop, &err) != OSA_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    struct rpc_channel_config config = { .loop = bench.loop,
                                         .target = target,
                                         .max_message_bytes = 1 << 20 };
    if (rpc_channel_new(&config, &bench.channel, &err) != OSA_OK) {
        fprintf(stderr, "%s\n", err.text);
        osa_loop_free(bench.loop);
        return 1;
    }
    int status = run(&bench, parallel);
    rpc_channel_free(bench.channel);
    osa_loop_free(bench.loop);
    return status;
}
