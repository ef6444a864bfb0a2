// SPDX-License-Identifier: Apache-2.0
/* policy/guard: kinds and spellings of addresses, and which may be dialled. */
#include "cmocka_all.h"

#include "policy/guard.h"

#include <stdio.h>
#include <string.h>

static struct policy_address address(const char *text)
{
    struct policy_address a;
    assert_int_equal(policy_address_parse(text, &a), POLICY_SPELLING_PLAIN);
    return a;
}

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum policy_address_class expected;
    } cases[] = {
        { "8.8.8.8", POLICY_ADDRESS_PUBLIC },
        { "2606:4700::1111", POLICY_ADDRESS_PUBLIC },
        { "192.0.1.0", POLICY_ADDRESS_PUBLIC },
        { "172.32.0.1", POLICY_ADDRESS_PUBLIC },
        { "100.128.0.1", POLICY_ADDRESS_PUBLIC },
        { "10.1.2.3", POLICY_ADDRESS_INTERNAL },
        { "172.31.255.255", POLICY_ADDRESS_INTERNAL },
        { "100.64.0.1", POLICY_ADDRESS_INTERNAL },
        { "0.0.0.1", POLICY_ADDRESS_INTERNAL },
        { "224.0.0.1", POLICY_ADDRESS_INTERNAL },
        { "255.255.255.255", POLICY_ADDRESS_INTERNAL },
        { "fd12::1", POLICY_ADDRESS_INTERNAL },
        { "fec0::1", POLICY_ADDRESS_INTERNAL },
        { "ff02::1", POLICY_ADDRESS_INTERNAL },
        { "127.0.0.1", POLICY_ADDRESS_BLOCKED },
        { "127.255.255.254", POLICY_ADDRESS_BLOCKED },
        { "169.254.169.254", POLICY_ADDRESS_BLOCKED },
        { "0.0.0.0", POLICY_ADDRESS_BLOCKED },
        { "::", POLICY_ADDRESS_BLOCKED },
        { "::1", POLICY_ADDRESS_BLOCKED },
        { "febf::1", POLICY_ADDRESS_BLOCKED },
        { "168.63.129.16", POLICY_ADDRESS_METADATA },
        { "100.100.100.200", POLICY_ADDRESS_METADATA },
        { "fd00:ec2::254", POLICY_ADDRESS_METADATA },
        { "::ffff:127.0.0.1", POLICY_ADDRESS_BLOCKED }, /* mapped */
        { "::ffff:8.8.8.8", POLICY_ADDRESS_PUBLIC },
        { "::127.0.0.1", POLICY_ADDRESS_BLOCKED },        /* compatible */
        { "64:ff9b::a9fe:a9fe", POLICY_ADDRESS_BLOCKED }, /* NAT64 */
        { "64:ff9b::808:808", POLICY_ADDRESS_PUBLIC },
        { "64:ff9b:1::10.0.0.1", POLICY_ADDRESS_INTERNAL },
        { "2002:7f00:1::", POLICY_ADDRESS_BLOCKED }, /* 6to4 */
        { "2002:808:808::1", POLICY_ADDRESS_PUBLIC },
        { "2001:0:808:808::f5ff:fffe", POLICY_ADDRESS_INTERNAL }, /* Teredo, client 10.0.0.1 */
        { "2001:0:a00:1::f7f7:f7f7", POLICY_ADDRESS_INTERNAL },   /* Teredo, server 10.0.0.1 */
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct policy_address a = address(cases[i].text);
        if (policy_address_class(&a) != cases[i].expected)
            fail_msg("%s: %d, not %d", cases[i].text, policy_address_class(&a), cases[i].expected);
    }
}

static void test_spellings(void **state)
{
    (void)state;
    static const char *const odd[] = { "2130706433", "0x7f000001", "0177.0.0.1",  "127.1",
                                       "0x7f.1",     "127.0.0.1.", "127.000.0.1", "0" };
    static const char *const names[] = { "localhost", "1.example.test", "a.b", "127.0.0.1.x",
                                         "1.2.3.4.5", "::1::",          "" };
    struct policy_address a;
    for (size_t i = 0; i < OSA_ARRAY_LEN(odd); i++)
        assert_int_equal(policy_address_parse(odd[i], &a), POLICY_SPELLING_ODD);
    assert_int_equal(policy_address_parse("fe80::1%eth0", &a), POLICY_SPELLING_ODD);
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++)
        assert_int_equal(policy_address_parse(names[i], &a), POLICY_SPELLING_NAME);
}

struct setup {
    const char *host;
    uint16_t port;
    bool declared;
    const char *gateway;
};

static struct policy_guard plan(const struct setup *setup)
{
    struct policy_connection connection = { .host = setup->host, .port = setup->port };
    struct policy_grant grant = { .allow = true, .declared = setup->declared };
    struct policy_guard guard;
    struct policy_address gateway;
    if (setup->gateway != NULL)
        gateway = address(setup->gateway);
    (void)policy_guard_plan(&connection, &grant, setup->gateway != NULL ? &gateway : NULL, &guard);
    return guard;
}

static enum policy_reason check(const struct policy_guard *guard, const char *text)
{
    struct policy_address a = address(text);
    return policy_guard_check(guard, &a);
}

static void test_public(void **state)
{
    (void)state;
    struct policy_guard guard = plan(&(struct setup){ .host = "x.test", .port = 6443 });
    assert_int_equal(guard.mode, POLICY_GUARD_PUBLIC);
    assert_int_equal(check(&guard, "8.8.8.8"), POLICY_REASON_NONE);
    assert_int_equal(check(&guard, "10.9.8.7"), POLICY_REASON_INTERNAL);
    assert_int_equal(check(&guard, "168.63.129.16"), POLICY_REASON_INTERNAL);
    assert_int_equal(check(&guard, "64:ff9b::7f00:1"), POLICY_REASON_INTERNAL);
}

static void test_declared(void **state)
{
    (void)state;
    struct policy_guard guard =
        plan(&(struct setup){ .host = "X.test", .port = 443, .declared = true });
    assert_int_equal(guard.mode, POLICY_GUARD_DECLARED);
    assert_int_equal(check(&guard, "10.9.8.7"), POLICY_REASON_NONE);
    assert_int_equal(check(&guard, "::ffff:127.0.0.1"), POLICY_REASON_DECLARED);
    assert_int_equal(check(&guard, "fd00:ec2::254"), POLICY_REASON_DECLARED);
    guard = plan(&(struct setup){ .host = "x.test", .port = 10250, .declared = true });
    assert_int_equal(guard.reason, POLICY_REASON_DECLARED);
    assert_int_equal(check(&guard, "8.8.8.8"), POLICY_REASON_DECLARED);
}

static void test_literals(void **state)
{
    (void)state;
    struct policy_guard guard =
        plan(&(struct setup){ .host = "192.168.7.7", .port = 8080, .declared = true });
    assert_int_equal(guard.mode, POLICY_GUARD_LITERAL);
    assert_true(guard.literal);
    assert_int_equal(check(&guard, "192.168.7.7"), POLICY_REASON_NONE);
    assert_int_equal(check(&guard, "192.168.7.8"), POLICY_REASON_ALLOWED_IPS);
    guard = plan(&(struct setup){ .host = "169.254.169.254", .port = 80, .declared = true });
    assert_int_equal(guard.mode, POLICY_GUARD_DECLARED);
    assert_int_equal(check(&guard, "169.254.169.254"), POLICY_REASON_DECLARED);
    guard = plan(&(struct setup){ .host = "[::ffff:127.0.0.1]", .port = 80 });
    assert_int_equal(check(&guard, "::ffff:127.0.0.1"), POLICY_REASON_INTERNAL);
    guard = plan(&(struct setup){ .host = "0x08080808", .port = 80, .declared = true });
    assert_int_equal(guard.reason, POLICY_REASON_DECLARED);
    guard = plan(&(struct setup){ .host = "a b", .port = 80 });
    assert_int_equal(guard.reason, POLICY_REASON_HOST_INVALID);
}

static void test_gateway(void **state)
{
    (void)state;
    struct policy_guard guard = plan(&(struct setup){
        .host = "Host.Docker.Internal", .port = 80, .declared = true, .gateway = "169.254.1.2" });
    assert_int_equal(guard.mode, POLICY_GUARD_GATEWAY);
    assert_int_equal(check(&guard, "169.254.1.2"), POLICY_REASON_NONE);
    assert_int_equal(check(&guard, "169.254.1.3"), POLICY_REASON_GATEWAY);
    static const char *const refused[] = { "169.254.169.254", "10.0.0.1" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(refused); i++) {
        guard = plan(&(struct setup){
            .host = "host.docker.internal", .port = 80, .declared = true, .gateway = refused[i] });
        assert_int_equal(guard.mode, POLICY_GUARD_DECLARED);
    }
    guard = plan(&(struct setup){
        .host = "host.docker.internal", .port = 2379, .declared = true, .gateway = "169.254.1.2" });
    assert_int_equal(guard.reason, POLICY_REASON_GATEWAY);
}

static const struct policy_engine *compile(const char *ranges)
{
    char yaml[512];
    snprintf(yaml, sizeof(yaml),
             "version: 1\nnetwork_policies:\n  r: {endpoints: [{host: '', port: 5432, allowed_ips: "
             "[%s]}], binaries: [{path: /opt/db}]}\n",
             ranges);
    const struct policy_document *doc = NULL;
    const struct policy_engine *engine = NULL;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(yaml, strlen(yaml), "test", &doc, &err) != OSA_OK ||
        policy_engine_compile(doc, NULL, &engine, &err) != OSA_OK)
        fail_msg("%s", err.text);
    policy_document_unref(doc);
    return engine;
}

static enum policy_reason try_range(const char *ranges, const char *text)
{
    OSA_AUTO(policy_engine_unrefp) const struct policy_engine *engine = compile(ranges);
    struct policy_connection connection = { .host = "db.test", .port = 5432, .binary = "/opt/db" };
    struct policy_grant grant;
    assert_true(policy_connect(engine, &connection, &grant));
    struct policy_guard guard;
    (void)policy_guard_plan(&connection, &grant, NULL, &guard);
    assert_int_equal(guard.mode, POLICY_GUARD_ALLOWED_IPS);
    return check(&guard, text);
}

static void test_ranges(void **state)
{
    (void)state;
    assert_int_equal(try_range("10.20.0.0/16", "10.20.3.4"), POLICY_REASON_NONE);
    assert_int_equal(try_range("10.20.0.0/16", "10.21.0.1"), POLICY_REASON_ALLOWED_IPS);
    assert_int_equal(try_range("10.20.0.0/16", "::ffff:10.20.3.4"), POLICY_REASON_ALLOWED_IPS);
    assert_int_equal(try_range("10.0.0.1, 'fd00::/8'", "fd00::7"), POLICY_REASON_NONE);
    assert_int_equal(try_range("10.20.30.0/23", "10.20.31.255"), POLICY_REASON_NONE);
    static const char *const bad[] = { "127.0.0.0/8",        "0.0.0.0/0",    "'::/0'",
                                       "10.0.0.0/33",        "10.0.0.0/",    "10.0.0",
                                       "'::ffff:127.0.0.1'", "10.0.0.0/8, x" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++)
        assert_int_equal(try_range(bad[i], "10.20.3.4"), POLICY_REASON_ALLOWED_IPS_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),  cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_public),   cmocka_unit_test(test_declared),
        cmocka_unit_test(test_literals), cmocka_unit_test(test_gateway),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
