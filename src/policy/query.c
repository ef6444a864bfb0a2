// SPDX-License-Identifier: Apache-2.0
#include "policy/query.h"

#include <string.h>

bool policy_query_decode(struct policy_text raw, char *ret, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        int c = (unsigned char)raw.data[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            c = policy_percent(raw.data + i, raw.len - i);
            if (c < 0)
                return false;
            i += 2;
        }
        ret[n++] = (char)c;
    }
    *ret_len = n;
    return true;
}

bool policy_query_next(struct policy_text *rest, struct policy_text *ret_key,
                       struct policy_text *ret_value)
{
    while (rest->len > 0) {
        const char *start = rest->data;
        const char *mark = memchr(start, '&', rest->len);
        size_t len = mark != NULL ? (size_t)(mark - start) : rest->len;
        size_t taken = len + (mark != NULL);
        rest->data += taken;
        rest->len -= taken;
        if (len == 0)
            continue;
        const char *equals = memchr(start, '=', len);
        size_t key = equals != NULL ? (size_t)(equals - start) : len;
        *ret_key = (struct policy_text){ start, key };
        size_t value = equals != NULL ? key + 1 : len;
        *ret_value = (struct policy_text){ start + value, len - value };
        return true;
    }
    return false;
}

bool policy_query_is(struct policy_text key, const char *name)
{
    size_t at = 0;
    for (size_t i = 0; i < key.len; i++, at++) {
        int c = (unsigned char)key.data[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            c = policy_percent(key.data + i, key.len - i);
            i += 2;
        }
        if (c <= 0 || (unsigned char)name[at] != c)
            return false;
    }
    return name[at] == '\0';
}
