// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/fd.h"
#include "base/mover.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void test_moves(void **state)
{
    (void)state;
    int a[2];
    int b[2];
    char text[16] = "";
    struct osa_mover mover = { 0 };
    pair(a);
    pair(b);
    assert_int_equal(osa_mover_pull(&mover, a[1]), -EAGAIN);
    assert_null(mover.store);
    assert_int_equal(osa_write_all(a[0], "hello", 5), 0);
    assert_int_equal(osa_mover_pull(&mover, a[1]), 5);
    assert_int_equal(mover.held, 5);
    assert_int_equal(osa_mover_push(&mover, b[0]), 5);
    assert_int_equal(mover.held, 0);
    assert_null(mover.store);
    assert_int_equal(read(b[1], text, sizeof(text)), 5);
    assert_string_equal(text, "hello");
    osa_close_fd(&a[0]);
    assert_int_equal(osa_mover_pull(&mover, a[1]), 0);
    assert_null(mover.store);
    osa_close_fd(&a[1]);
    osa_close_fd(&b[0]);
    osa_close_fd(&b[1]);
    osa_mover_trim();
}

/* A receiver that is full gives the rest back later, and none of it to another. */
static void test_backpressure(void **state)
{
    (void)state;
    int a[2];
    int b[2];
    int c[2];
    static char chunk[32768];
    struct osa_mover mover = { 0 };
    struct osa_mover other = { 0 };
    size_t sent = 0;
    size_t got = 0;
    pair(a);
    pair(b);
    pair(c);
    while (send(b[0], chunk, sizeof(chunk), 0) > 0)
        ;
    memset(chunk, 'x', sizeof(chunk));
    assert_int_equal(osa_write_all(a[0], chunk, sizeof(chunk)), 0);
    while (osa_mover_pull(&mover, a[1]) > 0 && mover.held == 0)
        ;
    sent = mover.held;
    assert_true(sent > 0);
    assert_int_equal(osa_mover_push(&mover, b[0]), -EAGAIN);
    assert_int_equal(osa_write_all(c[0], "other", 5), 0);
    assert_int_equal(osa_mover_pull(&other, c[1]), 5); /* has a pipe of its own */
    osa_mover_done(&other);
    while (mover.held > 0) {
        ssize_t n = read(b[1], chunk, sizeof(chunk));
        got += n > 0 ? (size_t)n : 0;
        (void)!osa_mover_push(&mover, b[0]);
    }
    assert_true(got > 0);
    osa_mover_done(&mover);
    for (unsigned i = 0; i < 2; i++) {
        osa_close_fd(&a[i]);
        osa_close_fd(&b[i]);
        osa_close_fd(&c[i]);
    }
    osa_mover_trim();
}

static void test_broken(void **state)
{
    (void)state;
    int a[2];
    int b[2];
    struct osa_mover mover = { 0 };
    pair(a);
    pair(b);
    osa_close_fd(&b[1]);
    assert_int_equal(osa_write_all(a[0], "x", 1), 0);
    assert_int_equal(osa_mover_pull(&mover, a[1]), 1);
    assert_int_equal(osa_mover_push(&mover, b[0]), -EPIPE);
    osa_mover_done(&mover);
    assert_int_equal(mover.held, 0);
    osa_close_fd(&a[0]);
    osa_close_fd(&a[1]);
    osa_close_fd(&b[0]);
    osa_mover_trim();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_broken),
    };
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests_name("mover", tests, NULL, NULL);
}
