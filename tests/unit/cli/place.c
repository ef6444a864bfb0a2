// SPDX-License-Identifier: Apache-2.0
#include "cli/place.h"

#include "base/macros.h"

#include "cmocka_all.h"

#include <string.h>

static void test_places(void **state)
{
    static const struct {
        const char *text;
        enum cli_place_kind kind;
        const char *sandbox;
        const char *path;
    } cases[] = {
        { "-", CLI_PLACE_STREAM, "", NULL },
        { "file", CLI_PLACE_LOCAL, "", "file" },
        { "./-", CLI_PLACE_LOCAL, "", "./-" },
        { "a/b:c", CLI_PLACE_LOCAL, "", "a/b:c" },
        { "./box:/x", CLI_PLACE_LOCAL, "", "./box:/x" },
        { "/box:/x", CLI_PLACE_LOCAL, "", "/box:/x" },
        { "box:/", CLI_PLACE_SANDBOX, "box", "/" },
        { "box:/a:b", CLI_PLACE_SANDBOX, "box", "/a:b" },
        { "s-0-9:/tmp/", CLI_PLACE_SANDBOX, "s-0-9", "/tmp/" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct cli_place place;
        struct osa_error err = { 0 };
        assert_int_equal(cli_place_parse(cases[i].text, &place, &err), OSA_OK);
        assert_int_equal(place.kind, cases[i].kind);
        assert_string_equal(place.sandbox, cases[i].sandbox);
        if (cases[i].path == NULL)
            assert_null(place.path);
        else
            assert_string_equal(place.path, cases[i].path);
    }
}

static void test_wrong_places(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        { "", "neither a path nor SANDBOX:PATH" },
        { ":/x", "write ./:/x for a file of that name" },
        { "Box:/x", "is no sandbox's id" },
        { "a b:/x", "is no sandbox's id" },
        { "box:", "begins with a slash" },
        { "box:x", "begins with a slash" },
        { "box:../x", "begins with a slash" },
        { "0123456789012345678901234567890123456789012345678901234567890123:/x",
          "is no sandbox's id" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct cli_place place;
        struct osa_error err = { 0 };
        assert_int_equal(cli_place_parse(cases[i].text, &place, &err), OSA_INVALID_ARGUMENT);
        if (strstr(err.text, cases[i].why) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].why, err.text);
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *path;
        size_t begin;
        size_t len;
    } cases[] = {
        { "a", 0, 1 },       { "a/b", 2, 1 },  { "/a", 1, 1 },  { "/a/bc//", 3, 2 },
        { "/", 0, 0 },       { "//", 0, 0 },   { ".", 0, 0 },   { "..", 0, 0 },
        { "a/..", 2, 0 },    { "a/./", 2, 0 }, { "...", 0, 3 }, { ".a", 0, 2 },
        { "./name/", 2, 4 },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        size_t len;
        const char *begin = cli_place_name(cases[i].path, &len);
        assert_int_equal(len, cases[i].len);
        if (len > 0)
            assert_int_equal(begin - cases[i].path, cases[i].begin);
    }
}

static void test_ports(void **state)
{
    static const struct {
        const char *text;
        unsigned local;
        unsigned port;
    } good[] = {
        { "80", 80, 80 }, { "8080:80", 8080, 80 }, { "65535:1", 65535, 1 },
        { ":80", 0, 80 }, { "0:80", 0, 80 },
    };
    static const char *const bad[] = { "",      "0",     "65536",    "80:",          ":",
                                       "80:0",  "a",     "8a",       "-1",           "+80",
                                       " 80",   "80 ",   "1:2:3",    "80:65536",     "00:",
                                       "99999", "00:80", "65536:80", "127.0.0.1:80", "000080" };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        struct cli_ports ports;
        assert_int_equal(cli_ports_parse(good[i].text, &ports, NULL), OSA_OK);
        assert_int_equal(ports.local, good[i].local);
        assert_int_equal(ports.port, good[i].port);
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        struct cli_ports ports;
        struct osa_error err = { 0 };
        if (cli_ports_parse(bad[i], &ports, &err) != OSA_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", bad[i]);
        assert_non_null(strstr(err.text, "is not [LOCAL:]PORT"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_wrong_places),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
