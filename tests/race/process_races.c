// SPDX-License-Identifier: Apache-2.0
/*
 * Hostile inputs 7, 10 and 38: what an attacker wins only by being quick. OSA_RACE_ROUNDS says how
 * often it tries: 2,000 times by default, 100,000 in `make nightly`.
 */
#include "integration/process_fixture.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long rounds(void)
{
    const char *text = getenv("OSA_RACE_ROUNDS");
    return text == NULL ? 2000 : strtoul(text, NULL, 10);
}

static enum isolation_level level(void)
{
    return fixture_backend()->ops->info(fixture_backend())->isolation.level;
}

/*
 * 7. A number may belong to somebody else once its process has ended. A bystander of the same sandbox
 * and user starts one process after the other, and tells if one of them does not end by itself.
 */
static void late_signals_hit_nobody(void **state)
{
    (void)state;
    struct box box;
    struct seen bystander;
    unsigned long in_time = 0;
    unsigned long late = 0;
    box_open(&box);
    struct process_spec spec = shell("while /bin/true; do :; done; echo hit");
    launch(&box, &bystander, &spec);
    const struct backend_ops *ops = fixture_backend()->ops;
    for (unsigned long i = 0; i < rounds() && !bystander.exited; i++) {
        struct seen seen;
        struct osa_error err;
        spec = shell("exit 0");
        launch(&box, &seen, &spec);
        assert_non_null(seen.process);
        /* Nothing is read meanwhile, so that the agent does not know of the exit. */
        enum osa_code code = OSA_OK;
        while (code == OSA_OK) {
            code = ops->signal(seen.process, i % 2 == 0 ? SIGKILL : 0, SIGNAL_PROCESS, &err);
            in_time += code == OSA_OK;
        }
        assert_int_equal(code, OSA_NOT_FOUND);
        late++;
        finish(&seen);
        seen_done(&seen);
    }
    print_message("  7  %lu processes signalled until gone: %lu signals in time, %lu late ones; "
                  "expected: bystander unharmed, seen: %s\n",
                  rounds(), in_time, late, bystander.exited ? "hit" : "unharmed");
    assert_false(bystander.exited);
    assert_int_equal(late, rounds());
    kill_tree_and_wait(&bystander);
    finish(&bystander);
    seen_done(&bystander);
    box_close(&box);
}

/* 10. Its children are born while it is being killed. */
static void fork_bomb_dies_whole(void **state)
{
    (void)state;
    struct box box;
    struct seen bomb;
    struct seen other;
    char script[128];
    const struct backend_info *info = fixture_backend()->ops->info(fixture_backend());
    if ((info->capabilities & BACKEND_CAP_PIDS_LIMIT) == 0) {
        print_message("skipped: no cgroup holds the number of processes at this level\n");
        skip();
    }
    struct sandbox_spec sandbox = box_spec();
    sandbox.resources.pids_max = 100;
    box_try(&box, &sandbox);
    assert_non_null(box.sandbox);
    (void)snprintf(script, sizeof(script), "f() { sleep %s & f | f & }; f 2>/dev/null; sleep %s",
                   nap(), nap());
    struct process_spec spec = shell(script);
    launch(&box, &bomb, &spec);
    for (unsigned i = 0; i < 6000 && count_naps() < 20; i++)
        run_for_ms(10);
    assert_true(count_naps() >= 20); /* the control: it does multiply */
    kill_tree_and_wait(&bomb);
    assert_int_equal(count_naps(), 0);
    finish(&bomb);
    spec = shell("echo alive");
    launch(&box, &other, &spec);
    finish(&other);
    assert_string_equal(other.out.data, "alive\n");
    print_message(" 10  fork bomb under Kill; expected: all dead, seen: %d left\n", count_naps());
    seen_done(&bomb);
    seen_done(&other);
    box_close(&box);
}

/* ---- 38 ---- */

struct scene {
    char root[64];
    char outside[64];
    pid_t swapper;
};

static int exchange(int dir, const char *a, const char *b)
{
    return (int)syscall(SYS_renameat2, dir, a, dir, b, 1u << 1 /* RENAME_EXCHANGE */);
}

/* The root's /dev and /proc are now directories, now links that lead out. */
static void start_swapping(struct scene *scene)
{
    static const char *const names[] = { "usr", "lib", "etc", "tmp", "dev", "proc" };
    char path[128];
    *scene = (struct scene){ "/var/tmp/osa-race-root-XXXXXX", "/var/tmp/osa-race-out-XXXXXX", 0 };
    assert_non_null(mkdtemp(scene->root));
    assert_non_null(mkdtemp(scene->outside));
    assert_int_equal(chmod(scene->root, 0755), 0);
    assert_int_equal(chmod(scene->outside, 0777), 0);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", scene->root, names[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    OSA_AUTO(osa_close_fd) int root = open(scene->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat(scene->outside, root, "dev.link"), 0);
    assert_int_equal(symlinkat(scene->outside, root, "proc.link"), 0);
    scene->swapper = fork();
    if (scene->swapper != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves it */
    for (;;) {
        (void)exchange(root, "dev", "dev.link");
        (void)exchange(root, "proc", "proc.link");
    }
}

static int entries(const char *path)
{
    int count = -2;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

static void stop_swapping(struct scene *scene)
{
    static const char *const names[] = { "usr", "lib",      "etc",       "tmp",
                                         "dev", "dev.link", "proc.link", "proc" };
    char path[128];
    (void)kill(scene->swapper, SIGKILL);
    assert_int_equal(waitpid(scene->swapper, NULL, 0), scene->swapper);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", scene->root, names[i]);
        (void)(rmdir(path) < 0 && unlink(path) < 0);
    }
    assert_int_equal(rmdir(scene->root), 0);
    assert_int_equal(rmdir(scene->outside), 0);
}

/* The control: a path that is resolved twice does end up outside sooner or later. */
static bool naive_look_is_fooled(const struct scene *scene)
{
    char path[128];
    struct stat st;
    char target[128];
    (void)snprintf(path, sizeof(path), "%s/dev", scene->root);
    for (unsigned long i = 0; i < 1000000; i++) {
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
            readlink(path, target, sizeof(target)) > 0)
            return true;
    }
    return false;
}

static void swapped_mount_points_lead_nowhere(void **state)
{
    (void)state;
    struct scene scene;
    unsigned long made = 0;
    unsigned long refused = 0;
    if (level() < ISOLATION_ROOTLESS) {
        print_message("skipped: no root of its own at this level\n");
        skip();
    }
    start_swapping(&scene);
    bool fooled = naive_look_is_fooled(&scene);
    for (unsigned long i = 0; i < rounds(); i++) {
        struct box box;
        struct sandbox_spec spec = box_spec();
        spec.root = scene.root;
        box_try(&box, &spec);
        made += box.sandbox != NULL;
        refused += box.sandbox == NULL;
        if (box.sandbox == NULL && box.error.code != OSA_FAILED_PRECONDITION) {
            (void)kill(scene.swapper, SIGKILL);
            fail_msg("round %lu: %s %s", i, osa_code_name(box.error.code), box.error.text);
        }
        if (box.sandbox != NULL)
            box_close(&box);
    }
    int left = entries(scene.outside);
    print_message(
        " 38  %lu roots with swapping mount points: %lu made, %lu refused; expected: nothing "
        "outside, seen: %d entries\n",
        rounds(), made, refused, left);
    stop_swapping(&scene);
    assert_true(fooled);
    assert_int_equal(left, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_signals_hit_nobody),
        cmocka_unit_test(fork_bomb_dies_whole),
        cmocka_unit_test(swapped_mount_points_lead_nowhere),
    };
    if (!fixture_level(argc, argv))
        return 77;
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
