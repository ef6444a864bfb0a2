// SPDX-License-Identifier: Apache-2.0
/* Which paths a configuration makes the agent hide from sandboxes. */
#include "agent/hidden_paths.h"

#include "cmocka_all.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return path;
}

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/osa-hidden-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0; /* mode 0700 */
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = { "token", "agent.sock.lock", "shared", "..data" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++)
        (void)unlink(in_dir(names[i]));
    return rmdir(dir);
}

static void touch(const char *name)
{
    int fd = open(in_dir(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* A socket and a token in @dir, state elsewhere. */
static struct hidden_paths hide(void)
{
    struct agent_config *config;
    struct osa_error err = { 0 };
    struct hidden_paths hidden;
    char listen[PATH_MAX + 8];
    (void)snprintf(listen, sizeof(listen), "unix:%s", in_dir("agent.sock"));
    const char *const argv[] = { "--listen",    listen,        "--listen",
                                 "127.0.0.1:0", "--state-dir", "/var/lib/osa" };
    assert_int_equal(agent_config_load(OSA_ARRAY_LEN(argv), argv, &config, &err), OSA_OK);
    hidden_paths_init(&hidden, config, in_dir("token"));
    agent_config_free(config);
    return hidden;
}

static bool holds(const struct hidden_paths *hidden, const char *path)
{
    for (size_t i = 0; i < hidden->count; i++)
        if (strcmp(hidden->items[i], path) == 0)
            return true;
    return false;
}

/* What replaces a file of it is hidden, too: the directory is the agent's alone. */
static void test_own_directory(void **state)
{
    (void)state;
    touch("token");
    touch("agent.sock.lock");
    struct hidden_paths hidden = hide();
    assert_true(holds(&hidden, dir));
    assert_false(holds(&hidden, in_dir("token")));
    assert_true(holds(&hidden, "/var/lib/osa"));
    assert_true(holds(&hidden, geteuid() == 0 ? "/run/openshell-agent" : hidden.items[2]));
    assert_int_equal(hidden.count, 3);
    assert_null(hidden.items[hidden.count]);
    hidden_paths_done(&hidden);
}

/* A directory with other things in it is not ours to hide; neither is one that others may read. */
static void test_shared_directory(void **state)
{
    (void)state;
    touch("token");
    touch("shared");
    for (int round = 0; round < 2; round++) {
        struct hidden_paths hidden = hide();
        assert_false(holds(&hidden, dir));
        assert_true(holds(&hidden, in_dir("token")));
        assert_true(holds(&hidden, in_dir("agent.sock")));
        assert_int_equal(hidden.count, 4);
        hidden_paths_done(&hidden);
        (void)unlink(in_dir("shared"));
        assert_int_equal(chmod(dir, 0755), 0);
    }
}

/* As the kubelet lays a Secret out: a name that is replaced points to what does not change. */
static void test_secret_behind_links(void **state)
{
    (void)state;
    struct hidden_paths hidden;
    struct agent_config *config;
    assert_int_equal(mkdir(in_dir("..2026"), 0755), 0);
    touch("..2026/token");
    assert_int_equal(symlink("..2026", in_dir("..data")), 0);
    assert_int_equal(symlink("..data/token", in_dir("token")), 0);
    touch("shared"); /* else the directory would be hidden anyway */
    const char *const argv[] = { "--state-dir", "/var/lib/osa" };
    assert_int_equal(agent_config_load(OSA_ARRAY_LEN(argv), argv, &config, NULL), OSA_OK);
    hidden_paths_secrets(&hidden, config, in_dir("token"));
    assert_int_equal(hidden.count, 2);
    assert_true(holds(&hidden, in_dir("token")));
    assert_true(holds(&hidden, dir));
    hidden_paths_done(&hidden);

    (void)unlink(in_dir("token"));
    assert_int_equal(symlink("/etc/hostname", in_dir("token")), 0);
    hidden_paths_secrets(&hidden, config, in_dir("token"));
    assert_int_equal(hidden.count, 2);
    assert_true(holds(&hidden, "/etc/hostname"));
    hidden_paths_done(&hidden);
    agent_config_free(config);
    (void)unlink(in_dir("..data"));
    (void)unlink(in_dir("..2026/token"));
    (void)rmdir(in_dir("..2026"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own_directory, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_shared_directory, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_secret_behind_links, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
