// SPDX-License-Identifier: Apache-2.0
#include "policy/paths.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

/* "r" or "w", "?" for optional, then the path; separated by spaces. */
static void expect(const char *yaml, bool gpu, size_t first, const char *joined)
{
    const struct policy_document *doc = NULL;
    struct policy_path *paths = NULL;
    size_t count = 0;
    struct osa_error err = { 0 };
    if (policy_document_parse_yaml(yaml, strlen(yaml), "p", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    assert_int_equal(policy_paths(doc, "/work", gpu, &paths, &count, &err), OSA_OK);
    char text[2048] = "";
    size_t used = 0;
    for (size_t i = 0; i < OSA_MIN(count, first); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s%s", i > 0 ? " " : "",
                                 paths[i].writable ? "w" : "r", paths[i].optional ? "?" : "",
                                 paths[i].path);
    assert_string_equal(text, joined);
    free(paths);
    policy_document_unref(doc);
}

static void test_listed(void **state)
{
    (void)state;
    expect("version: 1\nfilesystem_policy: {read_only: [/usr, /work], read_write: [/tmp, /usr],"
           " include_workdir: true}",
           false, 99, "w/usr w/work w/tmp");
    expect("version: 1\nfilesystem_policy: {read_only: [/usr]}", false, 99, "r/usr");
    expect("version: 1\nfilesystem_policy: {}", false, 99, "");
}

static void test_without_section(void **state)
{
    (void)state;
    expect("version: 1", false, 99,
           "w/work r?/usr r?/lib r?/proc r?/dev/urandom r?/app r?/etc r?/var/log w?/tmp "
           "w?/dev/null");
}

static void test_baseline(void **state)
{
    (void)state;
    expect("version: 1\nfilesystem_policy: {read_only: [/tmp, /usr]}\n"
           "network_policies: {a: {}}",
           false, 99, "r/tmp r/usr r?/lib r?/etc r?/app r?/var/log r?/proc r?/dev/urandom");
}

static void test_gpu(void **state)
{
    (void)state;
    expect("version: 1\nfilesystem_policy: {read_only: [/proc]}", true, 5,
           "w/proc r?/run/nvidia-persistenced r?/usr/lib/wsl w?/dev/nvidiactl w?/dev/nvidia-uvm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed),
        cmocka_unit_test(test_without_section),
        cmocka_unit_test(test_baseline),
        cmocka_unit_test(test_gpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
