// SPDX-License-Identifier: Apache-2.0
/*
 * The scan walks the bytes once, with the descriptor at hand, and recurses into known sub-messages
 * only, at most `depth` times. What it lets through, protobuf-c can unpack in bounded stack and
 * memory, and no string in it is longer than strlen() says.
 *
 * It is as strict as protobuf-c where that refuses (groups, a wire type that does not fit the
 * field), so that the caller gets a field's name instead of a bare NULL. A singular message that
 * comes twice is refused, too: the two should be merged, which protobuf-c 1.4 gets wrong where
 * they have a oneof (it fails) and where they are members of one (the first is lost).
 */
#include "rpc/message.h"

#include "base/utf8.h"
#include "rpc/message_internal.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

const struct rpc_scan_limits rpc_scan_default = { .depth = 64, .elements = 65536 };

#define MAX_FIELDS                                                                                 \
    256 /* of a message type; of a larger one, only the first are checked for doubles */

/* One message on the way down; the chain spells the dotted name of a field. */
struct frame {
    const struct frame *outer;
    const char *field; /* of this message that is being scanned; NULL before the first */
    uint32_t depth;
    uint64_t seen[MAX_FIELDS / 64]; /* singular messages, by their row in the descriptor */
};

struct scan {
    const struct rpc_scan_limits *limits;
    uint32_t elements;
    struct osa_error *err;
};

static void put_path(const struct frame *frame, char *out, size_t size)
{
    if (frame->outer != NULL)
        put_path(frame->outer, out, size);
    if (frame->field == NULL)
        return;
    size_t len = strlen(out);
    (void)snprintf(out + len, size - len, "%s%s", len > 0 ? "." : "", frame->field);
}

static enum osa_code refuse(struct scan *scan, const struct frame *frame, enum osa_code code,
                            const char *what)
{
    char path[sizeof(scan->err->field)] = "";
    put_path(frame, path, sizeof(path));
    (void)osa_fail(scan->err, code, 0, "%s %s", path[0] != '\0' ? path : "message", what);
    if (scan->err != NULL)
        memcpy(scan->err->field, path, sizeof(path));
    return code;
}

static enum osa_code scan_string(struct scan *scan, const struct frame *frame, const uint8_t *s,
                                 size_t len)
{
    for (size_t i = 0; i < len;) {
        if (s[i] == 0)
            return refuse(scan, frame, OSA_INVALID_ARGUMENT, "contains a NUL byte");
        size_t step = osa_utf8_length((const char *)s + i, len - i);
        if (step == 0)
            return refuse(scan, frame, OSA_INVALID_ARGUMENT, "is not valid UTF-8");
        i += step;
    }
    return OSA_OK;
}

static enum wire_type wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return WIRE_VARINT;
}

static enum osa_code count(struct scan *scan, const struct frame *frame, size_t more)
{
    if (more > scan->limits->elements - scan->elements)
        return refuse(scan, frame, OSA_RESOURCE_EXHAUSTED, "exceeds the elements of one message");
    scan->elements += (uint32_t)more;
    return OSA_OK;
}

static enum osa_code scan_packed(struct scan *scan, const struct frame *frame, enum wire_type type,
                                 const struct wire_field *value)
{
    size_t width = type == WIRE_FIXED32 ? 4 : 8;
    if (type != WIRE_VARINT) {
        if (value->len % width != 0)
            return refuse(scan, frame, OSA_INVALID_ARGUMENT, "has packed values of odd length");
        return count(scan, frame, value->len / width);
    }
    size_t elements = 0;
    struct wire_cursor cursor = { value->data, value->data + value->len };
    for (uint64_t ignored; cursor.next < cursor.end; elements++)
        if (!wire_varint(&cursor, &ignored))
            return refuse(scan, frame, OSA_INVALID_ARGUMENT, "has a malformed packed varint");
    return count(scan, frame, elements);
}

static enum osa_code scan_message(struct scan *scan, const struct frame *outer,
                                  const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                  size_t len);

static bool seen_before(struct frame *frame, const ProtobufCMessageDescriptor *type,
                        const ProtobufCFieldDescriptor *field)
{
    size_t row = (size_t)(field - type->fields);
    if (field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE ||
        row >= MAX_FIELDS)
        return false;
    uint64_t bit = UINT64_C(1) << row % 64;
    bool before = (frame->seen[row / 64] & bit) != 0;
    frame->seen[row / 64] |= bit;
    return before;
}

static enum osa_code scan_value(struct scan *scan, const struct frame *frame,
                                const ProtobufCFieldDescriptor *field,
                                const struct wire_field *value)
{
    enum wire_type expected = wire_type_of(field->type);
    if (field->label == PROTOBUF_C_LABEL_REPEATED && expected != WIRE_BYTES &&
        value->type == WIRE_BYTES)
        return scan_packed(scan, frame, expected, value);
    if (value->type != expected)
        return refuse(scan, frame, OSA_INVALID_ARGUMENT, "has the wire type of another field type");
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return scan_string(scan, frame, value->data, value->len);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return scan_message(scan, frame, field->descriptor, value->data, value->len);
    return OSA_OK;
}

static enum osa_code scan_message(struct scan *scan, const struct frame *outer,
                                  const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                  size_t len)
{
    struct frame frame = { .outer = outer, .depth = outer != NULL ? outer->depth + 1 : 1 };
    if (frame.depth > scan->limits->depth)
        return refuse(scan, outer, OSA_RESOURCE_EXHAUSTED, "is nested too deeply");
    struct wire_cursor cursor = { data, data + len };
    while (cursor.next < cursor.end) {
        struct wire_field value = { 0 }; /* as it stays where not even the tag is read */
        frame.field = NULL;
        const char *wrong = wire_next(&cursor, &value);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, value.number);
        frame.field = field != NULL ? field->name : NULL;
        if (wrong == NULL && (value.type == WIRE_GROUP_START || value.type == WIRE_GROUP_END))
            wrong = "uses a group, which proto3 does not have";
        if (wrong == NULL && field != NULL && seen_before(&frame, type, field))
            wrong = "is there twice";
        if (wrong != NULL)
            return refuse(scan, &frame, OSA_INVALID_ARGUMENT, wrong);
        enum osa_code code = count(scan, &frame, 1);
        if (code == OSA_OK && field != NULL)
            code = scan_value(scan, &frame, field, &value);
        if (code != OSA_OK)
            return code;
    }
    return OSA_OK;
}

enum osa_code rpc_message_scan(const ProtobufCMessageDescriptor *type,
                               const struct rpc_scan_limits *limits, const uint8_t *data,
                               size_t len, struct osa_error *err)
{
    struct osa_error ignored;
    struct scan scan = { .limits = limits, .err = err != NULL ? err : &ignored };
    return scan_message(&scan, /* outer= */ NULL, type, data, len);
}

enum osa_code rpc_message_unpack_in(ProtobufCAllocator *allocator,
                                    const ProtobufCMessageDescriptor *type,
                                    const struct rpc_scan_limits *limits, const uint8_t *data,
                                    size_t len, ProtobufCMessage **ret_message,
                                    struct osa_error *err)
{
    enum osa_code code = rpc_message_scan(type, limits, data, len, err);
    if (code != OSA_OK)
        return code;
    ProtobufCMessage *message = protobuf_c_message_unpack(type, allocator, len, data);
    if (message == NULL) /* memory, or a field that proto2 calls required */
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "bytes are not a %s", type->name);
    *ret_message = message;
    return OSA_OK;
}

enum osa_code rpc_message_unpack(const ProtobufCMessageDescriptor *type,
                                 const struct rpc_scan_limits *limits, const uint8_t *data,
                                 size_t len, ProtobufCMessage **ret_message, struct osa_error *err)
{
    return rpc_message_unpack_in(/* allocator= */ NULL, type, limits, data, len, ret_message, err);
}
