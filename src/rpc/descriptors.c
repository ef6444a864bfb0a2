// SPDX-License-Identifier: Apache-2.0
#include "rpc/descriptors.h"
#include "rpc/wire.h"

#include <errno.h>
#include <string.h>

/* Field numbers of descriptor.proto. */
enum {
    SET_FILE = 1,
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    ANY_NAME = 1, /* every other descriptor has its name here */
};

/* What can contain what, and in which field. */
enum kind { KIND_FILE, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE, KIND_LEAF };
static const struct {
    enum kind parent;
    uint32_t field;
    enum kind child;
} contents[] = {
    { KIND_FILE, 4, KIND_MESSAGE },    /* message_type */
    { KIND_FILE, 5, KIND_ENUM },       /* enum_type */
    { KIND_FILE, 6, KIND_SERVICE },    /* service */
    { KIND_FILE, 7, KIND_LEAF },       /* extension */
    { KIND_MESSAGE, 2, KIND_LEAF },    /* field */
    { KIND_MESSAGE, 3, KIND_MESSAGE }, /* nested_type */
    { KIND_MESSAGE, 4, KIND_ENUM },    /* enum_type */
    { KIND_MESSAGE, 6, KIND_LEAF },    /* extension */
    { KIND_MESSAGE, 8, KIND_LEAF },    /* oneof_decl */
    { KIND_ENUM, 2, KIND_LEAF },       /* value */
    { KIND_SERVICE, 2, KIND_LEAF },    /* method */
};

static struct wire_cursor inside(const struct wire_field *field)
{
    return (struct wire_cursor){ field->data, field->data + field->len };
}

static bool has_name(const struct wire_field *descriptor, const char *name, size_t len)
{
    struct wire_cursor cursor = inside(descriptor);
    struct wire_field field;
    while (cursor.next < cursor.end && wire_next(&cursor, &field) == NULL)
        if (field.number == ANY_NAME && field.type == WIRE_BYTES)
            return field.len == len && memcmp(field.data, name, len) == 0;
    return false;
}

/* Is @path ("Message.Nested.field") defined in what @cursor reads? As deep as descriptors nest, no deeper. */
static bool defines(struct wire_cursor cursor, enum kind parent, const char *path)
{
    const char *dot = strchr(path, '.');
    size_t len = dot != NULL ? (size_t)(dot - path) : strlen(path);
    struct wire_field field;
    while (cursor.next < cursor.end && wire_next(&cursor, &field) == NULL) {
        for (size_t i = 0; i < OSA_ARRAY_LEN(contents); i++) {
            if (contents[i].parent != parent || contents[i].field != field.number ||
                field.type != WIRE_BYTES || !has_name(&field, path, len))
                continue;
            if (dot == NULL || defines(inside(&field), contents[i].child, dot + 1))
                return true;
        }
    }
    return false;
}

static const char *read_file(const struct wire_field *field, struct rpc_file *ret)
{
    struct wire_cursor cursor = inside(field);
    struct rpc_file file = { .data = field->data, .len = field->len, .name = "", .package = "" };
    while (cursor.next < cursor.end) {
        struct wire_field part;
        const char *wrong = wire_next(&cursor, &part);
        if (wrong != NULL)
            return wrong;
        if (part.number == FILE_NAME && part.type == WIRE_BYTES) {
            file.name = (const char *)part.data;
            file.name_len = part.len;
        } else if (part.number == FILE_PACKAGE && part.type == WIRE_BYTES) {
            file.package = (const char *)part.data;
            file.package_len = part.len;
        }
    }
    *ret = file;
    return NULL;
}

enum osa_code rpc_descriptors_init(struct rpc_descriptors *ret_descriptors, const void *set,
                                   size_t len, struct osa_error *err)
{
    struct rpc_descriptors self = { 0 };
    const uint8_t *start = set;
    struct wire_cursor cursor = { start, start != NULL ? start + len : start };
    while (cursor.next < cursor.end) {
        struct wire_field field;
        struct rpc_file file;
        const char *wrong = wire_next(&cursor, &field);
        if (wrong == NULL && field.number == SET_FILE && field.type == WIRE_BYTES)
            wrong = read_file(&field, &file);
        else if (wrong == NULL)
            wrong = "holds something that is not a file";
        struct rpc_file *files =
            wrong == NULL ? realloc(self.files, (self.count + 1) * sizeof(*files)) : NULL;
        if (files == NULL) {
            rpc_descriptors_done(&self);
            if (wrong == NULL)
                return osa_fail_errno(err, ENOMEM, "descriptor set");
            return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "descriptor set %s", wrong);
        }
        self.files = files;
        self.files[self.count++] = file;
    }
    *ret_descriptors = self;
    return OSA_OK;
}

void rpc_descriptors_done(struct rpc_descriptors *descriptors)
{
    free(descriptors->files);
    *descriptors = (struct rpc_descriptors){ 0 };
}

ptrdiff_t rpc_descriptors_by_name(const struct rpc_descriptors *descriptors, const char *name,
                                  size_t len)
{
    for (size_t i = 0; i < descriptors->count; i++)
        if (descriptors->files[i].name_len == len &&
            memcmp(descriptors->files[i].name, name, len) == 0)
            return (ptrdiff_t)i;
    return -1;
}

ptrdiff_t rpc_descriptors_by_symbol(const struct rpc_descriptors *descriptors, const char *symbol)
{
    symbol += symbol[0] == '.' ? 1 : 0;
    size_t len = strlen(symbol);
    for (size_t i = 0; i < descriptors->count; i++) {
        const struct rpc_file *file = &descriptors->files[i];
        const char *path = symbol;
        if (file->package_len > 0) {
            if (len <= file->package_len || memcmp(symbol, file->package, file->package_len) != 0 ||
                symbol[file->package_len] != '.')
                continue;
            path += file->package_len + 1;
        }
        struct wire_cursor cursor = { file->data, file->data + file->len };
        if (path[0] != '\0' && defines(cursor, KIND_FILE, path))
            return (ptrdiff_t)i;
    }
    return -1;
}

static bool listed(const size_t *indexes, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        if (indexes[i] == index)
            return true;
    return false;
}

size_t rpc_descriptors_closure(const struct rpc_descriptors *descriptors, size_t index,
                               size_t *ret_indexes)
{
    size_t count = 0;
    ret_indexes[count++] = index;
    for (size_t done = 0; done < count; done++) {
        const struct rpc_file *file = &descriptors->files[ret_indexes[done]];
        struct wire_cursor cursor = { file->data, file->data + file->len };
        struct wire_field field;
        while (cursor.next < cursor.end && wire_next(&cursor, &field) == NULL) {
            if (field.number != FILE_DEPENDENCY || field.type != WIRE_BYTES)
                continue;
            ptrdiff_t found =
                rpc_descriptors_by_name(descriptors, (const char *)field.data, field.len);
            if (found >= 0 && !listed(ret_indexes, count, (size_t)found))
                ret_indexes[count++] = (size_t)found;
        }
    }
    return count;
}
