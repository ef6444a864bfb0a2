// SPDX-License-Identifier: Apache-2.0
#include "agent/spec.h"
#include "base/macros.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const struct spec_rules rules = { .max_exec_bytes = 1 << 20, .output_retain_bytes = 1000 };

static struct process_request *process_new(const char *program)
{
    struct process_request *request = process_request_new();
    const char **argv = osa_arena_alloc(&request->arena, 2 * sizeof(*argv));
    argv[0] = program;
    request->argv = argv;
    request->argc = program == NULL ? 0 : 1;
    return request;
}

/* Judges and frees a request; "" for @field means that it must pass. */
static void judge(struct process_request *request, const char *field, const char *text)
{
    struct osa_error err = { 0 };
    enum osa_code code = process_request_check(request, &rules, &err);
    if (field[0] == '\0') {
        if (code != OSA_OK)
            fail_msg("refused: %s", err.text);
    } else {
        assert_int_equal(code, OSA_INVALID_ARGUMENT);
        assert_string_equal(err.field, field);
        if (strstr(err.text, text) == NULL || strncmp(err.text, field, strlen(field)) != 0)
            fail_msg("'%s' is not about '%s' of %s", err.text, text, field);
    }
    process_request_free(request);
}

static void test_argv(void **state)
{
    (void)state;
    judge(process_new("/bin/true"), "", "");
    judge(process_new("true"), "", "");
    judge(process_new("./run"), "", "");
    judge(process_new("..config/x"), "", "");
    judge(process_new(NULL), "spec.argv", "empty");
    judge(process_new(""), "spec.argv", "empty");
    judge(process_new("../bin/sh"), "spec.argv", "absolute path");
    judge(process_new("a/../../bin/sh"), "spec.argv", "absolute path");

    char *big = malloc(SPEC_ARG_BYTES + 2);
    memset(big, 'x', SPEC_ARG_BYTES + 1);
    big[SPEC_ARG_BYTES + 1] = '\0';
    struct process_request *request = process_new("/bin/true");
    const char *argv[] = { "/bin/true", big, NULL };
    request->argv = argv;
    request->argc = 2;
    judge(request, "spec.argv", "argument 1 is longer than 131071");
    big[SPEC_ARG_BYTES] = '\0';
    request = process_new("/bin/true");
    request->argv = argv;
    request->argc = 2;
    judge(request, "", "");
    const char *many[] = { "/bin/true", big, big, big, big, big, big, big, big, NULL };
    request = process_new("/bin/true");
    request->argv = many;
    request->argc = 9;
    judge(request, "spec.argv", "at most 1048576 are allowed");
    free(big);
}

static void judge_env(const char *key, const char *second, const char *text)
{
    struct spec_pair pairs[] = { { key, "v" }, { second, "w" } };
    struct process_request *request = process_new("/bin/true");
    request->env = (struct spec_pairs){ pairs, second == NULL ? 1 : 2 };
    judge(request, text[0] == '\0' ? "" : "spec.env", text);
}

static void test_env(void **state)
{
    (void)state;
    judge_env("HOME", "home", "");
    judge_env("OPENSHEL", NULL, "");
    judge_env("LD_LIBRARY_PATH", NULL, "");
    judge_env("", NULL, "is empty or holds '='");
    judge_env("A=B", NULL, "is empty or holds '='");
    judge_env("A\n", NULL, "control character");
    judge_env("A", "A", "'A' is given twice");
    judge_env("OPENSHELL_TOKEN", NULL, "reserved");
    judge_env("LD_PRELOAD", NULL, "--allow-loader-env");
    judge_env("LD_AUDIT", NULL, "--allow-loader-env");

    struct spec_pair pair = { "LD_PRELOAD", "/x.so" };
    struct process_request *request = process_new("/bin/true");
    request->env = (struct spec_pairs){ &pair, 1 };
    struct spec_rules open = rules;
    open.allow_loader_env = true;
    assert_int_equal(process_request_check(request, &open, NULL), OSA_OK);
    process_request_free(request);
}

static void test_users(void **state)
{
    (void)state;
    static const char *const good[] = { "",         "0",     "1000", "4294967294", "root",
                                        "www-data", "a.b_c", "_x",   "1000:1000",  "root:daemon" };
    static const char *const bad[] = {
        "1000:x",     "0x0",        "-1",
        "4294967295", "4294967296", "18446744073709551616",
        " 0",         "0 ",         "01",
        "+1",         "1000:",      ":1000",
        "root:",      "1:2:3",      "root:0",
        "a b",        "../x",       "1e3",
        "-x",         ".x",         "1000:4294967295",
        "root\n",     "1000:-1",
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++)
        assert_int_equal(spec_check_user(good[i], "spec.user", NULL), OSA_OK);
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        struct osa_error err = { 0 };
        if (spec_check_user(bad[i], "spec.user", &err) == OSA_OK)
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(err.code, OSA_INVALID_ARGUMENT);
        assert_string_equal(err.field, "spec.user");
        assert_non_null(strstr(err.text, "'uid:gid'"));
    }
}

static void test_paths_labels_and_more(void **state)
{
    (void)state;
    struct process_request *request = process_new("/bin/true");
    request->cwd = "tmp";
    judge(request, "spec.cwd", "not an absolute path");
    request = process_new("/bin/true");
    const char *groups[] = { "audio", "-1", NULL };
    request->groups = groups;
    request->group_count = 2;
    judge(request, "spec.groups", "'-1' is neither");
    request = process_new("/bin/true");
    request->output_retain_bytes = 16001;
    judge(request, "spec.output_retain_bytes", "at most 16000");
    request = process_new("/bin/true");
    request->seccomp_profile = "none";
    judge(request, "spec.seccomp_profile", "'none' is not known");
    request = process_new("/bin/true");
    request->root = "x";
    judge(request, "spec.root", "not an absolute path");
    request = process_new("/bin/true");
    request->root = "/x";
    request->image = "debian:12";
    judge(request, "spec.root", "not both");
    request = process_new("/bin/true");
    request->min_isolation = 5;
    judge(request, "spec.min_isolation", "5 is not a known level");

    struct osa_arena arena = { 0 };
    struct spec_pair pairs[SPEC_LABELS_MAX + 1];
    for (size_t i = 0; i < OSA_ARRAY_LEN(pairs); i++)
        pairs[i] = (struct spec_pair){ osa_arena_printf(&arena, "k%zu", i), "" };
    request = process_new("/bin/true");
    request->labels = (struct spec_pairs){ pairs, SPEC_LABELS_MAX + 1 };
    judge(request, "spec.labels", "65 labels, at most 64");
    request = process_new("/bin/true");
    request->labels = (struct spec_pairs){ pairs, SPEC_LABELS_MAX };
    judge(request, "", "");
    osa_arena_done(&arena);
}

static void test_rlimits(void **state)
{
    (void)state;
    assert_int_equal(spec_rlimit_number("nofile"), RLIMIT_NOFILE);
    assert_int_equal(spec_rlimit_number("core"), RLIMIT_CORE);
    assert_int_equal(spec_rlimit_number("RLIMIT_CORE"), -1);
    struct spec_rlimit limits[] = { { "nofile", 10, 20 }, { "core", 0, UINT64_MAX } };
    struct process_request *request = process_new("/bin/true");
    request->rlimits = limits;
    request->rlimit_count = 2;
    judge(request, "", "");
    limits[0].soft = 21;
    request = process_new("/bin/true");
    request->rlimits = limits;
    request->rlimit_count = 2;
    judge(request, "spec.rlimits", "nofile: soft is above hard");
    limits[0] = (struct spec_rlimit){ "core", 1, 1 };
    request = process_new("/bin/true");
    request->rlimits = limits;
    request->rlimit_count = 2;
    judge(request, "spec.rlimits", "core is given twice");
    limits[0].type = "files";
    request = process_new("/bin/true");
    request->rlimits = limits;
    request->rlimit_count = 2;
    judge(request, "spec.rlimits", "type 'files' is not known");
}

static void test_limits(void **state)
{
    (void)state;
    const struct {
        struct resources limits;
        uint32_t capabilities;
        enum osa_code code;
        const char *field;
    } rows[] = {
        { { 0 }, 0, OSA_OK, "" },
        { { .cpu_millis = 10 }, BACKEND_CAP_CPU_LIMIT, OSA_OK, "" },
        { { .cpu_millis = 9 },
          BACKEND_CAP_CPU_LIMIT,
          OSA_INVALID_ARGUMENT,
          "resources.cpu_millis" },
        { { .cpu_millis = 10 }, 0, OSA_FAILED_PRECONDITION, "resources.cpu_millis" },
        { { .memory_bytes = 1 << 20 }, BACKEND_CAP_MEMORY_LIMIT, OSA_OK, "" },
        { { .memory_bytes = 4095 }, ~0u, OSA_INVALID_ARGUMENT, "resources.memory_bytes" },
        { { .memory_bytes = UINT64_MAX }, ~0u, OSA_INVALID_ARGUMENT, "resources.memory_bytes" },
        { { .pids_max = 4194305 }, ~0u, OSA_INVALID_ARGUMENT, "resources.pids_max" },
        { { .disk_bytes = 1 }, ~0u, OSA_INVALID_ARGUMENT, "resources.disk_bytes" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(rows); i++) {
        struct osa_error err = { 0 };
        assert_int_equal(spec_check_limits(&rows[i].limits, RUNTIME_KIND_PROCESS,
                                           rows[i].capabilities, "resources", &err),
                         rows[i].code);
        assert_string_equal(err.field, rows[i].field);
    }
}

static void test_environment(void **state)
{
    (void)state;
    struct spec_pair shared[] = { { "A", "1" }, { "B", "2" }, { "TERM", "dumb" } };
    struct spec_pair own[] = { { "B", "3" } };
    struct spec_pair preset[] = { { "A", "0" }, { "B", "0" }, { "http_proxy", "http://x" } };
    const struct spec_pairs defaults = { preset, 3 };
    struct spec_pairs sandbox_env = { shared, 3 };
    struct process_request *request = process_new("/bin/true");
    request->env = (struct spec_pairs){ own, 1 };
    strlist list = spec_environment(&request->arena, &defaults, &sandbox_env, request);
    assert_string_equal(list[0], "http_proxy=http://x");
    assert_string_equal(list[1], "A=1");
    assert_string_equal(list[2], "TERM=dumb");
    assert_string_equal(list[3], "B=3");
    assert_string_equal(list[4],
                        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_null(list[5]);
    request->tty = true;
    sandbox_env.count = 1;
    list = spec_environment(&request->arena, &defaults, &sandbox_env, request);
    assert_string_equal(list[4], "TERM=xterm-256color");
    process_request_free(request);
}

static void test_sandbox(void **state)
{
    (void)state;
    struct osa_error err = { 0 };
    struct sandbox_request *request = sandbox_request_new();
    assert_int_equal(sandbox_request_check(request, &rules, &err), OSA_OK);
    request->id = "Bad_Name";
    assert_int_equal(sandbox_request_check(request, &rules, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.field, "sandbox_id");
    request->id = "good-1";
    request->workdir = "../x";
    assert_int_equal(sandbox_request_check(request, &rules, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.field, "spec.workdir");
    request->workdir = "/w";
    const struct backend_info info = { .available = true, .isolation.level = ISOLATION_ROOTLESS };
    request->min_isolation = ISOLATION_FULL;
    assert_int_equal(sandbox_request_check_backend(request, RUNTIME_KIND_PROCESS, &info, &err),
                     OSA_FAILED_PRECONDITION);
    assert_string_equal(err.field, "spec.min_isolation");
    request->min_isolation = ISOLATION_ROOTLESS;
    assert_int_equal(sandbox_request_check_backend(request, RUNTIME_KIND_PROCESS, &info, &err),
                     OSA_OK);
    request->image = "x";
    assert_int_equal(sandbox_request_check_backend(request, RUNTIME_KIND_PROCESS, &info, &err),
                     OSA_FAILED_PRECONDITION);
    assert_string_equal(err.field, "spec.image");
    const struct backend_info down = { .reason = "no /dev/kvm" };
    assert_int_equal(sandbox_request_check_backend(request, RUNTIME_KIND_BOXLITE, &down, &err),
                     OSA_UNAVAILABLE);
    assert_string_equal(err.text, "runtime boxlite is not available here: no /dev/kvm");
    sandbox_request_free(request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_argv),        cmocka_unit_test(test_env),
        cmocka_unit_test(test_users),       cmocka_unit_test(test_paths_labels_and_more),
        cmocka_unit_test(test_rlimits),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
