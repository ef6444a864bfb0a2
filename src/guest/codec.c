// SPDX-License-Identifier: Apache-2.0
#include "guest/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stage in struct osa_error is a constant; these cross the channel. */
static const char *const stages[] = {
    "box",      "capabilities", "cgroup",  "cwd",       "exec",    "fork",
    "keyring",  "landlock",     "mount",   "namespace", "network", "privileges",
    "protocol", "rlimit",       "seccomp", "stdio",     "tty",     "user",
};

void codec_u64(struct osa_buf *buf, uint64_t value)
{
    (void)osa_buf_add(buf, &value, sizeof(value));
}

void codec_bytes(struct osa_buf *buf, const void *data, size_t len)
{
    codec_u64(buf, len);
    (void)osa_buf_add(buf, data, len);
}

void codec_text(struct osa_buf *buf, const char *text)
{
    codec_bytes(buf, text != NULL ? text : "", (text != NULL ? strlen(text) : 0) + 1);
}

void codec_list(struct osa_buf *buf, const char *const *list)
{
    uint64_t count = 0;
    if (list == NULL) {
        codec_u64(buf, UINT64_MAX);
        return;
    }
    while (list[count] != NULL)
        count++;
    codec_u64(buf, count);
    for (uint64_t i = 0; i < count; i++)
        codec_text(buf, list[i]);
}

void codec_error(struct osa_buf *buf, const struct osa_error *error)
{
    codec_u64(buf, error != NULL ? (uint64_t)error->code : OSA_OK);
    if (error == NULL)
        return;
    codec_u64(buf, (uint64_t)error->sys_errno);
    codec_text(buf, error->stage);
    codec_text(buf, error->field);
    codec_text(buf, error->text);
}

static const char *take(struct codec_reader *reader, uint64_t len)
{
    if (reader->failed || len > reader->left) {
        reader->failed = true;
        return NULL;
    }
    const char *start = reader->at;
    reader->at += len;
    reader->left -= (size_t)len;
    return start;
}

uint64_t codec_read_u64(struct codec_reader *reader)
{
    uint64_t value = 0;
    const char *bytes = take(reader, sizeof(value));
    if (bytes != NULL)
        memcpy(&value, bytes, sizeof(value));
    return value;
}

void codec_read_bytes(struct codec_reader *reader, void *ret, size_t len)
{
    memset(ret, 0, len);
    if (codec_read_u64(reader) != len)
        reader->failed = true;
    const char *bytes = take(reader, len);
    if (bytes != NULL)
        memcpy(ret, bytes, len);
}

const char *codec_read_block(struct codec_reader *reader, size_t *ret_len)
{
    uint64_t len = codec_read_u64(reader);
    const char *bytes = take(reader, len);
    *ret_len = bytes != NULL ? (size_t)len : 0;
    return bytes != NULL ? bytes : "";
}

const char *codec_read_text(struct codec_reader *reader)
{
    uint64_t len = codec_read_u64(reader);
    const char *text = take(reader, len);
    if (text == NULL || len == 0 || memchr(text, '\0', (size_t)len) != text + len - 1) {
        reader->failed = true;
        return "";
    }
    return text;
}

const char **codec_read_list(struct codec_reader *reader)
{
    uint64_t count = codec_read_u64(reader);
    if (count == UINT64_MAX || reader->failed)
        return NULL;
    if (count > reader->left / (sizeof(uint64_t) + 1)) {
        reader->failed = true;
        return NULL;
    }
    const char **list = calloc((size_t)count + 1, sizeof(*list));
    if (list == NULL)
        abort();
    for (uint64_t i = 0; i < count; i++)
        list[i] = codec_read_text(reader);
    return list;
}

bool codec_read_error(struct codec_reader *reader, struct osa_error *ret)
{
    uint64_t code = codec_read_u64(reader);
    *ret = (struct osa_error){ 0 };
    if (code == OSA_OK && !reader->failed)
        return false;
    ret->code = code > OSA_OK && code < OSA_CODE_COUNT ? (enum osa_code)code : OSA_INTERNAL;
    ret->sys_errno = (int)codec_read_u64(reader);
    const char *stage = codec_read_text(reader);
    for (size_t i = 0; i < OSA_ARRAY_LEN(stages); i++) {
        if (strcmp(stages[i], stage) == 0)
            ret->stage = stages[i];
    }
    (void)snprintf(ret->field, sizeof(ret->field), "%s", codec_read_text(reader));
    (void)snprintf(ret->text, sizeof(ret->text), "%s", codec_read_text(reader));
    return true;
}
