// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a message: what the scan lets through must unpack, and keep its strings whole. */
#include "fuzz/target.h"

#include "rpc/message.h"

#include "rpc_test.pb-c.h"
#include <google/protobuf/struct.pb-c.h>
#include <stdlib.h>
#include <string.h>

static void check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size)
{
    struct osa_error err = { 0 };
    ProtobufCMessage *message = NULL;
    enum osa_code scanned = rpc_message_scan(type, &rpc_scan_default, data, size, &err);
    if ((scanned == OSA_OK) != (err.text[0] == '\0'))
        abort(); /* a refusal says why, and only a refusal does */
    if (scanned != OSA_OK && scanned != OSA_INVALID_ARGUMENT && scanned != OSA_RESOURCE_EXHAUSTED)
        abort();
    enum osa_code unpacked =
        rpc_message_unpack(type, &rpc_scan_default, data, size, &message, &err);
    if (unpacked != scanned)
        abort();
    if (unpacked != OSA_OK)
        return;
    /* What came out goes in again and comes out as the same bytes. */
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *first = malloc(len + 1);
    uint8_t *second = malloc(len + 1);
    ProtobufCMessage *again = NULL;
    if (first == NULL || second == NULL || protobuf_c_message_pack(message, first) != len ||
        rpc_message_unpack(type, &rpc_scan_default, first, len, &again, &err) != OSA_OK ||
        protobuf_c_message_get_packed_size(again) != len ||
        protobuf_c_message_pack(again, second) != len || memcmp(first, second, len) != 0)
        abort();
    protobuf_c_message_free_unpacked(again, NULL);
    protobuf_c_message_free_unpacked(message, NULL);
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(&rpc_test__item__descriptor, data, size);
    check(&google__protobuf__struct__descriptor, data, size);
    return 0;
}
