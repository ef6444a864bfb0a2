// SPDX-License-Identifier: Apache-2.0
#include "driver/record.h"

#include "base/buf.h"
#include "base/fd.h"
#include "driver/record_internal.h"
#include "io/digest.h"

#include "openshell/driver/v1/record.pb-c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES ((size_t)4 << 20) /* the gateway sends 1 MiB at most */

typedef Openshell__Driver__V1__SandboxRecord Wire;

/* ---- paths ---- */

void store_path(const struct store *store, const char *id, const char *name, char *ret_path)
{
    (void)snprintf(ret_path, PATH_MAX, "%s/sandboxes/%s/%s", store->dir, id, name);
}

void store_work_path(const struct store *store, const char *id, char *ret_path)
{
    (void)snprintf(ret_path, PATH_MAX, "%s/work/%s", store->dir, id);
}

void store_socket_path(const struct store *store, const char *id, char *ret_path)
{
    uint8_t digest[IO_SHA256_SIZE];
    io_sha256(id, strlen(id), digest);
    int len = snprintf(ret_path, PATH_MAX, "%s/run/", store->dir);
    for (int i = 0; i < 8; i++)
        len += snprintf(ret_path + len, PATH_MAX - (size_t)len, "%02x", digest[i]);
    (void)snprintf(ret_path + len, PATH_MAX - (size_t)len, ".sock");
}

/* ---- the record's two forms ---- */

void record_done(struct record *record)
{
    free(record->wire);
    *record = (struct record){ 0 };
}

static enum osa_code record_pack(const struct record *record, uint8_t **ret_data, size_t *ret_len,
                                 struct osa_error *err)
{
    Wire wire = OPENSHELL__DRIVER__V1__SANDBOX_RECORD__INIT;
    wire.sandbox =
        openshell__compute__v1__driver_sandbox__unpack(NULL, record->wire_len, record->wire);
    if (wire.sandbox == NULL)
        return osa_fail_errno(err, ENOMEM, "record");
    wire.wanted = (Openshell__Driver__V1__SandboxRecord__Wanted)record->wanted;
    wire.runtime = (int32_t)record->runtime;
    wire.placement = (char *)(uintptr_t)record->placement;
    wire.starts = record->starts;
    wire.failed_reason = (char *)(uintptr_t)record->failed_reason;
    wire.failed_message = (char *)(uintptr_t)record->failed_message;
    wire.created_ms = record->created_ms;
    wire.changed_ms = record->changed_ms;
    wire.gone = record->gone;
    wire.served = record->served;
    wire.confirmed = record->confirmed;
    wire.image_digest = (char *)(uintptr_t)record->image_digest;
    *ret_len = protobuf_c_message_get_packed_size(&wire.base);
    *ret_data = malloc(*ret_len + 1);
    if (*ret_data != NULL)
        (void)protobuf_c_message_pack(&wire.base, *ret_data);
    openshell__compute__v1__driver_sandbox__free_unpacked(wire.sandbox, NULL);
    return *ret_data != NULL ? OSA_OK : osa_fail_errno(err, ENOMEM, "record");
}

static enum osa_code from_wire(const Wire *wire, struct record *ret)
{
    int wanted = (int)wire->wanted;
    if (wire->sandbox == NULL || wanted < WANTED_RUN || wanted > WANTED_DELETE ||
        wire->runtime < 0 || wire->runtime >= RUNTIME_KIND_COUNT ||
        (wire->image_digest[0] != '\0' && !image_digest_is(wire->image_digest)))
        return OSA_DATA_LOSS;
    *ret = (struct record){
        .wanted = (enum wanted)wanted,
        .runtime = (enum runtime_kind)wire->runtime,
        .starts = wire->starts,
        .created_ms = wire->created_ms,
        .changed_ms = wire->changed_ms,
        .gone = wire->gone,
        .served = wire->served,
        .confirmed = wire->confirmed,
    };
    (void)snprintf(ret->image_digest, sizeof(ret->image_digest), "%s", wire->image_digest);
    (void)snprintf(ret->placement, sizeof(ret->placement), "%s", wire->placement);
    (void)snprintf(ret->failed_reason, sizeof(ret->failed_reason), "%s", wire->failed_reason);
    (void)snprintf(ret->failed_message, sizeof(ret->failed_message), "%s", wire->failed_message);
    ret->wire_len = protobuf_c_message_get_packed_size(&wire->sandbox->base);
    ret->wire = malloc(ret->wire_len + 1);
    if (ret->wire == NULL)
        return OSA_RESOURCE_EXHAUSTED;
    (void)protobuf_c_message_pack(&wire->sandbox->base, ret->wire);
    return OSA_OK;
}

static enum osa_code record_read(struct store *store, const char *id, struct record *ret,
                                 struct osa_error *err)
{
    char path[PATH_MAX];
    OSA_AUTO(osa_free) char *data = NULL;
    size_t len = 0;
    store_path(store, id, "record", path);
    if (osa_read_file(AT_FDCWD, path, RECORD_BYTES, &data, &len, err) != OSA_OK)
        return err->code;
    Wire *wire = openshell__driver__v1__sandbox_record__unpack(NULL, len, (const uint8_t *)data);
    enum osa_code code = wire != NULL ? from_wire(wire, ret) : OSA_DATA_LOSS;
    if (wire != NULL)
        openshell__driver__v1__sandbox_record__free_unpacked(wire, NULL);
    if (code != OSA_OK)
        return osa_fail(err, code, 0,
                        "record '%s' cannot be read; move its directory away to start without it",
                        path);
    return OSA_OK;
}

/* ---- writing so that a power cut leaves the old or the new ---- */

static enum osa_code disk_error(struct osa_error *err, const char *what, const char *path)
{
    int failed = errno;
    return osa_fail(err,
                    failed == ENOSPC || failed == EDQUOT ? OSA_RESOURCE_EXHAUSTED : OSA_INTERNAL,
                    failed, "'%s' cannot be %s", path, what);
}

enum osa_code store_sync_dir(const char *path, struct osa_error *err)
{
    OSA_AUTO(osa_close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return disk_error(err, "made durable", path);
    return OSA_OK;
}

enum osa_code store_write_file(const char *path, const void *data, size_t len, bool durable,
                               struct osa_error *err)
{
    char temporary[PATH_MAX + 8];
    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    OSA_AUTO(osa_close_fd)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return disk_error(err, "made", temporary);
    int rc = osa_write_all(fd, data, len);
    if (rc < 0)
        errno = -rc;
    if (rc < 0 || (durable && fsync(fd) < 0)) {
        (void)disk_error(err, "written", temporary);
        (void)unlink(temporary);
        return err->code;
    }
    if (rename(temporary, path) < 0)
        return disk_error(err, "replaced", path);
    return OSA_OK;
}

enum osa_code store_update(struct store *store, const char *id, const struct record *record,
                           bool durable, struct osa_error *err)
{
    char path[PATH_MAX];
    OSA_AUTO(osa_free) uint8_t *data = NULL;
    size_t len = 0;
    if (record_pack(record, &data, &len, err) != OSA_OK)
        return err->code;
    store_path(store, id, "record", path);
    enum osa_code code = store_write_file(path, data, len, durable, err);
    if (code != OSA_OK || !durable)
        return code;
    store_path(store, id, "", path);
    return store_sync_dir(path, err);
}

/* ---- all of them ---- */

enum osa_code store_each(struct store *store,
                         enum osa_code (*fn)(void *ctx, const char *id, struct record *record,
                                             struct osa_error *err),
                         void *ctx, struct osa_error *err)
{
    char path[PATH_MAX];
    enum osa_code code = OSA_OK;
    store_path(store, "", "", path);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return disk_error(err, "read", path);
    for (struct dirent *entry; code == OSA_OK && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        struct record record;
        code = record_read(store, entry->d_name, &record, err);
        if (code == OSA_OK)
            code = fn(ctx, entry->d_name, &record, err);
        else if (code == OSA_NOT_FOUND) /* a Create that a crash cut short */
            code = store_remove(store, entry->d_name, err);
    }
    (void)closedir(dir);
    return code;
}
