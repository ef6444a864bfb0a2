// SPDX-License-Identifier: Apache-2.0
/*
 * What makes two requests the same. Protobuf leaves the order of map entries open, so a client that
 * repeats a request may send other bytes: entries are sorted before the digest is taken.
 */
#include "agent/service/service_internal.h"

#include "io/digest.h"

#include <string.h>

static bool is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    size_t len = strlen(entry->short_name);
    return len > 5 && strcmp(entry->short_name + len - 5, "Entry") == 0 && entry->n_fields == 2 &&
           strcmp(entry->fields[0].name, "key") == 0 &&
           entry->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static const char *key_of(const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    return *(char *const *)((const char *)entry + key->offset);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(key_of(*(const ProtobufCMessage *const *)a),
                  key_of(*(const ProtobufCMessage *const *)b));
}

static ProtobufCMessage *sorted_copy(struct osa_arena *arena, const ProtobufCMessage *message);

static void copy_list(struct osa_arena *arena, const ProtobufCFieldDescriptor *field,
                      ProtobufCMessage ***list, size_t count)
{
    ProtobufCMessage **fresh = osa_arena_alloc(arena, (count + 1) * sizeof(*fresh));
    for (size_t i = 0; i < count; i++)
        fresh[i] = sorted_copy(arena, (*list)[i]);
    if (is_map(field))
        qsort(fresh, count, sizeof(*fresh), compare_entries);
    *list = fresh;
}

/* Strings and bytes stay where they are: only structs and lists of messages are copied. */
static ProtobufCMessage *sorted_copy(struct osa_arena *arena, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    ProtobufCMessage *copy = osa_arena_copy(arena, message, type->sizeof_message);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        char *at = (char *)copy + field->offset;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        const char *quantifier = (const char *)copy + field->quantifier_offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            copy_list(arena, field, (ProtobufCMessage ***)at, *(const size_t *)quantifier);
        } else if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
                   *(const uint32_t *)quantifier == field->id) {
            ProtobufCMessage **sub = (ProtobufCMessage **)at;
            if (*sub != NULL)
                *sub = sorted_copy(arena, *sub);
        }
    }
    return copy;
}

void request_digest(const ProtobufCMessage *request, uint8_t ret_digest[32])
{
    struct osa_arena scratch = { 0 };
    ProtobufCMessage *copy = sorted_copy(&scratch, request);
    const ProtobufCFieldDescriptor *key =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, "idempotency_key");
    *(const char **)((char *)copy + key->offset) = protobuf_c_empty_string;
    size_t len = protobuf_c_message_get_packed_size(copy);
    uint8_t *bytes = osa_arena_alloc(&scratch, len);
    (void)protobuf_c_message_pack(copy, bytes);
    io_sha256(bytes, len, ret_digest);
    osa_arena_done(&scratch);
}
