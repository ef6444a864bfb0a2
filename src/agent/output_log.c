// SPDX-License-Identifier: Apache-2.0
#include "agent/output_log.h"

#include "base/macros.h"

#include <string.h>

/* First allocation: a line or two, as most processes write. */
#define FIRST_BYTES ((size_t)256)
#define FIRST_RUNS ((size_t)8)
/* Streams that alternate by single bytes cost a run each; this bounds runs to half of the bytes. */
#define BYTES_PER_RUN ((size_t)8)

static size_t kept(const struct output_log *log)
{
    return (size_t)(log->end - log->first);
}

static uint32_t *run_at(const struct output_log *log, size_t index)
{
    return &log->runs[(log->run_head + index) % log->run_size];
}

void output_log_init(struct output_log *log, size_t max)
{
    *log = (struct output_log){ .max = max };
}

void output_log_done(struct output_log *log)
{
    free(log->data);
    free(log->runs);
    *log = (struct output_log){ .max = log->max, .first = log->end, .end = log->end };
}

size_t output_log_memory(const struct output_log *log)
{
    return log->size + log->run_size * sizeof(*log->runs);
}

/* Forgets the oldest @len bytes; @len ≤ kept(). */
static void drop_front(struct output_log *log, size_t len)
{
    log->first += len;
    /* An empty ring begins anew, which keeps what follows in one piece. */
    log->head = log->first == log->end ? 0 : (log->head + len) % log->size;
    while (len > 0) {
        uint32_t *run = run_at(log, 0);
        size_t run_len = *run >> 1;
        if (run_len > len) {
            *run -= (uint32_t)len << 1;
            return;
        }
        len -= run_len;
        log->run_head = (log->run_head + 1) % log->run_size;
        log->run_count--;
        log->first_run++;
    }
}

/* Moves the contents into a ring of @size ≥ kept() bytes. Return: false without memory. */
static bool resize_data(struct output_log *log, size_t size)
{
    uint8_t *fresh = malloc(size);
    if (fresh == NULL)
        return false;
    size_t have = kept(log);
    size_t piece = OSA_MIN(have, log->size - log->head);
    if (piece > 0)
        memcpy(fresh, log->data + log->head, piece);
    if (have > piece)
        memcpy(fresh + piece, log->data, have - piece);
    free(log->data);
    log->data = fresh;
    log->size = size;
    log->head = 0;
    return true;
}

static bool resize_runs(struct output_log *log, size_t size)
{
    uint32_t *fresh = malloc(size * sizeof(*fresh));
    if (fresh == NULL)
        return false;
    for (size_t i = 0; i < log->run_count; i++)
        fresh[i] = *run_at(log, i);
    free(log->runs);
    log->runs = fresh;
    log->run_size = size;
    log->run_head = 0;
    return true;
}

/* Makes room for @len ≤ max bytes, first by growing, then by forgetting. Return: bytes of room, less without memory. */
static size_t make_room(struct output_log *log, size_t len)
{
    size_t need = kept(log) + len;
    if (need > log->size && log->size < log->max) {
        size_t want = OSA_MAX(OSA_MAX(need, log->size * 2), FIRST_BYTES);
        (void)resize_data(log, OSA_MIN(want, log->max));
    }
    len = OSA_MIN(len, log->size);
    if (kept(log) + len > log->size)
        drop_front(log, kept(log) + len - log->size);
    return len;
}

/* Return: false when there is no memory for the first runs at all. */
static bool make_run_room(struct output_log *log)
{
    if (log->run_count < log->run_size)
        return true;
    size_t bound = OSA_MAX(log->max / BYTES_PER_RUN, FIRST_RUNS);
    size_t want = OSA_MIN(OSA_MAX(log->run_size * 2, FIRST_RUNS), bound);
    if (want > log->run_size && resize_runs(log, want))
        return true;
    if (log->run_size == 0)
        return false;
    drop_front(log, *run_at(log, 0) >> 1);
    return true;
}

static bool add_run(struct output_log *log, enum output_stream stream, size_t len)
{
    uint32_t mark = stream == OUTPUT_STDERR;
    uint32_t *last = log->run_count > 0 ? run_at(log, log->run_count - 1) : NULL;
    if (last != NULL && (*last & 1) == mark) {
        *last += (uint32_t)len << 1;
        return true;
    }
    if (!make_run_room(log))
        return false;
    *run_at(log, log->run_count++) = (uint32_t)len << 1 | mark;
    return true;
}

static void skip(struct output_log *log, size_t len)
{
    if (len > 0) {
        drop_front(log, kept(log));
        log->end += len;
        log->first = log->end;
    }
}

void output_log_append(struct output_log *log, enum output_stream stream, const void *data,
                       size_t len)
{
    const uint8_t *from = data;
    size_t room = make_room(log, OSA_MIN(len, log->max));
    skip(log, len - room);
    from += len - room;
    len = room;
    if (len == 0)
        return;
    if (!add_run(log, stream, len)) {
        skip(log, len);
        return;
    }
    size_t tail = (log->head + kept(log)) % log->size;
    size_t piece = OSA_MIN(len, log->size - tail);
    memcpy(log->data + tail, from, piece);
    if (len > piece)
        memcpy(log->data, from + piece, len - piece);
    log->end += len;
}

void output_log_trim(struct output_log *log)
{
    if (kept(log) == 0)
        output_log_drop(log);
    else if (kept(log) < log->size)
        (void)resize_data(log, kept(log));
    if (log->run_count > 0 && log->run_count < log->run_size)
        (void)resize_runs(log, log->run_count);
}

void output_log_drop(struct output_log *log)
{
    uint64_t next_run = log->first_run + log->run_count;
    output_log_done(log);
    log->first_run = next_run;
}

struct output_cursor output_cursor_at(uint64_t offset)
{
    return (struct output_cursor){ .offset = offset };
}

/* Puts the cursor on the run that holds its offset, which is kept. */
static void seek_run(const struct output_log *log, struct output_cursor *cursor)
{
    /* The first run may have lost bytes at its front since: its start moves with @first. */
    if (cursor->run <= log->first_run) {
        cursor->run = log->first_run;
        cursor->run_start = log->first;
    }
    for (;;) {
        size_t len = *run_at(log, (size_t)(cursor->run - log->first_run)) >> 1;
        if (cursor->offset < cursor->run_start + len)
            return;
        cursor->run_start += len;
        cursor->run++;
    }
}

enum output_read output_log_read(const struct output_log *log, struct output_cursor *cursor,
                                 size_t max, struct output_chunk *ret_chunk)
{
    if (cursor->offset < log->first) {
        *ret_chunk =
            (struct output_chunk){ .offset = cursor->offset, .len = log->first - cursor->offset };
        cursor->offset = log->first;
        return OUTPUT_READ_GAP;
    }
    if (cursor->offset >= log->end)
        return OUTPUT_READ_NOTHING;
    seek_run(log, cursor);
    uint32_t run = *run_at(log, (size_t)(cursor->run - log->first_run));
    size_t at = (log->head + (size_t)(cursor->offset - log->first)) % log->size;
    uint64_t len = cursor->run_start + (run >> 1) - cursor->offset;
    len = OSA_MIN(OSA_MIN(len, (uint64_t)max), (uint64_t)(log->size - at));
    *ret_chunk = (struct output_chunk){
        .stream = (run & 1) != 0 ? OUTPUT_STDERR : OUTPUT_STDOUT,
        .offset = cursor->offset,
        .data = log->data + at,
        .len = len,
    };
    cursor->offset += len;
    return OUTPUT_READ_DATA;
}
