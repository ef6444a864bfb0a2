// SPDX-License-Identifier: Apache-2.0
/* The HTTP/2 guard alone: what it counts, where it says no, and that it sees the same however bytes are cut. */
#include "rpc/http2_guard.h"

#include "base/macros.h"

#include "cmocka_all.h"

#include <string.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, CONTINUATION = 9 };

struct bytes {
    uint8_t data[200000];
    size_t len;
};

static void put_frame(struct bytes *bytes, uint8_t type, uint8_t flags, size_t len)
{
    const uint8_t head[9] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, 1
    };
    assert_true(bytes->len + sizeof(head) + len <= sizeof(bytes->data));
    memcpy(bytes->data + bytes->len, head, sizeof(head));
    /* A payload that looks like frames of one reset each. */
    for (size_t i = 0; i < len; i++)
        bytes->data[bytes->len + sizeof(head) + i] = i % 9 == 3 ? RST_STREAM : 0;
    bytes->len += sizeof(head) + len;
}

static struct bytes *start(void)
{
    static struct bytes bytes;
    bytes.len = sizeof(PREFACE) - 1;
    memcpy(bytes.data, PREFACE, bytes.len);
    put_frame(&bytes, SETTINGS, 0, 6);
    return &bytes;
}

/* Feeds in pieces of @piece bytes. */
static const char *feed(const struct bytes *bytes, size_t piece, uint32_t *ret_resets)
{
    struct http2_guard guard;
    const char *wrong = NULL;
    http2_guard_init(&guard);
    *ret_resets = 0;
    for (size_t at = 0; at < bytes->len && wrong == NULL; at += piece) {
        uint32_t resets;
        wrong =
            http2_guard_feed(&guard, bytes->data + at, OSA_MIN(piece, bytes->len - at), &resets);
        *ret_resets += resets;
    }
    return wrong;
}

static void expect(const struct bytes *bytes, const char *wrong, uint32_t resets)
{
    static const size_t pieces[] = { 1, 2, 7, 8, 9, 10, 1000, sizeof(bytes->data) };
    for (size_t i = 0; i < OSA_ARRAY_LEN(pieces); i++) {
        uint32_t got;
        const char *said = feed(bytes, pieces[i], &got);
        if (wrong == NULL)
            assert_null(said);
        else
            assert_string_equal(said, wrong);
        assert_int_equal(got, resets);
    }
}

static void test_honest_traffic(void **state)
{
    (void)state;
    struct bytes *bytes = start();
    for (int i = 0; i < 100; i++) {
        put_frame(bytes, HEADERS, 0, 500); /* a block in three frames */
        put_frame(bytes, CONTINUATION, 0, 0);
        put_frame(bytes, CONTINUATION, 4, 500);
        put_frame(bytes, DATA, 1, 100);
    }
    put_frame(bytes, RST_STREAM, 0, 4);
    put_frame(bytes, RST_STREAM, 0, 4);
    expect(bytes, NULL, 2);
}

static void test_headers_that_do_not_end(void **state)
{
    (void)state;
    struct bytes *bytes = start();
    put_frame(bytes, HEADERS, 0, 16384);
    for (int i = 0; i < 3; i++)
        put_frame(bytes, CONTINUATION, 0, 16384);
    expect(bytes, NULL, 0); /* exactly the bound */
    put_frame(bytes, CONTINUATION, 0, 1);
    expect(bytes, "its headers do not end", 0);
}

static void test_empty_continuations(void **state)
{
    (void)state;
    struct bytes *bytes = start();
    put_frame(bytes, HEADERS, 0, 10);
    for (unsigned i = 1; i < HTTP2_BLOCK_FRAMES; i++)
        put_frame(bytes, CONTINUATION, 0, 0);
    expect(bytes, NULL, 0);
    put_frame(bytes, CONTINUATION, 4, 0); /* its end comes too late */
    expect(bytes, "its headers do not end", 0);
}

static void test_one_frame_that_is_too_large(void **state)
{
    (void)state;
    struct bytes *bytes = start();
    put_frame(bytes, HEADERS, 4, 65537);
    expect(bytes, "its headers do not end", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest_traffic),
        cmocka_unit_test(test_headers_that_do_not_end),
        cmocka_unit_test(test_empty_continuations),
        cmocka_unit_test(test_one_frame_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
