// SPDX-License-Identifier: Apache-2.0
/* The BoxLite backend against a server that is broken, hostile, or gone: an error that says so, and nothing left. */
#include "base/clock.h"
#include "base/log.h"
#include "integration/boxlite_fixture.h"

#include "cmocka_all.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct boxlite_fixture fixture;

static void fault(const char *route, const char *kind, int value, int times)
{
    char json[256];
    (void)snprintf(json, sizeof(json),
                   "[{\"route\": \"%s\", \"kind\": \"%s\", \"value\": %d, \"times\": %d}]", route,
                   kind, value, times);
    fixture_faults(&fixture, json);
}

struct refusal {
    const char *kind;
    int value;
    enum osa_code code;
    const char *text;
};

static void check_create(const char *route, const struct refusal *row)
{
    struct fixture_box box;
    const struct sandbox_spec spec = fixture_spec(&fixture, "hostile");
    fault(route, row->kind, row->value, 1);
    fixture_create(&fixture, &box, &spec);
    if (box.sandbox != NULL || box.error.code != row->code ||
        strstr(box.error.text, row->text) == NULL)
        fail_msg("%s %s: %s: %s", route, row->kind, osa_code_name(box.error.code), box.error.text);
    assert_string_equal(box.error.stage, "box");
    fixture_faults(&fixture, "[]");
    assert_int_equal(fixture_boxes(&fixture), 0);
}

/* Whatever comes in place of a right answer, the box does not stay. */
static void test_create(void **state)
{
    static const struct refusal rows[] = {
        { "truncated", 0, OSA_INTERNAL, "not JSON" },
        { "short", 0, OSA_UNAVAILABLE, "making the box" },
        { "types", 0, OSA_INTERNAL, "no box_id" },
        { "empty", 0, OSA_INTERNAL, "no box_id" },
        { "huge", 0, OSA_RESOURCE_EXHAUSTED, "longer than the" },
        { "headers", 0, OSA_RESOURCE_EXHAUSTED, "making the box" },
        { "garbage", 0, OSA_UNAVAILABLE, "making the box" },
        { "close", 0, OSA_UNAVAILABLE, "making the box" },
        { "redirect", 0, OSA_INTERNAL, "status 302" },
        { "status", 400, OSA_INVALID_ARGUMENT, "refuses a value (status 400)" },
        { "status", 401, OSA_FAILED_PRECONDITION, "--boxlite-key-file" },
        { "status", 409, OSA_FAILED_PRECONDITION, "status 409" },
        { "status", 410, OSA_ABORTED, "status 410" },
        { "status", 429, OSA_RESOURCE_EXHAUSTED, "no room" },
        { "status", 500, OSA_UNAVAILABLE, "status 500" },
        { "status", 503, OSA_UNAVAILABLE, "virtual machine did not start" },
        { "plain", 400, OSA_INVALID_ARGUMENT, "status 400" },
        { "plain", 413, OSA_INVALID_ARGUMENT, "2 MiB" },
        { "plain", 502, OSA_UNAVAILABLE, "not reached" },
        { "plain", 504, OSA_DEADLINE_EXCEEDED, "in time" },
        { "plain", 599, OSA_UNAVAILABLE, "status 599" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        check_create("create", &rows[i]);
        if (fixture.backend->ops->info(fixture.backend)->available)
            continue;
        fixture_close(&fixture); /* a connection that broke: the server is looked for anew */
        fixture_open(&fixture, NULL);
    }
}

static void test_start(void **state)
{
    static const struct refusal rows[] = {
        { "truncated", 0, OSA_INTERNAL, "starting the box" },
        { "status", 503, OSA_UNAVAILABLE, "virtual machine did not start" },
        { "status", 422, OSA_FAILED_PRECONDITION, "image cannot be had" },
        { "close", 0, OSA_UNAVAILABLE, "starting the box" },
        { "hang", 0, OSA_DEADLINE_EXCEEDED, "starting the box" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++)
        check_create("start", &rows[i]);
}

/* A drip of bytes is slow and right; the deadline of the whole call bounds it. */
static void test_drip(void **state)
{
    struct fixture_box box;
    (void)state;
    fault("start", "drip", 0, 1);
    const struct sandbox_spec spec = fixture_spec(&fixture, "drip");
    int64_t begin = osa_now_ns();
    fixture_create(&fixture, &box, &spec);
    assert_int_equal(box.error.code, OSA_DEADLINE_EXCEEDED);
    assert_true(osa_now_ns() - begin < 15 * OSA_NS_PER_SEC);
    assert_int_equal(fixture_boxes(&fixture), 0);
}

/* A delete that fails is tried again; destroy answers once. */
static void test_delete(void **state)
{
    struct fixture_box box;
    (void)state;
    fixture_box(&fixture, &box);
    fault("delete", "status", 500, 2);
    fixture_destroy(&fixture, &box);
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static void test_exec(void **state)
{
    static const struct refusal rows[] = {
        { "truncated", 0, OSA_INTERNAL, "not JSON" },
        { "types", 0, OSA_INTERNAL, "no execution_id" },
        { "status", 409, OSA_FAILED_PRECONDITION, "status 409" },
        { "status", 410, OSA_ABORTED, "given the process up" },
        { "plain", 500, OSA_UNAVAILABLE, "status 500" },
        { "huge", 0, OSA_RESOURCE_EXHAUSTED, "longer than the" },
        { "redirect", 0, OSA_INTERNAL, "status 302" },
    };
    struct fixture_box box;
    struct fixture_process p;
    const struct process_spec spec = fixture_sh("exit 0");
    (void)state;
    fixture_box(&fixture, &box);
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        fault("exec", rows[i].kind, rows[i].value, 1);
        fixture_spawn(&fixture, &box, &p, &spec);
        if (p.process != NULL || p.error.code != rows[i].code ||
            strstr(p.error.text, rows[i].text) == NULL)
            fail_msg("%s: %s: %s", rows[i].kind, osa_code_name(p.error.code), p.error.text);
        fixture_free(&p);
    }
    fixture_run(&fixture, &box, &p, "echo still well");
    assert_string_equal(p.out.data, "still well\n");
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* What breaks an attach does not touch the process; the next one brings the output, whole and once. */
static void test_attach_again(void **state)
{
    static const struct {
        const char *kind;
        int value;
        int times;
    } rows[] = {
        { "ws_status", 0, 2 }, { "ws_accept", 0, 1 }, { "garbage", 0, 1 },    { "close", 0, 1 },
        { "redirect", 0, 1 },  { "status", 409, 2 },  { "status", 503, 1 },   { "plain", 500, 1 },
        { "ws_cut", 3000, 1 }, { "ws_cut", 0, 2 },    { "ws_frame", 0, 1 },   { "ws_big", 0, 1 },
        { "ws_text", 0, 1 },   { "ws_types", 0, 1 },  { "ws_no_exit", 0, 1 },
    };
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        fault("attach", rows[i].kind, rows[i].value, rows[i].times);
        fixture_run(&fixture, &box, &p,
                    "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done; echo e >&2; "
                    "exit 5");
        if (p.exit.reason != EXIT_REASON_EXITED || p.exit.code != 5)
            fail_msg("%s: reason %d code %d", rows[i].kind, p.exit.reason, p.exit.code);
        if (p.out.len != 8890 || p.err.len != 2)
            fail_msg("%s: %zu and %zu bytes of output", rows[i].kind, p.out.len, p.err.len);
        assert_non_null(strstr(p.out.data, "line 998\nline 999\n"));
        fixture_free(&p);
        fixture_faults(&fixture, "[]");
    }
    fixture_destroy(&fixture, &box);
}

/* More output than the server keeps: the reader is told that it may not be whole. */
static void test_gap_is_told(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    fault("attach", "ws_cut", 400000, 1);
    fixture_run(&fixture, &box, &p, "head -c 600000 /dev/zero | tr '\\0' x");
    assert_int_equal(p.exit.code, 0);
    assert_non_null(strstr(p.out.data, "output may be missing or repeated here"));
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* A server that closes in order and never tells the exit is asked for it. */
static void test_no_exit_ever(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    fault("attach", "ws_no_exit", 0, 100);
    fixture_run(&fixture, &box, &p, "echo out; exit 9");
    assert_int_equal(p.exit.reason, EXIT_REASON_EXITED);
    assert_int_equal(p.exit.code, 9);
    assert_string_equal(p.out.data, "out\n");
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

/* The main command ends: the machine is gone, and with it what ran. */
static void test_machine_dies(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    const struct process_spec spec = fixture_sh("sleep 0.3; kill -9 2; exec sleep 1000");
    (void)state;
    fixture_box(&fixture, &box);
    fixture_spawn(&fixture, &box, &p, &spec);
    fixture_finish(&fixture, &p, 2);
    assert_true(p.exit.reason == EXIT_REASON_SANDBOX_LOST ||
                (p.exit.reason == EXIT_REASON_SIGNALED && p.exit.signal == SIGKILL));
    fixture_free(&p);
    fixture_spawn(&fixture, &box, &p, &spec); /* which finds nobody, and looks why */
    assert_null(p.process);
    fixture_until(&fixture, &box.lost, 1, "the loss of the box");
    assert_non_null(strstr(box.lost_reason, "virtual machine has stopped"));
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

static void test_memory_stays_flat(void **state)
{
    struct rusage before, after;
    struct fixture_box box;
    (void)state;
    (void)getrusage(RUSAGE_SELF, &before);
    const struct sandbox_spec spec = fixture_spec(&fixture, "huge");
    fault("create", "huge", 0, 1);
    fixture_create(&fixture, &box, &spec);
    assert_int_equal(box.error.code, OSA_RESOURCE_EXHAUSTED);
    (void)getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 32 << 10); /* KiB, of 100 MiB sent */
}

/* The server goes away and another comes: unavailable meanwhile, with the reason, and back by itself. */
static void test_no_server(void **state)
{
    struct fixture_box box;
    (void)state;
    (void)kill(fixture.pid, SIGSTOP);
    (void)kill(fixture.pid, SIGCONT);
    fixture_close(&fixture);
    unsigned port = fixture.port;
    fixture.port = 1; /* where nobody listens */
    fixture_open(&fixture, NULL);
    const struct backend_info *info = fixture.backend->ops->info(fixture.backend);
    assert_false(info->available);
    assert_non_null(strstr(info->reason, "connect"));
    const struct sandbox_spec spec = fixture_spec(&fixture, "nobody");
    fixture_create(&fixture, &box, &spec);
    assert_int_equal(box.error.code, OSA_UNAVAILABLE);
    fixture_close(&fixture);
    fixture.port = port;
    fixture_open(&fixture, NULL);
    fixture_box(&fixture, &box);
    fixture_destroy(&fixture, &box);
}

static void probe_as(const char *version, const char *prefix, bool available, const char *text)
{
    const char *const arguments[] = { "--version", version, "--prefix", prefix, NULL };
    struct boxlite_fixture other;
    struct fixture_box box;
    fixture_start(&other, arguments, /* plain= */ true);
    const struct backend_info *info = other.backend->ops->info(other.backend);
    assert_int_equal(info->available, available);
    if (strstr(available ? info->server_version : info->reason, text) == NULL)
        fail_msg("%s: '%s' '%s'", version, info->server_version, info->reason);
    if (available) {
        fixture_box(&other, &box);
        fixture_destroy(&other, &box);
    }
    fixture_stop(&other);
}

static void test_versions(void **state)
{
    (void)state;
    probe_as("0.7", "", false, "0.10 or newer is needed");
    probe_as("0.10.0", "", true, "0.10.0");
    probe_as("0.11", "", true, "0.11 or newer");
    probe_as("0.10", "team-a/blue", true, "0.10");
}

static void test_probe_refuses(void **state)
{
    static const struct refusal rows[] = {
        { "empty", 0, OSA_OK, "does not look like BoxLite" },
        { "truncated", 0, OSA_OK, "not JSON" },
        { "redirect", 0, OSA_OK, "status 302" },
        { "plain", 401, OSA_OK, "another API key" },
        { "huge", 0, OSA_OK, "longer than" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        fixture_close(&fixture);
        fault("config", rows[i].kind, rows[i].value, 1);
        fixture_open(&fixture, NULL);
        const struct backend_info *info = fixture.backend->ops->info(fixture.backend);
        assert_false(info->available);
        if (strstr(info->reason, rows[i].text) == NULL)
            fail_msg("%s: %s", rows[i].kind, info->reason);
    }
    int64_t deadline = osa_deadline_after(FIXTURE_PATIENCE_NS); /* and is asked again */
    while (!fixture.backend->ops->info(fixture.backend)->available && osa_now_ns() < deadline)
        (void)osa_loop_run_once(fixture.loop, deadline);
    assert_true(fixture.backend->ops->info(fixture.backend)->available);
}

static int start(void **state)
{
    (void)state;
    osa_log_setup(OSA_LOG_ERROR, OSA_LOG_TEXT, STDERR_FILENO);
    fixture_start(&fixture, NULL, /* plain= */ true);
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
        cmocka_unit_test(test_create),        cmocka_unit_test(test_start),
        cmocka_unit_test(test_drip),          cmocka_unit_test(test_delete),
        cmocka_unit_test(test_exec),          cmocka_unit_test(test_attach_again),
        cmocka_unit_test(test_gap_is_told),   cmocka_unit_test(test_no_exit_ever),
        cmocka_unit_test(test_machine_dies),  cmocka_unit_test(test_memory_stays_flat),
        cmocka_unit_test(test_no_server),     cmocka_unit_test(test_versions),
        cmocka_unit_test(test_probe_refuses),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
