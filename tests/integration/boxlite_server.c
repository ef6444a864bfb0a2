// SPDX-License-Identifier: Apache-2.0
/*
 * A server of the agent's own: its namespace, its life, and the channel that its boxes have to the
 * agent. The double stands for `boxlite serve`; OSA_BOXLITE_SERVE names a real one in its place.
 */
#include "backends/boxlite/server.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"
#include "integration/boxlite_fixture.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct boxlite_fixture fixture;

static struct osa_child_mark read_mark(void)
{
    char path[128];
    struct osa_child_mark mark = { 0 };
    int pid = 0;
    (void)snprintf(path, sizeof(path), "%s/boxlite-serve.pid", fixture.folder);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d %" SCNu64, &pid, &mark.start), 2);
    (void)fclose(file);
    mark.pid = pid;
    return mark;
}

/* The channel is a connection in the server's namespace that does not end at the server's port. */
static unsigned channels(void)
{
    char path[64];
    char line[256];
    unsigned local, remote, state, count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/net/tcp", (int)read_mark().pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%x %x", &local, &remote, &state) == 3 &&
            state == 1 && local != 8100 && remote != 8100)
            count++;
    }
    (void)fclose(file);
    return count;
}

static void until_channels(unsigned least, unsigned most)
{
    int64_t deadline = osa_deadline_after(3 * FIXTURE_PATIENCE_NS);
    unsigned count;
    while ((count = channels()) < least || count > most) {
        assert_true(osa_now_ns() < deadline);
        fixture_turn_ms(&fixture, 20);
    }
}

static char own_namespace[64]; /* before there was a server */

static void read_namespace(int pid, char ret[64])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    ssize_t len = readlink(path, ret, 63);
    assert_true(len > 0);
    ret[len] = '\0';
}

/* It is elsewhere, we are where we were, and its key is in no argument. */
static void test_apart(void **state)
{
    char path[64];
    char text[4096];
    (void)state;
    const struct osa_child_mark mark = read_mark();
    read_namespace((int)mark.pid, text);
    assert_string_not_equal(text, own_namespace);
    read_namespace((int)getpid(), text);
    assert_string_equal(text, own_namespace);
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)mark.pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    assert_true(len > 0);
    for (ssize_t i = 0; i < len; i++)
        text[i] = (char)(text[i] == '\0' ? ' ' : text[i]);
    text[len] = '\0';
    assert_non_null(strstr(text, "serve --host 127.0.0.1 --port 8100"));
    assert_null(strstr(text, "key"));
    struct stat home;
    (void)snprintf(path, sizeof(path), "%s/boxlite", fixture.folder);
    assert_int_equal(stat(path, &home), 0);
    assert_int_equal(home.st_mode & 0777, 0700);
}

/* All that a process does goes the faster way, bytes and all. */
static void test_channel(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    until_channels(1, 2); /* as both ends see it */
    fixture_run(&fixture, &box, &p, "head -c 5000000 /dev/zero | tr '\\0' '\\377'; exit 3");
    assert_int_equal(p.exit.code, 3);
    assert_int_equal(p.out.len, 5000000);
    for (size_t i = 0; i < p.out.len; i += 4999)
        assert_int_equal((unsigned char)p.out.data[i], 0xff);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
    until_channels(0, 0);
}

static double rate_of(size_t bytes)
{
    struct fixture_box box;
    struct fixture_process p;
    char script[96];
    (void)snprintf(script, sizeof(script), "head -c %zu /dev/zero | tr '\\0' a", bytes);
    fixture_box(&fixture, &box);
    if (!fixture.plain)
        until_channels(1, 2);
    int64_t begin = osa_now_ns();
    fixture_run(&fixture, &box, &p, script);
    double seconds = (double)(osa_now_ns() - begin) / (double)OSA_NS_PER_SEC;
    size_t came = p.out.len;
    if (!fixture.plain) /* the server's own way drops what a reader is slow to take */
        assert_int_equal(came, bytes);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
    return (double)came / 1e6 / seconds;
}

/* What it is for. The numbers are told and not judged: they are the machine's. */
static void test_channel_rate(void **state)
{
    (void)state;
    double channel = rate_of(8000000);
    fixture_close(&fixture);
    fixture.plain = true;
    fixture_open(&fixture, NULL);
    double attach = rate_of(1000000);
    printf("output: %.2f MB/s by the channel, %.2f MB/s by the server's attach\n", channel, attach);
    fixture_close(&fixture);
    fixture.plain = false;
    fixture_open(&fixture, NULL);
}

/* Cut by somebody in the namespace: the exec takes over, and no byte is missing. */
static void test_channel_cut(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    char command[128];
    (void)state;
    if (fixture_is_real(&fixture) || access("/usr/bin/ss", X_OK) < 0)
        skip();
    fixture_box(&fixture, &box);
    until_channels(1, 2);
    const struct process_spec spec =
        fixture_sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); echo $((100000000+i)); done");
    fixture_spawn(&fixture, &box, &p, &spec);
    while (p.out.len < 100000)
        fixture_turn_ms(&fixture, 1);
    (void)snprintf(command, sizeof(command), "%d", (int)read_mark().pid);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("nsenter", "nsenter", "-n", "-t", command, "ss", "-K", "-t", "dst",
                     "192.168.127.254", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.out.len, 2000000);
    for (unsigned i = 0; i < 200000; i += 997) {
        char want[16];
        (void)snprintf(want, sizeof(want), "%u\n", 100000001 + i);
        assert_memory_equal(p.out.data + (size_t)i * 10, want, 10);
    }
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

static void until_available(bool available)
{
    int64_t deadline = osa_deadline_after(6 * FIXTURE_PATIENCE_NS);
    while (fixture.backend->ops->info(fixture.backend)->available != available) {
        assert_true(osa_now_ns() < deadline);
        fixture_turn_ms(&fixture, 20);
    }
}

/* It dies: its boxes are lost, it is started again, and new boxes work. */
static void test_restart(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    const struct osa_child_mark first = read_mark();
    assert_int_equal(kill(first.pid, SIGKILL), 0);
    int64_t deadline = osa_deadline_after(6 * FIXTURE_PATIENCE_NS);
    while (box.lost == 0) {
        assert_true(osa_now_ns() < deadline);
        fixture_turn_ms(&fixture, 20);
    }
    fixture_destroy(&fixture, &box);
    until_available(true);
    assert_int_not_equal(read_mark().pid, first.pid);
    fixture_box(&fixture, &box);
    fixture_run(&fixture, &box, &p, "echo again");
    assert_string_equal(p.out.data, "again\n");
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* What a crashed agent has left is stopped as the agent itself would, before the new one begins. */
static void test_former(void **state)
{
    struct osa_child_mark mark;
    char path[128];
    int status = 0;
    (void)state;
    fixture_close(&fixture);
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    assert_true(osa_child_mark_of(pid, &mark));
    (void)snprintf(path, sizeof(path), "%s/boxlite-serve.pid", fixture.folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fprintf(file, "%d %" PRIu64 "\n", (int)mark.pid, mark.start);
    (void)fclose(file);
    fixture_open(&fixture, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
    assert_int_not_equal(read_mark().pid, pid);
}

static void test_bad_user(void **state)
{
    static const char *const bad[] = { "nobody", "65534", "1:2x", "-1:-1:3", "" };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        const struct server_config config = { .program = "/bin/true",
                                              .home = "/tmp/osa-no-such-home",
                                              .user = bad[i] };
        struct server *server = NULL;
        struct osa_error err = { 0 };
        assert_int_equal(server_open(fixture.loop, &config, &server, &err), OSA_INVALID_ARGUMENT);
        assert_non_null(strstr(err.text, "is not UID:GID"));
    }
    assert_int_equal(access("/tmp/osa-no-such-home", F_OK), -1);
}

/* It runs as that user, and its home is his. */
static void test_user(void **state)
{
    char home[] = "/tmp/osa-boxlite-home-XXXXXX";
    struct server *server = NULL;
    struct osa_error err = { 0 };
    struct stat stat_home;
    (void)state;
    if (access("/usr/bin/setpriv", X_OK) < 0)
        skip();
    assert_non_null(mkdtemp(home));
    char *program = NULL;
    assert_true(asprintf(&program, "%s/program", home) > 0);
    FILE *file = fopen(program, "we");
    assert_non_null(file);
    (void)fputs("#!/bin/sh\nid -u; id -g; echo \"$0 $*\"; exec sleep 1000\n", file);
    (void)fclose(file);
    assert_int_equal(chmod(program, 0755), 0);
    const struct server_config config = { .program = program, .home = home, .user = "65534:65533" };
    assert_int_equal(server_open(fixture.loop, &config, &server, &err), OSA_OK);
    assert_int_equal(stat(home, &stat_home), 0);
    assert_int_equal(stat_home.st_uid, 65534);
    char log[64], text[512];
    (void)snprintf(log, sizeof(log), "%s-serve.log", home);
    int64_t deadline = osa_deadline_after(3 * FIXTURE_PATIENCE_NS);
    do {
        fixture_turn_ms(&fixture, 20);
        assert_true(osa_now_ns() < deadline);
        int fd = open(log, O_RDONLY | O_CLOEXEC);
        ssize_t len = read(fd, text, sizeof(text) - 1);
        (void)close(fd);
        text[len > 0 ? len : 0] = '\0';
    } while (strstr(text, "--port 8100") == NULL);
    assert_int_equal(strncmp(text, "65534\n65533\n", 12), 0);
    server_close(server);
    static const char *const names[] = { "/program", "-serve.log", "-serve.pid" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        (void)snprintf(log, sizeof(log), "%s%s", home, names[i]);
        (void)unlink(log);
    }
    assert_int_equal(rmdir(home), 0);
    free(program);
}

static void test_closed(void **state)
{
    (void)state;
    const struct osa_child_mark mark = read_mark();
    assert_true(osa_child_alive(&mark));
    fixture_close(&fixture);
    assert_false(osa_child_alive(&mark));
}

static int start(void **state)
{
    (void)state;
    osa_log_setup(OSA_LOG_WARN, OSA_LOG_TEXT, STDERR_FILENO);
    read_namespace((int)getpid(), own_namespace);
    fixture_serve(&fixture);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apart),        cmocka_unit_test(test_channel),
        cmocka_unit_test(test_channel_rate), cmocka_unit_test(test_channel_cut),
        cmocka_unit_test(test_restart),      cmocka_unit_test(test_former),
        cmocka_unit_test(test_bad_user),     cmocka_unit_test(test_user),
        cmocka_unit_test(test_closed),
    };
    if (geteuid() != 0) {
        puts("skipped: only root makes network namespaces for others");
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, start, stop);
}
