// SPDX-License-Identifier: Apache-2.0
/* Each case plays the service manager: it sets the variables, and listens at NOTIFY_SOCKET. */
#include "base/service_manager.h"

#include "base/clock.h"
#include "base/fd.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const all[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                   "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES" };

struct manager {
    struct osa_service service;
    struct osa_loop *loop;
    int fd; /* what it hears */
    char pid[16];
};

static int setup(void **state)
{
    static struct manager manager;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    for (size_t i = 0; i < OSA_ARRAY_LEN(all); i++)
        (void)unsetenv(all[i]);
    manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)snprintf(manager.pid, sizeof(manager.pid), "%d", (int)getpid());
    /* Abstract: no file is left behind, whatever happens. */
    int len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "osa-test-%d", getpid());
    *state = &manager;
    return osa_loop_new(&manager.loop, NULL) != OSA_OK ||
           bind(manager.fd, (const struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) < 0;
}

static int teardown(void **state)
{
    struct manager *manager = *state;
    osa_loop_free(manager->loop);
    return close(manager->fd);
}

static void listen_there(void)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "@osa-test-%d", (int)getpid());
    (void)setenv("NOTIFY_SOCKET", name, 1);
}

static void assert_heard(struct manager *manager, const char *text)
{
    char heard[256] = "";
    ssize_t len = recv(manager->fd, heard, sizeof(heard) - 1, 0);
    assert_int_equal(len, strlen(text));
    assert_string_equal(heard, text);
}

static void assert_refused(struct manager *manager, const char *reason)
{
    struct osa_error err = { 0 };
    assert_int_equal(osa_service_open(&manager->service, &err), OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, reason));
    for (size_t i = 0; i < OSA_ARRAY_LEN(all); i++)
        assert_null(getenv(all[i]));
    osa_service_close(&manager->service);
}

static void test_nobody(void **state)
{
    struct manager *manager = *state;
    assert_int_equal(osa_service_open(&manager->service, NULL), OSA_OK);
    assert_int_equal(osa_service_take_socket(&manager->service, "agent"), -1);
    osa_service_tell(&manager->service, "READY=1");
    osa_service_watch(&manager->service, manager->loop);
    assert_int_equal(recv(manager->fd, (char[4]){ 0 }, 4, 0), -1);
    osa_service_close(&manager->service);
}

static void test_tells(void **state)
{
    struct manager *manager = *state;
    listen_there();
    assert_int_equal(osa_service_open(&manager->service, NULL), OSA_OK);
    assert_null(getenv("NOTIFY_SOCKET"));
    osa_service_tell(&manager->service, "READY=1\nSTATUS=serving");
    assert_heard(manager, "READY=1\nSTATUS=serving");
    assert_true((fcntl(manager->service.notify_fd, F_GETFD) & FD_CLOEXEC) != 0);
    osa_service_close(&manager->service);
}

static void test_watchdog(void **state)
{
    struct manager *manager = *state;
    listen_there();
    (void)setenv("WATCHDOG_USEC", "4000", 1);
    (void)setenv("WATCHDOG_PID", manager->pid, 1);
    assert_int_equal(osa_service_open(&manager->service, NULL), OSA_OK);
    assert_int_equal(manager->service.watchdog_ns, 4 * OSA_NS_PER_MS);
    osa_service_watch(&manager->service, manager->loop);
    assert_heard(manager, "WATCHDOG=1");
    while (recv(manager->fd, (char[1]){ 0 }, 1, MSG_PEEK) < 0)
        (void)osa_loop_run_once(manager->loop, OSA_NEVER);
    assert_heard(manager, "WATCHDOG=1");
    osa_service_close(&manager->service);
}

static void test_watchdog_of_another(void **state)
{
    struct manager *manager = *state;
    listen_there();
    (void)setenv("WATCHDOG_USEC", "4000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(osa_service_open(&manager->service, NULL), OSA_OK);
    assert_int_equal(manager->service.watchdog_ns, 0);
    osa_service_close(&manager->service);
}

/* Descriptors 3 and on belong to the test run; a child has them free. */
static int sockets_in_child(const char *names, const char *pid, const char *wanted)
{
    struct osa_service service;
    for (int i = 3; i < 6; i++) {
        const struct sockaddr any = { .sa_family = AF_UNIX }; /* bound without a name: autobind */
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || bind(fd, &any, sizeof(any.sa_family)) < 0 || listen(fd, 1) < 0 ||
            dup2(fd, i) < 0)
            return 10;
        if (fd != i)
            (void)close(fd);
    }
    char mine[16];
    (void)snprintf(mine, sizeof(mine), "%d", (int)getpid());
    (void)setenv("LISTEN_FDS", "2", 1);
    (void)setenv("LISTEN_PID", pid != NULL ? pid : mine, 1);
    if (names != NULL)
        (void)setenv("LISTEN_FDNAMES", names, 1);
    if (osa_service_open(&service, NULL) != OSA_OK)
        return 11;
    int fd = osa_service_take_socket(&service, wanted);
    if (fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
        return 12;
    if (fd >= 0 && osa_service_take_socket(&service, wanted) == fd)
        return 13;
    osa_service_close(&service);
    return fd < 0 ? 0 : fd;
}

static void assert_socket(const char *names, const char *pid, const char *wanted, int expected)
{
    pid_t child = fork();
    if (child == 0)
        _exit(sockets_in_child(names, pid, wanted));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

static void test_sockets(void **state)
{
    (void)state;
    assert_socket("metrics:agent", NULL, "agent", 4);
    assert_socket("metrics:agent", NULL, "metrics", 3);
    assert_socket("agent", NULL, "unknown", 4);
    assert_socket(NULL, NULL, "unknown", 3);
    assert_socket("metrics:agent", NULL, "other", 0);
    assert_socket("metrics:agent", "1", "agent", 0);
}

static void test_nonsense(void **state)
{
    struct manager *manager = *state;
    (void)setenv("NOTIFY_SOCKET", "relative", 1);
    assert_refused(manager, "NOTIFY_SOCKET: 'relative' is neither");
    (void)setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    assert_refused(manager, "NOTIFY_SOCKET: '/nowhere/at/all' cannot be reached");
    (void)setenv("WATCHDOG_USEC", "-1", 1);
    assert_refused(manager, "WATCHDOG_USEC: '-1' is not a number");
    (void)setenv("LISTEN_FDS", "17", 1);
    assert_refused(manager, "LISTEN_FDS: '17' is not a number up to 16");
    (void)setenv("LISTEN_FDS", "3x", 1);
    assert_refused(manager, "LISTEN_FDS: '3x' is not a number");
    (void)setenv("LISTEN_PID", "99999999999", 1);
    assert_refused(manager, "LISTEN_PID: '99999999999' is not a number");
}

static void test_not_a_socket(void **state)
{
    struct manager *manager = *state;
    int saved = dup(3);
    int null = open("/dev/null", O_RDWR);
    assert_true(null >= 0 && dup2(null, 3) == 3);
    (void)setenv("LISTEN_FDS", "1", 1);
    assert_refused(manager, "descriptor 3 is not a listening socket");
    if (saved >= 0) {
        (void)dup2(saved, 3);
        (void)close(saved);
    } else
        (void)close(3);
    if (null != 3)
        (void)close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watchdog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watchdog_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_socket, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
