// SPDX-License-Identifier: Apache-2.0
/* Pipes stand for listeners: like these they hang up when the last process behind them has gone. */
#include "launcher/listeners.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fork of init that still holds the descriptor must not bring back what has been dropped. */
static void test_dropped_while_a_copy_is_open(void **state)
{
    (void)state;
    struct listeners set;
    int socks[2];
    int ends[2];
    assert_true(listeners_open(&set));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        int copy = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
        assert_true(copy >= 0);
        listeners_add(&set, ends[0], 7);
        assert_non_null(set.first);
        (void)close(ends[1]); /* the tree has ended */
        listeners_serve(&set, socks[0]);
        assert_null(set.first);
        listeners_serve(&set, socks[0]); /* the copy would report the same again */
        assert_null(set.first);
        (void)close(copy);
    }
    listeners_forget(&set);
    (void)close(socks[0]);
    (void)close(socks[1]);
}

/* What a fork of init forgets, init goes on serving. */
static void test_forgotten_by_a_fork(void **state)
{
    (void)state;
    struct listeners set;
    int socks[2];
    int ends[2];
    assert_true(listeners_open(&set));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    listeners_add(&set, ends[0], 7);
    pid_t pid = fork();
    if (pid == 0) {
        listeners_forget(&set);
        _exit(set.first == NULL && set.fd == -1 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(ends[1]);
    listeners_serve(&set, socks[0]);
    assert_null(set.first); /* it was told */
    listeners_forget(&set);
    (void)close(socks[0]);
    (void)close(socks[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dropped_while_a_copy_is_open),
        cmocka_unit_test(test_forgotten_by_a_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
