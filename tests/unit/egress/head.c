// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "egress/head.h"
#include "io/http1.h"

#include <string.h>

static const char *fault_of(const char *text, size_t len, bool response)
{
    struct head head;
    assert_int_equal(head_end(text, len), len);
    return head_parse(text, len, response, &head);
}

#define REQUEST(text) fault_of(text, sizeof(text) - 1, false)
#define RESPONSE(text) fault_of(text, sizeof(text) - 1, true)

static void test_whole(void **state)
{
    (void)state;
    static const char text[] = "GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n"
                               "X-Name: \t caf\xc3\xa9 \r\nConnection: X-Hop, upgrade\r\n"
                               "x-hop: 1\r\nUpgrade: websocket\r\nEmpty:\r\n\r\n";
    struct head head;
    assert_int_equal(head_end(text, sizeof(text) - 2), 0);
    assert_int_equal(head_end(text, sizeof(text) - 1), sizeof(text) - 1);
    assert_null(head_parse(text, sizeof(text) - 1, false, &head));
    assert_true(span_is(head.method, "GET"));
    assert_true(span_is(head.target, "http://a.test/x?y"));
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.count, 6);
    assert_true(span_is(head.host, "A.TEST"));
    assert_true(span_is(head_find(&head, "x-name")->value, "caf\xc3\xa9"));
    assert_int_equal(head_find(&head, "EMPTY")->value.len, 0);
    assert_null(head_find(&head, "none"));
    assert_true(head.wants_upgrade);
    assert_false(head.wants_close);
    assert_true(head_is_hop_field(&head, head_find(&head, "x-hop")));
    assert_true(head_is_hop_field(&head, head_find(&head, "connection")));
    assert_false(head_is_hop_field(&head, head_find(&head, "x-name")));
    static const char answer[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\n";
    assert_null(head_parse(answer, sizeof(answer) - 1, true, &head));
    assert_int_equal(head.status, 404);
    assert_true(head.has_length);
    assert_int_equal(head.length, 12);
    assert_null(RESPONSE("HTTP/1.0 200\r\n\r\n"));
    assert_null(REQUEST("GET / HTTP/1.0\r\n\r\n"));
}

/* peers of id 60 to 62: what two readers could take for two things. */
static void test_faults(void **state)
{
    (void)state;
#define HOST "Host: a\r\n"
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n"
                                "Content-Length: 1\r\n\r\n"),
                        "Content-Length twice");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n"),
                        "Transfer-Encoding together with Content-Length");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, x\r\n\r\n"),
                        "a Transfer-Encoding other than chunked");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"),
                        "a Transfer-Encoding other than chunked");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n"),
                        "a Transfer-Encoding other than chunked");
    assert_string_equal(REQUEST("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
                        "Transfer-Encoding in HTTP/1.0");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n"),
                        "a field name that is no token");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
                                "chunked\r\n\r\n"),
                        "a control character");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), "a folded line");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n"),
                        "a control character");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "X: a\rY: b\r\n\r\n"),
                        "a line that does not end with CR LF");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"),
                        "a control character");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "X: \xff\r\n\r\n"),
                        "text that is not UTF-8");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), "Host twice");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n\r\n"), "no Host");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n"),
                        "a malformed Content-Length");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Content-Length: 1,1\r\n\r\n"),
                        "a malformed Content-Length");
    assert_string_equal(
        REQUEST("GET / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\n"),
        "a malformed Content-Length");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "Connection: content-length\r\n\r\n"),
                        "a Connection field that names the framing");
    assert_string_equal(REQUEST("GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n"),
                        "a line without a colon");
    assert_string_equal(REQUEST("GET  / HTTP/1.1\r\n" HOST "\r\n"), "blanks in the request line");
    assert_string_equal(REQUEST("GET /\r\n" HOST "\r\n"),
                        "a request line without method, target and version");
    assert_string_equal(REQUEST("GET / HTTP/2.0\r\n" HOST "\r\n"),
                        "a version other than HTTP/1.0 and HTTP/1.1");
    assert_string_equal(REQUEST("G(T / HTTP/1.1\r\n" HOST "\r\n"), "a method that is no token");
    assert_string_equal(REQUEST("\r\nGET / HTTP/1.1\r\n" HOST "\r\n") != NULL ? "fault" : "none",
                        "fault");
    assert_string_equal(RESPONSE("HTTP/1.1 99 X\r\n\r\n"), "a malformed status line");
}

static void test_many_fields(void **state)
{
    (void)state;
    struct head head;
    struct osa_buf text;
    osa_buf_init(&text, 8192);
    (void)osa_buf_addf(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < HEAD_MAX_FIELDS; i++)
        (void)osa_buf_addf(&text, "X: y\r\n");
    (void)osa_buf_addf(&text, "\r\n");
    assert_string_equal(head_parse(text.data, text.len, false, &head), "too many fields");
    osa_buf_done(&text);
}

/* ---- framing ---- */

static enum http1_result body_of(struct http1 *http, const char *data, struct osa_buf *out,
                                 size_t *ret_used)
{
    return http1_body(http, data, strlen(data), out, ret_used);
}

static void test_framing(void **state)
{
    (void)state;
    struct http1_framing framing;
    struct osa_buf out;
    size_t used;
    osa_buf_init(&out, 1024);
    struct http1 *http = http1_new(false);
    static const char none[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(http1_head(http, none, sizeof(none) - 1, false, &framing), HTTP1_DONE);
    assert_true(framing.keep_alive);
    static const char chunked[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_int_equal(http1_head(http, chunked, sizeof(chunked) - 1, false, &framing), HTTP1_MORE);
    assert_true(framing.chunked);
    assert_int_equal(body_of(http, "3\r\nab", &out, &used), HTTP1_MORE);
    assert_int_equal(body_of(http, "c\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\nGET /", &out, &used),
                     HTTP1_DONE);
    assert_string_equal(out.data, "abcde");
    assert_int_equal(used, strlen("c\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"));
    static const char length[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    osa_buf_reset(&out);
    assert_int_equal(http1_head(http, length, sizeof(length) - 1, false, &framing), HTTP1_MORE);
    assert_int_equal(body_of(http, "xyzGET", &out, &used), HTTP1_DONE);
    assert_int_equal(used, 3);
    assert_int_equal(http1_head(http, chunked, sizeof(chunked) - 1, false, &framing), HTTP1_MORE);
    assert_int_equal(body_of(http, "3 \r\nabc\r\n", &out, &used), HTTP1_BAD);
    assert_int_equal(http1_head(http, chunked, sizeof(chunked) - 1, false, &framing), HTTP1_MORE);
    assert_int_equal(body_of(http, "3\nabc\r\n", &out, &used), HTTP1_BAD);
    assert_int_equal(http1_head(http, chunked, sizeof(chunked) - 1, false, &framing), HTTP1_MORE);
    assert_int_equal(body_of(http, "ffffffffffffffffff\r\n", &out, &used), HTTP1_BAD);
    http1_free(http);
    osa_buf_done(&out);
}

static void test_response_framing(void **state)
{
    (void)state;
    struct http1_framing framing;
    struct osa_buf out;
    size_t used;
    osa_buf_init(&out, 1024);
    struct http1 *http = http1_new(true);
    static const char eof[] = "HTTP/1.1 200 OK\r\n\r\n";
    assert_int_equal(http1_head(http, eof, sizeof(eof) - 1, false, &framing), HTTP1_MORE);
    assert_true(framing.until_eof);
    assert_int_equal(body_of(http, "to the end", &out, &used), HTTP1_MORE);
    assert_int_equal(http1_eof(http), HTTP1_DONE);
    assert_string_equal(out.data, "to the end");
    static const char length[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_int_equal(http1_head(http, length, sizeof(length) - 1, true, &framing), HTTP1_DONE);
    assert_int_equal(http1_head(http, length, sizeof(length) - 1, false, &framing), HTTP1_MORE);
    assert_int_equal(body_of(http, "abc", &out, &used), HTTP1_MORE);
    assert_int_equal(http1_eof(http), HTTP1_BAD); /* cut short */
    static const char nothing[] = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_int_equal(http1_head(http, nothing, sizeof(nothing) - 1, false, &framing), HTTP1_DONE);
    http1_free(http);
    osa_buf_done(&out);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_response_framing),
    };
    return cmocka_run_group_tests_name("egress head", tests, NULL, NULL);
}
