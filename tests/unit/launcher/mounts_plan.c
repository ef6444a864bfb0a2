// SPDX-License-Identifier: Apache-2.0
#include "launcher/mounts_plan.h"

#include "cmocka_all.h"

#include <string.h>

static const struct mounts_path paths[] = { { "/usr", false }, { "/data", true } };
static const char *const hidden[] = { "/run/agent", NULL };
static const struct mounts_spec spec = {
    .root = "/images/a",
    .root_fd = 7,
    .paths = paths,
    .path_count = 2,
    .changes = "/changes/b",
    .hidden = hidden,
    .workspace = "/data/work",
    .scratch_bytes = 1ull << 40,
    .owner_uid = 1000,
    .owner_gid = 1001,
    .own_pid_namespace = true,
};

static void test_round_trip(void **state)
{
    (void)state;
    struct osa_buf buf;
    static struct mounts_plan plan;
    osa_buf_init(&buf, 4096);
    assert_int_equal(mounts_plan_write(&spec, &buf, NULL), OSA_OK);
    assert_true(mounts_plan_parse(buf.data, buf.len, &plan));
    assert_string_equal(plan.spec.root, "/images/a");
    assert_int_equal(plan.spec.root_fd, -1);
    assert_string_equal(plan.spec.changes, "/changes/b");
    assert_int_equal(plan.spec.path_count, 2);
    assert_string_equal(plan.spec.paths[0].path, "/usr");
    assert_false(plan.spec.paths[0].writable);
    assert_string_equal(plan.spec.paths[1].path, "/data");
    assert_true(plan.spec.paths[1].writable);
    assert_string_equal(plan.spec.hidden[0], "/run/agent");
    assert_null(plan.spec.hidden[1]);
    assert_string_equal(plan.spec.workspace, "/data/work");
    assert_true(plan.spec.scratch_bytes == 1ull << 40);
    assert_int_equal(plan.spec.owner_uid, 1000);
    assert_int_equal(plan.spec.owner_gid, 1001);
    assert_true(plan.spec.own_pid_namespace);
    assert_false(plan.spec.own_net_namespace);
    osa_buf_done(&buf);
}

/* No prefix is a plan, nor is one with something behind it, nor one with a byte changed that counts. */
static void test_damaged_bytes(void **state)
{
    (void)state;
    struct osa_buf buf;
    static struct mounts_plan plan;
    osa_buf_init(&buf, 4096);
    assert_int_equal(mounts_plan_write(&spec, &buf, NULL), OSA_OK);
    for (size_t len = 0; len < buf.len; len++)
        assert_false(mounts_plan_parse(buf.data, len, &plan));
    buf.data[0] ^= 1;
    assert_false(mounts_plan_parse(buf.data, buf.len, &plan));
    buf.data[0] ^= 1;
    char *path = memmem(buf.data, buf.len, "w/data", 6);
    assert_non_null(path);
    *path = 'x';
    assert_false(mounts_plan_parse(buf.data, buf.len, &plan));
    *path = 'w';
    assert_true(osa_buf_add(&buf, "x", 1));
    assert_false(mounts_plan_parse(buf.data, buf.len, &plan));
    osa_buf_done(&buf);
}

static void test_bounds(void **state)
{
    (void)state;
    static struct mounts_path many[MOUNTS_PLAN_PATHS_MAX + 1];
    struct mounts_spec big = spec;
    struct osa_buf buf;
    struct osa_error err;
    osa_buf_init(&buf, 64);
    assert_int_equal(mounts_plan_write(&spec, &buf, &err), OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text, "the policy's paths do not fit");
    big.paths = many;
    big.path_count = MOUNTS_PLAN_PATHS_MAX + 1;
    assert_int_equal(mounts_plan_write(&big, &buf, &err), OSA_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.text, "321 paths and 1 hidden ones are more than 320 and 32"));
    osa_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damaged_bytes),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
