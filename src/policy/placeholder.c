// SPDX-License-Identifier: Apache-2.0
/* Finding placeholders. */
#include "policy/placeholder.h"

#include "policy/query.h"

#include <string.h>

static const char prefix[] = "openshell:resolve:env:";
static const char alias[] = "OPENSHELL-RESOLVE-ENV-";
#define PREFIX_LEN (sizeof(prefix) - 1)
#define ALIAS_LEN (sizeof(alias) - 1)

static bool is_key_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_alias_byte(char c)
{
    return is_key_byte(c) || c == '-' || c == '.' || c == '~';
}

/* Return: end of the run of key bytes at @at */
static size_t end_of_key(struct policy_text text, size_t at)
{
    while (at < text.len && is_key_byte(text.data[at]))
        at++;
    return at;
}

/* "v12_KEY": the digits in *ret_mark, KEY in *ret_key. */
static bool split_revision(struct policy_text name, struct policy_text *ret_mark,
                           struct policy_text *ret_key)
{
    size_t at = 1;
    while (at < name.len && name.data[at] >= '0' && name.data[at] <= '9')
        at++;
    if (name.len == 0 || name.data[0] != 'v' || at == 1 || at + 1 >= name.len ||
        name.data[at] != '_')
        return false;
    *ret_mark = (struct policy_text){ name.data + 1, at - 1 };
    *ret_key = (struct policy_text){ name.data + at + 1, name.len - at - 1 };
    return true;
}

/* "s" and 64 hexadecimal digits in lower case, "_KEY". */
static bool split_handle(struct policy_text name, struct policy_text *ret_mark,
                         struct policy_text *ret_key)
{
    enum { DIGITS = 64 };
    if (name.len < DIGITS + 3 || name.data[0] != 's' || name.data[DIGITS + 1] != '_')
        return false;
    for (size_t i = 1; i <= DIGITS; i++)
        if (memchr("0123456789abcdef", name.data[i], 16) == NULL)
            return false;
    *ret_mark = (struct policy_text){ name.data + 1, DIGITS };
    *ret_key = (struct policy_text){ name.data + DIGITS + 2, name.len - DIGITS - 2 };
    return true;
}

bool policy_placeholder_key(const char *key)
{
    struct policy_text name = policy_text(key);
    struct policy_text ignored;
    return name.len > 0 && end_of_key(name, 0) == name.len &&
           !split_revision(name, &ignored, &ignored) && !split_handle(name, &ignored, &ignored);
}

static size_t find(struct policy_text text, size_t at, const char *what, size_t len)
{
    const char *found = at < text.len ? memmem(text.data + at, text.len - at, what, len) : NULL;
    return found != NULL ? (size_t)(found - text.data) : SIZE_MAX;
}

static bool read_plain(struct policy_text text, size_t start, struct policy_placeholder *ret)
{
    size_t key = start + PREFIX_LEN;
    size_t end = end_of_key(text, key);
    if (end == key)
        return false;
    *ret = (struct policy_placeholder){ .token = { text.data + start, end - start },
                                        .key = { text.data + key, end - key } };
    if (split_handle(ret->key, &ret->mark, &ret->key))
        ret->kind = POLICY_PLACEHOLDER_HANDLE;
    else if (split_revision(ret->key, &ret->mark, &ret->key))
        ret->kind = POLICY_PLACEHOLDER_REVISION;
    return true;
}

/* @marker is where "OPENSHELL-…" stands; the prefix before it goes back to @start, and is not empty. */
static bool read_alias(struct policy_text text, size_t start, size_t marker,
                       struct policy_placeholder *ret)
{
    size_t key = marker + ALIAS_LEN;
    size_t end = end_of_key(text, key);
    if (start == marker || end == key || (end < text.len && is_alias_byte(text.data[end])))
        return false;
    *ret = (struct policy_placeholder){ .kind = POLICY_PLACEHOLDER_ALIAS,
                                        .token = { text.data + start, end - start },
                                        .key = { text.data + key, end - key } };
    return true;
}

enum policy_placeholder_find policy_placeholder_next(struct policy_text text, size_t at,
                                                     struct policy_placeholder *ret)
{
    size_t plain = find(text, at, prefix, PREFIX_LEN);
    size_t marker = find(text, at, alias, ALIAS_LEN);
    size_t start = marker;
    while (start != SIZE_MAX && start > at && is_alias_byte(text.data[start - 1]))
        start--;
    if (plain == SIZE_MAX && marker == SIZE_MAX)
        return POLICY_PLACEHOLDER_NONE;
    bool good =
        plain <= start ? read_plain(text, plain, ret) : read_alias(text, start, marker, ret);
    return good ? POLICY_PLACEHOLDER_FOUND : POLICY_PLACEHOLDER_BROKEN;
}

/* Whether the decoded text at @at begins with @what. */
static bool begins(struct policy_text text, size_t at, const char *what)
{
    for (; *what != '\0'; what++) {
        if (at >= text.len)
            return false;
        int c = (unsigned char)text.data[at];
        int decoded = c == '%' ? policy_percent(text.data + at, text.len - at) : -1;
        at += decoded >= 0 ? 3 : 1;
        if ((decoded >= 0 ? decoded : c) != (unsigned char)*what)
            return false;
    }
    return true;
}

bool policy_placeholder_seen(struct policy_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c != '%' && c != prefix[0] && c != alias[0])
            continue;
        if (begins(text, i, prefix) || begins(text, i, alias))
            return true;
    }
    return false;
}
