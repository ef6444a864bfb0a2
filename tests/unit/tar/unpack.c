// SPDX-License-Identifier: Apache-2.0
#include "tar/unpack.h"

#include "tar_build.h"
#include "unit/tar/tree.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

/* Unpack @tar, which is freed, below inside. */
static enum osa_code unpack_with(struct tar_unpack_options options, struct osa_buf *tar,
                                 struct osa_error *err)
{
    int fd = open(inside, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    options.dir_fd = fd;
    struct tar_unpack *u = tar_unpack_new(&options);
    assert_non_null(u);
    *err = (struct osa_error){ 0 };
    enum osa_code code = OSA_OK;
    for (size_t at = 0; code == OSA_OK && at < tar->len; at += 1000)
        code = tar_unpack_feed(u, tar->data + at, OSA_MIN((size_t)1000, tar->len - at), err);
    if (code == OSA_OK)
        code = tar_unpack_finish(u, err);
    tar_unpack_free(u);
    (void)close(fd);
    osa_buf_done(tar);
    return code;
}

static void expect(struct osa_buf *tar)
{
    struct osa_error err;
    if (unpack_with((struct tar_unpack_options){ 0 }, tar, &err) != OSA_OK)
        fail_msg("%s", err.text);
}

static void expect_refused(struct osa_buf *tar, enum osa_code code, const char *why)
{
    struct osa_error err;
    enum osa_code got = unpack_with((struct tar_unpack_options){ 0 }, tar, &err);
    if (got != code || strstr(err.text, why) == NULL)
        fail_msg("%s: '%s', not %s '%s'", osa_code_name(got), err.text, osa_code_name(code), why);
}

/* Nothing has come, gone or changed out there. */
static void expect_untouched(void)
{
    assert_int_equal(tree_count(outside), 1);
    assert_string_equal(tree_get(tree_path(outside, "secret")), "untouched");
    struct stat st = tree_stat(tree_path(outside, "secret"));
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(tree_stat(outside).st_mode & 07777, 0755);
}

static void test_tree(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "./", .type = '5', .mode = "0000700" });
    build_member(&tar, (struct member){ .name = "./dir/", .type = '5', .mode = "0000555" });
    build_member(&tar, (struct member){ .name = "./dir/file", .data = "hello", .mode = "0004751" });
    build_member(&tar,
                 (struct member){ .name = "dir/sub/deep/file", .data = "", .mode = "0000600" });
    build_member(&tar, (struct member){ .name = "dir/link", .type = '2', .link = "/no/where" });
    build_member(&tar, (struct member){ .name = "hard", .type = '1', .link = "./dir/file" });
    build_member(&tar, (struct member){ .name = "hardlink", .type = '1', .link = "dir/link" });
    build_end(&tar);
    expect(&tar);
    assert_int_equal(tree_stat(inside).st_mode & 07777, 0755); /* it was there */
    struct stat dir = tree_stat(tree_path(inside, "dir"));
    assert_int_equal(dir.st_mode & 07777, 0555);
    assert_int_equal(dir.st_mtime, 1000);
    struct stat file = tree_stat(tree_path(inside, "dir/file"));
    assert_int_equal(file.st_mode & 07777, 0751); /* without set-user-id */
    assert_int_equal(file.st_mtime, 1000);
    assert_string_equal(tree_get(tree_path(inside, "dir/file")), "hello");
    assert_int_equal(tree_stat(tree_path(inside, "hard")).st_ino, file.st_ino);
    assert_int_equal(tree_stat(tree_path(inside, "dir/sub")).st_mode & 07777, 0755);
    assert_int_equal(tree_stat(tree_path(inside, "dir/sub/deep/file")).st_mode & 07777, 0600);
    assert_true(S_ISLNK(tree_stat(tree_path(inside, "dir/link")).st_mode));
    assert_true(S_ISLNK(tree_stat(tree_path(inside, "hardlink")).st_mode));
}

static void test_mask(void **state)
{
    struct osa_buf tar;
    struct osa_error err;
    (void)state;
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "d/", .type = '5', .mode = "0000777" });
    build_member(&tar, (struct member){ .name = "d/f", .mode = "0000666" });
    build_end(&tar);
    assert_int_equal(unpack_with((struct tar_unpack_options){ .mask = 027 }, &tar, &err), OSA_OK);
    assert_int_equal(tree_stat(tree_path(inside, "d")).st_mode & 07777, 0750);
    assert_int_equal(tree_stat(tree_path(inside, "d/f")).st_mode & 07777, 0640);
}

/* What is there is replaced, never written through; directories stay what they are. */
static void test_over_what_is_there(void **state)
{
    struct osa_buf tar;
    (void)state;
    tree_put(tree_path(inside, "file"), "old");
    assert_int_equal(link(tree_path(inside, "file"), tree_path(inside, "other")), 0);
    assert_int_equal(symlink(tree_path(outside, "secret"), tree_path(inside, "link")), 0);
    assert_int_equal(mkdir(tree_path(inside, "dir"), 0711), 0);
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "file", .data = "new" });
    build_member(&tar, (struct member){ .name = "link", .data = "plain" });
    build_member(&tar, (struct member){ .name = "dir/", .type = '5', .mode = "0000700" });
    build_member(&tar, (struct member){ .name = "dir/file", .data = "x" });
    build_member(&tar, (struct member){ .name = "dir/file", .type = '2', .link = "y" });
    build_member(&tar, (struct member){ .name = "dir/file", .type = '1', .link = "file" });
    build_member(&tar, (struct member){ .name = "dir/file", .type = '1', .link = "dir/file" });
    build_end(&tar);
    expect(&tar);
    assert_string_equal(tree_get(tree_path(inside, "file")), "new");
    assert_string_equal(tree_get(tree_path(inside, "other")), "old");
    assert_string_equal(tree_get(tree_path(inside, "link")), "plain");
    assert_true(S_ISREG(tree_stat(tree_path(inside, "link")).st_mode));
    assert_int_equal(tree_stat(tree_path(inside, "dir")).st_mode & 07777, 0711);
    assert_string_equal(tree_get(tree_path(inside, "dir/file")), "new");
    expect_untouched();
}

static void test_paths_that_lead_out(void **state)
{
    static const char *const names[] = { "../out/new", "dir/../../out/new", "..",
                                         "a/..",       "./../out/new",      "dir/..",
                                         "a/../b" };
    struct osa_buf tar;
    char path[100];
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        build_one(&tar, (struct member){ .name = names[i], .data = "evil" });
        expect_refused(&tar, OSA_INVALID_ARGUMENT, "has a '..'");
        build_one(&tar, (struct member){ .name = names[i], .type = '5' });
        expect_refused(&tar, OSA_INVALID_ARGUMENT, "has a '..'");
        build_one(&tar, (struct member){ .name = "x", .type = '1', .link = names[i] });
        expect_refused(&tar, OSA_INVALID_ARGUMENT, "has a '..'");
    }
    (void)snprintf(path, sizeof(path), "%s/new", outside);
    build_one(&tar, (struct member){ .name = path, .data = "evil" });
    expect_refused(&tar, OSA_INVALID_ARGUMENT, "absolute path");
    (void)snprintf(path, sizeof(path), "%s/secret", outside);
    build_one(&tar, (struct member){ .name = "x", .type = '1', .link = path });
    expect_refused(&tar, OSA_INVALID_ARGUMENT, "absolute path");
    build_one(&tar, (struct member){ .name = "", .data = "evil" });
    expect_refused(&tar, OSA_INVALID_ARGUMENT, "'' is no name");
    build_one(&tar, (struct member){ .name = "./.", .data = "evil" });
    expect_refused(&tar, OSA_INVALID_ARGUMENT, "has no name");
    assert_int_equal(tree_count(inside), 0);
    expect_untouched();
}

/* A link is never a way: one of the archive, one that was there, one in the middle, for any kind. */
static void test_links_are_no_way(void **state)
{
    static const struct member through[] = {
        { .name = "way/new", .data = "evil" },
        { .name = "way/new/", .type = '5' },
        { .name = "way/sub/new", .data = "evil" },
        { .name = "way/new", .type = '2', .link = "evil" },
        { .name = "way/new", .type = '1', .link = "own" },
        { .name = "new", .type = '1', .link = "way/secret" },
    };
    static const char *const targets[] = { "../out", NULL /* absolute */ };
    struct osa_buf tar;
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(through); i++) {
        for (size_t k = 0; k < 4; k++) {
            const char *target = targets[k % 2] != NULL ? targets[k % 2] : outside;
            build_init(&tar);
            build_member(&tar, (struct member){ .name = "own", .data = "mine" });
            if (k < 2)
                build_member(&tar, (struct member){ .name = "way", .type = '2', .link = target });
            else
                assert_int_equal(symlink(target, tree_path(inside, "way")), 0);
            build_member(&tar, through[i]);
            build_end(&tar);
            expect_refused(&tar, OSA_FAILED_PRECONDITION, "leads through a symbolic link");
            assert_int_equal(unlink(tree_path(inside, "way")), 0);
            expect_untouched();
        }
    }
}

static void test_special_files(void **state)
{
    static const struct {
        char type;
        const char *why;
    } kinds[] = { { '3', "'dev/x' is a device" },
                  { '4', "'dev/x' is a device" },
                  { '6', "'dev/x' is a named pipe" } };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(kinds); i++) {
        struct osa_buf tar;
        build_one(&tar, (struct member){ .name = "dev/x", .type = kinds[i].type });
        expect_refused(&tar, OSA_INVALID_ARGUMENT, kinds[i].why);
    }
    assert_int_equal(tree_count(inside), 0);
}

static void test_what_stands_in_the_way(void **state)
{
    struct osa_buf tar;
    (void)state;
    tree_put(tree_path(inside, "file"), "old");
    assert_int_equal(mkdir(tree_path(inside, "dir"), 0755), 0);
    build_one(&tar, (struct member){ .name = "file/", .type = '5' });
    expect_refused(&tar, OSA_FAILED_PRECONDITION, "stands in the way of a directory");
    build_one(&tar, (struct member){ .name = "file/below" });
    expect_refused(&tar, OSA_FAILED_PRECONDITION, "a symbolic link or a file");
    build_one(&tar, (struct member){ .name = "dir" });
    expect_refused(&tar, OSA_FAILED_PRECONDITION, "would replace a directory");
    build_one(&tar, (struct member){ .name = "dir", .type = '2', .link = "x" });
    expect_refused(&tar, OSA_FAILED_PRECONDITION, "would replace a directory");
    build_one(&tar, (struct member){ .name = "dir", .type = '1', .link = "file" });
    expect_refused(&tar, OSA_FAILED_PRECONDITION, "would replace a directory");
    build_one(&tar, (struct member){ .name = "hard", .type = '1', .link = "missing" });
    expect_refused(&tar, OSA_INVALID_ARGUMENT, "hard link to what is not there");
    build_one(&tar, (struct member){ .name = "hard", .type = '1', .link = "dir" });
    expect_refused(&tar, OSA_PERMISSION_DENIED, "'hard' cannot be linked");
    assert_string_equal(tree_get(tree_path(inside, "file")), "old");
}

static void test_long_and_deep(void **state)
{
    static char name[TAR_PATH_MAX + 10];
    struct osa_buf tar;
    (void)state;
    memset(name, 'n', 256);
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "L", .type = 'L', .data = name });
    build_member(&tar, (struct member){ .name = "f" });
    build_end(&tar);
    expect_refused(&tar, OSA_INVALID_ARGUMENT, "cannot be made: File name too long");
    for (unsigned i = 0; i < TAR_DEPTH_MAX + 2; i++)
        memcpy(name + 2 * i, "d/", 3);
    for (unsigned more = 0; more < 2; more++) {
        name[2 * (TAR_DEPTH_MAX + more) + 1] = '\0';
        build_init(&tar);
        build_member(&tar, (struct member){ .name = "L", .type = 'L', .data = name });
        build_member(&tar, (struct member){ .name = "f", .data = "deep" });
        build_end(&tar);
        if (more == 0)
            expect(&tar);
        else
            expect_refused(&tar, OSA_INVALID_ARGUMENT, "at most 256 directories");
        name[2 * (TAR_DEPTH_MAX + more) + 1] = '/';
    }
}

/* A file that does not come whole is not left behind; what was whole is, and is told. */
static void test_half_a_file(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "ro/", .type = '5', .mode = "0000555" });
    build_member(&tar, (struct member){ .name = "ro/whole", .data = "whole" });
    build_member(&tar, (struct member){ .name = "ro/half", .data = "half", .size = "00000010000" });
    expect_refused(&tar, OSA_INVALID_ARGUMENT,
                   "after 2 entries: the archive ends inside of 'ro/half': 3584 bytes of it");
    assert_int_equal(tree_count(tree_path(inside, "ro")), 1);
    assert_string_equal(tree_get(tree_path(inside, "ro/whole")), "whole");
    assert_int_equal(tree_stat(tree_path(inside, "ro")).st_mode & 07777, 0555);
}

/* A full disk, played by the limit on file sizes. */
static void test_no_room(void **state)
{
    struct osa_buf tar;
    struct rlimit before;
    static char data[8192];
    (void)state;
    memset(data, 'd', sizeof(data) - 1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = { 4096, before.rlim_max };
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "small", .data = "s" });
    build_member(&tar, (struct member){ .name = "large", .data = data });
    build_end(&tar);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    expect_refused(&tar, OSA_RESOURCE_EXHAUSTED,
                   "after 1 entries: 'large' cannot be written: File too large");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(tree_count(inside), 1);
}

static void test_rename(void **state)
{
    struct osa_buf tar;
    struct osa_error err;
    const struct tar_unpack_options options = { .rename = "new name" };
    (void)state;
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "t/", .type = '5' });
    build_member(&tar, (struct member){ .name = "t/a", .data = "a" });
    build_member(&tar, (struct member){ .name = "./t/b", .type = '1', .link = "t/a" });
    build_end(&tar);
    assert_int_equal(unpack_with(options, &tar, &err), OSA_OK);
    assert_string_equal(tree_get(tree_path(inside, "new name/b")), "a");
    assert_int_equal(tree_count(inside), 1);
    static const char *const others[] = { "tt/a", "s", "./" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(others); i++) {
        build_init(&tar);
        build_member(&tar, (struct member){ .name = "t/", .type = '5' });
        build_member(&tar, (struct member){ .name = others[i], .type = '5' });
        build_end(&tar);
        assert_int_equal(unpack_with(options, &tar, &err), OSA_INVALID_ARGUMENT);
        assert_non_null(strstr(err.text, "is a second tree"));
    }
}

static void count_left_out(void *ctx, const char *path, const char *target)
{
    struct osa_buf *text = ctx;
    assert_true(osa_buf_addf(text, "%s>%s;", path, target));
}

static void test_inner_links(void **state)
{
    static const struct {
        const char *name;
        const char *target;
        bool stays;
    } cases[] = {
        { "a", "b", true },
        { "b", "d/e/../x", false },
        { "c", "./x/./y", true },
        { "e", "/etc/passwd", false },
        { "f", "..", false },
        { "g", "../x", false },
        { "d/a", "../x", true },
        { "d/b", "../../x", false },
        { "d/c", "..", true },
        { "d/e", "x/..", false },
        { "d/f/a", ".././../x", true },
        { "d/f/b", "../../..", false },
        { "h", "..x", true },
        { "i", "x/..y", true },
        { "d/g", "..//..", false },
    };
    struct osa_buf tar;
    struct osa_buf left_out;
    struct osa_error err;
    char wanted[100];
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        osa_buf_init(&left_out, 1000);
        build_one(&tar,
                  (struct member){ .name = cases[i].name, .type = '2', .link = cases[i].target });
        const struct tar_unpack_options options = { .inner_links = true,
                                                    .left_out = count_left_out,
                                                    .ctx = &left_out };
        assert_int_equal(unpack_with(options, &tar, &err), OSA_OK);
        struct stat st;
        bool there = lstat(tree_path(inside, cases[i].name), &st) == 0;
        if (there != cases[i].stays)
            fail_msg("%s > %s", cases[i].name, cases[i].target);
        (void)snprintf(wanted, sizeof(wanted), "%s>%s;", cases[i].name, cases[i].target);
        assert_string_equal(left_out.len == 0 ? "" : left_out.data, there ? "" : wanted);
        osa_buf_done(&left_out);
    }
}

/* ---- a race: somebody turns a directory into a link that leads out, and back ---- */

static atomic_bool race_ends;

static void *swap(void *ctx)
{
    (void)ctx;
    char dir[100];
    char aside[100];
    (void)snprintf(dir, sizeof(dir), "%s/d", inside);
    (void)snprintf(aside, sizeof(aside), "%s/aside", tree);
    while (!atomic_load(&race_ends)) {
        if (rename(dir, aside) == 0) {
            (void)!symlink(outside, dir);
            (void)unlink(dir);
            (void)rename(aside, dir);
        }
    }
    return NULL;
}

static void test_race(void **state)
{
    pthread_t thread;
    unsigned good = 0;
    unsigned refused = 0;
    (void)state;
    assert_int_equal(mkdir(tree_path(inside, "d"), 0755), 0);
    atomic_store(&race_ends, false);
    assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
    for (unsigned i = 0; i < 1000; i++) {
        struct osa_buf tar;
        struct osa_error err;
        build_init(&tar);
        build_member(&tar, (struct member){ .name = "d/new", .data = "evil" });
        build_member(&tar, (struct member){ .name = "top" });
        build_member(&tar, (struct member){ .name = "d/secret", .data = "evil" });
        build_end(&tar);
        bool whole = unpack_with((struct tar_unpack_options){ 0 }, &tar, &err) == OSA_OK;
        good += whole;
        refused += !whole;
    }
    atomic_store(&race_ends, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_untouched();
    assert_int_equal(good + refused, 1000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tree),
        TEST(test_mask),
        TEST(test_over_what_is_there),
        TEST(test_paths_that_lead_out),
        TEST(test_links_are_no_way),
        TEST(test_special_files),
        TEST(test_what_stands_in_the_way),
        TEST(test_long_and_deep),
        TEST(test_half_a_file),
        TEST(test_no_room),
        TEST(test_rename),
        TEST(test_inner_links),
        TEST(test_race),
    };
    (void)umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
