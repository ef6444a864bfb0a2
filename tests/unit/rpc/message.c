// SPDX-License-Identifier: Apache-2.0
/* The scan before protobuf-c: what passes, what is refused, and with which field's name. */
#include "rpc/message.h"

#include "base/macros.h"
#include "cmocka_all.h"

#include "rpc_test.pb-c.h"
#include <google/protobuf/struct.pb-c.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const ProtobufCMessageDescriptor *const item = &rpc_test__item__descriptor;

static enum osa_code scan(const void *data, size_t len, struct osa_error *err)
{
    *err = (struct osa_error){ 0 };
    return rpc_message_scan(item, &rpc_scan_default, data, len, err);
}

/* The bytes of a literal, with NULs inside but not the one at its end. */
#define BYTES(text) (text), sizeof(text) - 1

static void refused(const char *data, size_t len, enum osa_code code, const char *field,
                    const char *text)
{
    struct osa_error err;
    enum osa_code got = scan(data, len, &err);
    assert_string_equal(err.text, text);
    assert_int_equal(got, code);
    assert_string_equal(err.field, field);
    ProtobufCMessage *message = NULL;
    assert_int_equal(
        rpc_message_unpack(item, &rpc_scan_default, (const uint8_t *)data, len, &message, NULL),
        code);
    assert_null(message);
}

static void accepted(const char *data, size_t len)
{
    struct osa_error err;
    enum osa_code code = scan(data, len, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, OSA_OK);
    ProtobufCMessage *message = NULL;
    assert_int_equal(
        rpc_message_unpack(item, &rpc_scan_default, (const uint8_t *)data, len, &message, NULL),
        OSA_OK);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void test_round_trip(void **state)
{
    (void)state;
    RpcTest__Item child = RPC_TEST__ITEM__INIT;
    RpcTest__Item *children[] = { &child, &child };
    RpcTest__Item__LabelsEntry label = RPC_TEST__ITEM__LABELS_ENTRY__INIT;
    RpcTest__Item__LabelsEntry *labels[] = { &label };
    int32_t packed[] = { -1, 0, 1 };
    uint64_t fixed[] = { 1, UINT64_MAX };
    uint32_t narrow[] = { 7 };
    char *names[] = { (char *)"a", (char *)"" };
    RpcTest__Item message = RPC_TEST__ITEM__INIT;
    child.text = (char *)"Grüße, 世界 🌍";
    label.key = (char *)"k";
    label.value = (char *)"v";
    message.number = INT64_MIN;
    message.flag = true;
    message.real = 1.5F;
    message.n_packed = OSA_ARRAY_LEN(packed);
    message.packed = packed;
    message.n_fixed = OSA_ARRAY_LEN(fixed);
    message.fixed = fixed;
    message.n_narrow = OSA_ARRAY_LEN(narrow);
    message.narrow = narrow;
    message.n_names = OSA_ARRAY_LEN(names);
    message.names = names;
    message.n_children = OSA_ARRAY_LEN(children);
    message.children = children;
    message.n_labels = OSA_ARRAY_LEN(labels);
    message.labels = labels;
    message.choice_case = RPC_TEST__ITEM__CHOICE_RIGHT;
    message.right = &child;
    uint8_t bytes[512];
    size_t len = rpc_test__item__pack(&message, bytes);
    accepted((const char *)bytes, len);
    ProtobufCMessage *back = NULL;
    assert_int_equal(rpc_message_unpack(item, &rpc_scan_default, bytes, len, &back, NULL), OSA_OK);
    uint8_t again[512];
    assert_int_equal(protobuf_c_message_pack(back, again), len);
    assert_memory_equal(bytes, again, len);
    protobuf_c_message_free_unpacked(back, NULL);
    for (size_t cut = 1; cut < len; cut++) { /* whatever is cut off, the answer is a clean one */
        struct osa_error err;
        enum osa_code code = scan(bytes, cut, &err);
        assert_true(code == OSA_OK || code == OSA_INVALID_ARGUMENT);
    }
}

static void test_empty_and_unknown(void **state)
{
    (void)state;
    accepted("", 0);
    accepted(BYTES("\xf8\x07\x01"));         /* field 127, varint */
    accepted(BYTES("\xfa\x07\x02\x00\xff")); /* field 127, bytes: not a string of ours */
}

static void test_strings(void **state)
{
    (void)state;
    static const char *const good[] = { "\x7f",         "\xc2\x80",         "\xdf\xbf",
                                        "\xe0\xa0\x80", "\xed\x9f\xbf",     "\xee\x80\x80",
                                        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xc0\xaf",         /* overlong '/' */
        "\xc1\xbf",         /* overlong */
        "\xc2",             /* cut off */
        "\xe0\x80\xaf",     /* overlong */
        "\xe0\xa0",         /* cut off */
        "\xed\xa0\x80",     /* surrogate */
        "\xed\xbf\xbf",     /* surrogate */
        "\xf0\x80\x80\xaf", /* overlong */
        "\xf0\x90\x80",     /* cut off */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "a\xe2\x28\xa1",
        "\xe2\x82\x28",
    };
    char data[16] = "\x0a";
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        data[1] = (char)strlen(good[i]);
        memcpy(data + 2, good[i], strlen(good[i]));
        accepted(data, 2 + strlen(good[i]));
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        data[1] = (char)strlen(bad[i]);
        memcpy(data + 2, bad[i], strlen(bad[i]));
        refused(data, 2 + strlen(bad[i]), OSA_INVALID_ARGUMENT, "text", "text is not valid UTF-8");
    }
    refused(BYTES("\x0a\x03"
                  "a\0b"),
            OSA_INVALID_ARGUMENT, "text", "text contains a NUL byte");
    accepted(BYTES("\x12\x03"
                   "\xff\0b")); /* bytes may hold anything */
    refused(BYTES("\x42\x05"
                  "\x0a\x01"
                  "k\x12\x01"),
            OSA_INVALID_ARGUMENT, "labels.value", "labels.value is cut off");
    refused(BYTES("\x42\x06"
                  "\x0a\x01"
                  "k\x12\x01"
                  "\xff"),
            OSA_INVALID_ARGUMENT, "labels.value", "labels.value is not valid UTF-8");
    refused(BYTES("\x62\x01\xff"), OSA_INVALID_ARGUMENT, "left", "left is not valid UTF-8");
}

static void test_field_path(void **state)
{
    (void)state;
    refused(BYTES("\x32\x07\x3a\x05\x32\x03\x0a\x01\xff"), OSA_INVALID_ARGUMENT,
            "child.children.child.text", "child.children.child.text is not valid UTF-8");
}

static void test_malformed(void **state)
{
    (void)state;
    refused(BYTES("\x80"), OSA_INVALID_ARGUMENT, "", "message has a malformed tag");
    refused(BYTES("\x00"), OSA_INVALID_ARGUMENT, "", "message has a field number out of range");
    refused(BYTES("\x80\x80\x80\x80\x10\x00"), OSA_INVALID_ARGUMENT, "",
            "message has a field number out of range");
    refused(BYTES("\x88\x80\x80\x80\x80\x00\x00"), OSA_INVALID_ARGUMENT, "",
            "message has a malformed tag");
    refused(BYTES("\x0a"), OSA_INVALID_ARGUMENT, "text", "text has a malformed length");
    refused(BYTES("\x0a\x05"
                  "abc"),
            OSA_INVALID_ARGUMENT, "text", "text is cut off");
    refused(BYTES("\x0a\xff\xff\xff\xff\x0f"), OSA_INVALID_ARGUMENT, "text", "text is cut off");
    refused(BYTES("\x0a\x81\x80\x80\x80\x80\x00"
                  "a"),
            OSA_INVALID_ARGUMENT, "text", "text has a malformed length");
    refused(BYTES("\x18\x80"), OSA_INVALID_ARGUMENT, "number", "number has a malformed varint");
    refused(BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), OSA_INVALID_ARGUMENT,
            "number", "number has a malformed varint");
    accepted(BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")); /* -1 */
    refused(BYTES("\x5d\x00\x00\x00"), OSA_INVALID_ARGUMENT, "real", "real is cut off");
    refused(BYTES("\x0e"), OSA_INVALID_ARGUMENT, "text", "text has an unknown wire type");
    refused(BYTES("\x0f"), OSA_INVALID_ARGUMENT, "text", "text has an unknown wire type");
}

static void test_groups(void **state)
{
    (void)state;
    static const char text[] = "message uses a group, which proto3 does not have";
    refused(BYTES("\xfb\x07\xfc\x07"), OSA_INVALID_ARGUMENT, "", text);
    refused(BYTES("\xfc\x07"), OSA_INVALID_ARGUMENT, "", text);
    refused(BYTES("\x33\x34"), OSA_INVALID_ARGUMENT, "child",
            "child uses a group, which proto3 does not have");
}

static void test_wire_types(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "\x08\x01", "text" },                             /* varint for a string */
        { "\x30\x01", "child" },                            /* varint for a message */
        { "\x1a\x01\x01", "number" },                       /* bytes for an int64 */
        { "\x1d\x01\x01\x01\x01", "number" },               /* fixed32 for an int64 */
        { "\x59\x01\x01\x01\x01\x01\x01\x01\x01", "real" }, /* fixed64 for a float */
        { "\x28\x01", "names" },                            /* varint for repeated strings */
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "%s has the wire type of another field type",
                       cases[i][1]);
        refused(cases[i][0], strlen(cases[i][0]), OSA_INVALID_ARGUMENT, cases[i][1], text);
    }
    accepted(BYTES("\x20\x01\x20\x02")); /* packed field, sent unpacked */
    accepted(BYTES("\x22\x02\x01\x02")); /* and packed */
}

static void test_doubles(void **state)
{
    (void)state;
    accepted(BYTES("\x0a\x01x\x0a\x01y")); /* of scalars and strings the last one counts */
    accepted(BYTES("\x3a\x00\x3a\x00"));
    refused(BYTES("\x32\x00\x32\x00"), OSA_INVALID_ARGUMENT, "child", "child is there twice");
    refused(BYTES("\x6a\x00\x6a\x00"), OSA_INVALID_ARGUMENT, "right", "right is there twice");
}

static void test_packed(void **state)
{
    (void)state;
    accepted(BYTES("\x22\x00"));
    refused(BYTES("\x22\x02\x01\x80"), OSA_INVALID_ARGUMENT, "packed",
            "packed has a malformed packed varint");
    refused(BYTES("\x4a\x07\x01\x01\x01\x01\x01\x01\x01"), OSA_INVALID_ARGUMENT, "fixed",
            "fixed has packed values of odd length");
    refused(BYTES("\x72\x05\x01\x01\x01\x01\x01"), OSA_INVALID_ARGUMENT, "narrow",
            "narrow has packed values of odd length");
    accepted(BYTES("\x72\x04\x01\x01\x01\x01"));
}

/* @depth messages in one another, each the `child` of the one around it. */
static size_t nest(uint8_t *out, size_t size, int depth)
{
    uint8_t *at = out + size;
    for (int i = 1; i < depth; i++) {
        size_t len = (size_t)(out + size - at);
        uint8_t header[6] = { 0x32 };
        size_t n = 1;
        for (size_t left = len;; left >>= 7) {
            header[n++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
            if (left <= 0x7f)
                break;
        }
        at -= n;
        memcpy(at, header, n);
    }
    size_t len = (size_t)(out + size - at);
    memmove(out, at, len);
    return len;
}

static void test_nesting(void **state)
{
    (void)state;
    static uint8_t data[200000];
    accepted((const char *)data, nest(data, sizeof(data), 64));
    struct osa_error err;
    assert_int_equal(scan(data, nest(data, sizeof(data), 65), &err), OSA_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.text, "is nested too deeply"));
    assert_int_equal(scan(data, nest(data, sizeof(data), 40000), &err), OSA_RESOURCE_EXHAUSTED);
}

/* The message that overflows the stack of protobuf-c alone: list in value in list, 58 kB of it. */
static void test_nested_struct(void **state)
{
    (void)state;
    static uint8_t data[60000];
    size_t at = sizeof(data);
    for (int level = 0; level < 14500; level++) { /* odd levels are values, the outermost is one */
        size_t len = sizeof(data) - at;
        const uint8_t header[] = { level % 2 == 1 ? 0x32 : 0x0a, (uint8_t)(0x80 | (len & 0x7f)),
                                   (uint8_t)(0x80 | (len >> 7 & 0x7f)), (uint8_t)(len >> 14) };
        at -= sizeof(header);
        memcpy(data + at, header, sizeof(header));
    }
    struct osa_error err = { 0 };
    enum osa_code code = rpc_message_scan(&google__protobuf__value__descriptor, &rpc_scan_default,
                                          data + at, sizeof(data) - at, &err);
    assert_int_equal(code, OSA_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.text, "is nested too deeply"));
}

static void test_counts(void **state)
{
    (void)state;
    struct rpc_scan_limits limits = { .depth = 64, .elements = 4 };
    struct osa_error err = { 0 };
    const uint8_t *four = (const uint8_t *)"\x22\x03\x01\x02\x03"; /* a field and three values */
    const uint8_t *five = (const uint8_t *)"\x22\x04\x01\x02\x03\x04";
    assert_int_equal(rpc_message_scan(item, &limits, four, 5, &err), OSA_OK);
    assert_int_equal(rpc_message_scan(item, &limits, five, 6, &err), OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text, "packed exceeds the elements of one message");
    assert_string_equal(err.field, "packed");
    static uint8_t entries[2 * 70000];
    for (size_t i = 0; i < sizeof(entries); i += 2)
        entries[i] = 0x42; /* labels, empty */
    assert_int_equal(scan(entries, 2 * (size_t)65536, &err), OSA_OK);
    assert_int_equal(scan(entries, 2 * (size_t)65537, &err), OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text, "labels exceeds the elements of one message");
    for (size_t i = 0; i < sizeof(entries); i += 2) { /* unknown fields cost memory, too */
        entries[i] = 0x78;
        entries[i + 1] = 1;
    }
    assert_int_equal(scan(entries, 2 * (size_t)65537, &err), OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text, "message exceeds the elements of one message");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_empty_and_unknown),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_field_path),
        cmocka_unit_test(test_malformed),  cmocka_unit_test(test_groups),
        cmocka_unit_test(test_wire_types), cmocka_unit_test(test_packed),
        cmocka_unit_test(test_nesting),    cmocka_unit_test(test_nested_struct),
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
