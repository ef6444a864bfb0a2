// SPDX-License-Identifier: Apache-2.0
/* What a client of ours would never send: each gets its code, and the next honest call is served. */
#include "cmocka_all.h"
#include "rig.h"

#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int setup(void **state)
{
    static struct rig rig;
    rig_init(&rig);
    struct osa_error err = { 0 };
    struct rpc_server_config config = { .max_message_bytes = 1 << 20, .max_streams = 100 };
    assert_int_equal(rig_serve(&rig, config, &err), OSA_OK);
    rig_connect(&rig, (struct rpc_channel_config){ 0 });
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    probe_unary(rig, &probe, ECHO "Unary", "honest", 1);
    assert_int_equal(probe.error.code, OSA_OK);
    rig_done(rig);
    return 0;
}

/* ---- one unary call on bare C core ---- */

struct raw {
    grpc_status_code status;
    char text[256];
};

static void run_batch(struct rig *rig, grpc_completion_queue *queue)
{
    for (int64_t end = osa_deadline_after(10 * OSA_NS_PER_SEC);;) {
        gpr_timespec soon =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(2, GPR_TIMESPAN));
        if (grpc_completion_queue_next(queue, soon, NULL).type == GRPC_OP_COMPLETE)
            return;
        assert_true(osa_now_ns() < end);
        (void)osa_loop_run_once(rig->loop, osa_deadline_after(2 * OSA_NS_PER_MS));
    }
}

static struct raw raw_call(struct rig *rig, const grpc_channel_args *args, grpc_metadata *metadata,
                           const void *payload, size_t len)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel_credentials *insecure = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(rig->socket, insecure, args);
    grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                               grpc_slice_from_static_string(ECHO "Unary"), NULL,
                                               gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice slice = grpc_slice_from_copied_buffer(payload, len);
    grpc_byte_buffer *request = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_byte_buffer *response = NULL;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    struct raw raw = { 0 };
    grpc_slice text = grpc_empty_slice();
    grpc_op ops[6] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },  { .op = GRPC_OP_SEND_MESSAGE },
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT }, { .op = GRPC_OP_RECV_INITIAL_METADATA },
        { .op = GRPC_OP_RECV_MESSAGE },           { .op = GRPC_OP_RECV_STATUS_ON_CLIENT }
    };
    ops[0].data.send_initial_metadata.count = metadata != NULL ? 1 : 0;
    ops[0].data.send_initial_metadata.metadata = metadata;
    ops[1].data.send_message.send_message = request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[4].data.recv_message.recv_message = &response;
    ops[5].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[5].data.recv_status_on_client.status = &raw.status;
    ops[5].data.recv_status_on_client.status_details = &text;
    assert_int_equal(grpc_call_start_batch(call, ops, 6, &raw, NULL), GRPC_CALL_OK);
    run_batch(rig, queue);
    (void)snprintf(raw.text, sizeof(raw.text), "%.*s", (int)GRPC_SLICE_LENGTH(text),
                   (const char *)GRPC_SLICE_START_PTR(text));
    grpc_slice_unref(text);
    grpc_slice_unref(slice);
    grpc_byte_buffer_destroy(request);
    grpc_byte_buffer_destroy(response);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    grpc_channel_destroy(channel);
    grpc_channel_credentials_release(insecure);
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(queue);
    return raw;
}

static void test_control(void **state)
{
    struct raw raw = raw_call(*state, NULL, NULL, "\x0a\x01x", 3);
    assert_string_equal(raw.text, "");
    assert_int_equal(raw.status, GRPC_STATUS_OK);
}

static void test_compressed(void **state)
{
    struct rig *rig = *state;
    static char bomb[500000] =
        "\x12\x9d\xc2\x1e"; /* data: 499,997 NULs, which shrink a thousandfold */
    grpc_arg gzip = { .type = GRPC_ARG_INTEGER,
                      .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
                      .value.integer = GRPC_COMPRESS_GZIP };
    struct raw raw = raw_call(rig, &(grpc_channel_args){ 1, &gzip }, NULL, bomb, 4 + 499997 - 1);
    assert_int_equal(raw.status, GRPC_STATUS_UNIMPLEMENTED);
    assert_non_null(strstr(raw.text, "ompress"));
    assert_int_equal(rig->messages, 0);
}

static void test_metadata_too_large(void **state)
{
    struct rig *rig = *state;
    static char value[20000];
    memset(value, 'v', sizeof(value) - 1);
    grpc_metadata metadata = { .key = grpc_slice_from_static_string("x-large"),
                               .value = grpc_slice_from_static_string(value) };
    struct raw raw = raw_call(rig, NULL, &metadata, "", 0);
    assert_int_equal(raw.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(rig->messages, 0);
    value[10000] = '\0'; /* half of it is fine */
    metadata.value = grpc_slice_from_static_string(value);
    raw = raw_call(rig, NULL, &metadata, "", 0);
    assert_int_equal(raw.status, GRPC_STATUS_OK);
}

static void test_malformed_messages(void **state)
{
    struct rig *rig = *state;
    struct raw raw = raw_call(rig, NULL, NULL,
                              "\x0a\x05"
                              "ab",
                              4);
    assert_int_equal(raw.status, GRPC_STATUS_INVALID_ARGUMENT);
    assert_string_equal(raw.text, "text is cut off");
    raw = raw_call(rig, NULL, NULL,
                   "\x0a\x03"
                   "a\0b",
                   5);
    assert_int_equal(raw.status, GRPC_STATUS_INVALID_ARGUMENT);
    assert_string_equal(raw.text, "text contains a NUL byte");
    static char entries[2 * 70000];
    for (size_t i = 0; i < sizeof(entries); i += 2)
        entries[i] = 0x42;
    raw = raw_call(rig, NULL, NULL, entries, sizeof(entries));
    assert_int_equal(raw.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(raw.text, "labels exceeds the elements of one message");
    assert_int_equal(rig->messages, 0);
}

/* ---- below gRPC ---- */

static int dial(const struct rig *rig)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->socket + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends @data @times over. Return: the server has hung up. */
static bool hangs_up(struct rig *rig, const void *data, size_t len, int times)
{
    int fd = dial(rig);
    bool closed = false;
    for (int i = 0; i < times && !closed; i++) {
        ssize_t put = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        closed = put < 0 && errno != EAGAIN;
        if (put < 0)
            rig_run_for(rig, 5 * OSA_NS_PER_MS);
    }
    for (int64_t end = osa_deadline_after(3 * OSA_NS_PER_SEC); !closed && osa_now_ns() < end;) {
        char answer[4096];
        ssize_t got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
        closed = got == 0 || (got < 0 && errno != EAGAIN);
        rig_run_for(rig, 5 * OSA_NS_PER_MS);
    }
    (void)close(fd);
    return closed;
}

static void test_no_http2(void **state)
{
    static const char http1[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    static const unsigned char tls[] = { 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0,
                                         0,    0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 0, 0 };
    assert_true(hangs_up(*state, http1, sizeof(http1) - 1, 1));
    assert_true(hangs_up(*state, tls, sizeof(tls), 1));
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

static void test_bad_frames(void **state)
{
    static const char huge_frame[] = PREFACE "\xff\xff\xff\0\0\0\0\0\1";
    static const char bad_settings[] = PREFACE "\0\0\5\4\0\0\0\0\0aaaaa";
    assert_true(hangs_up(*state, huge_frame, sizeof(huge_frame) - 1, 1));
    assert_true(hangs_up(*state, bad_settings, sizeof(bad_settings) - 1, 1));
}

/* Pings without a call, by the thousand: core answers with ENHANCE_YOUR_CALM and hangs up. */
static void test_ping_flood(void **state)
{
    static char flood[sizeof(PREFACE) - 1 + 1000 * 17] = PREFACE;
    for (size_t i = 0; i < 1000; i++)
        memcpy(flood + sizeof(PREFACE) - 1 + i * 17, "\0\0\10\6\0\0\0\0\0pingpong", 17);
    assert_true(hangs_up(*state, flood, sizeof(flood), 1));
}

static size_t put_header(char *out, const char *name, const char *value)
{
    /* RFC 7541, 6.2.2: literal, not indexed, new name; lengths below 127 are one byte */
    size_t name_len = strlen(name);
    size_t value_len = strlen(value);
    out[0] = 0;
    out[1] = (char)name_len;
    memcpy(out + 2, name, name_len);
    out[2 + name_len] = (char)value_len;
    memcpy(out + 3 + name_len, value, value_len);
    return 3 + name_len + value_len;
}

static bool is_closed(int fd)
{
    char answers[4096];
    ssize_t got;
    do
        got = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
    while (got > 0);
    return got == 0 || errno != EAGAIN;
}

/* A caller whom the socket knows may give up thousands of calls at once, but not without end. */
static void test_rapid_reset(void **state)
{
    enum { BATCH = 1000, FRAME = 9 + 10 + 13 };
    static char frames[BATCH * FRAME];
    struct rig *rig = *state;
#ifdef __SANITIZE_THREAD__
    print_message("needs C core's archives; this build links its shared library, unguarded\n");
    skip();
#endif
    int fd = dial(rig);
    assert_int_equal(send(fd, PREFACE, sizeof(PREFACE) - 1, MSG_NOSIGNAL), sizeof(PREFACE) - 1);
    uint32_t stream = 1;
    int sent = 0;
    bool closed = false;
    for (; sent < 100 * BATCH && !closed; sent += BATCH) {
        for (size_t i = 0; i < BATCH; i++, stream += 2) {
            char *at = frames + i * FRAME;
            const char id[] = { (char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8),
                                (char)stream };
            memcpy(at, "\0\0\12\1\4", 5); /* HEADERS: some header, nothing that makes a call */
            memcpy(at + 5, id, 4);
            (void)put_header(at + 9, "abc", "defg");
            memcpy(at + 19, "\0\0\4\3\0", 5);
            memcpy(at + 24, id, 4);
            memcpy(at + 28, "\0\0\0\10", 4);
        }
        for (size_t at = 0; at < sizeof(frames) && !closed;) {
            char answers[65536];
            ssize_t put = send(fd, frames + at, sizeof(frames) - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            at += put > 0 ? (size_t)put : 0;
            closed = put < 0 && errno != EAGAIN;
            ssize_t got = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
            closed |= got == 0 || (got < 0 && errno != EAGAIN);
            rig_run_for(rig, OSA_NS_PER_MS);
        }
    }
    (void)close(fd);
    assert_true(closed);
    assert_true(sent >= 8 * BATCH);
}

/* Headers that go on in frame after frame, full or empty. */
static void test_continuation_flood(void **state)
{
    static char full[9 + 16384] = "\0\100\0\11\0\0\0\0\1";
    static const char empty[] = "\0\0\0\11\0\0\0\0\1";
#ifdef __SANITIZE_THREAD__
    print_message("needs C core's archives; this build links its shared library, unguarded\n");
    skip();
#endif
    for (size_t at = 9; at + 10 <= sizeof(full); at += 10)
        (void)put_header(full + at, "abc", "defg");
    for (int round = 0; round < 2; round++) {
        int fd = dial(*state);
        static const char begin[] = PREFACE "\0\0\12\1\0\0\0\0\1\0\3abc\4defg";
        assert_int_equal(send(fd, begin, sizeof(begin) - 1, MSG_NOSIGNAL), sizeof(begin) - 1);
        const char *frame = round == 0 ? full : empty;
        size_t len = round == 0 ? 9 + 16380 : 9;
        full[1] = 0x3f; /* 16380 bytes: whole headers */
        full[2] = (char)0xfc;
        bool closed = false;
        for (int i = 0; i < 1000 && !closed; i++) {
            ssize_t put = send(fd, frame, len, MSG_NOSIGNAL);
            rig_run_for(*state, OSA_NS_PER_MS);
            closed = put < 0 || is_closed(fd);
        }
        (void)close(fd);
        assert_true(closed);
    }
}

/* Sends one unary call with that grpc-timeout and waits until its handler has run or it is cancelled. */
static void call_with_timeout(struct rig *rig, const char *timeout)
{
    char frames[1024] = PREFACE;
    size_t head = sizeof(PREFACE) - 1;
    size_t at = head + 9;
    const char *const headers[][2] = {
        { ":method", "POST" },      { ":scheme", "http" }, { ":path", ECHO "Hang" },
        { ":authority", "x" },      { "te", "trailers" },  { "content-type", "application/grpc" },
        { "grpc-timeout", timeout }
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(headers); i++)
        at += put_header(frames + at, headers[i][0], headers[i][1]);
    size_t len = at - head - 9;
    memcpy(frames + head, (char[]){ 0, (char)(len >> 8), (char)len, 1, 4, 0, 0, 0, 1 }, 9);
    memcpy(frames + at, "\0\0\5\0\1\0\0\0\1\0\0\0\0\0", 14); /* DATA: an empty message */
    int fd = dial(rig);
    assert_int_equal(send(fd, frames, at + 14, MSG_NOSIGNAL), (ssize_t)at + 14);
    rig_wait(rig, &rig->messages, 1);
    (void)close(fd);
    rig_wait(rig, &rig->dones, 1);
}

/* 99999999 hours, the longest that the header can say, do not fit into nanoseconds. */
static void test_timeout_of_eleven_thousand_years(void **state)
{
    struct rig *rig = *state;
    call_with_timeout(rig, "99999999H");
    assert_true(rig->deadline_ns == OSA_NEVER);
}

static void test_timeout_of_an_hour(void **state)
{
    struct rig *rig = *state;
    call_with_timeout(rig, "1H");
    assert_true(rig->deadline_ns > osa_deadline_after(3500 * OSA_NS_PER_SEC));
    assert_true(rig->deadline_ns <= osa_deadline_after(3600 * OSA_NS_PER_SEC));
}

/* Calls that are given up as soon as they are made; the server forgets each one. */
static void test_calls_begun_and_cancelled(void **state)
{
    struct rig *rig = *state;
    static struct probe probes[1000];
    for (size_t i = 0; i < OSA_ARRAY_LEN(probes); i++) {
        probe_start(rig, &probes[i], ECHO "Hang", OSA_NEVER);
        probe_send(&probes[i], "x", 1);
    }
    rig_wait(rig, &rig->messages, 100);
    assert_int_equal(rig->starts, 100); /* max_streams holds the others back */
    for (size_t i = 0; i < OSA_ARRAY_LEN(probes); i++)
        rpc_client_cancel(probes[i].call);
    for (size_t i = 0; i < OSA_ARRAY_LEN(probes); i++) {
        probe_wait(rig, &probes[i]);
        assert_int_equal(probes[i].error.code, OSA_CANCELLED);
    }
    rig_wait(rig, &rig->dones, rig->starts);
    assert_int_equal(rig->dones, rig->starts);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(control),
        TEST(compressed),
        TEST(metadata_too_large),
        TEST(malformed_messages),
        TEST(no_http2),
        TEST(bad_frames),
        TEST(ping_flood),
        TEST(timeout_of_an_hour),
        TEST(timeout_of_eleven_thousand_years),
        TEST(rapid_reset),
        TEST(continuation_flood),
        TEST(calls_begun_and_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
