// SPDX-License-Identifier: Apache-2.0
/* The BoxLite backend against a well-behaved server: what it does, and what it says that it cannot. */
#include "base/clock.h"
#include "integration/boxlite_fixture.h"

#include "cmocka_all.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct boxlite_fixture fixture;

static bool is_degraded(const struct isolation *isolation, const char *part)
{
    for (const char *text = isolation->degraded; *text != '\0'; text += strlen(text) + 1) {
        if (strstr(text, part) != NULL)
            return true;
    }
    return false;
}

static void test_info(void **state)
{
    const struct backend_info *info = fixture.backend->ops->info(fixture.backend);
    (void)state;
    assert_true(info->available);
    assert_string_equal(info->reason, "");
    assert_string_equal(info->server_version, "0.10");
    assert_non_null(strstr(info->server_url, "http://127.0.0.1:"));
    assert_int_equal(info->isolation.level, ISOLATION_VM);
    assert_int_equal(info->isolation.tree_kill, TREE_KILL_VM);
    assert_int_equal(info->isolation.network, NETWORK_NONE);
}

static void test_run(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    assert_int_equal(box.isolation.level, ISOLATION_VM);
    fixture_run(&fixture, &box, &p, "printf out; printf err >&2; printf %s $COLOUR; exit 7");
    assert_int_equal(p.exit.reason, EXIT_REASON_EXITED);
    assert_int_equal(p.exit.code, 7);
    assert_string_equal(p.out.data, "outblue");
    assert_string_equal(p.err.data, "err");
    fixture_free(&p);
    fixture_run(&fixture, &box, &p, "kill -SEGV $$");
    assert_int_equal(p.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(p.exit.signal, SIGSEGV);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static void test_missing_program(void **state)
{
    static const char *const argv[] = { "/no/such/program", NULL };
    struct fixture_box box;
    struct fixture_process p;
    struct process_spec spec = fixture_sh("");
    (void)state;
    fixture_box(&fixture, &box);
    spec.argv = argv;
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_int_equal(p.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(p.error.stage, "exec");
    assert_non_null(strstr(p.error.text, "'/no/such/program' is not there"));
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

static void test_stdin(void **state)
{
    enum { TOTAL = 2000000 };
    static char bytes[TOTAL];
    struct fixture_box box;
    struct fixture_process p;
    struct process_spec spec = fixture_sh("exec cat");
    struct osa_error err = { 0 };
    size_t done = 0;
    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        bytes[i] = (char)('a' + i * 31 / 7 % 26);
    fixture_box(&fixture, &box);
    spec.stdin_open = true;
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_non_null(p.process);
    while (done < TOTAL) {
        size_t taken = 0;
        unsigned before = p.stdin_ready;
        assert_int_equal(
            p.process->ops->write_stdin(p.process, bytes + done, TOTAL - done, &taken, &err),
            OSA_OK);
        done += taken;
        if (done < TOTAL)
            fixture_until(&fixture, &p.stdin_ready, before + 1, "room in stdin");
    }
    assert_int_equal(p.process->ops->close_stdin(p.process, &err), OSA_OK);
    assert_int_equal(p.process->ops->close_stdin(p.process, &err), OSA_OK);
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.exit.code, 0);
    assert_int_equal(p.out.len, TOTAL);
    assert_memory_equal(p.out.data, bytes, TOTAL);
    fixture_free(&p);
    fixture_run(&fixture, &box, &p, "cat; echo end"); /* no stdin: its end, at once */
    assert_string_equal(p.out.data, "end\n");
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

static void test_signals(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    struct process_spec spec = fixture_sh("exec sleep 1000");
    struct osa_error err = { 0 };
    (void)state;
    fixture_box(&fixture, &box);
    static const int some[] = { SIGTERM, SIGHUP, SIGKILL, SIGUSR1 };
    for (size_t i = 0; i < OSA_ARRAY_LEN(some); i++) {
        fixture_spawn(&fixture, &box, &p, &spec);
        const struct backend_ops *ops = p.process->ops;
        assert_int_equal(ops->signal(p.process, 0, SIGNAL_PROCESS, &err), OSA_OK);
        assert_int_equal(ops->signal(p.process, some[i], SIGNAL_PROCESS, &err), OSA_OK);
        fixture_finish(&fixture, &p, 2);
        assert_int_equal(p.exit.reason, EXIT_REASON_SIGNALED);
        assert_int_equal(p.exit.signal, some[i]);
        assert_int_equal(ops->signal(p.process, 0, SIGNAL_PROCESS, &err), OSA_NOT_FOUND);
        fixture_free(&p);
    }
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_int_equal(p.process->ops->signal(p.process, SIGSTOP, SIGNAL_PROCESS, &err),
                     OSA_UNIMPLEMENTED);
    assert_non_null(strstr(err.text, "not 19"));
    assert_int_equal(p.process->ops->signal(p.process, SIGTERM, SIGNAL_TREE, &err),
                     OSA_UNIMPLEMENTED);
    assert_int_equal(fixture_kill(&fixture, &p), OSA_OK);
    fixture_finish(&fixture, &p, 2);
    assert_int_equal(p.exit.signal, SIGKILL);
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

static void test_terminal(void **state)
{
    struct fixture_box box;
    struct fixture_process p;
    struct process_spec spec = fixture_sh("stty size; cat >/dev/null; stty size");
    struct osa_error err = { 0 };
    (void)state;
    fixture_box(&fixture, &box);
    spec.tty = true;
    spec.stdin_open = true;
    spec.tty_size = (struct terminal_size){ 33, 111 };
    fixture_spawn(&fixture, &box, &p, &spec);
    fixture_turn_ms(&fixture, 300);
    assert_int_equal(p.process->ops->resize(p.process, (struct terminal_size){ 44, 122 }, &err),
                     OSA_OK);
    fixture_turn_ms(&fixture, 100);
    assert_int_equal(p.process->ops->close_stdin(p.process, &err), OSA_OK);
    fixture_finish(&fixture, &p, 1);
    assert_non_null(strstr(p.out.data, "44 122"));
    fixture_free(&p);
    fixture_destroy(&fixture, &box);
}

static void test_destroy_running(void **state)
{
    struct fixture_box box;
    struct fixture_process running, starting;
    const struct process_spec spec = fixture_sh("exec sleep 1000");
    (void)state;
    fixture_box(&fixture, &box);
    fixture_spawn(&fixture, &box, &running, &spec);
    fixture_begin(&box, &starting, &spec);
    fixture_destroy(&fixture, &box);
    assert_int_equal(running.exited, 1);
    assert_int_equal(starting.spawned, 1);
    if (starting.process == NULL)
        assert_int_equal(starting.error.code, OSA_ABORTED);
    assert_int_equal(fixture_boxes(&fixture), 0);
    fixture_free(&running);
    fixture_free(&starting);
}

static void test_told_apart(void **state)
{
    struct fixture_box box;
    (void)state;
    fixture_box(&fixture, &box);
    assert_true(is_degraded(&box.isolation, "not UTF-8"));
    assert_true(is_degraded(&box.isolation, "file-system policy"));
    fixture_destroy(&fixture, &box);
}

static void expect_refusal(const struct sandbox_spec *spec, enum osa_code code, const char *text)
{
    struct fixture_box box;
    fixture_create(&fixture, &box, spec);
    assert_null(box.sandbox);
    assert_int_equal(box.error.code, code);
    if (strstr(box.error.text, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, box.error.text);
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static void test_refusals(void **state)
{
    static const char *const reserved[] = { "BOXLITE_EXECUTOR=guest", NULL };
    (void)state;
    struct sandbox_spec spec = fixture_spec(&fixture, "refused");
    spec.resources.cpu_millis = 1500;
    expect_refusal(&spec, OSA_FAILED_PRECONDITION, "spec.resources.cpu_millis");
    spec.resources = (struct resources){ .memory_bytes = (64 << 20) + 1 };
    expect_refusal(&spec, OSA_FAILED_PRECONDITION, "spec.resources.memory_bytes");
    spec.resources = (struct resources){ .disk_bytes = 4096 };
    expect_refusal(&spec, OSA_FAILED_PRECONDITION, "spec.resources.disk_bytes");
    spec.resources = (struct resources){ 0 };
    spec.root = "/srv/root";
    expect_refusal(&spec, OSA_FAILED_PRECONDITION, "spec.root");
    spec.root = "";
    spec.env = reserved;
    expect_refusal(&spec, OSA_INVALID_ARGUMENT, "BOXLITE_");
    spec = fixture_spec(&fixture, "refused");
    spec.image = "not \xff text";
    expect_refusal(&spec, OSA_INVALID_ARGUMENT, "spec.image");
}

static void test_process_refusals(void **state)
{
    static const char *const reserved[] = { "A=1", "BOXLITE_EXECUTOR=guest", NULL };
    static const char *const bytes[] = { "/bin/echo", "\xff\xfe", NULL };
    struct fixture_box box;
    struct fixture_process p;
    (void)state;
    fixture_box(&fixture, &box);
    struct process_spec spec = fixture_sh("true");
    spec.env = reserved;
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_int_equal(p.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(p.error.field, "spec.env");
    spec = fixture_sh("true");
    spec.argv = bytes;
    fixture_spawn(&fixture, &box, &p, &spec);
    assert_int_equal(p.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(p.error.field, "spec.argv");
    fixture_destroy(&fixture, &box);
}

/* What the server is told: whole CPUs, MiB, no network, an image or a folder. */
static void test_request(void **state)
{
    static char body[1 << 14];
    struct fixture_box box;
    (void)state;
    struct sandbox_spec spec = fixture_spec(&fixture, "asked");
    spec.resources = (struct resources){ .cpu_millis = 3000,
                                         .memory_bytes = 256ull << 20,
                                         .disk_bytes = 5ull << 30 };
    spec.image = "/srv/layout";
    fixture_create(&fixture, &box, &spec);
    assert_non_null(box.sandbox);
    assert_int_equal(box.isolation.enforced_limits, LIMIT_CPU | LIMIT_MEMORY | LIMIT_DISK);
    fixture_http(&fixture, "GET", "/double/state", "", 200, body, sizeof(body));
    assert_non_null(strstr(body, "\"cpus\": 3,"));
    assert_non_null(strstr(body, "\"memory_mib\": 256,"));
    assert_non_null(strstr(body, "\"disk_size_gb\": 5,"));
    assert_non_null(strstr(body, "\"rootfs_path\": \"/srv/layout\""));
    assert_non_null(strstr(body, "\"outbound\": {\"mode\": \"disabled\"}"));
    assert_non_null(strstr(body, "-asked\""));
    fixture_destroy(&fixture, &box);
}

/* An agent that crashed has left a box; the next one with its state directory deletes it, and no other. */
static void test_orphans(void **state)
{
    struct fixture_box left, stranger;
    (void)state;
    fixture_box(&fixture, &left);
    struct backend *crashed = fixture.backend;
    fixture_open(&fixture, "/somewhere/else");
    fixture_box(&fixture, &stranger);
    assert_int_equal(fixture_boxes(&fixture), 2);
    struct backend *other = fixture.backend;
    fixture_open(&fixture, NULL);
    assert_int_equal(fixture_boxes(&fixture), 1);
    assert_true(fixture.backend->ops->info(fixture.backend)->available);
    struct backend *successor = fixture.backend;
    fixture.backend = other;
    fixture_destroy(&fixture, &stranger);
    fixture_close(&fixture);
    fixture.backend = crashed;
    fixture_destroy(&fixture, &left); /* which finds nothing to delete */
    fixture_close(&fixture);
    fixture.backend = successor;
    assert_int_equal(fixture_boxes(&fixture), 0);
}

static int start(void **state)
{
    (void)state;
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
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_missing_program),
        cmocka_unit_test(test_stdin),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_destroy_running),
        cmocka_unit_test(test_told_apart),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_process_refusals),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_orphans),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
