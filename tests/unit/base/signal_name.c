// SPDX-License-Identifier: Apache-2.0
#include "base/signal_name.h"
#include "base/macros.h"

#include "cmocka_all.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int signo;
    } good[] = {
        { "TERM", 15 },       { "SIGTERM", 15 }, { "sigterm", 15 }, { "15", 15 },
        { "0", 0 },           { "KILL", 9 },     { "64", 64 },      { "RTMIN", 34 },
        { "SIGRTMIN+3", 37 }, { "RTMAX", 64 },   { "RTMAX-1", 63 }, { "RTMIN+30", 64 },
        { "SIGCLD", 17 },     { "SYS", 31 },     { "HUP", 1 },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        int signo = -1;
        if (!osa_signal_parse(good[i].text, &signo))
            fail_msg("'%s' was refused", good[i].text);
        assert_int_equal(signo, good[i].signo);
    }
}

static void test_refuse(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "-1",     "65",       "99",       "100",     "015",      "+15",      " 15",
        "15 ",     "SIG",    "SIGSIG",   "SIGTERMS", "TER",     "RTMIN+31", "RT",       "RTMIN-1",
        "RTMAX+1", "RTMIN+", "RTMAX-31", "0x9",      "SIGNULL", "RTMIN 3",  "RTMIN+03",
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        int signo = -7;
        if (osa_signal_parse(bad[i], &signo))
            fail_msg("'%s' was taken for %d", bad[i], signo);
        assert_int_equal(signo, -7);
    }
}

static void test_names_read_back(void **state)
{
    (void)state;
    for (int signo = 1; signo <= OSA_SIGNAL_MAX; signo++) {
        char name[OSA_SIGNAL_NAME_SIZE];
        int again = 0;
        osa_signal_name(signo, name);
        assert_true(osa_signal_parse(name, &again));
        assert_int_equal(again, signo);
    }
    char name[OSA_SIGNAL_NAME_SIZE];
    osa_signal_name(9, name);
    assert_string_equal(name, "SIGKILL");
    osa_signal_name(37, name);
    assert_string_equal(name, "SIGRTMIN+3");
    osa_signal_name(33, name);
    assert_string_equal(name, "33");
    osa_signal_name(0, name);
    assert_string_equal(name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_names_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
