// SPDX-License-Identifier: Apache-2.0
/* Two ends of TLS with a buffer of each between them, and certificates made on demand. */
#include "cmocka_all.h"

#include "io/tls.h"

#include <stdio.h>
#include <string.h>

struct ends {
    struct tls *client;
    struct tls *server;
    struct osa_buf client_says; /* what arrived of it at the server */
    struct osa_buf server_says;
    bool client_ended;
    bool server_ended;
    bool broken;
};

static bool carry(struct tls *from, struct tls *to, struct osa_buf *plain, bool *ended, size_t step)
{
    struct osa_buf wire;
    bool ok = true;
    osa_buf_init(&wire, 1 << 20);
    assert_true(tls_send(from, &wire));
    for (size_t at = 0; ok && at < wire.len; at += step)
        ok = tls_receive(to, wire.data + at, OSA_MIN(step, wire.len - at), plain, ended);
    bool moved = wire.len > 0;
    osa_buf_done(&wire);
    return ok && moved;
}

static void run(struct ends *e, size_t step)
{
    bool up = true;
    bool down = true;
    for (unsigned i = 0; i < 20 && (up || down); i++) {
        up = carry(e->client, e->server, &e->client_says, &e->client_ended, step);
        down = carry(e->server, e->client, &e->server_says, &e->server_ended, step);
    }
}

static void open_ends(struct ends *e, struct tls_authority *authority, struct tls_trust *trust,
                      const char *served, const char *wanted)
{
    struct osa_error err = { 0 };
    *e = (struct ends){ 0 };
    osa_buf_init(&e->client_says, 1 << 20);
    osa_buf_init(&e->server_says, 1 << 20);
    assert_int_equal(tls_accept(authority, served, TLS_HTTP1, &e->server, &err), OSA_OK);
    assert_int_equal(tls_connect(trust, wanted, TLS_HTTP1, &e->client, &err), OSA_OK);
}

static void close_ends(struct ends *e)
{
    tls_free(e->client);
    tls_free(e->server);
    osa_buf_done(&e->client_says);
    osa_buf_done(&e->server_says);
}

static struct tls_authority *authority_new(void)
{
    struct tls_authority *authority = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(tls_authority_new("Org", "Name", &authority, &err), OSA_OK);
    assert_non_null(strstr(tls_authority_pem(authority), "-----BEGIN CERTIFICATE-----\n"));
    return authority;
}

static struct tls_trust *trust_in(const struct tls_authority *authority)
{
    struct tls_trust *trust = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(tls_trust_new(tls_authority_pem(authority), NULL, &trust, &err), OSA_OK);
    return trust;
}

static void test_talk(void **state)
{
    (void)state;
    static const char *const hosts[] = { "a.test", "192.0.2.1", "2001:db8::1", "a.test." };
    struct tls_authority *authority = authority_new();
    struct tls_trust *trust = trust_in(authority);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(hosts); i++) {
        struct ends e;
        open_ends(&e, authority, trust, hosts[i], i < 3 ? hosts[i] : "a.test");
        assert_false(tls_ready(e.client));
        run(&e, i == 0 ? 1 : 4096); /* a byte at a time as well */
        assert_true(tls_ready(e.client) && tls_ready(e.server));
        assert_true(tls_write(e.client, "question", 8));
        assert_true(tls_write(e.server, "answer", 6));
        run(&e, 4096);
        assert_string_equal(e.client_says.data, "question");
        assert_string_equal(e.server_says.data, "answer");
        assert_false(e.client_ended || e.server_ended);
        tls_end(e.client);
        run(&e, 4096);
        assert_true(e.client_ended);
        assert_string_equal(tls_fault(e.client), "");
        assert_string_equal(tls_fault(e.server), "");
        close_ends(&e);
    }
    tls_trust_free(trust);
    tls_authority_free(authority);
}

static void expect_fault(struct tls_authority *authority, struct tls_trust *trust,
                         const char *served, const char *wanted, const char *fault)
{
    struct ends e;
    open_ends(&e, authority, trust, served, wanted);
    run(&e, 4096);
    assert_false(tls_ready(e.client));
    assert_string_equal(tls_fault(e.client), fault);
    assert_int_equal(e.client_says.len + e.server_says.len, 0);
    close_ends(&e);
}

static void test_faults(void **state)
{
    (void)state;
    struct tls_authority *authority = authority_new();
    struct tls_authority *stranger = authority_new();
    struct tls_trust *trust = trust_in(authority);
    struct osa_error err = { 0 };
    expect_fault(authority, trust, "a.test", "b.test", "its certificate: hostname mismatch");
    expect_fault(authority, trust, "192.0.2.1", "192.0.2.2",
                 "its certificate: IP address mismatch");
    /* The same name and another key: found as issuer, and no issuer. */
    expect_fault(stranger, trust, "a.test", "a.test",
                 "its certificate: self-signed certificate in certificate chain");
    struct tls_trust *none = NULL;
    assert_int_equal(tls_trust_new("no certificate", NULL, &none, &err), OSA_INVALID_ARGUMENT);
    assert_int_equal(tls_trust_new(tls_authority_pem(authority), "rubbish", &none, &err),
                     OSA_INVALID_ARGUMENT);
    /* What is no TLS at all. */
    struct ends e;
    open_ends(&e, authority, trust, "a.test", "a.test");
    assert_false(
        tls_receive(e.server, "GET / HTTP/1.1\r\n\r\n", 18, &e.client_says, &e.client_ended));
    assert_string_equal(tls_fault(e.server), "TLS: http request");
    close_ends(&e);
    tls_trust_free(trust);
    tls_authority_free(stranger);
    tls_authority_free(authority);
}

/* More hosts than are kept, and one name that is too long for a subject. */
static void test_leaves(void **state)
{
    (void)state;
    struct tls_authority *authority = authority_new();
    struct tls_trust *trust = trust_in(authority);
    struct osa_error err = { 0 };
    char host[128];
    for (unsigned i = 0; i < 300; i++) {
        struct tls *tls = NULL;
        (void)snprintf(host, sizeof(host), "h%u.test", i);
        assert_int_equal(tls_accept(authority, host, TLS_HTTP1, &tls, &err), OSA_OK);
        tls_free(tls);
    }
    (void)snprintf(host, sizeof(host), "%060d.%030d.test", 1, 2);
    struct ends e;
    open_ends(&e, authority, trust, host, host);
    run(&e, 4096);
    assert_true(tls_ready(e.client));
    close_ends(&e);
    tls_trust_free(trust);
    tls_authority_free(authority);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_leaves),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
