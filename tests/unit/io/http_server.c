// SPDX-License-Identifier: Apache-2.0
/* A client of bytes against the server, in one loop. */
#include "io/http_server.h"

#include "base/clock.h"
#include "base/tcp.h"

#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGE ((size_t)3 << 20)

struct world {
    struct osa_loop *loop;
    struct http_server *server;
    unsigned asked;
};

static unsigned answer(void *ctx, const char *path, struct osa_buf *body, const char **ret_type)
{
    struct world *world = ctx;
    world->asked++;
    *ret_type = "text/x-test";
    if (strcmp(path, "/large") == 0) {
        char *room = osa_buf_reserve(body, LARGE);
        assert_non_null(room);
        memset(room, 'x', LARGE);
        body->len += LARGE;
        return 200;
    }
    if (strcmp(path, "/metrics") != 0)
        return 404;
    (void)osa_buf_addf(body, "up 1\n");
    return 200;
}

static int setup(void **state)
{
    static struct world world;
    world = (struct world){ 0 };
    *state = &world;
    return osa_loop_new(&world.loop, NULL) != OSA_OK ||
           http_server_new(world.loop, "127.0.0.1:0", answer, &world, &world.server, NULL) !=
               OSA_OK;
}

static int teardown(void **state)
{
    struct world *world = *state;
    http_server_free(world->server);
    osa_loop_free(world->loop);
    return 0;
}

static int dial(const struct world *world)
{
    char text[32];
    struct osa_tcp_address address;
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", http_server_port(world->server));
    assert_int_equal(osa_tcp_parse(text, &address, NULL), OSA_OK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address.any, address.len), 0);
    return fd;
}

/* Reads to the end of the connection. Return: bytes; the first 8191 are in @ret, as text. */
static size_t hear(const struct world *world, int fd, char *ret)
{
    size_t len = 0;
    for (;;) {
        char chunk[4096];
        ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            break;
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            (void)osa_loop_run_once(world->loop, osa_deadline_after(OSA_NS_PER_MS));
            continue;
        }
        for (ssize_t i = 0; i < n && len + (size_t)i < 8191; i++)
            ret[len + (size_t)i] = chunk[i];
        len += (size_t)n;
    }
    ret[len < 8191 ? len : 8191] = '\0';
    (void)close(fd);
    return len;
}

static void assert_reply(struct world *world, const char *request, const char *status,
                         const char *end)
{
    char reply[8192];
    int fd = dial(world);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    size_t len = hear(world, fd, reply);
    if (strncmp(reply, status, strlen(status)) != 0)
        fail_msg("'%.60s' for '%.60s'", reply, request);
    assert_true(len >= strlen(end));
    assert_string_equal(reply + len - strlen(end), end);
}

static void test_answers(void **state)
{
    assert_reply(*state, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n",
                 "\r\n\r\nup 1\n");
    assert_reply(*state, "GET /metrics?a=b HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n",
                 "\r\n\r\nup 1\n");
    assert_reply(*state, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n",
                 "Connection: close\r\n\r\n");
    assert_reply(*state, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
                 "Not Found\n");
}

static void test_refuses(void **state)
{
    struct world *world = *state;
    assert_reply(world, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
                 "HTTP/1.1 405 Method Not Allowed\r\n", "Method Not Allowed\n");
    assert_reply(world, "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
                 "HTTP/1.1 400 Bad Request\r\n", "Bad Request\n");
    assert_reply(world, "\x16\x03\x01 not http\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n",
                 "Bad Request\n");
    assert_reply(world, "GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                 "HTTP/1.1 400 Bad Request\r\n", "Bad Request\n");
    assert_int_equal(world->asked, 0);
}

static void test_head_without_end(void **state)
{
    struct world *world = *state;
    char reply[8192];
    char junk[12000];
    int fd = dial(world);
    memset(junk, 'a', sizeof(junk));
    assert_int_equal(send(fd, junk, sizeof(junk), 0), sizeof(junk));
    /* What it did not read makes the kernel reset the connection; the answer may be lost with it. */
    size_t len = hear(world, fd, reply);
    assert_true(len == 0 || strncmp(reply, "HTTP/1.1 431 ", 13) == 0);
    assert_int_equal(world->asked, 0);
}

static void test_large_and_slow(void **state)
{
    struct world *world = *state;
    static const char request[] = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    char reply[8192];
    int slow = dial(world);
    assert_int_equal(send(slow, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    /* The slow one holds nobody up. */
    assert_reply(world, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n",
                 "up 1\n");
    assert_true(hear(world, slow, reply) > LARGE);
}

/* Idle ones take every place; who comes next waits until one goes. */
static void test_crowd(void **state)
{
    struct world *world = *state;
    int idle[16];
    for (size_t i = 0; i < OSA_ARRAY_LEN(idle); i++)
        idle[i] = dial(world);
    int next = dial(world);
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(send(next, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    for (int i = 0; i < 40; i++)
        (void)osa_loop_run_once(world->loop, osa_deadline_after(OSA_NS_PER_MS));
    assert_int_equal(world->asked, 0);
    (void)close(idle[3]);
    char reply[8192];
    assert_true(hear(world, next, reply) > 0);
    assert_int_equal(world->asked, 1);
    for (size_t i = 0; i < OSA_ARRAY_LEN(idle); i++)
        if (i != 3)
            (void)close(idle[i]);
}

static void test_addresses(void **state)
{
    struct world *world = *state;
    struct http_server *second = NULL;
    struct osa_error err = { 0 };
    char text[32];
    assert_int_equal(http_server_new(world->loop, "metrics", answer, world, &second, &err),
                     OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "'metrics' is not IPV4:PORT, [IPV6]:PORT or localhost:PORT");
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", http_server_port(world->server));
    assert_int_equal(http_server_new(world->loop, text, answer, world, &second, &err),
                     OSA_FAILED_PRECONDITION);
    assert_null(second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers),        TEST(refuses), TEST(head_without_end),
        TEST(large_and_slow), TEST(crowd),   TEST(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
