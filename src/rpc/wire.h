// SPDX-License-Identifier: Apache-2.0
/*
 * The protobuf wire format, read field by field and without copying.
 * Source: protobuf.dev, "Encoding"
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP_START = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5,
};

/** struct wire_cursor - What is left of a message; [next, end) */
struct wire_cursor {
    const uint8_t *next;
    const uint8_t *end;
};

/**
 * struct wire_field - One field as it stands on the wire
 * @number: 1 … 2^29-1
 * @type:   of the value
 * @value:  of WIRE_VARINT
 * @data, @len: of WIRE_BYTES, borrowed; of the fixed ones, their 8 or 4 bytes
 */
struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;
    const uint8_t *data;
    size_t len;
};

/** wire_varint() - One varint of at most ten bytes; bits beyond 64 are dropped, as by every protobuf. Return: false when malformed */
bool wire_varint(struct wire_cursor *cursor, uint64_t *ret_value);

/**
 * wire_next() - Read one field and step over it
 * Return: NULL, or what is wrong with it, as a constant text. Groups are only announced: the cursor
 * stands behind the start tag.
 */
const char *wire_next(struct wire_cursor *cursor, struct wire_field *ret_field);
