// SPDX-License-Identifier: Apache-2.0
/* Untrusted text in logs (hostile input 27): no line of its own, no escape sequence, no second pair. */
#include "base/log.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char line[16384];

static const char *logged(enum osa_log_format format, const char *value)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    osa_log_setup(OSA_LOG_INFO, format, fd);
    osa_log(OSA_LOG_INFO, "test", "message", OSA_S("key", value));
    ssize_t len = pread(fd, line, sizeof(line) - 1, 0);
    assert_true(len > 0);
    line[len] = '\0';
    osa_log_setup(OSA_LOG_INFO, OSA_LOG_TEXT, STDERR_FILENO);
    close(fd);
    return line;
}

static const char *const hostile[] = {
    "two\nlines level=error",
    "carriage\rreturn",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b"
    "31m",
    "\x7f\x08",
    "quote\" other=\"pair",
    "\xff\xfe not UTF-8",
    "\xe2\x80\xae right to left",
    "back\\slash",
    "tab\there",
};

static void one_line_without_controls(void **state)
{
    (void)state;
    const enum osa_log_format formats[] = { OSA_LOG_TEXT, OSA_LOG_JSON };
    for (unsigned f = 0; f < 2; f++) {
        for (unsigned i = 0; i < OSA_ARRAY_LEN(hostile); i++) {
            const char *text = logged(formats[f], hostile[i]);
            size_t len = strlen(text);
            assert_int_equal(text[len - 1], '\n');
            for (size_t k = 0; k + 1 < len; k++) {
                unsigned char c = (unsigned char)text[k];
                if (c < 0x20 || c == 0x7f || c == 0x9b || c == 0xff)
                    fail_msg("'%s': byte %u of its line is %#x", hostile[i], (unsigned)k, c);
            }
        }
    }
}

/* Every quote of the value is escaped, so that a reader of either format sees one value. */
static void no_second_pair(void **state)
{
    (void)state;
    assert_non_null(strstr(logged(OSA_LOG_TEXT, "quote\" other=\"pair"),
                           " key=\"quote\\\" other=\\\"pair\"\n"));
    assert_non_null(strstr(logged(OSA_LOG_JSON, "quote\" other=\"pair"),
                           "\"key\":\"quote\\\" other=\\\"pair\""));
}

static void long_text_is_left_out_and_told(void **state)
{
    (void)state;
    static char value[12000];
    memset(value, 'x', sizeof(value) - 1);
    assert_non_null(strstr(logged(OSA_LOG_TEXT, value), "test: message cut=true\n"));
    memset(value, 0, sizeof(value));
    memset(value, 'x', 4000);
    assert_int_equal(strspn(strstr(logged(OSA_LOG_TEXT, value), "xxx"), "x"), 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_without_controls),
        cmocka_unit_test(no_second_pair),
        cmocka_unit_test(long_text_is_left_out_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
