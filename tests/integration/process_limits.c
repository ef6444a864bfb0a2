// SPDX-License-Identifier: Apache-2.0
/* Limits, out-of-memory kills, freezing and measures through the backend; needs cgroups. */
#include "process_fixture.h"

#include "base/clock.h"
#include "integration/delegate.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct backend_ops *ops(void)
{
    return fixture_backend()->ops;
}

static uint32_t caps(void)
{
    return ops()->info(fixture_backend())->capabilities;
}

static void memory_hog_is_killed_and_told(void **state)
{
    (void)state;
    if ((caps() & BACKEND_CAP_MEMORY_LIMIT) == 0 || (caps() & BACKEND_CAP_OOM) == 0)
        skip();
    struct box box;
    struct seen seen;
    struct sandbox_spec wanted = box_spec();
    wanted.resources.memory_bytes = 32u << 20;
    box_try(&box, &wanted);
    assert_non_null(box.sandbox);
    assert_int_equal(box.isolation.enforced_limits, LIMIT_MEMORY);
    struct process_spec spec = shell("x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo ${#x}");
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_int_equal(seen.exit.reason, EXIT_REASON_OOM_KILLED);
    /* Of all its members together, and of nothing that they share with the host. Who is being killed
     * may be charged beyond the limit (Linux 6.1: 1.8 MiB). */
    assert_in_range(seen.exit.usage.peak_memory_bytes, 28u << 20, 36u << 20);
    assert_int_equal(seen.exit.signal, SIGKILL);
    assert_true(seen.exit.oom_kills >= 1);
    seen_done(&seen);
    spec = shell("kill -9 $$"); /* no false positive */
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_int_equal(seen.exit.reason, EXIT_REASON_SIGNALED);
    assert_int_equal(seen.exit.oom_kills, 0);
    seen_done(&seen);
    box_close(&box);
}

static void pids_limit_holds(void **state)
{
    (void)state;
    if ((caps() & BACKEND_CAP_PIDS_LIMIT) == 0)
        skip();
    struct box box;
    struct seen seen;
    struct sandbox_spec wanted = box_spec();
    wanted.resources.pids_max = 5;
    box_try(&box, &wanted);
    assert_non_null(box.sandbox);
    struct process_spec spec = shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 20 & done; echo none");
    launch(&box, &seen, &spec);
    assert_true(until(&seen.exited));
    run_for_ms(50);
    assert_non_null(strstr(seen.err.data, " fork"));
    kill_tree_and_wait(&seen);
    seen_done(&seen);
    box_close(&box);
}

static void on_answer(void *ctx, const struct osa_error *error)
{
    if (error != NULL)
        fail_msg("%s", error->text);
    *(bool *)ctx = true;
}

static void paused_sandbox_stands_still_and_can_be_killed(void **state)
{
    (void)state;
    if ((caps() & BACKEND_CAP_PAUSE) == 0)
        skip();
    struct box box;
    struct seen seen;
    struct seen late;
    bool done = false;
    box_open(&box);
    struct process_spec spec = shell("while :; do echo tick; sleep 0.01; done");
    launch(&box, &seen, &spec);
    run_for_ms(100);
    ops()->sandbox_pause(box.sandbox, true, on_answer, &done);
    assert_true(until(&done));
    run_for_ms(20);
    size_t before = seen.out.len;
    run_for_ms(200);
    assert_int_equal(seen.out.len, before);
    launch(&box, &late, &spec);
    assert_null(late.process);
    assert_int_equal(late.error.code, OSA_FAILED_PRECONDITION);
    seen_done(&late);
    done = false;
    ops()->sandbox_pause(box.sandbox, false, on_answer, &done);
    assert_true(until(&done));
    run_for_ms(100);
    assert_true(seen.out.len > before);
    done = false;
    ops()->sandbox_pause(box.sandbox, true, on_answer, &done);
    assert_true(until(&done));
    kill_tree_and_wait(&seen);
    assert_true(until(&seen.exited));
    seen_done(&seen);
    box_close(&box);
}

static void on_stats(void *ctx, const struct usage_stats *stats, const struct osa_error *error)
{
    assert_null(error);
    *(struct usage_stats *)ctx = *stats;
}

static void usage_and_live_update(void **state)
{
    (void)state;
    if ((caps() & BACKEND_CAP_STATS) == 0 || (caps() & BACKEND_CAP_UPDATE_RESOURCES) == 0)
        skip();
    struct box box;
    struct seen seen;
    struct usage_stats usage = { 0 };
    bool done = false;
    box_open(&box);
    struct process_spec spec = shell("while :; do :; done");
    launch(&box, &seen, &spec);
    for (unsigned tries = 0; usage.cpu_ns <= 20 * OSA_NS_PER_MS && tries < 3000; tries++) {
        ops()->process_stats(seen.process, on_stats, &usage);
        run_for_ms(20);
    }
    assert_true(usage.cpu_ns > 20 * OSA_NS_PER_MS);
    assert_true(usage.pids >= 1);
    const struct resources limits = { .cpu_millis = 100 };
    ops()->sandbox_update(box.sandbox, &limits, on_answer, &done);
    assert_true(until(&done));
    run_for_ms(200);
    struct usage_stats first = { 0 };
    struct usage_stats last = { 0 };
    int64_t began = osa_now_ns();
    ops()->sandbox_stats(box.sandbox, on_stats, &first);
    run_for_ms(1000);
    while (last.cpu_ns < first.cpu_ns + 20 * OSA_NS_PER_MS &&
           osa_now_ns() < began + 60 * OSA_NS_PER_SEC) {
        ops()->sandbox_stats(box.sandbox, on_stats, &last);
        run_for_ms(10);
    }
    int64_t wall_ns = osa_now_ns() - began;
    /* An emulated CPU is charged for what the host does meanwhile; without the limit it is all. */
    int64_t most = getenv("OSA_EMULATED") == NULL ? wall_ns / 5 : wall_ns / 10 * 7;
    assert_in_range(last.cpu_ns - first.cpu_ns, 20 * OSA_NS_PER_MS, most);
    kill_tree_and_wait(&seen);
    assert_true(until(&seen.exited));
    seen_done(&seen);
    box_close(&box);
}

static bool delegated;

/* A user's agent in a cgroup of its own holds what root's does; without one it names what it lacks. */
static void limits_are_all_there_or_refused_by_name(void **state)
{
    (void)state;
    struct box box;
    const uint32_t all = BACKEND_CAP_CPU_LIMIT | BACKEND_CAP_MEMORY_LIMIT | BACKEND_CAP_PIDS_LIMIT;
    struct sandbox_spec wanted = box_spec();
    wanted.resources = (struct resources){ 500, 64u << 20, 50, 0 };
    box_try(&box, &wanted);
    if ((delegated || geteuid() == 0) && (caps() & all) != all)
        fail_msg("missing: %s", ops()->info(fixture_backend())->isolation.degraded);
    if ((caps() & all) == all) {
        assert_non_null(box.sandbox);
        assert_int_equal(box.isolation.enforced_limits, LIMIT_CPU | LIMIT_MEMORY | LIMIT_PIDS);
        box_close(&box);
        return;
    }
    assert_null(box.sandbox);
    assert_int_equal(box.error.code, OSA_FAILED_PRECONDITION);
    if (strstr(box.error.text, "cannot be limited here") == NULL ||
        strstr(box.error.text, "Delegate=yes") == NULL)
        fail_msg("%s", box.error.text);
}

static int run_all(int argc, char **argv)
{
    static char name[] = "rootless";
    char *rootless[] = { NULL, name, NULL };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_hog_is_killed_and_told),
        cmocka_unit_test(pids_limit_holds),
        cmocka_unit_test(paused_sandbox_stands_still_and_can_be_killed),
        cmocka_unit_test(usage_and_live_update),
        cmocka_unit_test(limits_are_all_there_or_refused_by_name),
    };
    if (!(delegated ? fixture_level(2, rootless) : fixture_level(argc, argv)))
        return 77;
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

/* "delegated": at level ROOTLESS, in a cgroup that root has handed over. */
int main(int argc, char **argv)
{
    const uid_t nobody = 65534;
    delegated = argc > 1 && strcmp(argv[1], "delegated") == 0;
    return delegated ? delegate_run(nobody, run_all, argc, argv) : run_all(argc, argv);
}
