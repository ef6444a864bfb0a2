// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

void osa_buf_init(struct osa_buf *buf, size_t max)
{
    *buf = (struct osa_buf){ .max = max };
}

void osa_buf_done(struct osa_buf *buf)
{
    free(buf->data);
    *buf = (struct osa_buf){ .max = buf->max };
}

void osa_buf_reset(struct osa_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

char *osa_buf_reserve(struct osa_buf *buf, size_t more)
{
    if (more > buf->max - buf->len) {
        buf->failed = true;
        return NULL;
    }
    size_t need = buf->len + more + 1;
    if (need > buf->size) {
        size_t size = OSA_MAX(need, OSA_MIN(buf->size * 2, buf->max + 1));
        char *grown = realloc(buf->data, OSA_MAX(size, (size_t)64));
        if (grown == NULL) {
            buf->failed = true;
            return NULL;
        }
        buf->data = grown;
        buf->size = OSA_MAX(size, (size_t)64);
    }
    return buf->data + buf->len;
}

bool osa_buf_add(struct osa_buf *buf, const void *data, size_t len)
{
    char *room = osa_buf_reserve(buf, len);
    if (room == NULL)
        return false;
    if (len > 0)
        memcpy(room, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool osa_buf_vaddf(struct osa_buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *room = need < 0 ? NULL : osa_buf_reserve(buf, (size_t)need);
    if (room == NULL) {
        buf->failed = true;
        return false;
    }
    (void)vsnprintf(room, (size_t)need + 1, fmt, args);
    buf->len += (size_t)need;
    return true;
}

bool osa_buf_addf(struct osa_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool ok = osa_buf_vaddf(buf, fmt, args);
    va_end(args);
    return ok;
}

void osa_buf_consume(struct osa_buf *buf, size_t len)
{
    if (len == 0)
        return;
    memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
    buf->data[buf->len] = '\0';
}
