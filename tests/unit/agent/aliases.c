// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "agent/aliases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static const char *in_root(const char *path)
{
    static char whole[256];
    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    return whole;
}

static void make_link(const char *target, const char *path)
{
    assert_int_equal(symlink(target, in_root(path)), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/osa-aliases-XXXXXX");
    if (mkdtemp(root) == NULL || mkdir(in_root("/usr"), 0700) < 0 ||
        mkdir(in_root("/usr/bin"), 0700) < 0 || mkdir(in_root("/etc"), 0700) < 0)
        return -1;
    FILE *file = fopen(in_root("/usr/bin/tool3.11"), "w");
    if (file == NULL)
        return -1;
    (void)fclose(file);
    make_link("tool3.11", "/usr/bin/tool3");                /* beside */
    make_link("/usr/bin/tool3", "/etc/alternative");        /* from the root, which is ours */
    make_link("../etc/alternative", "/usr/tool");           /* up and down */
    make_link("usr/bin", "/bin");                           /* a directory */
    make_link("../../../../usr/bin/tool3.11", "/etc/high"); /* no way out */
    make_link("round", "/usr/bin/round");
    make_link("nowhere", "/usr/bin/dangling");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const paths[] = { "/usr/bin/tool3.11",
                                         "/usr/bin/tool3",
                                         "/etc/alternative",
                                         "/usr/tool",
                                         "/bin",
                                         "/etc/high",
                                         "/usr/bin/round",
                                         "/usr/bin/dangling",
                                         "/usr/bin",
                                         "/usr",
                                         "/etc",
                                         "" };
    for (unsigned i = 0; i < OSA_ARRAY_LEN(paths); i++)
        assert_int_equal(remove(in_root(paths[i])), 0);
    return 0;
}

static void test_follow(void **state)
{
    (void)state;
    static const char text[] =
        "version: 1\nnetwork_policies:\n  r:\n    endpoints: [{host: a.test, port: 1}]\n"
        "    binaries:\n    - {path: /usr/bin/tool3}\n    - {path: /usr/tool}\n"
        "    - {path: /bin/tool3.11}\n    - {path: /etc/high}\n    - {path: /usr/bin/round}\n"
        "    - {path: /usr/bin/dangling}\n    - {path: /usr/bin/tool3.11}\n"
        "    - {path: '/usr/bin/*'}\n";
    static const char *const want[] = { "/usr/bin/tool3", "/usr/tool", "/bin/tool3.11",
                                        "/etc/high" };
    struct osa_error err = { 0 };
    const struct policy_document *doc = NULL;
    struct aliases aliases;
    assert_int_equal(policy_document_parse_yaml(text, sizeof(text) - 1, "t", &doc, &err), OSA_OK);
    aliases_resolve(doc, root, &aliases);
    size_t at = 0;
    for (unsigned i = 0; i < OSA_ARRAY_LEN(want); i++)
        assert_string_equal(aliases_of(&aliases, "/usr/bin/tool3.11", &at), want[i]);
    assert_null(aliases_of(&aliases, "/usr/bin/tool3.11", &at));
    at = 0;
    assert_null(aliases_of(&aliases, "/usr/bin/other", &at));
    aliases_done(&aliases);
    assert_null(aliases_of(&aliases, "/usr/bin/tool3.11", &(size_t){ 0 }));
    policy_document_unref(doc);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
    };
    return cmocka_run_group_tests_name("aliases", tests, NULL, NULL);
}
