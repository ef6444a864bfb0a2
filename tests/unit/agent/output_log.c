// SPDX-License-Identifier: Apache-2.0
#include "agent/output_log.h"
#include "base/macros.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

static void add(struct output_log *log, enum output_stream stream, const char *text)
{
    output_log_append(log, stream, text, strlen(text));
}

/* Reads all that there is, as "O0:text E3:text !5+7" with offsets and gaps. */
static void assert_reads(const struct output_log *log, struct output_cursor *cursor, size_t max,
                         const char *want)
{
    char got[4096] = "";
    struct output_chunk chunk;
    enum output_read kind;
    while ((kind = output_log_read(log, cursor, max, &chunk)) != OUTPUT_READ_NOTHING) {
        char piece[512];
        if (kind == OUTPUT_READ_GAP)
            (void)snprintf(piece, sizeof(piece), "!%llu+%llu ", (unsigned long long)chunk.offset,
                           (unsigned long long)chunk.len);
        else
            (void)snprintf(
                piece, sizeof(piece), "%c%llu:%.*s ", chunk.stream == OUTPUT_STDERR ? 'E' : 'O',
                (unsigned long long)chunk.offset, (int)chunk.len, (const char *)chunk.data);
        (void)strncat(got, piece, sizeof(got) - strlen(got) - 1);
    }
    assert_string_equal(got, want);
}

static void test_quiet_costs_nothing(void **state)
{
    (void)state;
    struct output_log log;
    struct output_cursor cursor = output_cursor_at(0);
    output_log_init(&log, 1 << 20);
    assert_int_equal(output_log_memory(&log), 0);
    assert_reads(&log, &cursor, 100, "");
    add(&log, OUTPUT_STDOUT, "hello\n");
    assert_in_range(output_log_memory(&log), 6, 4096);
    output_log_trim(&log);
    assert_in_range(output_log_memory(&log), 6, 16);
    assert_reads(&log, &cursor, 100, "O0:hello\n ");
    output_log_done(&log);
}

static void test_streams_in_order_of_arrival(void **state)
{
    (void)state;
    struct output_log log;
    struct output_cursor cursor = output_cursor_at(0);
    output_log_init(&log, 1000);
    add(&log, OUTPUT_STDOUT, "ab");
    add(&log, OUTPUT_STDOUT, "c");
    add(&log, OUTPUT_STDERR, "de");
    add(&log, OUTPUT_STDOUT, "f");
    assert_reads(&log, &cursor, 100, "O0:abc E3:de O5:f ");
    assert_reads(&log, &cursor, 100, "");
    add(&log, OUTPUT_STDOUT, "g");
    assert_reads(&log, &cursor, 100, "O6:g ");
    cursor = output_cursor_at(4);
    assert_reads(&log, &cursor, 1, "E4:e O5:f O6:g ");
    output_log_done(&log);
}

static void test_gap_tells_what_was_lost(void **state)
{
    (void)state;
    struct output_log log;
    struct output_cursor slow = output_cursor_at(0);
    struct output_chunk chunk;
    output_log_init(&log, 8);
    add(&log, OUTPUT_STDOUT, "0123");
    assert_int_equal(output_log_read(&log, &slow, 2, &chunk), OUTPUT_READ_DATA);
    add(&log, OUTPUT_STDERR, "4567");
    add(&log, OUTPUT_STDOUT, "89");
    add(&log, OUTPUT_STDERR, "abc");
    assert_int_equal(log.first, 5);
    assert_int_equal(log.end, 13);
    assert_reads(&log, &slow, 100, "!2+3 E5:567 O8:89 E10:abc ");
    output_log_done(&log);
}

static void test_larger_than_the_bound(void **state)
{
    (void)state;
    struct output_log log;
    struct output_cursor cursor = output_cursor_at(0);
    output_log_init(&log, 4);
    add(&log, OUTPUT_STDOUT, "ab");
    add(&log, OUTPUT_STDERR, "0123456789");
    assert_reads(&log, &cursor, 100, "!0+8 E8:6789 ");
    output_log_drop(&log);
    add(&log, OUTPUT_STDOUT, "z");
    cursor = output_cursor_at(10);
    assert_reads(&log, &cursor, 100, "!10+2 O12:z ");
    output_log_done(&log);
}

/* The ring against a plain copy of everything, with many readers that keep their cursors. */
static void test_against_a_plain_copy(void **state)
{
    (void)state;
    enum { TOTAL = 20000, READERS = 7 };
    static char bytes[TOTAL];
    static char streams[TOTAL];
    struct output_log log;
    struct output_cursor readers[READERS] = { 0 };
    unsigned seed = 1;
    size_t end = 0;
    output_log_init(&log, 700);
    while (end < TOTAL) {
        seed = seed * 1103515245u + 12345u;
        size_t len = OSA_MIN((size_t)(seed >> 16) % 90, TOTAL - end);
        char stream = (seed >> 8 & 3) == 0;
        for (size_t i = 0; i < len; i++) {
            bytes[end + i] = (char)(seed >> (i % 24));
            streams[end + i] = stream;
        }
        output_log_append(&log, stream ? OUTPUT_STDERR : OUTPUT_STDOUT, bytes + end, len);
        end += len;
        assert_int_equal(log.end, end);
        assert_in_range(log.end - log.first, OSA_MIN(end, (size_t)1), 700);
        assert_in_range(output_log_memory(&log), 0, 700 + 700 / 2 + 64);
        struct output_cursor *cursor = &readers[seed >> 20 & 7 % READERS];
        for (unsigned i = 0; i < (seed >> 12 & 7); i++) {
            struct output_chunk chunk;
            uint64_t before = cursor->offset;
            enum output_read kind = output_log_read(&log, cursor, 50, &chunk);
            if (kind == OUTPUT_READ_NOTHING)
                break;
            assert_int_equal(chunk.offset, before);
            assert_int_equal(cursor->offset, before + chunk.len);
            for (size_t k = 0; kind == OUTPUT_READ_DATA && k < chunk.len; k++) {
                assert_int_equal(chunk.data[k], (uint8_t)bytes[before + k]);
                assert_int_equal(chunk.stream == OUTPUT_STDERR, streams[before + k]);
            }
        }
    }
    output_log_done(&log);
}

static void test_alternating_streams_stay_bounded(void **state)
{
    (void)state;
    struct output_log log;
    output_log_init(&log, 4096);
    for (unsigned i = 0; i < 100000; i++)
        output_log_append(&log, i % 2 != 0 ? OUTPUT_STDERR : OUTPUT_STDOUT, "x", 1);
    assert_int_equal(log.end, 100000);
    assert_int_equal(log.end - log.first, 4096 / 8);
    assert_in_range(output_log_memory(&log), 512, 4096 + 4096 / 2);
    output_log_done(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet_costs_nothing),
        cmocka_unit_test(test_streams_in_order_of_arrival),
        cmocka_unit_test(test_gap_tells_what_was_lost),
        cmocka_unit_test(test_larger_than_the_bound),
        cmocka_unit_test(test_against_a_plain_copy),
        cmocka_unit_test(test_alternating_streams_stay_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
