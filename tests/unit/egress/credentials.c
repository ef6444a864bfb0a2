// SPDX-License-Identifier: Apache-2.0
/* Placeholders on their way out: the values where they belong, and nothing anywhere else. */
#include "unit/egress/rig.h"

#include "base/fd.h"
#include "policy/provider.h"

#include <stdio.h>
#include <string.h>

#define MARK "openshell:resolve:env:v3_"
#define REST "protocol: rest, access: full"

static int setup(void **state)
{
    struct osa_error err = { 0 };
    int rc = rig_setup(state);
    if (rc != 0)
        return rc;
    const struct provider_endpoint here = { .host = rig.ip, .port = rig.port, .path = "/api/**" };
    const struct provider_endpoint there = { .host = "elsewhere.test", .port = 443, .path = "" };
    const struct provider_variable variables[] = {
        { .key = "TOKEN",
          .value = "s3cr/t",
          .bound = true,
          .identity = "a",
          .handle = "",
          .endpoints = &here,
          .endpoint_count = 1 },
        { .key = "OTHER",
          .value = "else",
          .bound = true,
          .identity = "b",
          .handle = "",
          .endpoints = &there,
          .endpoint_count = 1 },
        { .key = "NAME", .value = "plain name", .identity = "", .handle = "" },
        { .key = "QUOTED",
          .value = "a\"b",
          .bound = true,
          .identity = "c",
          .handle = "",
          .endpoints = &here,
          .endpoint_count = 1 },
    };
    rig.providers = provider_env_new();
    assert_int_equal(provider_env_install(rig.providers, 3, variables, 4, &err), OSA_OK);
    gate_free(rig.gate);
    open_gate(gate_limits_default());
    publish_endpoint(REST);
    return 0;
}

/* What the origin hears of a request for @path with @more, which is the rest of it. */
static int sent(int fd, const char *method, const char *path, const char *more, const char *until)
{
    char text[2048];
    (void)snprintf(text, sizeof(text), "%s http://%s:%u%s HTTP/1.1\r\nHost: x\r\n%s", method,
                   rig.ip, rig.port, path, more);
    say_text(fd, text);
    int far = origin_accept();
    (void)hear(far, until, 0);
    return far;
}

static void expect_heard(const char *text)
{
    if (strstr(heard, text) == NULL)
        fail_msg("no '%s' in: %s", text, heard);
}

static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *field;
        const char *expected;
    } cases[] = {
        { "/api/x", "Authorization: Bearer " MARK "TOKEN", "\r\nAuthorization: Bearer s3cr/t\r\n" },
        { "/api/x", "X-Key: " MARK "TOKEN", "\r\nX-Key: s3cr/t\r\n" },
        { "/api/x", "X-Name: openshell:resolve:env:NAME", "\r\nX-Name: plain name\r\n" },
        /* user:<placeholder> and user:s3cr/t */
        { "/api/x", "Authorization: Basic dXNlcjpvcGVuc2hlbGw6cmVzb2x2ZTplbnY6djNfVE9LRU4=",
          "\r\nAuthorization: Basic dXNlcjpzM2NyL3Q=\r\n" },
        { "/api/x?k=" MARK "TOKEN&b=1", "X: y", " /api/x?k=s3cr%2Ft&b=1 HTTP/1.1\r\n" },
        { "/api/" MARK "QUOTED/z", "X: y", "GET /api/a%22b/z HTTP/1.1\r\n" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        char more[256];
        int fd = client();
        (void)snprintf(more, sizeof(more), "%s\r\n\r\n", cases[i].field);
        int far = sent(fd, "GET", cases[i].path, more, "\r\n\r\n");
        expect_heard(cases[i].expected);
        assert_null(strstr(heard, "openshell:"));
        assert_null(strstr(rig.last, "openshell:"));
        assert_null(strstr(rig.last, "s3cr"));
        osa_close_fd(&fd);
        osa_close_fd(&far);
    }
}

/* Rules see what logs see. */
static void test_shown(void **state)
{
    (void)state;
    publish_endpoint(
        "protocol: rest, rules: [{allow: {method: GET, path: '/api/\\[CREDENTIAL\\]'}}]");
    int fd = client();
    int far = sent(fd, "GET", "/api/" MARK "QUOTED", "\r\n", "\r\n\r\n");
    expect_heard("GET /api/a%22b HTTP/1.1\r\n");
    assert_non_null(strstr(rig.last, "/api/[CREDENTIAL]|"));
    osa_close_fd(&fd);
    osa_close_fd(&far);
    fd = client();
    get(fd, "/v1/" MARK "TOKEN", "");
    expect_refusal(fd, "403 Forbidden", "policy_denied", "not-permitted");
    expect_heard("\"path\":\"/v1/[CREDENTIAL]\"");
    assert_null(strstr(heard, "s3cr"));
    assert_null(strstr(heard, MARK));
    osa_close_fd(&fd);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *more;
        const char *status;
        const char *error;
        const char *reason;
    } cases[] = {
        { "/api/x", "X: " MARK "OTHER\r\n", "403 Forbidden", "credential_endpoint_mismatch",
          "credential-endpoint" },
        { "/v1", "X: " MARK "TOKEN\r\n", "403 Forbidden", "credential_endpoint_mismatch",
          "credential-endpoint" },
        { "/api/x", "X: " MARK "NOBODY\r\n", "500 Internal Server Error",
          "credential_injection_failed", "credential-unavailable" },
        { "/api/x", "X: openshell:resolve:env:TOKEN\r\n", "500 Internal Server Error",
          "credential_injection_failed", "credential-unavailable" },
        { "/api/x", "X: in the middle " MARK "TOKEN of it\r\n", "500 Internal Server Error",
          "credential_injection_failed", "credential-unavailable" },
        { "/api/x?" MARK "TOKEN=1", "", "400 Bad Request", "invalid_credential_placeholder",
          "target-invalid" },
        { "/api/" MARK "TOKEN", "", "500 Internal Server Error", "credential_injection_failed",
          "credential-unavailable" }, /* its value has a slash */
        { "/api/openshell:resolve:env:", "", "400 Bad Request", "invalid_credential_placeholder",
          "target-invalid" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        int fd = client();
        get(fd, cases[i].path, cases[i].more);
        expect_refusal(fd, cases[i].status, cases[i].error, cases[i].reason);
        assert_null(strstr(heard, "s3cr"));
        assert_null(strstr(heard, MARK));
        osa_close_fd(&fd);
    }
    no_origin();
    provider_env_revoke(rig.providers);
    int fd = client();
    get(fd, "/api/x", "X: " MARK "TOKEN\r\n");
    expect_refusal(fd, "500 Internal Server Error", "credential_injection_failed",
                   "credential-unavailable");
    osa_close_fd(&fd);
    no_origin();
}

/* Without providers no placeholder goes out either. */
static void test_nobody(void **state)
{
    (void)state;
    gate_free(rig.gate);
    provider_env_free(rig.providers);
    rig.providers = NULL;
    open_gate(gate_limits_default());
    publish(ALLOW);
    int fd = client();
    get(fd, "/x", "X: openshell:resolve:env:A\r\n");
    expect_refusal(fd, "500 Internal Server Error", "credential_injection_failed",
                   "credential-unavailable");
    osa_close_fd(&fd);
    no_origin();
}

static void test_body(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *body;
        const char *expected;
    } cases[] = {
        { "application/json; charset=utf-8", "{\"k\":\"" MARK "QUOTED\"}", "{\"k\":\"a\\\"b\"}" },
        { "application/x-www-form-urlencoded", "k=" MARK "TOKEN&b=1", "k=s3cr%2Ft&b=1" },
        { "text/plain", "a " MARK "TOKEN b", "a s3cr/t b" },
    };
    publish_endpoint(REST ", request_body_credential_rewrite: true");
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        char more[512];
        char length[64];
        int fd = client();
        (void)snprintf(
            more, sizeof(more),
            "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n",
            cases[i].type, strlen(cases[i].body), cases[i].body);
        int far = sent(fd, "POST", "/api/x", more, cases[i].expected);
        (void)snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n",
                       strlen(cases[i].expected));
        expect_heard(length);
        assert_null(strstr(heard, "Transfer-Encoding"));
        osa_close_fd(&fd);
        osa_close_fd(&far);
    }
}

/* Where bodies are not exchanged, one with a placeholder does not arrive. */
static void test_guard(void **state)
{
    (void)state;
    static const char first[] = "Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
                                "before openshell:res";
    int fd = client();
    int far = sent(fd, "POST", "/api/x", first, "before ");
    say_text(fd, "olve:env:TOKEN and after");
    hear_end(fd);
    hear_end(far);
    assert_null(strstr(heard, "olve:env"));
    assert_non_null(strstr(rig.last, "credential-unavailable"));
    osa_close_fd(&fd);
    osa_close_fd(&far);
    publish_endpoint(REST ", allow_uninspected_credentials: true");
    fd = client();
    far = sent(fd, "POST", "/api/x", first, "before ");
    say_text(fd, "olve:env:TOKEN and after");
    (void)hear(far, "and after", 0);
    osa_close_fd(&fd);
    osa_close_fd(&far);
}

/* In a tunnel also where the policy is about connections alone. */
static void test_tunnel(void **state)
{
    (void)state;
    char text[256];
    int far;
    publish(ALLOW);
    int fd = tunnel(&far);
    (void)snprintf(text, sizeof(text),
                   "GET /api/x HTTP/1.1\r\nHost: %s:%u\r\nX: " MARK "TOKEN\r\n\r\n", rig.ip,
                   rig.port);
    say_text(fd, text);
    (void)hear(far, "\r\n\r\n", 0);
    expect_heard("GET /api/x HTTP/1.1\r\n"); /* no rules, so as it came */
    expect_heard("\r\nX: s3cr/t\r\n");
    say_text(far, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    (void)hear(fd, "\r\n\r\n", 0);
    osa_close_fd(&fd);
    osa_close_fd(&far);
    /* Elsewhere, or where a server may read another path than we do. */
    static const char *const others[] = { "/other", "/api/../other?%", "/api/..%2fother",
                                          "/other/../api/x", "/api//x" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(others); i++) {
        fd = tunnel(&far);
        (void)snprintf(text, sizeof(text),
                       "GET %s HTTP/1.1\r\nHost: %s:%u\r\nX: " MARK "TOKEN\r\n\r\n", others[i],
                       rig.ip, rig.port);
        say_text(fd, text);
        expect_refusal(fd, "403 Forbidden", "credential_endpoint_mismatch", "credential-endpoint");
        expect_heard("\"message\":\"");
        osa_close_fd(&fd);
        osa_close_fd(&far);
    }
}

int main(void)
{
    char ip[INET_ADDRSTRLEN];
    if (!find_address(ip)) {
        print_message("skipped: this host has no IPv4 address but loopback\n");
        return 77;
    }
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    static const struct CMUnitTest tests[] = {
        CASE(test_places), CASE(test_shown), CASE(test_refused), CASE(test_nobody),
        CASE(test_body),   CASE(test_guard), CASE(test_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
