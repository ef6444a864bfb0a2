// SPDX-License-Identifier: Apache-2.0
#include "agent/events.h"
#include "base/macros.h"

#include "cmocka_all.h"

#include <stdio.h>

struct probe {
    struct event_reader reader;
    struct events *events;
    uint64_t next;
    unsigned calls;
    bool stop_after_first;
};

static void on_ready(struct event_reader *reader)
{
    struct probe *probe = OSA_CONTAINER_OF(reader, struct probe, reader);
    probe->calls++;
    while (events_get(probe->events, probe->next) != NULL)
        probe->next++;
    if (probe->stop_after_first)
        events_unwatch(probe->events, reader);
}

static void add(struct events *events, unsigned n)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "event %u", n);
    events_add(events, &(struct event){ .type = EVENT_SIGNALED, .message = text });
}

static void test_numbers_have_no_holes(void **state)
{
    (void)state;
    struct events *events = events_new(10);
    assert_int_equal(events_next(events), 1);
    assert_int_equal(events_first(events), 1);
    assert_null(events_get(events, 1));
    for (unsigned i = 1; i <= 35; i++)
        add(events, i);
    assert_int_equal(events_first(events), 26);
    assert_int_equal(events_next(events), 36);
    assert_null(events_get(events, 25));
    assert_null(events_get(events, 36));
    for (uint64_t n = 26; n <= 35; n++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "event %u", (unsigned)n);
        const struct event *event = events_get(events, n);
        assert_non_null(event);
        assert_int_equal(event->sequence, n);
        assert_string_equal(event->message, text);
        assert_string_equal(event->sandbox_id, "");
        assert_null(event->exit);
        assert_true(event->wall_ns > 0);
    }
    events_free(events);
}

static void test_exit_is_copied(void **state)
{
    (void)state;
    struct events *events = events_new(2);
    struct process_exit exit = { .reason = EXIT_REASON_EXITED, .code = 7 };
    char id[] = "p-1";
    events_add(events,
               &(struct event){ .type = EVENT_PROCESS_EXITED, .process_id = id, .exit = &exit });
    exit.code = 8;
    id[2] = '2';
    assert_int_equal(events_get(events, 1)->exit->code, 7);
    assert_string_equal(events_get(events, 1)->process_id, "p-1");
    events_free(events);
}

static void test_readers(void **state)
{
    (void)state;
    struct events *events = events_new(100);
    struct probe all = { .reader.ready = on_ready, .events = events, .next = 1 };
    struct probe once = all;
    once.stop_after_first = true;
    events_watch(events, &once.reader);
    events_watch(events, &all.reader);
    for (unsigned i = 0; i < 5; i++)
        add(events, i);
    assert_int_equal(all.calls, 5);
    assert_int_equal(all.next, 6);
    assert_int_equal(once.calls, 1);
    events_unwatch(events, &all.reader);
    events_unwatch(events, &all.reader);
    add(events, 9);
    assert_int_equal(all.calls, 5);
    events_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_have_no_holes),
        cmocka_unit_test(test_exit_is_copied),
        cmocka_unit_test(test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
