// SPDX-License-Identifier: Apache-2.0
#include "rpc/bytes.h"
#include "rpc/message_internal.h"

#include <google/rpc/status.pb-c.h>
#include <grpc/byte_buffer_reader.h>
#include <stdio.h>
#include <string.h>

grpc_byte_buffer *rpc_bytes_pack(const ProtobufCMessage *message, size_t *ret_len)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(len);
    (void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice); /* the buffer holds its own reference */
    *ret_len = len;
    return bytes;
}

enum osa_code rpc_bytes_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *bytes,
                               struct rpc_arena *arena, ProtobufCMessage **ret_message,
                               struct osa_error *err)
{
    if (bytes->data.raw.compression != GRPC_COMPRESS_NONE)
        return osa_fail(err, OSA_UNIMPLEMENTED, 0,
                        "compressed messages are not accepted; send them as identity");
    const grpc_slice_buffer *parts = &bytes->data.raw.slice_buffer;
    if (parts->count == 1) {
        grpc_slice part =
            parts->slices[0]; /* a copy that holds no reference; @bytes keeps it alive */
        return rpc_message_unpack_in(&arena->allocator, type, &rpc_scan_default,
                                     GRPC_SLICE_START_PTR(part), GRPC_SLICE_LENGTH(part),
                                     ret_message, err);
    }
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, bytes) == 0)
        return osa_fail(err, OSA_INTERNAL, 0, "message cannot be read");
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    enum osa_code code = rpc_message_unpack_in(&arena->allocator, type, &rpc_scan_default,
                                               GRPC_SLICE_START_PTR(whole),
                                               GRPC_SLICE_LENGTH(whole), ret_message, err);
    grpc_slice_unref(whole); /* protobuf-c has copied what it keeps */
    return code;
}

ptrdiff_t rpc_metadata_find(const grpc_metadata_array *array, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < array->count; i++) {
        const grpc_slice *name = &array->metadata[i].key;
        if (GRPC_SLICE_LENGTH(*name) == len && memcmp(GRPC_SLICE_START_PTR(*name), key, len) == 0)
            return (ptrdiff_t)i;
    }
    return -1;
}

void rpc_slice_copy(grpc_slice slice, char *out, size_t size)
{
    size_t len = OSA_MIN(GRPC_SLICE_LENGTH(slice), size - 1);
    memcpy(out, GRPC_SLICE_START_PTR(slice), len);
    out[len] = '\0';
}

grpc_slice rpc_bytes_pack_status(const struct osa_error *err, const ProtobufCMessage *detail)
{
    char type_url[256];
    (void)snprintf(type_url, sizeof(type_url), "type.googleapis.com/%s", detail->descriptor->name);
    size_t len = protobuf_c_message_get_packed_size(detail);
    grpc_slice value = grpc_slice_malloc(len);
    (void)protobuf_c_message_pack(detail, GRPC_SLICE_START_PTR(value));
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = type_url;
    any.value.data = GRPC_SLICE_START_PTR(value);
    any.value.len = len;
    Google__Protobuf__Any *details[] = { &any };
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)err->code;
    status.message = (char *)err->text;
    status.n_details = 1;
    status.details = details;
    grpc_slice packed = grpc_slice_malloc(google__rpc__status__get_packed_size(&status));
    (void)google__rpc__status__pack(&status, GRPC_SLICE_START_PTR(packed));
    grpc_slice_unref(value);
    return packed;
}
