// SPDX-License-Identifier: Apache-2.0
/* Records as Linux 7.3 wrote them in the guest of tests/vm, and what a hostile one may look like. */
#include "backends/process/audit_record.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

static bool parse(uint16_t type, const char *text, struct audit_record *ret)
{
    return audit_record_parse(type, text, strlen(text), ret);
}

static void expect_access(const char *rest, const char *blockers, const char *object)
{
    char text[1100];
    struct audit_record record;
    (void)snprintf(text, sizeof(text), "audit(1795591358.364:8): domain=104d5c10e %s", rest);
    assert_true(parse(AUDIT_RECORD_LANDLOCK_ACCESS, text, &record));
    assert_string_equal(record.event, "1795591358.364:8");
    assert_int_equal(record.domain, 0x104d5c10e);
    assert_string_equal(record.blockers, blockers);
    assert_string_equal(record.object, object);
}

static void test_access(void **state)
{
    (void)state;
    expect_access("blockers=fs.make_dir path=\"/\" dev=\"rootfs\" ino=1", "fs.make_dir", "/");
    expect_access("blockers=fs.execute,fs.read_file path=\"/bin/cat\" dev=\"vda\" ino=10",
                  "fs.execute,fs.read_file", "/bin/cat");
    expect_access("blockers=net.connect_tcp daddr=127.0.0.1 dest=80", "net.connect_tcp",
                  "127.0.0.1 port 80");
    expect_access("blockers=net.bind_tcp src=8080", "net.bind_tcp", " port 8080");
    expect_access("blockers=ptrace opid=1 ocomm=\"init\"", "ptrace", "pid 1 (init)");
    expect_access("blockers=scope.abstract_unix_socket path=00666F6F", "scope.abstract_unix_socket",
                  "?foo");
    expect_access("blockers=fs.read_file path=2F612022FFC3A9 dev=\"vda\" ino=3", "fs.read_file",
                  "/a \"?\xc3\xa9");
}

/* A file's name cannot become another field, and none is longer than its room. */
static void test_hostile(void **state)
{
    (void)state;
    char text[1100] = "audit(1.2:3): domain=5 blockers=fs.read_file path=\"/";
    struct audit_record record;
    expect_access("blockers=fs.read_file path=20706964 dev=\"x\"", "fs.read_file", " pid");
    expect_access("blockers=fs.read_file path=\"/unterminated", "fs.read_file", "");
    expect_access("blockers=fs.read_file path=2F6", "fs.read_file", "/");
    expect_access("blockers=fs.read_file", "fs.read_file", "");
    size_t used = strlen(text);
    memset(text + used, 'x', 900);
    text[used + 900] = '"';
    assert_true(parse(AUDIT_RECORD_LANDLOCK_ACCESS, text, &record));
    assert_int_equal(strlen(record.object), sizeof(record.object) - 1);
    assert_false(parse(AUDIT_RECORD_LANDLOCK_ACCESS, "domain=5 blockers=fs.read_file", &record));
    assert_false(parse(AUDIT_RECORD_LANDLOCK_ACCESS, "audit(): domain=5", &record));
    assert_false(parse(AUDIT_RECORD_LANDLOCK_ACCESS, "", &record));
    assert_false(parse(1327, "audit(1.2:3): proctitle=6C6C", &record));
}

static void test_domain_and_caller(void **state)
{
    (void)state;
    struct audit_record record;
    assert_true(
        parse(AUDIT_RECORD_LANDLOCK_DOMAIN,
              "audit(1.2:5): domain=104d5c10e status=allocated mode=enforcing pid=102 uid=0 "
              "exe=\"/bin/ll\" comm=\"ll\"",
              &record));
    assert_true(record.allocated);
    assert_int_equal(record.domain, 0x104d5c10e);
    assert_int_equal(record.pid, 102);
    assert_true(parse(AUDIT_RECORD_LANDLOCK_DOMAIN,
                      "audit(1.2:17): domain=104d5c10e status=deallocated denials=13", &record));
    assert_false(record.allocated);
    assert_true(
        parse(AUDIT_RECORD_SYSCALL,
              "audit(1.2:8): arch=c000003e syscall=83 success=no exit=-13 a0=47b013 items=0 "
              "ppid=101 pid=103 auid=4294967295 uid=0 comm=\"exe\" exe=\"/bin/ll\" key=(null)",
              &record));
    assert_int_equal(record.pid, 103);
    assert_string_equal(record.comm, "exe");
}

static void expect_text(const char *blockers, const char *object, int32_t pid, const char *expected)
{
    struct audit_record record = { 0 };
    char text[AUDIT_DENIAL_TEXT_MAX];
    (void)snprintf(record.blockers, sizeof(record.blockers), "%s", blockers);
    (void)snprintf(record.object, sizeof(record.object), "%s", object);
    audit_denial_text(&record, pid, "cat", text);
    assert_string_equal(text, expected);
}

static void test_in_words(void **state)
{
    (void)state;
    expect_text("fs.read_file", "/etc/shadow", 70,
                "fs.read_file on /etc/shadow by pid 70 (cat): filesystem_policy.read_only would "
                "allow it");
    expect_text("fs.execute,fs.read_file", "/x", 0,
                "fs.execute,fs.read_file on /x: filesystem_policy.read_only would allow it");
    expect_text("fs.read_file,fs.write_file", "/x", 0,
                "fs.read_file,fs.write_file on /x: filesystem_policy.read_write would allow it");
    expect_text("scope.signal", "pid 1 (init)", 0,
                "scope.signal on pid 1 (init): nothing outside of the sandbox is in reach");
    expect_text("net.connect_tcp", "", 0,
                "net.connect_tcp on ?: TCP is closed where the sandbox has no network of its own");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_domain_and_caller),
        cmocka_unit_test(test_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
