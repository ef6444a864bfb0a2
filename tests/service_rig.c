// SPDX-License-Identifier: Apache-2.0
#include "service_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_closed(void *ctx)
{
    (*(unsigned *)ctx)++;
}

int rig_setup(void **state)
{
    static struct rig rig;
    struct osa_error err = { 0 };
    void *fixture = NULL;
    const struct fake_options *options = *state;
    rig = (struct rig){ 0 };
    if (fixture_setup(&fixture) != 0)
        return -1;
    rig.f = *(struct fixture *)fixture;
    if (options != NULL)
        rig.f.options = *options;
    fixture_start(&rig.f);
    rig.service = (struct service){
        .loop = rig.f.loop,
        .agent = rig.f.agent,
        .version = "1.2.3",
        .host = { .os = "linux", .controllers = "cpu memory", .denial_sources = "network_log" }
    };
    (void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/osa-service-XXXXXX");
    if (mkdtemp(rig.dir) == NULL)
        return -1;
    (void)snprintf(rig.address, sizeof(rig.address), "unix:%s/s", rig.dir);
    rig.listen = (struct rpc_listen){ .address = rig.address, .unix_mode = 0600 };
    rig.config = (struct rpc_server_config){ .loop = rig.f.loop,
                                             .listens = &rig.listen,
                                             .listen_count = 1,
                                             .max_message_bytes = 4 << 20,
                                             .send_queue_bytes = 128 << 10,
                                             .max_streams = 1000 };
    const struct rpc_channel_config channel = { .loop = rig.f.loop,
                                                .target = rig.address,
                                                .max_message_bytes = 16 << 20 };
    if (rpc_server_new(&rig.config, &rig.server, &err) != OSA_OK ||
        rpc_server_add_service(rig.server, &service_sandbox_agent, &rig.service, &err) != OSA_OK ||
        rpc_server_start(rig.server, &err) != OSA_OK ||
        rpc_channel_new(&channel, &rig.channel, &err) != OSA_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = &rig;
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;
    unsigned closed = 0;
    rpc_channel_free(rig->channel);
    rpc_server_shutdown(rig->server, osa_deadline_after(0), on_closed, &closed);
    turn_until(&rig->f, &closed, 1);
    rpc_server_free(rig->server);
    (void)rmdir(rig->dir);
    void *fixture = &rig->f;
    return fixture_teardown(&fixture);
}

void spawn_init(struct spawn *spawn, const char *const *argv)
{
    spawn->request = (V1(SpawnRequest))V1_INIT(SPAWN_REQUEST);
    spawn->spec = (V1(ProcessSpec))V1_INIT(PROCESS_SPEC);
    spawn->request.spec = &spawn->spec;
    spawn->spec.argv = (char **)argv;
    while (argv[spawn->spec.n_argv] != NULL)
        spawn->spec.n_argv++;
}

static const ProtobufCMessageDescriptor *response_of(const char *method)
{
    for (size_t i = 0; i < service_sandbox_agent.method_count; i++) {
        if (strcmp(service_sandbox_agent.methods[i].name, method) == 0)
            return service_sandbox_agent.methods[i].response;
    }
    fail_msg("there is no method '%s'", method);
    return NULL;
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct stream_probe *probe = OSA_CONTAINER_OF(events, struct stream_probe, events);
    assert_true(probe->count < OSA_ARRAY_LEN(probe->messages));
    size_t len = protobuf_c_message_get_packed_size(response);
    uint8_t *bytes = malloc(len + 1);
    assert_non_null(bytes);
    (void)protobuf_c_message_pack(response, bytes);
    probe->messages[probe->count++] =
        protobuf_c_message_unpack(response->descriptor, NULL, len, bytes);
    free(bytes);
}

static void read_details(struct stream_probe *probe, const struct rpc_status *status)
{
    Google__Rpc__Status *wire =
        google__rpc__status__unpack(NULL, status->details_len, status->details);
    assert_non_null(wire);
    assert_int_equal(wire->code, (int)probe->error.code);
    assert_int_equal(wire->n_details, 1);
    assert_string_equal(wire->details[0]->type_url,
                        "type.googleapis.com/openshell.agent.v1.ErrorDetail");
    V1(ErrorDetail) *detail = openshell__agent__v1__error_detail__unpack(
        NULL, wire->details[0]->value.len, wire->details[0]->value.data);
    assert_non_null(detail);
    struct failure *failure = &probe->failure;
    failure->kind = (int)detail->kind;
    failure->errno_value = detail->errno_value;
    (void)snprintf(failure->errno_name, sizeof(failure->errno_name), "%s", detail->errno_name);
    (void)snprintf(failure->stage, sizeof(failure->stage), "%s", detail->stage);
    (void)snprintf(failure->field, sizeof(failure->field), "%s", detail->field);
    openshell__agent__v1__error_detail__free_unpacked(detail, NULL);
    google__rpc__status__free_unpacked(wire, NULL);
}

static void on_call_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct stream_probe *probe = OSA_CONTAINER_OF(events, struct stream_probe, events);
    probe->error = status->error;
    probe->failure.code = status->error.code;
    (void)snprintf(probe->failure.text, sizeof(probe->failure.text), "%s", status->error.text);
    if (status->details != NULL)
        read_details(probe, status);
    probe->call = NULL;
    probe->done = 1;
}

void probe_start(struct rig *rig, struct stream_probe *probe, const char *method)
{
    char path[128];
    memset(probe, 0, sizeof(*probe));
    probe->events = (struct rpc_client_events){ .message = on_message, .done = on_call_done };
    (void)snprintf(path, sizeof(path), SERVICE "%s", method);
    probe->call = rpc_client_start(rig->channel, path, response_of(method),
                                   osa_deadline_after(20 * OSA_NS_PER_SEC), false, &probe->events);
}

void probe_wait(struct rig *rig, struct stream_probe *probe)
{
    turn_until(&rig->f, &probe->done, 1);
}

void probe_wait_messages(struct rig *rig, struct stream_probe *probe, unsigned count)
{
    int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC);
    while (probe->count < count && !probe->done) {
        if (osa_now_ns() > deadline)
            fail_msg("%u messages after five seconds, %u expected", probe->count, count);
        (void)osa_loop_run_once(rig->f.loop, deadline);
    }
}

void probe_free(struct stream_probe *probe)
{
    for (unsigned i = 0; i < probe->count; i++)
        protobuf_c_message_free_unpacked(probe->messages[i], NULL);
    probe->count = 0;
}

static void run_unary(struct rig *rig, struct stream_probe *probe, const char *method,
                      const ProtobufCMessage *request)
{
    probe_start(rig, probe, method);
    (void)rpc_client_send(probe->call, request);
    rpc_client_half_close(probe->call);
    probe_wait(rig, probe);
}

void *ask(struct rig *rig, const char *method, const ProtobufCMessage *request)
{
    static struct stream_probe probe;
    run_unary(rig, &probe, method, request);
    if (probe.error.code != OSA_OK)
        fail_msg("%s: %s: %s", method, osa_code_name(probe.error.code), probe.error.text);
    assert_int_equal(probe.count, 1);
    return probe.messages[0];
}

struct failure ask_fail(struct rig *rig, const char *method, const ProtobufCMessage *request)
{
    static struct stream_probe probe;
    run_unary(rig, &probe, method, request);
    if (probe.error.code == OSA_OK)
        fail_msg("%s succeeded", method);
    probe_free(&probe);
    return probe.failure;
}

void drop(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

char *spawn_id(struct rig *rig, const char *const *argv)
{
    struct spawn spawn;
    spawn_init(&spawn, argv);
    spawn.spec.stdin = true;
    V1(SpawnResponse) *reply = ask(rig, "Spawn", &spawn.request.base);
    char *id = strdup(reply->process_id);
    assert_non_null(id);
    drop(reply);
    return id;
}

V1(Exit) * wait_for(struct rig *rig, const char *process_id)
{
    V1(WaitRequest) request = V1_INIT(WAIT_REQUEST);
    request.process_id = (char *)process_id;
    V1(WaitResponse) *reply = ask(rig, "Wait", &request.base);
    V1(Exit) *exit = OSA_TAKE(reply->exit);
    drop(reply);
    return exit;
}

void drop_exit(V1(Exit) * exit)
{
    openshell__agent__v1__exit__free_unpacked(exit, NULL);
}
