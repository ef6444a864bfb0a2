// SPDX-License-Identifier: Apache-2.0
/* Two ends of a link over a transport that loses, repeats and cuts. */
#include "guest/link.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

struct end {
    struct link link;
    struct end *peer;
    struct osa_buf text; /* under way to the peer */
    struct osa_buf got;
    unsigned frames;
    unsigned drained;
    uint64_t last_key;
};

static void on_text(struct link *link, const char *text, size_t len)
{
    struct end *end = OSA_CONTAINER_OF(link, struct end, link);
    assert_true(osa_buf_add(&end->text, text, len));
    for (size_t i = 0; i < len; i++)
        assert_true(text[i] == '\n' ||
                    (text[i] >= '+' && text[i] <= 'z')); /* never split as UTF-8 */
}

static void on_frame(struct link *link, const struct link_frame *frame)
{
    struct end *end = OSA_CONTAINER_OF(link, struct end, link);
    end->frames++;
    end->last_key = frame->key;
    assert_int_equal(frame->type, 7);
    assert_true(osa_buf_add(&end->got, frame->body, frame->len));
}

static void on_drained(struct link *link)
{
    OSA_CONTAINER_OF(link, struct end, link)->drained++;
}

static void open_end(struct end *end)
{
    *end = (struct end){ .link = { .send = on_text, .receive = on_frame, .drained = on_drained } };
    link_init(&end->link);
    osa_buf_init(&end->text, (size_t)64 << 20);
    osa_buf_init(&end->got, (size_t)64 << 20);
}

static void close_end(struct end *end)
{
    link_done(&end->link);
    osa_buf_done(&end->text);
    osa_buf_done(&end->got);
}

static bool carry(struct end *from, struct end *to)
{
    struct osa_buf text = from->text;
    if (text.len == 0)
        return false;
    osa_buf_init(&from->text, (size_t)64 << 20);
    link_feed(&to->link, text.data, text.len);
    osa_buf_done(&text);
    return true;
}

static void settle(struct end *a, struct end *b)
{
    for (unsigned i = 0; carry(a, b) | carry(b, a); i++)
        assert_true(i < 10000);
}

static void open_pair(struct end *a, struct end *b)
{
    open_end(a);
    open_end(b);
    link_resume(&a->link);
    link_resume(&b->link);
    settle(a, b);
}

static void test_bytes(void **state)
{
    struct end a, b;
    char all[256];
    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    open_pair(&a, &b);
    for (size_t len = 0; len <= sizeof(all); len++)
        link_send(&a.link, 7, len, all, len);
    settle(&a, &b);
    assert_int_equal(b.frames, 257);
    assert_int_equal(b.last_key, 256);
    assert_memory_equal(b.got.data + b.got.len - 256, all, 256);
    link_poke(&b.link); /* what has been received is told in bulk, or now and then */
    settle(&a, &b);
    assert_null(a.link.sent);
    close_end(&a);
    close_end(&b);
}

/* More than the window waits until the peer has told that it has the first; then who waits is told. */
static void test_window(void **state)
{
    static char block[16 << 10];
    struct end a, b;
    (void)state;
    open_pair(&a, &b);
    for (unsigned i = 0; i < 40; i++) {
        memset(block, (int)i, sizeof(block));
        link_send(&a.link, 7, i, block, sizeof(block));
    }
    assert_true(link_is_full(&a.link));
    assert_true(a.text.len <= LINK_WINDOW_BYTES + 64);
    settle(&a, &b);
    assert_false(link_is_full(&a.link));
    assert_int_equal(a.drained, 1);
    assert_int_equal(b.frames, 40);
    assert_int_equal(b.got.len, 40 * sizeof(block));
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(b.got.data[i * sizeof(block)], i);
    close_end(&a);
    close_end(&b);
}

/* A frame that is longer than the whole window goes when nothing else is under way. */
static void test_long_frame(void **state)
{
    static char block[1 << 20];
    struct end a, b;
    (void)state;
    memset(block, 'x', sizeof(block));
    open_pair(&a, &b);
    link_send(&a.link, 7, 1, block, sizeof(block));
    link_send(&a.link, 7, 2, "y", 1);
    settle(&a, &b);
    assert_int_equal(b.frames, 2);
    assert_int_equal(b.got.len, sizeof(block) + 1);
    close_end(&a);
    close_end(&b);
}

static void send_numbers(struct end *a, unsigned from, unsigned to)
{
    char text[16];
    for (unsigned i = from; i < to; i++) {
        int len = snprintf(text, sizeof(text), "%u ", i);
        link_send(&a->link, 7, i, text, (size_t)len);
    }
}

static void expect_numbers(const struct end *b, unsigned to)
{
    char want[1 << 14] = "";
    size_t len = 0;
    for (unsigned i = 0; i < to; i++)
        len += (size_t)snprintf(want + len, sizeof(want) - len, "%u ", i);
    assert_int_equal(b->got.len, len);
    assert_memory_equal(b->got.data, want, len);
}

/* Every part of the text is lost once, in turn, whatever it cuts apart. */
static void test_loss(void **state)
{
    (void)state;
    for (size_t hole = 0; hole < 600; hole += 7) {
        struct end a, b;
        open_pair(&a, &b);
        send_numbers(&a, 0, 10);
        size_t at = OSA_MIN(hole, a.text.len - 1);
        size_t len = OSA_MIN((size_t)97, a.text.len - at);
        memmove(a.text.data + at, a.text.data + at + len, a.text.len - at - len);
        a.text.len -= len;
        settle(&a, &b);
        send_numbers(&a, 10, 20); /* which shows what is missing, if it was the last */
        settle(&a, &b);
        link_poke(&b.link);
        settle(&a, &b);
        expect_numbers(&b, 20);
        close_end(&a);
        close_end(&b);
    }
}

/* Text that the server puts in between is not a frame, and costs none. */
static void test_foreign_text(void **state)
{
    static const char note[] = "[boxlite] stdout output dropped 512 bytes\r\n";
    struct end a, b;
    (void)state;
    open_pair(&a, &b);
    send_numbers(&a, 0, 3);
    link_feed(&b.link, note, sizeof(note) - 1);
    settle(&a, &b);
    send_numbers(&a, 3, 5);
    settle(&a, &b);
    expect_numbers(&b, 5);
    close_end(&a);
    close_end(&b);
}

/* The transport breaks with frames under way both ways; the new one begins with an old part played again. */
static void test_resume(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 700; cut += 13) {
        struct end a, b;
        struct osa_buf replay;
        open_pair(&a, &b);
        send_numbers(&a, 0, 8);
        osa_buf_init(&replay, 1 << 20);
        assert_true(osa_buf_add(&replay, a.text.data, a.text.len));
        a.text.len = OSA_MIN(cut, a.text.len); /* what got through */
        carry(&a, &b);
        osa_buf_reset(&b.text);
        link_pause(&a.link);
        send_numbers(&a, 8, 12);
        assert_int_equal(a.text.len, 0);
        link_feed(&b.link, replay.data + cut % 31,
                  replay.len - cut % 31); /* as the server does it */
        link_resume(&a.link);
        settle(&a, &b);
        expect_numbers(&b, 12);
        osa_buf_done(&replay);
        close_end(&a);
        close_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),        cmocka_unit_test(test_window),
        cmocka_unit_test(test_long_frame),   cmocka_unit_test(test_loss),
        cmocka_unit_test(test_foreign_text), cmocka_unit_test(test_resume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
