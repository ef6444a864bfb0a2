// SPDX-License-Identifier: Apache-2.0
/* Refused system calls become events of the process that made them, and nothing waits for that. */
#include "process_fixture.h"

#include "base/clock.h"
#include "base/fd.h"
#include "policy/document.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* unshare(1) with one namespace makes one refused call and says so. */
#define REFUSED "unshare --uts true 2>/dev/null"

static void skip_without_listeners(void)
{
    const struct backend_info *info = fixture_backend()->ops->info(fixture_backend());
    if (strstr(info->denial_sources, "seccomp_notify") == NULL) {
        print_message("skipped: no seccomp listener can be had here\n");
        skip();
    }
}

static void run(struct box *box, struct seen *seen, const char *script)
{
    struct process_spec spec = shell(script);
    launch(box, seen, &spec);
    finish(seen);
}

static void refused_call_is_told(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    unsigned pid;
    char rest[200];
    skip_without_listeners();
    box_open(&box);
    run(&box, &seen, REFUSED " || exit 7");
    assert_int_equal(seen.exit.code, 7);
    assert_int_equal(seen.denied, 1);
    if (box.denied != 0)
        fail_msg("of the sandbox: %s", box.denied_last);
    if (sscanf(seen.denied_first, "unshare with argument 1 = 0x4000000 by pid %u: %199[^\n]", &pid,
               rest) != 2)
        fail_msg("%s", seen.denied_first);
    assert_string_equal(rest, "makes a new namespace; no seccomp profile allows it");
    assert_true(pid > 1);
    seen_done(&seen);
    box_close(&box);
}

static void permitted_calls_are_not(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    run(&box, &seen, "ls / >/dev/null; cat /proc/self/status");
    assert_int_equal(seen.exit.code, 0);
    assert_int_equal(seen.denied, 0);
    assert_non_null(strstr(seen.out.data, "Seccomp_filters:\t"));
    seen_done(&seen);
    box_close(&box);
}

/* The second process of a sandbox hangs on a keeper where cgroups do not hold trees. */
static void each_process_has_its_own(void **state)
{
    (void)state;
    struct box box;
    struct seen idle;
    struct seen first;
    struct seen second;
    char script[64];
    skip_without_listeners();
    box_open(&box);
    (void)snprintf(script, sizeof(script), "exec sleep %s", nap());
    struct process_spec spec = shell(script);
    launch(&box, &idle, &spec);
    run(&box, &first, REFUSED "; true");
    run(&box, &second, REFUSED "; setsid sh -c '" REFUSED "; true'; true");
    assert_int_equal(idle.denied, 0);
    assert_int_equal(first.denied, 1);
    assert_int_equal(second.denied, 2);
    kill_tree_and_wait(&idle);
    finish(&idle);
    seen_done(&idle);
    seen_done(&first);
    seen_done(&second);
    box_close(&box);
}

/* A busy caller must not bury the others' events; what is left out is counted before the exit. */
static void many_are_counted(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    skip_without_listeners();
    box_open(&box);
    run(&box, &seen, "i=0; while [ $i -lt 60 ]; do " REFUSED "; i=$((i+1)); done; true");
    assert_int_equal(seen.exit.code, 0);
    assert_in_range(seen.denied, 10, 60);
    /* The last event may be no call, but the number of those that nobody told. */
    unsigned told = seen.denied - (strstr(seen.denied_last, "more system calls refused") != NULL);
    assert_int_equal(told + seen.denied_more, 60);
    seen_done(&seen);
    box_close(&box);
}

/* The loop stands still meanwhile, as that of a busy agent. */
static void does_not_wait_for_the_agent(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    char script[256];
    skip_without_listeners();
    box_open(&box);
    (void)snprintf(script, sizeof(script),
                   "i=0; while [ $i -lt 30 ]; do " REFUSED "; i=$((i+1)); done; exec sleep %s",
                   nap());
    struct process_spec spec = shell(script);
    launch(&box, &seen, &spec);
    assert_non_null(seen.process);
    int64_t deadline = osa_deadline_after(60 * OSA_NS_PER_SEC);
    while (count_naps() == 0 && osa_now_ns() < deadline)
        (void)poll(NULL, 0, 10);
    assert_int_equal(count_naps(), 1);
    assert_int_equal(seen.denied, 0);
    kill_tree_and_wait(&seen);
    finish(&seen);
    assert_in_range(seen.denied, 10, 31);
    seen_done(&seen);
    box_close(&box);
}

/* The attacker where every user may run it, and a policy that shows it. */
static const struct policy_document *show_attacker(char *dir, char *program, size_t size)
{
    char own[PATH_MAX] = "";
    char text[256];
    const struct policy_document *policy = NULL;
    struct osa_error err;
    OSA_AUTO(osa_free) char *image = NULL;
    size_t len = 0;
    assert_true(readlink("/proc/self/exe", own, sizeof(own) - 16) > 0);
    (void)snprintf(strrchr(own, '/'), 16, "/attacker");
    (void)mkdir("/var", 0755);
    (void)mkdir("/var/tmp", 0777);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    (void)snprintf(program, size, "%s/attacker", dir);
    assert_int_equal(osa_read_file(AT_FDCWD, own, 16u << 20, &image, &len, &err), OSA_OK);
    int fd = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(osa_write_all(fd, image, len), 0);
    assert_int_equal(fchmod(fd, 0755), 0);
    assert_int_equal(close(fd), 0);
    (void)snprintf(text, sizeof(text),
                   "version: 1\nfilesystem_policy:\n"
                   "  read_only: [/usr, /lib, /bin, /etc, '%s']\n  read_write: [/tmp, /dev/null]\n",
                   dir);
    if (policy_document_parse_yaml(text, strlen(text), "test", &policy, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return policy;
}

/*
 * Init's time is nobody's limit: whoever makes very many refused calls waits for it, 10,000 being
 * free and 2,000 each second after that. Another process of the sandbox is answered all the same.
 */
static void floods_are_slowed_down(void **state)
{
    (void)state;
    struct box box;
    struct seen flood;
    struct seen other;
    char dir[] = "/var/tmp/osa-denials-XXXXXX";
    char program[64];
    skip_without_listeners();
    if (getenv("OSA_EMULATED") != NULL) {
        print_message("skipped: an emulated CPU takes minutes for so many calls\n");
        skip();
    }
    const struct policy_document *policy = show_attacker(dir, program, sizeof(program));
    const char *const argv[] = { program, "refuse", "14000", NULL };
    struct sandbox_spec sandbox = box_spec();
    sandbox.policy = policy;
    box_try(&box, &sandbox);
    if (box.sandbox == NULL)
        fail_msg("%s", box.error.text);
    struct process_spec spec = shell("");
    spec.argv = argv;
    launch(&box, &flood, &spec);
    run(&box, &other, REFUSED " || exit 7");
    assert_int_equal(other.exit.code, 7);
    finish(&flood);
    assert_int_equal(flood.exit.code, 0);
    if (flood.exit.usage.wall_ns < 15 * OSA_NS_PER_SEC / 10)
        fail_msg("14000 refused calls took %lld ms",
                 (long long)(flood.exit.usage.wall_ns / OSA_NS_PER_MS));
    seen_done(&flood);
    seen_done(&other);
    box_close(&box);
    policy_document_unref(policy);
    assert_int_equal(unlink(program), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* Where a mount namespace hides it there is nothing for Landlock to refuse. */
static void refused_file_is_told(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    char path[] = "/var/tmp/osa-denials-XXXXXX";
    char script[128];
    char expected[128];
    const struct backend_info *info = fixture_backend()->ops->info(fixture_backend());
    if (strstr(info->denial_sources, "landlock_audit") == NULL ||
        info->isolation.level != ISOLATION_RESTRICTED) {
        const char *gap = info->denial_gaps;
        print_message("skipped: Landlock's refusals cannot be read here, or it has none to make\n");
        for (; *gap != '\0'; gap += strlen(gap) + 1)
            print_message("not seen: %s\n", gap);
        skip();
    }
    (void)mkdir("/var", 0755);
    (void)mkdir("/var/tmp", 0777);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    (void)close(fd);
    box_open(&box);
    (void)snprintf(script, sizeof(script), "cat %s 2>/dev/null || exit 7", path);
    run(&box, &seen, script);
    (void)unlink(path);
    assert_int_equal(seen.exit.code, 7);
    for (unsigned i = 0; i < 6000 && seen.landlock_denied == 0;
         i++) /* the record goes its own way */
        run_for_ms(10);
    (void)snprintf(expected, sizeof(expected), "fs.read_file on %s by pid ", path);
    if (strncmp(seen.landlock_first, expected, strlen(expected)) != 0)
        fail_msg("%u: %s", seen.landlock_denied, seen.landlock_first);
    assert_non_null(
        strstr(seen.landlock_first, " (cat): filesystem_policy.read_only would allow it"));
    seen_done(&seen);
    box_close(&box);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_call_is_told),        cmocka_unit_test(permitted_calls_are_not),
        cmocka_unit_test(each_process_has_its_own),    cmocka_unit_test(many_are_counted),
        cmocka_unit_test(does_not_wait_for_the_agent), cmocka_unit_test(floods_are_slowed_down),
        cmocka_unit_test(refused_file_is_told),
    };
    if (!fixture_level(argc, argv))
        return 77;
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
