// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "egress/hello.h"
#include "egress/target.h"

#include <stdio.h>
#include <string.h>

static struct head_span span(const char *text)
{
    return (struct head_span){ text, strlen(text) };
}

static void good(const char *text, uint16_t default_port, const char *want)
{
    struct target target;
    char shown[TARGET_TEXT_SIZE];
    const char *fault = target_parse(span(text), default_port, &target);
    if (fault != NULL)
        fail_msg("'%s': %s", text, fault);
    assert_string_equal(target_text(&target, shown), want);
}

static void bad(const char *text, uint16_t default_port, const char *want)
{
    struct target target;
    const char *fault = target_parse(span(text), default_port, &target);
    assert_non_null(fault);
    assert_string_equal(fault, want);
}

static void test_authority(void **state)
{
    (void)state;
    good("API.Example.test:443", 0, "api.example.test:443");
    good("a.test", 80, "a.test:80");
    good("a.test.:1", 0, "a.test.:1");
    good("a_b-c.test:65535", 0, "a_b-c.test:65535");
    good("192.0.2.1:8080", 0, "192.0.2.1:8080");
    good("[2001:DB8:0:0::1]:443", 0, "[2001:db8::1]:443");
    good("[::ffff:1.2.3.4]", 80, "[::ffff:1.2.3.4]:80");
    good("1.2.3.4.test:1", 0, "1.2.3.4.test:1");
    bad("a.test", 0, "no port");
    bad("a.test:", 0, "no port");
    bad("a.test:0", 0, "a port that is not 1 to 65535");
    bad("a.test:65536", 0, "a port that is not 1 to 65535");
    bad("a.test:+1", 0, "a port that is no number");
    bad(":80", 0, "no host");
    bad("[::1", 80, "a bracket that is not closed");
    bad("[::1%25eth0]:80", 0, "a malformed IPv6 address");
    bad("[1.2.3.4]:80", 0, "a malformed IPv6 address");
    bad("[::1]x:80", 0, "text after the host");
    bad("a..test:80", 0, "a host name with an empty label");
    bad(".:80", 0, "a host name with an empty label");
    static const char odd[] =
        "a host name with other characters than letters, digits, '-', '_' and '.'";
    bad("user@a.test:80", 0, odd);
    bad("a%2etest:80", 0, odd);
    bad("a test:80", 0, odd);
    bad("k\xe2\x84\xaa.test:80", 0, odd); /* U+212A folds to k elsewhere */
}

/* peers of id 58: what resolvers take for addresses. */
static void test_numbers(void **state)
{
    (void)state;
    static const char fault[] = "a number in place of a host";
    bad("2130706433:80", 0, fault);
    bad("0x7f000001:80", 0, fault);
    bad("0X7F.1:80", 0, fault);
    bad("127.1:80", 0, fault);
    bad("0177.0.0.1:80", 0, fault);
    bad("127.0.0.1.:80", 0, fault);
    bad("a.0x:80", 0, fault);
    bad("1.2.3.4.5:80", 0, fault);
    bad("256.1.1.1:80", 0, fault);
}

static void test_absolute(void **state)
{
    (void)state;
    struct head_span scheme;
    struct head_span path;
    struct target target;
    char shown[TARGET_TEXT_SIZE];
    assert_null(target_parse_absolute(span("http://A.test/x?y=/z"), &scheme, &target, &path));
    assert_string_equal(target_text(&target, shown), "a.test:80");
    assert_true(span_is(path, "/x?y=/z"));
    assert_string_equal(target_host_field(&target, 80, shown), "a.test");
    assert_null(target_parse_absolute(span("HTTP://[::2]:81?q"), &scheme, &target, &path));
    assert_string_equal(target_host_field(&target, 80, shown), "[::2]:81");
    assert_true(span_is(path, "?q"));
    assert_null(target_parse_absolute(span("https://a.test/"), &scheme, &target, &path));
    assert_true(span_is(scheme, "https"));
    static const char none[] = "a target that is no absolute URI";
    assert_string_equal(target_parse_absolute(span("/x"), &scheme, &target, &path), none);
    assert_string_equal(target_parse_absolute(span("*"), &scheme, &target, &path), none);
    assert_string_equal(target_parse_absolute(span("/http://a/"), &scheme, &target, &path), none);
    assert_string_equal(target_parse_absolute(span("http://a.test/#f"), &scheme, &target, &path),
                        "a fragment in the target");
    assert_string_equal(target_parse_absolute(span("http:///x"), &scheme, &target, &path),
                        "no host");
    assert_non_null(target_parse_absolute(span("http://u:p@a.test/"), &scheme, &target, &path));
}

static void test_same(void **state)
{
    (void)state;
    struct target a;
    struct target b;
    assert_null(target_parse(span("a.test:80"), 0, &a));
    assert_null(target_parse(span("A.test.:80"), 0, &b));
    assert_true(target_same(&a, &b));
    assert_null(target_parse(span("a.test:81"), 0, &b));
    assert_false(target_same(&a, &b));
    assert_null(target_parse(span("a.test2:80"), 0, &b));
    assert_false(target_same(&a, &b));
}

/* ---- ClientHello ---- */

struct bytes {
    uint8_t data[70000];
    size_t len;
};

static void put(struct bytes *b, size_t value, unsigned size)
{
    while (size-- > 0)
        b->data[b->len++] = (uint8_t)(value >> (8 * size));
}

/* A hello with @name (NULL: none), with so many bytes of another extension, in records of @record bytes. */
static void make_hello(struct bytes *ret, const char *name, size_t padding, size_t record)
{
    static struct bytes body;
    size_t name_len = name != NULL ? strlen(name) : 0;
    size_t extensions = 4 + padding + (name != NULL ? 9 + name_len : 0);
    body.len = ret->len = 0;
    put(&body, 0x0303, 2);
    for (unsigned i = 0; i < 32; i++)
        put(&body, i, 1);
    put(&body, 0, 1);
    put(&body, 2, 2);
    put(&body, 0x1301, 2);
    put(&body, 0x0100, 2);
    put(&body, extensions, 2);
    put(&body, 0x0a0a, 2); /* GREASE */
    put(&body, padding, 2);
    for (size_t i = 0; i < padding; i++)
        put(&body, 0, 1);
    if (name != NULL) {
        put(&body, 0, 2);
        put(&body, name_len + 5, 2);
        put(&body, name_len + 3, 2);
        put(&body, 0, 1);
        put(&body, name_len, 2);
        for (size_t i = 0; i < name_len; i++)
            put(&body, (uint8_t)name[i], 1);
    }
    static struct bytes message;
    message.len = 0;
    put(&message, 1, 1);
    put(&message, body.len, 3);
    memcpy(message.data + 4, body.data, body.len);
    message.len += body.len;
    for (size_t at = 0; at < message.len; at += record) {
        size_t part = message.len - at < record ? message.len - at : record;
        put(ret, 22, 1);
        put(ret, 0x0301, 2);
        put(ret, part, 2);
        memcpy(ret->data + ret->len, message.data + at, part);
        ret->len += part;
    }
}

static void test_hello(void **state)
{
    (void)state;
    static struct bytes b;
    struct hello hello;
    make_hello(&b, "API.Example.test", 100, 16384);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(hello_parse(b.data, len, &hello), HELLO_MORE);
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_GOOD);
    assert_string_equal(hello.name, "api.example.test");
    make_hello(&b, "a.test", 1700, 1); /* a record for each byte */
    for (size_t len = 0; len < b.len; len += 7)
        assert_int_equal(hello_parse(b.data, len, &hello), HELLO_MORE);
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_GOOD);
    assert_string_equal(hello.name, "a.test");
    make_hello(&b, NULL, 10, 16384);
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_GOOD);
    assert_string_equal(hello.name, "");
    make_hello(&b, "a.test", 60000, 16384);
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_GOOD);
}

static void test_bad_hello(void **state)
{
    (void)state;
    static struct bytes b;
    struct hello hello;
    assert_int_equal(hello_parse((const uint8_t *)"GET / HTTP", 10, &hello), HELLO_NOT_TLS);
    assert_int_equal(hello_parse((const uint8_t *)"\x16\x02", 2, &hello), HELLO_NOT_TLS);
    make_hello(&b, "a.test", 65490, 16384); /* too long */
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_BAD);
    make_hello(&b, "a/test", 0, 16384);
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_BAD);
    make_hello(&b, "", 0, 16384);
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_BAD);
    make_hello(&b, "a.test", 0, 16384);
    b.data[5] = 2; /* a ServerHello */
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_BAD);
    make_hello(&b, "a.test", 0, 16384);
    b.data[b.len - 1] = 'x'; /* still well-formed */
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_GOOD);
    b.data[5 + 4 + 2 + 32 + 1 + 4 + 2 + 1]++; /* extensions longer than the message */
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_BAD);
    make_hello(&b, "a.test", 0, 16384);
    b.data[3] = 0xff; /* a record of more than 16 KiB */
    assert_int_equal(hello_parse(b.data, b.len, &hello), HELLO_BAD);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authority), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_absolute),  cmocka_unit_test(test_same),
        cmocka_unit_test(test_hello),     cmocka_unit_test(test_bad_hello),
    };
    return cmocka_run_group_tests_name("egress target", tests, NULL, NULL);
}
