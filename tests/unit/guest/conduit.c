// SPDX-License-Identifier: Apache-2.0
/* Streams over a link between two ends in one loop: whole, bounded, ended and broken as sockets are. */
#include "guest/conduit.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cmocka_all.h"
#include "guest/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY 5u

struct end {
    struct link link;
    struct conduits conduits;
    struct osa_buf text; /* under way to the other */
    unsigned others;     /* frames of no stream */
};

static struct osa_loop *loop;
static struct end ends[2];
static int outside[2]; /* of each end's socket pair */
static bool jammed;    /* nothing gets from one end to the other */

static void on_text(struct link *link, const char *text, size_t len)
{
    assert_true(osa_buf_add(&OSA_CONTAINER_OF(link, struct end, link)->text, text, len));
}

static void on_frame(struct link *link, const struct link_frame *frame)
{
    struct end *end = OSA_CONTAINER_OF(link, struct end, link);
    if (!conduits_frame(&end->conduits, frame))
        end->others++;
}

static void on_drained(struct link *link)
{
    conduits_drained(&OSA_CONTAINER_OF(link, struct end, link)->conduits);
}

static bool carry(void)
{
    bool any = false;
    for (unsigned i = 0; i < 2 && !jammed; i++) {
        struct osa_buf text = ends[i].text;
        osa_buf_init(&ends[i].text, (size_t)64 << 20);
        any = any || text.len > 0;
        if (text.len > 0)
            link_feed(&ends[1 - i].link, text.data, text.len);
        osa_buf_done(&text);
    }
    return any;
}

/* Until nothing moves any more. */
static void settle(void)
{
    unsigned quiet = 0;
    while (quiet < 3) {
        bool ran = osa_loop_run_once(loop, osa_now_ns());
        quiet = carry() || ran ? 0 : quiet + 1;
    }
}

static int begin(void **state)
{
    struct osa_error err;
    (void)state;
    jammed = false;
    assert_int_equal(osa_loop_new(&loop, &err), OSA_OK);
    for (unsigned i = 0; i < 2; i++) {
        int pair[2];
        ends[i] =
            (struct end){ .link = { .send = on_text, .receive = on_frame, .drained = on_drained } };
        link_init(&ends[i].link);
        osa_buf_init(&ends[i].text, (size_t)64 << 20);
        conduits_init(&ends[i].conduits, loop, &ends[i].link);
        link_resume(&ends[i].link);
        assert_int_equal(osa_stream_pair(pair, &err), OSA_OK);
        conduit_begin(&ends[i].conduits, KEY, pair[0]);
        outside[i] = pair[1];
    }
    return 0;
}

static int finish(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        conduits_done(&ends[i].conduits);
        link_done(&ends[i].link);
        osa_buf_done(&ends[i].text);
        osa_replace_fd(&outside[i], -1);
    }
    osa_loop_free(loop);
    return 0;
}

static void assert_gone(void)
{
    settle();
    assert_int_equal(conduits_count(&ends[0].conduits), 0);
    assert_int_equal(conduits_count(&ends[1].conduits), 0);
}

static size_t give(int fd, size_t from, size_t total)
{
    char chunk[8192];
    for (size_t i = 0; i < sizeof(chunk); i++)
        chunk[i] = (char)((from + i) * 31 >> 3);
    ssize_t put = send(fd, chunk, OSA_MIN(sizeof(chunk), total - from), MSG_NOSIGNAL);
    assert_true(put > 0 || errno == EAGAIN);
    return put > 0 ? (size_t)put : 0;
}

static ssize_t take(int fd, size_t at)
{
    char chunk[9000];
    ssize_t got = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; i++)
        assert_int_equal((unsigned char)chunk[i], (unsigned char)((at + (size_t)i) * 31 >> 3));
    return got;
}

/* Both ways at once, each direction ended by itself. */
static void test_whole(void **state)
{
    enum { TOTAL = 1000003 };
    size_t given[2] = { 0 };
    size_t taken[2] = { 0 };
    bool end[2] = { false };
    (void)state;
    while (!end[0] || !end[1]) {
        for (unsigned i = 0; i < 2; i++) {
            if (given[i] < TOTAL) {
                given[i] += give(outside[i], given[i], TOTAL);
                if (given[i] == TOTAL)
                    assert_int_equal(shutdown(outside[i], SHUT_WR), 0);
            }
            ssize_t got = take(outside[i], taken[i]);
            taken[i] += got > 0 ? (size_t)got : 0;
            end[i] = end[i] || got == 0;
        }
        settle();
    }
    assert_int_equal(taken[0], TOTAL);
    assert_int_equal(taken[1], TOTAL);
    assert_gone();
}

/* What nobody takes is bounded, and all there once somebody does. */
static void test_slow_reader(void **state)
{
    size_t given = 0;
    size_t taken = 0;
    size_t before;
    (void)state;
    do {
        before = given;
        for (unsigned i = 0; i < 40; i++)
            given += give(outside[0], given, SIZE_MAX);
        settle();
    } while (given > before);
    assert_true(given < (size_t)4 << 20); /* the windows, and four sockets' buffers */
    while (taken < given) {
        ssize_t got = take(outside[1], taken);
        taken += got > 0 ? (size_t)got : 0;
        settle();
    }
    osa_replace_fd(&outside[0], -1);
    settle();
    assert_int_equal(take(outside[1], taken), 0);
}

/* A full link holds the sockets' bytes back, too, and goes on with all of them. */
static void test_full_link(void **state)
{
    enum { TOTAL = 700000 };
    size_t given = 0;
    size_t taken = 0;
    (void)state;
    jammed = true;
    for (unsigned i = 0; i < 400 && given < TOTAL; i++) {
        given += give(outside[0], given, TOTAL);
        settle();
    }
    assert_true(ends[0].text.len <= 2 * LINK_WINDOW_BYTES);
    jammed = false;
    while (taken < TOTAL) {
        if (given < TOTAL)
            given += give(outside[0], given, TOTAL);
        settle();
        ssize_t got = take(outside[1], taken);
        taken += got > 0 ? (size_t)got : 0;
    }
    assert_int_equal(taken, TOTAL);
}

/* The end of one direction leaves the other. */
static void test_half_closed(void **state)
{
    char byte;
    (void)state;
    assert_int_equal(shutdown(outside[0], SHUT_WR), 0);
    settle();
    assert_int_equal(recv(outside[1], &byte, 1, 0), 0);
    assert_int_equal(send(outside[1], "x", 1, 0), 1);
    settle();
    assert_int_equal(recv(outside[0], &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(conduits_count(&ends[0].conduits), 1);
    osa_replace_fd(&outside[1], -1);
    assert_gone();
}

/* Who closes is told of at the other end, where what he had written before still arrives. */
static void test_closed(void **state)
{
    char bytes[8];
    (void)state;
    assert_int_equal(send(outside[0], "last", 4, 0), 4);
    osa_replace_fd(&outside[0], -1);
    settle();
    assert_int_equal(recv(outside[1], bytes, sizeof(bytes), 0), 4);
    assert_int_equal(recv(outside[1], bytes, sizeof(bytes), 0), 0);
    assert_int_equal(send(outside[1], "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    assert_gone();
}

/* Nobody reads on one side, and it goes away: the writer on the other learns of it. */
static void test_reader_gone(void **state)
{
    size_t given = 0;
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        given += give(outside[0], given, SIZE_MAX);
        settle();
    }
    osa_replace_fd(&outside[1], -1);
    settle();
    assert_int_equal(send(outside[0], "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    assert_gone();
}

static void test_refused(void **state)
{
    char byte;
    (void)state;
    conduits_done(&ends[1].conduits);
    conduit_refuse(&ends[1].conduits, KEY);
    settle();
    assert_int_equal(recv(outside[0], &byte, 1, 0), 0);
    assert_int_equal(conduits_count(&ends[0].conduits), 0);
}

/* More than there is room for, or anything after the end, breaks the stream and nothing else. */
static void test_hostile(void **state)
{
    static const char chunk[GUEST_CHUNK_BYTES];
    static const uint64_t much = UINT64_MAX;
    (void)state;
    link_send(&ends[1].link, GUEST_STREAM_ROOM, KEY, &much, sizeof(much));
    link_send(&ends[1].link, GUEST_STREAM_ROOM, KEY, &much, 3);
    link_send(&ends[1].link, GUEST_STREAM_DATA, KEY + 1, chunk, 1); /* of nobody */
    settle();
    assert_int_equal(conduits_count(&ends[0].conduits), 1);
    for (unsigned i = 0; i < 64; i++)
        link_send(&ends[1].link, GUEST_STREAM_DATA, KEY, chunk, sizeof(chunk));
    settle();
    assert_int_equal(conduits_count(&ends[0].conduits), 0);
    assert_int_equal(ends[0].others, 0);
}

static void test_after_end(void **state)
{
    (void)state;
    link_send(&ends[1].link, GUEST_STREAM_END, KEY, NULL, 0);
    link_send(&ends[1].link, GUEST_STREAM_DATA, KEY, "x", 1);
    assert_gone();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_whole),       TEST(test_slow_reader), TEST(test_full_link),
        TEST(test_half_closed), TEST(test_closed),      TEST(test_reader_gone),
        TEST(test_refused),     TEST(test_hostile),     TEST(test_after_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
