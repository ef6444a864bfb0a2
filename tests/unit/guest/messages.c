// SPDX-License-Identifier: Apache-2.0
/* What crosses the channel arrives as it was sent; what makes no sense is refused, whatever its shape. */
#include "guest/messages.h"
#include "policy/document.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct codec_reader reader_of(const struct osa_buf *buf)
{
    return (struct codec_reader){ buf->data, buf->len, false };
}

static void test_process(void **state)
{
    static const char *const argv[] = { "/bin/sh", "-c", "\xff\xfe", NULL };
    static const char *const env[] = { NULL };
    static const char *const groups[] = { "audio", NULL };
    static const struct rlimit_spec limits[] = { { 7, 10, UINT64_MAX } };
    const struct process_spec spec = { .id = "p-1",
                                       .argv = argv,
                                       .env = env,
                                       .cwd = "/tmp",
                                       .user = "1:2",
                                       .groups = groups,
                                       .tty = true,
                                       .tty_size = { 3, 4 },
                                       .rlimits = limits,
                                       .rlimit_count = 1,
                                       .resources = { .pids_max = 9 } };
    struct osa_buf buf;
    struct guest_process_spec got;
    (void)state;
    osa_buf_init(&buf, 1 << 16);
    guest_write_process(&buf, &spec);
    struct codec_reader reader = reader_of(&buf);
    guest_read_process(&reader, &got);
    assert_false(reader.failed);
    assert_int_equal(reader.left, 0);
    assert_string_equal(got.spec.id, "p-1");
    assert_string_equal(got.spec.argv[2], "\xff\xfe");
    assert_null(got.spec.argv[3]);
    assert_null(got.spec.env[0]);
    assert_string_equal(got.spec.groups[0], "audio");
    assert_string_equal(got.spec.cwd, "/tmp");
    assert_string_equal(got.spec.user, "1:2");
    assert_true(got.spec.tty);
    assert_false(got.spec.stdin_open);
    assert_int_equal(got.spec.tty_size.columns, 4);
    assert_int_equal(got.spec.rlimit_count, 1);
    assert_true(got.spec.rlimits[0].hard == UINT64_MAX);
    assert_int_equal(got.spec.resources.pids_max, 9);
    guest_process_done(&got);
    /* Cut anywhere, it is refused and reads nothing behind its end. */
    for (size_t len = 0; len < buf.len; len++) {
        char *part = malloc(len + 1);
        memcpy(part, buf.data, len);
        struct codec_reader cut = { part, len, false };
        guest_read_process(&cut, &got);
        assert_true(cut.failed);
        guest_process_done(&got);
        free(part);
    }
    osa_buf_done(&buf);
}

static void test_sandbox(void **state)
{
    static const char text[] = "version: 1\n"
                               "filesystem_policy:\n"
                               "  include_workdir: false\n"
                               "  read_only: [/usr, \"/with \\\"quotes\\\"\"]\n"
                               "  read_write: [/tmp]\n"
                               "landlock: { compatibility: hard_requirement }\n"
                               "process: { run_as_user: \"1000\", run_as_group: \"1000\" }\n";
    static const char *const env[] = { "A=1", NULL };
    const struct policy_document *doc, *again;
    struct osa_error err;
    struct osa_buf buf;
    struct guest_sandbox_spec got;
    (void)state;
    assert_int_equal(policy_document_parse_yaml(text, sizeof(text) - 1, "t", &doc, &err), OSA_OK);
    const struct sandbox_spec spec = { .id = "s",
                                       .policy = doc,
                                       .workdir = "/w",
                                       .env = env,
                                       .user = "",
                                       .seccomp_profile = "strict",
                                       .proxy = true };
    osa_buf_init(&buf, 1 << 20);
    const struct guest_file files[] = { { "ca.pem", "one", 3 }, { "empty", "", 0 } };
    guest_write_sandbox(&buf, &spec, files, OSA_ARRAY_LEN(files));
    assert_false(buf.failed);
    struct codec_reader reader = reader_of(&buf);
    guest_read_sandbox(&reader, &got);
    assert_false(reader.failed);
    assert_string_equal(got.spec.workdir, "/w");
    assert_string_equal(got.spec.seccomp_profile, "strict");
    assert_string_equal(got.spec.env[0], "A=1");
    assert_true(got.spec.proxy);
    assert_int_equal(got.file_count, 2);
    assert_string_equal(got.files[0].name, "ca.pem");
    assert_int_equal(got.files[0].len, 3);
    assert_memory_equal(got.files[0].data, "one", 3);
    assert_int_equal(got.files[1].len, 0);
    if (policy_document_parse_yaml(got.policy, strlen(got.policy), "t", &again, &err) != OSA_OK)
        fail_msg("%s\n%s", err.text, got.policy);
    assert_false(again->filesystem.include_workdir);
    assert_int_equal(again->filesystem.read_only.count, 2);
    assert_string_equal(again->filesystem.read_only.items[1], "/with \"quotes\"");
    assert_string_equal(again->filesystem.read_write.items[0], "/tmp");
    assert_true(again->landlock.hard_requirement);
    assert_string_equal(again->process.run_as_user, "1000");
    guest_sandbox_done(&got);
    policy_document_unref(again);
    policy_document_unref(doc);
    osa_buf_done(&buf);
}

/* A name that would lead out of the folder, or more files than there may be. */
static void test_hostile_files(void **state)
{
    static const char *const names[] = { "../passwd", ".", "a/b", "/etc/passwd" };
    static const char *const env[] = { NULL };
    const struct policy_document *doc;
    struct osa_error err;
    (void)state;
    assert_int_equal(policy_document_default(&doc, &err), OSA_OK);
    const struct sandbox_spec spec = {
        .id = "s", .policy = doc, .workdir = "/", .env = env, .user = "", .seccomp_profile = "gpu"
    };
    for (size_t i = 0; i <= OSA_ARRAY_LEN(names); i++) {
        struct guest_file files[GUEST_FILES_MAX + 1];
        struct guest_sandbox_spec got;
        struct osa_buf buf;
        size_t count = i < OSA_ARRAY_LEN(names) ? 1 : OSA_ARRAY_LEN(files);
        for (size_t k = 0; k < count; k++)
            files[k] = (struct guest_file){ i < OSA_ARRAY_LEN(names) ? names[i] : "ok", "x", 1 };
        osa_buf_init(&buf, 1 << 20);
        guest_write_sandbox(&buf, &spec, files, count);
        struct codec_reader reader = reader_of(&buf);
        guest_read_sandbox(&reader, &got);
        assert_true(reader.failed);
        guest_sandbox_done(&got);
        osa_buf_done(&buf);
    }
    policy_document_unref(doc);
}

static void test_visit_and_owner(void **state)
{
    static const char *const ancestors[] = { "/usr/bin/bash", NULL };
    struct door_visit visit = { 0 };
    struct door_visit got_visit;
    struct door_owner owner = { .pid = 7, .exe = "/usr/bin/curl", .ancestors = ancestors };
    struct guest_owner got;
    struct osa_buf buf;
    (void)state;
    visit.client.ss_family = AF_INET;
    visit.proxy.ss_family = AF_INET6;
    memset(owner.digest, 0xab, sizeof(owner.digest));
    osa_buf_init(&buf, 1 << 16);
    guest_write_visit(&buf, &visit);
    guest_write_owner(&buf, &owner);
    struct codec_reader reader = reader_of(&buf);
    guest_read_visit(&reader, &got_visit);
    guest_read_owner(&reader, &got);
    assert_false(reader.failed);
    assert_int_equal(got_visit.proxy.ss_family, AF_INET6);
    assert_int_equal(got.owner.pid, 7);
    assert_string_equal(got.owner.exe, "/usr/bin/curl");
    assert_memory_equal(got.owner.digest, owner.digest, sizeof(owner.digest));
    assert_string_equal(got.owner.ancestors[0], "/usr/bin/bash");
    assert_null(got.owner.ancestors[1]);
    assert_null(got.owner.names);
    guest_owner_done(&got);
    osa_buf_reset(&buf);
    visit.client.ss_family = AF_UNIX; /* no connection to a proxy comes from there */
    guest_write_visit(&buf, &visit);
    reader = reader_of(&buf);
    guest_read_visit(&reader, &got_visit);
    assert_true(reader.failed);
    osa_buf_reset(&buf);
    owner.exe = "relative";
    guest_write_owner(&buf, &owner);
    reader = reader_of(&buf);
    guest_read_owner(&reader, &got);
    guest_owner_done(&got);
    assert_true(reader.failed);
    osa_buf_done(&buf);
}

static void test_exit_and_isolation(void **state)
{
    const struct process_exit exit = { .reason = EXIT_REASON_OOM_KILLED,
                                       .signal = 9,
                                       .oom_kills = 2,
                                       .usage = { .user_ns = 5, .major_faults = 6 } };
    struct isolation isolation = { .level = ISOLATION_FULL,
                                   .seccomp_profile = "gpu",
                                   .landlock_hard = true,
                                   .tree_kill = TREE_KILL_CGROUP };
    struct process_exit got_exit;
    struct isolation got;
    struct osa_buf buf;
    (void)state;
    memset(isolation.degraded, 'x', sizeof(isolation.degraded)); /* without an end */
    osa_buf_init(&buf, 1 << 14);
    guest_write_exit(&buf, &exit);
    guest_write_isolation(&buf, &isolation);
    struct codec_reader reader = reader_of(&buf);
    guest_read_exit(&reader, &got_exit);
    guest_read_isolation(&reader, &got);
    assert_false(reader.failed);
    assert_int_equal(got_exit.reason, EXIT_REASON_OOM_KILLED);
    assert_int_equal(got_exit.oom_kills, 2);
    assert_int_equal(got_exit.usage.major_faults, 6);
    assert_string_equal(got.seccomp_profile, "gpu");
    assert_true(got.landlock_hard);
    assert_int_equal(strlen(got.degraded), sizeof(got.degraded) - 2);
    osa_buf_done(&buf);
}

static void test_nonsense(void **state)
{
    const struct process_exit exit = { .reason = EXIT_REASON_TIMEOUT }; /* never a backend's */
    const struct isolation isolation = { .level = (enum isolation_level)5 };
    struct process_exit got_exit;
    struct isolation got;
    struct osa_error err;
    struct osa_buf buf;
    (void)state;
    osa_buf_init(&buf, 1 << 14);
    guest_write_exit(&buf, &exit);
    struct codec_reader reader = reader_of(&buf);
    guest_read_exit(&reader, &got_exit);
    assert_true(reader.failed);
    assert_int_equal(got_exit.reason, EXIT_REASON_SANDBOX_LOST);
    osa_buf_reset(&buf);
    guest_write_isolation(&buf, &isolation);
    reader = reader_of(&buf);
    guest_read_isolation(&reader, &got);
    assert_true(reader.failed);
    assert_int_equal(got.level, ISOLATION_ANY);
    osa_buf_reset(&buf);
    codec_u64(&buf, 99); /* no such code, and nothing behind it */
    reader = reader_of(&buf);
    assert_true(codec_read_error(&reader, &err));
    assert_int_equal(err.code, OSA_INTERNAL);
    assert_true(reader.failed);
    osa_buf_reset(&buf);
    codec_u64(&buf, UINT64_MAX - 1); /* a list longer than memory */
    reader = reader_of(&buf);
    assert_null(codec_read_list(&reader));
    assert_true(reader.failed);
    osa_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_visit_and_owner),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_exit_and_isolation),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
