// SPDX-License-Identifier: Apache-2.0
/* The standard services: grpc.health.v1 and server reflection, asked by our own client. */
#include "cmocka_all.h"
#include "rig.h"

#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <string.h>

#define HEALTH "/grpc.health.v1.Health/"
#define REFLECTION_V1 "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define REFLECTION_V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

extern const unsigned char osa_descriptor_set[];
extern const size_t osa_descriptor_set_size;

static int setup(void **state)
{
    static struct rig rig;
    rig_init(&rig);
    struct osa_error err = { 0 };
    struct rpc_server_config config = { .health = RPC_ROLE_ANYONE,
                                        .reflection = RPC_ROLE_ANYONE,
                                        .descriptor_set = osa_descriptor_set,
                                        .descriptor_set_len = osa_descriptor_set_size };
    enum osa_code code = rig_serve(&rig, config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, OSA_OK);
    rig_connect(&rig, (struct rpc_channel_config){ 0 });
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_done(*state);
    return 0;
}

/* ---- health ---- */

static enum osa_code check(struct rig *rig, const char *service, int *ret_status,
                           struct osa_error *err)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)service;
    ProtobufCMessage *reply = NULL;
    enum osa_code code = rpc_client_unary(rig->channel, HEALTH "Check", &request.base,
                                          &grpc__health__v1__health_check_response__descriptor,
                                          OSA_NEVER, &reply, err);
    if (code != OSA_OK)
        return code;
    *ret_status = (int)((Grpc__Health__V1__HealthCheckResponse *)reply)->status;
    protobuf_c_message_free_unpacked(reply, NULL);
    return OSA_OK;
}

static void test_check(void **state)
{
    struct rig *rig = *state;
    struct osa_error err = { 0 };
    int status = -1;
    assert_int_equal(check(rig, "", &status, &err), OSA_OK);
    assert_int_equal(status, 1);
    assert_int_equal(check(rig, "rpc_test.Echo", &status, &err), OSA_OK);
    assert_int_equal(status, 1);
    rpc_server_set_serving(rig->server, "", false);
    assert_int_equal(check(rig, "", &status, &err), OSA_OK);
    assert_int_equal(status, 2);
    assert_int_equal(check(rig, "rpc_test.Echo", &status, &err), OSA_OK);
    assert_int_equal(status, 1);
    /* Whoever asks whether it lives is not told that it drains. */
    rpc_server_set_serving(rig->server, "rpc_test.Echo", false);
    assert_int_equal(check(rig, "grpc.health.v1.Health", &status, &err), OSA_OK);
    assert_int_equal(status, 1);
    assert_int_equal(check(rig, "no.Such", &status, &err), OSA_NOT_FOUND);
    assert_string_equal(err.text, "this server has no service 'no.Such'");
}

struct watch {
    struct rpc_client_events events;
    int count;
    int statuses[8];
    int done;
    struct osa_error error;
};

static void on_status(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct watch *watch = OSA_CONTAINER_OF(events, struct watch, events);
    watch->statuses[watch->count++] =
        (int)((const Grpc__Health__V1__HealthCheckResponse *)response)->status;
}

static void on_watch_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct watch *watch = OSA_CONTAINER_OF(events, struct watch, events);
    watch->error = status->error;
    watch->done = 1;
}

static struct rpc_client_call *watch_start(struct rig *rig, struct watch *watch,
                                           const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)service;
    *watch = (struct watch){ .events = { .message = on_status, .done = on_watch_done } };
    struct rpc_client_call *call =
        rpc_client_start(rig->channel, HEALTH "Watch",
                         &grpc__health__v1__health_check_response__descriptor, OSA_NEVER,
                         /* wait_for_ready= */ false, &watch->events);
    (void)rpc_client_send(call, &request.base);
    rpc_client_half_close(call);
    return call;
}

static void test_watch(void **state)
{
    struct rig *rig = *state;
    struct watch whole;
    struct watch unknown;
    (void)watch_start(rig, &whole, "");
    struct rpc_client_call *call = watch_start(rig, &unknown, "no.Such");
    rig_wait(rig, &whole.count, 1);
    rig_wait(rig, &unknown.count, 1);
    assert_int_equal(whole.statuses[0], 1);
    assert_int_equal(unknown.statuses[0], 3);
    rpc_server_set_serving(rig->server, "", false);
    rpc_server_set_serving(rig->server, "", false); /* no change, no message */
    rpc_server_set_serving(rig->server, "", true);
    rig_wait(rig, &whole.count, 3);
    assert_int_equal(whole.statuses[1], 2);
    assert_int_equal(whole.statuses[2], 1);
    rpc_client_cancel(call);
    rig_wait(rig, &unknown.done, 1);
    assert_int_equal(unknown.error.code, OSA_CANCELLED);
    rig_shutdown(rig, 60 * OSA_NS_PER_SEC); /* the open Watch does not hold it up */
    rig_wait(rig, &whole.done, 1);
    assert_int_equal(whole.count, 4);
    assert_int_equal(whole.statuses[3], 2);
    assert_int_equal(whole.error.code, OSA_UNAVAILABLE);
    assert_string_equal(whole.error.text, "the server is shutting down");
}

/* ---- reflection ---- */

/* One stream; each answer is unpacked for the test to look at. */
struct reflect {
    struct rpc_client_events events;
    struct rpc_client_call *call;
    Grpc__Reflection__V1__ServerReflectionResponse *last; /* owned */
    int count;
    int done;
    struct osa_error error;
};

static void on_reflected(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct reflect *self = OSA_CONTAINER_OF(events, struct reflect, events);
    size_t len = protobuf_c_message_get_packed_size(response);
    uint8_t *packed = malloc(len);
    (void)protobuf_c_message_pack(response, packed);
    if (self->last != NULL)
        grpc__reflection__v1__server_reflection_response__free_unpacked(self->last, NULL);
    self->last = grpc__reflection__v1__server_reflection_response__unpack(NULL, len, packed);
    free(packed);
    self->count++;
}

static void on_reflect_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct reflect *self = OSA_CONTAINER_OF(events, struct reflect, events);
    self->error = status->error;
    self->done = 1;
}

static void reflect_start(struct rig *rig, struct reflect *self, const char *path)
{
    *self = (struct reflect){ .events = { .message = on_reflected, .done = on_reflect_done } };
    self->call = rpc_client_start(rig->channel, path,
                                  &grpc__reflection__v1__server_reflection_response__descriptor,
                                  OSA_NEVER, /* wait_for_ready= */ false, &self->events);
}

static void reflect_end(struct rig *rig, struct reflect *self)
{
    rpc_client_half_close(self->call);
    rig_wait(rig, &self->done, 1);
    assert_int_equal(self->error.code, OSA_OK);
    grpc__reflection__v1__server_reflection_response__free_unpacked(self->last, NULL);
}

#define CASE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static const Grpc__Reflection__V1__ServerReflectionResponse *
ask(struct rig *rig, struct reflect *self, int what, const char *text)
{
    Grpc__Reflection__V1__ServerReflectionRequest request =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    Grpc__Reflection__V1__ExtensionRequest extension =
        GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    request.host = (char *)"here";
    request.message_request_case = what;
    request.file_by_filename = (char *)text; /* all strings share the union's storage */
    if (what == CASE(FILE_CONTAINING_EXTENSION)) {
        extension.containing_type = (char *)text;
        request.file_containing_extension = &extension;
    }
    int before = self->count;
    (void)rpc_client_send(self->call, &request.base);
    rig_wait(rig, &self->count, before + 1);
    assert_non_null(self->last);
    assert_string_equal(self->last->valid_host, "here");
    assert_non_null(self->last->original_request);
    assert_int_equal(self->last->original_request->message_request_case, what);
    return self->last;
}

static void check_list(struct rig *rig, const char *path)
{
    struct reflect self;
    reflect_start(rig, &self, path);
    const Grpc__Reflection__V1__ServerReflectionResponse *answer =
        ask(rig, &self, CASE(LIST_SERVICES), "");
    assert_int_equal(answer->message_response_case, ANSWER(LIST_SERVICES_RESPONSE));
    assert_int_equal(answer->list_services_response->n_service, 4);
    const char *expected[] = { "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                               "grpc.reflection.v1alpha.ServerReflection", "rpc_test.Echo" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(expected); i++)
        assert_string_equal(answer->list_services_response->service[i]->name, expected[i]);
    reflect_end(rig, &self);
}

static void test_list_services(void **state)
{
    check_list(*state, REFLECTION_V1);
    check_list(*state, REFLECTION_V1ALPHA);
}

static bool contains(const ProtobufCBinaryData *data, const char *text)
{
    return memmem(data->data, data->len, text, strlen(text)) != NULL;
}

static void test_files_and_symbols(void **state)
{
    struct rig *rig = *state;
    struct reflect self;
    reflect_start(rig, &self, REFLECTION_V1);
    static const struct {
        const char *symbol;
        const char *file; /* NULL: not found */
    } cases[] = {
        { "openshell.agent.v1.SandboxAgent", "openshell/agent/v1/agent.proto" },
        { ".openshell.agent.v1.SandboxAgent.Spawn", "openshell/agent/v1/agent.proto" },
        { "openshell.agent.v1.SpawnRequest.sandbox_id", "openshell/agent/v1/agent.proto" },
        { "grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto" },
        { "grpc.health.v1.Health.Watch", "grpc/health/v1/health.proto" },
        { "google.rpc.Status", "google/rpc/status.proto" },
        { "google.protobuf.Duration", "google/protobuf/duration.proto" },
        { "grpc.health.v1", NULL },
        { "grpc.health.v1.", NULL },
        { "grpc.health.v1.Healt", NULL },
        { "grpc.health.v1.Health.Watch.More", NULL },
        { "", NULL },
        { "...", NULL },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        const Grpc__Reflection__V1__ServerReflectionResponse *answer =
            ask(rig, &self, CASE(FILE_CONTAINING_SYMBOL), cases[i].symbol);
        if (cases[i].file == NULL) {
            assert_int_equal(answer->message_response_case, ANSWER(ERROR_RESPONSE));
            assert_int_equal(answer->error_response->error_code, OSA_NOT_FOUND);
            continue;
        }
        assert_int_equal(answer->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
        assert_true(
            contains(&answer->file_descriptor_response->file_descriptor_proto[0], cases[i].file));
    }
    const Grpc__Reflection__V1__ServerReflectionResponse *answer =
        ask(rig, &self, CASE(FILE_BY_FILENAME), "google/rpc/status.proto");
    assert_int_equal(answer->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
    assert_int_equal(answer->file_descriptor_response->n_file_descriptor_proto, 2); /* any.proto */
    answer = ask(rig, &self, CASE(FILE_BY_FILENAME), "no.proto");
    assert_string_equal(answer->error_response->error_message,
                        "this server has no file 'no.proto'");
    reflect_end(rig, &self);
}

static void test_extensions_and_nothing(void **state)
{
    struct rig *rig = *state;
    struct reflect self;
    reflect_start(rig, &self, REFLECTION_V1ALPHA);
    const Grpc__Reflection__V1__ServerReflectionResponse *answer =
        ask(rig, &self, CASE(FILE_CONTAINING_EXTENSION), "google.rpc.Status");
    assert_int_equal(answer->error_response->error_code, OSA_NOT_FOUND);
    answer = ask(rig, &self, CASE(ALL_EXTENSION_NUMBERS_OF_TYPE), "google.rpc.Status");
    assert_int_equal(answer->message_response_case, ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE));
    assert_int_equal(answer->all_extension_numbers_response->n_extension_number, 0);
    answer = ask(rig, &self, CASE(ALL_EXTENSION_NUMBERS_OF_TYPE), "no.Type");
    assert_int_equal(answer->error_response->error_code, OSA_NOT_FOUND);
    answer = ask(rig, &self, CASE(_NOT_SET), "");
    assert_int_equal(answer->error_response->error_code, OSA_INVALID_ARGUMENT);
    reflect_end(rig, &self);
}

static void test_shutdown_ends_streams(void **state)
{
    struct rig *rig = *state;
    struct reflect self;
    reflect_start(rig, &self, REFLECTION_V1);
    (void)ask(rig, &self, CASE(LIST_SERVICES), "");
    rig_shutdown(rig, 60 * OSA_NS_PER_SEC);
    rig_wait(rig, &self.done, 1);
    assert_int_equal(self.error.code, OSA_UNAVAILABLE);
    grpc__reflection__v1__server_reflection_response__free_unpacked(self.last, NULL);
}

static void test_switched_off(void **state)
{
    struct rig *rig = *state;
    rig_done(rig);
    rig_init(rig);
    struct osa_error err = { 0 };
    int status;
    struct probe probe = { 0 };
    assert_int_equal(rig_serve(rig, (struct rpc_server_config){ 0 }, &err), OSA_OK);
    rig_connect(rig, (struct rpc_channel_config){ 0 });
    assert_int_equal(check(rig, "", &status, &err), OSA_UNIMPLEMENTED);
    probe_unary(rig, &probe, REFLECTION_V1, "", 0);
    assert_int_equal(probe.error.code, OSA_UNIMPLEMENTED);
}

static void test_malformed_set(void **state)
{
    struct rig *rig = *state;
    struct osa_error err = { 0 };
    struct rpc_server *server;
    struct rpc_listen listen = { .address = "unix:/nowhere/s" };
    struct rpc_server_config config = { .loop = rig->loop,
                                        .listens = &listen,
                                        .listen_count = 1,
                                        .reflection = RPC_ROLE_ANYONE,
                                        .descriptor_set = osa_descriptor_set,
                                        .descriptor_set_len = osa_descriptor_set_size - 1 };
    assert_int_equal(rpc_server_new(&config, &server, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "descriptor set is cut off");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(check),
        TEST(watch),
        TEST(list_services),
        TEST(files_and_symbols),
        TEST(extensions_and_nothing),
        TEST(shutdown_ends_streams),
        TEST(switched_off),
        TEST(malformed_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
