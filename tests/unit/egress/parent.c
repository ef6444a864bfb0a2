// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "egress/parent.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct osa_error err;

static struct parent *make(const struct parent_config *config)
{
    struct parent *parent = NULL;
    if (parent_new(config, &parent, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return parent;
}

static void expect_error(const struct parent_config *config, const char *text)
{
    struct parent *parent = NULL;
    assert_int_equal(parent_new(config, &parent, &err), OSA_INVALID_ARGUMENT);
    assert_null(parent);
    if (strstr(err.text, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, err.text);
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage storage;
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    memset(&storage, 0, sizeof(storage));
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&storage, &v4, sizeof(v4));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        memcpy(&storage, &v6, sizeof(v6));
    }
    return storage;
}

static struct target target_of(const char *host, uint16_t port)
{
    struct target target = { .port = port };
    (void)snprintf(target.host, sizeof(target.host), "%s", host);
    return target;
}

static void test_none(void **state)
{
    (void)state;
    const struct parent_config config = { 0 };
    assert_null(make(&config));
    parent_free(NULL);
}

static void test_url(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "proxy:3128",
                                       "https://proxy:3128",
                                       "http://proxy",
                                       "http://proxy:0",
                                       "http://proxy:3128/",
                                       "http://u:p@proxy:1",
                                       "http://proxy:1?x",
                                       "http://proxy:99999" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        const struct parent_config config = { .proxy = bad[i] };
        expect_error(&config, "upstream-proxy: has to be http://HOST:PORT");
        assert_null(strstr(err.text, "u:p"));
    }
    const struct parent_config config = { .proxy = "HTTP://Proxy.corp:3128" };
    struct parent *parent = make(&config);
    assert_string_equal(parent_proxy(parent)->host, "proxy.corp");
    assert_int_equal(parent_proxy(parent)->port, 3128);
    parent_free(parent);
}

static void test_company(void **state)
{
    (void)state;
    const struct parent_config lonely[] = {
        { .no_proxy = "*" },
        { .auth_file = "/x", .auth_allow_insecure = true },
        { .auth_allow_insecure = true },
        { .by_hostname = true },
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(lonely); i++)
        expect_error(&lonely[i], "means nothing without upstream-proxy");
    const struct parent_config half[] = {
        { .proxy = "http://p:1", .auth_file = "/x" },
        { .proxy = "http://p:1", .auth_allow_insecure = true },
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(half); i++)
        expect_error(&half[i], "go together");
}

static bool bypassed(const char *no_proxy, const char *host, uint16_t port, const char *first,
                     const char *second, size_t *ret_count)
{
    const struct parent_config config = { .proxy = "http://p:1", .no_proxy = no_proxy };
    struct parent *parent = make(&config);
    const struct target target = target_of(host, port);
    struct sockaddr_storage addresses[2] = { address(first), address(second) };
    struct sockaddr_storage wanted = address(second);
    *ret_count = 0;
    bool direct = parent_bypassed(parent, &target, addresses, 2, ret_count);
    if (direct && *ret_count == 1) /* the second alone is covered in these tests */
        assert_memory_equal(&addresses[0], &wanted, sizeof(wanted));
    parent_free(parent);
    return direct;
}

static void test_bypass(void **state)
{
    (void)state;
    static const struct {
        const char *list, *host;
        uint16_t port;
        size_t count; /* 0: by way of the proxy */
    } cases[] = {
        { "*", "a.test", 1, 2 },
        { "*:443", "a.test", 443, 2 },
        { "*:443", "a.test", 80, 0 },
        { "a.test", "a.test", 1, 2 },
        { "A.Test", "b.a.test.", 1, 2 },
        { ".a.test", "a.test", 1, 2 },
        { "*.a.test", "x.y.a.test", 1, 2 },
        { "a.test", "ba.test", 1, 0 },
        { "a.test:80, b.test", "a.test", 81, 0 },
        { "x.test,,b.test", "b.test", 81, 2 },
        { "10.1.0.0/16", "a.test", 1, 1 },
        { "10.1.2.3:5", "a.test", 5, 1 },
        { "10.1.2.3:5", "a.test", 6, 0 },
        { "10.0.0.0/8", "a.test", 1, 1 },
        { "fd00::/8", "a.test", 1, 0 },
        { "", "a.test", 1, 0 },
    };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        size_t count;
        bool direct =
            bypassed(cases[i].list, cases[i].host, cases[i].port, "192.0.2.1", "10.1.2.3", &count);
        if (direct != (cases[i].count > 0) || count != cases[i].count)
            fail_msg("'%s' for %s:%u", cases[i].list, cases[i].host, cases[i].port);
    }
    size_t count;
    assert_true(bypassed("[fd00::1]:443", "a.test", 443, "192.0.2.1", "fd00::1", &count));
    assert_true(bypassed("fd00::/8", "a.test", 443, "192.0.2.1", "fd00::1", &count));
    static const char *const bad[] = { "a b/c",       "*.*", "a.test:0", "a.test:x",
                                       "10.0.0.0/33", "a*b", "..",       "[a" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        const struct parent_config config = { .proxy = "http://p:1", .no_proxy = bad[i] };
        expect_error(&config, "upstream-no-proxy: '");
    }
}

static void write_auth(char path[64], const char *text, size_t len)
{
    (void)snprintf(path, 64, "/tmp/osa-parent-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static void test_request(void **state)
{
    (void)state;
    char path[64];
    struct osa_buf out;
    const struct target target = target_of("a.test", 443);
    const struct sockaddr_storage six = address("2001:db8::1");
    write_auth(path, "user:pass word\n", 15);
    struct parent_config config = { .proxy = "http://p:1",
                                    .auth_file = path,
                                    .auth_allow_insecure = true };
    struct parent *parent = make(&config);
    osa_buf_init(&out, 1024);
    assert_true(parent_request(parent, &target, &six, /* named= */ true, &out));
    assert_string_equal(out.data,
                        "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
                        "Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n\r\n");
    parent_free(parent);
    config = (struct parent_config){ .proxy = "http://p:1", .by_hostname = true };
    parent = make(&config);
    osa_buf_reset(&out);
    assert_true(parent_request(parent, &target, &six, /* named= */ true, &out));
    assert_string_equal(out.data, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    osa_buf_reset(&out);
    assert_true(parent_request(parent, &target, &six, /* named= */ false, &out));
    assert_non_null(strstr(out.data, "CONNECT [2001:db8::1]:443 "));
    parent_free(parent);
    osa_buf_done(&out);
    assert_int_equal(unlink(path), 0);
}

static void test_auth_file(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } bad[] = { { "", 0 },           { "\n", 1 },        { "nocolon\n", 8 }, { ":pass\n", 6 },
                { "u:p\nu:p\n", 8 }, { "u:\x01p\n", 5 }, { "u:p\0x", 5 } };
    char path[64];
    struct parent_config config = { .proxy = "http://p:1", .auth_allow_insecure = true };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        write_auth(path, bad[i].text, bad[i].len);
        config.auth_file = path;
        expect_error(&config, "with one line user:password");
        assert_int_equal(unlink(path), 0);
    }
    static char large[4097];
    memset(large, ':', sizeof(large));
    large[0] = 'u';
    write_auth(path, large, sizeof(large));
    expect_error(&config, "with one line user:password");
    assert_int_equal(unlink(path), 0);
    config.auth_file = "/tmp";
    expect_error(&config, "with one line user:password");
    config.auth_file = "/tmp/osa-parent-none";
    expect_error(&config, "cannot be read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),    cmocka_unit_test(test_url),
        cmocka_unit_test(test_company), cmocka_unit_test(test_bypass),
        cmocka_unit_test(test_request), cmocka_unit_test(test_auth_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
