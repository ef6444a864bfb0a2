// SPDX-License-Identifier: Apache-2.0
/* What is shown, without what is hidden: in a tree of its own below /tmp. */
#include "backends/process/carve.h"
#include "base/macros.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64];

static const char *at(const char *name)
{
    static char paths[16][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 16];
    (void)snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

static const char *const dirs[] = { "a", "a/b", "a/b/c", "d" };
static const char *const files[] = { "a/one", "a/b/two", "a/b/c/three", "d/four" };

static int make_tree(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof(top), "/tmp/osa-carve-XXXXXX");
    if (mkdtemp(top) == NULL)
        return -1;
    for (size_t i = 0; i < OSA_ARRAY_LEN(dirs); i++)
        if (mkdir(at(dirs[i]), 0755) < 0)
            return -1;
    for (size_t i = 0; i < OSA_ARRAY_LEN(files); i++) {
        int fd = open(at(files[i]), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0 || close(fd) < 0)
            return -1;
    }
    return symlink("/etc", at("a/link"));
}

static int remove_tree(void **state)
{
    (void)state;
    (void)unlink(at("a/link"));
    for (size_t i = 0; i < OSA_ARRAY_LEN(files); i++)
        (void)unlink(at(files[i]));
    for (size_t i = OSA_ARRAY_LEN(dirs); i-- > 0;)
        (void)rmdir(at(dirs[i]));
    return rmdir(top);
}

/* @expected: separated by spaces, relative to the tree, in any order. */
static void assert_carved(const char *shown, const char *hidden, const char *expected)
{
    struct carved carved = { 0 };
    struct osa_error err = { 0 };
    const struct policy_path path = { .path = at(shown) };
    const char *const hide[] = { at(hidden), NULL };
    char words[256];
    size_t count = 0;
    assert_int_equal(carve_paths(&path, 1, hide, &carved, &err), OSA_OK);
    (void)snprintf(words, sizeof(words), "%s", expected);
    char *rest = words;
    for (char *word = strsep(&rest, " "); word != NULL && *word != '\0';
         word = strsep(&rest, " ")) {
        bool found = false;
        for (size_t i = 0; i < carved.count; i++)
            found |= strcmp(carved.items[i].path, at(word)) == 0;
        if (!found)
            fail_msg("%s without %s lacks %s", shown, hidden, word);
        count++;
    }
    assert_int_equal(carved.count, count);
    carved_done(&carved);
}

static void test_what_lies_beside(void **state)
{
    (void)state;
    assert_carved("a", "a/b/c/three", "a/one a/b/two"); /* not the link: /etc is not shown */
    assert_carved("a", "a/b", "a/one");
    assert_carved("a", "a/b/two", "a/one a/b/c");
    assert_carved("a", "a/not-yet", "a/one a/b");
    assert_carved("a", "d/four", "a");
    assert_carved("a/b", "a/b", "");
    assert_carved("a/b/two", "a/b", "");
    assert_carved("a/one", "a/on", "a/one");
    assert_carved("missing", "a/one", "missing");
}

static void test_shown_through_a_link(void **state)
{
    (void)state;
    struct carved carved = { 0 };
    assert_int_equal(symlink("a", at("alias")), 0);
    const struct policy_path path = { .path = at("alias") };
    const char *const hide[] = { at("a/b"), NULL };
    assert_int_equal(carve_paths(&path, 1, hide, &carved, NULL), OSA_OK);
    (void)unlink(at("alias"));
    assert_int_equal(carved.count, 1);
    assert_string_equal(carved.items[0].path, at("a/one"));
    carved_done(&carved);
}

static void test_writable_ones_stay_and_are_found(void **state)
{
    (void)state;
    struct carved carved = { 0 };
    const struct policy_path paths[] = { { .path = at("d") },
                                         { .path = at("a"), .writable = true } };
    const char *const hide[] = { at("a/b/two"), NULL };
    const char *const other[] = { at("d/four"), NULL };
    const char *const above[] = { top, NULL };
    const char *shown = NULL;
    assert_int_equal(carve_paths(paths, 2, hide, &carved, NULL), OSA_OK);
    assert_int_equal(carved.count, 2);
    carved_done(&carved);
    assert_string_equal(carve_find(paths, 2, hide, &shown), hide[0]);
    assert_string_equal(shown, paths[1].path);
    assert_null(carve_find(paths, 2, other, &shown));
    assert_string_equal(carve_find(paths, 2, above, &shown), top);
    assert_null(carve_find(paths, 2, NULL, &shown));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_lies_beside, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_shown_through_a_link, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_writable_ones_stay_and_are_found, make_tree,
                                        remove_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
