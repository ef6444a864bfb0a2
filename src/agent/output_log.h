// SPDX-License-Identifier: Apache-2.0
/*
 * The bounded memory of what a process wrote.
 *
 * One domain of byte offsets covers stdout and stderr in the order of arrival. The newest bytes are
 * kept, up to a bound; memory grows as they come, so a quiet process costs nothing. Which stream
 * the bytes belong to is kept as runs: lengths of consecutive bytes of one stream.
 *
 * Readers hold a cursor and pull. A reader that is too slow finds its offset gone and is told how
 * many bytes it lost; nobody ever waits for a reader.
 */
#pragma once

#include "backends/backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct output_log - Embedded in its process
 * @first: offset of the oldest byte that is kept
 * @end:   offset behind the newest byte; also the number of bytes ever written
 * Others are private: @data is a ring of @size ≤ @max bytes that begins at @head; @runs a ring of
 * @run_size entries, each length × 2 + (1 for stderr), numbered from @first_run on.
 */
struct output_log {
    uint64_t first;
    uint64_t end;
    size_t max;
    uint8_t *data;
    size_t size;
    size_t head;
    uint32_t *runs;
    size_t run_size;
    size_t run_head;
    size_t run_count;
    uint64_t first_run;
};

/**
 * struct output_cursor - Where a reader is
 * @offset: of the next byte that it wants
 * @run, @run_start: private: the run that holds @offset, and where that run begins
 */
struct output_cursor {
    uint64_t offset;
    uint64_t run;
    uint64_t run_start;
};

enum output_read { OUTPUT_READ_NOTHING, OUTPUT_READ_DATA, OUTPUT_READ_GAP };

/** struct output_chunk - Bytes of one stream; @data is borrowed until the log changes. A gap has @len bytes and no @data */
struct output_chunk {
    enum output_stream stream;
    uint64_t offset;
    const uint8_t *data;
    uint64_t len;
};

/** output_log_init() - An empty log of at most @max bytes (1 to 2^30); allocates nothing */
void output_log_init(struct output_log *log, size_t max);

/** output_log_done() - Free it */
void output_log_done(struct output_log *log);

/** output_log_append() - The next bytes. Never fails: without memory older bytes go earlier */
void output_log_append(struct output_log *log, enum output_stream stream, const void *data,
                       size_t len);

/** output_log_trim() - Nothing will be appended: give back memory that was kept for growth */
void output_log_trim(struct output_log *log);

/** output_log_drop() - Forget all bytes; offsets go on */
void output_log_drop(struct output_log *log);

/** output_log_memory() - Bytes of heap in use */
size_t output_log_memory(const struct output_log *log);

/** output_cursor_at() - A cursor at @offset; the caller bounds it by the log's end; older than what is kept gives a gap */
struct output_cursor output_cursor_at(uint64_t offset);

/**
 * output_log_read() - What comes next for this reader; moves the cursor past it
 * @max: at most so many bytes; a chunk is of one stream and contiguous, so often less
 * Return: DATA or GAP with *ret_chunk filled, or NOTHING when the reader has all.
 */
enum output_read output_log_read(const struct output_log *log, struct output_cursor *cursor,
                                 size_t max, struct output_chunk *ret_chunk);
