// SPDX-License-Identifier: Apache-2.0
#include "egress/question.h"

#include <string.h>

#define HEADER_BYTES 12u
#define LABEL_MAX_BYTES 63u
#define NAME_MAX_BYTES 253u /* as text, without the dot at the end */
#define CLASS_IN 1u

/* RFC 1035, 4.1.1 */
#define FLAG_RESPONSE 0x80u  /* third byte */
#define FLAG_RECURSION 0x01u /* third byte */
#define FLAG_AVAILABLE 0x80u /* fourth byte */

static uint16_t read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* Letters, digits, hyphens, and the underscores of service names: what a policy can list. */
static bool fits_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* One label at *at, which moves past it. Return: false when it is none. */
static bool read_label(const uint8_t **at, const uint8_t *end, char *name, size_t *used)
{
    size_t len = **at;
    const uint8_t *label = *at + 1;
    if (len > LABEL_MAX_BYTES || len >= (size_t)(end - *at) ||
        *used + (*used > 0) + len > NAME_MAX_BYTES)
        return false;
    if (*used > 0)
        name[(*used)++] = '.';
    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i];
        c = (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        if (!fits_name(c))
            return false;
        name[(*used)++] = (char)c;
    }
    *at = label + len;
    return true;
}

/* Return: past the name's last byte; NULL when it is none, or the root. */
static const uint8_t *read_name(const uint8_t *at, const uint8_t *end, char name[256])
{
    size_t used = 0;
    while (at < end && *at != 0) {
        if (!read_label(&at, end, name, &used))
            return NULL;
    }
    name[used] = '\0';
    return at < end && used > 0 ? at + 1 : NULL;
}

bool question_parse(const uint8_t *data, size_t len, struct question *ret,
                    enum question_code *ret_code)
{
    if (len < HEADER_BYTES || (data[2] & FLAG_RESPONSE) != 0)
        return false;
    *ret = (struct question){ .id = { data[0], data[1] },
                              .opcode = data[2] >> 3 & 0xf,
                              .recursion = (data[2] & FLAG_RECURSION) != 0 };
    *ret_code = QUESTION_FORMERR;
    if (len > QUESTION_MAX_BYTES || ret->opcode != 0 || read16(data + 4) != 1)
        return true;
    const uint8_t *begin = data + HEADER_BYTES;
    const uint8_t *end = data + len;
    const uint8_t *after = read_name(begin, end, ret->name);
    if (after == NULL || end - after < 4)
        return true;
    ret->type = read16(after);
    ret->wire = begin;
    ret->wire_len = (size_t)(after - begin) + 4;
    bool known = read16(after + 2) == CLASS_IN &&
                 (ret->type == QUESTION_TYPE_A || ret->type == QUESTION_TYPE_AAAA);
    *ret_code = known ? QUESTION_NOERROR : QUESTION_NOTIMP;
    return true;
}

size_t question_answer(const struct question *question, enum question_code code,
                       const uint8_t address[4], uint32_t ttl_s,
                       uint8_t ret[QUESTION_ANSWER_MAX_BYTES])
{
    const bool asked = question->wire_len > 0;
    const uint8_t record[] = {
        0xc0,
        HEADER_BYTES, /* the question's name */
        0,
        QUESTION_TYPE_A,
        0,
        CLASS_IN,
        (uint8_t)(ttl_s >> 24),
        (uint8_t)(ttl_s >> 16),
        (uint8_t)(ttl_s >> 8),
        (uint8_t)ttl_s,
        0,
        4,
    };
    memset(ret, 0, HEADER_BYTES);
    memcpy(ret, question->id, sizeof(question->id));
    ret[2] = (uint8_t)(FLAG_RESPONSE | question->opcode << 3 |
                       (question->recursion ? FLAG_RECURSION : 0u));
    ret[3] = (uint8_t)(FLAG_AVAILABLE | code);
    ret[5] = asked;
    ret[7] = asked && address != NULL;
    size_t len = HEADER_BYTES;
    if (!asked)
        return len;
    memcpy(ret + len, question->wire, question->wire_len);
    len += question->wire_len;
    if (address == NULL)
        return len;
    memcpy(ret + len, record, sizeof(record));
    memcpy(ret + len + sizeof(record), address, 4);
    return len + sizeof(record) + 4;
}
