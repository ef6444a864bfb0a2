// SPDX-License-Identifier: Apache-2.0
#include "cli/message_json.h"

#include "cli/time_text.h"

#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <stdio.h>
#include <string.h>

static void write_message(struct osa_json *json, const ProtobufCMessage *message);

static void write_key(struct osa_json *json, const char *name)
{
    char camel[128];
    size_t len = 0;
    for (const char *p = name; *p != '\0' && len + 1 < sizeof(camel); p++) {
        bool up = *p == '_' && p[1] >= 'a' && p[1] <= 'z';
        camel[len++] = up ? (char)(*++p - 'a' + 'A') : *p;
    }
    camel[len] = '\0';
    osa_json_key(json, camel);
}

static void write_base64(struct osa_json *json, const ProtobufCBinaryData *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    OSA_AUTO(osa_buf_done) struct osa_buf text;
    osa_buf_init(&text, SIZE_MAX / 4);
    for (size_t i = 0; i < bytes->len; i += 3) {
        size_t left = bytes->len - i;
        uint32_t bits = (uint32_t)bytes->data[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes->data[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)bytes->data[i + 2] : 0;
        char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
                         left > 1 ? digits[bits >> 6 & 63] : '=',
                         left > 2 ? digits[bits & 63] : '=' };
        (void)osa_buf_add(&text, four, sizeof(four));
    }
    osa_json_string(json, text.data != NULL ? text.data : "", text.len);
}

static void write_enum(struct osa_json *json, const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(type, value);
    if (known != NULL)
        osa_json_text(json, known->name);
    else
        osa_json_i64(json, value);
}

static void write_u64_text(struct osa_json *json, uint64_t value, bool is_signed)
{
    char text[24];
    int len = is_signed ? snprintf(text, sizeof(text), "%lld", (long long)value)
                        : snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    osa_json_string(json, text, (size_t)len);
}

/* One value of a field; @at points at it. */
static void write_value(struct osa_json *json, const ProtobufCFieldDescriptor *field,
                        const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        osa_json_i64(json, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        osa_json_u64(json, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        write_u64_text(json, *(const uint64_t *)at, true);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        write_u64_text(json, *(const uint64_t *)at, false);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        osa_json_double(json, (double)*(const float *)at);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        osa_json_double(json, *(const double *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        osa_json_bool(json, *(const protobuf_c_boolean *)at != 0);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(json, field->descriptor, *(const int *)at);
        break;
    case PROTOBUF_C_TYPE_STRING:
        osa_json_text(json, *(char *const *)at);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        write_base64(json, at);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(json, *(const ProtobufCMessage *const *)at);
        break;
    }
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return 4;
}

/* protobuf-c has no mark for maps: they are repeated messages called …Entry with key 1 and value 2. */
static bool is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
        return false;
    const ProtobufCMessageDescriptor *type = field->descriptor;
    size_t len = strlen(type->short_name);
    return len > 5 && strcmp(type->short_name + len - 5, "Entry") == 0 && type->n_fields == 2 &&
           type->fields[0].id == 1 && strcmp(type->fields[0].name, "key") == 0 &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING && type->fields[1].id == 2;
}

static void write_map(struct osa_json *json, const ProtobufCFieldDescriptor *field, size_t count,
                      const ProtobufCMessage *const *entries)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;
    osa_json_open(json, '{');
    for (size_t i = 0; i < count; i++) {
        const char *base = (const char *)entries[i];
        const char *key = *(char *const *)(base + type->fields[0].offset);
        osa_json_key(json, key != NULL ? key : "");
        write_value(json, &type->fields[1], base + type->fields[1].offset);
    }
    osa_json_close(json, '}');
}

static void write_repeated(struct osa_json *json, const ProtobufCFieldDescriptor *field,
                           const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    size_t count = *(const size_t *)(base + field->quantifier_offset);
    const char *items = *(const char *const *)(base + field->offset);
    write_key(json, field->name);
    if (is_map(field)) {
        write_map(json, field, count, (const void *)items);
        return;
    }
    osa_json_open(json, '[');
    for (size_t i = 0; i < count; i++)
        write_value(json, field, items + i * size_of(field->type));
    osa_json_close(json, ']');
}

static bool is_present(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)(base + field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(void *const *)(base + field->offset) != NULL;
    return true;
}

static void write_fields(struct osa_json *json, const ProtobufCMessage *message)
{
    osa_json_open(json, '{');
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            write_repeated(json, field, message);
        } else if (is_present(field, message)) {
            write_key(json, field->name);
            write_value(json, field, (const char *)message + field->offset);
        }
    }
    osa_json_close(json, '}');
}

/* ---- well-known types ---- */

static void write_struct(struct osa_json *json, const Google__Protobuf__Struct *value);

static void write_any_value(struct osa_json *json, const Google__Protobuf__Value *value)
{
    switch (value->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        osa_json_double(json, value->number_value);
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        osa_json_text(json, value->string_value);
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        osa_json_bool(json, value->bool_value != 0);
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        write_struct(json, value->struct_value);
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        osa_json_open(json, '[');
        for (size_t i = 0; i < value->list_value->n_values; i++)
            write_any_value(json, value->list_value->values[i]);
        osa_json_close(json, ']');
        return;
    default: /* wire enums are open: null, nothing, or what a later protobuf adds */
        osa_json_null(json);
    }
}

static void write_struct(struct osa_json *json, const Google__Protobuf__Struct *value)
{
    osa_json_open(json, '{');
    for (size_t i = 0; i < value->n_fields; i++) {
        osa_json_key(json, value->fields[i]->key);
        if (value->fields[i]->value != NULL)
            write_any_value(json, value->fields[i]->value);
        else
            osa_json_null(json);
    }
    osa_json_close(json, '}');
}

static void write_message(struct osa_json *json, const ProtobufCMessage *message)
{
    char text[CLI_TIME_SIZE];
    if (message == NULL) {
        osa_json_null(json);
    } else if (message->descriptor == &google__protobuf__duration__descriptor) {
        const Google__Protobuf__Duration *value = (const void *)message;
        cli_duration_json(value->seconds, value->nanos, text);
        osa_json_text(json, text);
    } else if (message->descriptor == &google__protobuf__timestamp__descriptor) {
        const Google__Protobuf__Timestamp *value = (const void *)message;
        cli_timestamp_text(value->seconds, value->nanos, text);
        osa_json_text(json, text);
    } else if (message->descriptor == &google__protobuf__struct__descriptor) {
        write_struct(json, (const void *)message);
    } else {
        write_fields(json, message);
    }
}

void cli_message_json(struct osa_json *json, const ProtobufCMessage *message)
{
    write_message(json, message);
}
