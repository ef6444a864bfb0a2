// SPDX-License-Identifier: Apache-2.0
#include "tar/read.h"

#include "tar_build.h"

#include <stdlib.h>

/* What the reader has told, as text: "T path>link mode mtime.ns size:data;" */
struct log {
    struct tar_sink sink;
    struct osa_buf text;
    unsigned entries;
    unsigned ends;
};

static enum osa_code on_entry(struct tar_sink *sink, const struct tar_entry *e,
                              struct osa_error *err)
{
    struct log *log = (struct log *)sink;
    (void)err;
    log->entries++;
    assert_true(log->entries == log->ends + 1);
    assert_true(osa_buf_addf(&log->text, "%u %.40s>%.40s %o %lld.%u %llu:", (unsigned)e->type,
                             e->path, e->link, e->mode, (long long)e->mtime_s, e->mtime_ns,
                             (unsigned long long)e->size));
    return OSA_OK;
}

static enum osa_code on_data(struct tar_sink *sink, const void *data, size_t len,
                             struct osa_error *err)
{
    (void)err;
    assert_true(osa_buf_add(&((struct log *)sink)->text, data, len));
    return OSA_OK;
}

static enum osa_code on_end(struct tar_sink *sink, struct osa_error *err)
{
    struct log *log = (struct log *)sink;
    (void)err;
    log->ends++;
    assert_true(osa_buf_add(&log->text, ";", 1));
    return OSA_OK;
}

static void log_init(struct log *log)
{
    *log = (struct log){ .sink = { .entry = on_entry, .data = on_data, .end = on_end } };
    osa_buf_init(&log->text, BUILD_MAX);
}

/* Feed @len bytes in pieces of @piece and finish. */
static enum osa_code read_all(struct log *log, const void *data, size_t len, size_t piece,
                              struct osa_error *err)
{
    struct tar_reader *reader = tar_reader_new(&log->sink);
    assert_non_null(reader);
    enum osa_code code = OSA_OK;
    for (size_t at = 0; at < len && code == OSA_OK; at += piece)
        code = tar_reader_feed(reader, (const char *)data + at, OSA_MIN(piece, len - at), err);
    if (code != OSA_OK) { /* what failed stays failed */
        struct osa_error again = { 0 };
        assert_int_equal(tar_reader_finish(reader, &again), code);
        assert_string_equal(again.text, err->text);
        assert_int_equal(tar_reader_feed(reader, "x", 1, &again), code);
    } else {
        code = tar_reader_finish(reader, err);
    }
    tar_reader_free(reader);
    return code;
}

static void expect(struct osa_buf *tar, const char *text)
{
    static const size_t pieces[] = { 1, 7, 512, 513, 1u << 20 };
    for (size_t i = 0; i < OSA_ARRAY_LEN(pieces); i++) {
        struct log log;
        struct osa_error err = { 0 };
        log_init(&log);
        enum osa_code code = read_all(&log, tar->data, tar->len, pieces[i], &err);
        if (code != OSA_OK)
            fail_msg("%s", err.text);
        assert_string_equal(log.text.len == 0 ? "" : log.text.data, text);
        assert_int_equal(log.ends, log.entries);
        osa_buf_done(&log.text);
    }
    osa_buf_done(tar);
}

static void expect_refused(struct osa_buf *tar, const char *why)
{
    struct log log;
    struct osa_error err = { 0 };
    log_init(&log);
    assert_int_equal(read_all(&log, tar->data, tar->len, 100, &err), OSA_INVALID_ARGUMENT);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, err.text);
    osa_buf_done(&log.text);
    osa_buf_done(tar);
}

static void test_plain(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "dir/", .type = '5', .mode = "0004755" });
    build_member(&tar, (struct member){ .name = "dir/file", .data = "hello" });
    build_member(&tar, (struct member){ .name = "dir/link", .type = '2', .link = "file" });
    build_member(&tar, (struct member){ .name = "hard", .type = '1', .link = "dir/file" });
    build_member(&tar, (struct member){ .name = "empty" });
    build_end(&tar);
    assert_true(osa_buf_add(&tar, "what follows the end mark", 25));
    expect(&tar, "5 dir/> 4755 1000.0 0:;0 dir/file> 644 1000.0 5:hello;"
                 "2 dir/link>file 644 1000.0 0:;1 hard>dir/file 644 1000.0 0:;"
                 "0 empty> 644 1000.0 0:;");
}

static void test_dialects(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_init(&tar);
    /* pax: path, link, size, times before and after 1970; what is not known is left alone */
    build_member(&tar, (struct member){ .name = "g", .type = 'g', .data = "19 comment=nothing\n" });
    build_member(&tar, (struct member){ .name = "x",
                                        .type = 'x',
                                        .data = "17 path=long/one\n16 mtime=-12.25\n"
                                                "9 size=3\n29 SCHILY.xattr.user.a=value\n" });
    build_member(&tar, (struct member){ .name = "short", .data = "abc", .size = "00000000000" });
    build_member(&tar, (struct member){ .name = "x",
                                        .type = 'x',
                                        .data = "19 linkpath=a long\n24 mtime=7.123456789999\n"
                                                "9 path=b\n" });
    build_member(&tar, (struct member){ .name = "short", .type = '2', .link = "no" });
    /* GNU: K and L, with the NUL that they count */
    build_member(&tar, (struct member){
                           .name = "././@LongLink", .type = 'K', .data = "target", .data_len = 7 });
    build_member(&tar, (struct member){
                           .name = "././@LongLink", .type = 'L', .data = "name", .data_len = 5 });
    build_member(&tar, (struct member){ .name = "short", .type = '2', .link = "no" });
    /* before POSIX: a directory by its slash; "contiguous" files */
    build_member(&tar, (struct member){ .name = "old/" });
    build_member(&tar, (struct member){ .name = "seven", .type = '7', .data = "7" });
    build_end(&tar);
    expect(&tar, "0 long/one> 644 -13.750000000 3:abc;2 b>a long 644 7.123456789 0:;"
                 "2 name>target 644 1000.0 0:;5 old/> 644 1000.0 0:;0 seven> 644 1000.0 1:7;");
}

static void test_prefix(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_one(&tar, (struct member){ .name = "name" });
    memcpy(tar.data + 345, "pre/fix", 7);
    build_seal(tar.data);
    expect(&tar, "0 pre/fix/name> 644 1000.0 0:;");
    build_one(&tar, (struct member){ .name = "name" }); /* GNU's magic: other things are there */
    memcpy(tar.data + 345, "pre/fix", 7);
    memcpy(tar.data + 257, "ustar  ", 8);
    build_seal(tar.data);
    expect(&tar, "0 name> 644 1000.0 0:;");
}

static void test_numbers(void **state)
{
    static const struct {
        char size[13];
        bool good;
        const char *text;
    } cases[] = {
        { "          3\0", true, "0 f> 644 1000.0 3:abc;" },
        { "3 \0\0\0\0\0\0\0\0\0", true, "0 f> 644 1000.0 3:abc;" },
        { "\x80\0\0\0\0\0\0\0\0\0\0\x03", true, "0 f> 644 1000.0 3:abc;" },
        { "-1\0", false, "malformed, negative" },
        { "9\0", false, "malformed, negative" },
        { "3x\0", false, "malformed, negative" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false, "negative" },
        { "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", false, "too large" },
        { "\x80\x01\0\0\0\0\0\0\0\0\0\0", false, "too large" },
        { "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", false, "too large" },
        { "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xfd\xff", false, "inside of 'f'" },
        { "777777777777", false, "inside of 'f'" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct osa_buf tar;
        build_one(&tar, (struct member){ .name = "f", .data = "abc" });
        memcpy(tar.data + 124, cases[i].size, 12);
        build_seal(tar.data);
        if (cases[i].good)
            expect(&tar, cases[i].text);
        else
            expect_refused(&tar, cases[i].text);
    }
    struct osa_buf tar; /* times may be negative */
    build_one(&tar, (struct member){ .name = "f" });
    memset(tar.data + 136, 0xff, 12);
    build_seal(tar.data);
    expect(&tar, "0 f> 644 -1.0 0:;");
}

static void test_signed_checksum(void **state)
{
    struct osa_buf tar;
    int sum = 0;
    (void)state;
    build_one(&tar, (struct member){ .name = "\xfc" });
    memset(tar.data + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        sum += (signed char)tar.data[i];
    (void)snprintf(tar.data + 148, 8, "%06o", (unsigned)sum);
    expect(&tar, "0 \xfc> 644 1000.0 0:;");
}

/* Whatever is missing at the end is noticed. */
static void test_truncated(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_init(&tar);
    build_member(&tar, (struct member){ .name = "x", .type = 'x', .data = "9 path=b\n" });
    build_member(&tar, (struct member){ .name = "a", .data = "hello" });
    size_t members = tar.len;
    build_end(&tar);
    for (size_t len = 0; len <= tar.len; len++) {
        struct log log;
        struct osa_error err = { 0 };
        log_init(&log);
        /* One block of the end mark is enough to know that nothing is missing. */
        bool whole = len == members + 512 || len == tar.len;
        assert_int_equal(read_all(&log, tar.data, len, 4096, &err),
                         whole ? OSA_OK : OSA_INVALID_ARGUMENT);
        if (!whole)
            assert_non_null(strstr(err.text, "missing"));
        osa_buf_done(&log.text);
    }
    osa_buf_done(&tar);
}

static void test_malformed(void **state)
{
    static const struct {
        struct member member;
        const char *why;
    } cases[] = {
        { { .name = "f", .type = 'S' }, "'f' is of a kind that is not supported (type flag 0x53)" },
        { { .name = "f", .type = 'M' }, "not supported" },
        { { .name = "a\nb\x1b[31m", .type = 'V' }, "'a\\x0ab\\x1b[31m' is of a kind" },
        { { .name = "x", .type = 'x', .data = "11 path=b\n" }, "extended header is malformed" },
        { { .name = "x", .type = 'x', .data = "8 path=b\n" }, "extended header is malformed" },
        { { .name = "x", .type = 'x', .data = "-9 path=b\n" }, "extended header is malformed" },
        { { .name = "x", .type = 'x', .data = "99999999999999999999 path=b\n" }, "malformed" },
        { { .name = "x", .type = 'x', .data = "0 path=b\n" }, "malformed" },
        { { .name = "x", .type = 'x', .data = "5 =b\n" }, "malformed" },
        { { .name = "x", .type = 'x', .data = "7 path\n" }, "malformed" },
        { { .name = "x", .type = 'x', .data = "9 path=\0\n", .data_len = 9 }, "NUL byte" },
        { { .name = "x", .type = 'x', .data = "11 size=-1\n" }, "malformed size or time" },
        { { .name = "x", .type = 'x', .data = "28 size=9223372036854775807\n" }, "malformed size" },
        { { .name = "x", .type = 'x', .data = "12 mtime=1x\n" }, "malformed size or time" },
        { { .name = "x", .type = 'x', .data = "22 GNU.sparse.major=1\n" }, "sparse files" },
        { { .name = "g", .type = 'g', .data = "9 path=b\n" }, "global header" },
        { { .name = "x", .type = 'x', .size = "00004000001" }, "1048577 bytes; at most 1048576" },
        { { .name = "L", .type = 'L', .size = "77777777777" }, "at most 1048576" },
        { { .name = "x", .type = 'x', .data = "9 path=b\n" }, "followed by no entry" },
    };
    (void)state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct osa_buf tar;
        build_one(&tar, cases[i].member);
        expect_refused(&tar, cases[i].why);
    }
}

static void test_not_an_archive(void **state)
{
    struct osa_buf tar;
    (void)state;
    build_one(&tar, (struct member){ .name = "f" });
    tar.data[0] = 'g';
    expect_refused(&tar, "not a tar archive");
    build_init(&tar);
    for (unsigned i = 0; i < 100; i++)
        assert_true(osa_buf_add(&tar, "#!/bin/sh\n", 10));
    expect_refused(&tar, "not a tar archive");
    build_one(&tar, (struct member){ .name = "f" });
    tar.len -= 512;
    build_member(&tar, (struct member){ .name = "g" });
    expect_refused(&tar, "half of an end mark");
}

/* Extended headers cannot be stacked, and a long path is refused before it is believed. */
static void test_bombs(void **state)
{
    static const char types[] = "xLK";
    struct osa_buf tar;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct member m = { "x", .type = types[i], .data = "9 path=b\n" };
        build_init(&tar);
        build_member(&tar, m);
        build_member(&tar, m);
        expect_refused(&tar, "two extended headers of one kind");
    }
    static char name[5000];
    memset(name, 'n', sizeof(name) - 1);
    build_one(&tar, (struct member){ .name = "L", .type = 'L', .data = name });
    expect_refused(&tar, "a path of more than 4095 bytes");
}

/* A million entries cost time, not memory: the reader keeps none of them. */
static void test_million(void **state)
{
    enum { EACH = 1000, ROUNDS = 1000 };
    struct osa_buf block;
    struct log log;
    struct osa_error err = { 0 };
    (void)state;
    log_init(&log);
    build_init(&block);
    for (unsigned i = 0; i < EACH; i++)
        build_member(&block, (struct member){ .name = "d/", .type = '5' });
    struct tar_reader *reader = tar_reader_new(&log.sink);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(tar_reader_feed(reader, block.data, block.len, &err), OSA_OK);
        osa_buf_reset(&log.text);
    }
    assert_int_equal(log.entries, EACH * ROUNDS);
    tar_reader_free(reader);
    osa_buf_done(&log.text);
    osa_buf_done(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),           cmocka_unit_test(test_dialects),
        cmocka_unit_test(test_prefix),          cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_signed_checksum), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_malformed),       cmocka_unit_test(test_not_an_archive),
        cmocka_unit_test(test_bombs),           cmocka_unit_test(test_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
