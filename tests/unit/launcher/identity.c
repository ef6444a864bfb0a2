// SPDX-License-Identifier: Apache-2.0
#include "launcher/identity.h"

#include "base/fd.h"
#include "base/linux_sys.h"
#include "launcher/identity_rows.h"

#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char passwd_text[] = "# comment\n"
                                  "root:x:0:0:root:/root:/bin/bash\n"
                                  "\n"
                                  "sandbox:x:1000:1000:Sand Box:/sandbox:/bin/zsh\n"
                                  "www-data:x:33:33::relative:\n"
                                  "wheel-user:x:1001:0::/home/w:/bin/sh\n"
                                  "twin:x:2000:2000::/a:/bin/sh\n"
                                  "twin:x:2001:2001::/b:/bin/sh\n"
                                  "alias1:x:3000:3000::/a:/bin/sh\n"
                                  "alias2:x:3000:3001::/b:/bin/sh\n"
                                  "admin:x:1002:1002::/home/admin:/bin/sh\n"
                                  "top:x:4294967294:4294967294::/:/bin/sh"; /* no newline */
static const char group_text[] = "root:x:0:admin\n"
                                 "sandbox:x:1000:\n"
                                 "audio:x:29:sandboxer,sandbox\n"
                                 "video:x:44:sandbox\n"
                                 "games:x:60:sand\n"
                                 "dup:x:70:\n"
                                 "dup:x:71:\n";

struct root {
    char path[64];
    int fd;
};

static void put(const struct root *root, const char *name, const char *text, size_t len)
{
    int fd = openat(root->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(osa_write_all(fd, text, len), 0);
    close(fd);
}

static int setup(void **state)
{
    static struct root root;
    (void)snprintf(root.path, sizeof(root.path), "/tmp/osa-identity-XXXXXX");
    assert_non_null(mkdtemp(root.path));
    root.fd = open(root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(root.fd, "etc", 0755), 0);
    put(&root, "etc/passwd", passwd_text, sizeof(passwd_text) - 1);
    put(&root, "etc/group", group_text, sizeof(group_text) - 1);
    *state = &root;
    return 0;
}

/* A test may have left "etc" as a link to the host's /etc, which must not be walked through. */
static int teardown(void **state)
{
    struct root *root = *state;
    if (unlinkat(root->fd, "etc", 0) < 0) {
        int etc = openat(root->fd, "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (etc >= 0) {
            (void)unlinkat(etc, "passwd", 0);
            (void)unlinkat(etc, "group", 0);
            close(etc);
        }
        (void)unlinkat(root->fd, "etc", AT_REMOVEDIR);
    }
    close(root->fd);
    return rmdir(root->path);
}

static void expect_ok(int root_fd, const char *spec, unsigned uid, unsigned gid, const char *name,
                      const char *home, const char *shell)
{
    struct identity id;
    struct osa_error err = { 0 };
    if (identity_resolve(root_fd, spec, NULL, 0, &id, &err) != OSA_OK)
        fail_msg("'%s': %s", spec, err.text);
    assert_int_equal(id.uid, uid);
    assert_int_equal(id.gid, gid);
    assert_string_equal(id.name, name);
    assert_string_equal(id.home, home);
    assert_string_equal(id.shell, shell);
}

static void expect_error(int root_fd, const char *spec, enum osa_code code, const char *part)
{
    struct identity id;
    struct osa_error err = { 0 };
    enum osa_code got = identity_resolve(root_fd, spec, NULL, 0, &id, &err);
    if (got != code || strstr(err.text, part) == NULL)
        fail_msg("'%s': %s '%s', wanted '%s'", spec, osa_code_name(got), err.text, part);
    assert_string_equal(err.stage, "user");
}

static void test_names_and_numbers(void **state)
{
    int fd = ((struct root *)*state)->fd;
    expect_ok(fd, "sandbox", 1000, 1000, "sandbox", "/sandbox", "/bin/zsh");
    expect_ok(fd, "1000", 1000, 1000, "sandbox", "/sandbox", "/bin/zsh");
    expect_ok(fd, "1000:44", 1000, 44, "sandbox", "/sandbox", "/bin/zsh");
    expect_ok(fd, "sandbox:video", 1000, 44, "sandbox", "/sandbox", "/bin/zsh");
    expect_ok(fd, "5000:6000", 5000, 6000, "5000", "/", "/bin/sh");
    expect_ok(fd, "5000:video", 5000, 44, "5000", "/", "/bin/sh");
    /* A home that is no absolute path and an empty shell do not reach the environment. */
    expect_ok(fd, "www-data", 33, 33, "www-data", "/", "/bin/sh");
    expect_ok(fd, "4294967294", 4294967294u, 4294967294u, "top", "/", "/bin/sh");
}

static void test_grammar(void **state)
{
    static const char *const bad[] = {
        "1000:x y",
        "0x0",
        "-1",
        "4294967295",
        "4294967296",
        " 0",
        "0 ",
        "+1",
        "01",
        "00",
        "99999999999999999999",
        ":",
        "a:",
        ":a",
        "a:b:c",
        "1000:",
        "\x01",
        "a\nb",
        "../etc",
        "1000a",
        "",
        "-a",
        "a/b",
        "n\xc3\xa4",
        "$",
        "a$b",
        "1000:-1",
        "1000:0x1",
    };
    int fd = ((struct root *)*state)->fd;
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++)
        expect_error(fd, bad[i], OSA_INVALID_ARGUMENT, "spec.user: is neither a name");
    char name[IDENTITY_NAME_MAX + 1];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    expect_error(fd, name, OSA_INVALID_ARGUMENT, "spec.user: is neither a name");
}

static void test_unknown(void **state)
{
    int fd = ((struct root *)*state)->fd;
    expect_error(fd, "nobody2", OSA_INVALID_ARGUMENT, "'nobody2' is not in /etc/passwd");
    expect_error(fd, "5000", OSA_INVALID_ARGUMENT, "user 5000 has no row");
    expect_error(fd, "sandbox:nogroup", OSA_INVALID_ARGUMENT, "'nogroup' is not in /etc/group");
    expect_error(fd, "1000:x", OSA_INVALID_ARGUMENT, "'x' is not in /etc/group");
}

static void test_root_is_refused(void **state)
{
    int fd = ((struct root *)*state)->fd;
    expect_error(fd, "root", OSA_INVALID_ARGUMENT, "user 0 is refused");
    expect_error(fd, "0", OSA_INVALID_ARGUMENT, "user 0 is refused");
    expect_error(fd, "0:0", OSA_INVALID_ARGUMENT, "user 0 is refused");
    expect_error(fd, "1000:0", OSA_INVALID_ARGUMENT, "group 0 is refused");
    expect_error(fd, "sandbox:root", OSA_INVALID_ARGUMENT, "group 0 is refused");
    expect_error(fd, "wheel-user", OSA_INVALID_ARGUMENT, "group 0 is refused");
    expect_error(fd, "admin", OSA_FAILED_PRECONDITION, "'admin' is a member of group 0");

    struct identity id;
    assert_int_equal(identity_resolve(fd, "root", NULL, IDENTITY_ALLOW_ROOT, &id, NULL), OSA_OK);
    assert_int_equal(id.uid, 0);
    assert_string_equal(id.home, "/root");
    assert_string_equal(id.shell, "/bin/bash");
}

static void test_ambiguity(void **state)
{
    int fd = ((struct root *)*state)->fd;
    expect_error(fd, "twin", OSA_FAILED_PRECONDITION, "line 8: a second row for 'twin'");
    expect_error(fd, "3000", OSA_FAILED_PRECONDITION, "line 10: a second row for 'alias2'");
    expect_error(fd, "sandbox:dup", OSA_FAILED_PRECONDITION, "line 7: a second row for 'dup'");
}

static void test_groups(void **state)
{
    int fd = ((struct root *)*state)->fd;
    struct identity id;
    assert_int_equal(identity_resolve(fd, "sandbox", NULL, 0, &id, NULL), OSA_OK);
    assert_int_equal(id.group_count, 3); /* not games, of which "sand" is a member */
    assert_int_equal(id.groups[0], 29);
    assert_int_equal(id.groups[1], 44);
    assert_int_equal(id.groups[2], 1000);

    assert_int_equal(identity_resolve(fd, "1000", NULL, 0, &id, NULL), OSA_OK);
    assert_int_equal(id.group_count, 1);
    assert_int_equal(id.groups[0], 1000);

    const char *const groups[] = { "video", "7", "7", NULL };
    assert_int_equal(identity_resolve(fd, "sandbox", groups, 0, &id, NULL), OSA_OK);
    assert_int_equal(id.group_count, 3);
    assert_int_equal(id.groups[0], 44);
    assert_int_equal(id.groups[1], 7);
    assert_int_equal(id.groups[2], 1000);

    const char *const none[] = { NULL };
    assert_int_equal(identity_resolve(fd, "sandbox", none, 0, &id, NULL), OSA_OK);
    assert_int_equal(id.group_count, 1);

    struct osa_error err;
    const char *const root_group[] = { "root", NULL };
    assert_int_equal(identity_resolve(fd, "sandbox", root_group, 0, &id, &err),
                     OSA_INVALID_ARGUMENT);
    assert_string_equal(err.field, "spec.groups");
    const char *const bad[] = { "-1", NULL };
    assert_int_equal(identity_resolve(fd, "sandbox", bad, 0, &id, &err), OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "spec.groups: is neither a name"));
}

static void test_malformed_files(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {
        { "a:x:1:1::/:/bin/sh:more\n", "line 1: a field too many" },
        { "a:x:1:1::/\n", "line 1: a field is missing" },
        { "a:x:-1:1::/:/bin/sh\n", "line 1: an id is not a number" },
        { "a:x:1:4294967295::/:/bin/sh\n", "line 1: an id is not a number" },
        { "#\na:x::1::/:/bin/sh\n", "line 2: an id is not a number" },
        { ":x:1:1::/:/bin/sh\n", "line 1: the name is empty" },
        { "+::::::\n", "line 1: an id is not a number" },
    };
    struct root *root = *state;
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        put(root, "etc/passwd", cases[i].text, strlen(cases[i].text));
        expect_error(root->fd, "sandbox", OSA_FAILED_PRECONDITION, cases[i].part);
    }
    put(root, "etc/passwd", "a:x:1:1:\0:/:/bin/sh\n", 21);
    expect_error(root->fd, "sandbox", OSA_FAILED_PRECONDITION, "line 1: a NUL byte");

    static char big[IDENTITY_FILE_MAX + 1];
    memset(big, 'a', sizeof(big));
    put(root, "etc/passwd", big, IDENTITY_LINE_MAX + 1);
    expect_error(root->fd, "sandbox", OSA_FAILED_PRECONDITION, "line 1: longer than 8192 bytes");
    memcpy(big, "a:x:1:1:", 8);
    put(root, "etc/passwd", big, 8 + IDENTITY_FIELD_MAX);
    expect_error(root->fd, "sandbox", OSA_FAILED_PRECONDITION, "a field is longer than 1023");
    memset(big, '\n', sizeof(big));
    put(root, "etc/passwd", big, sizeof(big));
    expect_error(root->fd, "sandbox", OSA_FAILED_PRECONDITION, "larger than 1048576 bytes");
    put(root, "etc/passwd", big, sizeof(big) - 1);
    expect_error(root->fd, "sandbox", OSA_INVALID_ARGUMENT, "'sandbox' is not in /etc/passwd");
}

static void test_links_and_strange_files(void **state)
{
    struct root *root = *state;
    assert_int_equal(unlinkat(root->fd, "etc/passwd", 0), 0);
    expect_error(root->fd, "sandbox", OSA_FAILED_PRECONDITION, "has no /etc/passwd");
    expect_ok(root->fd, "5:6", 5, 6, "5", "/", "/bin/sh");

    assert_int_equal(symlinkat("/etc/passwd", root->fd, "etc/passwd"), 0);
    expect_error(root->fd, "5:6", OSA_FAILED_PRECONDITION, "is a symbolic link; make it a file");
    assert_int_equal(unlinkat(root->fd, "etc/passwd", 0), 0);

    /* Opening a FIFO would wait for a writer for ever. */
    assert_int_equal(mkfifoat(root->fd, "etc/passwd", 0600), 0);
    expect_error(root->fd, "5:6", OSA_FAILED_PRECONDITION, "is not a regular file");
    assert_int_equal(unlinkat(root->fd, "etc/passwd", 0), 0);

    /* A link of a directory on the way stays inside the root: the host's /etc is not read. */
    assert_int_equal(unlinkat(root->fd, "etc/group", 0), 0);
    assert_int_equal(unlinkat(root->fd, "etc", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("/etc", root->fd, "etc"), 0);
    expect_error(root->fd, "root", OSA_FAILED_PRECONDITION, "/etc/passwd of the sandbox's root");
    assert_int_equal(unlinkat(root->fd, "etc", 0), 0);
    assert_int_equal(symlinkat("../../../../../../etc", root->fd, "etc"), 0);
    expect_error(root->fd, "root", OSA_FAILED_PRECONDITION, "/etc/passwd of the sandbox's root");
    assert_int_equal(unlinkat(root->fd, "etc", 0), 0);
}

static void test_default(void **state)
{
    struct root *root = *state;
    struct identity id;
    struct osa_error err;
    assert_int_equal(identity_default(root->fd, IDENTITY_ALLOW_ROOT, &id, &err), OSA_OK);
    assert_int_equal(id.uid, geteuid());
    assert_int_equal(id.gid, getegid());
    if (geteuid() != 0)
        return; /* the rest is about root */
    assert_int_equal(identity_default(root->fd, 0, &id, &err), OSA_OK);
    assert_int_equal(id.uid, 1000);
    assert_string_equal(id.name, "sandbox");
    put(root, "etc/passwd", "a:x:1:1::/:/bin/sh\n", 19);
    assert_int_equal(identity_default(root->fd, 0, &id, &err), OSA_OK);
    assert_int_equal(id.uid, IDENTITY_NOBODY);
    assert_int_equal(id.gid, IDENTITY_NOBODY);
    put(root, "etc/passwd", "sandbox:x:0:0::/:/bin/sh\n", 25);
    assert_int_equal(identity_default(root->fd, 0, &id, &err), OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "user 0 is refused"));
    assert_int_equal(unlinkat(root->fd, "etc/passwd", 0), 0);
    assert_int_equal(identity_default(root->fd, 0, &id, &err), OSA_OK);
    assert_int_equal(id.uid, IDENTITY_NOBODY);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROOT(test_names_and_numbers), WITH_ROOT(test_grammar),
        WITH_ROOT(test_unknown),           WITH_ROOT(test_root_is_refused),
        WITH_ROOT(test_ambiguity),         WITH_ROOT(test_groups),
        WITH_ROOT(test_malformed_files),   WITH_ROOT(test_links_and_strange_files),
        WITH_ROOT(test_default),
    };
    const struct open_how how = { .flags = O_PATH };
    if (osa_sys_openat2(AT_FDCWD, "/", &how, sizeof(how)) < 0 && errno == ENOSYS) {
        print_message("skipped: this kernel or emulator has no openat2(2)\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
