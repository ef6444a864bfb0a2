// SPDX-License-Identifier: Apache-2.0
#include "io/yaml.h"

#include "base/buf.h"

#include "cmocka_all.h"

#include <string.h>

static struct io_yaml *parse(const char *text)
{
    struct io_yaml *doc = NULL;
    struct osa_error err = { 0 };
    enum osa_code code = io_yaml_parse("f", text, strlen(text), NULL, &doc, &err);
    if (code != OSA_OK)
        print_error("%s\n", err.text);
    assert_int_equal(code, OSA_OK);
    return doc;
}

static void test_tree_and_positions(void **state)
{
    (void)state;
    struct io_yaml *doc = parse("# comment\n"
                                "name: web\n"
                                "ports:\n"
                                "  - 80\n"
                                "  - '443'\n"
                                "nested: {a: [1, 2], b: }\n");
    const struct io_yaml_node *root = io_yaml_root(doc);
    assert_int_equal(root->kind, IO_YAML_MAPPING);
    assert_int_equal(root->count, 3);
    assert_string_equal(io_yaml_get(root, "name")->text, "web");
    assert_int_equal(io_yaml_get(root, "name")->line, 2);
    assert_int_equal(io_yaml_get(root, "name")->column, 7);
    assert_int_equal(io_yaml_get(root, "name")->key->column, 1);

    const struct io_yaml_node *ports = io_yaml_get(root, "ports");
    assert_int_equal(ports->kind, IO_YAML_SEQUENCE);
    assert_int_equal(ports->count, 2);
    assert_false(ports->first->quoted);
    assert_true(ports->first->next->quoted);
    assert_string_equal(ports->first->next->text, "443");
    assert_null(ports->first->next->next);

    const struct io_yaml_node *nested = io_yaml_get(root, "nested");
    assert_int_equal(io_yaml_get(nested, "a")->count, 2);
    assert_true(io_yaml_is_null(io_yaml_get(nested, "b")));
    assert_null(io_yaml_get(nested, "c"));
    assert_null(io_yaml_get(ports, "a"));
    assert_string_equal(io_yaml_source(doc), "f");
    io_yaml_free(doc);
}

static void test_empty(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "\n", "# nothing\n" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(texts); i++) {
        struct io_yaml *doc = parse(texts[i]);
        assert_null(io_yaml_root(doc));
        io_yaml_free(doc);
    }
    struct io_yaml *doc = parse("---\n...\n");
    assert_true(io_yaml_is_null(io_yaml_root(doc)));
    io_yaml_free(doc);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len; /* 0: strlen */
        enum osa_code code;
        const char *message;
    } cases[] = {
        { "a: 1\nb: 2\na: 3\n", 0, OSA_INVALID_ARGUMENT,
          "f:3:1: key 'a' is here twice, first in line 1" },
        { "a: &x 1\nb: *x\n", 0, OSA_INVALID_ARGUMENT, "f:1:4: an anchor (&) or alias (*)" },
        { "b: *x\n", 0, OSA_INVALID_ARGUMENT, "f:1:4: an anchor (&) or alias (*)" },
        { "a: !!python/object 1\n", 0, OSA_INVALID_ARGUMENT, "f:1:4: a tag (!)" },
        { "a: ! [1]\n", 0, OSA_INVALID_ARGUMENT, "f:1:4: a tag (!)" },
        { "%YAML 1.1\n---\na: 1\n", 0, OSA_INVALID_ARGUMENT, "a directive (%)" },
        { "a: 1\n---\nb: 2\n", 0, OSA_INVALID_ARGUMENT, "f:2:1: a second document" },
        { "? [a, b]\n: 1\n", 0, OSA_INVALID_ARGUMENT, "f:1:3: a key must be a plain string" },
        { "a: \"x\\0y\"\n", 0, OSA_INVALID_ARGUMENT, "f:1:4: a NUL character" },
        { "a: x\0y\n", 7, OSA_INVALID_ARGUMENT, "f: control characters are not allowed at byte 4" },
        { "a: \xff\xfe\n", 0, OSA_INVALID_ARGUMENT, "f: invalid leading UTF-8 octet at byte 3" },
        { "\xff\xfe\x61\x00", 4, OSA_INVALID_ARGUMENT, "f: invalid leading UTF-8 octet at byte 0" },
        { "a: [1, 2\n", 0, OSA_INVALID_ARGUMENT, "f:2:1: did not find expected ',' or ']'" },
        { "a: 1\n b: 2\n", 0, OSA_INVALID_ARGUMENT, "f:2:3: mapping values are not allowed" },
        { "\ta: 1\n", 0, OSA_INVALID_ARGUMENT, "f:1:1: found character that cannot start" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct io_yaml *doc = NULL;
        struct osa_error err = { 0 };
        size_t len = cases[i].len != 0 ? cases[i].len : strlen(cases[i].text);
        assert_int_equal(io_yaml_parse("f", cases[i].text, len, NULL, &doc, &err), cases[i].code);
        if (strstr(err.text, cases[i].message) == NULL)
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].message);
        assert_null(doc);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct io_yaml_limits limits = { .bytes = 64, .depth = 3, .nodes = 8 };
    static const struct {
        const char *text;
        const char *message; /* NULL: accepted */
    } cases[] = {
        { "[[1]]", NULL },
        { "[[[1]]]", "f:1:4: more than 3 levels of nesting" },
        { "[[[]]]", NULL },
        { "[[[[]]]]", "f:1:4: more than 3 levels of nesting" },
        { "[1,2,3,4,5,6,7]", NULL },
        { "[1,2,3,4,5,6,7,8]", "f:1:16: more than 8 values" },
        { "0123456789012345678901234567890123456789012345678901234567890123", NULL },
        { "01234567890123456789012345678901234567890123456789012345678901234",
          "f: has 65 bytes, more than 64" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct io_yaml *doc = NULL;
        struct osa_error err = { 0 };
        enum osa_code code =
            io_yaml_parse("f", cases[i].text, strlen(cases[i].text), &limits, &doc, &err);
        assert_int_equal(code, cases[i].message == NULL ? OSA_OK : OSA_RESOURCE_EXHAUSTED);
        if (cases[i].message != NULL)
            assert_string_equal(err.text, cases[i].message);
        io_yaml_free(doc);
    }
}

/* What must stay quick and small: nesting to the bound of bytes, and very many keys. */
static void test_hostile_sizes(void **state)
{
    (void)state;
    struct osa_error err = { 0 };
    struct io_yaml *doc = NULL;
    struct osa_buf buf;
    osa_buf_init(&buf, 1u << 20);
    memset(osa_buf_reserve(&buf, 100000), '[', 100000);
    assert_int_equal(io_yaml_parse("f", buf.data, 100000, NULL, &doc, &err),
                     OSA_RESOURCE_EXHAUSTED);

    osa_buf_reset(&buf);
    for (unsigned i = 0; i < 30000; i++)
        assert_true(osa_buf_addf(&buf, "k%u: 1\n", i));
    assert_int_equal(io_yaml_parse("f", buf.data, buf.len, NULL, &doc, &err), OSA_OK);
    assert_int_equal(io_yaml_root(doc)->count, 30000);
    io_yaml_free(doc);
    doc = NULL;
    assert_true(osa_buf_addf(&buf, "k17: 2\n"));
    assert_int_equal(io_yaml_parse("f", buf.data, buf.len, NULL, &doc, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "f:30001:1: key 'k17' is here twice, first in line 18");
    osa_buf_done(&buf);
}

static void test_typed(void **state)
{
    (void)state;
    struct io_yaml *doc = parse("t: true\nf: False\nq: 'true'\nyes: yes\nn: 42\nh: 0x1F\no: 0o17\n"
                                "neg: -7\nbig: 9223372036854775808\nspace: ' 1'\ns: ~\nl: []\n"
                                "float: 1.0\ntwo: --1\n");
    const struct io_yaml_node *root = io_yaml_root(doc);
    struct osa_error err = { 0 };
    bool flag = false;
    int64_t number = 0;
    const char *text = NULL;
    assert_int_equal(io_yaml_bool(doc, io_yaml_get(root, "t"), &flag, &err), OSA_OK);
    assert_true(flag);
    assert_int_equal(io_yaml_bool(doc, io_yaml_get(root, "f"), &flag, &err), OSA_OK);
    assert_false(flag);
    assert_int_equal(io_yaml_bool(doc, io_yaml_get(root, "q"), &flag, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "f:3:4: q: must be true or false");
    assert_int_equal(io_yaml_bool(doc, io_yaml_get(root, "yes"), &flag, &err),
                     OSA_INVALID_ARGUMENT);

    static const struct {
        const char *key;
        int64_t value;
    } good[] = { { "n", 42 }, { "h", 31 }, { "o", 15 }, { "neg", -7 } };
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        assert_int_equal(io_yaml_i64(doc, io_yaml_get(root, good[i].key), -100, 100, &number, &err),
                         OSA_OK);
        assert_int_equal(number, good[i].value);
    }
    static const struct {
        const char *key;
        const char *message;
    } bad[] = {
        { "neg", "f:8:6: neg: '-7' is out of range: 0 to 100" },
        { "big", "f:9:6: big: '9223372036854775808' is out of range: 0 to 100" },
        { "space", "f:10:8: space: must be a whole number" },
        { "l", "f:12:4: l: must be a whole number" },
        { "float", "f:13:8: float: must be a whole number" },
        { "two", "f:14:6: two: must be a whole number" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        assert_int_equal(io_yaml_i64(doc, io_yaml_get(root, bad[i].key), 0, 100, &number, &err),
                         OSA_INVALID_ARGUMENT);
        assert_string_equal(err.text, bad[i].message);
    }
    assert_int_equal(io_yaml_string(doc, io_yaml_get(root, "q"), &text, &err), OSA_OK);
    assert_string_equal(text, "true");
    assert_int_equal(io_yaml_string(doc, io_yaml_get(root, "s"), &text, &err),
                     OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "f:11:4: s: must be a string");
    io_yaml_free(doc);
}

static void test_load(void **state)
{
    (void)state;
    struct io_yaml *doc = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(io_yaml_load("/nonexistent/x.yaml", NULL, &doc, &err), OSA_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/x.yaml"));
    assert_null(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_and_positions),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_typed),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
