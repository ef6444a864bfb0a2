// SPDX-License-Identifier: Apache-2.0
/* What record.c and store.c share. */
#pragma once

#include "driver/record.h"

/** struct store - @lock_fd holds DIR/lock */
struct store {
    const char *dir;
    int lock_fd;
};

/** store_write_file() - Replace @path by way of @path.new, mode 0600, synced if @durable. The old one stands on failure */
OSA_MUST_CHECK enum osa_code store_write_file(const char *path, const void *data, size_t len,
                                              bool durable, struct osa_error *err);

/** store_sync_dir() - Make the names in a directory durable. Source: fsync(2), "does not necessarily ensure" */
OSA_MUST_CHECK enum osa_code store_sync_dir(const char *path, struct osa_error *err);
