// SPDX-License-Identifier: Apache-2.0
#include "base/id.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

void osa_random(void *data, size_t len)
{
    char *at = data;
    while (len > 0) {
        size_t piece = OSA_MIN(len, (size_t)256); /* getentropy(3) gives no more at once */
        if (getentropy(at, piece) != 0)
            abort();
        at += piece;
        len -= piece;
    }
}

void osa_id_new(char prefix, char *ret_id)
{
    static const char alphabet[33] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t bits[17] = { 0 }; /* one spare byte, so that the last group can look ahead */
    osa_random(bits, 16);
    char *out = ret_id;
    *out++ = prefix;
    *out++ = '-';
    for (unsigned bit = 0; bit < 128; bit += 5) {
        unsigned pair = (unsigned)bits[bit / 8] << 8 | bits[bit / 8 + 1];
        *out++ = alphabet[pair >> (11 - bit % 8) & 31u];
    }
    *out = '\0';
}

bool osa_id_is_valid(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > 63 || text[0] == '-' || text[len - 1] == '-')
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

bool osa_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < len; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}
