// SPDX-License-Identifier: Apache-2.0
/* What the helper in a box gives beyond the server's exec, and what happens when it, or its connection, fails. */
#include "base/clock.h"
#include "base/log.h"
#include "integration/boxlite_fixture.h"

#include "cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct boxlite_fixture fixture;

static bool is_degraded(const struct isolation *isolation, const char *part)
{
    for (const char *text = isolation->degraded; *text != '\0'; text += strlen(text) + 1) {
        if (strstr(text, part) != NULL)
            return true;
    }
    return false;
}

static void test_isolation(void **state)
{
    struct fixture_box box;
    (void)state;
    fixture_box(&fixture, &box);
    assert_int_equal(box.isolation.level, ISOLATION_VM);
    assert_int_equal(box.isolation.network, NETWORK_NONE);
    assert_true(box.isolation.no_new_privs);
    assert_true(box.isolation.capabilities_dropped);
    assert_string_equal(box.isolation.seccomp_profile, "default");
    assert_false(is_degraded(&box.isolation, "not UTF-8"));
    fixture_destroy(&fixture, &box);
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static void test_exact_bytes(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    fixture_run(&fixture, &box, &p, "printf '\\377\\376\\200abc\\000z'; printf '\\303' >&2");
    assert_int_equal(p.out.len, 8);
    assert_memory_equal(p.out.data,
                        "\xff\xfe\x80"
                        "abc\0z",
                        8);
    assert_int_equal(p.err.len, 1);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* Who runs, with what: no capability, no new privileges, a filter, another user than root. */
static void test_confined(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    fixture_run(&fixture, &box, &p,
                "id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status");
    if (geteuid() == 0) /* else the only user there is */
        assert_true(strncmp(p.out.data, "0\n", 2) != 0);
    assert_non_null(strstr(p.out.data, "CapEff:\t0000000000000000"));
    assert_non_null(strstr(p.out.data, "NoNewPrivs:\t1"));
    assert_non_null(strstr(p.out.data, "Seccomp:\t2"));
    fixture_free(&p);
    fixture_run(&fixture, &box, &p, "cat /etc/shadow");
    assert_int_not_equal(p.exit.code, 0);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* The connection is cut again and again; of five million bytes none is lost, none comes twice. */
static void test_cut_connections(void **state)
{
    enum { TOTAL = 3000000 };
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    const struct process_spec spec =
        fixture_sh("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); echo $((100000000+i)); done");
    fixture_spawn(&fixture, &box, &p, &spec);
    for (unsigned i = 0; i < 4; i++) {
        fixture_http(&fixture, "PUT", "/double/cut", "", 204, NULL, 0);
        fixture_turn_ms(&fixture, 150);
    }
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.exit.code, 0);
    assert_int_equal(p.out.len, TOTAL);
    for (unsigned i = 0; i < 300000; i += 997) {
        char want[16];
        (void)snprintf(want, sizeof(want), "%u\n", 100000001 + i);
        assert_memory_equal(p.out.data + (size_t)i * 10, want, 10);
    }
    assert_int_equal(box.lost, 0);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* Input crosses broken connections whole as well. */
static void test_cut_input(void **state)
{
    enum { TOTAL = 1000000 };
    static char bytes[TOTAL];
    struct fixture_box box;
    struct fixture_process p;
    struct process_spec spec = fixture_sh("exec cat");
    struct osa_error err = { 0 };
    size_t done = 0;
    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        bytes[i] = (char)(i * 131 >> 4);
    fixture_box(&fixture, &box);
    spec.stdin_open = true;
    fixture_spawn(&fixture, &box, &p, &spec);
    while (done < TOTAL) {
        size_t taken = 0;
        unsigned before = p.stdin_ready;
        assert_int_equal(
            p.process->ops->write_stdin(p.process, bytes + done, TOTAL - done, &taken, &err),
            OSA_OK);
        done += taken;
        if (done / 300000 != (done - taken) / 300000)
            fixture_http(&fixture, "PUT", "/double/cut", "", 204, NULL, 0);
        if (done < TOTAL)
            fixture_until(&fixture, &p.stdin_ready, before + 1, "room in stdin");
    }
    assert_int_equal(p.process->ops->close_stdin(p.process, &err), OSA_OK);
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.out.len, TOTAL);
    assert_memory_equal(p.out.data, bytes, TOTAL);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

struct copied {
    int fd;
    unsigned opened;
    unsigned done;
    struct osa_error error;
};

static void on_opened(void *ctx, int fd, const struct osa_error *error)
{
    struct copied *copied = ctx;
    copied->fd = fd;
    copied->opened++;
    if (error != NULL)
        fail_msg("%s", error->text);
}

static void on_copied(void *ctx, const struct osa_error *error)
{
    struct copied *copied = ctx;
    copied->done++;
    if (error != NULL)
        copied->error = *error;
}

/* A copy that is read while the connection is cut has every byte, and one end. */
static void test_cut_copy(void **state)
{
    enum { TOTAL = 3000000 };
    struct fixture_box box;
    struct fixture_process p;
    struct copied copied = { .fd = -1 };
    char chunk[65536];
    size_t total = 0;
    ssize_t got;
    (void)state;
    fixture_box(&fixture, &box);
    fixture_run(&fixture, &box, &p, "head -c 3000000 /dev/zero >/tmp/osa-cut-copy");
    fixture_free(&p);
    box.sandbox->ops->sandbox_copy(box.sandbox, false, "/tmp/osa-cut-copy", "", on_opened,
                                   on_copied, &copied);
    fixture_until(&fixture, &copied.opened, 1, "the copy's stream");
    for (unsigned i = 0; (got = recv(copied.fd, chunk, sizeof(chunk), 0)) != 0; i++) {
        assert_true(got > 0 || errno == EAGAIN);
        total += got > 0 ? (size_t)got : 0;
        if (i % 50 == 20)
            fixture_http(&fixture, "PUT", "/double/cut", "", 204, NULL, 0);
        fixture_turn_ms(&fixture, 5);
    }
    fixture_until(&fixture, &copied.done, 1, "the end of the copy");
    assert_string_equal(copied.error.text, "");
    assert_true(total > TOTAL); /* and the archive's own */
    assert_int_equal(total % 512, 0);
    (void)close(copied.fd);
    fixture_run(&fixture, &box, &p, "rm /tmp/osa-cut-copy");
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* Without the agent's reading nothing piles up, and nothing is lost when it goes on. */
static void test_hold(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    const struct process_spec spec = fixture_sh("head -c 4000000 /dev/zero");
    fixture_spawn(&fixture, &box, &p, &spec);
    p.process->ops->hold_output(p.process, true);
    fixture_turn_ms(&fixture, 500);
    size_t before = p.out.len;
    fixture_turn_ms(&fixture, 300);
    assert_int_equal(p.out.len, before);
    assert_true(before < 2000000);
    assert_int_equal(p.exited, 0);
    p.process->ops->hold_output(p.process, false);
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.out.len, 4000000);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* The image has no shell: the plain exec serves, and the reply says what is missing. */
static void test_no_shell(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_faults(&fixture, "[{\"route\": \"exec\", \"kind\": \"spawn\"}]");
    fixture_box(&fixture, &box);
    assert_true(is_degraded(&box.isolation, "not UTF-8"));
    fixture_run(&fixture, &box, &p, "echo plain; exit 4");
    assert_int_equal(p.exit.code, 4);
    assert_string_equal(p.out.data, "plain\n");
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
    /* Unless what was asked for needs the helper. */
    struct sandbox_spec spec = fixture_spec(&fixture, "needs-it");
    spec.resources.cpu_millis = 1500;
    fixture_faults(&fixture, "[{\"route\": \"exec\", \"kind\": \"spawn\"}]");
    fixture_create(&fixture, &box, &spec);
    assert_null(box.sandbox);
    assert_int_equal(box.error.code, OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(box.error.text, "spec.resources.cpu_millis"));
    assert_non_null(strstr(box.error.text, "the image has no /bin/sh"));
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static void test_request(void **state)
{
    static char body[1 << 14];
    struct fixture_box box;
    (void)state;
    struct sandbox_spec spec = fixture_spec(&fixture, "asked");
    spec.resources = (struct resources){ .memory_bytes = 256ull << 20 };
    fixture_create(&fixture, &box, &spec);
    if (box.sandbox == NULL)
        fail_msg("%s", box.error.text);
    fixture_http(&fixture, "GET", "/double/state", "", 200, body, sizeof(body));
    assert_non_null(strstr(body, "\"memory_mib\": 384,")); /* 128 for the machine itself */
    assert_non_null(strstr(body, "\"user\": \"0:0\""));
    assert_non_null(strstr(body, "\"SYS_ADMIN\""));
    fixture_destroy(&fixture, &box);
}

/* The helper is killed: everything in the box ends with it, and the agent is told. */
static void test_helper_dies(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    const struct process_spec spec = fixture_sh("exec sleep 1000");
    (void)state;
    fixture_box(&fixture, &box);
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_non_null(p.process);
    fixture_http(&fixture, "PUT", "/double/kill", "", 204, NULL, 0);
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.exit.reason, EXIT_REASON_SANDBOX_LOST);
    assert_int_equal(box.lost, 1);
    assert_non_null(strstr(box.lost_reason, "helper"));
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static void test_reserved(void **state)
{
    static const char *const reserved[] = { "BOXLITE_EXECUTOR=guest", NULL };
    struct fixture_box box;
    struct fixture_process p;
    struct process_spec spec = fixture_sh("true");
    (void)state;
    fixture_box(&fixture, &box);
    spec.env = reserved;
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_int_equal(p.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(p.error.field, "spec.env");
    fixture_destroy(&fixture, &box);
}

static int start(void **state)
{
    (void)state;
    osa_log_setup(OSA_LOG_ERROR, OSA_LOG_TEXT, STDERR_FILENO);
    fixture_start(&fixture, NULL, /* plain= */ false);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isolation), cmocka_unit_test(test_exact_bytes),
        cmocka_unit_test(test_confined),  cmocka_unit_test(test_cut_connections),
        cmocka_unit_test(test_cut_input), cmocka_unit_test(test_cut_copy),
        cmocka_unit_test(test_hold),      cmocka_unit_test(test_no_shell),
        cmocka_unit_test(test_request),   cmocka_unit_test(test_helper_dies),
        cmocka_unit_test(test_reserved),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
