// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/clock.h"
#include "driver/program.h"

#include <stdio.h>
#include <string.h>

struct run {
    struct helper_program program;
    char lines[1024];
    unsigned done;
    struct osa_error error;
};

static void on_line(struct helper_program *program, const char *line)
{
    struct run *run = OSA_CONTAINER_OF(program, struct run, program);
    size_t len = strlen(run->lines);
    (void)snprintf(run->lines + len, sizeof(run->lines) - len, "[%s]", line);
}

static void on_done(struct helper_program *program, const struct osa_error *error)
{
    struct run *run = OSA_CONTAINER_OF(program, struct run, program);
    run->done++;
    if (error != NULL)
        run->error = *error;
}

static const struct helper_limits roomy = { 60 * OSA_NS_PER_SEC, "/", 0 };

static struct run *start(struct osa_loop *loop, const char *script,
                         const struct helper_limits *limits)
{
    static struct run run;
    static const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    struct osa_error err = { 0 };
    run = (struct run){ .program = { .line = on_line, .done = on_done } };
    helper_program_init(&run.program, loop);
    assert_int_equal(helper_program_start(&run.program, argv, envp, limits, &err), OSA_OK);
    assert_true(helper_program_runs(&run.program));
    return &run;
}

static void finish(struct osa_loop *loop, struct run *run)
{
    while (run->done == 0)
        (void)osa_loop_run_once(loop, OSA_NEVER);
    assert_false(helper_program_runs(&run->program));
}

static int set_up(void **state)
{
    struct osa_error err = { 0 };
    return osa_loop_new((struct osa_loop **)state, &err) == OSA_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    osa_loop_free(*state);
    return 0;
}

static void test_lines_and_success(void **state)
{
    struct run *run =
        start(*state, "echo one; printf 'a\\033\\001\"b\\\\c\\n\\n'; printf last >&2", &roomy);
    finish(*state, run);
    assert_string_equal(run->lines, "[one][abc][last]");
    assert_int_equal(run->error.code, OSA_OK);
}

static void test_failure_has_its_last_line(void **state)
{
    struct run *run = start(
        *state, "echo first; echo 'time=\"now\" level=fatal msg=\"it is \\\"so\\\"\"'; exit 3",
        &roomy);
    finish(*state, run);
    assert_int_equal(run->error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(run->error.text, "it is so");
    run = start(*state, "kill -9 $$", &roomy);
    finish(*state, run);
    assert_string_equal(run->error.text, "it ended without a word");
}

/* A line longer than is kept is cut, and a program that never ends one costs no more. */
static void test_endless_line(void **state)
{
    struct run *run = start(*state, "head -c 300000 /dev/zero | tr '\\0' x; exit 1", &roomy);
    finish(*state, run);
    assert_int_equal(run->error.code, OSA_FAILED_PRECONDITION);
    assert_int_equal(strspn(run->error.text, "x"), strlen(run->error.text));
}

static void test_limits(void **state)
{
    const struct helper_limits brief = { 1, "/", 0 };
    const struct helper_limits full = { 60 * OSA_NS_PER_SEC, "/", UINT64_MAX };
    static const char *const envp[] = { NULL };
    const char *const argv[] = { "/bin/true", NULL };
    struct osa_error err = { 0 };
    struct run *run = start(*state, "echo begun; exec sleep 1000", &brief);
    finish(*state, run);
    assert_int_equal(run->error.code, OSA_DEADLINE_EXCEEDED);
    assert_string_equal(run->error.text, "it took too long");
    assert_int_equal(helper_program_start(&run->program, argv, envp, &full, &err),
                     OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text, "the disk has too little left");
    assert_false(helper_program_runs(&run->program));
}

static void test_kill(void **state)
{
    struct run *run = start(*state, "exec sleep 1000", &roomy);
    helper_program_kill(&run->program);
    finish(*state, run);
    assert_int_equal(run->error.code, OSA_CANCELLED);
    assert_int_equal(run->done, 1);
    helper_program_kill(&run->program); /* nothing runs */
}

static void test_missing_program(void **state)
{
    static const char *const argv[] = { "/nowhere/skopeo", NULL };
    struct osa_error err = { 0 };
    struct run run = { .program = { .line = on_line, .done = on_done } };
    helper_program_init(&run.program, *state);
    assert_int_equal(helper_program_start(&run.program, argv, argv + 1, &roomy, &err),
                     OSA_NOT_FOUND);
    assert_false(helper_program_runs(&run.program));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_and_success),
        cmocka_unit_test(test_failure_has_its_last_line),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_missing_program),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
