// SPDX-License-Identifier: Apache-2.0
/* Copies into and out of a sandbox of the process backend, at each level, with the default policy. */
#include "process_fixture.h"
#include "tar_build.h"

#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A copy under way, and our end of its stream. */
struct copying {
    bool opened;
    bool done;
    int fd;
    struct osa_error error; /* of whichever came */
};

static void on_opened(void *ctx, int fd, const struct osa_error *error)
{
    struct copying *copying = ctx;
    copying->opened = true;
    copying->fd = fd;
    if (error != NULL) {
        copying->error = *error;
        copying->done = true;
    }
}

static void on_done(void *ctx, const struct osa_error *error)
{
    struct copying *copying = ctx;
    assert_false(copying->done);
    copying->done = true;
    if (error != NULL)
        copying->error = *error;
}

static void begin(struct box *box, struct copying *copying, bool in, const char *path,
                  const char *user)
{
    *copying = (struct copying){ .fd = -1 };
    fixture_backend()->ops->sandbox_copy(box->sandbox, in, path, user, on_opened, on_done, copying);
    assert_true(until(&copying->opened));
}

/* Send what the copier takes; it may end before it has taken all. */
static void send_all(struct copying *copying, const struct osa_buf *tar)
{
    for (size_t at = 0; at < tar->len && !copying->done;) {
        ssize_t put = send(copying->fd, tar->data + at, tar->len - at, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN)
            break;
        at += put < 0 ? 0 : (size_t)put;
        run_for_ms(put < 0 ? 1 : 0);
    }
}

static struct osa_error copy_in(struct box *box, const char *path, const char *user,
                                struct osa_buf *tar)
{
    struct copying copying;
    begin(box, &copying, true, path, user);
    if (copying.fd >= 0) {
        send_all(&copying, tar);
        (void)shutdown(copying.fd, SHUT_WR);
        assert_true(until(&copying.done));
        (void)close(copying.fd);
    }
    osa_buf_done(tar);
    return copying.error;
}

static struct osa_error copy_out(struct box *box, const char *path, const char *user,
                                 struct osa_buf *ret)
{
    struct copying copying;
    ssize_t got = copying.fd = -1;
    build_init(ret);
    begin(box, &copying, false, path, user);
    while (copying.fd >= 0 && got != 0) {
        char chunk[4096];
        got = recv(copying.fd, chunk, sizeof(chunk), 0);
        if (got > 0)
            assert_true(osa_buf_add(ret, chunk, (size_t)got));
        else
            run_for_ms(1);
    }
    assert_true(until(&copying.done));
    osa_replace_fd(&copying.fd, -1);
    return copying.error;
}

static void expect(const struct osa_error *error, enum osa_code code, const char *text)
{
    if (error->code != code || strstr(error->text, text) == NULL)
        fail_msg("%s: '%s', not %s '%s'", osa_code_name(error->code), error->text,
                 osa_code_name(code), text);
}

/* Run a script; its output is to be @out. */
static void expect_script(struct box *box, const char *script, const char *out)
{
    struct seen seen;
    struct process_spec spec = shell(script);
    launch(box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data == NULL ? "" : seen.out.data, out);
    seen_done(&seen);
}

static const char *place(void)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/osa-copy-%d", getpid());
    return path;
}

/* A script that begins in a directory of ours, which it makes. */
static const char *in_place(const char *script)
{
    static char text[600];
    (void)snprintf(text, sizeof(text), "mkdir -p %s && cd %s && { %s; }", place(), place(), script);
    return text;
}

static void box_open_with_place(struct box *box)
{
    box_open(box);
    expect_script(box, in_place(":"), "");
}

static void box_close_with_place(struct box *box)
{
    expect_script(box, in_place("rm -rf ./*"), "");
    box_close(box);
}

/* ---- the copier, as the host sees it ---- */

static pid_t status_number(pid_t pid, const char *field)
{
    char path[64];
    OSA_AUTO(osa_free) char *text = NULL;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (osa_read_file(AT_FDCWD, path, 8192, &text, NULL, NULL) != OSA_OK)
        return -1;
    const char *at = strstr(text, field);
    return at == NULL ? -1 : (pid_t)strtol(at + strlen(field), NULL, 10);
}

static bool is_our_copier(pid_t pid)
{
    char path[64];
    OSA_AUTO(osa_free) char *text = NULL;
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    if (osa_read_file(AT_FDCWD, path, 64, &text, NULL, NULL) != OSA_OK ||
        strcmp(text, "openshell-copy\n") != 0)
        return false;
    while (pid > 1 && pid != getpid())
        pid = status_number(pid, "\nPPid:");
    return pid == getpid();
}

/* Return: a copier below this process; -1: there is none. */
static pid_t find_copier(void)
{
    pid_t found = -1;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (const struct dirent *entry; found < 0 && (entry = readdir(proc)) != NULL;) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && is_our_copier(pid))
            found = pid;
    }
    (void)closedir(proc);
    return found;
}

static pid_t wait_copier(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        pid_t pid = find_copier();
        if (pid > 0)
            return pid;
        run_for_ms(5);
    }
    fail_msg("no copier");
    return -1;
}

/* One that was killed may take a moment to be gone. */
static void wait_no_copier(void)
{
    for (unsigned i = 0; i < 1000 && find_copier() > 0; i++)
        run_for_ms(5);
    assert_int_equal(find_copier(), -1);
}

/* ---- cases ---- */

static void files_go_in_as_the_user(void **state)
{
    struct box box;
    struct osa_buf tar;
    (void)state;
    box_open_with_place(&box);
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "d/", .type = '5', .mode = "0000750" });
    build_member(&tar, (struct member){ .name = "d/file", .data = "hello\n", .mode = "0004640" });
    build_member(&tar, (struct member){ .name = "d/link", .type = '2', .link = "file" });
    build_member(&tar, (struct member){ .name = "hard", .type = '1', .link = "d/file" });
    build_end(&tar);
    struct osa_error error = copy_in(&box, place(), "", &tar);
    assert_string_equal(error.text, "");
    expect_script(&box,
                  in_place("cat d/link; stat -c '%a %h %Y' d/file d; "
                           "[ $(stat -c %u d/file) = $(id -u) ] && echo own"),
                  "hello\n640 2 1000\n750 2 1000\nown\n");
    box_close_with_place(&box);
}

static void files_come_out(void **state)
{
    struct box box;
    struct osa_buf tar;
    char path[100];
    (void)state;
    box_open_with_place(&box);
    expect_script(&box, in_place("mkdir a && echo text >a/b && ln -s a way && echo $(id -u)x >u"),
                  "");
    (void)snprintf(path, sizeof(path), "%s/a", place());
    struct osa_error error = copy_out(&box, path, "", &tar);
    assert_string_equal(error.text, "");
    assert_string_equal(tar.data, "a/");
    assert_string_equal(tar.data + 512, "a/b");
    assert_memory_equal(tar.data + 1024, "text\n", 6);
    assert_int_equal(tar.len, 5 * 512);
    osa_buf_done(&tar);
    (void)snprintf(path, sizeof(path), "%s/way", place());
    error = copy_out(&box, path, "", &tar); /* the link itself */
    assert_string_equal(error.text, "");
    assert_int_equal(tar.data[156], '2');
    osa_buf_done(&tar);
    (void)snprintf(path, sizeof(path), "%s/way/", place());
    error = copy_out(&box, path, "", &tar); /* what it leads to */
    assert_string_equal(error.text, "");
    assert_string_equal(tar.data, "way/");
    osa_buf_done(&tar);
    box_close_with_place(&box);
}

static void refusals_have_their_code(void **state)
{
    static const struct {
        bool in;
        const char *path;
        const char *user;
        enum osa_code code;
        const char *text;
    } cases[] = {
        { true, "/tmp/no/such", "", OSA_NOT_FOUND, "'/tmp/no/such' cannot be opened" },
        { true, "/usr/bin/env", "", OSA_FAILED_PRECONDITION, "Not a directory" },
        { true, "/usr/lib", "", OSA_PERMISSION_DENIED, "'f' cannot be made" },
        { true, "/tmp", "no-such-user", OSA_INVALID_ARGUMENT, "no-such-user" },
        { false, "/tmp/no-such", "", OSA_NOT_FOUND, "'no-such' cannot be read" },
        { false, "/tmp/no/such", "", OSA_NOT_FOUND, "'/tmp/no' cannot be opened" },
        { false, "/dev/null", "", OSA_FAILED_PRECONDITION, "'null' is a device" },
        { false, "/usr/bin/env/", "", OSA_FAILED_PRECONDITION, "Not a directory" },
    };
    struct box box;
    struct osa_buf tar;
    (void)state;
    box_open(&box);
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct osa_error error;
        if (cases[i].in) {
            build_one(&tar, (struct member){ .name = "f", .data = "x" });
            error = copy_in(&box, cases[i].path, cases[i].user, &tar);
        } else {
            error = copy_out(&box, cases[i].path, cases[i].user, &tar);
            osa_buf_done(&tar);
        }
        expect(&error, cases[i].code, cases[i].text);
    }
    box_close(&box);
}

/* What the policy does not name cannot be read, however readable the agent finds it. */
static void files_follow_the_policy(void **state)
{
    struct box box;
    struct osa_buf tar;
    (void)state;
    box_open(&box);
    static const char *const hidden[] = { "/root", "/home", "/var/lib/dpkg/status" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(hidden); i++) {
        struct osa_error error = copy_out(&box, hidden[i], "", &tar);
        assert_true(error.code == OSA_PERMISSION_DENIED || error.code == OSA_NOT_FOUND);
        assert_int_equal(tar.len, 0);
        osa_buf_done(&tar);
    }
    box_close(&box);
}

static void hostile_archives_are_refused(void **state)
{
    static const struct {
        struct member member;
        const char *text;
    } cases[] = {
        { { .name = "../f", .data = "x" }, "has a '..'" },
        { { .name = "/f", .data = "x" }, "absolute path" },
        { { .name = "dev", .type = '3' }, "'dev' is a device" },
        { { .name = "f", .type = 'S' }, "not supported" },
        { { .name = "f", .data = "x", .size = "00000100000" }, "ends inside of 'f'" },
    };
    struct box box;
    struct osa_buf tar;
    (void)state;
    box_open_with_place(&box);
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        build_init(&tar);
        build_member(&tar, (struct member){ .name = "good" });
        build_member(&tar, cases[i].member);
        build_end(&tar);
        struct osa_error error = copy_in(&box, place(), "", &tar);
        expect(&error, OSA_INVALID_ARGUMENT, cases[i].text);
        expect(&error, OSA_INVALID_ARGUMENT, "after 1 entries: ");
    }
    build_init(&tar);
    assert_true(osa_buf_add(&tar, "no archive", 10));
    struct osa_error error = copy_in(&box, place(), "", &tar);
    expect(&error, OSA_INVALID_ARGUMENT, "a part of it is missing");
    expect_script(&box, in_place("ls"), "good\n");
    box_close_with_place(&box);
}

static void copiers_are_confined(void **state)
{
    struct box box;
    struct copying copying;
    char path[64];
    char line[32];
    OSA_AUTO(osa_free) char *status = NULL;
    OSA_AUTO(osa_free) char *cgroup = NULL;
    (void)state;
    box_open(&box);
    begin(&box, &copying, true, "/tmp", "");
    run_for_ms(20);
    pid_t pid = wait_copier();
    run_for_ms(50); /* it confines itself before it reads */
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    assert_int_equal(osa_read_file(AT_FDCWD, path, 8192, &status, NULL, NULL), OSA_OK);
    static const char *const wanted[] = { "\nSeccomp:\t2\n", "\nNoNewPrivs:\t1\n",
                                          "\nCapPrm:\t0000000000000000\n",
                                          "\nCapEff:\t0000000000000000\n" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(wanted); i++) {
        if (strstr(status, wanted[i]) == NULL)
            fail_msg("no '%s' in %s", wanted[i], status);
    }
    (void)snprintf(line, sizeof(line), "%d\n", status_number(pid, "\nUid:"));
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    assert_int_equal(osa_read_file(AT_FDCWD, path, 8192, &cgroup, NULL, NULL), OSA_OK);
    if (box.isolation.enforced_limits != 0 || box.isolation.cgroup_version != 0)
        assert_non_null(strstr(cgroup, "/c-"));
    if (geteuid() == 0) { /* the stream, its report, the directory twice; nothing of init's */
        (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        DIR *dir = opendir(path);
        assert_non_null(dir);
        unsigned count = 0;
        for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
            count += entry->d_name[0] != '.';
        (void)closedir(dir);
        assert_int_equal(count, 4);
        expect_script(&box, "id -u", line);
    }
    (void)close(copying.fd);
    assert_true(until(&copying.done));
    box_close(&box);
}

/* Even one that somebody has stopped. */
static void closing_the_stream_ends_the_copier(void **state)
{
    struct box box;
    struct copying copying;
    (void)state;
    box_open(&box);
    for (unsigned in = 0; in < 2; in++) {
        begin(&box, &copying, in == 1, in == 1 ? "/tmp" : "/usr/lib", "");
        pid_t pid = wait_copier();
        assert_int_equal(kill(pid, SIGSTOP), 0);
        (void)close(copying.fd);
        assert_true(until(&copying.done));
        expect(&copying.error, OSA_ABORTED, "killed by signal 9");
        wait_no_copier();
    }
    box_close(&box);
}

static void killed_copier_is_told(void **state)
{
    struct box box;
    struct copying copying;
    (void)state;
    box_open(&box);
    begin(&box, &copying, true, "/tmp", "");
    assert_int_equal(kill(wait_copier(), SIGKILL), 0);
    assert_true(until(&copying.done));
    expect(&copying.error, OSA_ABORTED, "the copier was killed by signal 9");
    (void)close(copying.fd);
    box_close(&box);
}

static void destroying_the_sandbox_ends_copies(void **state)
{
    struct box box;
    struct copying copying;
    (void)state;
    box_open(&box);
    begin(&box, &copying, true, "/tmp", "");
    assert_int_equal(kill(wait_copier(), SIGSTOP), 0);
    box_close(&box);
    assert_true(copying.done);
    expect(&copying.error, OSA_ABORTED, "the sandbox has ended");
    wait_no_copier();
    (void)close(copying.fd);
}

/* Killing a process's tree, the sandbox's first and only one, leaves the copier alone. */
static void killing_processes_spares_copies(void **state)
{
    struct box box;
    struct seen seen;
    struct osa_buf tar;
    struct copying copying;
    char path[100];
    (void)state;
    box_open_with_place(&box);
    begin(&box, &copying, true, place(), "");
    struct process_spec spec = shell("(setsid sleep 100 &); sleep 100");
    launch(&box, &seen, &spec);
    kill_tree_and_wait(&seen);
    finish(&seen);
    seen_done(&seen);
    build_one(&tar, (struct member){ .name = "file", .data = "here" });
    send_all(&copying, &tar);
    osa_buf_done(&tar);
    (void)shutdown(copying.fd, SHUT_WR);
    assert_true(until(&copying.done));
    assert_string_equal(copying.error.text, "");
    (void)close(copying.fd);
    (void)snprintf(path, sizeof(path), "cat %s/file", place());
    expect_script(&box, path, "here");
    box_close_with_place(&box);
}

static void full_disk_is_told(void **state)
{
    static char data[1 << 20];
    struct box box;
    struct osa_buf tar;
    (void)state;
    struct sandbox_spec wanted = box_spec();
    wanted.resources.disk_bytes = 2u << 20;
    box_try(&box, &wanted);
    if (box.sandbox == NULL) { /* no private scratch here */
        assert_int_equal(box.error.code, OSA_INVALID_ARGUMENT);
        skip();
    }
    build_init(&tar);
    for (char name = 'a'; name < 'e'; name++)
        build_member(&tar, (struct member){ .name = (char[]){ name, '\0' },
                                            .data = data,
                                            .data_len = sizeof(data) });
    build_end(&tar);
    struct osa_error error = copy_in(&box, "/tmp", "", &tar);
    expect(&error, OSA_RESOURCE_EXHAUSTED, "No space left on device");
    box_close(&box);
}

/* A reader that takes nothing holds the copier; then everything comes. */
static void slow_reader_holds_the_copier(void **state)
{
    struct box box;
    struct copying copying;
    char path[100];
    int waiting = 0;
    size_t total = 0;
    ssize_t got = -1;
    (void)state;
    box_open_with_place(&box);
    expect_script(&box, in_place("truncate -s 20000000 large"), "");
    (void)snprintf(path, sizeof(path), "%s/large", place());
    begin(&box, &copying, false, path, "");
    run_for_ms(200);
    assert_false(copying.done);
    assert_int_equal(ioctl(copying.fd, FIONREAD, &waiting), 0);
    assert_in_range(waiting, 1, 4 << 20);
    while (got != 0) {
        char chunk[65536];
        got = recv(copying.fd, chunk, sizeof(chunk), 0);
        total += got > 0 ? (size_t)got : 0;
        if (got < 0)
            run_for_ms(1);
    }
    assert_true(until(&copying.done));
    assert_string_equal(copying.error.text, "");
    assert_int_equal(total, 512 + 20000256 + 1024);
    (void)close(copying.fd);
    box_close_with_place(&box);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_go_in_as_the_user),
        cmocka_unit_test(files_come_out),
        cmocka_unit_test(refusals_have_their_code),
        cmocka_unit_test(files_follow_the_policy),
        cmocka_unit_test(hostile_archives_are_refused),
        cmocka_unit_test(copiers_are_confined),
        cmocka_unit_test(closing_the_stream_ends_the_copier),
        cmocka_unit_test(killed_copier_is_told),
        cmocka_unit_test(destroying_the_sandbox_ends_copies),
        cmocka_unit_test(killing_processes_spares_copies),
        cmocka_unit_test(full_disk_is_told),
        cmocka_unit_test(slow_reader_holds_the_copier),
    };
    if (!fixture_level(argc, argv))
        return 77;
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
