// SPDX-License-Identifier: Apache-2.0
/* W3C Trace Context: what is read, what is ignored, and what lines of the log say meanwhile. */
#include "base/trace.h"

#include "base/log.h"
#include "cmocka_all.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define GOOD "00-" TRACE "-" SPAN "-01"

static void test_read(void **state)
{
    (void)state;
    OSA_AUTO(osa_trace_free) struct osa_trace *trace = osa_trace_new(GOOD, "rojo=1,congo=t61");
    assert_non_null(trace);
    assert_string_equal(trace->parent, GOOD);
    assert_string_equal(trace->trace_id, TRACE);
    assert_string_equal(trace->span_id, SPAN);
    assert_string_equal(trace->state, "rojo=1,congo=t61");
}

/* Of a version that is not known here, the beginning holds, and one flag. */
static void test_future(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        { "00-" TRACE "-" SPAN "-00", "00-" TRACE "-" SPAN "-00" },
        { "00-" TRACE "-" SPAN "-fe", "00-" TRACE "-" SPAN "-00" },
        { "cc-" TRACE "-" SPAN "-03", GOOD },
        { "cc-" TRACE "-" SPAN "-01-what the future brings", GOOD },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(known); i++) {
        OSA_AUTO(osa_trace_free) struct osa_trace *trace = osa_trace_new(known[i][0], NULL);
        assert_non_null(trace);
        assert_string_equal(trace->parent, known[i][1]);
        assert_null(trace->state);
    }
}

static void test_ignored(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-011",
        "cc-" TRACE "-" SPAN "-01.more",
        "ff-" TRACE "-" SPAN "-01",
        "0g-" TRACE "-" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "-" SPAN "-x1",
        "00-4bf92f3577b34da6a3ce929d0e0e473\n-" SPAN "-01",
        " " GOOD,
    };
    assert_null(osa_trace_new(NULL, "rojo=1"));
    for (size_t i = 0; i < OSA_ARRAY_LEN(wrong); i++) {
        if (osa_trace_new(wrong[i], NULL) != NULL)
            fail_msg("'%s' was taken", wrong[i]);
    }
}

static void test_state(void **state)
{
    (void)state;
    char longest[OSA_TRACE_STATE_SIZE + 1];
    memset(longest, 'a', sizeof(longest));
    longest[OSA_TRACE_STATE_SIZE] = '\0';
    static const char *const left_out[] = { "", "a=1\r\nx-more: 2", "a=\x80" };
    for (size_t i = 0; i <= OSA_ARRAY_LEN(left_out); i++) {
        OSA_AUTO(osa_trace_free)
        struct osa_trace *trace =
            osa_trace_new(GOOD, i < OSA_ARRAY_LEN(left_out) ? left_out[i] : longest);
        assert_non_null(trace);
        assert_null(trace->state);
    }
    longest[OSA_TRACE_STATE_SIZE - 1] = '\0';
    OSA_AUTO(osa_trace_free) struct osa_trace *trace = osa_trace_new(GOOD, longest);
    assert_string_equal(trace->state, longest);
}

static void test_scopes(void **state)
{
    (void)state;
    struct osa_trace *first = osa_trace_new(GOOD, NULL);
    struct osa_trace *second = osa_trace_new("00-" TRACE "-" SPAN "-00", NULL);
    assert_null(osa_trace_current());
    struct osa_trace_scope outer = osa_trace_enter(first);
    osa_trace_unref(first); /* the scope keeps it */
    assert_ptr_equal(osa_trace_current(), first);
    struct osa_trace_scope inner = osa_trace_enter(second);
    assert_ptr_equal(osa_trace_current(), second);
    struct osa_trace_scope none = osa_trace_enter(NULL);
    assert_null(osa_trace_current());
    osa_trace_leave(&none);
    assert_ptr_equal(osa_trace_current(), second);
    osa_trace_leave(&inner);
    assert_string_equal(osa_trace_current()->parent, GOOD);
    osa_trace_leave(&outer);
    assert_null(osa_trace_current());
    osa_trace_unref(second);
}

static void expect_line(enum osa_log_format format, const char *end)
{
    char line[1024];
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    osa_log_setup(OSA_LOG_INFO, format, fd);
    osa_log(OSA_LOG_INFO, "test", "message", OSA_S("key", "value"));
    ssize_t len = pread(fd, line, sizeof(line) - 1, 0);
    assert_true(len > (ssize_t)strlen(end));
    line[len] = '\0';
    osa_log_setup(OSA_LOG_INFO, OSA_LOG_TEXT, STDERR_FILENO);
    close(fd);
    assert_string_equal(line + len - strlen(end), end);
}

static void test_log(void **state)
{
    (void)state;
    OSA_AUTO(osa_trace_free) struct osa_trace *trace = osa_trace_new(GOOD, NULL);
    struct osa_trace_scope scope = osa_trace_enter(trace);
    expect_line(OSA_LOG_TEXT, " key=value trace_id=" TRACE " span_id=" SPAN "\n");
    expect_line(OSA_LOG_JSON,
                "\"key\":\"value\",\"trace_id\":\"" TRACE "\",\"span_id\":\"" SPAN "\"}\n");
    osa_trace_leave(&scope);
    expect_line(OSA_LOG_TEXT, " key=value\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),  cmocka_unit_test(test_future), cmocka_unit_test(test_ignored),
        cmocka_unit_test(test_state), cmocka_unit_test(test_scopes), cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
