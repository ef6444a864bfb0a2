// SPDX-License-Identifier: Apache-2.0
#include "egress/hello.h"

#include <string.h>

#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define RECORD_HEAD 5u
#define RECORD_MAX 16384u

/* Bytes that are still to be read; taking too many makes it bad, for good. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static struct reader take(struct reader *r, size_t len)
{
    if (len > r->left) {
        *r = (struct reader){ .bad = true };
        return *r;
    }
    struct reader part = { r->at, len, false };
    r->at += len;
    r->left -= len;
    return part;
}

static size_t number(struct reader *r, size_t bytes)
{
    struct reader part = take(r, bytes);
    size_t value = 0;
    for (size_t i = 0; !part.bad && i < bytes; i++)
        value = value << 8 | part.at[i];
    return value;
}

/* A vector with its length in front. */
static struct reader vector(struct reader *r, size_t length_bytes)
{
    size_t len = number(r, length_bytes);
    return r->bad ? *r : take(r, len);
}

/* One name of type host_name, in the characters that host names have; nothing else. */
static bool read_name(struct reader extension, char ret_name[256])
{
    struct reader list = vector(&extension, 2);
    if (list.bad || extension.left != 0 || number(&list, 1) != 0)
        return false;
    struct reader name = vector(&list, 2);
    if (name.bad || list.left != 0 || name.left == 0 || name.left > 255)
        return false;
    for (size_t i = 0; i < name.left; i++) {
        char c = (char)name.at[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
        ret_name[i] = c;
    }
    ret_name[name.left] = '\0';
    return true;
}

static bool read_protocols(struct reader extension, struct hello *ret)
{
    struct reader list = vector(&extension, 2);
    if (list.bad || extension.left != 0 || list.left == 0)
        return false;
    ret->alpn = true;
    while (list.left > 0) {
        struct reader name = vector(&list, 1);
        if (name.bad || name.left == 0)
            return false;
        ret->http2 |= name.left == 2 && memcmp(name.at, "h2", 2) == 0;
        ret->http1 |= name.left == 8 && memcmp(name.at, "http/1.1", 8) == 0;
    }
    return true;
}

static enum hello_result parse_body(struct reader body, struct hello *ret)
{
    bool named = false;
    (void)take(&body, 2 + 32); /* version, random */
    (void)vector(&body, 1);    /* session */
    (void)vector(&body, 2);    /* cipher suites */
    (void)vector(&body, 1);    /* compression */
    if (body.bad)
        return HELLO_BAD;
    if (body.left == 0)
        return HELLO_GOOD; /* no extensions, no name */
    struct reader extensions = vector(&body, 2);
    if (extensions.bad || body.left != 0)
        return HELLO_BAD;
    while (extensions.left > 0) {
        size_t type = number(&extensions, 2);
        struct reader extension = vector(&extensions, 2);
        if (extension.bad || extensions.bad)
            return HELLO_BAD;
        if (type == EXTENSION_SERVER_NAME && (named || !read_name(extension, ret->name)))
            return HELLO_BAD;
        if (type == EXTENSION_ALPN && (ret->alpn || !read_protocols(extension, ret)))
            return HELLO_BAD;
        named |= type == EXTENSION_SERVER_NAME;
    }
    return HELLO_GOOD;
}

/*
 * The message may be cut into records as the client likes; they are put together in place of a copy
 * only when there are several.
 */
static enum hello_result gather(const uint8_t *data, size_t len, uint8_t *message, size_t *ret_len)
{
    size_t have = 0;
    for (size_t at = 0;;) {
        if (have >= 4) {
            size_t need = 4 + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
            if (message[0] != CLIENT_HELLO || need > HELLO_MAX_BYTES)
                return HELLO_BAD;
            if (have >= need) {
                *ret_len = need;
                return have == need ? HELLO_GOOD : HELLO_BAD; /* nothing may follow it */
            }
        }
        if (len - at < RECORD_HEAD)
            return HELLO_MORE;
        size_t size = (size_t)data[at + 3] << 8 | data[at + 4];
        if (data[at] != RECORD_HANDSHAKE || data[at + 1] != 3 || data[at + 2] > 4 || size == 0 ||
            size > RECORD_MAX)
            return HELLO_BAD;
        size_t there = len - at - RECORD_HEAD < size ? len - at - RECORD_HEAD : size;
        if (have + there > HELLO_MAX_BYTES)
            return HELLO_BAD;
        memcpy(message + have, data + at + RECORD_HEAD, there);
        have += there;
        if (there < size && have < 4)
            return HELLO_MORE;
        if (there < size) {
            size_t need = 4 + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
            return message[0] != CLIENT_HELLO || need > HELLO_MAX_BYTES ? HELLO_BAD : HELLO_MORE;
        }
        at += RECORD_HEAD + size;
    }
}

enum hello_result hello_parse(const uint8_t *data, size_t len, struct hello *ret)
{
    uint8_t message[HELLO_MAX_BYTES];
    size_t size;
    *ret = (struct hello){ 0 };
    if (len > 0 && data[0] != RECORD_HANDSHAKE)
        return HELLO_NOT_TLS;
    if (len > 1 && data[1] != 3)
        return HELLO_NOT_TLS;
    if (len < RECORD_HEAD)
        return HELLO_MORE;
    enum hello_result result = gather(data, len, message, &size);
    if (result != HELLO_GOOD)
        return result;
    return parse_body((struct reader){ message + 4, size - 4, false }, ret);
}
