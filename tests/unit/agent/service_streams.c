// SPDX-License-Identifier: Apache-2.0
/* Attach, Events, Stats, CopyIn, CopyOut, PortForward over a real server and client. */
#include "service_rig.h"

#include <stdio.h>

static void send_attach(struct stream_probe *probe, const char *id, bool follow, uint64_t offset)
{
    V1(AttachRequest) request = V1_INIT(ATTACH_REQUEST);
    V1(AttachStart) start = V1_INIT(ATTACH_START);
    start.process_id = (char *)id;
    start.follow = follow;
    start.offset = offset;
    request.message_case = V1_ENUM(ATTACH_REQUEST__MESSAGE_START);
    request.start = &start;
    (void)rpc_client_send(probe->call, &request.base);
}

static void send_stdin(struct stream_probe *probe, const char *text, size_t len)
{
    V1(AttachRequest) request = V1_INIT(ATTACH_REQUEST);
    request.message_case = V1_ENUM(ATTACH_REQUEST__MESSAGE_STDIN);
    request.stdin = (ProtobufCBinaryData){ len, (uint8_t *)text };
    (void)rpc_client_send(probe->call, &request.base);
}

static void send_stdin_end(struct stream_probe *probe)
{
    V1(AttachRequest) request = V1_INIT(ATTACH_REQUEST);
    V1(StdinEnd) end = V1_INIT(STDIN_END);
    request.message_case = V1_ENUM(ATTACH_REQUEST__MESSAGE_STDIN_END);
    request.stdin_end = &end;
    (void)rpc_client_send(probe->call, &request.base);
}

/* What came through an Attach: text of each stream, bytes in all, gaps, the exit. */
struct seen {
    char out[256];
    char err[256];
    uint64_t bytes;
    uint64_t lost;
    int exit_code;
    bool exited;
    bool tty;
    uint64_t offset;
};

static void add_text(char *to, const ProtobufCBinaryData *data)
{
    size_t len = strlen(to);
    size_t more = OSA_MIN(data->len, 255 - len);
    memcpy(to + len, data->data, more);
    to[len + more] = '\0';
}

static struct seen look(const struct stream_probe *probe)
{
    struct seen seen = { .exit_code = -1 };
    assert_true(probe->count > 0);
    for (unsigned i = 0; i < probe->count; i++) {
        const V1(AttachResponse) *message = (const V1(AttachResponse) *)probe->messages[i];
        bool started = message->message_case == V1_ENUM(ATTACH_RESPONSE__MESSAGE_STARTED);
        assert_int_equal(started, i == 0);
        assert_false(seen.exited); /* the exit is the last */
        if (started) {
            seen.offset = message->started->offset;
            seen.tty = message->started->tty;
        } else if (message->message_case == V1_ENUM(ATTACH_RESPONSE__MESSAGE_GAP)) {
            assert_int_equal(message->gap->offset, seen.offset + seen.bytes + seen.lost);
            seen.lost += message->gap->lost_bytes;
        } else if (message->message_case == V1_ENUM(ATTACH_RESPONSE__MESSAGE_EXIT)) {
            seen.exited = true;
            seen.exit_code = message->exit->code;
        } else {
            const V1(Output) *output = message->output;
            assert_int_equal(output->offset, seen.offset + seen.bytes + seen.lost);
            bool is_err = output->stream == V1_ENUM(OUTPUT_STREAM__OUTPUT_STREAM_STDERR);
            add_text(is_err ? seen.err : seen.out, &output->data);
            seen.bytes += output->data.len;
        }
    }
    return seen;
}

static struct stream_probe probe, second;

static void test_attach_live_and_replay(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(
        rig, (const char *[]){ "fake", "out:ab", "sleep:30", "err:cd", "out:e", "exit:4", NULL });
    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, true, 0);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    struct seen seen = look(&probe);
    assert_string_equal(seen.out, "abe");
    assert_string_equal(seen.err, "cd");
    assert_true(seen.exited);
    assert_int_equal(seen.exit_code, 4);
    probe_free(&probe);

    /* Late, from the middle, without waiting. */
    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, false, 3);
    probe_wait(rig, &probe);
    seen = look(&probe);
    assert_string_equal(seen.err, "d");
    assert_string_equal(seen.out, "e");
    assert_int_equal(seen.offset, 3);
    assert_false(seen.exited);
    probe_free(&probe);

    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, false, 6);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OUT_OF_RANGE);
    probe_free(&probe);
    free(id);
}

static void test_attach_stdin(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(rig, (const char *[]){ "fake", "cat", "out:.", NULL });
    static char big[300000];
    memset(big, 'x', sizeof(big));
    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, true, 0);
    for (unsigned i = 0; i < 4; i++)
        send_stdin(&probe, big, sizeof(big));
    send_stdin_end(&probe);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    struct seen seen = look(&probe);
    assert_int_equal(seen.bytes + seen.lost,
                     4 * sizeof(big) + 1); /* not one byte is lost on the way in */
    assert_true(seen.exited);
    probe_free(&probe);
    free(id);
}

static void test_attach_refusals(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(rig, (const char *[]){ "fake", "hang", NULL });
    probe_start(rig, &probe, "Attach");
    send_stdin(&probe, "x", 1);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(probe.failure.field, "start");

    probe_start(rig, &probe, "Attach");
    send_attach(&probe, "p-unknown", true, 0);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_NOT_FOUND);

    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, true, 0);
    send_attach(&probe, id, true, 0);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_INVALID_ARGUMENT);
    probe_free(&probe);

    probe_start(rig, &probe, "Attach");
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_INVALID_ARGUMENT);

    V1(AttachRequest) resize = V1_INIT(ATTACH_REQUEST);
    V1(TerminalSize) size = V1_INIT(TERMINAL_SIZE);
    size.rows = size.columns = 10;
    resize.message_case = V1_ENUM(ATTACH_REQUEST__MESSAGE_RESIZE);
    resize.resize = &size;
    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, true, 0);
    (void)rpc_client_send(probe.call, &resize.base);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(probe.error.text, "no terminal"));
    probe_free(&probe);
    free(id);
}

static void test_attach_stalled_reader(void **state)
{
    struct rig *rig = *state;
    char *id =
        spawn_id(rig, (const char *[]){ "fake", "sleep:50", "outn:8000000", "exit:0", NULL });
    probe_start(rig, &probe, "Attach");
    send_attach(&probe, id, true, 0);
    probe_wait_messages(rig, &probe, 1);
    rpc_client_pause(probe.call, true);
    V1(Exit) *exit = wait_for(rig, id); /* the process is not held up */
    drop_exit(exit);
    rpc_client_pause(probe.call, false);
    probe_wait(rig, &probe);
    struct seen seen = look(&probe);
    assert_int_equal(seen.bytes + seen.lost, 8000000);
    assert_true(seen.lost > 0);
    assert_true(seen.exited);
    probe_free(&probe);
    free(id);
}

static void test_attach_lingers_no_longer(void **state)
{
    struct rig *rig = *state;
    V1(CreateSandboxRequest) create = V1_INIT(CREATE_SANDBOX_REQUEST);
    create.sandbox_id = (char *)"box";
    drop(ask(rig, "CreateSandbox", &create.base));
    struct spawn spawn;
    spawn_init(&spawn, (const char *[]){ "fake", "hold", "out:x", "exit:0", NULL });
    spawn.request.sandbox_id = (char *)"box";
    V1(SpawnResponse) *spawned = ask(rig, "Spawn", &spawn.request.base);
    int64_t before = osa_now_ns();
    probe_start(rig, &probe, "Attach");
    send_attach(&probe, spawned->process_id, true, 0);
    probe_wait(rig, &probe);
    struct seen seen = look(&probe);
    assert_string_equal(seen.out, "x");
    assert_int_equal(seen.exit_code, 0);
    assert_in_range(osa_now_ns() - before, 400 * OSA_NS_PER_MS, 3000 * OSA_NS_PER_MS);
    probe_free(&probe);
    drop(spawned);
}

static void test_attach_many_readers(void **state)
{
    struct rig *rig = *state;
    enum { READERS = 50 };
    static struct stream_probe probes[READERS];
    char *id = spawn_id(rig, (const char *[]){ "fake", "sleep:50", "outn:50000", "exit:0", NULL });
    for (unsigned i = 0; i < READERS; i++) {
        probe_start(rig, &probes[i], "Attach");
        send_attach(&probes[i], id, true, 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        probe_wait(rig, &probes[i]);
        struct seen seen = look(&probes[i]);
        assert_int_equal(seen.bytes, 50000);
        assert_int_equal(seen.lost, 0);
        probe_free(&probes[i]);
    }
    free(id);
}

static void test_attach_without_output(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(rig, (const char *[]){ "fake", "cat", "exit:0", NULL });
    V1(AttachRequest) request = V1_INIT(ATTACH_REQUEST);
    V1(AttachStart) start = V1_INIT(ATTACH_START);
    start.process_id = id;
    start.no_output = true;
    request.message_case = V1_ENUM(ATTACH_REQUEST__MESSAGE_START);
    request.start = &start;
    probe_start(rig, &probe, "Attach");
    (void)rpc_client_send(probe.call, &request.base);
    send_stdin(&probe, "abc", 3);
    send_stdin_end(&probe);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    struct seen seen = look(&probe);
    assert_int_equal(seen.bytes, 0);
    probe_free(&probe);
    V1(Exit) *exit = wait_for(rig, id);
    assert_int_equal(exit->code, 0);
    drop_exit(exit);
    free(id);
}

static void start_events(struct rig *rig, struct stream_probe *p, uint64_t from, bool follow)
{
    V1(EventsRequest) request = V1_INIT(EVENTS_REQUEST);
    request.from_sequence = from;
    request.follow = follow;
    probe_start(rig, p, "Events");
    (void)rpc_client_send(p->call, &request.base);
    rpc_client_half_close(p->call);
}

static void test_events(void **state)
{
    struct rig *rig = *state;
    start_events(rig, &second, 1, true);
    char *id = spawn_id(rig, (const char *[]){ "fake", "exit:9", NULL });
    V1(Exit) *exit = wait_for(rig, id);
    drop_exit(exit);
    /* created, started, exited, deleted */
    probe_wait_messages(rig, &second, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(((V1(Event) *)second.messages[i])->sequence, i + 1);
    const V1(Event) *exited = (V1(Event) *)second.messages[2];
    assert_int_equal(exited->type, V1_ENUM(EVENT__TYPE__TYPE_PROCESS_EXITED));
    assert_string_equal(exited->process_id, id);
    assert_int_equal(exited->exit->code, 9);
    assert_true(strlen(exited->instance_id) > 10);

    start_events(rig, &probe, 3, false);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.count, 2);
    probe_free(&probe);
    start_events(rig, &probe, 100, false);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OUT_OF_RANGE);
    assert_non_null(strstr(probe.error.text, "the next event has number 5"));
    rpc_client_cancel(second.call);
    probe_wait(rig, &second);
    probe_free(&second);
    free(id);
}

static void test_events_too_old(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < 5000; i++)
        events_add(agent_events(rig->f.agent), &(struct event){ .type = EVENT_SIGNALED });
    start_events(rig, &probe, 1, false);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OUT_OF_RANGE);
    assert_non_null(strstr(probe.error.text, "the first that is has number 905"));
}

static void test_stats(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(rig, (const char *[]){ "fake", "sleep:350", "exit:0", NULL });
    V1(StatsRequest) request = V1_INIT(STATS_REQUEST);
    Google__Protobuf__Duration interval = GOOGLE__PROTOBUF__DURATION__INIT;
    probe_start(rig, &probe, "Stats"); /* every sandbox, once */
    (void)rpc_client_send(probe.call, &request.base);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.count, 1);
    assert_int_equal(((V1(StatsResponse) *)probe.messages[0])->pids, 1);
    probe_free(&probe);

    interval.nanos = 99999999;
    request.interval = &interval;
    assert_string_equal(ask_fail(rig, "Stats", &request.base).field, "interval");
    interval.nanos = 100000000;
    request.process_id = id;
    probe_start(rig, &probe, "Stats"); /* until the process is gone */
    (void)rpc_client_send(probe.call, &request.base);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_in_range(probe.count, 2, 5);
    assert_string_equal(((V1(StatsResponse) *)probe.messages[1])->process_id, id);
    probe_free(&probe);
    request.interval = NULL;
    assert_int_equal(ask_fail(rig, "Stats", &request.base).code, OSA_FAILED_PRECONDITION);
    request.sandbox_id = (char *)"x";
    assert_string_equal(ask_fail(rig, "Stats", &request.base).field, "process_id");
    free(id);
}

static void create_box(struct rig *rig)
{
    V1(CreateSandboxRequest) create = V1_INIT(CREATE_SANDBOX_REQUEST);
    create.sandbox_id = (char *)"box";
    drop(ask(rig, "CreateSandbox", &create.base));
}

static void send_copy_start(const char *path)
{
    V1(CopyInRequest) request = V1_INIT(COPY_IN_REQUEST);
    V1(CopyInStart) start = V1_INIT(COPY_IN_START);
    start.sandbox_id = (char *)"box";
    start.path = (char *)path;
    request.message_case = V1_ENUM(COPY_IN_REQUEST__MESSAGE_START);
    request.start = &start;
    (void)rpc_client_send(probe.call, &request.base);
}

static void test_copy_in(void **state)
{
    struct rig *rig = *state;
    static char block[200000];
    create_box(rig);
    probe_start(rig, &probe, "CopyIn");
    send_copy_start("/tmp");
    V1(CopyInRequest) request = V1_INIT(COPY_IN_REQUEST);
    request.message_case = V1_ENUM(COPY_IN_REQUEST__MESSAGE_DATA);
    request.data = (ProtobufCBinaryData){ sizeof(block), (uint8_t *)block };
    for (unsigned i = 0; i < 10; i++)
        (void)rpc_client_send(probe.call, &request.base);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(((V1(CopyInResponse) *)probe.messages[0])->bytes, 10 * sizeof(block));
    probe_free(&probe);

    probe_start(rig, &probe, "CopyIn");
    send_copy_start("tmp");
    probe_wait(rig, &probe);
    assert_string_equal(probe.failure.field, "path");
    probe_start(rig, &probe, "CopyIn");
    send_copy_start("/none");
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_UNAVAILABLE);
    probe_start(rig, &probe, "CopyIn");
    (void)rpc_client_send(probe.call, &request.base);
    probe_wait(rig, &probe);
    assert_string_equal(probe.failure.field, "start");
}

static void test_copy_out(void **state)
{
    struct rig *rig = *state;
    create_box(rig);
    V1(CopyOutRequest) request = V1_INIT(COPY_OUT_REQUEST);
    request.sandbox_id = (char *)"box";
    request.path = (char *)"/etc";
    probe_start(rig, &probe, "CopyOut");
    (void)rpc_client_send(probe.call, &request.base);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.count, 1);
    const V1(CopyOutResponse) *reply = (V1(CopyOutResponse) *)probe.messages[0];
    assert_int_equal(reply->data.len, 12);
    assert_memory_equal(reply->data.data, "fake archive", 12);
    probe_free(&probe);
    request.sandbox_id = (char *)"other";
    assert_int_equal(ask_fail(rig, "CopyOut", &request.base).code, OSA_NOT_FOUND);
    request.sandbox_id = (char *)"box";
    request.user = (char *)"0x0";
    assert_string_equal(ask_fail(rig, "CopyOut", &request.base).field, "user");
}

static void start_forward(struct rig *rig, const char *host, uint32_t port)
{
    V1(PortForwardRequest) request = V1_INIT(PORT_FORWARD_REQUEST);
    V1(PortForwardStart) start = V1_INIT(PORT_FORWARD_START);
    start.sandbox_id = (char *)"box";
    start.host = (char *)host;
    start.port = port;
    request.message_case = V1_ENUM(PORT_FORWARD_REQUEST__MESSAGE_START);
    request.start = &start;
    probe_start(rig, &probe, "PortForward");
    (void)rpc_client_send(probe.call, &request.base);
}

static void test_port_forward(void **state)
{
    struct rig *rig = *state;
    create_box(rig);
    start_forward(rig, "localhost", 7);
    probe_wait_messages(rig, &probe, 1);
    assert_int_equal(((V1(PortForwardResponse) *)probe.messages[0])->data.len, 0);
    V1(PortForwardRequest) request = V1_INIT(PORT_FORWARD_REQUEST);
    request.message_case = V1_ENUM(PORT_FORWARD_REQUEST__MESSAGE_DATA);
    request.data = (ProtobufCBinaryData){ 4, (uint8_t *)(char[]){ 'p', 'i', 'n', 'g' } };
    (void)rpc_client_send(probe.call, &request.base);
    probe_wait_messages(rig, &probe, 2);
    assert_memory_equal(((V1(PortForwardResponse) *)probe.messages[1])->data.data, "ping", 4);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    probe_free(&probe);

    start_forward(rig, "127.0.0.1", 8);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_UNAVAILABLE);
    static const char *const bad[] = { "10.0.0.1",    "0.0.0.0", "127.1",           "2130706433",
                                       "example.com", "::",      "::ffff:127.0.0.1" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        start_forward(rig, bad[i], 7);
        probe_wait(rig, &probe);
        assert_int_equal(probe.error.code, OSA_INVALID_ARGUMENT);
        assert_string_equal(probe.failure.field, "start.host");
    }
    start_forward(rig, "::1", 65536);
    probe_wait(rig, &probe);
    assert_string_equal(probe.failure.field, "start.port");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_attach_live_and_replay),
        TEST(test_attach_stdin),
        TEST(test_attach_refusals),
        TEST(test_attach_stalled_reader),
        TEST(test_attach_lingers_no_longer),
        TEST(test_attach_many_readers),
        TEST(test_attach_without_output),
        TEST(test_events),
        TEST(test_events_too_old),
        TEST(test_stats),
        TEST(test_copy_in),
        TEST(test_copy_out),
        TEST(test_port_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
