// SPDX-License-Identifier: Apache-2.0
#include "rpc/wire.h"

#define FIELD_NUMBER_MAX ((1u << 29) - 1)

bool wire_varint(struct wire_cursor *cursor, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (cursor->next == cursor->end)
            return false;
        uint8_t byte = *cursor->next++;
        value |= (uint64_t)(byte & 0x7f) << shift; /* at 63 all but one bit fall off */
        if ((byte & 0x80) == 0) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static const char *take_bytes(struct wire_cursor *cursor, struct wire_field *field, uint64_t len)
{
    if (len > (uint64_t)(cursor->end - cursor->next))
        return "is cut off";
    field->data = cursor->next;
    field->len = (size_t)len;
    cursor->next += len;
    return NULL;
}

const char *wire_next(struct wire_cursor *cursor, struct wire_field *ret_field)
{
    struct wire_field field = { 0 };
    const uint8_t *start = cursor->next;
    uint64_t tag;
    /* protobuf-c looks at five bytes of a tag and no more */
    if (!wire_varint(cursor, &tag) || cursor->next - start > 5)
        return "has a malformed tag";
    if (tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
        return "has a field number out of range";
    field.number = (uint32_t)(tag >> 3);
    field.type = (enum wire_type)(tag & 7);
    const char *wrong = NULL;
    switch (field.type) {
    case WIRE_VARINT:
        if (!wire_varint(cursor, &field.value))
            wrong = "has a malformed varint";
        break;
    case WIRE_FIXED64:
        wrong = take_bytes(cursor, &field, 8);
        break;
    case WIRE_BYTES:
        start = cursor->next;
        if (!wire_varint(cursor, &field.value) || cursor->next - start > 5)
            wrong = "has a malformed length";
        else
            wrong = take_bytes(cursor, &field, field.value);
        break;
    case WIRE_FIXED32:
        wrong = take_bytes(cursor, &field, 4);
        break;
    case WIRE_GROUP_START:
    case WIRE_GROUP_END:
        break;
    default:
        wrong = "has an unknown wire type";
    }
    *ret_field = field;
    return wrong;
}
