// SPDX-License-Identifier: Apache-2.0
/* Addresses: spellings, kinds, ranges. */
#include "policy/engine_internal.h"
#include "policy/ranges.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

/* inet_aton(3) also takes "127.1", "0x7f000001", "017700000001" and trailing blanks. */
static bool is_odd_number(const char *host, struct policy_address *ret)
{
    char name[POLICY_MAX_HOST + 1];
    size_t len = strlen(host);
    while (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len > POLICY_MAX_HOST || !isdigit((unsigned char)host[0]))
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    struct in_addr v4;
    if (inet_aton(name, &v4) == 0)
        return false;
    ret->size = 4;
    memcpy(ret->bytes, &v4, 4);
    return true;
}

static bool has_zone(const char *host, struct policy_address *ret)
{
    char name[INET6_ADDRSTRLEN];
    size_t len = strcspn(host, "%");
    if (host[len] == '\0' || len >= sizeof(name))
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    ret->size = 16;
    return inet_pton(AF_INET6, name, ret->bytes) == 1;
}

enum policy_spelling policy_address_parse(const char *host, struct policy_address *ret)
{
    struct policy_address address = { .size = 4 };
    enum policy_spelling spelling = POLICY_SPELLING_PLAIN;
    if (inet_pton(AF_INET, host, address.bytes) != 1) {
        address.size = 16;
        if (inet_pton(AF_INET6, host, address.bytes) != 1) {
            if (!is_odd_number(host, &address) && !has_zone(host, &address))
                return POLICY_SPELLING_NAME;
            spelling = POLICY_SPELLING_ODD;
        }
    }
    *ret = address;
    return spelling;
}

const char *policy_address_text(const struct policy_address *address, char buf[POLICY_ADDRESS_TEXT])
{
    const char *text = inet_ntop(address->size == 4 ? AF_INET : AF_INET6, address->bytes, buf,
                                 POLICY_ADDRESS_TEXT);
    return text != NULL ? text : "";
}

/* ---- kinds ---- */

struct known {
    struct policy_range range;
    enum policy_address_class kind;
};

#define V4(a, b, c, d, bits, class)                                                                \
    {                                                                                              \
        { { 4, { a, b, c, d } }, bits }, class                                                     \
    }

/* IANA's special-purpose registry (RFC 6890), and what clouds answer credentials at. */
static const struct known known_v4[] = {
    V4(127, 0, 0, 0, 8, POLICY_ADDRESS_BLOCKED),    /* loopback */
    V4(169, 254, 0, 0, 16, POLICY_ADDRESS_BLOCKED), /* link-local, and most metadata services */
    V4(0, 0, 0, 0, 32, POLICY_ADDRESS_BLOCKED),     /* means loopback to connect(2) */
    V4(100, 100, 100, 200, 32, POLICY_ADDRESS_METADATA), /* Alibaba */
    V4(168, 63, 129, 16, 32, POLICY_ADDRESS_METADATA),   /* Azure */
    V4(192, 0, 0, 192, 32, POLICY_ADDRESS_METADATA),     /* Oracle */
    V4(0, 0, 0, 0, 8, POLICY_ADDRESS_INTERNAL),
    V4(10, 0, 0, 0, 8, POLICY_ADDRESS_INTERNAL),
    V4(172, 16, 0, 0, 12, POLICY_ADDRESS_INTERNAL),
    V4(192, 168, 0, 0, 16, POLICY_ADDRESS_INTERNAL),
    V4(100, 64, 0, 0, 10, POLICY_ADDRESS_INTERNAL),
    V4(192, 0, 0, 0, 24, POLICY_ADDRESS_INTERNAL),
    V4(192, 0, 2, 0, 24, POLICY_ADDRESS_INTERNAL),
    V4(198, 18, 0, 0, 15, POLICY_ADDRESS_INTERNAL),
    V4(198, 51, 100, 0, 24, POLICY_ADDRESS_INTERNAL),
    V4(203, 0, 113, 0, 24, POLICY_ADDRESS_INTERNAL),
    V4(224, 0, 0, 0, 3, POLICY_ADDRESS_INTERNAL), /* multicast, reserved, broadcast: no TCP there */
};

static const struct known known_v6[] = {
    { { { 16, { [15] = 1 } }, 128 }, POLICY_ADDRESS_BLOCKED },
    { { { 16, { 0 } }, 128 }, POLICY_ADDRESS_BLOCKED },
    { { { 16, { 0xfe, 0x80 } }, 10 }, POLICY_ADDRESS_BLOCKED },
    { { { 16, { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54 } }, 128 },
      POLICY_ADDRESS_METADATA }, /* AWS */
    { { { 16, { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54 } }, 128 },
      POLICY_ADDRESS_METADATA },                                             /* GCP */
    { { { 16, { 0xfc } }, 7 }, POLICY_ADDRESS_INTERNAL },                    /* unique local */
    { { { 16, { 0xfe, 0xc0 } }, 10 }, POLICY_ADDRESS_INTERNAL },             /* site-local */
    { { { 16, { 0xff } }, 8 }, POLICY_ADDRESS_INTERNAL },                    /* multicast */
    { { { 16, { 0x20, 0x01, 0x0d, 0xb8 } }, 32 }, POLICY_ADDRESS_INTERNAL }, /* documentation */
    { { { 16, { 0x3f, 0xff } }, 20 }, POLICY_ADDRESS_INTERNAL },             /* documentation */
    { { { 16, { 0x01 } }, 64 }, POLICY_ADDRESS_INTERNAL },                   /* discard */
};

bool policy_range_has(const struct policy_range *range, const struct policy_address *address)
{
    const struct policy_address *base = &range->base;
    if (base->size != address->size)
        return false;
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    if (memcmp(base->bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || (base->bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

static enum policy_address_class lookup(const struct known *table, size_t count,
                                        const struct policy_address *address)
{
    for (size_t i = 0; i < count; i++)
        if (policy_range_has(&table[i].range, address))
            return table[i].kind;
    return POLICY_ADDRESS_PUBLIC;
}

/*
 * Where an IPv4 address sits inside an IPv6 one: at most two of them.
 * RFC 4291 2.5.5 (compatible, mapped), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380 4
 * (Teredo: server, and the client with all bits turned).
 */
static size_t find_inner(const struct policy_address *address, struct policy_address ret[2])
{
    static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
    static const uint8_t compatible[12] = { 0 };
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const uint8_t nat64_local[6] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 };
    static const uint8_t teredo[4] = { 0x20, 0x01 };
    const uint8_t *b = address->bytes;
    ret[0].size = ret[1].size = 4;
    if (memcmp(b, mapped, 12) == 0 || memcmp(b, compatible, 12) == 0 || memcmp(b, nat64, 12) == 0 ||
        memcmp(b, nat64_local, 6) == 0) {
        memcpy(ret[0].bytes, b + 12, 4);
        return 1;
    }
    if (b[0] == 0x20 && b[1] == 0x02) {
        memcpy(ret[0].bytes, b + 2, 4);
        return 1;
    }
    if (memcmp(b, teredo, 4) == 0) {
        memcpy(ret[0].bytes, b + 4, 4);
        for (size_t i = 0; i < 4; i++)
            ret[1].bytes[i] = (uint8_t)~b[12 + i];
        return 2;
    }
    return 0;
}

enum policy_address_class policy_address_class(const struct policy_address *address)
{
    if (address->size == 4)
        return lookup(known_v4, OSA_ARRAY_LEN(known_v4), address);
    enum policy_address_class worst = lookup(known_v6, OSA_ARRAY_LEN(known_v6), address);
    struct policy_address inner[2];
    size_t count = find_inner(address, inner);
    for (size_t i = 0; i < count; i++)
        worst = OSA_MAX(worst, lookup(known_v4, OSA_ARRAY_LEN(known_v4), &inner[i]));
    return worst;
}

/* ---- ranges ---- */

bool policy_range_parse(const char *text, struct policy_range *ret)
{
    char address[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");
    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    struct policy_range range;
    if (policy_address_parse(address, &range.base) != POLICY_SPELLING_PLAIN)
        return false;
    unsigned max = range.base.size * 8u;
    range.bits = (uint8_t)max;
    if (text[len] == '/') {
        unsigned bits = 0;
        const char *p = text + len + 1;
        size_t digits = strspn(p, "0123456789");
        if (digits == 0 || digits > 3 || p[digits] != '\0')
            return false;
        for (; *p != '\0'; p++)
            bits = bits * 10 + (unsigned)(*p - '0');
        if (bits > max)
            return false;
        range.bits = (uint8_t)bits;
    }
    *ret = range;
    return true;
}

static bool ranges_overlap(const struct policy_range *a, const struct policy_range *b)
{
    struct policy_range wider = a->bits < b->bits ? *a : *b;
    return policy_range_has(&wider, a->bits < b->bits ? &b->base : &a->base);
}

bool policy_range_blocked(const struct policy_range *range)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(known_v4); i++) {
        if (known_v4[i].kind != POLICY_ADDRESS_BLOCKED)
            continue;
        struct policy_range mapped = { { 16, { [10] = 0xff, 0xff } }, 0 };
        memcpy(mapped.base.bytes + 12, known_v4[i].range.base.bytes, 4);
        mapped.bits = (uint8_t)(96 + known_v4[i].range.bits);
        if (ranges_overlap(range, &known_v4[i].range) || ranges_overlap(range, &mapped))
            return true;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(known_v6); i++)
        if (known_v6[i].kind == POLICY_ADDRESS_BLOCKED && ranges_overlap(range, &known_v6[i].range))
            return true;
    return false;
}

const struct policy_ranges *engine_ranges(struct osa_arena *arena,
                                          const struct policy_strings *texts)
{
    struct policy_ranges *ranges = osa_arena_alloc(arena, sizeof(*ranges));
    ranges->items = osa_arena_alloc(arena, sizeof(*ranges->items) * texts->count);
    for (size_t i = 0; i < texts->count; i++) {
        struct policy_range *range = &ranges->items[ranges->count++];
        if (ranges->bad == NULL &&
            (!policy_range_parse(texts->items[i], range) || policy_range_blocked(range)))
            ranges->bad = texts->items[i];
    }
    return ranges;
}
