// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/fd.h"
#include "driver/record.h"
#include "driver/spec.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static struct store *store;

static int set_up(void **state)
{
    struct osa_error err = { 0 };
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/osa-store-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    return store_open(folder, &store, &err) == OSA_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[128];
    static const char *const names[] = { "lock", "sandboxes", "run", "work" };
    (void)state;
    store_close(store);
    store = NULL;
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        if (remove(path) < 0)
            return -1; /* a test left something behind */
    }
    return rmdir(folder);
}

static struct record make_record(void)
{
    COMPUTE(DriverSandbox) wire = COMPUTE_INIT(DRIVER_SANDBOX);
    struct record record = { .wanted = WANTED_RUN,
                             .runtime = RUNTIME_KIND_PROCESS,
                             .starts = 3,
                             .created_ms = 5,
                             .changed_ms = 6,
                             .served = true };
    (void)snprintf(record.placement, sizeof(record.placement), "rule 1");
    (void)snprintf(record.failed_reason, sizeof(record.failed_reason), "AgentLost");
    (void)snprintf(record.failed_message, sizeof(record.failed_message), "it is gone");
    wire.id = (char *)"a";
    wire.name = (char *)"name";
    record.wire_len = protobuf_c_message_get_packed_size(&wire.base);
    record.wire = malloc(record.wire_len);
    (void)protobuf_c_message_pack(&wire.base, record.wire);
    return record;
}

struct seen {
    unsigned count;
    struct record record;
    char id[32];
};

static enum osa_code see(void *ctx, const char *id, struct record *record, struct osa_error *err)
{
    struct seen *seen = ctx;
    (void)err;
    seen->count++;
    record_done(&seen->record);
    seen->record = *record;
    (void)snprintf(seen->id, sizeof(seen->id), "%s", id);
    return OSA_OK;
}

static struct seen look(void)
{
    struct seen seen = { 0 };
    struct osa_error err = { 0 };
    if (store_each(store, see, &seen, &err) != OSA_OK)
        fail_msg("%s", err.text);
    return seen;
}

static void create(const char *id, struct record *record)
{
    struct osa_error err = { 0 };
    if (store_create(store, id, record, "a-secret-token", geteuid(), getegid(), &err) != OSA_OK)
        fail_msg("%s", err.text);
}

static void drop(const char *id)
{
    struct osa_error err = { 0 };
    if (store_remove(store, id, &err) != OSA_OK)
        fail_msg("%s", err.text);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    struct record record = make_record();
    struct osa_error err = { 0 };
    char path[PATH_MAX];
    struct stat st;
    create("a", &record);
    struct seen seen = look();
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.id, "a");
    assert_int_equal(seen.record.wanted, WANTED_RUN);
    assert_int_equal(seen.record.runtime, RUNTIME_KIND_PROCESS);
    assert_int_equal(seen.record.starts, 3);
    assert_string_equal(seen.record.placement, "rule 1");
    assert_string_equal(seen.record.failed_reason, "AgentLost");
    assert_string_equal(seen.record.failed_message, "it is gone");
    assert_int_equal(seen.record.created_ms, 5);
    assert_int_equal(seen.record.changed_ms, 6);
    assert_true(seen.record.served);
    assert_false(seen.record.gone);
    assert_int_equal(seen.record.wire_len, record.wire_len);
    assert_memory_equal(seen.record.wire, record.wire, record.wire_len);
    record_done(&seen.record);

    store_path(store, "a", "token", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, strlen("a-secret-token"));

    record.wanted = WANTED_DELETE;
    record.gone = true;
    assert_int_equal(store_update(store, "a", &record, /* durable= */ true, &err), OSA_OK);
    seen = look();
    assert_int_equal(seen.record.wanted, WANTED_DELETE);
    assert_true(seen.record.gone);
    record_done(&seen.record);

    assert_int_equal(store_create(store, "a", &record, "t", geteuid(), getegid(), &err),
                     OSA_ALREADY_EXISTS);
    assert_string_equal(err.text, "sandbox 'a' exists already");
    drop("a");
    drop("a"); /* gone is fine */
    assert_int_equal(look().count, 0);
    record_done(&record);
}

static void test_half_of_a_creation_is_removed(void **state)
{
    (void)state;
    char path[PATH_MAX];
    store_path(store, "half", "", path);
    assert_int_equal(mkdir(path, 0700), 0);
    store_path(store, "half", "token", path);
    (void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(look().count, 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_a_record_that_cannot_be_read(void **state)
{
    (void)state;
    struct record record = make_record();
    struct seen seen = { 0 };
    struct osa_error err = { 0 };
    char path[PATH_MAX];
    create("a", &record);
    store_path(store, "a", "record", path);
    assert_int_equal(truncate(path, 7), 0);
    assert_int_equal(store_each(store, see, &seen, &err), OSA_DATA_LOSS);
    assert_non_null(strstr(err.text, "cannot be read; move its directory away"));
    assert_int_equal(seen.count, 0);
    drop("a");
    record_done(&record);
}

static void test_removal_follows_nothing(void **state)
{
    (void)state;
    struct record record = make_record();
    char work[PATH_MAX];
    char path[PATH_MAX];
    char outside[64];
    create("a", &record);
    (void)snprintf(outside, sizeof(outside), "%s/lock", folder);
    store_work_path(store, "a", work);
    (void)snprintf(path, sizeof(path), "%s/link", work);
    assert_int_equal(symlink(outside, path), 0);
    (void)snprintf(path, sizeof(path), "%s/dir", work);
    assert_int_equal(symlink(folder, path), 0);
    (void)snprintf(path, sizeof(path), "%s/closed", work);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/closed/file", work);
    (void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    (void)snprintf(path, sizeof(path), "%s/closed", work);
    assert_int_equal(chmod(path, 0), 0);
    drop("a");
    assert_int_equal(access(work, F_OK), -1);
    assert_int_equal(access(outside, F_OK), 0);
    record_done(&record);
}

static void test_one_driver_at_a_time(void **state)
{
    (void)state;
    struct store *second = NULL;
    struct osa_error err = { 0 };
    assert_int_equal(store_open(folder, &second, &err), OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "belongs to another driver that runs"));
    store_close(store);
    store = NULL;
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(store_open(folder, &store, &err), OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "into which nobody else may write"));
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(store_open(folder, &store, &err), OSA_OK);
}

static void test_sockets_have_short_paths(void **state)
{
    (void)state;
    char path[PATH_MAX];
    char other[PATH_MAX];
    char id[DRIVER_ID_BYTES + 1];
    memset(id, 'x', DRIVER_ID_BYTES);
    id[DRIVER_ID_BYTES] = '\0';
    store_socket_path(store, id, path);
    assert_int_equal(strlen(path), strlen(folder) + strlen("/run/") + 16 + strlen(".sock"));
    id[0] = 'y';
    store_socket_path(store, id, other);
    assert_string_not_equal(path, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_of_a_creation_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_record_that_cannot_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removal_follows_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_driver_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets_have_short_paths, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
