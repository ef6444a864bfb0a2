// SPDX-License-Identifier: Apache-2.0
#include "tar/pack.h"

#include "tar/unpack.h"
#include "tar_build.h"
#include "unit/tar/tree.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Pack @item of inside in pieces of @piece. */
static enum osa_code pack(const char *item, const char *name, size_t piece, struct osa_buf *ret,
                          struct osa_error *err)
{
    int fd = open(inside, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    struct tar_pack *p = tar_pack_new(fd, item, name);
    assert_non_null(p);
    build_init(ret);
    *err = (struct osa_error){ 0 };
    size_t len = 1;
    enum osa_code code = OSA_OK;
    while (code == OSA_OK && len > 0) {
        char *room = osa_buf_reserve(ret, piece);
        assert_non_null(room);
        code = tar_pack_read(p, room, piece, &len, err);
        ret->len += len;
    }
    if (code != OSA_OK) {
        struct osa_error again = { 0 };
        char byte;
        assert_int_equal(tar_pack_read(p, &byte, 1, &len, &again), code);
        assert_string_equal(again.text, err->text);
        assert_int_equal(len, 0);
    }
    tar_pack_free(p);
    (void)close(fd);
    return code;
}

static void expect_refused(const char *item, enum osa_code code, const char *why)
{
    struct osa_buf tar;
    struct osa_error err;
    enum osa_code got = pack(item, "x", 4096, &tar, &err);
    if (got != code || strstr(err.text, why) == NULL)
        fail_msg("%s: '%s', not %s '%s'", osa_code_name(got), err.text, osa_code_name(code), why);
    osa_buf_done(&tar);
}

/* Unpack into outside. */
static void unpack(const struct osa_buf *tar)
{
    struct osa_error err = { 0 };
    int fd = open(outside, O_RDONLY | O_DIRECTORY);
    struct tar_unpack *u = tar_unpack_new(&(struct tar_unpack_options){ .dir_fd = fd });
    assert_non_null(u);
    if (tar_unpack_feed(u, tar->data, tar->len, &err) != OSA_OK ||
        tar_unpack_finish(u, &err) != OSA_OK)
        fail_msg("%s", err.text);
    tar_unpack_free(u);
    (void)close(fd);
}

static void set_time(const char *path, time_t seconds)
{
    const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void same(const char *name)
{
    struct stat a = tree_stat(tree_path(inside, name));
    struct stat b = tree_stat(tree_path(outside, name));
    assert_int_equal(a.st_mode, b.st_mode);
    assert_int_equal(a.st_mtime, b.st_mtime);
    if (!S_ISDIR(a.st_mode))
        assert_int_equal(a.st_size, b.st_size);
}

/* Names of 1 to 255 bytes, in paths that ustar holds whole, parted, and not at all. */
static void test_round_trip(void **state)
{
    static const size_t lengths[] = { 1, 50, 90, 94, 95, 96, 100, 150, 200, 255 };
    struct osa_buf tar;
    struct osa_error err;
    char path[600];
    (void)state;
    assert_int_equal(mkdir(tree_path(inside, "t"), 0751), 0);
    assert_int_equal(mkdir(tree_path(inside, "t/empty"), 0700), 0);
    for (size_t i = 0; i < OSA_ARRAY_LEN(lengths); i++) {
        int at = snprintf(path, sizeof(path), "t/%0*d", (int)lengths[i], (int)i);
        assert_int_equal(mkdir(tree_path(inside, path), 0755), 0);
        for (size_t k = 0; k < OSA_ARRAY_LEN(lengths); k++) {
            (void)snprintf(path + at, sizeof(path) - (size_t)at, "/%0*d", (int)lengths[k], (int)k);
            tree_put(tree_path(inside, path), "text");
            set_time(tree_path(inside, path), (time_t)(i * 1000 + k));
        }
    }
    tree_put(tree_path(inside, "t/file"), "hello");
    assert_int_equal(chmod(tree_path(inside, "t/file"), 0640), 0);
    set_time(tree_path(inside, "t/file"), -5);
    assert_int_equal(link(tree_path(inside, "t/file"), tree_path(inside, "t/second")), 0);
    tree_put(tree_path(inside, "t/caf\xe9"), "not UTF-8");
    memset(path, 'l', 500);
    path[500] = '\0';
    assert_int_equal(symlink(path, tree_path(inside, "t/link")), 0);
    set_time(tree_path(inside, "t/link"), 77);
    assert_int_equal(pack("t", "t", 4096, &tar, &err), OSA_OK);
    unpack(&tar);
    same("t");
    same("t/empty");
    same("t/file");
    same("t/second");
    same("t/link");
    same("t/caf\xe9");
    assert_int_equal(tree_stat(tree_path(outside, "t/file")).st_ino,
                     tree_stat(tree_path(outside, "t/second")).st_ino);
    for (size_t i = 0; i < OSA_ARRAY_LEN(lengths); i++) {
        int at = snprintf(path, sizeof(path), "t/%0*d", (int)lengths[i], (int)i);
        for (size_t k = 0; k < OSA_ARRAY_LEN(lengths); k++) {
            (void)snprintf(path + at, sizeof(path) - (size_t)at, "/%0*d", (int)lengths[k], (int)k);
            same(path);
        }
    }
    assert_int_equal(tar.len % 512, 0);
    for (size_t piece = 1; piece < 2000; piece += 511) { /* the same in whatever pieces */
        struct osa_buf again;
        assert_int_equal(pack("t", "t", piece, &again, &err), OSA_OK);
        assert_int_equal(again.len, tar.len);
        assert_memory_equal(again.data, tar.data, tar.len);
        osa_buf_done(&again);
    }
    osa_buf_done(&tar);
}

static void test_single_things(void **state)
{
    struct osa_buf tar;
    struct osa_error err;
    (void)state;
    tree_put(tree_path(inside, "file"), "hello");
    assert_int_equal(symlink("file", tree_path(inside, "link")), 0);
    assert_int_equal(mkdir(tree_path(inside, "dir"), 0755), 0);
    tree_put(tree_path(inside, "dir/f"), "f");
    assert_int_equal(symlink("dir", tree_path(inside, "way")), 0);
    assert_int_equal(pack("file", "renamed", 4096, &tar, &err), OSA_OK);
    assert_int_equal(tar.len, 4 * 512);
    assert_string_equal(tar.data, "renamed");
    osa_buf_done(&tar);
    assert_int_equal(pack("link", "link", 4096, &tar, &err), OSA_OK); /* itself */
    assert_int_equal(tar.data[156], '2');
    assert_string_equal(tar.data + 157, "file");
    osa_buf_done(&tar);
    assert_int_equal(pack("way/.", "way", 4096, &tar, &err), OSA_OK); /* where it leads */
    assert_string_equal(tar.data, "way/");
    assert_string_equal(tar.data + 512, "way/f");
    osa_buf_done(&tar);
    assert_int_equal(pack(".", ".", 4096, &tar, &err), OSA_OK);
    assert_string_equal(tar.data, "./");
    unpack(&tar);
    same("dir/f");
    osa_buf_done(&tar);
}

static void test_refused(void **state)
{
    (void)state;
    tree_put(tree_path(inside, "file"), "hello");
    expect_refused("missing", OSA_NOT_FOUND, "'x' cannot be read: No such file or directory");
    expect_refused("file/.", OSA_FAILED_PRECONDITION, "'x' cannot be read: Not a directory");
    assert_int_equal(mkdir(tree_path(inside, "d"), 0755), 0);
    assert_int_equal(mkfifo(tree_path(inside, "d/fifo"), 0600), 0);
    expect_refused("d", OSA_FAILED_PRECONDITION, "'x/fifo' is a named pipe, which is not packed");
    assert_int_equal(unlink(tree_path(inside, "d/fifo")), 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", tree_path(inside, "d/sock"));
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(sock, (const struct sockaddr *)&address, sizeof(address)), 0);
    expect_refused("d", OSA_FAILED_PRECONDITION, "'x/sock' is a socket");
    (void)close(sock);
}

static void test_deep(void **state)
{
    struct osa_buf tar;
    struct osa_error err;
    (void)state;
    int fd = open(inside, O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i <= TAR_DEPTH_MAX; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        (void)close(fd);
        fd = next;
        if (i != TAR_DEPTH_MAX - 1)
            continue;
        assert_int_equal(pack("d", "d", 65536, &tar, &err), OSA_OK);
        osa_buf_done(&tar);
    }
    (void)close(fd);
    expect_refused("d", OSA_INVALID_ARGUMENT, "lies too deep: at most 256 directories");
}

/* A file that shrinks is not padded into something that it never was; one that grows is cut. */
static void test_changing_file(void **state)
{
    struct osa_error err = { 0 };
    char chunk[600];
    size_t len;
    (void)state;
    for (unsigned grows = 0; grows < 2; grows++) {
        tree_put(tree_path(inside, "file"), "0123456789");
        int fd = open(inside, O_RDONLY | O_DIRECTORY);
        struct tar_pack *p = tar_pack_new(fd, "file", "file");
        assert_int_equal(tar_pack_read(p, chunk, 512, &len, &err), OSA_OK);
        assert_int_equal(truncate(tree_path(inside, "file"), grows ? 100 : 4), 0);
        if (grows) {
            assert_int_equal(tar_pack_read(p, chunk, 512, &len, &err), OSA_OK);
            assert_memory_equal(chunk, "0123456789\0", 12);
        } else {
            assert_int_equal(tar_pack_read(p, chunk, 512, &len, &err), OSA_ABORTED);
            assert_non_null(strstr(err.text, "'file' became 6 bytes shorter"));
        }
        tar_pack_free(p);
        (void)close(fd);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip), TEST(test_single_things), TEST(test_refused),
        TEST(test_deep),       TEST(test_changing_file),
    };
    (void)umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
