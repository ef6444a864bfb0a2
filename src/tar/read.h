// SPDX-License-Identifier: Apache-2.0
/* A tar archive taken apart as its bytes arrive, in whatever pieces. Touches no file. */
#pragma once

#include "tar/format.h"

struct tar_reader;

/**
 * struct tar_sink - Who gets the entries. A function that fails ends the reading, with its error
 * @entry: the next one; its strings are borrowed for the call
 * @data:  its next bytes; their sum is entry->size
 * @end:   all of them have come; also for entries without data
 */
struct tar_sink {
    enum osa_code (*entry)(struct tar_sink *self, const struct tar_entry *entry,
                           struct osa_error *err);
    enum osa_code (*data)(struct tar_sink *self, const void *data, size_t len,
                          struct osa_error *err);
    enum osa_code (*end)(struct tar_sink *self, struct osa_error *err);
};

/**
 * tar_reader_new() - A reader at the beginning of an archive
 * @sink: borrowed, outlives the reader
 * Memory is bounded by TAR_EXTENDED_MAX, whatever the archive says. Return: NULL without memory.
 */
struct tar_reader *tar_reader_new(struct tar_sink *sink);

/**
 * tar_reader_feed() - The next bytes of the stream
 * What follows the end mark is ignored, as padding to whole records. After a failure the same error
 * is answered again.
 * Return: OSA_OK; INVALID_ARGUMENT: malformed, or of a kind that is not supported; what the sink says.
 */
OSA_MUST_CHECK enum osa_code tar_reader_feed(struct tar_reader *reader, const void *data,
                                             size_t len, struct osa_error *err);

/** tar_reader_finish() - The stream has ended. Return: OSA_OK when the archive is whole; INVALID_ARGUMENT; an earlier failure */
OSA_MUST_CHECK enum osa_code tar_reader_finish(struct tar_reader *reader, struct osa_error *err);

/** tar_reader_free() - Free @reader; nothing is called. NULL is fine */
void tar_reader_free(struct tar_reader *reader);
