// SPDX-License-Identifier: Apache-2.0
/*
 * A line is base64 of a head and a body. Frames of type 0 have no number and carry only the
 * acknowledgement and the wish for a resend that every head has.
 */
#include "guest/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define FNV_OFFSET 2166136261u /* the 32-bit parameters of FNV-1a */
#define FNV_PRIME 16777619u
/* An acknowledgement is due after so many bytes, so that the peer never waits for one. */
#define TELL_BYTES (LINK_WINDOW_BYTES / 4)

enum { HEAD_RESEND = 1u << 0 };

struct head {
    uint32_t check;  /* FNV-1a of all that follows */
    uint32_t length; /* of the body */
    uint32_t number;
    uint32_t acknowledged;
    uint32_t type;
    uint32_t flags;
    uint64_t key;
};
static_assert(sizeof(struct head) == 32, "the head has no padding");

struct link_sent {
    struct link_sent *prev, *next;
    uint32_t number;
    uint32_t type;
    uint64_t key;
    size_t text_len; /* of its line */
    size_t len;
    char body[];
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- text ---- */

static uint32_t check_of(const char *data, size_t len)
{
    uint32_t sum = FNV_OFFSET;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ (unsigned char)data[i]) * FNV_PRIME;
    return sum;
}

static size_t text_length(size_t bytes)
{
    return (bytes + 2) / 3 * 4 + 1;
}

static void encode(const unsigned char *data, size_t len, char *to)
{
    size_t i = 0;
    for (; i + 2 < len; i += 3, to += 4) {
        uint32_t word = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
        to[0] = alphabet[word >> 18];
        to[1] = alphabet[word >> 12 & 63];
        to[2] = alphabet[word >> 6 & 63];
        to[3] = alphabet[word & 63];
    }
    if (i < len) {
        uint32_t word = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0);
        to[0] = alphabet[word >> 18];
        to[1] = alphabet[word >> 12 & 63];
        to[2] = i + 1 < len ? alphabet[word >> 6 & 63] : '=';
        to[3] = '=';
        to += 4;
    }
    *to = '\n';
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

static bool decode(const char *text, size_t len, struct osa_buf *to)
{
    osa_buf_reset(to);
    if (len == 0 || len % 4 != 0)
        return false;
    size_t pads = (text[len - 1] == '=') + (size_t)(text[len - 2] == '=');
    char *out = osa_buf_reserve(to, len / 4 * 3);
    if (out == NULL)
        return false;
    for (size_t i = 0; i < len; i += 4) {
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = i + k >= len - pads ? 0 : digit(text[i + k]);
            if (value < 0)
                return false;
            word = word << 6 | (uint32_t)value;
        }
        *out++ = (char)(word >> 16);
        *out++ = (char)(word >> 8);
        *out++ = (char)word;
    }
    to->len += len / 4 * 3 - pads;
    return true;
}

/* ---- out ---- */

static void put_line(struct link *link, uint32_t flags, uint32_t number, uint32_t type,
                     uint64_t key, const char *body, size_t len)
{
    size_t bytes = sizeof(struct head) + len;
    unsigned char *raw = malloc(bytes);
    char *text = malloc(text_length(bytes));
    if (raw == NULL || text == NULL)
        abort();
    struct head head = { .length = (uint32_t)len,
                         .number = number,
                         .acknowledged = link->received,
                         .type = type,
                         .flags = flags,
                         .key = key };
    memcpy(raw, &head, sizeof(head));
    if (len > 0)
        memcpy(raw + sizeof(head), body, len);
    head.check = check_of((const char *)raw + sizeof(head.check), bytes - sizeof(head.check));
    memcpy(raw, &head.check, sizeof(head.check));
    encode(raw, bytes, text);
    free(raw);
    link->told = link->received;
    link->untold_bytes = 0;
    link->send(link, text, text_length(bytes));
    free(text);
}

static void tell(struct link *link, uint32_t flags)
{
    if (!link->muted)
        put_line(link, flags, 0, 0, 0, NULL, 0);
}

static void put_sent(struct link *link, const struct link_sent *sent)
{
    put_line(link, /* flags= */ 0, sent->number, sent->type, sent->key, sent->body, sent->len);
}

/* Without anything under way a frame of any length goes. */
static void move_waiting(struct link *link)
{
    bool waited = link->waiting != NULL;
    while (!link->muted && link->waiting != NULL) {
        struct link_sent *first = link->waiting;
        if (link->under_way > 0 && link->under_way + first->text_len > LINK_WINDOW_BYTES)
            return;
        DL_DELETE(link->waiting, first);
        DL_APPEND(link->sent, first);
        link->under_way += first->text_len;
        put_sent(link, first);
    }
    if (waited && link->waiting == NULL)
        link->drained(link);
}

void link_send(struct link *link, uint32_t type, uint64_t key, const void *body, size_t len)
{
    struct link_sent *frame = malloc(sizeof(*frame) + len);
    if (frame == NULL)
        abort();
    *frame = (struct link_sent){ .number = link->next++,
                                 .type = type,
                                 .key = key,
                                 .text_len = text_length(sizeof(struct head) + len),
                                 .len = len };
    if (len > 0)
        memcpy(frame->body, body, len);
    DL_APPEND(link->waiting, frame);
    if (frame == link->waiting) { /* the first in line, which nobody was told to wait for */
        bool room = !link->muted && (link->under_way == 0 ||
                                     link->under_way + frame->text_len <= LINK_WINDOW_BYTES);
        if (room) {
            DL_DELETE(link->waiting, frame);
            DL_APPEND(link->sent, frame);
            link->under_way += frame->text_len;
            put_sent(link, frame);
        }
    }
}

bool link_is_full(const struct link *link)
{
    return link->waiting != NULL;
}

static void send_again(struct link *link)
{
    const struct link_sent *frame;
    DL_FOREACH(link->sent, frame)
    put_sent(link, frame);
}

/* ---- in ---- */

static void take_acknowledgement(struct link *link, uint32_t number)
{
    while (link->sent != NULL && (int32_t)(number - link->sent->number) >= 0) {
        struct link_sent *first = link->sent;
        DL_DELETE(link->sent, first);
        link->under_way -= first->text_len;
        free(first);
    }
    move_waiting(link);
}

static void ask_resend(struct link *link)
{
    if (link->resend_asked)
        return;
    link->resend_asked = true;
    tell(link, HEAD_RESEND);
}

static void take_line(struct link *link, const char *text, size_t len)
{
    struct head head;
    if (len == 0) /* a new transport begins with an empty one, which ends what was cut */
        return;
    bool good = decode(text, len, &link->body) && link->body.len >= sizeof(head);
    if (good) {
        memcpy(&head, link->body.data, sizeof(head));
        good = head.length == link->body.len - sizeof(head) &&
               head.check == check_of(link->body.data + sizeof(head.check),
                                      link->body.len - sizeof(head.check));
    }
    if (!good) {
        ask_resend(link);
        return;
    }
    if (head.type != 0 && head.number != link->received + 1) {
        if ((int32_t)(head.number - link->received) > 1)
            ask_resend(link);
        else
            tell(link, 0); /* known: the peer has not heard so */
        return;
    }
    if (head.type != 0) {
        link->received = head.number;
        link->untold_bytes += len;
        link->resend_asked = false;
    }
    take_acknowledgement(link, head.acknowledged);
    if ((head.flags & HEAD_RESEND) != 0 && !link->muted)
        send_again(link);
    if (head.type == 0)
        return;
    const struct link_frame frame = { head.type, head.key, link->body.data + sizeof(head),
                                      head.length };
    link->receive(link, &frame);
    if (link->untold_bytes >= TELL_BYTES)
        tell(link, 0);
}

void link_feed(struct link *link, const char *text, size_t len)
{
    const char *end;
    while ((end = memchr(text, '\n', len)) != NULL) {
        size_t part = (size_t)(end - text);
        if (link->line.len == 0 && !link->line.failed) {
            take_line(link, text, part);
        } else {
            if (osa_buf_add(&link->line, text, part))
                take_line(link, link->line.data, link->line.len);
            else
                ask_resend(link);
            osa_buf_reset(&link->line);
        }
        text += part + 1;
        len -= part + 1;
    }
    if (len > 0 && !link->line.failed)
        (void)osa_buf_add(&link->line, text, len);
}

/* ---- life ---- */

void link_init(struct link *link)
{
    link->next = 1;
    link->muted = true;
    osa_buf_init(&link->line, LINK_LINE_MAX);
    osa_buf_init(&link->body, LINK_LINE_MAX);
}

static void free_frames(struct link_sent *list)
{
    struct link_sent *frame, *next;
    DL_FOREACH_SAFE(list, frame, next)
    free(frame);
}

void link_done(struct link *link)
{
    free_frames(link->sent);
    free_frames(link->waiting);
    link->sent = NULL;
    link->waiting = NULL;
    osa_buf_done(&link->line);
    osa_buf_done(&link->body);
}

void link_pause(struct link *link)
{
    link->muted = true;
}

void link_resume(struct link *link)
{
    bool again = link->received > 0 || link->sent != NULL;
    link->muted = false;
    osa_buf_reset(&link->line);
    link->send(link, "\n", 1);
    if (again) {
        tell(link, HEAD_RESEND);
        send_again(link);
    }
    move_waiting(link);
}

void link_poke(struct link *link)
{
    tell(link, link->resend_asked ? HEAD_RESEND : 0);
}
