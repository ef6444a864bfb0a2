// SPDX-License-Identifier: Apache-2.0
/* Server against client in one process, over a Unix socket: all kinds of calls and all their ends. */
#include "rpc/server.h"

#include "base/trace.h"
#include "cmocka_all.h"
#include "rig.h"

#include <google/rpc/status.pb-c.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_BYTES ((size_t)64 * 1024)

static int setup(void **state)
{
    static struct rig rig;
    rig_init(&rig);
    struct osa_error err = { 0 };
    struct rpc_server_config config = { .max_message_bytes = 1 << 20,
                                        .send_queue_bytes = QUEUE_BYTES };
    enum osa_code code = rig_serve(&rig, config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, OSA_OK);
    rig_connect(&rig, (struct rpc_channel_config){ .max_message_bytes = 1 << 20 });
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_done(*state);
    return 0;
}

static void test_unary(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_unary(rig, &probe, ECHO "Unary", "hello", 41);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.messages, 1);
    assert_int_equal(probe.last_number, 42);
    assert_string_equal(probe.last_text, "hello");
    rig_wait(rig, &rig->dones, 1);
    assert_int_equal(rig->starts, 1);
    assert_int_equal(rig->cancelled, 0);
}

static void test_unary_is_audited(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    char expected[64];
    probe_unary(rig, &probe, ECHO "Unary", "fail", 0);
    rig_wait(rig, &rig->audits, 1);
    (void)snprintf(expected, sizeof(expected), "uid:%d pid:%d", (int)geteuid(), (int)getpid());
    assert_string_equal(rig->audit_peer.name, expected);
    assert_string_equal(rig->audit_peer.address, "unix");
    assert_int_equal(rig->audit_peer.role, RPC_ROLE_OPERATOR);
    assert_string_equal(rig->audit_method, ECHO "Unary");
    assert_int_equal(rig->audit.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(rig->audit_text, "asked to fail: ÄÖ %");
    assert_true(rig->audit.duration_ns > 0 && rig->audit.duration_ns < 10 * OSA_NS_PER_SEC);
}

/* One loop serves both sides here, so what is current is looked at in each one's own callbacks. */
static void test_trace(void **state)
{
    struct rig *rig = *state;
    static const char parent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct osa_trace *trace = osa_trace_new(parent, "vendor=x");
    static const char *const methods[] = { ECHO "Unary", ECHO "Quick", "/rpc_test.Echo/None" };
    for (int i = 0; i < 3; i++) {
        struct probe probe = { 0 };
        struct osa_trace_scope scope = osa_trace_enter(trace);
        probe_start(rig, &probe, methods[i], OSA_NEVER);
        osa_trace_leave(&scope);
        probe_send(&probe, "hello", 1);
        rpc_client_half_close(probe.call);
        probe_wait(rig, &probe);
        rig_wait(rig, &rig->audits, i * 2 + 1);
        assert_string_equal(rig->audit_trace, parent);
        struct probe without = { 0 };
        probe_unary(rig, &without, methods[i], "hello", 1);
        rig_wait(rig, &rig->audits, i * 2 + 2);
        assert_string_equal(rig->audit_trace, "");
    }
    osa_trace_unref(trace);
}

static void test_inline(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    for (int i = 0; i < 200; i++) {
        probe_unary(rig, &probe, ECHO "Quick", "quick", i);
        assert_int_equal(probe.error.code, OSA_OK);
        assert_int_equal(probe.last_number, i + 1);
    }
    probe_unary(rig, &probe, ECHO "Quick", "silent", 0);
    assert_int_equal(probe.error.code, OSA_INTERNAL);
    assert_string_equal(probe.error.text, ECHO "Quick gave no answer");
}

static void test_failure_carries_details(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_unary(rig, &probe, ECHO "Unary", "fail", 0);
    assert_int_equal(probe.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(probe.error.text, "asked to fail: ÄÖ %");
    Google__Rpc__Status *status =
        google__rpc__status__unpack(NULL, probe.details_len, probe.details);
    assert_non_null(status);
    assert_int_equal(status->code, OSA_FAILED_PRECONDITION);
    assert_string_equal(status->message, "asked to fail: ÄÖ %");
    assert_int_equal(status->n_details, 1);
    assert_string_equal(status->details[0]->type_url, "type.googleapis.com/rpc_test.Item");
    RpcTest__Item *detail =
        rpc_test__item__unpack(NULL, status->details[0]->value.len, status->details[0]->value.data);
    assert_non_null(detail);
    assert_string_equal(detail->text, "the detail");
    rpc_test__item__free_unpacked(detail, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

static void test_server_stream(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_unary(rig, &probe, ECHO "Download", "", 1000);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.messages, 1000);
    assert_int_equal(probe.last_number, 1);
}

/* 20 MB for a reader that stops: the server holds its bound, and the rest comes when reading goes on. */
static void test_slow_reader_is_bounded(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { .pause_after_first = true };
    static uint8_t filler[20000];
    probe_start(rig, &probe, ECHO "Download", OSA_NEVER);
    RpcTest__Item item = RPC_TEST__ITEM__INIT;
    item.number = 1000;
    item.data = (ProtobufCBinaryData){ sizeof(filler), filler };
    assert_true(rpc_client_send(probe.call, &item.base));
    rpc_client_half_close(probe.call);
    rig_run_for(rig, 200 * OSA_NS_PER_MS);
    assert_int_equal(probe.messages, 1);
    assert_false(probe.done);
    probe.pause_after_first = false;
    rpc_client_pause(probe.call, false);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.messages, 1000);
    assert_int_equal(probe.bytes, 1000 * sizeof(filler));
}

static void test_client_stream(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Upload", OSA_NEVER);
    for (int i = 1; i <= 100; i++)
        probe_send(&probe, "", i);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.messages, 1);
    assert_int_equal(probe.last_number, 5050);
    assert_int_equal(rig->half_closes, 1);
}

static void test_bidi_stream(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Chat", OSA_NEVER);
    for (int i = 1; i <= 50; i++) {
        probe_send(&probe, "ping", i);
        rig_wait(rig, &probe.messages, i);
        assert_int_equal(probe.last_number, i);
    }
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(probe.messages, 50);
    rig_wait(rig, &rig->dones, 1);
    assert_int_equal(rig->cancelled, 0);
}

static void test_bidi_fails_midway(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Chat", OSA_NEVER);
    probe_send(&probe, "a", 1);
    probe_send(&probe, "fail", 2);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_FAILED_PRECONDITION);
    assert_int_equal(probe.messages, 1); /* what was queued before is sent */
    rig_wait(rig, &rig->dones, 1);
}

static void test_client_backpressure(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    static uint8_t filler[100000];
    RpcTest__Item item = RPC_TEST__ITEM__INIT;
    item.data = (ProtobufCBinaryData){ sizeof(filler), filler };
    probe_start(rig, &probe, ECHO "Upload", OSA_NEVER);
    int sent = 1;
    while (rpc_client_send(probe.call, &item.base))
        sent++;
    assert_int_equal(sent,
                     3); /* 256 KiB are admitted, the message that crosses the line included */
    rig_wait(rig, &probe.writables, 1);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    assert_int_equal(rig->messages, 3);
}

static void test_client_cancels(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Hang", OSA_NEVER);
    probe_send(&probe, "", 0);
    rig_wait(rig, &rig->messages, 1);
    assert_false(rpc_call_is_cancelled(rig->hanging));
    rpc_client_cancel(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_CANCELLED);
    rig_wait(rig, &rig->dones, 1);
    assert_int_equal(rig->cancelled, 1);
    rig_wait(rig, &rig->audits, 1);
    assert_int_equal(rig->audit.code, OSA_CANCELLED);
}

static void test_deadline(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    int64_t deadline = osa_deadline_after(300 * OSA_NS_PER_MS);
    probe_start(rig, &probe, ECHO "Hang", deadline);
    probe_send(&probe, "", 0);
    rpc_client_half_close(probe.call);
    rig_wait(rig, &rig->messages, 1);
    int64_t seen = rpc_call_deadline_ns(rig->hanging);
    assert_true(seen > deadline - 100 * OSA_NS_PER_MS && seen < deadline + 100 * OSA_NS_PER_MS);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_DEADLINE_EXCEEDED);
    assert_true(osa_now_ns() >= deadline - 5 * OSA_NS_PER_MS);
    rig_wait(rig, &rig->dones, 1);
    assert_int_equal(rig->cancelled, 1);
}

static void test_reference_outlives_done(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Hang", OSA_NEVER);
    probe_send(&probe, "", 0);
    rig_wait(rig, &rig->messages, 1);
    struct rpc_call *call = rpc_call_ref(rig->hanging);
    assert_int_equal(rpc_call_deadline_ns(call), OSA_NEVER);
    rpc_client_cancel(probe.call);
    probe_wait(rig, &probe);
    rig_wait(rig, &rig->dones, 1);
    RpcTest__Item item = RPC_TEST__ITEM__INIT;
    assert_false(rpc_call_send(call, &item.base));
    rpc_call_finish(call);
    assert_null(rpc_call_metadata(call, "user-agent"));
    assert_true(rpc_call_is_cancelled(call));
    rpc_call_unref(call);
}

static void test_unknown_method(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    for (int i = 0; i < 10; i++) {
        probe_unary(rig, &probe, "/no.Such/Thing", "", 0);
        assert_int_equal(probe.error.code, OSA_UNIMPLEMENTED);
        assert_string_equal(probe.error.text, "this server has no method /no.Such/Thing");
    }
    rig_wait(rig, &rig->audits, 10);
    assert_string_equal(rig->audit_method, "/no.Such/Thing");
}

static void test_request_too_large(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    static uint8_t filler[(1 << 20) + 1];
    RpcTest__Item item = RPC_TEST__ITEM__INIT;
    item.data = (ProtobufCBinaryData){ sizeof(filler), filler };
    probe_start(rig, &probe, ECHO "Unary", OSA_NEVER);
    (void)rpc_client_send(probe.call, &item.base);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_RESOURCE_EXHAUSTED);
    assert_int_equal(rig->messages, 0);
    probe_start(rig, &probe, ECHO "Upload", OSA_NEVER);
    (void)rpc_client_send(probe.call, &item.base);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_RESOURCE_EXHAUSTED);
    probe_unary(rig, &probe, ECHO "Unary", "fine", 1); /* the connection has survived */
    assert_int_equal(probe.error.code, OSA_OK);
}

static void test_no_message(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Unary", OSA_NEVER);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(probe.error.text, "the call carries no request message");
}

static void test_bad_utf8(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_unary(rig, &probe, ECHO "Unary", "\xff", 0);
    assert_int_equal(probe.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(probe.error.text, "text is not valid UTF-8");
    assert_int_equal(rig->messages, 0);
}

static void test_unary_helper(void **state)
{
    struct rig *rig = *state;
    RpcTest__Item item = RPC_TEST__ITEM__INIT;
    ProtobufCMessage *reply = NULL;
    struct osa_error err = { 0 };
    item.text = (char *)"sync";
    assert_int_equal(rpc_client_unary(rig->channel, ECHO "Unary", &item.base,
                                      &rpc_test__item__descriptor, OSA_NEVER, &reply, &err),
                     OSA_OK);
    assert_string_equal(((RpcTest__Item *)reply)->text, "sync");
    protobuf_c_message_free_unpacked(reply, NULL);
    item.text = (char *)"fail";
    assert_int_equal(rpc_client_unary(rig->channel, ECHO "Unary", &item.base,
                                      &rpc_test__item__descriptor, OSA_NEVER, &reply, &err),
                     OSA_FAILED_PRECONDITION);
    assert_string_equal(err.text, "asked to fail: ÄÖ %");
}

static void test_many_at_once(void **state)
{
    struct rig *rig = *state;
    static struct probe probes[200];
    for (size_t i = 0; i < OSA_ARRAY_LEN(probes); i++) {
        probe_start(rig, &probes[i], ECHO "Unary", OSA_NEVER);
        probe_send(&probes[i], "x", (int64_t)i);
        rpc_client_half_close(probes[i].call);
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(probes); i++) {
        probe_wait(rig, &probes[i]);
        assert_int_equal(probes[i].error.code, OSA_OK);
        assert_int_equal(probes[i].last_number, i + 1);
    }
}

static void test_graceful_shutdown(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Chat", OSA_NEVER);
    probe_send(&probe, "before", 1);
    rig_wait(rig, &probe.messages, 1);
    rpc_server_shutdown(rig->server, osa_deadline_after(10 * OSA_NS_PER_SEC), NULL, NULL);
    probe_send(&probe, "after", 2); /* what runs may end */
    rig_wait(rig, &probe.messages, 2);
    struct probe late = { 0 };
    probe_unary(rig, &late, ECHO "Unary", "late", 0); /* what is new may not */
    assert_int_equal(late.error.code, OSA_UNAVAILABLE);
    rpc_client_half_close(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_OK);
    rig->drained = true;
}

static void test_forced_shutdown(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_start(rig, &probe, ECHO "Hang", OSA_NEVER);
    probe_send(&probe, "", 1);
    rig_wait(rig, &rig->messages, 1);
    int64_t before = osa_now_ns();
    rig_shutdown(rig, 100 * OSA_NS_PER_MS);
    int64_t took = osa_now_ns() - before;
    assert_true(took >= 99 * OSA_NS_PER_MS && took < 5 * OSA_NS_PER_SEC);
    assert_int_equal(rig->dones, 1);
    assert_int_equal(rig->cancelled, 1);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_UNAVAILABLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(unary),
        TEST(unary_is_audited),
        TEST(trace),
        TEST(inline),
        TEST(failure_carries_details),
        TEST(server_stream),
        TEST(slow_reader_is_bounded),
        TEST(client_stream),
        TEST(bidi_stream),
        TEST(bidi_fails_midway),
        TEST(client_backpressure),
        TEST(client_cancels),
        TEST(deadline),
        TEST(reference_outlives_done),
        TEST(unknown_method),
        TEST(request_too_large),
        TEST(no_message),
        TEST(bad_utf8),
        TEST(unary_helper),
        TEST(many_at_once),
        TEST(graceful_shutdown),
        TEST(forced_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
