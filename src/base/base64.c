// SPDX-License-Identifier: Apache-2.0
#include "base/base64.h"

#include <stdint.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool osa_base64_add(struct osa_buf *out, const void *data, size_t len)
{
    const uint8_t *at = data;
    char *room = osa_buf_reserve(out, (len + 2) / 3 * 4);
    if (room == NULL)
        return false;
    for (; len > 0; at += 3) {
        size_t count = len < 3 ? len : 3;
        uint32_t bits = (uint32_t)at[0] << 16;
        if (count > 1)
            bits |= (uint32_t)at[1] << 8;
        if (count > 2)
            bits |= at[2];
        for (unsigned i = 0; i < 4; i++)
            room[i] = i <= count ? digits[bits >> (18 - 6 * i) & 63] : '=';
        room += 4;
        out->len += 4;
        len -= count;
    }
    *room = '\0';
    return true;
}
