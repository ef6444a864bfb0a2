// SPDX-License-Identifier: Apache-2.0
/*
 * What survives the driver: a directory for each sandbox, and in it a record.
 *
 *   DIR/sandboxes/ID/record   SandboxRecord of proto/openshell/driver/v1; replaced, never changed
 *   DIR/sandboxes/ID/token    the sandbox's token for the gateway, mode 0600
 *   DIR/sandboxes/ID/run      run file of its agent (base/child.h)
 *   DIR/sandboxes/ID/log      what its agent wrote
 *   DIR/sandboxes/ID/changes  what it changed in its image's root: "upper" and "work" of an overlay
 *   DIR/work/ID               its working directory, of the sandbox's user
 *   DIR/run/HASH.sock         where its agent listens; HASH since a socket's path must be short
 *
 * A sandbox exists from the moment at which its record has its name: what a crash left before is a
 * directory without one, and is removed. Files and not a database: a few small records, one writer,
 * each beside the other files of its sandbox and gone with them by one rename.
 */
#pragma once

#include "backends/backend.h"
#include "base/error.h"
#include "driver/image_ref.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers equal openshell.driver.v1.SandboxRecord.Wanted. */
enum wanted { WANTED_RUN = 1, WANTED_STOP = 2, WANTED_DELETE = 3 };

/**
 * struct record - In its owner's storage
 * @wire, @wire_len: the DriverSandbox without its token, packed; owned
 * @image_digest: what its image was found to be; "" before that, and for the host's root
 */
struct record {
    uint8_t *wire;
    size_t wire_len;
    enum wanted wanted;
    enum runtime_kind runtime;
    char placement[256];
    uint64_t starts;
    char failed_reason[64];
    char failed_message[512];
    int64_t created_ms;
    int64_t changed_ms;
    bool gone;
    bool served;
    bool confirmed;
    char image_digest[IMAGE_DIGEST_BYTES];
};

struct store;

/**
 * store_open() - Make the directories, lock them, and remove what a crash has left
 * @dir: absolute; borrowed until store_close()
 * Return: OSA_OK; FAILED_PRECONDITION: another driver has them, or others may write there; INTERNAL.
 */
OSA_MUST_CHECK enum osa_code store_open(const char *dir, struct store **ret_store,
                                        struct osa_error *err);

/** store_close() - NULL is fine */
void store_close(struct store *store);

/** store_each() - Call @fn for each record; a record that cannot be read is an error that names it */
OSA_MUST_CHECK enum osa_code store_each(struct store *store,
                                        enum osa_code (*fn)(void *ctx, const char *id,
                                                            struct record *record,
                                                            struct osa_error *err),
                                        void *ctx, struct osa_error *err);

/**
 * store_create() - A new sandbox: its directory, token and record, all or nothing
 * @uid, @gid: who owns its working directory
 * Return: OSA_OK: it survives a power cut; ALREADY_EXISTS; RESOURCE_EXHAUSTED (disk full); INTERNAL.
 */
OSA_MUST_CHECK enum osa_code store_create(struct store *store, const char *id,
                                          const struct record *record, const char *token,
                                          uint32_t uid, uint32_t gid, struct osa_error *err);

/**
 * store_update() - Replace the record. On failure the old one stands
 * @durable: it must survive a power cut too; else it survives a crash of the driver only, which costs
 *           no wait for the disk
 */
OSA_MUST_CHECK enum osa_code store_update(struct store *store, const char *id,
                                          const struct record *record, bool durable,
                                          struct osa_error *err);

/** store_clear() - Remove all files of a sandbox but the record */
OSA_MUST_CHECK enum osa_code store_clear(struct store *store, const char *id,
                                         struct osa_error *err);

/** store_remove() - Remove what is left. One that is gone is fine */
OSA_MUST_CHECK enum osa_code store_remove(struct store *store, const char *id,
                                          struct osa_error *err);

/** store_path() - "DIR/sandboxes/ID/NAME"; @ret_path has PATH_MAX bytes */
void store_path(const struct store *store, const char *id, const char *name, char *ret_path);
/** store_work_path() - "DIR/work/ID" */
void store_work_path(const struct store *store, const char *id, char *ret_path);
/** store_socket_path() - "DIR/run/HASH.sock", at most 107 bytes */
void store_socket_path(const struct store *store, const char *id, char *ret_path);

/** record_done() - Free what it holds */
void record_done(struct record *record);
