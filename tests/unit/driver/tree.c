// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/fd.h"
#include "driver/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/osa-tree-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder); /* a test left nothing */
}

static const char *in(const char *name)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name, size_t len)
{
    static const char zeros[8192];
    int fd = open(in(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
    assert_true(fd >= 0 && len <= sizeof(zeros));
    assert_int_equal(osa_write_all(fd, zeros, len), 0);
    (void)close(fd);
}

static void test_nothing_is_fine(void **state)
{
    (void)state;
    struct osa_error err = { 0 };
    assert_int_equal(tree_remove(in("absent"), &err), OSA_OK);
}

/* What cannot be entered is opened up, and no link is followed. */
static void test_everything_goes_but_what_links_name(void **state)
{
    (void)state;
    struct osa_error err = { 0 };
    make_file("outside", 1);
    assert_int_equal(mkdir(in("tree"), 0700), 0);
    assert_int_equal(mkdir(in("tree/closed"), 0700), 0);
    make_file("tree/closed/file", 10);
    assert_int_equal(symlink("../../outside", in("tree/closed/link")), 0);
    assert_int_equal(symlink("..", in("tree/up")), 0);
    assert_int_equal(mkfifo(in("tree/fifo"), 0600), 0);
    assert_int_equal(chmod(in("tree/closed"), 0), 0);
    assert_int_equal(tree_remove(in("tree"), &err), OSA_OK);
    assert_int_equal(access(in("tree"), F_OK), -1);
    assert_int_equal(access(in("outside"), F_OK), 0);
    assert_int_equal(tree_remove(in("outside"), &err), OSA_OK);
}

/* Deeper than any path can name, and than there are descriptors for. */
static void test_deep(void **state)
{
    (void)state;
    struct osa_error err = { 0 };
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 5000; i++) {
        const char *name = i == 0 ? "deep" : i % 3 == 0 ? ".deep-0" : "directory";
        assert_int_equal(mkdirat(at, name, 0700), 0);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);
    assert_int_equal(tree_remove(in("deep"), &err), OSA_OK);
    assert_int_equal(access(in("deep"), F_OK), -1);
}

static void test_bytes(void **state)
{
    (void)state;
    struct osa_error err = { 0 };
    uint64_t before = 0;
    uint64_t bytes = 0;
    assert_int_equal(mkdir(in("size"), 0700), 0);
    assert_int_equal(tree_bytes(in("size"), &before, &err), OSA_OK);
    make_file("size/a", 8192);
    make_file("size/b", 8192);
    assert_int_equal(tree_bytes(in("size"), &bytes, &err), OSA_OK);
    assert_true(bytes >= before + 16384);
    assert_true(bytes < before + 65536);
    assert_int_equal(tree_remove(in("size"), &err), OSA_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_fine),
        cmocka_unit_test(test_everything_goes_but_what_links_name),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
