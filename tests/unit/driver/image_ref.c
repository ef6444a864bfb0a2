// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/fd.h"
#include "driver/image_ref.h"
#include "driver/tree.h"
#include "io/digest.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void test_digests(void **state)
{
    (void)state;
    assert_true(image_digest_is("sha256:" ZEROS));
    assert_false(image_digest_is(NULL));
    assert_false(image_digest_is(""));
    assert_false(image_digest_is("sha256:" ZEROS "0"));
    assert_false(image_digest_is("sha256:../" ZEROS));
    assert_false(image_digest_is("sha512:" ZEROS));
}

static void test_sources(void **state)
{
    (void)state;
    static const char *const insecure[] = { "127.0.0.1:5000" };
    struct driver_config config = { .image_layouts = "/srv/layouts" };
    config.image_insecure.items = (const char **)(uintptr_t)insecure;
    config.image_insecure.count = 1;
    static const struct {
        const char *image;
        const char *source;
        bool insecure;
    } good[] = {
        { "busybox", "docker://busybox", false },
        { "ghcr.io/a/b:tag", "docker://ghcr.io/a/b:tag", false },
        { "127.0.0.1:5000/a", "docker://127.0.0.1:5000/a", true },
        { "127.0.0.1:5001/a", "docker://127.0.0.1:5001/a", false },
        { "a@sha256:" ZEROS, "docker://a@sha256:" ZEROS, false },
        { "oci:base", "oci:/srv/layouts/base", false },
        { "oci:base:v1", "oci:/srv/layouts/base:v1", false },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        char source[2048];
        bool open = true;
        struct osa_error err = { 0 };
        assert_int_equal(image_source(&config, good[i].image, source, sizeof(source), &open, &err),
                         OSA_OK);
        assert_string_equal(source, good[i].source);
        assert_int_equal(open, good[i].insecure);
    }
    static const char *const bad[] = {
        "",     "-v",       "--help",  "/etc/passwd", "a b",         "dir:\n/x",  "a//b", "a;b",
        "oci:", "oci:../x", "oci:a/b", "oci:a:",      "oci:.hidden", "oci:a:b:c", "$(id)"
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        char source[2048];
        bool open;
        struct osa_error err = { 0 };
        assert_int_equal(image_source(&config, bad[i], source, sizeof(source), &open, &err),
                         OSA_INVALID_ARGUMENT);
        assert_string_equal(err.field, "image");
    }
}

/* ---- layouts ---- */

static char folder[64];

static void write_at(const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(osa_write_all(fd, text, strlen(text)), 0);
    (void)close(fd);
}

/* Writes a blob. Return: its digest, in storage of the two that alternate */
static const char *write_blob(const char *text)
{
    static char digests[2][IMAGE_DIGEST_BYTES];
    static unsigned turn;
    char *digest = digests[turn++ % 2];
    char name[128];
    uint8_t sum[IO_SHA256_SIZE];
    io_sha256(text, strlen(text), sum);
    (void)snprintf(digest, IMAGE_DIGEST_BYTES, "sha256:");
    for (size_t i = 0; i < sizeof(sum); i++)
        (void)snprintf(digest + 7 + 2 * i, 3, "%02x", sum[i]);
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
    write_at(name, text);
    return digest;
}

static const char *write_layout(const char *config)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "{\"config\":{\"digest\":\"%s\"},\"layers\":[]}",
                   write_blob(config));
    const char *manifest = write_blob(text);
    (void)snprintf(text, sizeof(text), "{\"manifests\":[{\"digest\":\"%s\"}]}", manifest);
    write_at("index.json", text);
    return manifest;
}

static int set_up(void **state)
{
    char path[PATH_MAX];
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/osa-layout-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/blobs", folder);
    if (mkdir(path, 0700) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/blobs/sha256", folder);
    return mkdir(path, 0700);
}

static int tear_down(void **state)
{
    struct osa_error err = { 0 };
    (void)state;
    return tree_remove(folder, &err) == OSA_OK ? 0 : -1;
}

static void test_configuration(void **state)
{
    (void)state;
    struct osa_arena arena = { 0 };
    struct osa_error err = { 0 };
    struct image_info info;
    const char *digest = write_layout("{\"os\":\"linux\",\"config\":{\"User\":\"app:staff\","
                                      "\"WorkingDir\":\"/srv\",\"Env\":[\"A=1\",\"B=\"]}}");
    assert_int_equal(image_read(folder, &arena, &info, &err), OSA_OK);
    assert_string_equal(info.digest, digest);
    assert_string_equal(info.user, "app:staff");
    assert_string_equal(info.workdir, "/srv");
    assert_int_equal(info.env_count, 2);
    assert_string_equal(info.env[0], "A=1");
    assert_string_equal(info.env[1], "B=");
    (void)write_layout("{}");
    assert_int_equal(image_read(folder, &arena, &info, &err), OSA_OK);
    assert_string_equal(info.user, "");
    assert_string_equal(info.workdir, "");
    assert_int_equal(info.env_count, 0);
    osa_arena_done(&arena);
}

static void test_bad_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        const char *text;
    } cases[] = {
        { "{\"os\":\"windows\"}", "the image is for windows, not for linux" },
        { "{\"config\":{\"WorkingDir\":\"srv\"}}", "User or WorkingDir" },
        { "{\"config\":{\"User\":\"a\\nb\"}}", "User or WorkingDir" },
        { "{\"config\":{\"Env\":[\"A\"]}}", "is no KEY=VALUE" },
        { "{\"config\":{\"Env\":[\"=1\"]}}", "is no KEY=VALUE" },
        { "{\"config\":{\"Env\":[7]}}", "is no KEY=VALUE" },
        { "{", "the image is broken" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct osa_arena arena = { 0 };
        struct osa_error err = { 0 };
        struct image_info info;
        (void)write_layout(cases[i].config);
        assert_int_equal(image_read(folder, &arena, &info, &err), OSA_FAILED_PRECONDITION);
        assert_non_null(strstr(err.text, cases[i].text));
        osa_arena_done(&arena);
    }
}

static void test_bad_layouts(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        const char *text;
    } cases[] = {
        { "", "the image is broken" },
        { "{}", "its index names not one manifest" },
        { "{\"manifests\":[]}", "its index names not one manifest" },
        { "{\"manifests\":[{\"digest\":\"sha256:" ZEROS "\"},{}]}", "names not one manifest" },
        { "{\"manifests\":[{\"digest\":\"sha256:../../../etc/passwd\"}]}",
          "is not sha256 and 64 hexadecimal digits" },
        { "{\"manifests\":[{\"digest\":\"sha256:" ZEROS "\"}]}", "the image is broken" },
    };
    struct osa_arena arena = { 0 };
    struct image_info info;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct osa_error err = { 0 };
        write_at("index.json", cases[i].index);
        assert_int_equal(image_read(folder, &arena, &info, &err), OSA_FAILED_PRECONDITION);
        assert_non_null(strstr(err.text, cases[i].text));
    }
    struct osa_error err = { 0 };
    char name[128];
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", write_layout("{}") + 7);
    write_at(name, "{\"other\":1}");
    assert_int_equal(image_read(folder, &arena, &info, &err), OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "has not the digest by which it is named"));
    osa_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_sources),
        cmocka_unit_test_setup_teardown(test_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_layouts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
