// SPDX-License-Identifier: Apache-2.0
#include "base/option.h"

#include "base/macros.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

struct target {
    const char *name;
    const char *path;
    struct osa_strings list;
    bool on;
    bool quiet;
    uint32_t small;
    uint64_t large;
    uint32_t mode;
    int64_t time_ns;
    uint64_t bytes;
    uint64_t cpu;
    int color;
};

static const struct osa_option_name colors[] = { { "red", 1 }, { "blue", 2 }, { 0 } };

#define AT(field) offsetof(struct target, field)
static const struct osa_option rows[] = {
    { .flag = "name",
      .letter = 'n',
      .variable = "OSA_TEST_NAME",
      .key = "name",
      .type = OSA_OPTION_STRING,
      .offset = AT(name),
      .value = "NAME",
      .help = "A name" },
    { .flag = "path",
      .type = OSA_OPTION_PATH,
      .offset = AT(path),
      .value = "FILE",
      .help = "A file that has a long explanation so that the text must go on in a second line" },
    { .flag = "list",
      .letter = 'l',
      .variable = "OSA_TEST_LIST",
      .key = "list",
      .type = OSA_OPTION_LIST,
      .offset = AT(list),
      .def = "a,b",
      .value = "ITEM",
      .help = "Some items" },
    { .flag = "on",
      .letter = 'o',
      .key = "on",
      .type = OSA_OPTION_BOOL,
      .offset = AT(on),
      .def = "true",
      .help = "A switch" },
    { .flag = "quiet",
      .letter = 'q',
      .variable = "OSA_TEST_QUIET",
      .type = OSA_OPTION_BOOL,
      .offset = AT(quiet),
      .help = "Another switch" },
    { .flag = "small",
      .variable = "OSA_TEST_SMALL",
      .key = "small",
      .type = OSA_OPTION_U32,
      .offset = AT(small),
      .min = 1,
      .max = 100,
      .def = "7",
      .value = "N",
      .help = "A number" },
    { .flag = "large",
      .type = OSA_OPTION_U64,
      .offset = AT(large),
      .value = "N",
      .help = "A large number" },
    { .flag = "mode",
      .type = OSA_OPTION_MODE,
      .offset = AT(mode),
      .max = 0777,
      .def = "0600",
      .value = "MODE",
      .help = "Permission bits" },
    { .flag = "time",
      .type = OSA_OPTION_DURATION,
      .offset = AT(time_ns),
      .min = 1000000,
      .max = 10000000000,
      .def = "1s",
      .value = "TIME",
      .help = "A time" },
    { .flag = "bytes",
      .type = OSA_OPTION_BYTES,
      .offset = AT(bytes),
      .max = 1048576,
      .value = "BYTES",
      .help = "A size" },
    { .flag = "cpu", .type = OSA_OPTION_CPU, .offset = AT(cpu), .value = "CPUS", .help = "CPUs" },
    { .flag = "color",
      .type = OSA_OPTION_ENUM,
      .offset = AT(color),
      .names = colors,
      .def = "red",
      .value = "COLOR",
      .help = "A color" },
};

static struct osa_options *fresh(struct target *target)
{
    struct osa_option_group group = { "Options", rows, OSA_ARRAY_LEN(rows), target };
    struct osa_options *options = NULL;
    struct osa_error err;
    memset(target, 0, sizeof(*target));
    unsetenv("OSA_TEST_NAME");
    unsetenv("OSA_TEST_LIST");
    unsetenv("OSA_TEST_SMALL");
    unsetenv("OSA_TEST_QUIET");
    assert_int_equal(osa_options_new(&group, 1, &options, &err), OSA_OK);
    return options;
}

static int count_words(const char *const *argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    return argc;
}

static void flags_ok(struct osa_options *options, const char *const *argv, int used)
{
    struct osa_error err = { 0 };
    int got = -1;
    if (osa_options_flags(options, count_words(argv), argv, &got, &err) != OSA_OK)
        fail_msg("%s", err.text);
    assert_int_equal(got, used);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_defaults(void **state)
{
    (void)state;
    struct target t;
    struct osa_options *options = fresh(&t);
    assert_null(t.name);
    assert_int_equal(t.list.count, 2);
    assert_string_equal(t.list.items[0], "a");
    assert_string_equal(t.list.items[1], "b");
    assert_null(t.list.items[2]);
    assert_true(t.on);
    assert_false(t.quiet);
    assert_int_equal(t.small, 7);
    assert_int_equal(t.mode, 0600);
    assert_int_equal(t.time_ns, 1000000000);
    assert_int_equal(t.color, 1);
    assert_int_equal(osa_options_origin(options, &t.small), OSA_ORIGIN_DEFAULT);
    assert_int_equal(osa_options_origin(options, &t.name), OSA_ORIGIN_NONE);
    osa_options_free(options);
}

static void test_flag_forms(void **state)
{
    (void)state;
    struct target t;
    struct osa_options *options = fresh(&t);
    flags_ok(options,
             ARGS("--name", "x", "--small=9", "-qlone", "-l", "two", "--no-on", "--mode", "660",
                  "--time=250ms", "--bytes", "64Ki", "--cpu", "1.5", "--color=blue", "--large",
                  "18446744073709551615", "--path=-"),
             18);
    assert_string_equal(t.name, "x");
    assert_int_equal(t.small, 9);
    assert_true(t.quiet);
    assert_int_equal(t.list.count, 2);
    assert_string_equal(t.list.items[0], "one");
    assert_string_equal(t.list.items[1], "two");
    assert_false(t.on);
    assert_int_equal(t.mode, 0660);
    assert_int_equal(t.time_ns, 250000000);
    assert_int_equal(t.bytes, 65536);
    assert_int_equal(t.cpu, 1500);
    assert_int_equal(t.color, 2);
    assert_true(t.large == UINT64_MAX);
    assert_string_equal(t.path, "-");
    osa_options_free(options);
}

static void test_operands(void **state)
{
    (void)state;
    struct target t;
    struct osa_options *options = fresh(&t);
    flags_ok(options, ARGS("-q", "command", "--name", "x"), 1);
    assert_null(t.name);
    flags_ok(options, ARGS("--", "--name"), 1);
    flags_ok(options, ARGS("-"), 0);
    flags_ok(options, ARGS("--name", "--", "--", "x"), 3);
    assert_string_equal(t.name, "--");
    flags_ok(options, ARGS("--quiet=false", "--on=true"), 2);
    assert_false(t.quiet);
    osa_options_free(options);
}

static void test_bad_flags(void **state)
{
    (void)state;
    static const struct {
        const char *argv[3];
        const char *message;
    } cases[] = {
        { { "--nope" }, "--nope: unknown option; --help lists them" },
        { { "--nam", "x" }, "--nam: unknown option; --help lists them" },
        { { "-z" }, "-z: unknown option; --help lists them" },
        { { "-qz" }, "-z: unknown option; --help lists them" },
        { { "--no-name" }, "--no-name: unknown option; --help lists them" },
        { { "--no-on=true" }, "--no-on: unknown option; --help lists them" },
        { { "--name" }, "--name: needs a value: --name NAME" },
        { { "-n" }, "-n: needs a value: -n NAME" },
        { { "--on=yes" }, "--on: 'yes' is neither true nor false" },
        { { "--path=" }, "--path: is empty" },
        { { "--list", "" }, "--list: is empty" },
        { { "--small", "0" }, "--small: '0' is out of range; allowed: 1 to 100" },
        { { "--small", "101" }, "--small: '101' is out of range; allowed: 1 to 100" },
        { { "--small", "-1" }, "--small: '-1' is not a whole number" },
        { { "--small", " 1" }, "--small: ' 1' is not a whole number" },
        { { "--small", "99999999999999999999" }, "--small: '99999999999999999999' is too large" },
        { { "--small", "1k" }, "--small: '1k' is not a whole number" },
        { { "--mode", "0999" }, "--mode: '0999' is not a mode in octal such as 0660" },
        { { "--mode", "1777" }, "--mode: '1777' is out of range; allowed: 0000 to 0777" },
        { { "--time", "1" },
          "--time: '1' lacks a unit; write h, m, s, ms, us or ns after the number" },
        { { "--time", "11s" }, "--time: '11s' is out of range; allowed: 1ms to 10s" },
        { { "--bytes", "2Mi" }, "--bytes: '2Mi' is out of range; allowed: 0 to 1Mi" },
        { { "--cpu", "NaN" },
          "--cpu: 'NaN' is not a quantity; write a number such as 500m, 1.5 or 128Mi" },
        { { "--color", "green" }, "--color: 'green' is not one of red, blue" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct target t;
        struct osa_options *options = fresh(&t);
        struct osa_error err = { 0 };
        int used = 0;
        assert_int_equal(
            osa_options_flags(options, count_words(cases[i].argv), cases[i].argv, &used, &err),
            OSA_INVALID_ARGUMENT);
        assert_string_equal(err.text, cases[i].message);
        osa_options_free(options);
    }
}

/* The stronger source wins, whatever the order in which they are read. */
static void test_precedence(void **state)
{
    (void)state;
    struct target t;
    struct osa_error err = { 0 };
    struct osa_options *options = fresh(&t);
    setenv("OSA_TEST_SMALL", "20", 1);
    setenv("OSA_TEST_NAME", "", 1);
    setenv("OSA_TEST_LIST", "x,y,z", 1);
    flags_ok(options, ARGS("--small=30"), 1);
    assert_int_equal(osa_options_environment(options, &err), OSA_OK);
    assert_int_equal(osa_options_file_value(options, "small", "10", "f:1:1", &err), OSA_OK);
    assert_int_equal(osa_options_file_value(options, "name", "file", "f:2:1", &err), OSA_OK);
    assert_int_equal(osa_options_file_value(options, "list", "file", "f:3:1", &err), OSA_OK);
    assert_int_equal(osa_options_file_value(options, "on", "false", "f:4:1", &err), OSA_OK);
    assert_int_equal(t.small, 30);
    assert_string_equal(t.name, "file");
    assert_int_equal(t.list.count, 3);
    assert_string_equal(t.list.items[2], "z");
    assert_false(t.on);
    assert_int_equal(osa_options_origin(options, &t.small), OSA_ORIGIN_FLAG);
    assert_int_equal(osa_options_origin(options, &t.list), OSA_ORIGIN_ENVIRONMENT);
    assert_int_equal(osa_options_origin(options, &t.on), OSA_ORIGIN_FILE);
    assert_int_equal(osa_options_default(options, &t.name, "late", &err), OSA_OK);
    assert_string_equal(t.name, "file");
    assert_int_equal(osa_options_default(options, &t.path, "late", &err), OSA_OK);
    assert_string_equal(t.path, "late");
    osa_options_free(options);

    options = fresh(&t);
    setenv("OSA_TEST_SMALL", "20", 1);
    assert_int_equal(osa_options_environment(options, &err), OSA_OK);
    assert_int_equal(t.small, 20);
    osa_options_free(options);
}

/* A wrong value is told even where a stronger source overrides it. */
static void test_sources_named(void **state)
{
    (void)state;
    struct target t;
    struct osa_error err = { 0 };
    struct osa_options *options = fresh(&t);
    flags_ok(options, ARGS("--small=30"), 1);
    setenv("OSA_TEST_SMALL", "200", 1);
    assert_int_equal(osa_options_environment(options, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "OSA_TEST_SMALL: '200' is out of range; allowed: 1 to 100");
    setenv("OSA_TEST_SMALL", "20", 1);
    setenv("OSA_TEST_LIST", "x,,z", 1);
    assert_int_equal(osa_options_environment(options, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "OSA_TEST_LIST: is empty");
    assert_int_equal(osa_options_file_value(options, "small", "x", "f.yaml:3:8", &err),
                     OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "f.yaml:3:8: small: 'x' is not a whole number");
    assert_int_equal(osa_options_file_value(options, "quiet", "true", "f.yaml:4:1", &err),
                     OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "f.yaml:4:1: unknown key 'quiet'");
    assert_int_equal(osa_options_key_is_list(options, "list"), 1);
    assert_int_equal(osa_options_key_is_list(options, "small"), 0);
    assert_int_equal(osa_options_key_is_list(options, "nope"), -1);
    osa_options_free(options);
}

static void test_help(void **state)
{
    (void)state;
    struct osa_option_group group = { "Options", rows, 4, NULL };
    struct osa_buf out;
    osa_buf_init(&out, 65536);
    osa_option_help(&group, 72, &out);
    assert_string_equal(out.data,
                        "Options:\n"
                        "  -n, --name NAME             A name\n"
                        "      --path FILE             A file that has a long explanation so that\n"
                        "                              the text must go on in a second line\n"
                        "  -l, --list ITEM             Some items; repeatable [a,b]\n"
                        "  -o, --on                    A switch [on; --no-on switches it off]\n");
    osa_buf_reset(&out);
    group = (struct osa_option_group){ "Options", &rows[8], 4, NULL };
    osa_option_help(&group, 80, &out);
    assert_string_equal(out.data, "Options:\n"
                                  "      --time TIME             A time; 1ms to 10s [1s]\n"
                                  "      --bytes BYTES           A size; 0 to 1Mi\n"
                                  "      --cpu CPUS              CPUs\n"
                                  "      --color COLOR           A color: red, blue [red]\n");
    osa_buf_done(&out);
}

static void test_man(void **state)
{
    (void)state;
    struct osa_option_group group = { "Some options", rows, 1, NULL };
    struct osa_buf out;
    osa_buf_init(&out, 65536);
    osa_option_man(&group, &out);
    assert_string_equal(out.data, ".SS Some options\n.TP\n\\fB\\-n\\fR, \\fB\\-\\-name\\fR "
                                  "\\fINAME\\fR\nA name.\n.br\nVariable: "
                                  "\\fBOSA_TEST_NAME\\fR;\nin the file: \\fBname\\fR.\n");
    osa_buf_reset(&out);
    osa_man_escape(&out, ".a-b\\c'd");
    assert_string_equal(out.data, "\\&.a\\-b\\ec\\(aqd");
    osa_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_flag_forms),
        cmocka_unit_test(test_operands),   cmocka_unit_test(test_bad_flags),
        cmocka_unit_test(test_precedence), cmocka_unit_test(test_sources_named),
        cmocka_unit_test(test_help),       cmocka_unit_test(test_man),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
