// SPDX-License-Identifier: Apache-2.0
/*
 * Request targets made canonical. One pass over the segments of the path: each is decoded, loses
 * what follows a ';', and is then dropped, taken back, or written out with the few bytes encoded
 * that need it. Nothing is decoded twice.
 */
#include "base/utf8.h"
#include "policy/query.h"
#include "policy/request.h"

#include <string.h>

struct policy_text policy_text(const char *text)
{
    return (struct policy_text){ text, text != NULL ? strlen(text) : 0 };
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int policy_percent(const char *text, size_t len)
{
    if (len < 3 || hex(text[1]) < 0 || hex(text[2]) < 0)
        return -1;
    return hex(text[1]) << 4 | hex(text[2]);
}

/* Unreserved and sub-delims of RFC 3986, with ':' and '@'; ';' never gets here. */
static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("-._~!$&'()*+,=:@", c) != NULL);
}

/* Stands for a %2F inside a segment; cannot come from anything else. */
enum { ENCODED_SLASH = 0x01 };

/**
 * struct builder - The path so far: "/segment/segment", "" for none
 * @room: the caller's; large enough, for a byte takes three at most
 */
struct builder {
    char *room;
    size_t len;
    bool encoded_slash;
};

static void put_segment(struct builder *b, const char *segment, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    b->room[b->len++] = '/';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)segment[i];
        if (is_plain(c)) {
            b->room[b->len++] = (char)c;
            continue;
        }
        if (c == ENCODED_SLASH)
            c = '/';
        b->room[b->len++] = '%';
        b->room[b->len++] = digits[c >> 4];
        b->room[b->len++] = digits[c & 15];
    }
}

/* Return: NULL, or what is wrong */
static const char *decode_segment(struct builder *b, const char *raw, size_t len, char *ret,
                                  size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)raw[i];
        if (c == '%') {
            c = policy_percent(raw + i, len - i);
            if (c < 0)
                return "a % without two hexadecimal digits in its path";
            if (c < ' ' || c == 0x7f)
                return "an encoded control byte in its path";
            if (c == '/') {
                b->encoded_slash = true;
                c = ENCODED_SLASH;
            }
            i += 2;
        }
        ret[n++] = (char)c;
    }
    const char *parameters = memchr(ret, ';', n);
    *ret_len = parameters != NULL ? (size_t)(parameters - ret) : n;
    return NULL;
}

static bool is_dots(const char *part, size_t len)
{
    return (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.');
}

static bool hides_dots(const char *segment, size_t len)
{
    const char *end = segment + len;
    for (const char *p = segment;; p++) {
        const char *slash = memchr(p, ENCODED_SLASH, (size_t)(end - p));
        size_t part = (size_t)((slash != NULL ? slash : end) - p);
        if (is_dots(p, part))
            return true;
        if (slash == NULL)
            return false;
        p = slash;
    }
}

static const char *add_segment(struct builder *b, const char *raw, size_t raw_len, bool last)
{
    char segment[POLICY_MAX_TARGET_PATH];
    size_t len = 0;
    const char *fault = decode_segment(b, raw, raw_len, segment, &len);
    if (fault != NULL)
        return fault;
    if (is_dots(segment, len)) {
        if (len == 2 && b->len == 0)
            return "a .. above the root";
        while (len == 2 && b->room[--b->len] != '/')
            ;
        len = 0;
    } else if (hides_dots(segment, len)) {
        return "dot segments behind an encoded slash";
    }
    if (len > 0 || last)
        put_segment(b, segment, len);
    return NULL;
}

static const char *make_path(const char *raw, size_t len, struct builder *b)
{
    if (len > POLICY_MAX_TARGET_PATH)
        return "a path of more than 4096 bytes";
    if (len > 0 && raw[0] != '/')
        return "a path that does not start with /";
    for (size_t at = 1; at <= len;) {
        const char *slash = memchr(raw + at, '/', len - at);
        size_t end = slash != NULL ? (size_t)(slash - raw) : len;
        const char *fault = add_segment(b, raw + at, end - at, slash == NULL);
        if (fault != NULL)
            return fault;
        at = end + 1;
    }
    if (b->len == 0)
        b->room[b->len++] = '/';
    b->room[b->len] = '\0';
    return NULL;
}

static const char *check_bytes(const char *target, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)target[i];
        if (c < ' ' || c == 0x7f)
            return "a control byte";
        if (c >= 0x80)
            return "a byte that is not ASCII";
        if (c == '#')
            return "a fragment";
    }
    return NULL;
}

/* What rules compare must be text. */
static const char *check_query(struct policy_text query)
{
    if (query.len > POLICY_MAX_QUERY)
        return "a query of more than 16384 bytes";
    char decoded[POLICY_MAX_QUERY];
    size_t len = 0;
    if (!policy_query_decode(query, decoded, &len))
        return "a % without two hexadecimal digits in its query";
    for (size_t i = 0; i < len;) {
        size_t n = osa_utf8_length(decoded + i, len - i);
        if (n == 0)
            return "a query that is not UTF-8 when decoded";
        i += n;
    }
    return NULL;
}

/* Behind "scheme://authority" of an absolute-form target; its start else. */
static size_t skip_authority(const char *target, size_t len)
{
    size_t scheme = 0;
    while (scheme < len && (is_plain((unsigned char)target[scheme]) && target[scheme] != ':'))
        scheme++;
    if (scheme == 0 || len - scheme < 3 || memcmp(target + scheme, "://", 3) != 0)
        return 0;
    size_t at = scheme + 3;
    while (at < len && target[at] != '/' && target[at] != '?')
        at++;
    return at;
}

enum osa_code policy_target_parse(const char *target, size_t len, char room[POLICY_TARGET_ROOM],
                                  struct policy_target *ret, struct osa_error *err)
{
    struct builder b = { .room = room };
    struct policy_text query = { NULL, 0 };
    const char *fault = check_bytes(target, len);
    if (fault == NULL) {
        size_t start = skip_authority(target, len);
        const char *mark = memchr(target + start, '?', len - start);
        size_t end = mark != NULL ? (size_t)(mark - target) : len;
        if (mark != NULL)
            query = (struct policy_text){ mark + 1, len - end - 1 };
        fault = make_path(target + start, end - start, &b);
    }
    if (fault == NULL)
        fault = check_query(query);
    if (fault != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "the request target has %s", fault);
    *ret = (struct policy_target){ .path = { room, b.len },
                                   .query = query,
                                   .has_query = query.data != NULL,
                                   .encoded_slash = b.encoded_slash };
    return OSA_OK;
}
